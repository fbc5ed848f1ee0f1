//! The control plane, the simulator, the operator as its own service account, many requests, and who observes them.

pub mod cast;
pub mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::simulator::{CallRecord, FaultId, Simulator, SimulatorConfig, TlsFiles};
use playback_grant_testbed::{ControlPlane, Gate, Launch, ManagedProcess, Tunnel, start_on_free_port, unix_millis};
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use self::cast::{Group, KEYS, Key};
use self::watch::{Held, Seen};

/// Where the requests are.
pub const NAMESPACE: &str = "default";
const ACCOUNT: (&str, &str) = ("playback-grant-system", "playback-grant-operator");

/// The requests of a group are made over the time of one interval; it is the same for all that are there from the start.
const SPREAD: Duration = Duration::from_secs(10);
const READY_WITHIN: Duration = Duration::from_secs(30);
/// So many are made at once of those that come together.
const AT_ONCE: usize = 8;

/// Where its processor time goes is told while it runs, by `kubectl get --raw /debug/pprof/profile`.
const API_SERVER: [&str; 1] = ["--profiling=true"];

/// What is reached by TLS through a proxy in a network namespace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Straight,
    ToMediaApi,
    ToApiServer,
}

/// Everything that runs.
pub struct Stage {
    pub plane: ControlPlane,
    pub gate: Gate,
    pub simulator: Simulator,
    pub tunnel: Option<Tunnel>,
    way: Way,
    pub cast: Vec<Group>,
    program: PathBuf,
    arguments: Vec<String>,
    operator: Option<ManagedProcess>,
    port: u16,
    kubeconfig: PathBuf,
    seen: Arc<Mutex<Seen>>,
    watching: Vec<AbortOnDropHandle<()>>,
}

impl Stage {
    /// Starts everything, with that operator and further arguments for it. Nobody is served yet.
    pub async fn raise(program: &Path, arguments: &[String], way: Way) -> Result<Self> {
        let plane = ControlPlane::start_with(&API_SERVER).await?;
        let parts = ["crds/playbackgrantrequests.yaml", "deploy/manifests/base/account.yaml", "deploy/manifests/base/cluster-role.yaml"];
        let parts = parts.map(|part| Path::new(env!("CARGO_MANIFEST_DIR")).join(part));
        plane.install(&parts.each_ref().map(PathBuf::as_path)).await?;
        let gate = Gate::open(plane.url()).await?;
        let to_api_server = (way == Way::ToApiServer).then(|| Tunnel::open(gate.address())).transpose()?;
        let url = to_api_server.as_ref().map_or_else(|| gate.url(), |tunnel| format!("https://{}", tunnel.entrance()));
        let kubeconfig = plane.service_account_kubeconfig_at(&url, ACCOUNT.0, ACCOUNT.1).await?;
        let (simulator, to_media_api) = media_api(plane.folder(), way).await?;
        let seen = Arc::<Mutex<Seen>>::default();
        let watching = AbortOnDropHandle::new(tokio::spawn(watch::secrets(plane.admin(), NAMESPACE, seen.clone())));
        let program = program.to_owned();
        let mut stage = Self {
            plane,
            gate,
            simulator,
            tunnel: to_api_server.or(to_media_api),
            way,
            cast: Vec::new(),
            program,
            arguments: arguments.to_vec(),
            operator: None,
            port: 0,
            kubeconfig,
            seen,
            watching: vec![watching],
        };
        stage.start_operator().await?;
        let secrets: Api<Secret> = Api::namespaced(stage.plane.admin(), NAMESPACE);
        for key in KEYS {
            secrets.create(&PostParams::default(), &serde_json::from_value(key.secret())?).await?;
        }
        // What comes before it watches comes to it all at once.
        stage.operator_is_ready().await?;
        Ok(stage)
    }

    /// Counts the writes of requests, too, from here on.
    pub fn count_writes(&mut self) {
        let requests = watch::requests(self.plane.admin(), NAMESPACE, self.seen.clone());
        self.watching.push(AbortOnDropHandle::new(tokio::spawn(requests)));
    }

    /// Makes the requests of these groups, spread out, and returns when they are made.
    pub async fn admit(&mut self, cast: &[Group]) -> Result<()> {
        self.cast.extend_from_slice(cast);
        futures::future::try_join_all(cast.iter().map(|group| self.arrive(group, SPREAD))).await?;
        Ok(())
    }

