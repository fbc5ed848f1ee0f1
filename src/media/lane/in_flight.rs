//! The calls in flight, and the attempts that are out for each.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Caller, Kind};
use crate::time::Instant;

/// One call: what it was asked for, and what is out for it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) deadline: Instant,
    began: Instant,
    /// Since when nothing has been heard of its caller's calls, this one or those before.
    pub(super) unheard_since: Instant,
    /// The numbers of its attempts, and when each was sent; the newest last. Never empty.
    attempts: Vec<(u64, Instant)>,
}

impl Call {
    pub(super) fn attempts(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn first_sent(&self) -> Option<Instant> {
        self.attempts.first().map(|(_, sent)| *sent)
    }

    pub(super) fn last_sent(&self) -> Option<Instant> {
        self.attempts.last().map(|(_, sent)| *sent)
    }
}

/// All calls in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    calls: BTreeMap<Caller, Call>,
    out: usize,
    numbers: u64,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) sent: Instant,
    /// When the first attempt of its call was sent, and since when nothing has been heard.
    pub(super) began: Instant,
    pub(super) unheard_since: Instant,
    /// How many more are out for the same call.
    pub(super) others: usize,
}

impl InFlight {
    /// An attempt is sent for a call that has none out yet. Returns its number.
    pub(super) fn begin(&mut self, caller: &Caller, (kind, deadline): (Kind, Instant), unheard_since: Instant, now: Instant) -> u64 {
        self.calls.insert(caller.clone(), Call { kind, deadline, began: now, unheard_since, attempts: Vec::new() });
        self.add(caller, now)
    }

    /// Another attempt is sent for a call. Returns its number.
    pub(super) fn add(&mut self, caller: &Caller, now: Instant) -> u64 {
        self.numbers += 1;
        if let Some(call) = self.calls.get_mut(caller) {
            call.attempts.push((self.numbers, now));
            self.out += 1;
        }
        self.numbers
    }

    /// An attempt is sent in place of all that are out for a call. Returns its number.
    pub(super) fn replace(&mut self, caller: &Caller, now: Instant) -> u64 {
        if let Some(call) = self.calls.get_mut(caller) {
            self.out -= call.attempts.len();
            call.attempts.clear();
            (call.began, call.unheard_since) = (now, now);
        }
        self.add(caller, now)
    }

    /// An attempt has ended. `None`: it is of no call in flight.
    pub(super) fn end(&mut self, caller: &Caller, number: u64) -> Option<Ended> {
        let call = self.calls.get_mut(caller)?;
        let at = call.attempts.iter().position(|(attempt, _)| *attempt == number)?;
        let (_, sent) = call.attempts.remove(at);
        self.out -= 1;
        let (began, unheard_since, others) = (call.began, call.unheard_since, call.attempts.len());
        if others == 0 {
            self.calls.remove(caller);
        }
        Some(Ended { sent, began, unheard_since, others })
    }

    /// Nothing is waited for any more.
    pub(super) fn remove(&mut self, caller: &Caller) {
        if let Some(call) = self.calls.remove(caller) {
            self.out -= call.attempts.len();
        }
    }

    #[cfg(test)]
    pub(super) fn newest(&self, caller: &Caller) -> Option<u64> {
        self.calls.get(caller)?.attempts.last().map(|(number, _)| *number)
    }

