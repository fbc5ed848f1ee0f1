//! The operator on simulated time: as `controller::reconcile`, `registry`, `scope` and kube's `Controller` do it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::dispatcher::Dispatcher;
use super::index::{CredentialsIndex, Index};
use super::objects::{Call, Change, is_watched, refresh_request};
use super::world::{Event, World};
use crate::api::names::annotation;
use crate::api::{InvalidSpec, PlaybackGrantRequest, ValidSpec, validate};
use crate::lifecycle::{CredentialsView, Decision, Identity, Memory, Report, SecretMeta, SecretView, Seen, decide};
use crate::media::lane::Caller;
use crate::time::{Instant, Now};

const MOST_STEPS: usize = 16;
const AFTER_MOST_STEPS: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Operator {
    /// The requests, as the watch shows them, each with its status only where nobody has read it.
    pub(super) store: BTreeMap<String, PlaybackGrantRequest>,
    pub(super) entries: BTreeMap<Caller, Entry>,
    pub(super) by_name: BTreeMap<String, Caller>,
    pub(super) index: Index,
    pub(super) credentials: CredentialsIndex,
    pub(super) dispatcher: Dispatcher,
    runs: BTreeMap<String, Run>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) identity: Identity,
    pub(super) memory: Memory,
    follows: BTreeSet<String>,
}

/// When a request's reconcile is due, and the one that is under way.
#[derive(Debug, Default)]
struct Run {
    due: Option<Instant>,
    again: bool,
    under_way: Option<Reconcile>,
}

/// A reconcile that waits for the API server.
#[derive(Clone, Debug)]
pub(super) struct Reconcile {
    pub(super) object: PlaybackGrantRequest,
    pub(super) identity: Identity,
    pub(super) caller: Caller,
    pub(super) spec: Result<ValidSpec, InvalidSpec>,
    steps: usize,
}

impl World {
    /// An operator starts: it lists the Secrets, then the requests.
    pub(super) fn start_operator(&mut self) {
        if self.trouble().is_some() {
            return self.schedule(self.now + Duration::from_millis(200), Event::Start);
        }
        self.operators += 1;
        let mut store = self.server.requests.clone();
        for object in store.values_mut() {
            object.status = Some(object.status.take().unwrap_or_default());
        }
        let mut operator = Operator { store, ..Operator::default() };
        for secret in self.server.secrets.values().filter(|secret| is_watched(&secret.meta)) {
            operator.index.present(secret.meta.clone());
        }
        let names: Vec<String> = operator.store.keys().cloned().collect();
        self.operator = Some(operator);
        self.judge.started(self.now);
        for name in names {
            self.wake_named(&name);
        }
    }

    pub(super) fn watched(&mut self, change: Change) {
        let Some(operator) = &mut self.operator else { return };
        match change {
            Change::Request(mut object) => {
                let (name, caller) = (object.metadata.name.clone().unwrap(), Caller::from(object.metadata.uid.clone().unwrap()));
                let (version, generation) = (object.metadata.resource_version.clone().unwrap_or_default(), object.metadata.generation);
                let is_echo = operator.entries.get_mut(&caller).is_some_and(|entry| entry.memory.is_echo(&version, generation));
                object.status = (!is_echo).then(|| object.status.take().unwrap_or_default());
                operator.store.insert(name.clone(), *object);
                if !is_echo {
                    self.wake_named(&name);
                }
            }
            Change::RequestGone { name, uid } => {
                operator.store.remove(&name);
                operator.forget(&Caller::from(uid));
                self.wake_followers(&name);
            }
            Change::Secret(meta) => {
                let name = meta.name.clone();
                let owner = meta.annotations.get(annotation::OWNED_BY).and_then(|owned_by| owned_by.split_once('/'));
                let owner = owner.map(|(owner, _)| owner.to_owned());
                if operator.index.present(meta) {
                    self.tell_followers(&name);
                    if let Some(owner) = owner.filter(|owner| **owner != *name) {
                        self.wake_named(&owner);
                    }
                }
            }
            Change::SecretGone(meta) => {
                if operator.index.vanished(&meta) {
                    self.tell_followers(&meta.name);
                }
            }
            Change::Credentials(name, version) => {
                if operator.credentials.seen(&name, version) {
                    self.wake_followers(&name);
                }
            }
        }
    }

