//! Events: what has come about is told to whoever looks at the request with `kubectl describe`.

mod outbox;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::Status;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use tokio::sync::Notify;

use self::outbox::{Next, Outbox};
use super::API_SERVER_LIMIT;
use crate::api::PlaybackGrantRequest;
use crate::api::names::FIELD_MANAGER;
use crate::clock::Clock;
use crate::lifecycle::Identity;
use crate::media::lane::Caller;
use crate::telemetry::{Metrics, Transition};

/// What the operator was at.
const ACTION: &str = "Refresh";

/// A recorder remembers each Event for six minutes, as a whole: one that is told again then counts up. Of many at once that would be megabytes.
const REMEMBERED: u32 = 100;

/// Tells, one at a time and never faster than an API server in trouble can bear: grants come first.
pub(super) struct Events {
    outbox: Mutex<Outbox<Key, Letter>>,
    posted: Notify,
    client: Client,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// In which namespaces it has been told that this isn't allowed.
    refused: Mutex<BTreeSet<Option<String>>>,
}

/// Of whom, and the Event's reason.
type Key = (Caller, Arc<str>);

/// What there is to tell. Of many at once hundreds wait for a while: what can be made of it is made when it goes.
struct Letter {
    identity: Identity,
    is_warning: bool,
    reason: Arc<str>,
    note: String,
}

impl Letter {
    fn regarding(&self) -> ObjectReference {
        let Identity { namespace, name, uid } = self.identity.clone();
        ObjectReference {
            api_version: Some(PlaybackGrantRequest::api_version(&()).into_owned()),
            kind: Some(PlaybackGrantRequest::kind(&()).into_owned()),
            namespace: Some(namespace),
            name: Some(name),
            uid: Some(uid),
            ..ObjectReference::default()
        }
    }

    fn event(self) -> Event {
        let type_ = if self.is_warning { EventType::Warning } else { EventType::Normal };
        Event { type_, reason: self.reason.to_string(), note: Some(self.note), action: ACTION.to_owned(), secondary: None }
    }
}

impl Events {
    pub(super) fn new(client: Client, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { outbox: Mutex::default(), posted: Notify::new(), client, clock, metrics, refused: Mutex::default() }
    }

    /// Tells it soon, if there is an Event for it.
    pub(super) fn tell(&self, caller: &Caller, identity: &Identity, transition: Transition) {
        let Transition { is_warning, text, event: Some(reason), lasting_text, .. } = transition else { return };
        let text = lasting_text.unwrap_or(text);
        let reason = Arc::<str>::from(reason);
        let letter = Letter { identity: identity.clone(), is_warning, reason: reason.clone(), note: note(text) };
        if self.outbox().post((caller.clone(), reason), letter, self.clock.instant()) {
            self.posted.notify_one();
        } else {
            self.metrics.event_told("dropped");
        }
    }

    /// Sends what there is to tell, for as long as it is polled.
    pub(super) async fn run(self: Arc<Self>) {
        let anew = || Recorder::new(self.client.clone(), Reporter::from(FIELD_MANAGER));
        let (mut recorder, mut told) = (anew(), 0);
        loop {
            let now = self.clock.instant();
            let (old, next) = {
                let mut outbox = self.outbox();
                (outbox.leave_out_old(now), outbox.next(now))
            };
            (0..old).for_each(|_| self.metrics.event_told("dropped"));
            match next {
                Next::Send(letter) => {
                    if told == REMEMBERED {
                        (recorder, told) = (anew(), 0);
                    }
                    told += 1;
                    let (regarding, event) = (letter.regarding(), letter.event());
                    let mut published = self.publish(&recorder, &event, &regarding).await;
                    if matches!(&published, Some(Err(kube::Error::Api(status))) if is_gone(status)) {
                        // The one to count up is there no more: somebody deleted it, or the API server forgot it earlier than the recorder does.
                        (recorder, told) = (anew(), 1);
                        published = self.publish(&recorder, &event, &regarding).await;
                    }
                    self.count(published, &event, &regarding);
                }
                Next::At(instant) => tokio::time::sleep(instant.since(self.clock.instant())).await,
                Next::Nothing => self.posted.notified().await,
            }
        }
    }

    /// `None`: it wasn't answered in time. Without a limit one that hangs would hold up all others.
    async fn publish(&self, recorder: &Recorder, event: &Event, regarding: &ObjectReference) -> Option<kube::Result<()>> {
        tokio::time::timeout(API_SERVER_LIMIT, recorder.publish(event, regarding)).await.ok()
    }