    pub(super) fn contains(&self, caller: &Caller) -> bool {
        self.calls.contains_key(caller)
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = (&Caller, &Call)> {
        self.calls.iter()
    }

    /// How many attempts there have been.
    pub(super) const fn numbers(&self) -> u64 {
        self.numbers
    }

    /// How many attempts are out.
    pub(super) const fn out(&self) -> usize {
        self.out
    }

    /// How many of them were sent at `since` or later.
    pub(super) fn out_since(&self, since: Option<Instant>) -> usize {
        let Some(since) = since else { return self.out };
        self.calls.values().flat_map(|call| &call.attempts).filter(|(_, sent)| since <= *sent).count()
    }

    /// When the earliest of those was sent that were sent after `answer`.
    pub(super) fn earliest_after(&self, answer: Option<Instant>) -> Option<Instant> {
        let sent = self.calls.values().flat_map(|call| &call.attempts).map(|(_, sent)| *sent);
        sent.filter(|sent| answer.is_none_or(|answer| answer < *sent)).min()
    }

    pub(super) fn earliest_deadline(&self) -> Option<Instant> {
        self.calls.values().map(|call| call.deadline).min()
    }

    /// Of those calls the one whose last attempt is the longest ago: each has its turn, however many attempts are out for it, and one that is given up
    /// and comes anew doesn't first catch up with the others.
    pub(super) fn longest_untried(&self, of: impl Fn(&Call) -> bool) -> Option<&Caller> {
        let calls = self.calls.iter().filter(|(_, call)| of(call));
        calls.min_by_key(|(caller, call)| (call.last_sent(), call.deadline, *caller)).map(|(caller, _)| caller)
    }

    /// Of the calls with fewer than `most` attempts, the one that has waited for too long first, and since when: `patience` after its last attempt.
    pub(super) fn impatient(&self, most: usize, patience: impl Fn(&Call) -> Duration) -> Option<(Instant, &Caller)> {
        let few = self.calls.iter().filter(|(_, call)| call.attempts() < most);
        few.filter_map(|(caller, call)| Some((call.last_sent()? + patience(call), caller))).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn attempts_are_counted_and_a_call_ends_with_its_last() {
        let (a, b) = (Caller::from("a"), Caller::from("b"));
        let mut calls = InFlight::default();
        let first = calls.begin(&a, (Kind::Refresh, at(9000)), at(0), at(1));
        let second = calls.add(&a, at(2));
        let other = calls.begin(&b, (Kind::Newcomer, at(8000)), at(3), at(3));
        assert!(first < second && second < other);
        assert_eq!((calls.out(), calls.out_since(Some(at(2))), calls.out_since(None)), (3, 2, 3));
        assert_eq!(calls.earliest_deadline(), Some(at(8000)));
        assert_eq!(calls.longest_untried(|_| true), Some(&a));
        assert_eq!(calls.longest_untried(|call| call.attempts() == 1), Some(&b));
        assert_eq!([None, Some(at(1)), Some(at(3))].map(|answer| calls.earliest_after(answer)), [Some(at(1)), Some(at(2)), None]);
        assert_eq!(calls.end(&a, other), None, "of another call");
        assert_eq!(calls.end(&a, first), Some(Ended { sent: at(1), began: at(1), unheard_since: at(0), others: 1 }));
        assert_eq!(calls.end(&a, first), None, "it has ended");
        assert!(calls.contains(&a));
        calls.add(&a, at(3));
        let instead = calls.replace(&a, at(4));
        assert_eq!((calls.out(), calls.end(&a, second)), (2, None));
        assert_eq!(calls.end(&a, instead), Some(Ended { sent: at(4), began: at(4), unheard_since: at(4), others: 0 }));
        assert!(!calls.contains(&a));
        calls.remove(&b);
        calls.remove(&b);
        assert_eq!((calls.out(), calls.calls().count()), (0, 0));
        assert_eq!((calls.longest_untried(|_| true), calls.earliest_deadline(), calls.earliest_after(None)), (None, None, None));
    }

    #[test]
    fn who_has_waited_for_longest_by_its_own_patience_is_the_most_impatient() {
        let mut calls = InFlight::default();
        for (name, deadline, sent) in [("a", 9000, 0), ("b", 100, 50), ("c", 9000, 10)] {
            calls.begin(&Caller::from(name), (Kind::Refresh, at(deadline)), at(sent), at(sent));
        }
        let patience = |call: &Call| Duration::from_millis(if call.deadline < at(1000) { 10 } else { 500 });
        assert_eq!(calls.impatient(2, patience), Some((at(60), &Caller::from("b"))));
        calls.add(&Caller::from("b"), at(60));
        assert_eq!(calls.impatient(2, patience), Some((at(500), &Caller::from("a"))), "that one has enough attempts");
        assert_eq!(calls.impatient(3, patience), Some((at(70), &Caller::from("b"))));
        assert_eq!(calls.impatient(1, patience), None);
    }

    #[test]
    fn each_has_its_turn_however_many_attempts_are_out_for_it() {
        let mut calls = InFlight::default();
        assert_eq!(calls.longest_untried(|_| true), None);
        for (name, deadline) in [("a", 9000), ("b", 100), ("c", 9000)] {
            calls.begin(&Caller::from(name), (Kind::Refresh, at(deadline)), at(10), at(10));
        }
        let tried: Vec<Caller> = (1..=5)
            .map(|n| {
                let next = calls.longest_untried(|_| true).unwrap().clone();
                calls.add(&next, at(10 + n));
                next
            })
            .collect();
        assert_eq!(tried.iter().map(|caller| &**caller).collect::<Vec<_>>(), ["b", "a", "c", "b", "a"]);
        calls.remove(&Caller::from("b"));
        calls.begin(&Caller::from("b"), (Kind::Refresh, at(100)), at(20), at(20));
        assert_eq!(calls.longest_untried(|_| true), Some(&Caller::from("c")), "one that comes anew is tried no more often than the others");
    }
}