    pub(super) fn wake(&mut self, caller: &Caller) {
        let entry = self.operator.as_ref().and_then(|operator| operator.entries.get(caller));
        if let Some(name) = entry.map(|entry| entry.identity.name.clone()) {
            self.wake_named(&name);
        }
    }

    fn tell_followers(&mut self, secret: &str) {
        if let Some(operator) = &mut self.operator {
            let followers = operator.entries.values_mut().filter(|entry| entry.follows.contains(secret));
            followers.for_each(|entry| entry.memory.secret_changed(self.now));
        }
        self.wake_followers(secret);
    }

    fn wake_followers(&mut self, secret: &str) {
        let Some(operator) = &self.operator else { return };
        let followers = operator.entries.iter().filter(|(_, entry)| entry.follows.contains(secret)).map(|(caller, _)| caller.clone());
        for caller in followers.collect::<Vec<_>>() {
            self.wake(&caller);
        }
    }

    fn wake_named(&mut self, name: &str) {
        self.run_at(name, self.now);
    }

    /// As kube's scheduler: the earlier of two wakes stands, and one that comes while a reconcile is under way is kept for its end.
    fn run_at(&mut self, name: &str, at: Instant) {
        let Some(operator) = &mut self.operator else { return };
        let run = operator.runs.entry(name.to_owned()).or_default();
        if run.under_way.is_some() {
            run.again = true;
        } else if run.due.is_none_or(|due| at < due) {
            run.due = Some(at);
            self.schedule(at, Event::Run { operator: self.operators, request: name.to_owned() });
        }
    }

    pub(super) fn run(&mut self, name: &str) {
        let now = self.now;
        let Some(operator) = &mut self.operator else { return };
        let Some(run) = operator.runs.get_mut(name) else { return };
        if run.under_way.is_some() || run.due != Some(now) {
            return;
        }
        run.due = None;
        if let Some(reconcile) = operator.enter(name, now) {
            self.judge.reconciles(&reconcile, now);
            self.proceed(reconcile);
        }
    }

    /// Goes on until the API server is waited for, or nothing is left.
    pub(super) fn proceed(&mut self, mut reconcile: Reconcile) {
        while reconcile.steps < MOST_STEPS {
            reconcile.steps += 1;
            let now = self.instants();
            let decision = self.decide(&reconcile, now);
            let call = match decision {
                None => return self.rest(&reconcile, None),
                Some(Decision::Step(step)) => self.take(&reconcile, step),
                Some(Decision::Rest { report: Some(Report { status, write_at: Some(write_at) }), .. }) if write_at <= now.instant => {
                    let Identity { name, uid, .. } = reconcile.identity.clone();
                    let entry = self.operator.as_ref().and_then(|operator| operator.entries.get(&reconcile.caller));
                    let version = entry.and_then(|entry| entry.memory.told.version().map(str::to_owned));
                    Some(Call::WriteStatus { name, uid, version, status: Box::new(status) })
                }
                Some(Decision::Rest { report, look_at }) => {
                    let until = look_at.into_iter().chain(report.and_then(|report| report.write_at)).min();
                    return self.rest(&reconcile, until);
                }
            };
            if let Some(call) = call {
                let request = reconcile.identity.name.clone();
                self.judge.asked(&request, &call);
                self.schedule(
                    self.now + self.timing.server,
                    Event::Arrives { operator: self.operators, request: request.clone(), call: Box::new(call) },
                );
                if let Some(run) = self.operator.as_mut().and_then(|operator| operator.runs.get_mut(&request)) {
                    run.under_way = Some(reconcile);
                }
                return;
            }
        }
        self.judge.went_on_for_long(&reconcile.identity.name);
        self.rest(&reconcile, Some(self.now + AFTER_MOST_STEPS));
    }

