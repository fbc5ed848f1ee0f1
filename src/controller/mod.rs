//! The shell: watches in, decisions out: Media API calls, Secret and status writes.
//!
//! Per scope (one namespace, or all), kube's `Controller` wakes [`reconcile`] for a request: by its watch, by its Secrets' (through the
//! [`registry`]), by an answer from the Media API, or when time has come. A reconcile never waits for a call: it puts it into a lane, and the
//! answer wakes it again.

mod act;
mod answers;
pub mod api;
mod client;
mod contents;
mod credentials;
mod decoding;
mod events;
mod lane_log;
mod reach;
mod reconcile;
pub mod registry;
mod scope;
mod secret_index;
pub mod served;
mod signing;
mod sleep;
mod turns;
mod watch;
pub mod watched;
mod withhold;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

use self::api::ApiServer;
pub use self::client::client;
use self::credentials::CredentialsStore;
use self::events::Events;
use self::registry::{ObjectName, Registry};
use self::scope::Scope;
use self::secret_index::SecretIndex;
use self::turns::Turns;
use crate::clock::Clock;
use crate::media::dispatcher::{Dispatcher, IssueGrants};
use crate::media::lane::Caller;
use crate::telemetry::{Gates, Metrics};

/// Until the API server's answer begins. A watch's answer begins at once, so this bounds it too; it has no bound otherwise.
pub(super) const API_SERVER_LIMIT: Duration = Duration::from_secs(10);

/// A connection that is silent for so long is dead: the API server ends each watch before.
const SILENCE_LIMIT: Duration = Duration::from_secs(watch::WATCH_TIMEOUT_SECONDS as u64 + 10);

/// What reconciles share.
pub(super) struct Context {
    clock: Clock,
    server: ApiServer,
    registry: Arc<Registry>,
    secrets: SecretIndex,
    credentials: Arc<CredentialsStore>,
    dispatcher: Arc<Dispatcher>,
    metrics: Arc<Metrics>,
    events: Arc<Events>,
    status_turns: Turns,
    secret_turns: Turns,
    status_interval: Duration,
    gates: Arc<Gates>,
    stop: CancellationToken,
}

impl Context {
    /// Forgets a request, by its uid, with all that is kept for it alone.
    fn forget(&self, uid: Option<&str>) {
        let Some(caller) = uid.map(Caller::from) else { return };
        self.dispatcher.forget(&caller);
        self.abandon(self.registry.remove(&caller));
        self.forget_turns(&caller);
        self.metrics.forget(&caller);
    }

    /// This request has nothing to write.
    fn leave_turns(&self, scope: usize, caller: &Caller) {
        for turns in [&self.status_turns, &self.secret_turns] {
            turns.leave(scope, caller);
        }
    }

    fn forget_turns(&self, caller: &Caller) {
        for turns in [&self.status_turns, &self.secret_turns] {
            turns.forget(caller);
        }
    }

    /// Nobody is woken for these Secrets any more.
    fn abandon(&self, secrets: Vec<ObjectName>) {
        for secret in secrets {
            self.secrets.abandon(&secret);
            self.credentials.abandon(&secret);
        }
    }
}

/// What the controller is run with.
pub struct Controller {
    /// The API server.
    pub client: Client,
    /// The Media API.
    pub issuer: Arc<dyn IssueGrants>,
    /// The namespaces to serve; none: all.
    pub namespaces: Vec<String>,
    /// What time it is.
    pub clock: Clock,
    /// The most Media API calls in flight.
    pub max_in_flight: usize,
    /// Of requests that are refreshed more often, the status leaves out what each refresh changes.
    pub status_interval: Duration,
    /// What `/readyz` tells.
    pub gates: Arc<Gates>,
    /// What `/metrics` tells.
    pub metrics: Arc<Metrics>,
    /// When it is cancelled, no further step is begun. Those under way have ended once [`Gates::settled`] returns.
    pub stop: CancellationToken,
}

impl Controller {
    /// Serves requests for as long as it is polled. Ends only when one of its parts does, which none should.
    pub async fn run(self) {
        let Self { client, issuer, namespaces, clock, max_in_flight, status_interval, gates, metrics, stop } = self;
        let registry = Arc::new(Registry::default());
        let answers = answers::receiver(clock, registry.clone(), metrics.clone());
        let dispatcher = Dispatcher::new(issuer, clock, max_in_flight, answers);
        let lanes = Arc::downgrade(&dispatcher);
        metrics.lanes_are_told_by(move || lanes.upgrade().map(|dispatcher| dispatcher.figures()));
        let server = ApiServer::new(client.clone()).counted_by(metrics.clone(), clock);
        let credentials = CredentialsStore::new(client.clone(), server.clone(), clock, registry.clone(), metrics.clone());
        let events = Arc::new(Events::new(client.clone(), clock, metrics.clone()));
        let context = Arc::new(Context {
            clock,
            server,
            status_turns: Turns::new(turns::STATUSES, registry.clone()),
            secret_turns: Turns::new(turns::SECRETS, registry.clone()),
            status_interval,
            registry,
            secrets: SecretIndex::default(),
            credentials,
            dispatcher,
            metrics,
            events,
            gates: gates.clone(),
            stop,
        });
        // Each once, however often it is given.
        let namespaces: BTreeSet<Option<String>> = namespaces.into_iter().map(Some).collect();
        let scopes = if namespaces.is_empty() { BTreeSet::from([None]) } else { namespaces };
        gates.expect("secrets", scopes.len());
        gates.expect("requests", scopes.len());
        let mut parts = tokio::task::JoinSet::new();
        parts.spawn(context.dispatcher.clone().run());
        parts.spawn(sleep::watch(context.clone()));
        parts.spawn(context.events.clone().run());
        for (index, namespace) in scopes.into_iter().enumerate() {
            parts.spawn(Scope { index, namespace }.run(client.clone(), context.clone()));
        }
        parts.join_next().await;
    }
}
