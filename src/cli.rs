//! The command line: `trimtab`, and `kubectl trimtab`.
//!
//! Each subcommand is one file: an `Args` that says what can be typed, and a `run` that does it. Data goes to stdout, talk
//! to stderr.

mod cluster;
mod crds;
mod explain;
mod operator;
mod plan;
mod render;
mod select;
mod status;
mod suspend;
mod uninstall;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps the performance of applications and the small numbers that steer it together.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true, max_term_width = 110)]
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
    /// Show how policies fare
    Status(status::Args),
    /// Show which policy governs which value of a workload
    Explain(explain::Args),
    /// Freeze the writes of a policy
    Suspend(suspend::Suspend),
    /// End a suspension, and take back what people changed by hand
    Resume(suspend::Resume),
    /// Print the version
    Version,
}

/// Runs the command line of the process under the name of `program`. Exit codes: 0 done, 1 failed, 2 not understood;
/// `plan` has its own.
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
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Crds(args) => crds::run(&args)?,
        Command::Operator(args) => operator::run(*args)?,
        Command::Uninstall(args) => cluster::run(async |client| uninstall::run(&args, client).await)?,
        Command::Plan(args) => {
            return Ok(plan::run(&args).unwrap_or_else(|error| {
                complain(&error);
                plan::FAILED.into()
            }));
        }
        Command::Status(args) => return status::run(&args),
        Command::Explain(args) => return explain::run(&args),
        Command::Suspend(args) => suspend::suspend(&args)?,
        Command::Resume(args) => suspend::resume(&args)?,
        Command::Version => println!("trimtab {}", env!("CARGO_PKG_VERSION")),
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
