//! The credentials Secrets: each watched by its name, metadata only, and read once for each change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};

use super::api::{ApiFailure, ApiServer, ReadSecret};
use super::registry::{ObjectName, Registry};
use super::secret_index::is_newer;
use super::watch::{WATCH_TIMEOUT_SECONDS, WatchLog, with_waits};
use super::watched::WatchedSecret;
use crate::clock::Clock;
use crate::lifecycle::{CredentialsView, SecretVersion, Signer};
use crate::media::Credentials;
use crate::telemetry::Metrics;
use crate::token::SigningKey;

/// Beyond so many, credentials are looked at every minute instead of watched: each watch is a connection.
const MOST_WATCHES: usize = 100;
const POLL_INTERVAL: Duration = Duration::from_mins(1);

/// Credentials that change during each of so many reads are left for the next attempt.
const MOST_READS: usize = 4;

/// The credentials Secrets that requests name.
pub struct CredentialsStore {
    client: Client,
    clock: Clock,
    server: ApiServer,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    slots: Mutex<BTreeMap<ObjectName, Arc<Slot>>>,
}

/// One credentials Secret.
#[derive(Default)]
struct Slot {
    known: Mutex<Option<Known>>,
    watched: Mutex<Watched>,
    reading: tokio::sync::Mutex<()>,
    /// How often reading has failed, and how the last time.
    failures: Mutex<(u64, Option<ApiFailure>)>,
    follower: Mutex<Option<tokio::task::AbortHandle>>,
}

/// What the watch shows.
#[derive(Default)]
struct Watched {
    /// How often it has shown something.
    changes: u64,
    /// The version that it showed last, while it shows one.
    version: Option<SecretVersion>,
}

#[derive(Clone)]
enum Known {
    Absent,
    Read { version: SecretVersion, credentials: Result<Usable, String> },
}

/// Credentials, and how they are seen.
#[derive(Clone)]
struct Usable {
    credentials: Arc<Credentials>,
    view: CredentialsView,
}

impl Usable {
    fn new(credentials: Credentials) -> Self {
        let key = SigningKey::of(&credentials).map(|key| key.tag());
        let signer = Signer { key, account_sid: credentials.account_sid().map(Arc::from) };
        let view = CredentialsView::Usable { lane: credentials.fingerprint(), signer };
        Self { credentials: Arc::new(credentials), view }
    }
}

