//! Logs on stderr.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Libraries whose warnings say once more what the shell already says, with the object it concerns.
const QUIET: [&str; 2] = ["kube_runtime=error", "kube_client=error"];

/// Shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line, for machines.
    #[default]
    Json,
}

/// Sends logs of at least `level` to stderr. `level` is a word such as `info`, or the directives of `RUST_LOG`, such as
/// `info,trimtab=debug`.
///
/// # Errors
/// When `level` is not understood, or logging was set up before.
pub fn init(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("setting up logs: {error}"))
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    // The quiet ones come first, so that a level that is said for one of them wins.
    let directives: Vec<&str> = QUIET.into_iter().chain([level]).collect();
    EnvFilter::try_new(directives.join(",")).with_context(|| {
        format!("reading the log level {level:?}; give a word such as `info`, or `info,trimtab=debug`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_or_directives() {
        assert!(filter("info").is_ok());
        assert!(filter("info,trimtab=debug,kube_client=trace").is_ok());
        assert!(filter("trimtab=loud").is_err());
    }
}
