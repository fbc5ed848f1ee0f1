//! An API server, a Media API, credentials, requests, and operators, on time that passes when everybody waits.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::clock::{Clock, Shift};
use playback_grant_operator::controller::Controller;
use playback_grant_operator::telemetry::{Gates, Metrics};
use playback_grant_operator::time::Instant;
use playback_grant_testbed::InProcessApiServer;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::media_api::{MediaApi, key_sid, streamer};

const NAMESPACE: &str = "web";

/// The world while it lives.
pub struct World {
    pub server: InProcessApiServer,
    pub media: Arc<MediaApi>,
    pub clock: Clock,
    pub start: Instant,
    shift: &'static Shift,
    /// How long the machine has slept.
    slept: Cell<Duration>,
    /// What others than the operator go through: it has no troubles.
    others: Client,
}

/// An operator. It ends when this is dropped, as by a kill.
pub struct Operator {
    metrics: Arc<Metrics>,
    _running: AbortOnDropHandle<()>,
}

impl Operator {
    /// For how long Secrets have held expired grants, by its own count.
    pub fn counts_expired(&self) -> Duration {
        let metrics = self.metrics.encode();
        let told = metrics.lines().find_map(|line| line.strip_prefix("playback_grant_expired_seconds_total ")).unwrap();
        Duration::from_secs_f64(told.parse().unwrap())
    }
}

/// A world for as long as `story` goes on. `latency`: the Media API's.
pub fn live<T>(latency: Duration, story: impl AsyncFnOnce(&World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let shift: &'static Shift = Box::leak(Box::default());
        let (clock, server) = (Clock::simulated(shift), InProcessApiServer::default());
        let others = server.aside().client();
        let media = MediaApi::new(clock, latency);
        story(&World { media, others, server, clock, start: clock.instant(), shift, slept: Cell::default() }).await
    })
}

/// The name of the request of that number, and of its Secret.
pub fn name(n: usize) -> String {
    format!("request-{n}")
}

/// The name of the Secret with the credentials of that account.
pub fn credentials_name(account: usize) -> String {
    format!("media-{account}")
}

impl World {
    /// Starts an operator.
    pub fn operator(&self) -> Operator {
        let metrics = Arc::new(Metrics::new(self.clock, true));
        let controller = Controller {
            client: self.server.client(),
            issuer: self.media.clone(),
            namespaces: Vec::new(),
            clock: self.clock,
            max_in_flight: 512,
            status_interval: std::time::Duration::ZERO,
            gates: Arc::new(Gates::new(self.clock)),
            metrics: metrics.clone(),
            stop: CancellationToken::new(),
        };
        Operator { metrics, _running: AbortOnDropHandle::new(tokio::spawn(controller.run())) }
    }

    /// How much time has passed.
    pub fn now(&self) -> Duration {
        self.clock.instant().since(self.start)
    }

    /// How much of it the machine was awake.
    pub fn awake(&self) -> Duration {
        self.now().saturating_sub(self.slept.get())
    }

    /// The wall clock is set forward by so many seconds, or back.
    pub fn set_wall(&self, seconds: i64) {
        self.shift.set_wall(seconds);
    }

    /// The machine sleeps so many seconds: time passes, and nothing goes on.
    pub fn sleep(&self, seconds: u8) {
        self.shift.sleep(seconds.into());
        self.slept.set(self.slept.get() + Duration::from_secs(seconds.into()));
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.others.clone(), NAMESPACE)
    }

    pub fn requests(&self) -> Api<PlaybackGrantRequest> {
        self.requests_in(NAMESPACE)
    }

    pub fn requests_in(&self, namespace: &str) -> Api<PlaybackGrantRequest> {
        Api::namespaced(self.others.clone(), namespace)
    }

    /// Gives the account a Secret with its key of that number.
    pub async fn make_credentials(&self, account: usize, key: usize) {
        self.make_credentials_in(NAMESPACE, account, key).await;
    }

    /// The same in that namespace.
    pub async fn make_credentials_in(&self, namespace: &str, account: usize, key: usize) {
        let credentials: Secret = serde_json::from_value(json!({
            "metadata": {"name": credentials_name(account)},
            "stringData": {"apiKeySid": key_sid(account, key), "apiKeySecret": format!("secret-{key}")},
        }))
        .unwrap();
        Api::<Secret>::namespaced(self.others.clone(), namespace).create(&PostParams::default(), &credentials).await.unwrap();
    }

    /// Makes the request of that number.
    pub async fn make_request(&self, n: usize, spec: &Value) {
        self.make_request_in(NAMESPACE, n, spec).await;
    }

    /// The same in that namespace.
    pub async fn make_request_in(&self, namespace: &str, n: usize, spec: &Value) {
        let mut all = json!({"playerStreamerSid": streamer(n), "credentialsSecretRef": {"name": credentials_name(0)}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let request: PlaybackGrantRequest = serde_json::from_value(json!({
            "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "metadata": {"name": name(n)}, "spec": all,
        }))
        .unwrap();
        self.requests_in(namespace).create(&PostParams::default(), &request).await.unwrap();
    }

    /// Changes a Secret, if it is there. Returns whether it could.
    pub async fn change_secret(&self, name: &str, patch: &Value) -> bool {
        self.secrets().patch(name, &PatchParams::apply("others"), &Patch::Merge(patch)).await.is_ok()
    }

    /// Changes a request, if it is there. Returns whether it could.
    pub async fn change_request(&self, n: usize, patch: &Value) -> bool {
        self.requests().patch(&name(n), &PatchParams::default(), &Patch::Merge(patch)).await.is_ok()
    }
}
