//! How kube-apiserver is started: RBAC, tokens of service accounts, an audit log of every request, and no anonymous access but to health.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::certificates::KeyFiles;
use crate::ports::free_ports;
use crate::process::{Launch, ManagedProcess};

/// The issuer of service account tokens.
const ISSUER: &str = "https://kubernetes.default.svc";

/// Every request of others than the API server itself, without its body. A watch is logged when its answer starts and when it ends.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver"]}
- {level: Metadata}
"#;

const AUTHENTICATION: &str = r"
apiVersion: apiserver.config.k8s.io/v1beta1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions: [{path: /livez}, {path: /readyz}]
";

/// What a test of 1.33, the oldest supported Kubernetes, switches on besides: policies that change objects are new there.
const OLDEST_EXTRAS: &[&str] =
    &["--feature-gates=MutatingAdmissionPolicy=true", "--runtime-config=admissionregistration.k8s.io/v1alpha1=true"];

/// The version in which MutatingAdmissionPolicy is served, of the Kubernetes that `K8S` asks for, as `tools/build.sh` reads it.
#[must_use]
pub fn mutating_policies_version() -> &'static str {
    if is_oldest() { "admissionregistration.k8s.io/v1alpha1" } else { "admissionregistration.k8s.io/v1" }
}

fn is_oldest() -> bool {
    std::env::var_os("K8S").is_some_and(|version| version == "1.33")
}

/// The API server and what others need to reach it.
pub(crate) struct ApiServer {
    pub(crate) process: ManagedProcess,
    /// How it is started again, at the same port.
    pub(crate) launch: Launch,
    pub(crate) url: String,
    pub(crate) audit_log: PathBuf,
}

/// Starts kube-apiserver on a free port, with `arguments` besides those that it needs.
pub(crate) async fn start(tools: &Path, folder: &Path, etcd: &str, keys: &KeyFiles, arguments: &[&str]) -> Result<ApiServer> {
    let [port] = free_ports()?;
    let audit_policy = write(folder, "audit-policy.yaml", AUDIT_POLICY)?;
    let authentication = write(folder, "authentication.yaml", AUTHENTICATION)?;
    let audit_log = folder.join("audit.log");
    let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let launch = Launch::new(tools.join("kube-apiserver"), folder.join("kube-apiserver.log"))
        .arg(format!("--etcd-servers={etcd}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--secure-port={port}"))
        .arg(option("tls-cert-file", &keys.server_certificate))
        .arg(option("tls-private-key-file", &keys.server_key))
        .arg(option("client-ca-file", &keys.authority))
        .arg(format!("--service-account-issuer={ISSUER}"))
        .arg(option("service-account-signing-key-file", &keys.account_key))
        .arg(option("service-account-key-file", &keys.account_public_key))
        .arg("--authorization-mode=RBAC")
        .arg(option("authentication-config", &authentication))
        .arg(option("audit-policy-file", &audit_policy))
        // One file, however long it gets: what asks the log asks the whole of it. Megabytes.
        .arg(option("audit-log-path", &audit_log))
        .arg("--audit-log-maxsize=100000")
        .args(["--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none"])
        .args(if is_oldest() { OLDEST_EXTRAS } else { &[] })
        // A control plane for one machine and one hour: no compaction, no profiling.
        .args(["--etcd-compaction-interval=0", "--profiling=false"])
        .args(arguments);
    let process = launch.clone().start().await?;
    Ok(ApiServer { process, launch, url: format!("https://127.0.0.1:{port}"), audit_log })
}

fn write(folder: &Path, name: &str, content: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
