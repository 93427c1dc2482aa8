//! Flags that every command shares with kubectl, and the client that follows from them.

use std::{env, io::Write as _, path::PathBuf};

use anyhow::Context as _;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// Which cluster and namespace.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Cluster {
    /// Namespace [default: that of the kubeconfig's context]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// File that describes clusters [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// How data are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs.
    Json,
    /// For programs, readable by people.
    Yaml,
}

impl Cluster {
    /// A client, and the namespace that the command is about.
    pub async fn connect(&self) -> anyhow::Result<(Client, String)> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match (&self.kubeconfig, &self.context) {
            (None, None) if env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
                Config::infer().await.context("finding the API server of this pod")?
            }
            (file, _) => {
                let kubeconfig = match file {
                    Some(file) => {
                        Kubeconfig::read_from(file).with_context(|| format!("reading \"{}\"", file.display()))?
                    }
                    // Its text names the file and the cause; a chain of causes would say both twice.
                    None => Kubeconfig::read().map_err(|error| {
                        anyhow::anyhow!("{error}; set KUBECONFIG or --kubeconfig to a file that works with kubectl")
                    })?,
                };
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .context("choosing a cluster from the kubeconfig")?
            }
        };
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok((Client::try_from(config).context("connecting to the API server")?, namespace))
    }
}

/// Runs `future` to its end on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?.block_on(future)
}

/// Prints `value` as JSON or YAML; `text` in the format for people.
pub fn print(output: Output, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let text = match output {
        Output::Text => text(),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(value).context("writing JSON")?),
        Output::Yaml => serde_saphyr::to_string(value).context("writing YAML")?,
    };
    emit(&text)
}

/// Writes to stdout.
pub fn emit(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // `trimtab status | head` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to stdout"),
    }
}

/// Says something to people, on stderr.
pub fn talk(text: impl std::fmt::Display) {
    // Without a stderr there is nobody to tell, and `eprintln!` would panic.
    let _ = writeln!(std::io::stderr(), "{text}");
}
