//! Who may write now. Statuses: few at a time, so that grants go first when all are written at once. Secrets: as many as there are at work, but of
//! those that the API server leaves unanswered no more than half of that, so that a webhook that hangs in one namespace leaves room for the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::registry::Registry;
use super::scope::CONCURRENCY;
use crate::lifecycle::Urgency;
use crate::media::lane::Caller;

/// How many may write at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    at_once: u16,
    /// So many of those are of requests whose last write was left unanswered, or the last one in their namespace: where a webhook hangs for some, it
    /// holds up the others once for each such request or, where all of a namespace hang, for its first few.
    unanswered: u16,
}

/// Of all that is written at once: the rest is left to grants, also where the API server leaves statuses unanswered, and where there are no grants to
/// be written it is enough for hundreds a second.
pub(super) const STATUSES: Limits = Limits { at_once: 4, unanswered: 2 };

pub(super) const SECRETS: Limits = Limits { at_once: CONCURRENCY, unanswered: CONCURRENCY / 2 };

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
    urgency: Urgency,
}

impl Turns {
    pub(super) fn new(limits: Limits, registry: Arc<Registry>) -> Self {
        Self { limits, scopes: Mutex::default(), registry }
    }

    /// Leave for this request; `None`: it is woken when its turn has come.
    pub(super) fn take(&self, scope: usize, namespace: &str, caller: &Caller, urgency: Urgency) -> Option<Turn<'_>> {
        let mut scopes = self.scopes();
        let turns = scopes.entry(scope).or_insert_with(|| Queue::new(self.limits));
        let urgency = turns.urgency_in(namespace, urgency);
        let taken = turns.come(caller, urgency);
        drop(scopes);
        match taken {
            Ok(()) => Some(Turn { of: self, scope, urgency }),
            Err(next) => {
                self.wake(next);
                None
            }
        }
    }

    /// What was to be written in that namespace was, or was refused, or (not `is_answered`) left unanswered.
    pub(super) fn ended(&self, scope: usize, namespace: &str, is_answered: bool) {
        if let Some(turns) = self.scopes().get_mut(&scope) {
            turns.ended(namespace, is_answered);
        }
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

    fn scopes(&self) -> MutexGuard<'_, BTreeMap<usize, Queue>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let next = self.of.scopes().get_mut(&self.scope).and_then(|turns| turns.give_back(self.urgency));
        self.of.wake(next);
    }
}

/// The turns that are taken, and who waits for one. Pure.
#[derive(Debug)]
struct Queue {
    limits: Limits,
    taken: u16,
    taken_by_unanswered: u16,
    /// In the order in which they came.
    waiting: BTreeMap<Urgency, VecDeque<Caller>>,
    /// Those in any of them.
    waits: BTreeMap<Caller, Urgency>,
    /// Those who have been woken and haven't come yet.
    woken: BTreeSet<Caller>,
    /// The namespaces in which the last write was left unanswered.
    unanswered_in: BTreeSet<String>,
}

impl Queue {
    const fn new(limits: Limits) -> Self {
        Self {
            limits,
            taken: 0,
            taken_by_unanswered: 0,
            waiting: BTreeMap::new(),
            waits: BTreeMap::new(),
            woken: BTreeSet::new(),
            unanswered_in: BTreeSet::new(),
        }
    }

    fn urgency_in(&self, namespace: &str, urgency: Urgency) -> Urgency {
        if self.unanswered_in.contains(namespace) { Urgency::Unanswered } else { urgency }
    }

    fn ended(&mut self, namespace: &str, is_answered: bool) {
        if is_answered {
            self.unanswered_in.remove(namespace);
        } else if !self.unanswered_in.contains(namespace) {
            self.unanswered_in.insert(namespace.to_owned());
        }
    }

    /// Takes a turn, or gives whoever is to be woken in the caller's stead, if that was: it may have come with less urgency than it was woken for.
    fn come(&mut self, caller: &Caller, urgency: Urgency) -> Result<(), Option<Caller>> {
        let was_woken = self.woken.contains(caller);
        if self.take(caller, urgency) { Ok(()) } else { Err(if was_woken { self.next() } else { None }) }
    }

    fn take(&mut self, caller: &Caller, urgency: Urgency) -> bool {
        let was_woken = self.woken.remove(caller);
        if self.is_free(urgency) {
            self.taken += 1;
            self.taken_by_unanswered += u16::from(urgency == Urgency::Unanswered);
            self.wait_no_more(caller);
            return true;
        }
        if self.waits.get(caller) != Some(&urgency) {
            self.wait_no_more(caller);
            self.waits.insert(caller.clone(), urgency);
            let waiting = self.waiting.entry(urgency).or_default();
            // Who was overtaken on the way here has waited longest.
            if was_woken { waiting.push_front(caller.clone()) } else { waiting.push_back(caller.clone()) }
        }
        false
    }

