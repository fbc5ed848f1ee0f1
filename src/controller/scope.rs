//! One scope, that is one namespace or all of them: its watches, and kube's `Controller` over them.
//!
//! Each scope has watches and a back-off of its own, so that a namespace whose Role is missing slows no other. A watch's errors are logged
//! and kept out of the controller's triggers, since its back-off wraps all of them together.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, Stream, StreamExt as _};
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{Controller, WatchStreamExt as _};
use kube::{Api, Client, Resource as _};
use tokio::sync::{mpsc, oneshot};

use super::Context;
use super::decoding::decoded;
use super::reconcile::reconcile;
use super::registry::{ObjectName, Trigger, name_of};
use super::secret_index::owner;
use super::served::ServedRequest;
use super::watch::{WATCH_TIMEOUT_SECONDS, WatchLog, is_forbidden, with_waits};
use super::watched::{WatchedRequest, WatchedSecret};
use crate::api::names::{MANAGED_BY, MANAGED_BY_LABEL};

/// Each reconcile in flight is polled at each wake of the controller, so that many at once cost more than they gain.
pub(super) const CONCURRENCY: u16 = 32;

/// A reconcile that panicked is tried again after this.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// One namespace, or all of them.
pub(super) struct Scope {
    /// Which of the operator's scopes it is.
    pub(super) index: usize,
    /// The namespace; `None`: all.
    pub(super) namespace: Option<String>,
}

impl Scope {
    /// Serves the scope for as long as it is polled.
    pub(super) async fn run(self, client: Client, context: Arc<Context>) {
        let scope = Arc::new(self);
        let (trigger, triggers) = mpsc::unbounded_channel();
        let (secrets_listed, listed) = oneshot::channel();
        let secrets = scope.clone().follow_secrets(client.clone(), context.clone(), secrets_listed);
        let requests = async {
            // Before the Secrets are listed, every request would seem to have none.
            if listed.await.is_ok() {
                scope.clone().serve_requests(client, context, trigger, triggers).await;
            }
        };
        tokio::join!(secrets, requests);
    }

