//! An API server, a Media API, requests, and operators.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::clock::{Clock, Shift};
use playback_grant_operator::controller::Controller;
use playback_grant_operator::telemetry::{Gates, Metrics};
use playback_grant_operator::time::Instant;
use playback_grant_testbed::InProcessApiServer;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::media_api::MediaApi;
use crate::observer::{Held, Ledger, observe};

/// The world while it lives.
pub struct World {
    pub server: InProcessApiServer,
    pub media: Arc<MediaApi>,
    clock: Clock,
    start: Instant,
    ledger: Arc<Mutex<Ledger>>,
    _observer: AbortOnDropHandle<()>,
}

/// An operator. It ends when this is dropped, as by a kill.
pub struct Operator(#[expect(dead_code, reason = "it lives as long as this")] AbortOnDropHandle<()>);

/// A world with so many requests, of grants that live `ttl` seconds, for as long as `story` goes on: time passes when everybody waits.
pub fn live(requests: u32, ttl: u32, story: impl AsyncFnOnce(&World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let shift: &'static Shift = Box::leak(Box::default());
        let (clock, server) = (Clock::simulated(shift), InProcessApiServer::default());
        furnish(&server, requests, ttl).await;
        let (start, ledger) = (clock.instant(), Arc::<Mutex<Ledger>>::default());
        let observer = AbortOnDropHandle::new(tokio::spawn(observe(server.client(), clock, start, ledger.clone())));
        story(&World { media: MediaApi::new(clock), server, clock, start, ledger, _observer: observer }).await;
    });
}

async fn furnish(server: &InProcessApiServer, requests: u32, ttl: u32) {
    let (client, params) = (server.client(), PostParams::default());
    let credentials: Secret = serde_json::from_value(json!({
        "metadata": {"name": "media-api"}, "stringData": {"apiKeySid": format!("SK{:032x}", 1), "apiKeySecret": "secret"},
    }))
    .unwrap();
    Api::namespaced(client.clone(), "web").create(&params, &credentials).await.unwrap();
    let api: Api<PlaybackGrantRequest> = Api::namespaced(client, "web");
    for n in 0..requests {
        let request = serde_json::from_value(json!({
            "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "metadata": {"name": format!("request-{n}")},
            "spec": {"playerStreamerSid": format!("VJ{n:032x}"), "ttlSeconds": ttl, "credentialsSecretRef": {"name": "media-api"}},
        }))
        .unwrap();
        api.create(&params, &request).await.unwrap();
    }
}

impl World {
    /// Starts an operator.
    pub fn operator(&self) -> Operator {
        let controller = Controller {
            client: self.server.client(),
            issuer: self.media.clone(),
            namespaces: Vec::new(),
            clock: self.clock,
            max_in_flight: 512,
            gates: Arc::new(Gates::new(self.clock)),
            metrics: Arc::new(Metrics::default()),
            stop: CancellationToken::new(),
        };
        Operator(AbortOnDropHandle::new(tokio::spawn(controller.run())))
    }

    /// How much time has passed.
    pub fn now(&self) -> Duration {
        self.clock.instant().since(self.start)
    }

    /// What each Secret held so far.
    pub fn held(&self) -> BTreeMap<String, Held> {
        self.ledger.lock().unwrap().settle(self.now()).clone()
    }

    /// Checks that no Secret has held an expired grant for longer than until `until`, and a second more; `before` is what they held when
    /// grants became impossible to get or to write.
    pub fn ensure_no_more_than_forced(&self, before: &BTreeMap<String, Held>, until: Duration) {
        let held = self.held();
        assert_eq!(held.len(), before.len());
        for (name, held) in held {
            let forced = until.saturating_sub(before[&name].expiry);
            let expired = held.expired.saturating_sub(before[&name].expired);
            assert!(
                expired <= forced + Duration::from_secs(1),
                "{name} held an expired grant for {expired:?}, of which {forced:?} were forced"
            );
        }
    }
}
