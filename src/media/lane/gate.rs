//! When a lane is closed, and what opens it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Caller, GateChange, Waiting};
use crate::media::FailureClass;
use crate::media::retry::FailedAttempt;
use crate::time::Instant;

/// A failure shared by so many different callers, with no success between, is the lane's.
const CALLERS_THAT_CLOSE: usize = 2;

/// Whether calls go through.
#[derive(Clone, Debug)]
pub(super) enum Gate {
    /// They do. `failing`: whose calls have failed for a reason that a lane can share, since the last success.
    Open { failing: BTreeSet<Caller> },
    /// Probes do, the next when the one before is answered or was waited for long enough.
    Closed(Closure),
}

impl Default for Gate {
    fn default() -> Self {
        Self::Open { failing: BTreeSet::new() }
    }
}

/// A failed call, and what matters for the gate.
#[derive(Clone, Copy)]
pub(super) struct Failed {
    pub(super) class: FailureClass,
    pub(super) recently_succeeded: bool,
    pub(super) pressing: bool,
    pub(super) now: Instant,
    pub(super) draw: f64,
}

impl Failed {
    const fn attempt(&self, streak: u32) -> FailedAttempt {
        let Self { class, recently_succeeded, pressing, .. } = *self;
        FailedAttempt { class, streak, recently_succeeded, pressing }
    }

    /// Whether the reason is one that all callers of the lane share.
    const fn is_shared(&self) -> bool {
        // A 429 is the account's: see `media::pace`.
        !self.class.is_own() && !matches!(self.class, FailureClass::Throttled { .. })
    }

    /// The next probe, after so many failures in a row.
    fn probe_at(&self, streak: u32) -> Instant {
        self.now + self.attempt(streak).retry_delay(self.draw)
    }
}

impl Gate {
    /// A call succeeded.
    pub(super) fn succeeded(&mut self) -> GateChange {
        let change = if self.is_open() { GateChange::Unchanged } else { GateChange::Opened };
        *self = Self::default();
        change
    }

    pub(super) fn failed(&mut self, caller: &Caller, failed: &Failed) -> GateChange {
        match self {
            Self::Open { failing } => {
                if !failed.is_shared() {
                    return GateChange::Unchanged;
                }
                failing.insert(caller.clone());
                let at_once = failed.class == FailureClass::Unauthorized;
                if !at_once && failing.len() < CALLERS_THAT_CLOSE {
                    return GateChange::Unchanged;
                }
                *self = Self::Closed(Closure {
                    class: failed.class,
                    slow: failed.attempt(1).slow(),
                    was_slow: failed.attempt(1).slow(),
                    streak: 1,
                    probe_at: failed.probe_at(1),
                    probing: BTreeMap::new(),
                    sent: 0,
                    probes: BTreeMap::new(),
                });
                GateChange::Closed
            }
            Self::Closed(closure) => {
                closure.failed(caller, failed);
                if closure.slow && !std::mem::replace(&mut closure.was_slow, closure.slow) {
                    GateChange::Slowed
                } else {
                    GateChange::Unchanged
                }
            }
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Whether it is closed, and looked at slowly.
    pub(super) const fn is_slow(&self) -> bool {
        matches!(self, Self::Closed(Closure { slow: true, .. }))
    }

    pub(super) fn forget(&mut self, caller: &Caller) {
        match self {
            Self::Open { failing } => {
                failing.remove(caller);
            }
            Self::Closed(closure) => {
                closure.probing.remove(caller);
                closure.probes.remove(caller);
            }
        }
    }
}

/// A closed lane: why, and where its probes stand.
#[derive(Clone, Debug)]
pub struct Closure {
    /// The failure that closed it, or the last failure of a probe.
    pub class: FailureClass,
    /// Whether that is looked at again slowly.
    pub slow: bool,
    was_slow: bool,
    /// How many failures in a row, at the same pace, that was.
    streak: u32,
    probe_at: Instant,
    /// Those that are out, and until when the next waits for them: where failures take longer than that, what each says still counts.
    probing: BTreeMap<Caller, Instant>,
    /// How many were sent, and which of them was each caller's last.
    sent: u64,
    probes: BTreeMap<Caller, u64>,
}

impl Closure {
    /// When the next probe may be sent.
    pub(super) fn probe_at(&self) -> Instant {
        self.probing.values().copied().fold(self.probe_at, Instant::max)
    }

    /// When the next probe may be sent, if nothing else happens; `None`: there is nobody to send.
    pub(super) fn next_probe<'a>(&self, now: Instant, candidates: impl Iterator<Item = (&'a Caller, &'a Waiting)>) -> Option<Instant> {
        let at = |waiting: &Waiting| if self.may_jump(waiting, now) { now } else { self.probe_at() };
        candidates.map(|(_, waiting)| at(waiting)).min()
    }

    /// What is looked at slowly is looked at now for whoever may have mended it.
    fn may_jump(&self, waiting: &Waiting, now: Instant) -> bool {
        self.slow && waiting.urgent && self.probing.values().all(|until| *until <= now)
    }

    /// Chooses the probe, if one may be sent now: whoever was none for longest, so that one that comes anew doesn't first catch up with the others; of those who
    /// never were, the earliest deadline. It is waited for with that patience.
    pub(super) fn probe<'a>(
        &mut self,
        now: Instant,
        patience: Duration,
        candidates: impl Iterator<Item = (&'a Caller, &'a Waiting)>,
    ) -> Option<Caller> {
        let is_time = self.probe_at() <= now;
        let (_, _, caller) = candidates
            .filter(|(_, waiting)| is_time || self.may_jump(waiting, now))
            .map(|(caller, waiting)| (self.probes.get(caller).copied().unwrap_or_default(), waiting.deadline, caller))
            .min()?;
        self.sent += 1;
        self.probes.insert(caller.clone(), self.sent);
        self.probing.insert(caller.clone(), now + patience);
        Some(caller.clone())
    }

