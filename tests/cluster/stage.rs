//! The stage of a test of the controller: the simulator and the real program, acting as the shipped service account in one namespace.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use playback_grant_operator::api::{PlaybackGrantRequest, PlaybackGrantRequestStatus};
use playback_grant_operator::simulator::{Simulator, SimulatorConfig};
use playback_grant_testbed::{
    AuditQuery, AuditedRequest, ControlPlane, Launch, ManagedProcess, Stopwatch, service_account_user, start_on_free_port,
};
use serde_json::{Value, json};

use crate::harness::Scene;
use crate::leaks::planted;

/// The operator's namespace and account, as `deploy/manifests` names them.
pub const ACCOUNT: (&str, &str) = ("playback-grant-system", "playback-grant-operator");

/// How long a state may take that must come. It takes a second or so; a busy machine may need many times that.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How often a state is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long nothing must happen where nothing may. Whatever would happen takes milliseconds.
pub const A_WHILE: Duration = Duration::from_secs(3);

/// Everything, and by name what the operator otherwise keeps quieter; one of these it never lets speak.
pub const MOST_VERBOSE: &str = "trace,kube_runtime=trace,kube_runtime::watcher=trace,kube_client=trace,kube_client::client=trace";

/// The simulator, and the operator once it is started.
pub struct Stage {
    pub plane: Arc<ControlPlane>,
    pub admin: Client,
    pub namespace: String,
    pub simulator: Simulator,
    pub requests: Api<PlaybackGrantRequest>,
    pub secrets: Api<Secret>,
}

impl Stage {
    /// A simulator without faults, and credentials under the name `media-api`.
    pub async fn set(scene: &Scene) -> Result<Self> {
        let Scene { plane, admin, namespace } = scene.clone();
        let simulator = Simulator::start(SimulatorConfig::default()).await?;
        let requests = Api::namespaced(admin.clone(), &namespace);
        let secrets = Api::namespaced(admin.clone(), &namespace);
        let stage = Self { plane, admin, namespace, simulator, requests, secrets };
        stage.credentials("media-api", &api_key(1)).await?;
        Ok(stage)
    }

    /// Runs a test on a control plane of its own.
    pub async fn alone(test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let plane = ControlPlane::start().await?;
        crate::install(&plane).await?;
        Self::on(plane, test).await
    }

    /// Runs a test on that control plane, which is no other test's: it is stopped, and where the test fails its logs are kept.
    pub async fn on(plane: ControlPlane, test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        plane.create_namespace_named("web").await?;
        let stage = Self::set(&Scene { admin: plane.admin(), plane: Arc::new(plane), namespace: "web".to_owned() }).await?;
        let outcome = test(&stage).await;
        stage.plane.stop().await?;
        if outcome.is_err()
            && let Some(plane) = Arc::into_inner(stage.plane)
        {
            eprintln!("the logs are in {}", plane.keep_folder().display());
        }
        outcome
    }

    /// Starts the operator for the namespace.
    pub async fn operator(&self) -> Result<Operator> {
        self.operator_with(&["--namespace", &self.namespace]).await
    }

    /// Starts the operator with these arguments besides those that every test needs.
    pub async fn operator_with(&self, arguments: &[&str]) -> Result<Operator> {
        self.operator_at(self.plane.url(), arguments).await
    }

    /// The same, with the API server at `url`.
    pub async fn operator_at(&self, url: &str, arguments: &[&str]) -> Result<Operator> {
        let kubeconfig = self.plane.service_account_kubeconfig_at(url, ACCOUNT.0, ACCOUNT.1).await?;
        let url = self.simulator.base_url();
        let launch =
            Operator::launch(&self.plane, &self.namespace).env("KUBECONFIG", kubeconfig).args(["--media-api-url", &url]).args(arguments);
        Operator::start(launch).await
    }

