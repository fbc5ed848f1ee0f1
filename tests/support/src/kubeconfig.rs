//! Kubeconfig files.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::certificates::Identity;

/// How a user proves itself to the API server.
pub(crate) enum Proof<'a> {
    Certificate(&'a Identity),
    Token(&'a str),
}

/// Writes a kubeconfig that only this user can read.
pub(crate) fn write(path: &Path, server: &str, authority: &str, proof: &Proof<'_>, namespace: &str) -> Result<()> {
    let user: Value = match proof {
        Proof::Certificate(identity) => json!({
            "client-certificate-data": base64(&identity.certificate),
            "client-key-data": base64(&identity.key),
        }),
        Proof::Token(token) => json!({"token": token}),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        // It may be reached by another address than its own.
        "clusters": [{"name": "testbed", "cluster": {
            "server": server, "tls-server-name": "localhost", "certificate-authority-data": base64(authority),
        }}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user", "namespace": namespace}}],
        "current-context": "testbed",
    });
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("writing {}", path.display()))?;
    // JSON is YAML.
    file.write_all(&serde_json::to_vec_pretty(&config)?).with_context(|| format!("writing {}", path.display()))
}

/// A client that acts as the user of the kubeconfig at `path`.
///
/// # Errors
/// When that can't be read.
pub async fn client(path: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // A test wants the answer, not the fourth one after it.
    config.default_retry = false;
    // The control plane is on loopback, whatever proxies there are.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

/// Kubernetes' own base64 in JSON.
fn base64(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}
