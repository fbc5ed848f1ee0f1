//! Every request that the operator serves: its memory, and how to wake its reconcile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use litemap::LiteMap;
use tokio::sync::mpsc::UnboundedSender;

use super::served::{CheckedSpec, ServedRequest};
use crate::api::PlaybackGrantRequestStatus;
use crate::lifecycle::Memory;
use crate::media::lane::Caller;
use crate::time::Instant;

/// Wakes reconciles.
pub type Trigger = UnboundedSender<ObjectRef<ServedRequest>>;

/// A name in a namespace. What knows the same object shares its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl ObjectName {
    /// A name in a namespace.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// The name in an object's metadata.
pub(super) fn name_of(metadata: &ObjectMeta) -> ObjectName {
    ObjectName::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// Every request that the operator serves, by uid.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Boxed: a tree's nodes have room for eleven, and are half empty.
    entries: BTreeMap<Caller, Box<Entry>>,
    by_name: BTreeMap<ObjectName, Caller>,
    /// A list for each: most have one.
    by_secret: BTreeMap<ObjectName, LiteMap<Caller, ()>>,
}

struct Entry {
    name: ObjectName,
    scope: usize,
    trigger: Trigger,
    /// What it was last looked at with.
    spec: Option<CheckedSpec>,
    /// Few, and in no order.
    secrets: Box<[ObjectName]>,
    memory: Memory,
}

impl Registry {
    /// Makes sure that the request is known, and that it is known what its status says: `shown`, with the version at which it does, unless nobody need be told.
    /// Returns its namesake of an earlier life, which is known no more.
    pub fn enter(
        &self,
        uid: &str,
        name: &ObjectName,
        shown: Option<(&str, &PlaybackGrantRequestStatus)>,
        scope: usize,
        trigger: &Trigger,
        now: Instant,
    ) -> (Caller, Option<Caller>) {
        let mut state = self.state();
        let predecessor = match state.by_name.get(name).cloned() {
            Some(known) if *known == *uid => {
                if let (Some(entry), Some((version, status))) = (state.entries.get_mut(&known), shown) {
                    entry.memory.told.seen(version, status);
                }
                return (known, None);
            }
            other => other,
        };
        if let Some(predecessor) = &predecessor {
            // Its Secrets are the heir's affair now.
            drop(state.remove(predecessor));
        }
        let caller = Caller::from(uid);
        let mut memory = Memory::at_first_sight(shown.map(|(_, status)| status), now);
        if let Some((version, status)) = shown {
            memory.told.seen(version, status);
        }
        let entry = Entry { name: name.clone(), scope, trigger: trigger.clone(), spec: None, secrets: Box::default(), memory };
        state.by_name.insert(name.clone(), caller.clone());
        state.entries.insert(caller.clone(), Box::new(entry));
        (caller, predecessor)
    }

    /// Says which Secrets the request, which is looked at with that spec, is woken for. Returns those that nobody is woken for any more.
    pub fn follow(&self, caller: &Caller, spec: &CheckedSpec, secrets: &[ObjectName]) -> Vec<ObjectName> {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(caller) else { return Vec::new() };
        entry.spec = Some(spec.clone());
        if *entry.secrets == *secrets {
            return Vec::new();
        }
        let before = std::mem::replace(&mut entry.secrets, secrets.into());
        state.forget_secrets(caller, &before);
        for secret in secrets {
            state.by_secret.entry(secret.clone()).or_insert_with(|| LiteMap::with_capacity(1)).insert(caller.clone(), ());
        }
        state.abandoned(before)
    }

    /// Whether any request is woken for that Secret.
    #[must_use]
    pub fn is_followed(&self, secret: &ObjectName) -> bool {
        self.state().by_secret.contains_key(secret)
    }

    /// The spec that it was last looked at with, where what the watch shows of a request is its status as it was written last: nothing else has changed.
    pub fn echoed(&self, request: &ObjectMeta) -> Option<CheckedSpec> {
        let mut state = self.state();
        let entry = state.entries.get_mut(request.uid.as_deref()?)?;
        let is_echo = entry.memory.is_echo(request.resource_version.as_deref()?, request.generation);
        entry.spec.clone().filter(|_| is_echo)
    }

