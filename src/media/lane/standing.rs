//! How a lane stands.

use super::gate::Gate;
use super::{Caller, Lane};
use crate::media::FailureClass;
use crate::media::retry::{PRESSING, RECENT_SUCCESS};
use crate::time::Instant;

impl Lane {
    /// Whether what was called isn't answered.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.hearing.is_silent()
    }

    /// Why the lane lets only probes through, if it does, and whether it is looked at slowly.
    #[must_use]
    pub fn closure(&self) -> Option<(FailureClass, bool)> {
        match &self.gate {
            Gate::Closed(closure) => Some((closure.class, closure.slow)),
            Gate::Open { .. } => self.hearing.is_silent().then_some((FailureClass::Unavailable, false)),
        }
    }

    /// Who waits.
    pub fn waiting(&self) -> impl Iterator<Item = &Caller> {
        self.queue.callers()
    }

    /// Who waits, for a turn or for an answer.
    pub fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.queue.callers().chain(self.in_flight.calls().map(|(caller, _)| caller))
    }

    /// Whether this caller waits.
    #[must_use]
    pub fn waits(&self, caller: &Caller) -> bool {
        self.queue.contains(caller)
    }

    /// How many attempts are out.
    #[must_use]
    pub const fn out(&self) -> usize {
        self.in_flight.out()
    }

    /// How many attempts are out that were sent since the lane was last opened.
    #[must_use]
    pub fn out_since_opened(&self) -> usize {
        self.in_flight.out_since(self.opened)
    }

    /// Whether the lane's credentials succeeded so recently that a refusal looks like a passing fault.
    #[must_use]
    pub fn recently_succeeded(&self, now: Instant) -> bool {
        self.last_success.is_some_and(|success| now.since(success) <= RECENT_SUCCESS)
    }

    /// Whether somebody waits in it, for a turn or for an answer.
    #[must_use]
    pub fn has_callers(&self) -> bool {
        !self.queue.is_empty() || self.in_flight.out() > 0
    }

    /// Whether the lane can be forgotten: nobody in it, and no call or answer so recent that what it told, a silence too, still matters.
    #[must_use]
    pub fn idle(&self, now: Instant) -> bool {
        let recent = |at: Option<Instant>| at.is_some_and(|at| now.since(at) <= RECENT_SUCCESS);
        !self.has_callers() && !recent(self.hearing.last_answer()) && !recent(self.last_attempt)
    }

    /// Whether a grant of anybody in it is expired, or will be soon.
    #[must_use]
    pub fn pressing(&self, now: Instant) -> bool {
        let deadlines = self.queue.earliest_deadline().into_iter().chain(self.in_flight.earliest_deadline());
        deadlines.min().is_some_and(|deadline| deadline <= now + PRESSING)
    }
}
