//! `crds`: the definitions that a cluster needs before anything else.

mod apply;

use std::{fs, io::Write as _, path::PathBuf};

use anyhow::Context as _;

use super::cluster;
use crate::api::crds;

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Write one file per definition into this directory, instead of printing them
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Bring the definitions of the cluster up to date, and wait until they are served
    Apply(apply::Args),
}

/// Prints, writes or applies the definitions.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(Action::Apply(args)) = &args.action {
        return cluster::run(async |client| apply::run(args, client).await);
    }
    if let Some(directory) = &args.output {
        fs::create_dir_all(directory).with_context(|| format!("creating directory \"{}\"", directory.display()))?;
    }
    for definition in crds::all() {
        let text = crds::yaml(&definition)?;
        match &args.output {
            Some(directory) => {
                let file = directory.join(crds::file_name(&definition));
                fs::write(&file, text).with_context(|| format!("writing \"{}\"", file.display()))?;
            }
            None => write!(std::io::stdout(), "---\n{text}").context("writing to stdout")?,
        }
    }
    Ok(())
}
