//! Who may write now. Statuses: few at a time, so that grants go first when all are written at once. Secrets: as many as there are at work, but of
//! those that the API server leaves unanswered not all, so that a webhook that hangs in one namespace leaves room for the others.

mod queue;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::queue::{Limits, Queue};
use super::registry::Registry;
use super::scope::CONCURRENCY;
use crate::lifecycle::Urgency;
use crate::media::lane::Caller;

/// Of all that is written at once: the rest is left to grants, also where the API server leaves statuses unanswered, and where there are no grants to
/// be written it is enough for hundreds a second.
pub(super) const STATUSES: Limits = Limits { at_once: 4, unanswered: 2, first_of_theirs: 3 };

/// All that are at work; an eighth stays free whatever is left unanswered, in however many namespaces.
pub(super) const SECRETS: Limits =
    Limits { at_once: CONCURRENCY, unanswered: CONCURRENCY / 2, first_of_theirs: CONCURRENCY - CONCURRENCY / 8 };

/// Who may write now. Each scope (a `--namespace`, or all) has turns of its own.
pub(super) struct Turns {
    limits: Limits,
    scopes: Mutex<BTreeMap<usize, Queue>>,
    registry: Arc<Registry>,
}

/// Leave to write, until it is dropped: then the most urgent of its scope is woken, of those whoever has waited longest.
pub(super) struct Turn<'a> {
    of: &'a Turns,
    scope: usize,
    namespace: &'a str,
    /// How urgent it is by itself, and by what is known of its namespace.
    own: Urgency,
    urgency: Urgency,
}

impl Turns {
    pub(super) fn new(limits: Limits, registry: Arc<Registry>) -> Self {
        Self { limits, scopes: Mutex::default(), registry }
    }

    /// Leave for this request; `None`: it is woken when its turn has come.
    pub(super) fn take<'a>(&'a self, scope: usize, namespace: &'a str, caller: &Caller, own: Urgency) -> Option<Turn<'a>> {
        let mut scopes = self.scopes();
        let queue = scopes.entry(scope).or_insert_with(|| Queue::new(self.limits));
        let urgency = queue.urgency_in(namespace, own);
        let (is_taken, next) = queue.come(namespace, caller, urgency);
        drop(scopes);
        self.wake(next);
        is_taken.then(|| Turn { of: self, scope, namespace, own, urgency })
    }

    /// This request has nothing to write: if it was woken for a turn, the next is.
    pub(super) fn leave(&self, scope: usize, caller: &Caller) {
        let next = self.scopes().get_mut(&scope).and_then(|queue| queue.leave(caller));
        self.wake(next);
    }

    /// This request is gone, whichever scope it was of.
    pub(super) fn forget(&self, caller: &Caller) {
        let next: Vec<_> = self.scopes().values_mut().filter_map(|queue| queue.leave(caller)).collect();
        self.wake(next);
    }

    fn wake(&self, next: impl IntoIterator<Item = Caller>) {
        for next in next {
            self.registry.wake(&next);
        }
    }

    fn scopes(&self) -> MutexGuard<'_, BTreeMap<usize, Queue>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// What was to be written was, or was refused, or (not `is_answered`) left unanswered.
    pub(super) fn ended(&self, is_answered: bool) {
        let freed = self.of.scopes().get_mut(&self.scope).map(|queue| queue.ended(self.namespace, self.own, is_answered));
        self.of.wake(freed.into_iter().flatten());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let next = self.of.scopes().get_mut(&self.scope).and_then(|queue| queue.give_back(self.namespace, self.urgency));
        self.of.wake(next);
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;

    use super::Urgency::{Transition, Unanswered, Usual};
    use super::*;
    use crate::controller::registry::ObjectName;
    use crate::time::Instant;

    const AT_ONCE: usize = 4;
    const UNANSWERED_AT_ONCE: usize = 2;

    fn callers(count: usize) -> Vec<Caller> {
        (0..count).map(|n| Caller::from(format!("uid-{n}"))).collect()
    }

    #[test]
    fn a_turn_is_given_back_by_whoever_had_it_and_by_nobody_else() {
        let turns = Turns::new(STATUSES, Arc::default());
        let callers = callers(AT_ONCE + 2);
        let count = || turns.scopes().get(&0).map(|queue| (queue.taken(), queue.waits()));
        let mut given: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, "web", caller, Usual)).collect();
        assert_eq!((given.len(), count()), (AT_ONCE, Some((4, 2))));
        assert!(turns.take(1, "web", &callers[0], Usual).is_some(), "another namespace's are its own");
        given.pop();
        assert_eq!(count(), Some((3, 1)));
        assert!(turns.take(0, "web", &callers[0], Usual).is_some(), "and it is given back at once");
        given.clear();
        assert_eq!(count(), Some((0, 0)));
    }

    #[test]
    fn who_waits_is_woken_when_a_turn_is_given_back_or_left() {
        let registry = Arc::<Registry>::default();
        let (trigger, mut woken) = tokio::sync::mpsc::unbounded_channel();
        let callers = callers(AT_ONCE + 3);
        for caller in &callers {
            let name = ObjectName::new("web", format!("of-{}", &**caller));
            registry.enter(caller, &name, None, 0, &trigger, Instant::after_start(std::time::Duration::ZERO));
        }
        let turns = Turns::new(STATUSES, registry);
        let mut given: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, "web", caller, Usual)).collect();
        let mut is_woken = |n: usize| woken.try_recv().ok() == Some(ObjectRef::new(&format!("of-{}", &*callers[n])).within("web"));
        drop(given.pop());
        assert!(is_woken(AT_ONCE));
        turns.leave(0, &callers[AT_ONCE]);
        assert!(is_woken(AT_ONCE + 1), "the first has nothing to write any more");
        turns.forget(&callers[AT_ONCE + 1]);
        assert!(is_woken(AT_ONCE + 2), "the second is gone");
        turns.leave(0, &callers[0]);
        drop(given);
        assert!(woken.try_recv().is_err(), "nobody else waits");
    }

    #[test]
    fn of_a_namespace_that_hangs_no_more_than_two_are_tried_at_once() {
        let turns = Turns::new(STATUSES, Arc::default());
        let callers = callers(2 * AT_ONCE);
        let first: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, "hangs", caller, Transition)).collect();
        assert_eq!(first.len(), AT_ONCE, "of this nobody knows yet");
        first[0].ended(false);
        drop(first);
        let again: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, "hangs", caller, Transition)).collect();
        assert_eq!(again.len(), UNANSWERED_AT_ONCE);
        assert!(turns.take(0, "web", &callers[0], Usual).is_some(), "there is room for others");
        drop(again);
        assert_eq!(turns.scopes()[&0].taken(), 0, "given back as it was taken");
        let hung = turns.take(0, "one-hangs", &callers[0], Unanswered).unwrap();
        hung.ended(false);
        let others: Vec<_> = callers.iter().skip(1).filter_map(|caller| turns.take(0, "one-hangs", caller, Transition)).collect();
        assert_eq!(others.len(), AT_ONCE - 1, "one that has hung before says nothing new");
    }
}
