//! Who may write a status now: few at a time, so that grants go first when all are written at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::registry::Registry;
use crate::media::lane::Caller;

/// So many statuses are written at once, of all that is (`scope::CONCURRENCY`): the rest is left to grants, also where the API server leaves statuses
/// unanswered, and where there are no grants to be written it is enough for hundreds a second.
const AT_ONCE: usize = 4;

/// Who may write a status now. Each scope has turns of its own: what hangs in one namespace holds up no other.
pub(super) struct StatusTurns {
    scopes: Mutex<BTreeMap<usize, Turns>>,
    registry: Arc<Registry>,
}

/// Leave to write a status, until it is dropped: then whoever of its scope has waited longest is woken.
pub(super) struct Turn<'a> {
    of: &'a StatusTurns,
    scope: usize,
}

impl StatusTurns {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self { scopes: Mutex::default(), registry }
    }

    /// Leave for this request; `None`: it is woken when its turn has come.
    pub(super) fn take(&self, scope: usize, caller: &Caller) -> Option<Turn<'_>> {
        // Not `then_some`: a turn that wasn't given must not be given back.
        let is_given = self.scopes().entry(scope).or_default().take(caller);
        is_given.then(|| Turn { of: self, scope })
    }

    fn scopes(&self) -> MutexGuard<'_, BTreeMap<usize, Turns>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let next = self.of.scopes().entry(self.scope).or_default().give_back();
        if let Some(next) = next {
            self.of.registry.wake(&next);
        }
    }
}

/// The turns that are taken, and who waits for one. Pure.
#[derive(Debug, Default)]
struct Turns {
    taken: usize,
    waiting: VecDeque<Caller>,
    waits: BTreeSet<Caller>,
}

impl Turns {
    fn take(&mut self, caller: &Caller) -> bool {
        if self.taken < AT_ONCE {
            self.taken += 1;
            self.waits.remove(caller);
            return true;
        }
        if self.waits.insert(caller.clone()) {
            self.waiting.push_back(caller.clone());
        }
        false
    }

    /// Returns whoever has waited longest, and waits no more from here on.
    fn give_back(&mut self) -> Option<Caller> {
        self.taken = self.taken.saturating_sub(1);
        while let Some(next) = self.waiting.pop_front() {
            if self.waits.remove(&next) {
                return Some(next);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_given_back_by_whoever_had_it_and_by_nobody_else() {
        let turns = StatusTurns::new(Arc::default());
        let callers: Vec<Caller> = (0..AT_ONCE + 2).map(|n| Caller::from(format!("uid-{n}"))).collect();
        let count = || turns.scopes().get(&0).map(|turns| (turns.taken, turns.waiting.len()));
        let mut given: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, caller)).collect();
        assert_eq!((given.len(), count()), (AT_ONCE, Some((AT_ONCE, 2))));
        assert!(turns.take(1, &callers[0]).is_some(), "another namespace's are its own");
        given.pop();
        assert_eq!(count(), Some((AT_ONCE - 1, 1)));
        assert!(turns.take(0, &callers[0]).is_some(), "and it is given back at once");
        given.clear();
        assert_eq!(count(), Some((0, 0)));
    }

    #[test]
    fn few_go_at_once_and_the_others_in_the_order_in_which_they_came() {
        let mut turns = Turns::default();
        let callers: Vec<Caller> = (0..AT_ONCE + 3).map(|n| Caller::from(format!("uid-{n}"))).collect();
        let taken: Vec<bool> = callers.iter().map(|caller| turns.take(caller)).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), AT_ONCE);
        assert!(!turns.take(&callers[AT_ONCE]), "it waits already");
        assert_eq!(turns.give_back().as_ref(), Some(&callers[AT_ONCE]));
        assert!(turns.take(&callers[AT_ONCE]) && !turns.take(&callers[0]));
        assert_eq!(turns.give_back().as_ref(), Some(&callers[AT_ONCE + 1]));
        // One that comes by itself doesn't wait any more.
        assert!(turns.take(&callers[AT_ONCE + 2]));
        assert_eq!(turns.give_back().as_ref(), Some(&callers[0]));
        let rest: Vec<_> = (0..AT_ONCE).map(|_| turns.give_back()).collect();
        assert!(rest.iter().all(Option::is_none) && turns.taken == 0);
    }
}
