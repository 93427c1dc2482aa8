//! `lint`: mistakes that files show, before a cluster sees them.

mod places;
mod render;
mod source;

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;

use self::{render::Format, source::Sources};
use super::select::emit;
use crate::core::lint::{Code, Severity};

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing was found that --fail-on counts, 1 something was, 2 the files cannot be read\n\n\
Allow a finding, with its reason, on its line or above it, or once for the file:\n    \
# trimtab-lint: allow TT0023 the batch may wait\n    # trimtab-lint: allow-file TT0042 measured in March"
)]
pub struct Args {
    /// Files or directories with policies, and with what stands beside them: workloads, budgets, streams; - for standard input
    #[arg(short, long = "filename", value_name = "PATH", required_unless_present = "explain")]
    filename: Vec<PathBuf>,
    /// Say what a code means, such as TT0012, and what to do about it
    #[arg(long, value_name = "CODE", conflicts_with = "filename")]
    explain: Option<String>,
    /// Least severity that makes the exit code 1
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Warning)]
    fail_on: FailOn,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Namespace of objects that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
}

/// Which findings count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
}

impl FailOn {
    const fn severity(self) -> Severity {
        match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
            Self::Info => Severity::Info,
        }
    }
}

/// Exit codes: 0 nothing that counts, 1 something, 2 what cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(text) = &args.explain {
        emit(&explain(text)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = Sources::read(&args.filename, &args.namespace)?.lint();
    emit(&render::text(args.output, &report)?)?;
    let counts = report.open().any(|placed| placed.finding.code.severity() >= args.fail_on.severity());
    Ok(if counts { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn explain(text: &str) -> anyhow::Result<String> {
    let Some(code) = Code::find(text) else {
        bail!("no code \"{}\" is known; they go from TT0001 to {}, see docs/lint.md", text.escape_debug(), last());
    };
    Ok(format!(
        "{code} {}  {}\n\n{}\n\nCure: {}\n",
        code.name(),
        code.severity(),
        render::wrapped(code.cause(), 100),
        render::wrapped(code.cure(), 100)
    ))
}

fn last() -> &'static str {
    Code::ALL.last().map_or("TT0001", |code| code.number())
}
