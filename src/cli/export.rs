//! `export`: what follows from policies, for others to apply.

mod node_tuning;

use std::process::ExitCode;

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print what policies ask of the kernel and no pod can carry, as configuration of nodes
    NodeTuning(node_tuning::Args),
}

/// Prints what was asked for.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::NodeTuning(args) => node_tuning::run(args),
    }
}