    /// Takes in a failure: of the probe, which brings the next one, or of a call that was under way when the lane closed.
    fn failed(&mut self, caller: &Caller, failed: &Failed) {
        let was_probe = self.probing.remove(caller).is_some();
        if was_probe && !failed.is_shared() {
            // That says nothing of the lane: another has to be sent, and soon.
            self.probe_at = Failed { class: FailureClass::Unavailable, ..*failed }.probe_at(1);
        } else if was_probe {
            let slow = failed.attempt(1).slow();
            self.streak = if slow == self.slow { self.streak.saturating_add(1) } else { 1 };
            self.slow = slow;
            self.class = failed.class;
            self.probe_at = failed.probe_at(self.streak);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Hold, Kind};
    use super::*;

    #[test]
    fn one_that_comes_anew_is_no_probe_more_often_than_the_others() {
        let at = |seconds: u64| Instant::after_start(std::time::Duration::from_secs(seconds));
        let waiting = Waiting { kind: Kind::Refresh, deadline: at(60), hold: Hold::Nothing, urgent: false };
        let (a, b) = (Caller::from("a"), Caller::from("b"));
        let class = FailureClass::Unavailable;
        let mut closure = Closure {
            class,
            slow: false,
            was_slow: false,
            streak: 1,
            probe_at: at(0),
            probing: BTreeMap::new(),
            sent: 0,
            probes: BTreeMap::new(),
        };
        for second in 0..5 {
            assert_eq!(closure.probe(at(10 * second), Duration::from_secs(2), [(&a, &waiting)].into_iter()).as_ref(), Some(&a));
        }
        let probes: Vec<_> = (5..9)
            .filter_map(|second| closure.probe(at(10 * second), Duration::from_secs(2), [(&a, &waiting), (&b, &waiting)].into_iter()))
            .collect();
        assert_eq!(probes, [b.clone(), a.clone(), b, a]);
    }

    #[test]
    fn whoever_may_have_mended_what_is_looked_at_slowly_waits_for_the_probe_that_is_out() {
        let at = |seconds: u64| Instant::after_start(std::time::Duration::from_secs(seconds));
        let mut gate = Gate::default();
        let class = FailureClass::Unauthorized;
        let failed = Failed { class, recently_succeeded: false, pressing: false, now: at(0), draw: 0.0 };
        assert_eq!(gate.failed(&Caller::from("a"), &failed), GateChange::Closed);
        let Gate::Closed(closure) = &mut gate else { panic!("it is open") };
        let urgent = Waiting { kind: Kind::Refresh, deadline: at(60), hold: Hold::Nothing, urgent: true };
        let (a, b) = (Caller::from("a"), Caller::from("b"));
        assert!(closure.slow && closure.probe_at() > at(1));
        assert_eq!(closure.probe(at(1), Duration::from_secs(2), [(&a, &urgent)].into_iter()).as_ref(), Some(&a));
        let mut next = |second| closure.probe(at(second), Duration::from_secs(2), [(&b, &urgent)].into_iter());
        assert_eq!([next(2), next(3)], [None, Some(b.clone())]);
    }
}