    /// Makes the credentials Secret `name` what `data` says.
    pub async fn credentials(&self, name: &str, data: &Value) -> Result<()> {
        // Whatever was there is replaced: no key of it stays.
        self.delete_secret(name).await?;
        let secret: Secret = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data}))?;
        self.secrets.create(&PostParams::default(), &secret).await?;
        Ok(())
    }

    /// Deletes a Secret that may be there.
    pub async fn delete_secret(&self, name: &str) -> Result<()> {
        match self.secrets.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            deleted => deleted.map(drop).map_err(Into::into),
        }
    }

    /// Makes a request with `changes` to a spec of TTL 15 s for the PlayerStreamer `sid(n)`.
    pub async fn request(&self, name: &str, n: u32, changes: &Value) -> Result<PlaybackGrantRequest> {
        let mut spec = json!({"playerStreamerSid": sid(n), "credentialsSecretRef": {"name": "media-api"}});
        if let (Some(spec), Some(changes)) = (spec.as_object_mut(), changes.as_object()) {
            spec.extend(changes.clone());
        }
        let request = serde_json::from_value(json!({
            "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "metadata": {"name": name}, "spec": spec,
        }))?;
        Ok(self.requests.create(&PostParams::default(), &request).await?)
    }

    /// Makes a request, and waits until it is Ready.
    pub async fn ready_request(&self, name: &str, n: u32, changes: &Value) -> Result<PlaybackGrantRequest> {
        self.request(name, n, changes).await?;
        self.ready(name).await
    }

    /// Waits until the request is Ready, and as it should be besides.
    pub async fn ready(&self, name: &str) -> Result<PlaybackGrantRequest> {
        self.reaches(name, "Ready and nothing else", |request| conditions(request) == ["Ready=True GrantIssued"]).await
    }

    /// Waits until the request is as `is_there` says, and gives it.
    pub async fn reaches(&self, name: &str, what: &str, is_there: impl Fn(&PlaybackGrantRequest) -> bool) -> Result<PlaybackGrantRequest> {
        let get = async || Ok(self.requests.get_opt(name).await?);
        eventually(
            &format!("{name} is {what}"),
            get,
            |request| request.as_ref().is_some_and(&is_there),
            |request| request.as_ref().map(|request| (request.metadata.generation, request.status.clone())),
        )
        .await?
        .context("the request is gone")
    }

    /// Changes a request's spec.
    pub async fn change(&self, name: &str, spec: &Value) -> Result<PlaybackGrantRequest> {
        Ok(self.requests.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await?)
    }

    /// Annotates a request.
    pub async fn annotate(&self, name: &str, annotation: &str, value: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation: value}}}));
        self.requests.patch(name, &PatchParams::default(), &patch).await.map(drop).map_err(Into::into)
    }

    /// Waits until the Secret is as `is_there` says, and gives it. Its data is never shown.
    pub async fn holds(&self, name: &str, what: &str, is_there: impl Fn(&Secret) -> bool) -> Result<Secret> {
        let get = async || Ok(self.secrets.get_opt(name).await?);
        eventually(
            &format!("Secret {name} is {what}"),
            get,
            |secret| secret.as_ref().is_some_and(&is_there),
            |secret| {
                secret
                    .as_ref()
                    .map(|secret| (secret.metadata.clone(), secret.data.as_ref().map(|data| data.keys().cloned().collect::<Vec<_>>())))
            },
        )
        .await?
        .context("the Secret is gone")
    }

    /// How many calls for a grant of the PlayerStreamer `sid(n)` the simulator has received.
    pub fn calls(&self, n: u32) -> u64 {
        self.simulator.counters().streamers.get(&sid(n)).map_or(0, |counters| counters.received)
    }

    /// Switches a fault of the simulator on.
    pub fn fault(&self, fault: &str) -> Result<()> {
        self.simulator.add_fault(fault.parse().with_context(|| format!("the fault {fault}"))?);
        Ok(())
    }

    /// What the operator has asked of the API server in the namespace, watches, lists and Events aside, each as `verb resource/name`.
    pub async fn asked(&self, after: Option<&AuditedRequest>) -> Result<Vec<String>> {
        let asked = self.audited().await?;
        let start = after.map_or(0, |after| asked.iter().position(|request| request.audit_id == after.audit_id).map_or(0, |at| at + 1));
        let calls =
            asked.iter().skip(start).filter(|request| !matches!(request.verb.as_str(), "watch" | "list") && request.resource != "events");
        Ok(calls.map(described).collect())
    }

    /// The last that the operator has asked so far.
    pub async fn last_asked(&self) -> Result<Option<AuditedRequest>> {
        Ok(self.audited().await?.pop())
    }

    async fn audited(&self) -> Result<Vec<AuditedRequest>> {
        // An answer may be a moment ahead of its line in the log; a later request's line isn't.
        self.secrets.get_opt("nobody-has-this-name").await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let user = service_account_user(ACCOUNT.0, ACCOUNT.1);
        self.plane.audit_log().requests(&AuditQuery { user: Some(&user), namespace: Some(&self.namespace), ..AuditQuery::default() })
    }
}

/// A request of the audit log as `verb resource/name`, the subresource with the resource.
pub fn described(request: &AuditedRequest) -> String {
    let AuditedRequest { verb, resource, subresource, name, .. } = request;
    let resource = if subresource.is_empty() { resource.clone() } else { format!("{resource}.{subresource}") };
    format!("{verb} {resource}/{name}")
}