    /// Does something with the request's memory; `None` when the request is gone.
    pub fn with<T>(&self, caller: &Caller, action: impl FnOnce(&mut Memory) -> T) -> Option<T> {
        self.state().entries.get_mut(caller).map(|entry| action(&mut entry.memory))
    }

    /// Forgets a request. Returns the Secrets that nobody is woken for any more.
    pub fn remove(&self, caller: &Caller) -> Vec<ObjectName> {
        self.state().remove(caller)
    }

    /// The requests of a scope that live no more.
    #[must_use]
    pub fn gone(&self, scope: usize, alive: &BTreeSet<String>) -> Vec<Caller> {
        let state = self.state();
        let gone = state.entries.iter().filter(|(caller, entry)| entry.scope == scope && !alive.contains(&***caller));
        gone.map(|(caller, _)| caller.clone()).collect()
    }

    /// Does something with the memory of each request of a scope, and wakes it.
    pub fn wake_scope(&self, scope: usize, action: impl Fn(&mut Memory)) {
        let mut state = self.state();
        for entry in state.entries.values_mut().filter(|entry| entry.scope == scope) {
            action(&mut entry.memory);
            entry.wake();
        }
    }

    /// Wakes a request.
    pub fn wake(&self, caller: &Caller) {
        self.state().wake(caller);
    }

    /// Wakes these requests.
    pub fn wake_each(&self, callers: &[Caller]) {
        let state = self.state();
        for caller in callers {
            state.wake(caller);
        }
    }

    /// Wakes all requests.
    pub fn wake_all(&self) {
        let state = self.state();
        for caller in state.entries.keys() {
            state.wake(caller);
        }
    }

    /// Wakes the request of that name.
    pub fn wake_named(&self, name: &ObjectName) {
        let state = self.state();
        if let Some(caller) = state.by_name.get(name) {
            state.wake(caller);
        }
    }

    /// Wakes all requests that follow the Secret.
    pub fn wake_followers(&self, secret: &ObjectName) {
        let state = self.state();
        for caller in state.by_secret.get(secret).into_iter().flat_map(LiteMap::keys) {
            state.wake(caller);
        }
    }

    /// Tells all requests that follow the Secret that others have changed it, and wakes them.
    pub fn tell_followers(&self, secret: &ObjectName, now: Instant) {
        let state = &mut *self.state();
        for caller in state.by_secret.get(secret).into_iter().flat_map(LiteMap::keys) {
            if let Some(entry) = state.entries.get_mut(caller) {
                entry.memory.secret_changed(now);
                entry.wake();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn wake(&self) {
        // The receiver is gone only while the process ends.
        let _ = self.trigger.send(ObjectRef::new(&self.name.name).within(&self.name.namespace));
    }
}

impl State {
    fn wake(&self, caller: &Caller) {
        if let Some(entry) = self.entries.get(caller) {
            entry.wake();
        }
    }

    fn remove(&mut self, caller: &Caller) -> Vec<ObjectName> {
        let Some(entry) = self.entries.remove(caller) else { return Vec::new() };
        if self.by_name.get(&entry.name) == Some(caller) {
            self.by_name.remove(&entry.name);
        }
        self.forget_secrets(caller, &entry.secrets);
        self.abandoned(entry.secrets)
    }

    /// Of these Secrets, those that nobody is woken for.
    fn abandoned(&self, secrets: Box<[ObjectName]>) -> Vec<ObjectName> {
        secrets.into_iter().filter(|secret| !self.by_secret.contains_key(secret)).collect()
    }

    fn forget_secrets(&mut self, caller: &Caller, secrets: &[ObjectName]) {
        for secret in secrets {
            if let Some(followers) = self.by_secret.get_mut(secret) {
                followers.remove(caller);
                if followers.is_empty() {
                    self.by_secret.remove(secret);
                }
            }
        }
    }
}
