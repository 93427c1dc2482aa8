//! Grace, the example application: a small server with the knobs of the Grace guide, which stands
//! for a real application in the demo and in the tests of Trimtab.
//!
//! It pre-forks worker processes, each with its own connection pool and caches, and shows what it
//! does in Prometheus metrics. `serve` is the server, `load` a load generator, and `database` the
//! stand-in for a database as a process of its own.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};

mod api;
mod app;
mod cache;
mod control;
mod database;
mod load;
mod loops;
mod master;
mod metrics;
mod pool;
mod process;
mod settings;
mod worker;

#[derive(Parser)]
#[command(
    name = "grace-app",
    version,
    about = "The example application of Trimtab",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: master::ServeOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests (what happens without a subcommand, too)
    Serve(master::ServeOptions),
    /// Send requests to a server and sum up how it answered
    Load(load::LoadOptions),
    /// Run the stand-in database as a process of its own
    Database(database::standin::DatabaseOptions),
    /// One process of `serve`
    #[command(hide = true)]
    Worker,
}

fn main() -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Standard output carries data: of `load` its summary, of a worker the line to its master.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let Cli { command, serve } = Cli::parse();
    // One thread per process, as in the servers that this one stands for: more cores are used by
    // more processes.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start the runtime")?;
    let success = runtime.block_on(async {
        match command.unwrap_or(Command::Serve(serve)) {
            Command::Serve(options) => master::serve(options).await,
            Command::Load(options) => load::run(options).await,
            Command::Database(options) => database::standin::run(options).await.map(|()| true),
            Command::Worker => worker::run().await.map(|()| true),
        }
    })?;
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