impl CredentialsStore {
    /// A store that wakes the requests in `registry`.
    pub fn new(client: Client, server: ApiServer, clock: Clock, registry: Arc<Registry>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { server, client, clock, registry, metrics, slots: Mutex::default() })
    }

    /// What is known of the credentials.
    #[must_use]
    pub fn view(self: &Arc<Self>, name: &ObjectName) -> CredentialsView {
        match &*lock(&self.slot(name).known) {
            None => CredentialsView::NotRead,
            Some(Known::Absent) => CredentialsView::NotFound,
            Some(Known::Read { credentials: Ok(usable), .. }) => usable.view.clone(),
            Some(Known::Read { credentials: Err(why), .. }) => CredentialsView::Invalid(why.clone()),
        }
    }

    /// The credentials, if they can be used.
    #[must_use]
    pub fn usable(self: &Arc<Self>, name: &ObjectName) -> Option<Arc<Credentials>> {
        match &*lock(&self.slot(name).known) {
            Some(Known::Read { credentials: Ok(usable), .. }) => Some(usable.credentials.clone()),
            _ => None,
        }
    }

    /// Reads the credentials, unless another has just done so, or failed to. `limit`: how long the API server's answer may take.
    pub async fn read(self: &Arc<Self>, name: &ObjectName, limit: Duration) -> Result<(), ApiFailure> {
        let slot = self.slot(name);
        let failures_before = lock(&slot.failures).0;
        let _one_at_a_time = slot.reading.lock().await;
        if lock(&slot.known).is_some() {
            return Ok(());
        }
        if let (failures, Some(failure)) = &*lock(&slot.failures)
            && *failures != failures_before
        {
            return Err(failure.clone());
        }
        let read = self.read_alone(name, &slot, limit).await;
        if let Err(failure) = &read {
            let mut failures = lock(&slot.failures);
            *failures = (failures.0 + 1, Some(failure.clone()));
        }
        read
    }

    async fn read_alone(&self, name: &ObjectName, slot: &Slot, limit: Duration) -> Result<(), ApiFailure> {
        for _ in 0..MOST_READS {
            let before = lock(&slot.watched).changes;
            let known = self.get(name, limit).await?;
            // What the watch showed while the answer was on its way may be newer than the answer.
            let watched = lock(&slot.watched);
            let is_outdated = watched.changes != before
                && match (&known, &watched.version) {
                    (Known::Absent, there) => there.is_some(),
                    (Known::Read { .. }, None) => true,
                    (Known::Read { version, .. }, Some(there)) => is_newer(there.resource_version(), version.resource_version()),
                };
            if !is_outdated {
                *lock(&slot.known) = Some(known);
                break;
            }
        }
        Ok(())
    }

    async fn get(&self, name: &ObjectName, limit: Duration) -> Result<Known, ApiFailure> {
        match self.server.within(limit).read(&name.namespace, &name.name).await {
            Ok(ReadSecret { meta, data }) => {
                let get = |key: &str| data.get(key).map(secrecy::ExposeSecret::expose_secret);
                let credentials = Credentials::from_secret_data(get).map(Usable::new).map_err(|error| error.to_string());
                Ok(Known::Read { version: meta.version, credentials })
            }
            Err(ApiFailure::NotFound) => Ok(Known::Absent),
            Err(failure) => Err(failure),
        }
    }

    /// Stops following these credentials, unless a request names them.
    pub fn abandon(&self, name: &ObjectName) {
        if !self.registry.is_followed(name) {
            lock(&self.slots).remove(name);
        }
    }

    /// Stops following what no request names any more.
    pub fn sweep(&self) {
        lock(&self.slots).retain(|name, _| self.registry.is_followed(name));
    }

    fn slot(self: &Arc<Self>, name: &ObjectName) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(name) {
            return slot.clone();
        }
        let slot = Arc::new(Slot::default());
        let store = Arc::clone(self);
        let follower =
            if slots.len() < MOST_WATCHES { tokio::spawn(watch(store, name.clone())) } else { tokio::spawn(poll(store, name.clone())) };
        *lock(&slot.follower) = Some(follower.abort_handle());
        slots.insert(name.clone(), slot.clone());
        slot
    }

    /// Takes in the version that is there now (`None`: none is), and wakes who needs to know.
    fn seen(&self, name: &ObjectName, version: Option<&SecretVersion>) {
        let Some(slot) = lock(&self.slots).get(name).cloned() else { return };
        {
            let mut watched = lock(&slot.watched);
            watched.changes += 1;
            watched.version = version.cloned();
            let mut known = lock(&slot.known);
            let is_news = match (&*known, version) {
                (None, _) | (Some(Known::Absent), None) => false,
                (Some(Known::Absent), Some(_)) | (Some(Known::Read { .. }), None) => true,
                (Some(Known::Read { version: read, .. }), Some(there)) => {
                    read.uid() != there.uid() || is_newer(there.resource_version(), read.resource_version())
                }
            };
            if !is_news {
                return;
            }
            *known = if version.is_none() { Some(Known::Absent) } else { None };
        }
        self.registry.wake_followers(name);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(follower) = lock(&self.follower).take() {
            follower.abort();
        }
    }
}

async fn watch(store: Arc<CredentialsStore>, name: ObjectName) {
    let secrets: Api<WatchedSecret> = Api::namespaced(store.client.clone(), &name.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", name.name)).timeout(WATCH_TIMEOUT_SECONDS);
    let mut events = with_waits(watcher::watcher(secrets, config), store.clock).boxed();
    let mut listed = None;
    let mut log = WatchLog::new("credentials", Some(&name.namespace), store.clock);
    while let Some(event) = events.next().await {
        if matches!(event, Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_))) {
            log.works();
        }
        match event {
            Ok(Event::Apply(secret)) => store.seen(&name, Some(&secret.meta.version)),
            Ok(Event::Delete(_)) => store.seen(&name, None),
            Ok(Event::Init) => listed = None,
            Ok(Event::InitApply(secret)) => listed = Some(secret.meta.version),
            Ok(Event::InitDone) => store.seen(&name, listed.as_ref()),
            Err(error) => {
                store.metrics.watch_failed("credentials");
                log.failed(&error);
            }
        }
    }
}

async fn poll(store: Arc<CredentialsStore>, name: ObjectName) {
    let mut is_told = false;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        match store.server.look(&name.namespace, &name.name).await {
            Ok(meta) => store.seen(&name, Some(&meta.version)),
            Err(ApiFailure::NotFound) => store.seen(&name, None),
            Err(failure) => {
                // Once, until they can be looked at again. Of an API server that is in trouble one line tells for all.
                if failure.is_refusal() && !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(namespace = &*name.namespace, secret = &*name.name, "can't look at credentials: {}", failure.words());
                }
                continue;
            }
        }
        is_told = false;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
