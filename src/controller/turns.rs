//! Who may write a status now: few at a time, so that grants go first when all are written at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::registry::Registry;
use crate::media::lane::Caller;

/// So many statuses are written at once, of all that is (`scope::CONCURRENCY`): the rest is left to grants, also where the API server leaves statuses
/// unanswered, and where there are no grants to be written it is enough for hundreds a second.
const AT_ONCE: usize = 4;

/// So many of those are of requests whose last status was left unanswered: a webhook that hangs for some holds up nobody else for long.
const UNANSWERED_AT_ONCE: usize = 2;

/// Who may write a status now. Each scope (a `--namespace`, or all) has turns of its own.
pub(super) struct StatusTurns {
    scopes: Mutex<BTreeMap<usize, Turns>>,
    registry: Arc<Registry>,
}

/// Leave to write a status, until it is dropped: then whoever of its scope has waited longest is woken.
pub(super) struct Turn<'a> {
    of: &'a StatusTurns,
    scope: usize,
    unanswered: bool,
}

impl StatusTurns {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self { scopes: Mutex::default(), registry }
    }

    /// Leave for this request; `None`: it is woken when its turn has come. `unanswered`: its last status was left so.
    pub(super) fn take(&self, scope: usize, caller: &Caller, unanswered: bool) -> Option<Turn<'_>> {
        // Not `then_some`: a turn that wasn't given must not be given back.
        let is_given = self.scopes().entry(scope).or_default().take(caller, unanswered);
        is_given.then(|| Turn { of: self, scope, unanswered })
    }

    /// This request has nothing to write: if it was woken for a turn, the next is.
    pub(super) fn leave(&self, scope: usize, caller: &Caller) {
        let next = self.scopes().get_mut(&scope).and_then(|turns| turns.leave(caller));
        self.wake(next);
    }

    /// This request is gone, whichever scope it was of.
    pub(super) fn forget(&self, caller: &Caller) {
        let next: Vec<_> = self.scopes().values_mut().map(|turns| turns.leave(caller)).collect();
        for next in next {
            self.wake(next);
        }
    }

    fn wake(&self, next: Option<Caller>) {
        if let Some(next) = next {
            self.registry.wake(&next);
        }
    }

    fn scopes(&self) -> MutexGuard<'_, BTreeMap<usize, Turns>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let next = self.of.scopes().entry(self.scope).or_default().give_back(self.unanswered);
        self.of.wake(next);
    }
}

/// The turns that are taken, and who waits for one. Pure.
#[derive(Debug, Default)]
struct Turns {
    taken: usize,
    taken_by_unanswered: usize,
    waiting: VecDeque<Caller>,
    waiting_unanswered: VecDeque<Caller>,
    /// Those in either.
    waits: BTreeSet<Caller>,
    /// Those who have been woken and haven't come yet.
    woken: BTreeSet<Caller>,
}

impl Turns {
    fn take(&mut self, caller: &Caller, unanswered: bool) -> bool {
        let was_woken = self.woken.remove(caller);
        if self.is_free(unanswered) {
            self.taken += 1;
            self.taken_by_unanswered += usize::from(unanswered);
            self.wait_no_more(caller);
            return true;
        }
        if self.waits.insert(caller.clone()) {
            let waiting = if unanswered { &mut self.waiting_unanswered } else { &mut self.waiting };
            // Who was overtaken on the way here has waited longest.
            if was_woken { waiting.push_front(caller.clone()) } else { waiting.push_back(caller.clone()) }
        }
        false
    }

    const fn is_free(&self, unanswered: bool) -> bool {
        self.taken < AT_ONCE && !(unanswered && self.taken_by_unanswered >= UNANSWERED_AT_ONCE)
    }

    /// Returns whoever is to be woken.
    fn give_back(&mut self, unanswered: bool) -> Option<Caller> {
        self.taken = self.taken.saturating_sub(1);
        self.taken_by_unanswered = self.taken_by_unanswered.saturating_sub(usize::from(unanswered));
        self.next()
    }

    /// Returns whoever is to be woken in the caller's stead, if that was.
    fn leave(&mut self, caller: &Caller) -> Option<Caller> {
        self.wait_no_more(caller);
        if self.woken.remove(caller) { self.next() } else { None }
    }

    /// Whoever has waited longest, and waits no more from here on: who is answered goes first.
    fn next(&mut self) -> Option<Caller> {
        let next = if self.is_free(false) { self.waiting.pop_front() } else { None };
        let next = next.or_else(|| if self.is_free(true) { self.waiting_unanswered.pop_front() } else { None })?;
        self.waits.remove(&next);
        self.woken.insert(next.clone());
        Some(next)
    }

