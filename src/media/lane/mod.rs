//! A lane: all calls with the same credentials, in the order of their deadlines, behind one gate.
//!
//! Pure. A shell enqueues, asks [`Lane::start`] for what may be called now, reports each answer with [`Lane::answered`], and comes back at
//! [`Lane::look_at`].

mod gate;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use gate::Closure;
use gate::Gate;
use queue::Queue;

use super::FailureClass;
use crate::time::Instant;

/// Who calls: the uid of a request.
pub type Caller = Arc<str>;

/// A call that waits in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The expiry that the call would miss; for a newcomer, the instant of its arrival. The earliest goes first.
    pub deadline: Instant,
    /// What holds the call back besides its turn.
    pub hold: Hold,
    /// Whether somebody may just have mended what a closed lane looks at slowly: then it is looked at now.
    pub urgent: bool,
}

/// What holds a call back besides its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    Nothing,
    /// An attempt failed for a reason that the lane shares: until then, or until the lane opens.
    WithLane(Instant),
    /// An attempt failed for a reason of its own: until then.
    Own(Instant),
}

impl Hold {
    /// Until when, if until any time.
    #[must_use]
    pub const fn until(self) -> Option<Instant> {
        match self {
            Self::Nothing => None,
            Self::WithLane(until) | Self::Own(until) => Some(until),
        }
    }
}

/// What an answer did to the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateChange {
    /// The gate is as it was.
    Unchanged,
    /// The gate closed: one probe at a time from now on.
    Closed,
    /// The gate opened: all who wait are called in order.
    Opened,
}

/// All calls with the same credentials.
#[derive(Debug, Default)]
pub struct Lane {
    queue: Queue,
    /// Whose calls are in flight, and the deadlines that they have.
    in_flight: BTreeMap<Caller, Instant>,
    gate: Gate,
    last_success: Option<Instant>,
    last_answer: Option<Instant>,
}

impl Lane {
    /// Puts a caller in the queue, or changes how it waits. A caller whose call is in flight isn't queued a second time.
    pub fn enqueue(&mut self, caller: &Caller, waiting: Waiting) {
        if !self.in_flight.contains_key(caller) {
            self.queue.insert(caller, waiting);
        }
    }

    /// Takes a caller out, whether it waits or its call is in flight.
    pub fn withdraw(&mut self, caller: &Caller) {
        self.queue.remove(caller);
        self.in_flight.remove(caller);
        self.gate.forget(caller);
    }

    /// The caller to call now, which counts as in flight from here on; `None` when nobody may be called now.
    pub fn start(&mut self, now: Instant) -> Option<Caller> {
        self.queue.release(now);
        let caller = match &mut self.gate {
            Gate::Open { .. } => self.queue.first_ready()?,
            Gate::Closed(closure) => {
                let candidates = self.queue.probe_candidates();
                closure.probe(now, candidates)?
            }
        };
        let deadline = self.queue.remove(&caller)?;
        self.in_flight.insert(caller.clone(), deadline);
        Some(caller)
    }

    /// Takes in how a call ended. `draw`, from 0 to 1, spreads the next probe.
    pub fn answered(&mut self, caller: &Caller, outcome: Result<(), FailureClass>, now: Instant, draw: f64) -> GateChange {
        // What has just ended still counts as pressing if it was.
        let pressing = self.pressing(now);
        if self.in_flight.remove(caller).is_none() {
            return GateChange::Unchanged;
        }
        self.last_answer = Some(now);
        match outcome {
            Ok(()) => {
                self.last_success = Some(now);
                let change = self.gate.succeeded(caller, now);
                if change == GateChange::Opened {
                    self.queue.release_lane_holds();
                }
                change
            }
            Err(class) => {
                let recently_succeeded = self.recently_succeeded(now);
                self.gate.failed(caller, &gate::Failed { class, recently_succeeded, pressing, now, draw })
            }
        }
    }

    /// When [`Self::start`] may next have somebody to call, if nothing else happens.
    #[must_use]
    pub fn look_at(&self) -> Option<Instant> {
        match &self.gate {
            Gate::Open { .. } => self.queue.next_release(),
            Gate::Closed(closure) => match self.queue.probe_candidates().next() {
                Some(_) => closure.probe_at(),
                None => self.queue.next_release(),
            },
        }
    }

    /// Why the gate is closed, if it is.
    #[must_use]
    pub const fn closure(&self) -> Option<&Closure> {
        match &self.gate {
            Gate::Open { .. } => None,
            Gate::Closed(closure) => Some(closure),
        }
    }

    /// Who waits.
    pub fn waiting(&self) -> impl Iterator<Item = &Caller> {
        self.queue.callers()
    }

    /// How many calls are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether the lane's credentials succeeded so recently that a refusal looks like a passing fault.
    #[must_use]
    pub fn recently_succeeded(&self, now: Instant) -> bool {
        self.last_success.is_some_and(|success| now.since(success) <= crate::media::retry::RECENT_SUCCESS)
    }

    /// Whether the lane can be forgotten: nobody in it, and no answer so recent that what it told still matters.
    #[must_use]
    pub fn idle(&self, now: Instant) -> bool {
        let recent = self.last_answer.is_some_and(|answer| now.since(answer) <= crate::media::retry::RECENT_SUCCESS);
        self.queue.is_empty() && self.in_flight.is_empty() && !recent
    }

    fn pressing(&self, now: Instant) -> bool {
        let deadlines = self.queue.earliest_deadline().into_iter().chain(self.in_flight.values().copied());
        deadlines.min().is_some_and(|deadline| deadline <= now + crate::media::retry::PRESSING)
    }
}

/// The longest time that a 429 may close a lane for.
pub const LONGEST_THROTTLE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
