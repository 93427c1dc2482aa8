//! `crds`: the definitions that a cluster needs before anything else.

mod apply;

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::select::{block_on, emit};
use crate::api::crds;

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Write one YAML file per definition into this directory, instead of printing them
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "output")]
    output_dir: Option<PathBuf>,
}

/// How definitions are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One document per definition.
    #[default]
    Yaml,
    /// One list.
    Json,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Bring the definitions of the cluster up to date, and wait until they are served
    Apply(apply::Args),
}

/// Prints, writes or applies the definitions.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(Action::Apply(args)) = &args.action {
        return block_on(async {
            let (client, _) = args.cluster.connect().await?;
            apply::run(args, client).await
        });
    }
    let definitions = crds::all();
    if let Some(directory) = &args.output_dir {
        fs::create_dir_all(directory).with_context(|| format!("creating directory \"{}\"", directory.display()))?;
        for definition in &definitions {
            let file = directory.join(crds::file_name(definition));
            fs::write(&file, crds::yaml(definition)?).with_context(|| format!("writing \"{}\"", file.display()))?;
        }
        return Ok(());
    }
    let documents: Vec<String> = definitions.iter().map(crds::yaml).collect::<Result<_, _>>()?;
    let text = match args.output {
        Format::Yaml => format!("---\n{}", documents.join("---\n")),
        Format::Json => {
            let read = |document: &String| serde_saphyr::from_str(document);
            let items: Vec<Value> =
                documents.iter().map(read).collect::<Result<_, _>>().context("reading our own YAML")?;
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            format!("{}\n", serde_json::to_string_pretty(&list).context("writing JSON")?)
        }
    };
    emit(&text)
}
