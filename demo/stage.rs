//! Sets the stage: the control plane, the simulator, the operator as its own service account, and the sample.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use playback_grant_testbed::{ControlPlane, Launch, ManagedProcess, Stopwatch, start_on_free_port};

use crate::screen::Screen;
use crate::simulator::accept_only;

/// The namespace of the sample.
pub const NAMESPACE: &str = "default";

/// The operator's namespace and account, as `deploy/manifests` names them.
const SYSTEM_NAMESPACE: &str = "playback-grant-system";
const ACCOUNT: &str = "playback-grant-operator";

/// Everything that runs.
pub struct Stage {
    pub plane: ControlPlane,
    pub simulator: ManagedProcess,
    pub simulator_url: String,
    pub operator: ManagedProcess,
    pub operator_url: String,
}

impl Stage {
    /// Starts everything and applies the sample.
    pub async fn set(screen: &mut Screen) -> Result<Self> {
        let stopwatch = Stopwatch::start();
        let plane = ControlPlane::start().await?;
        screen.say(&format!("etcd and kube-apiserver ready after {:.1} s", stopwatch.elapsed().as_secs_f64()))?;
        let [crd, account, rights] =
            ["crds/playbackgrantrequests.yaml", "deploy/manifests/base/account.yaml", "deploy/manifests/base/cluster-role.yaml"]
                .map(in_project);
        plane.install(&[&crd, &account, &rights]).await?;

        let (simulator, port) = start_on_free_port(|port| simulator(&plane, port)).await?;
        let simulator_url = format!("http://127.0.0.1:{port}");
        let credentials = in_project("deploy/sample/credentials.yaml");
        accept_only(&simulator_url, &credentials).await?;
        screen.say(&format!("media-api-simulator at {simulator_url}"))?;

        let kubeconfig = plane.service_account_kubeconfig(SYSTEM_NAMESPACE, ACCOUNT).await?;
        let (operator, port) = start_on_free_port(|port| operator(&plane, &kubeconfig, &simulator_url, port)).await?;
        let operator_url = format!("http://127.0.0.1:{port}");
        screen.say(&format!("playback-grant-operator at {operator_url}, as the service account {SYSTEM_NAMESPACE}/{ACCOUNT}"))?;

        for path in [credentials, in_project("deploy/sample/requests.yaml")] {
            let yaml = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            plane.apply(&yaml, NAMESPACE).await?;
        }
        screen.say(&format!("deploy/sample applied to the namespace {NAMESPACE}, after {:.1} s", stopwatch.elapsed().as_secs_f64()))?;
        Ok(Self { plane, simulator, simulator_url, operator, operator_url })
    }

    /// Stops everything, the operator first, and returns once no process is left.
    pub async fn clear(self) -> Result<()> {
        let patience = Duration::from_secs(5);
        self.operator.terminate(patience).await?;
        self.simulator.terminate(patience).await?;
        self.plane.stop().await
    }
}

fn simulator(plane: &ControlPlane, port: u16) -> Launch {
    Launch::new(program("media-api-simulator"), plane.folder().join("media-api-simulator.log"))
        .args(["--listen", &format!("127.0.0.1:{port}")])
}

fn operator(plane: &ControlPlane, kubeconfig: &Path, media_api: &str, port: u16) -> Launch {
    Launch::new(program("playback-grant-operator"), plane.folder().join("playback-grant-operator.log"))
        .args(["controller", "--media-api-url", media_api, "--bind-address", &format!("127.0.0.1:{port}")])
        .env("KUBECONFIG", kubeconfig)
}

/// A program of this project: cargo puts it one folder above the examples.
pub fn program(name: &str) -> PathBuf {
    let examples = std::env::current_exe().unwrap_or_default();
    examples.ancestors().nth(2).unwrap_or(Path::new("")).join(name)
}

/// A file of this project.
pub fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