    fn is_free(&self, urgency: Urgency) -> bool {
        let Limits { at_once, unanswered } = self.limits;
        self.taken < at_once && !(urgency == Urgency::Unanswered && self.taken_by_unanswered >= unanswered)
    }

    /// Returns whoever is to be woken.
    fn give_back(&mut self, urgency: Urgency) -> Option<Caller> {
        self.taken = self.taken.saturating_sub(1);
        self.taken_by_unanswered = self.taken_by_unanswered.saturating_sub(u16::from(urgency == Urgency::Unanswered));
        self.next()
    }

    /// Returns whoever is to be woken in the caller's stead, if that was.
    fn leave(&mut self, caller: &Caller) -> Option<Caller> {
        self.wait_no_more(caller);
        if self.woken.remove(caller) { self.next() } else { None }
    }

    /// The most urgent for whom there is a turn, who waits no more from here on.
    fn next(&mut self) -> Option<Caller> {
        // One turn is left to those who were left unanswered: the API server may have been slow, and be slow still.
        let urgencies = match self.taken_by_unanswered {
            0 => [Urgency::Transition, Urgency::Unanswered, Urgency::Usual],
            _ => [Urgency::Transition, Urgency::Usual, Urgency::Unanswered],
        };
        let free = urgencies.into_iter().filter(|urgency| self.is_free(*urgency)).collect::<Vec<_>>();
        let next = free.iter().find_map(|urgency| self.waiting.get_mut(urgency)?.pop_front())?;
        self.waits.remove(&next);
        self.woken.insert(next.clone());
        Some(next)
    }