/// The running operator.
pub struct Operator {
    pub process: ManagedProcess,
    pub url: String,
}

impl Operator {
    /// The program at its most verbose, with a log of its own.
    pub fn launch(plane: &ControlPlane, name: &str) -> Launch {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let log = format!("operator-{name}-{}.log", STARTED.fetch_add(1, Ordering::Relaxed));
        Launch::new(env!("CARGO_BIN_EXE_playback-grant-operator"), plane.folder().join(log)).args([
            "controller",
            "--log-level",
            MOST_VERBOSE,
        ])
    }

    /// Starts it on a free port.
    pub async fn start(launch: Launch) -> Result<Self> {
        let (process, port) = start_on_free_port(|port| launch.clone().args(["--bind-address", &format!("127.0.0.1:{port}")])).await?;
        Ok(Self { process, url: format!("http://127.0.0.1:{port}") })
    }

    /// Ends it without a chance to tidy up.
    pub async fn kill9(self) -> Result<()> {
        self.process.kill9();
        self.process.wait_exited(PATIENCE).await.map(drop)
    }

    /// Its answer to a GET: status and text.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let answer = client.get(format!("{}{path}", self.url)).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// How many of its calls of the Media API have ended, by its own count.
    pub async fn media_calls(&self) -> Result<u64> {
        let (status, metrics) = self.get("/metrics").await?;
        ensure!(status == 200, "/metrics: {status}");
        let counters = metrics.lines().filter(|line| line.starts_with("playback_grant_media_api_requests_total{"));
        counters.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?)).sum()
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) -> Result<()> {
        let get = async || Ok(self.get("/readyz").await.map_or(0, |(status, _)| status));
        eventually("the operator is ready", get, |status| *status == 200, |status| *status).await.map(drop)
    }

    /// Everything that it has printed.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.process.log_path())?).into_owned())
    }
}

/// Waits until what `get` gives is as `is_there` says. After [`PATIENCE`] it fails, with what `shown` makes of the last.
pub async fn eventually<T, S: Debug>(
    what: &str,
    mut get: impl AsyncFnMut() -> Result<T>,
    is_there: impl Fn(&T) -> bool,
    shown: impl Fn(&T) -> S,
) -> Result<T> {
    let stopwatch = Stopwatch::start();
    loop {
        let found = get().await?;
        if is_there(&found) {
            return Ok(found);
        }
        if stopwatch.elapsed() > PATIENCE {
            bail!("never seen that {what}; last seen: {:?}", shown(&found));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The SID of a PlayerStreamer by its number.
pub fn sid(n: u32) -> String {
    format!("VJ{n:032x}")
}

/// An API key by its number. Its secret is planted: nothing of it may be found anywhere but in Secrets.
pub fn api_key(n: u32) -> Value {
    json!({"apiKeySid": key_sid(n), "apiKeySecret": planted(&format!("api-key-{n}"))})
}

/// The SID of an API key by its number.
pub fn key_sid(n: u32) -> String {
    format!("SK{n:032x}")
}

/// The status, which is empty before there is one.
pub fn status(request: &PlaybackGrantRequest) -> PlaybackGrantRequestStatus {
    request.status.clone().unwrap_or_default()
}

/// The conditions, each as `Type=Status Reason`, in the order of their types.
pub fn conditions(request: &PlaybackGrantRequest) -> Vec<String> {
    let mut shown: Vec<String> =
        status(request).conditions.iter().map(|found| format!("{}={} {}", found.type_, found.status, found.reason)).collect();
    shown.sort();
    shown
}

/// The message of the condition of that type; empty where there is none.
pub fn message(request: &PlaybackGrantRequest, type_: &str) -> String {
    status(request).conditions.into_iter().find(|found| found.type_ == type_).map(|found| found.message).unwrap_or_default()
}

/// Checks that a condition's message names each of `words`.
pub fn ensure_names(request: &PlaybackGrantRequest, type_: &str, words: &[&str]) -> Result<()> {
    let message = message(request, type_);
    let lacking: Vec<_> = words.iter().filter(|word| !message.contains(*word)).collect();
    ensure!(lacking.is_empty(), "{}: the message of {type_} lacks {lacking:?}: {message}", request.name_any());
    Ok(())
}

/// A key of a Secret, as text.
pub fn data(secret: &Secret, key: &str) -> Option<String> {
    secret.data.as_ref()?.get(key).and_then(|value| String::from_utf8(value.0.clone()).ok())
}

/// A Secret's uid and resourceVersion.
pub fn version(metadata: &ObjectMeta) -> (Option<String>, Option<String>) {
    (metadata.uid.clone(), metadata.resource_version.clone())
}
