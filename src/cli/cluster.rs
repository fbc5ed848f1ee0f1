//! Which cluster the programs talk to.

use anyhow::{Context as _, anyhow};

use crate::controller;

/// The cluster that the surroundings name.
///
/// The library's errors aren't shown: they quote the lines of a kubeconfig that they can't read, tokens and all.
pub(super) async fn config() -> anyhow::Result<kube::Config> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    for path in std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()) {
        std::fs::File::open(&path).with_context(|| format!("KUBECONFIG names {}, which can't be read", path.display()))?;
    }
    kube::Config::infer().await.map_err(|_| {
        if named.is_empty() {
            anyhow!("no cluster is configured: run in a pod with a service account, or set KUBECONFIG to a kubeconfig file")
        } else {
            anyhow!(
                "the kubeconfig {} names no cluster and user that can be used: see what `kubectl config view` says of it",
                named.to_string_lossy()
            )
        }
    })
}

/// A client for that cluster. Without the environment's proxies, as the controller's.
pub(super) fn client(config: kube::Config) -> anyhow::Result<kube::Client> {
    // Without the library's own words, which may quote the kubeconfig.
    controller::client(config)
        .map_err(|_| anyhow!("the API server's client can't start: see the server, the certificates and the user in the kubeconfig"))
}

/// The API server's address, without a user that may stand in it.
pub(super) fn address(config: &kube::Config) -> String {
    let url = &config.cluster_url;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme_str().unwrap_or("https"), url.host().unwrap_or_default())
}
