//! The control plane, the simulator, the release binary as its own service account, and many requests.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::simulator::{CallOutcome, FaultId, Simulator, SimulatorConfig};
use playback_grant_testbed::{ControlPlane, Gate, Launch, ManagedProcess, start_on_free_port, unix_millis};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::watch::{self, Held, Seen};

const NAMESPACE: &str = "default";
const ACCOUNT: (&str, &str) = ("playback-grant-system", "playback-grant-operator");

/// The life of the grants, and how long it is from one refresh to the next at leisure.
const TTL_SECONDS: u32 = 15;
pub const INTERVAL_MILLIS: u64 = 10_000;

/// How many calls the Media API has had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    pub made: u64,
    pub throttled: u64,
}

impl Calls {
    pub const fn since(&self, before: &Self) -> Self {
        Self { made: self.made - before.made, throttled: self.throttled - before.throttled }
    }
}

/// Everything that runs.
pub struct Stage {
    pub plane: ControlPlane,
    pub gate: Gate,
    pub simulator: Simulator,
    operator: Option<ManagedProcess>,
    kubeconfig: PathBuf,
    seen: Arc<Mutex<Seen>>,
    requests: u32,
    _watching: AbortOnDropHandle<()>,
}

impl Stage {
    /// Starts everything, with so many requests of one account.
    pub async fn set(requests: u32) -> Result<Self> {
        crate::measure::self_test();
        let plane = ControlPlane::start().await?;
        let parts = ["crds/playbackgrantrequests.yaml", "deploy/manifests/base/account.yaml", "deploy/manifests/base/cluster-role.yaml"];
        let parts = parts.map(|part| Path::new(env!("CARGO_MANIFEST_DIR")).join(part));
        plane.install(&parts.each_ref().map(PathBuf::as_path)).await?;
        let gate = Gate::open(plane.url()).await?;
        let kubeconfig = plane.service_account_kubeconfig_at(&gate.url(), ACCOUNT.0, ACCOUNT.1).await?;
        let simulator = Simulator::start(SimulatorConfig::default()).await?;
        let seen = Arc::<Mutex<Seen>>::default();
        let watching = tokio::spawn(watch::follow(plane.admin(), NAMESPACE.to_owned(), seen.clone()));
        let mut stage =
            Self { plane, gate, simulator, operator: None, kubeconfig, seen, requests, _watching: AbortOnDropHandle::new(watching) };
        stage.start_operator().await?;
        stage.furnish().await?;
        Ok(stage)
    }

    /// Makes the requests over the time of one interval.
    async fn furnish(&self) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.plane.admin(), NAMESPACE);
        let credentials = json!({
            "metadata": {"name": "media-api"}, "stringData": {"apiKeySid": format!("SK{:032x}", 1), "apiKeySecret": "made up for this"},
        });
        secrets.create(&PostParams::default(), &serde_json::from_value(credentials)?).await?;
        let requests: Api<PlaybackGrantRequest> = Api::namespaced(self.plane.admin(), NAMESPACE);
        let mut ticks = tokio::time::interval(Duration::from_millis(INTERVAL_MILLIS) / self.requests);
        for n in 1..=self.requests {
            ticks.tick().await;
            let request = json!({
                "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "metadata": {"name": format!("request-{n}")},
                "spec": {
                    "playerStreamerSid": format!("VJ{n:032x}"), "ttlSeconds": TTL_SECONDS, "credentialsSecretRef": {"name": "media-api"},
                },
            });
            requests.create(&PostParams::default(), &serde_json::from_value(request)?).await?;
        }
        Ok(())
    }

    /// Starts the operator, and returns once it runs.
    pub async fn start_operator(&mut self) -> Result<()> {
        let (program, url) = (program()?, self.simulator.base_url());
        let log = self.plane.folder().join("operator.log");
        let launch = |port: u16| {
            Launch::new(program.clone(), log.clone())
                .args(["controller", "--media-api-url", &url, "--bind-address", &format!("127.0.0.1:{port}")])
                .env("KUBECONFIG", &self.kubeconfig)
        };
        let (operator, _) = start_on_free_port(launch).await?;
        self.operator = Some(operator);
        Ok(())
    }

    /// The operator that runs.
    pub fn operator(&self) -> Result<&ManagedProcess> {
        self.operator.as_ref().context("no operator runs")
    }

    /// What each Secret has held so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until each request's Secret holds a grant that isn't expired.
    pub async fn all_fresh(&self, patience: Duration) -> Result<()> {
        let began = unix_millis();
        loop {
            let (seen, now) = (self.seen(), unix_millis());
            let is_fresh = |held: &Vec<Held>| held.last().is_some_and(|held| held.expires > now);
            let fresh = seen.values().filter(|held| is_fresh(held)).count();
            if fresh == self.requests as usize {
                return Ok(());
            }
            let waited = Duration::from_millis(now.saturating_sub(began));
            ensure!(waited < patience, "after {waited:?} {fresh} of {} Secrets hold an unexpired grant", self.requests);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many calls there have been.
    pub fn calls(&self) -> Calls {
        let total = self.simulator.counters().total;
        Calls { made: total.received, throttled: total.rejected.get(&429).copied().unwrap_or_default() }
    }

    /// When the last call since then was answered by 429.
    pub fn last_throttled(&self, since: u64) -> Option<u64> {
        let calls = self.simulator.calls();
        let refused = calls.iter().filter(|call| call.at_unix_ms >= since && call.outcome == CallOutcome::Answered(429));
        refused.map(|call| call.at_unix_ms).max()
    }

    /// Switches a fault of the Media API on.
    pub fn switch_on(&self, fault: &str) -> Result<FaultId> {
        Ok(self.simulator.add_fault(fault.parse()?))
    }

    /// Stops everything, the operator first.
    pub async fn clear(self) -> Result<()> {
        if let Some(operator) = &self.operator {
            operator.terminate(Duration::from_secs(5)).await?;
        }
        self.simulator.stop().await;
        self.plane.stop().await
    }
}

/// What the operator says that it is.
pub fn version() -> Result<String> {
    let said = std::process::Command::new(program()?).arg("--version").output()?.stdout;
    Ok(String::from_utf8(said)?.trim().to_owned())
}

/// The operator as it is shipped: beside the folder of this program.
fn program() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let program = this.ancestors().nth(2).context("this program is in no folder")?.join("playback-grant-operator");
    ensure!(program.is_file(), "there is no {}: build it with cargo build --release --bins", program.display());
    Ok(program)
}
