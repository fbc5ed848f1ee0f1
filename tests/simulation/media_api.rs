//! The Media API of the simulation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use playback_grant_operator::clock::Clock;
use playback_grant_operator::media::dispatcher::IssueGrants;
use playback_grant_operator::media::{CallError, CallFailure, Credentials, Grant, GrantCall};
use playback_grant_operator::time::Instant;
use serde_json::json;

/// How long an answer takes.
pub const LATENCY: Duration = Duration::from_millis(20);

pub struct MediaApi {
    clock: Clock,
    start: Instant,
    refuses: AtomicBool,
    calls: AtomicUsize,
}

impl MediaApi {
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, start: clock.instant(), refuses: AtomicBool::new(false), calls: AtomicUsize::new(0) })
    }

    /// From now on nothing listens there, or something does.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn now(&self) -> Duration {
        self.clock.instant().since(self.start)
    }

    async fn answer(&self, call: GrantCall) -> Result<Grant, CallFailure> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.refuses.load(Ordering::Relaxed) {
            return Err(CallFailure::ConnectionRefused);
        }
        tokio::time::sleep(LATENCY / 2).await;
        // The life begins when the call is answered here. Only the observer reads this.
        let expires = self.now() + call.ttl.duration();
        tokio::time::sleep(LATENCY / 2).await;
        let grant = json!({"expires": u64::try_from(expires.as_millis()).unwrap()});
        Ok(Grant::from_stored(&grant.to_string(), None).unwrap())
    }
}

impl IssueGrants for MediaApi {
    fn issue(&self, call: GrantCall, _: Arc<Credentials>) -> BoxFuture<'_, Result<Grant, CallError>> {
        self.answer(call).map(|answer| answer.map_err(|failure| CallError { origin: "the Media API".into(), failure })).boxed()
    }
}
