//! How kube-controller-manager is started: what is under test is deletion (the garbage collector, the end of namespaces) and roles that others add to.

use std::path::Path;

use anyhow::Result;

use crate::certificates::Authority;
use crate::kubeconfig::{self, Proof};
use crate::process::{Launch, ManagedProcess};

/// The controllers that delete, dependents of what is gone, and what is left in a namespace that goes; and the one that adds up roles.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller";

/// Starts kube-controller-manager against the API server at `server`.
pub(crate) async fn start(tools: &Path, folder: &Path, server: &str, authority: &Authority) -> Result<ManagedProcess> {
    let identity = authority.client("system:kube-controller-manager", None)?;
    let kubeconfig = folder.join("kube-controller-manager.kubeconfig");
    kubeconfig::write(&kubeconfig, server, &authority.certificate(), &Proof::Certificate(&identity), "default")?;
    Launch::new(tools.join("kube-controller-manager"), folder.join("kube-controller-manager.log"))
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .arg(format!("--controllers={CONTROLLERS}"))
        // It serves nobody, and there is no other to take turns with.
        .args(["--secure-port=0", "--leader-elect=false", "--concurrent-gc-syncs=5", "--use-service-account-credentials=true"])
        .start()
        .await
}