    /// One that isn't taken isn't told again: the condition tells the same, and the log has it.
    fn count(&self, published: Option<kube::Result<()>>, event: &Event, regarding: &ObjectReference) {
        match published {
            Some(Ok(())) => self.metrics.event_told("published"),
            failed => {
                self.metrics.event_told("failed");
                let answer = if let Some(Err(kube::Error::Api(status))) = &failed { Some(status) } else { None };
                let (namespace, request, reason) = (&regarding.namespace, &regarding.name, &event.reason);
                let is_new =
                    answer.is_some_and(|answer| lacks_rights(answer.code, &answer.message)) && self.refused().insert(namespace.clone());
                if is_new {
                    tracing::warn!(
                        namespace,
                        "this service account is not allowed to write Events: the log alone tells. Apply the roles anew (deploy/manifests, or the chart)"
                    );
                } else {
                    tracing::debug!(namespace, request, reason, code = answer.map(|answer| answer.code), "could not write an Event");
                }
            }
        }
    }

    fn refused(&self) -> MutexGuard<'_, BTreeSet<Option<String>>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox<Key, Letter>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the Event is there no more. Without its namespace it can't be made anew.
fn is_gone(answer: &Status) -> bool {
    answer.code == 404 && answer.details.as_ref().is_some_and(|details| details.kind == "events")
}

/// Whether rights are missing. The same status is the answer of a quota, and in a namespace that terminates.
fn lacks_rights(code: u16, message: &str) -> bool {
    code == 403 && ["create", "patch"].iter().any(|verb| message.contains(&format!("cannot {verb} resource")))
}

/// The API server takes a kilobyte of it.
fn note(text: String) -> String {
    const LONGEST: usize = 1000;
    if text.len() <= LONGEST {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(LONGEST)])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use http::{Method, Request, Response, StatusCode};
    use kube::client::Body;

    use super::*;

    /// Events for an API server that answers so.
    fn events(mut answer: impl FnMut(&Request<Body>) -> BoxFuture<'static, StatusCode> + Send + 'static) -> (Arc<Events>, Arc<Metrics>) {
        let clock = Clock::simulated(Box::leak(Box::default()));
        let metrics = Arc::new(Metrics::new(clock, false));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (answer, is_counted_up) = (answer(&request), request.method() == Method::PATCH);
            async move {
                let status = answer.await;
                let event =
                    r#"{"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "one"}, "eventTime": null}"#.to_owned();
                let details = if is_counted_up { r#""details": {"kind": "events"}"# } else { r#""details": {"kind": "namespaces"}"# };
                let refusal =
                    format!(r#"{{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": {}, {details}}}"#, status.as_u16());
                Response::builder().status(status).body(Body::from(if status.is_success() { event } else { refusal }.into_bytes()))
            }
        });
        (Arc::new(Events::new(Client::new(service, "web"), clock, metrics.clone())), metrics)
    }

    /// The same, with what it was asked.
    fn recorded(answer: fn(&Method) -> StatusCode) -> (Arc<Events>, Arc<Metrics>, Arc<Mutex<Vec<Method>>>) {
        let asked = Arc::<Mutex<Vec<Method>>>::default();
        let by = asked.clone();
        let (events, metrics) = events(move |request| {
            by.lock().unwrap().push(request.method().clone());
            std::future::ready(answer(request.method())).boxed()
        });
        (events, metrics, asked)
    }