    fn api<K>(&self, client: Client) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }

    async fn follow_secrets(self: Arc<Self>, client: Client, context: Arc<Context>, listed: oneshot::Sender<()>) {
        let config = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}")).timeout(WATCH_TIMEOUT_SECONDS);
        let mut events = with_waits(watcher::watcher(self.api::<WatchedSecret>(client), config), context.clock).boxed();
        let mut listed = Some(listed);
        let mut listing = BTreeSet::new();
        let mut log = WatchLog::new("secrets", self.namespace.as_deref(), context.clock);
        while let Some(event) = events.next().await {
            if matches!(event, Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_))) && log.works() {
                let now = context.clock.instant();
                context.registry.wake_scope(self.index, |memory| memory.relieved(now));
            }
            match event {
                Ok(Event::Init) => listing.clear(),
                Ok(Event::InitApply(secret)) => {
                    listing.insert(secret.name());
                    take_in(&context, secret);
                }
                Ok(Event::InitDone) => {
                    for gone in context.secrets.sweep(self.namespace.as_deref(), &listing) {
                        context.registry.tell_followers(&gone, context.clock.instant());
                    }
                    listing.clear();
                    context.gates.open("secrets", self.index);
                    if let Some(listed) = listed.take() {
                        // The other side is gone only while the process ends.
                        let _ = listed.send(());
                    }
                }
                Ok(Event::Apply(secret)) => take_in(&context, secret),
                Ok(Event::Delete(secret)) => {
                    let name = secret.name();
                    if context.secrets.vanished(&name.namespace, &secret.meta) {
                        context.registry.tell_followers(&name, context.clock.instant());
                    }
                    if !context.registry.is_followed(&name) {
                        context.secrets.abandon(&name);
                    }
                }
                Err(error) => {
                    if is_forbidden(&error) {
                        // The requests aren't even listed before the Secrets are.
                        context.gates.excuse("secrets", self.index);
                        context.gates.excuse("requests", self.index);
                    }
                    context.metrics.watch_failed("secrets");
                    log.failed(&error);
                }
            }
        }
    }

    async fn serve_requests(
        self: Arc<Self>,
        client: Client,
        context: Arc<Context>,
        trigger: Trigger,
        triggers: mpsc::UnboundedReceiver<ObjectRef<ServedRequest>>,
    ) {
        let (reader, writer) = reflector::store();
        let requests = self.clone().follow_requests(client, context.clone(), trigger.clone());
        let news = requests.reflect(writer).filter(|event| {
            // The status that the operator has just written is no news to whoever wrote it.
            let is_echo = matches!(event, Ok(Event::Apply(request)) if request.is_read());
            futures::future::ready(!is_echo)
        });
        let triggers = futures::stream::unfold(triggers, async |mut triggers| triggers.recv().await.map(|woken| (woken, triggers)));
        let store = reader.clone();
        let controller = Controller::for_stream(news.touched_objects(), reader)
            .reconcile_on(triggers)
            .with_config(Config::default().concurrency(CONCURRENCY));
        let run = controller.run(
            move |object, context| {
                let (trigger, scope, store) = (trigger.clone(), self.index, store.clone());
                async move {
                    let _under_way = context.gates.reconciling();
                    let reference = ObjectRef::from_obj(&*object);
                    let uid = object.meta().uid.clone();
                    let is_gone = || store.get(&reference).is_none_or(|stored| stored.meta().uid != uid);
                    // It was forgotten since it was taken from the store, and its status with it.
                    if is_gone() {
                        return Ok::<_, std::convert::Infallible>(Action::await_change());
                    }
                    let action = AssertUnwindSafe(reconcile(object, scope, &trigger, &context)).catch_unwind().await;
                    // A request that went meanwhile may have been entered again just after the watch took it out, and have asked for credentials.
                    if is_gone() {
                        context.forget(uid.as_deref());
                        context.credentials.sweep();
                    }
                    Ok(action.unwrap_or_else(|_| {
                        // What it was woken for is for the next.
                        if let Some(uid) = uid.as_deref() {
                            context.leave_turns(scope, &uid.into());
                        }
                        tracing::error!(request = %reference, "a reconcile panicked: this is a bug. It is tried again in 10 s");
                        Action::requeue(AFTER_PANIC)
                    }))
                }
            },
            |_, error, _| match *error {},
            context,
        );
        run.for_each(async |outcome| {
            if let Err(error) = outcome
                && !matches!(error, kube::runtime::controller::Error::ObjectNotFound(_))
            {
                tracing::warn!("the controller reports: {error}");
            }
        })
        .await;
    }

    /// The watch of the requests, without its errors and without objects that can't be decoded.
    fn follow_requests(
        self: Arc<Self>,
        client: Client,
        context: Arc<Context>,
        trigger: Trigger,
    ) -> impl Stream<Item = Result<Event<ServedRequest>, watcher::Error>> + Send + 'static {
        let api: Api<WatchedRequest> = self.api(client);
        let events = with_waits(watcher::watcher(api, watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS)), context.clock);
        let mut listing = Listing::default();
        let mut log = WatchLog::new("requests", self.namespace.as_deref(), context.clock);
        events.filter_map(move |event| {
            let event = match event {
                Ok(event) => {
                    if !matches!(event, Event::Init | Event::InitApply(_)) {
                        log.works();
                    }
                    self.sweep(&event, &mut listing, &context, &trigger);
                    decoded(event, &context).map(Ok)
                }
                Err(error) => {
                    if is_forbidden(&error) {
                        context.gates.excuse("requests", self.index);
                    }
                    context.metrics.watch_failed("requests");
                    log.failed(&error);
                    None
                }
            };
            futures::future::ready(event)
        })
    }

    /// Forgets what is gone.
    fn sweep(&self, event: &Event<WatchedRequest>, listing: &mut Listing, context: &Context, trigger: &Trigger) {
        match event {
            Event::Init => *listing = Listing::default(),
            Event::InitApply(WatchedRequest(Ok(request))) => {
                listing.uids.extend(request.metadata.uid.clone());
                listing.names.push(name_of(&request.metadata));
            }
            Event::InitDone => {
                let Listing { uids, names } = std::mem::take(listing);
                for gone in context.registry.gone(self.index, &uids) {
                    context.forget(Some(&gone));
                }
                // A list comes in pages, and the store shows none of it before the last: what was looked at meanwhile saw the old state.
                for ObjectName { namespace, name } in names {
                    // The receiver is gone only while the process ends.
                    let _ = trigger.send(ObjectRef::new(&name).within(&namespace));
                }
                context.gates.open("requests", self.index);
            }
            Event::Delete(request) => {
                let meta = kube::Resource::meta(request);
                context.forget(meta.uid.as_deref());
                // Whoever waited for its Secret, or is its namesake's heir, has a look.
                context.registry.wake_followers(&name_of(meta));
            }
            // What can't be decoded isn't served.
            Event::InitApply(WatchedRequest(Err(_))) | Event::Apply(_) => {}
        }
    }
}

/// What a list has shown so far.
#[derive(Default)]
struct Listing {
    uids: BTreeSet<String>,
    names: Vec<ObjectName>,
}

fn take_in(context: &Context, secret: WatchedSecret) {
    let name = secret.name();
    let owner = owner(&secret.meta).map(str::to_owned);
    if context.secrets.present(&name.namespace, secret.meta) {
        context.registry.tell_followers(&name, context.clock.instant());
        if let Some(owner) = owner.filter(|owner| **owner != *name.name) {
            context.registry.wake_named(&ObjectName::new(name.namespace, owner));
        }
    }
}