    fn wait_no_more(&mut self, caller: &Caller) {
        if self.waits.remove(caller) {
            self.waiting.retain(|waits| waits != caller);
            self.waiting_unanswered.retain(|waits| waits != caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;

    use super::*;
    use crate::lifecycle::Identity;
    use crate::time::Instant;

    fn callers(count: usize) -> Vec<Caller> {
        (0..count).map(|n| Caller::from(format!("uid-{n}"))).collect()
    }

    #[test]
    fn a_turn_is_given_back_by_whoever_had_it_and_by_nobody_else() {
        let turns = StatusTurns::new(Arc::default());
        let callers = callers(AT_ONCE + 2);
        let count = || turns.scopes().get(&0).map(|turns| (turns.taken, turns.waiting.len()));
        let mut given: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, caller, false)).collect();
        assert_eq!((given.len(), count()), (AT_ONCE, Some((AT_ONCE, 2))));
        assert!(turns.take(1, &callers[0], false).is_some(), "another namespace's are its own");
        given.pop();
        assert_eq!(count(), Some((AT_ONCE - 1, 1)));
        assert!(turns.take(0, &callers[0], false).is_some(), "and it is given back at once");
        given.clear();
        assert_eq!(count(), Some((0, 0)));
    }

    #[test]
    fn who_waits_is_woken_when_a_turn_is_given_back_or_left() {
        let registry = Arc::<Registry>::default();
        let (trigger, mut woken) = tokio::sync::mpsc::unbounded_channel();
        let callers = callers(AT_ONCE + 3);
        for caller in &callers {
            let identity = Identity { namespace: "web".to_owned(), name: format!("of-{}", &**caller), uid: caller.to_string() };
            registry.enter(&identity, None, 0, &trigger, Instant::after_start(std::time::Duration::ZERO));
        }
        let turns = StatusTurns::new(registry);
        let mut given: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, caller, false)).collect();
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
    fn few_go_at_once_and_the_others_in_the_order_in_which_they_came() {
        let mut turns = Turns::default();
        let callers = callers(AT_ONCE + 3);
        let taken: Vec<bool> = callers.iter().map(|caller| turns.take(caller, false)).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), AT_ONCE);
        assert!(!turns.take(&callers[AT_ONCE], false), "it waits already");
        assert_eq!(turns.give_back(false).as_ref(), Some(&callers[AT_ONCE]));
        assert!(turns.take(&callers[0], false), "it was quicker");
        assert!(!turns.take(&callers[AT_ONCE], false));
        assert_eq!(turns.give_back(false).as_ref(), Some(&callers[AT_ONCE]), "who was overtaken is first again");
        // One that comes by itself doesn't wait any more.
        assert!(turns.take(&callers[AT_ONCE + 1], false) && !turns.take(&callers[AT_ONCE], false));
        assert_eq!(turns.give_back(false).as_ref(), Some(&callers[AT_ONCE]));
        assert!(turns.take(&callers[AT_ONCE], false) && !turns.take(&callers[AT_ONCE + 1], false));
        assert_eq!(turns.give_back(false).as_ref(), Some(&callers[AT_ONCE + 2]));
        assert_eq!(turns.give_back(false).as_ref(), Some(&callers[AT_ONCE + 1]));
        let rest: Vec<_> = (0..AT_ONCE - 2).map(|_| turns.give_back(false)).collect();
        assert!(rest.iter().all(Option::is_none) && turns.taken == 0 && turns.waits.is_empty());
    }

    #[test]
    fn those_that_are_left_unanswered_hold_up_nobody_else() {
        let mut turns = Turns::default();
        let callers = callers(7);
        assert!(turns.take(&callers[0], true) && turns.take(&callers[1], true));
        assert!(!turns.take(&callers[2], true) && !turns.take(&callers[3], true));
        assert!(turns.take(&callers[4], false) && turns.take(&callers[5], false), "the rest is for those who are answered");
        assert!(!turns.take(&callers[6], false));
        assert_eq!(turns.give_back(true).as_ref(), Some(&callers[6]), "they go first, though they came later");
        assert!(turns.take(&callers[6], false));
        assert_eq!(turns.give_back(false).as_ref(), Some(&callers[2]), "there is room for one");
        assert!(turns.take(&callers[2], true));
        assert_eq!(turns.give_back(false), None, "and for no more, though a turn is free");
        assert_eq!(turns.give_back(true).as_ref(), Some(&callers[3]));
    }

    #[test]
    fn who_leaves_before_being_woken_takes_nobodys_turn() {
        let mut turns = Turns::default();
        let callers = callers(AT_ONCE + 2);
        assert_eq!(callers.iter().filter(|caller| turns.take(caller, false)).count(), AT_ONCE);
        assert_eq!(turns.leave(&callers[AT_ONCE]), None, "all turns are taken");
        assert_eq!(turns.give_back(false).as_ref(), Some(&callers[AT_ONCE + 1]));
        assert_eq!((turns.leave(&callers[AT_ONCE + 1]), turns.woken.len()), (None, 0));
    }
}
