//! How commands reach a cluster.

use anyhow::Context as _;
use kube::{Client, Config};

/// Runs `work` against the cluster of the service account, or else of the kubeconfig.
pub fn run<T>(work: impl AsyncFnOnce(Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let config =
            Config::infer().await.context("finding an API server; set KUBECONFIG to a file that works with kubectl")?;
        let client = Client::try_from(config).context("preparing the connection to the API server")?;
        work(client).await
    })
}