    fn refused(_: &Request<Body>) -> BoxFuture<'static, StatusCode> {
        std::future::ready(StatusCode::FORBIDDEN).boxed()
    }

    fn tell(events: &Events, name: &str) {
        let identity = Identity { namespace: "web".to_owned(), name: name.to_owned(), uid: name.to_owned() };
        let event = Some("GrantIssued".to_owned());
        let transition =
            Transition { is_warning: false, reason: None, text: "ready".to_owned(), event, lasting_text: None, is_of_failure: false };
        events.tell(&Caller::from(name), &identity, transition);
    }

    /// What has become of how many.
    fn told(metrics: &Metrics) -> Vec<String> {
        let page = metrics.encode();
        let lines = page.lines().filter_map(|line| line.strip_prefix("playback_grant_events_total").map(str::to_owned));
        lines.collect::<BTreeSet<_>>().into_iter().collect()
    }

    async fn run_for(events: &Arc<Events>, time: Duration) {
        let run = tokio::spawn(events.clone().run());
        tokio::time::sleep(time).await;
        run.abort();
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_has_waited_for_too_long_is_counted_and_not_sent() {
        let (events, metrics) = events(refused);
        tell(&events, "lobby");
        tell(&events, "kiosk");
        tokio::time::sleep(Duration::from_mins(1)).await;
        tell(&events, "stage");
        tokio::time::sleep(Duration::from_millis(1)).await;
        run_for(&events, SECOND).await;
        assert_eq!(told(&metrics), [r#"{result="dropped"} 2"#, r#"{result="failed"} 1"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_no_room_for_is_counted_and_the_rest_goes_at_its_rate() {
        let (events, metrics) = events(refused);
        (0..503).for_each(|n| tell(&events, &n.to_string()));
        run_for(&events, Duration::from_millis(950)).await;
        assert_eq!(told(&metrics), [r#"{result="dropped"} 3"#, r#"{result="failed"} 29"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_holds_up_the_others_no_longer_than_a_call_may_take() {
        let mut is_first = true;
        let (events, metrics) = events(move |_| {
            if std::mem::take(&mut is_first) { std::future::pending().boxed() } else { std::future::ready(StatusCode::CREATED).boxed() }
        });
        tell(&events, "lobby");
        tell(&events, "kiosk");
        run_for(&events, API_SERVER_LIMIT + SECOND).await;
        assert_eq!(told(&metrics), [r#"{result="failed"} 1"#, r#"{result="published"} 1"#]);
    }

    /// One that is remembered is counted up.
    #[tokio::test(start_paused = true)]
    async fn of_the_events_told_no_more_than_a_hundred_are_remembered() {
        let (events, metrics, asked) = recorded(|_| StatusCode::OK);
        (0..=200).for_each(|n| tell(&events, &n.to_string()));
        run_for(&events, 20 * SECOND).await;
        assert_eq!(told(&metrics), [r#"{result="published"} 201"#]);
        assert!(asked.lock().unwrap().iter().all(|method| method == Method::POST));
        // Each run remembers by itself: all of it is one.
        let run = tokio::spawn(events.clone().run());
        for (name, method) in [("new", Method::POST), ("new", Method::PATCH), ("new", Method::PATCH)] {
            tell(&events, name);
            tokio::time::sleep(SECOND).await;
            assert_eq!(asked.lock().unwrap().last(), Some(&method));
        }
        for round in 0..2 {
            (0..99).for_each(|n| tell(&events, &format!("{round}-{n}")));
            tokio::time::sleep(15 * SECOND).await;
        }
        tell(&events, "1-0");
        tokio::time::sleep(SECOND).await;
        run.abort();
        let asked = asked.lock().unwrap();
        assert_eq!(asked.iter().filter(|method| **method == Method::PATCH).count(), 2, "of {}", asked.len());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_deleted_is_made_again() {
        let (events, metrics, asked) = recorded(|method| if method == Method::POST { StatusCode::CREATED } else { StatusCode::NOT_FOUND });
        let run = tokio::spawn(events.clone().run());
        for _ in 0..2 {
            tell(&events, "lobby");
            tokio::time::sleep(SECOND).await;
        }
        run.abort();
        assert_eq!(asked.lock().unwrap()[..], [Method::POST, Method::PATCH, Method::POST]);
        assert_eq!(told(&metrics), [r#"{result="published"} 2"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_namespace_is_gone_is_not_tried_again() {
        let (events, metrics, asked) = recorded(|_| StatusCode::NOT_FOUND);
        tell(&events, "lobby");
        run_for(&events, SECOND).await;
        assert_eq!(asked.lock().unwrap()[..], [Method::POST]);
        assert_eq!(told(&metrics), [r#"{result="failed"} 1"#]);
    }

    #[test]
    fn not_every_refusal_is_for_want_of_rights() {
        let missing = r#"events.events.k8s.io is forbidden: User "a" cannot create resource "events" in API group "events.k8s.io" in the namespace "web""#;
        assert!(lacks_rights(403, missing) && !lacks_rights(500, missing));
        for other in [
            "exceeded quota: few, requested: count/events.events.k8s.io=1",
            "unable to create new content in namespace web because it is being terminated",
        ] {
            assert!(!lacks_rights(403, other), "{other}");
        }
    }

    #[test]
    fn a_note_is_cut_between_two_letters() {
        assert_eq!(note("ready".to_owned()), "ready");
        let cut = note(format!("{}äöü", "x".repeat(999)));
        assert_eq!((cut.len(), cut.ends_with("x…")), (999 + "…".len(), true));
    }
}