    /// Makes the requests of a group, spread over that time.
    async fn arrive(&self, group: &Group, over: Duration) -> Result<()> {
        let mut ticks = tokio::time::interval(over / group.count);
        // The API server may take its time over the first of a kind; those after it aren't to come all at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 1..=group.count {
            ticks.tick().await;
            self.make(group, n).await?;
        }
        Ok(())
    }

    /// Makes the requests of a group as fast as the API server takes them.
    pub async fn rush_in(&self, group: &Group) -> Result<()> {
        futures::stream::iter((1..=group.count).map(|n| self.make(group, n))).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn make(&self, group: &Group, n: u32) -> Result<()> {
        let requests: Api<PlaybackGrantRequest> = Api::namespaced(self.plane.admin(), NAMESPACE);
        requests.create(&PostParams::default(), &serde_json::from_value(group.request(n))?).await?;
        Ok(())
    }

    /// Waits until each of a group that has come just now holds a grant; fails where one doesn't within `patience`.
    pub async fn all_served(&self, group: &Group, patience: Duration) -> Result<()> {
        let served = || self.look(|seen| seen.held.keys().filter(|name| group.has(name)).count());
        let all = async {
            while served() < group.count as usize {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let within = tokio::time::timeout(patience, all).await;
        within.map_err(|_| anyhow!("{} of {} newcomers are served within {patience:?}", served(), group.count))
    }

    /// A client with the operator's rights.
    pub async fn writer(&self) -> Result<Writer> {
        let client = playback_grant_testbed::client_of(&self.kubeconfig).await?;
        Ok(Writer { secrets: Api::namespaced(client, NAMESPACE), name: self.cast[0].request_name(1) })
    }

    /// Starts the operator, and returns once it runs.
    pub async fn start_operator(&mut self) -> Result<()> {
        let log = self.plane.folder().join("operator.log");
        let launch = Launch::new(self.program.clone(), log).arg("controller").args(&self.arguments).env("KUBECONFIG", &self.kubeconfig);
        let launch = match self.tunnel.as_ref().filter(|_| self.way == Way::ToMediaApi) {
            None => launch.args(["--media-api-url", &self.simulator.base_url()]),
            Some(tunnel) => launch
                .args(["--media-api-url", &format!("https://{}", tunnel.entrance())])
                .arg("--media-api-ca-file")
                .arg(self.plane.folder().join("media-api.crt")),
        };
        let (operator, port) =
            start_on_free_port(|port: u16| launch.clone().args(["--bind-address", &format!("127.0.0.1:{port}")])).await?;
        (self.operator, self.port) = (Some(operator), port);
        Ok(())
    }

    async fn operator_is_ready(&self) -> Result<()> {
        let ready = async {
            while self.ask_operator("readyz").await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, ready).await.context("the operator isn't ready")
    }

    /// What the operator answers there; an error where that isn't a success.
    pub async fn ask_operator(&self, path: &str) -> Result<String> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.get(format!("http://127.0.0.1:{}/{path}", self.port)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// The operator that runs.
    pub fn operator(&self) -> Result<&ManagedProcess> {
        self.operator.as_ref().context("no operator runs")
    }

    /// Looks at what each Secret has held so far.
    pub fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the Secret of each that is given grants has been given one since then, and holds one that isn't expired.
    pub async fn all_fresh(&self, since: u64, patience: Duration) -> Result<()> {
        let began = unix_millis();
        let served: Vec<&Group> = self.cast.iter().filter(|group| group.is_served()).collect();
        let expected: u32 = served.iter().map(|group| group.count).sum();
        loop {
            let now = unix_millis();
            let is_fresh = |held: &[Held]| held.last().is_some_and(|held| held.seen >= since && held.expires > now);
            let is_served = |name: &str| served.iter().any(|group| group.has(name));
            let fresh = self.look(|seen| seen.held.iter().filter(|(name, held)| is_served(name) && is_fresh(held)).count());
            if fresh == expected as usize {
                return Ok(());
            }
            let waited = Duration::from_millis(now.saturating_sub(began));
            ensure!(waited < patience, "after {waited:?} {fresh} of {expected} Secrets hold an unexpired grant that came since");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The calls since then.
    pub fn calls_since(&self, since: u64) -> Vec<CallRecord> {
        let mut calls = self.simulator.calls();
        calls.retain(|call| call.at_unix_ms >= since);
        calls
    }

    /// Switches a fault of the Media API on.
    pub fn switch_on(&self, fault: &str) -> Result<FaultId> {
        Ok(self.simulator.add_fault(fault.parse()?))
    }

    /// Switches it off again, and gives how many calls it has struck.
    pub fn switch_off(&self, fault: FaultId) -> u64 {
        let hits = self.simulator.faults().iter().find(|report| report.id == fault).map_or(0, |report| report.hits);
        self.simulator.remove_fault(fault);
        hits
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

/// Tries what the operator does.
pub struct Writer {
    secrets: Api<Secret>,
    name: String,
}

impl Writer {
    /// Whether the API server would take a write of a Secret.
    pub async fn takes_a_write(&self) -> bool {
        let (try_out, nothing) = (PatchParams { dry_run: true, ..PatchParams::default() }, Patch::Merge(json!({})));
        let write = self.secrets.patch(&self.name, &try_out, &nothing);
        matches!(tokio::time::timeout(Duration::from_millis(100), write).await, Ok(Ok(_)))
    }
}

/// Starts the Media API, and the way to it.
async fn media_api(folder: &Path, way: Way) -> Result<(Simulator, Option<Tunnel>)> {
    let config = SimulatorConfig { credentials: Key::known(), remembered_calls: 100_000, ..SimulatorConfig::default() };
    if way != Way::ToMediaApi {
        return Ok((Simulator::start(config).await?, None));
    }
    // The certificate is for where the tunnel is entered, which leads to where the simulator will listen.
    let [port] = playback_grant_testbed::free_ports()?;
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let tunnel = Tunnel::open(listen)?;
    let identity = rcgen::generate_simple_self_signed([tunnel.entrance().ip().to_string()])?;
    let [certificate, key] = ["media-api.crt", "media-api.key"].map(|name| folder.join(name));
    std::fs::write(&certificate, identity.cert.pem())?;
    std::fs::write(&key, identity.signing_key.serialize_pem())?;
    let simulator = Simulator::start(SimulatorConfig { listen, tls: Some(TlsFiles { certificate, key }), ..config }).await?;
    Ok((simulator, Some(tunnel)))
}

/// What the operator says that it is.
pub fn version(program: &Path) -> Result<String> {
    let output = std::process::Command::new(program).arg("--version").output();
    let said = output.with_context(|| format!("running {}: build it first", program.display()))?.stdout;
    Ok(String::from_utf8(said)?.trim().to_owned())
}
