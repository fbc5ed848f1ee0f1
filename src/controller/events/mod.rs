//! Events: what has come about is told to whoever looks at the request with `kubectl describe`.

mod outbox;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
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
        let Transition { is_warning, text, event: Some(reason), .. } = transition else { return };
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
                    let regarding = letter.regarding();
                    self.send(&recorder, &letter.event(), &regarding).await;
                }
                Next::At(instant) => tokio::time::sleep(instant.since(self.clock.instant())).await,
                Next::Nothing => self.posted.notified().await,
            }
        }
    }

    /// One that isn't taken isn't told again: the condition tells the same, and the log has it.
    async fn send(&self, recorder: &Recorder, event: &Event, regarding: &ObjectReference) {
        // Without a limit one that hangs would hold up all others.
        match tokio::time::timeout(API_SERVER_LIMIT, recorder.publish(event, regarding)).await {
            Ok(Ok(())) => self.metrics.event_told("published"),
            failed => {
                self.metrics.event_told("failed");
                let answer = if let Ok(Err(kube::Error::Api(status))) = &failed { Some(status) } else { None };
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
    use super::{lacks_rights, note};

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
