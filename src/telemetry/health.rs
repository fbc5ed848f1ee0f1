//! Whether the operator is ready, and alive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::time::Instant;

/// The operator's own loop beats every second; one that hasn't for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// A reconcile has a bounded number of steps, each with a bounded time. One that takes longer than all of them is stuck.
const RECONCILE_STUCK_AFTER: Duration = Duration::from_mins(5);

/// What has to have happened before the operator is ready, and its heartbeat.
pub struct Gates {
    clock: Clock,
    state: Mutex<State>,
    reconcile_ended: Notify,
}

struct State {
    expected: BTreeMap<&'static str, usize>,
    passed: BTreeMap<&'static str, BTreeSet<usize>>,
    excused: BTreeMap<&'static str, BTreeSet<usize>>,
    beat: Instant,
    reconciles: BTreeMap<u64, Instant>,
    started: u64,
}

/// A reconcile under way; it ends when this is dropped.
pub struct Reconciling<'a> {
    gates: &'a Gates,
    number: u64,
}

impl Drop for Reconciling<'_> {
    fn drop(&mut self) {
        self.gates.state().reconciles.remove(&self.number);
        self.gates.reconcile_ended.notify_waiters();
    }
}

impl Gates {
    /// Gates that are all closed.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let state = State {
            expected: BTreeMap::new(),
            passed: BTreeMap::new(),
            excused: BTreeMap::new(),
            beat: clock.instant(),
            reconciles: BTreeMap::new(),
            started: 0,
        };
        Self { clock, state: Mutex::new(state), reconcile_ended: Notify::new() }
    }

    /// A gate that opens when so many scopes have passed it.
    pub fn expect(&self, gate: &'static str, scopes: usize) {
        self.state().expected.insert(gate, scopes);
    }

    /// The scope has passed the gate.
    pub fn open(&self, gate: &'static str, scope: usize) {
        self.state().passed.entry(gate).or_default().insert(scope);
    }

    /// The scope may not pass the gate, and the others don't wait for it. Where none has passed, none is excused: an operator that may look at
    /// nothing isn't ready.
    pub fn excuse(&self, gate: &'static str, scope: usize) {
        self.state().excused.entry(gate).or_default().insert(scope);
    }

    /// Beats once a second for as long as it is polled.
    pub async fn beat(&self) {
        loop {
            self.state().beat = self.clock.instant();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// A reconcile starts.
    #[must_use]
    pub fn reconciling(&self) -> Reconciling<'_> {
        let now = self.clock.instant();
        let mut state = self.state();
        state.started += 1;
        let number = state.started;
        state.reconciles.insert(number, now);
        Reconciling { gates: self, number }
    }

    /// Waits until no reconcile is under way.
    pub async fn settled(&self) {
        loop {
            let ended = self.reconcile_ended.notified();
            if self.state().reconciles.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Each gate, and whether it is open.
    #[must_use]
    pub fn readiness(&self) -> Vec<(&'static str, bool)> {
        let state = self.state();
        let none = BTreeSet::new();
        let is_open = |gate, scopes: usize| {
            let (passed, excused) = (state.passed.get(gate).unwrap_or(&none), state.excused.get(gate).unwrap_or(&none));
            !passed.is_empty() && passed.union(excused).count() >= scopes
        };
        state.expected.iter().map(|(gate, scopes)| (*gate, is_open(gate, *scopes))).collect()
    }

    /// Whether the operator's loop still goes round, and no reconcile hangs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state().is_alive(self.clock.instant())
    }

    /// Gates whose loop last beat at the clock's start.
    #[cfg(test)]
    pub(super) fn stuck() -> Self {
        let gates = Self::new(Clock::MACHINE);
        gates.state().beat = Instant::after_start(Duration::ZERO);
        gates
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_alive(&self, now: Instant) -> bool {
        // The oldest has the smallest number.
        let oldest = self.reconciles.first_key_value().map(|(_, started)| *started);
        now.since(self.beat) < STUCK_AFTER && oldest.is_none_or(|started| now.since(started) < RECONCILE_STUCK_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_opens_when_all_scopes_have_passed() {
        let gates = Gates::new(Clock::MACHINE);
        gates.expect("requests", 2);
        gates.open("requests", 0);
        gates.open("requests", 0);
        assert_eq!(gates.readiness(), [("requests", false)]);
        gates.open("requests", 1);
        assert_eq!(gates.readiness(), [("requests", true)]);
    }

    #[test]
    fn a_loop_that_stands_still_and_a_reconcile_that_hangs_are_noticed() {
        let gates = Gates::new(Clock::MACHINE);
        let beat = gates.state().beat;
        assert!(gates.state().is_alive(beat + Duration::from_secs(29)));
        assert!(!gates.state().is_alive(beat + Duration::from_secs(30)));
        let reconciling = gates.reconciling();
        let later = beat + Duration::from_mins(6);
        gates.state().beat = later;
        assert!(!gates.state().is_alive(later));
        drop(reconciling);
        assert!(gates.state().is_alive(later));
    }

    #[tokio::test]
    async fn it_settles_when_the_last_reconcile_has_ended() {
        let gates = Gates::new(Clock::MACHINE);
        gates.settled().await;
        let (first, last) = (gates.reconciling(), gates.reconciling());
        let mut settled = std::pin::pin!(gates.settled());
        assert!(futures::poll!(&mut settled).is_pending());
        drop(first);
        assert!(futures::poll!(&mut settled).is_pending());
        drop(last);
        assert!(futures::poll!(&mut settled).is_ready());
    }

    #[test]
    fn a_forbidden_namespace_holds_up_no_other_but_a_forbidden_operator_is_not_ready() {
        let gates = Gates::new(Clock::MACHINE);
        gates.expect("requests", 2);
        gates.excuse("requests", 0);
        gates.excuse("requests", 1);
        assert_eq!(gates.readiness(), [("requests", false)], "it may look at nothing");
        gates.open("requests", 0);
        assert_eq!(gates.readiness(), [("requests", true)]);
    }
}