    fn rest(&mut self, reconcile: &Reconcile, until: Option<Instant>) {
        let Identity { name, uid, .. } = &reconcile.identity;
        let Some(operator) = &mut self.operator else { return };
        // A request that went meanwhile may have been entered again just after the watch took it out.
        if operator.store.get(name).and_then(|stored| stored.metadata.uid.as_ref()) != Some(uid) {
            operator.forget(&reconcile.caller);
        }
        let Some(run) = operator.runs.get_mut(name) else { return };
        let again = std::mem::take(&mut run.again);
        if again {
            self.run_at(name, self.now);
        } else if let Some(until) = until {
            self.run_at(name, until.max(self.now + Duration::from_millis(1)));
        }
    }

    /// The reconcile that waited for this answer.
    pub(super) fn resumed(&mut self, name: &str) -> Option<Reconcile> {
        self.operator.as_mut()?.runs.get_mut(name)?.under_way.take()
    }

    fn decide(&mut self, reconcile: &Reconcile, now: Now) -> Option<Decision> {
        let operator = self.operator.as_ref()?;
        let Reconcile { object, identity, caller, spec, .. } = reconcile;
        let (secret, strays, credentials) = match spec {
            Ok(spec) => (
                operator.index.view(&spec.secret_name),
                operator.index.strays(identity, &spec.secret_name),
                operator.credentials.view(&spec.credentials_secret_name),
            ),
            Err(_) => (SecretView::NotLooked, Vec::<SecretMeta>::new(), CredentialsView::NotRead),
        };
        let seen = Seen {
            identity,
            generation: object.metadata.generation,
            deleting: object.metadata.deletion_timestamp.is_some(),
            spec: spec.as_ref(),
            refresh_request: refresh_request(object),
            secret: &secret,
            strays: &strays,
            credentials: &credentials,
            lane_closed: operator.dispatcher.closure(caller),
            status_interval: Duration::ZERO,
            awaits_turn: false,
            memory: &operator.entries.get(caller)?.memory,
        };
        let decision = decide(&seen, now);
        self.judge.decided(&seen, now, &decision);
        Some(decision)
    }
}

impl Operator {
    /// Makes sure that the request is known, and begins a reconcile of it.
    fn enter(&mut self, name: &str, now: Instant) -> Option<Reconcile> {
        let stored = self.store.get_mut(name)?;
        let status = stored.status.take();
        let object = stored.clone();
        let uid = object.metadata.uid.clone().unwrap();
        let identity = Identity { namespace: "web".to_owned(), name: name.to_owned(), uid };
        let caller = Caller::from(identity.uid.as_str());
        if let Some(predecessor) = self.by_name.get(name).cloned().filter(|known| *known != caller) {
            self.forget(&predecessor);
        }
        self.by_name.insert(name.to_owned(), caller.clone());
        let entry = self.entries.entry(caller.clone()).or_insert_with(|| Entry {
            identity: identity.clone(),
            memory: Memory::at_first_sight(status.as_ref(), now),
            follows: BTreeSet::new(),
        });
        if let Some(status) = &status {
            entry.memory.told.seen(object.metadata.resource_version.as_deref().unwrap_or_default(), status);
        }
        let spec = validate(&object);
        if let Ok(spec) = &spec {
            entry.memory.concerns(spec.secret_name.clone(), object.metadata.generation);
        }
        let follows = spec.as_ref().map(|spec| [&spec.secret_name, &spec.credentials_secret_name]);
        entry.follows = follows.into_iter().flatten().map(ToString::to_string).collect();
        Some(Reconcile { object, identity, caller, spec, steps: 0 })
    }

    fn forget(&mut self, caller: &Caller) {
        self.dispatcher.forget(caller);
        if let Some(entry) = self.entries.remove(caller)
            && self.by_name.get(&entry.identity.name) == Some(caller)
        {
            self.by_name.remove(&entry.identity.name);
        }
    }
}