    fn wait_no_more(&mut self, caller: &Caller) {
        if let Some(waiting) = self.waits.remove(caller).and_then(|urgency| self.waiting.get_mut(&urgency)) {
            waiting.retain(|waits| waits != caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;

    use super::Urgency::{Transition, Unanswered, Usual};
    use super::*;
    use crate::lifecycle::Identity;
    use crate::time::Instant;

    const LIMITS: Limits = Limits { at_once: 4, unanswered: 2 };
    const AT_ONCE: usize = 4;
    const UNANSWERED_AT_ONCE: usize = 2;

    fn callers(count: usize) -> Vec<Caller> {
        (0..count).map(|n| Caller::from(format!("uid-{n}"))).collect()
    }

    #[test]
    fn a_turn_is_given_back_by_whoever_had_it_and_by_nobody_else() {
        let turns = Turns::new(LIMITS, Arc::default());
        let callers = callers(AT_ONCE + 2);
        let count = || turns.scopes().get(&0).map(|turns| (turns.taken, turns.waits.len()));
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
            let identity = Identity { namespace: "web".to_owned(), name: format!("of-{}", &**caller), uid: caller.to_string() };
            registry.enter(&identity, None, 0, &trigger, Instant::after_start(std::time::Duration::ZERO));
        }
        let turns = Turns::new(LIMITS, registry);
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
    fn few_go_at_once_and_the_others_in_the_order_in_which_they_came() {
        let mut turns = Queue::new(LIMITS);
        let callers = callers(AT_ONCE + 3);
        let taken: Vec<bool> = callers.iter().map(|caller| turns.take(caller, Usual)).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), AT_ONCE);
        assert!(!turns.take(&callers[AT_ONCE], Usual), "it waits already");
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[AT_ONCE]));
        assert!(turns.take(&callers[0], Usual), "it was quicker");
        assert!(!turns.take(&callers[AT_ONCE], Usual));
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[AT_ONCE]), "who was overtaken is first again");
        // One that comes by itself doesn't wait any more.
        assert!(turns.take(&callers[AT_ONCE + 1], Usual) && !turns.take(&callers[AT_ONCE], Usual));
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[AT_ONCE]));
        assert!(turns.take(&callers[AT_ONCE], Usual) && !turns.take(&callers[AT_ONCE + 1], Usual));
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[AT_ONCE + 2]));
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[AT_ONCE + 1]));
        let rest: Vec<_> = (0..AT_ONCE - 2).map(|_| turns.give_back(Usual)).collect();
        assert!(rest.iter().all(Option::is_none) && turns.taken == 0 && turns.waits.is_empty());
    }

    #[test]
    fn those_that_are_left_unanswered_hold_up_nobody_else() {
        let mut turns = Queue::new(LIMITS);
        let callers = callers(7);
        assert!(turns.take(&callers[0], Unanswered) && turns.take(&callers[1], Unanswered));
        assert!(!turns.take(&callers[2], Unanswered) && !turns.take(&callers[3], Unanswered));
        assert!(turns.take(&callers[4], Usual) && turns.take(&callers[5], Usual), "the rest is for those who are answered");
        assert!(!turns.take(&callers[6], Usual));
        assert_eq!(turns.give_back(Unanswered).as_ref(), Some(&callers[6]), "they go first, though they came later");
        assert!(turns.take(&callers[6], Usual));
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[2]), "there is room for one");
        assert!(turns.take(&callers[2], Unanswered));
        assert_eq!(turns.give_back(Usual), None, "and for no more, though a turn is free");
        assert_eq!(turns.give_back(Unanswered).as_ref(), Some(&callers[3]));
    }

    #[test]
    fn where_the_last_was_left_unanswered_the_next_count_for_it_until_one_is_answered() {
        let mut turns = Queue::new(LIMITS);
        assert_eq!(turns.urgency_in("web", Transition), Transition);
        turns.ended("web", false);
        turns.ended("web", false);
        assert_eq!([turns.urgency_in("web", Transition), turns.urgency_in("other", Usual)], [Unanswered, Usual]);
        turns.ended("other", true);
        assert_eq!(turns.urgency_in("web", Usual), Unanswered);
        turns.ended("web", true);
        assert_eq!([turns.urgency_in("web", Transition), turns.urgency_in("web", Unanswered)], [Transition, Unanswered]);
    }

    #[test]
    fn a_turn_that_whoever_was_woken_may_not_take_any_more_goes_to_the_next() {
        let mut turns = Queue::new(LIMITS);
        let callers = callers(AT_ONCE + 4);
        assert_eq!(callers.iter().filter(|caller| turns.take(caller, Transition)).count(), AT_ONCE);
        // What is under way in their namespace turns out to hang, and two of it are tried again.
        let [first, second] = [0, 1].map(|_| turns.give_back(Transition).unwrap());
        assert_eq!([turns.come(&first, Unanswered), turns.come(&second, Unanswered)], [Ok(()), Ok(())]);
        let third = turns.give_back(Transition).unwrap();
        let healthy = callers.last().unwrap();
        assert_eq!(turns.come(&third, Unanswered), Err(Some(healthy.clone())));
        assert_eq!(turns.come(healthy, Transition), Ok(()));
        assert_eq!(turns.come(&third, Unanswered), Err(None), "it was woken for nothing, and waits again");
    }

    #[test]
    fn of_a_namespace_that_hangs_no_more_than_two_are_tried_at_once() {
        let turns = Turns::new(LIMITS, Arc::default());
        let callers = callers(2 * AT_ONCE);
        let first: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, "hangs", caller, Transition)).collect();
        assert_eq!(first.len(), AT_ONCE, "of this nobody knows yet");
        turns.ended(0, "hangs", false);
        drop(first);
        let again: Vec<_> = callers.iter().filter_map(|caller| turns.take(0, "hangs", caller, Transition)).collect();
        assert_eq!(again.len(), UNANSWERED_AT_ONCE);
        assert!(turns.take(0, "web", &callers[0], Usual).is_some(), "there is room for others");
        drop(again);
        assert_eq!(turns.scopes()[&0].taken_by_unanswered, 0, "given back as it was taken");
    }

    #[test]
    fn a_transition_goes_before_what_is_as_usual_and_who_comes_with_one_moves_up() {
        let mut turns = Queue::new(LIMITS);
        let callers = callers(AT_ONCE + 4);
        assert_eq!(callers.iter().take(AT_ONCE + 2).filter(|caller| turns.take(caller, Usual)).count(), AT_ONCE);
        assert!(!turns.take(&callers[AT_ONCE + 2], Transition) && !turns.take(&callers[AT_ONCE + 3], Usual));
        assert!(!turns.take(&callers[AT_ONCE + 1], Transition), "it waits already, for less");
        let order: Vec<_> = (0..AT_ONCE).filter_map(|_| turns.give_back(Usual)).collect();
        assert_eq!(order, [2, 1, 0, 3].map(|n| callers[AT_ONCE + n].clone()));
        assert!(turns.waits.is_empty());
    }

    #[test]
    fn those_that_are_left_unanswered_come_to_their_turn_where_others_always_wait() {
        let mut turns = Queue::new(LIMITS);
        let callers = callers(AT_ONCE + 3);
        assert_eq!(callers.iter().take(AT_ONCE + 2).filter(|caller| turns.take(caller, Usual)).count(), AT_ONCE);
        assert!(!turns.take(&callers[AT_ONCE + 2], Unanswered));
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[AT_ONCE + 2]), "one of them goes first");
        assert!(turns.take(&callers[AT_ONCE + 2], Unanswered));
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[AT_ONCE]), "and the next after the others");
    }

    #[test]
    fn who_leaves_before_being_woken_takes_nobodys_turn() {
        let mut turns = Queue::new(LIMITS);
        let callers = callers(AT_ONCE + 2);
        assert_eq!(callers.iter().filter(|caller| turns.take(caller, Usual)).count(), AT_ONCE);
        assert_eq!(turns.leave(&callers[AT_ONCE]), None, "all turns are taken");
        assert_eq!(turns.give_back(Usual).as_ref(), Some(&callers[AT_ONCE + 1]));
        assert_eq!((turns.leave(&callers[AT_ONCE + 1]), turns.woken.len()), (None, 0));
    }
}
