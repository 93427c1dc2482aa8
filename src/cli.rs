//! The command line: `trimtab`, and `kubectl trimtab`.
//!
//! Each subcommand is one file: an `Args` that says what can be typed, and a `run` that does it. Data goes to stdout, talk
//! to stderr.

mod cluster;
mod crds;
mod explain;
mod export;
mod files;
mod history;
mod lint;
mod operator;
mod plan;
mod readings;
mod render;
mod replay;
mod report;
mod rollback;
mod select;
mod status;
mod suspend;
mod uninstall;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code of whatever went wrong, and of what was not understood: 1 is an answer and no error, as with `kubectl diff`.
const FAILED: u8 = 2;

/// Keeps the performance of applications and the small numbers that steer it together.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done, 2 an error; plan, lint, status, explain, replay and export answer with 1, too: see their help"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CRDs, write them to files, or apply them to the cluster
    Crds(crds::Args),
    /// Run the operator until it is told to stop
    Operator(Box<operator::Args>),
    /// Prepare the cluster for the removal of the operator; the chart does this by itself
    Uninstall(uninstall::Args),
    /// Show what would be written, and why; offline from files, or against a cluster
    Plan(plan::Args),
    /// Find mistakes in files: contradictions, wrong units, numbers that cannot hold
    Lint(lint::Args),
    /// Show how policies fare
    Status(status::Args),
    /// Show which policy governs which value of a workload
    Explain(explain::Args),
    /// Show what a policy has changed, why, and what came of it
    History(history::Args),
    /// Pin the values of a policy to what they were at a revision
    Rollback(rollback::Args),
    /// Report how policies stand, or compare two measurements
    Report(Box<report::Args>),
    /// Run policies over the history of their metrics, and say what would have happened
    Replay(Box<replay::Args>),
    /// Print files for others that follow from policies
    Export(export::Args),
    /// Freeze the writes of a policy
    Suspend(suspend::Suspend),
    /// End a suspension, and take back what people changed by hand; or end a rollback
    Resume(suspend::Resume),
    /// Print the version
    Version,
}

/// Runs the command line of the process under the name of `program`. Exit codes: 0 done, 2 failed or not understood; `plan`,
/// `lint`, `status`, `explain`, `replay` and `export` answer with 1.
#[must_use]
pub fn main(program: &'static str) -> ExitCode {
    crate::shell::tls::install_provider();
    let command = <Cli as clap::CommandFactory>::command().name(program).bin_name(program);
    let parsed =
        command.try_get_matches().and_then(|matches| <Cli as clap::FromArgMatches>::from_arg_matches(&matches));
    let result = match parsed {
        Ok(cli) => run(cli.command),
        Err(error) => {
            // Help is no failure; clap knows, and prints each where it belongs.
            let code = u8::try_from(error.exit_code()).unwrap_or(FAILED);
            return match error.print() {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(FAILED),
                _ => ExitCode::from(code),
            };
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            select::talk(format_args!("error: {}", told(&error)));
            ExitCode::from(FAILED)
        }
    }
}

/// An error with its causes, outermost first. What the API server says is told in its own words.
fn told(error: &anyhow::Error) -> String {
    let mut causes = Vec::new();
    for cause in error.chain() {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref() {
            causes.push(status.message.clone());
            break;
        }
        causes.push(cause.to_string());
    }
    causes.join(": ")
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Crds(args) => crds::run(&args)?,
        Command::Operator(args) => operator::run(*args)?,
        Command::Uninstall(args) => cluster::run(async |client| uninstall::run(&args, client).await)?,
        Command::Plan(args) => return plan::run(&args),
        Command::Lint(args) => return lint::run(&args),
        Command::Status(args) => return status::run(&args),
        Command::Explain(args) => return explain::run(&args),
        Command::History(args) => history::run(&args)?,
        Command::Rollback(args) => rollback::run(&args)?,
        Command::Report(args) => report::run(&args)?,
        Command::Replay(args) => return replay::run(&args),
        Command::Export(args) => return export::run(&args),
        Command::Suspend(args) => suspend::suspend(&args)?,
        Command::Resume(args) => suspend::resume(&args)?,
        Command::Version => select::emit(concat!("trimtab ", env!("CARGO_PKG_VERSION"), "\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
