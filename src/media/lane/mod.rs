//! A lane: all calls with the same credentials, in the order of their deadlines, behind one gate.
//!
//! Pure. [`Lanes`](super::lanes::Lanes) asks a lane for what may be called now, and how fast; a shell reports how each attempt ended.
//!
//! A lane is *open*, or *closed* by failures: then a few probes a second go through, or *silent*: what was called isn't answered. Then a call is
//! tried every half second, by another connection, and those whose grants are about to expire are tried at once, and again after ten seconds.

mod gate;
mod hearing;
mod in_flight;
mod joining;
mod queue;
mod standing;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use gate::Closure;
use gate::Gate;
use hearing::{Hearing, SILENCE, TRY_INTERVAL};
use in_flight::{Call, InFlight};
use joining::Allowance;
use queue::Queue;
pub use terms::{Answered, Attempt, Caller, GateChange, Hold, Kind, Outcome, Waiting};

use super::FailureClass;
use super::retry::PRESSING;
use crate::time::Instant;

/// What has failed for so long is told, though others are out for the same call: as long as one that isn't answered may take.
const TOLD_AFTER: Duration = Duration::from_secs(10);
/// In a silence who has been tried isn't tried again as one that presses sooner than after this: as long as a call that isn't answered may take.
const PRESSES_AGAIN: Duration = TOLD_AFTER;
/// Where calls wait for their turn, one in so many may be a lost one's that is tried again.
const CALLS_FOR_A_TRY: u64 = 10;
/// So many attempts are out for one call at the most while its lane is open.
const MOST_ATTEMPTS: usize = 3;

/// A call that is to be made once more: of that kind, with that deadline, and whose.
type Again = (Kind, Instant, Caller);

fn again((caller, call): (&Caller, &Call)) -> Again {
    (call.kind, call.deadline, caller.clone())
}

/// All calls with the same credentials.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    queue: Queue,
    in_flight: InFlight,
    gate: Gate,
    hearing: Hearing,
    allowance: Allowance,
    /// Those whose calls went unanswered until the lane opened: they are called again.
    again: BTreeSet<Again>,
    opened: Option<Instant>,
    /// Since when nothing has been heard of the calls of those whose last ended so: their next counts for lost as soon as it is not answered either.
    unheard: BTreeMap<Caller, Instant>,
    /// When those who wait were last tried in this silence.
    sounded: BTreeMap<Caller, Instant>,
    /// Whether a silence was broken by what opened nothing.
    unopened: bool,
    last_attempt: Option<Instant>,
    /// When a lost call was last tried again, and which attempt that was.
    tried: Option<(Instant, u64)>,
    last_success: Option<Instant>,
}

impl Lane {
    /// Puts a caller in the queue, or changes how it waits. A caller whose call is in flight isn't queued a second time.
    pub fn enqueue(&mut self, caller: &Caller, mut waiting: Waiting) {
        if let Some(sounded) = self.sounded.get(caller)
            && let Hold::WithLane(until) = &mut waiting.hold
        {
            *until = (*until).max(*sounded + PRESSES_AGAIN);
        }
        if !self.in_flight.contains(caller) {
            self.queue.insert(caller, waiting);
        }
    }

    /// Takes a caller out, whether it waits or its call is in flight.
    pub fn withdraw(&mut self, caller: &Caller) {
        self.queue.remove(caller);
        self.sounded.remove(caller);
        self.unheard.remove(caller);
        self.end_call(caller);
        self.gate.forget(caller);
    }

    /// Takes in that time has passed. Returns whether the lane has just become silent.
    pub fn listen(&mut self, now: Instant) -> bool {
        self.queue.release(now);
        self.hearing.listen(&self.in_flight, self.gate.is_slow(), now)
    }

    /// The attempt to make now, in a lane that is closed or silent. `has_room`: whether there may be more than one at a time.
    pub fn probe(&mut self, now: Instant, has_room: bool) -> Option<Attempt> {
        if self.hearing.is_silent() {
            return self.try_silent(now, has_room);
        }
        let Gate::Closed(closure) = &mut self.gate else { return None };
        if self.queue.probe_candidates().next().is_none() {
            // The only ones that could be sent are out, and may be lost.
            return self.try_again(now);
        }
        let patience = if closure.slow { self.hearing.long_patience() } else { self.hearing.patience(now) };
        let caller = closure.probe(now, patience, self.queue.probe_candidates())?;
        self.call(&caller, now)
    }

    fn try_silent(&mut self, now: Instant, has_room: bool) -> Option<Attempt> {
        if let Some((deadline, caller)) = self.queue.first_ready(Kind::Refresh)
            && has_room
            && deadline <= now + PRESSING
        {
            let caller = caller.clone();
            self.sounded.insert(caller.clone(), now);
            return self.call(&caller, now);
        }
        if self.last_attempt.is_some_and(|last| now < last + TRY_INTERVAL) {
            return None;
        }
        let turn = |(caller, waiting): &(&Caller, &Waiting)| (self.sounded.get(*caller).copied(), waiting.kind, waiting.deadline);
        let waits = self.queue.probe_candidates().min_by_key(turn).map(|(caller, _)| caller.clone());
        if let Some(caller) = &waits {
            self.sounded.insert(caller.clone(), now);
        }
        let caller = waits.or_else(|| self.in_flight.longest_untried(|_| true).cloned())?;
        self.call(&caller, now)
    }

    /// In an open lane, the deadline of the first of that kind that may be called now.
    #[must_use]
    pub fn first(&self, kind: Kind) -> Option<Instant> {
        Some(self.first_of(kind)?.0)
    }

    fn first_of(&self, kind: Kind) -> Option<(Instant, &Caller)> {
        if !self.is_open() {
            return None;
        }
        let again = self.again.iter().filter(|(of, ..)| *of == kind).map(|(_, deadline, caller)| (*deadline, caller)).next();
        self.queue.first_ready(kind).into_iter().chain(again).min()
    }

    /// How many refreshes may be called now.
    #[must_use]
    pub fn ready_refreshes(&self) -> u32 {
        if self.is_open() { self.queue.count_ready(Kind::Refresh) } else { 0 }
    }

    /// Makes the first attempt of that kind.
    pub fn start(&mut self, kind: Kind, now: Instant) -> Option<Attempt> {
        let caller = self.first_of(kind)?.1.clone();
        self.call(&caller, now)
    }

    /// Whether there is anything for [`Self::start_over`].
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.is_open() && !self.again.is_empty()
    }

    /// In an open lane that has no room, the next of those whose calls went unanswered is called in place of what is out for it.
    pub fn start_over(&mut self, now: Instant) -> Option<Attempt> {
        if !self.is_open() {
            return None;
        }
        let (.., caller) = self.again.pop_first()?;
        self.last_attempt = Some(now);
        Some(Attempt { number: self.in_flight.replace(&caller, now), caller, instead: true, beside: true })
    }

    /// In an open lane, the attempt that is to join one that hasn't been answered soon.
    pub fn join(&mut self, now: Instant) -> Option<Attempt> {
        if let Some((_, caller)) = self.joins(now).filter(|(at, _)| *at <= now) {
            let caller = caller.clone();
            self.allowance.spend();
            return Some(self.attempt(&caller, now));
        }
        if self.is_open() { self.try_again(now) } else { None }
    }

    /// When whose call is joined by another, as far as that may be spent.
    fn joins(&self, now: Instant) -> Option<(Instant, &Caller)> {
        let patience = |call: &Call| {
            let left = call.first_sent().map_or(Duration::ZERO, |sent| call.deadline.since(sent));
            joining::patience(left, self.latency_of(call))
        };
        let (at, caller) = self.in_flight.impatient(MOST_ATTEMPTS, patience).filter(|_| self.is_open())?;
        Some((at.max(self.allowance.from(now)?), caller))
    }

    /// When a call is tried again, as in a silent lane: what has gone unanswered for as long counts for lost, though others are answered.
    fn tries_at(&self) -> Option<Instant> {
        let first = self.in_flight.calls().filter_map(|(_, call)| self.try_at(call)).min()?;
        Some(self.tried.map_or(first, |(tried, _)| first.max(tried + TRY_INTERVAL)))
    }

    fn try_at(&self, call: &Call) -> Option<Instant> {
        Some(self.lost_at(call).max(call.last_sent()? + TRY_INTERVAL))
    }

    fn lost_at(&self, call: &Call) -> Instant {
        call.unheard_since + (self.latency_of(call) * 2).max(SILENCE)
    }

    fn try_again(&mut self, now: Instant) -> Option<Attempt> {
        self.tries_at().filter(|at| *at <= now)?;
        let caller = self.in_flight.longest_untried(|call| self.try_at(call).is_some_and(|at| at <= now))?.clone();
        let attempt = self.attempt(&caller, now);
        self.tried = Some((now, attempt.number));
        Some(attempt)
    }

    /// In an open lane, a lost call is tried again before the others' turn where so many others have been called since one was.
    pub fn try_first(&mut self, now: Instant) -> Option<Attempt> {
        let called = self.tried.is_none_or(|(_, number)| self.in_flight.numbers() >= number + CALLS_FOR_A_TRY);
        if called && self.is_open() { self.try_again(now) } else { None }
    }

    fn latency_of(&self, call: &Call) -> Duration {
        call.first_sent().map_or(Duration::ZERO, |sent| self.hearing.latency(sent))
    }

    /// Calls whoever waits, or once more whoever's call is in flight.
    fn call(&mut self, caller: &Caller, now: Instant) -> Option<Attempt> {
        let Some(Waiting { kind, deadline, .. }) = self.queue.remove(caller) else {
            return self.in_flight.contains(caller).then(|| self.attempt(caller, now));
        };
        self.allowance.earn();
        self.last_attempt = Some(now);
        let unheard_since = self.unheard.remove(caller).unwrap_or(now);
        let number = self.in_flight.begin(caller, (kind, deadline), unheard_since, now);
        Some(Attempt { caller: caller.clone(), number, instead: false, beside: false })
    }

    fn attempt(&mut self, caller: &Caller, now: Instant) -> Attempt {
        self.again.retain(|(.., other)| other != caller);
        self.last_attempt = Some(now);
        Attempt { caller: caller.clone(), number: self.in_flight.add(caller, now), instead: false, beside: true }
    }

    /// Takes in how an attempt ended; `None`: it is of no call in flight. `draw`, from 0 to 1, spreads the next probe.
    pub fn answered(&mut self, attempt: &Attempt, outcome: Outcome, now: Instant, draw: f64) -> Option<Answered> {
        let Attempt { caller, number, .. } = attempt;
        // What has just ended still counts as pressing if it was.
        let pressing = self.pressing(now);
        let ended = self.in_flight.end(caller, *number)?;
        // What says so late that nothing answers, a proxy that has given up, is no more than a silence.
        let is_late = outcome == Outcome::Failed(FailureClass::Unavailable) && now.since(ended.sent) >= SILENCE;
        let is_heard = outcome != Outcome::Unanswered && !is_late;
        // By what was known until now of how long answers take: this one may have hung as they do.
        let overdue = now.before((self.hearing.latency(now) * 2).max(TRY_INTERVAL));
        let lost = self.in_flight.calls().filter(|(_, call)| self.lost_at(call) <= now).map(again).collect::<Vec<_>>();
        let breaks_silence = match outcome {
            _ if !is_heard => false,
            Outcome::Failed(FailureClass::Unavailable) => self.hearing.failed(now),
            _ => self.hearing.answered(ended.sent, now),
        };
        self.unopened |= breaks_silence;
        if breaks_silence {
            self.sounded.clear();
            self.queue.release_lane_holds();
        }
        let class = match outcome {
            Outcome::Granted => {
                self.end_call(caller);
                self.last_success = Some(now);
                let mut change = self.gate.succeeded();
                if self.unopened {
                    change = GateChange::Opened;
                }
                if change == GateChange::Opened {
                    self.open(ended.sent.max(overdue), now);
                } else if ended.others > 0 {
                    // What has swallowed one call may have swallowed others, and is over.
                    self.again.extend(lost.into_iter().filter(|(.., other)| other != caller));
                }
                return Some(Answered { ends_call: true, change });
            }
            Outcome::Failed(class) => class,
            Outcome::Unanswered => FailureClass::Unavailable,
        };
        let recently_succeeded = self.recently_succeeded(now);
        // What was sent before the lane opened says nothing of now.
        let is_over = !is_heard && self.opened.is_some_and(|opened| ended.sent < opened);
        let failed = gate::Failed { class, recently_succeeded, pressing, now, draw };
        let mut change = if is_over { GateChange::Unchanged } else { self.gate.failed(caller, &failed) };
        // Another that is out for the same call may still bring a grant; but what has had none for as long as an attempt may take is told, though later where the
        // lane has opened since, and those that a silence has swallowed are waited for no more once it is broken: nobody else might call.
        let is_told = now.since(ended.began) >= if is_over { TOLD_AFTER * 2 } else { TOLD_AFTER };
        if class == FailureClass::Unavailable && ended.others > 0 && !self.unopened && !is_told {
            return Some(Answered { ends_call: false, change });
        }
        self.end_call(caller);
        if !is_heard {
            self.unheard.insert(caller.clone(), ended.unheard_since);
        }
        // Whoever refuses one request answers again.
        let answers = !matches!(class, FailureClass::Unavailable);
        if breaks_silence && answers && self.gate.is_open() {
            self.open(ended.sent.max(overdue), now);
            change = GateChange::Opened;
        }
        Some(Answered { ends_call: true, change })
    }

    fn end_call(&mut self, caller: &Caller) {
        self.in_flight.remove(caller);
        self.again.retain(|(.., other)| other != caller);
    }

    /// All who wait for the lane wait no more, and what went unanswered until now is called again: what was sent before `sent`.
    fn open(&mut self, sent: Instant, now: Instant) {
        (self.opened, self.unopened) = (Some(now), false);
        self.unheard.clear();
        self.queue.release_lane_holds();
        let swallowed = self.in_flight.calls().filter(|(_, call)| call.last_sent().is_some_and(|last| last < sent)).map(again);
        self.again.extend(swallowed);
    }

    fn is_open(&self) -> bool {
        self.gate.is_open() && !self.hearing.is_silent()
    }

    /// When [`Self::listen`] may next change something, if nothing else happens.
    #[must_use]
    pub fn listen_at(&self) -> Option<Instant> {
        self.hearing.silent_at(&self.in_flight, self.gate.is_slow()).into_iter().chain(self.queue.next_release()).min()
    }

    /// When [`Self::probe`] or [`Self::join`] may next have something to do, if nothing else happens.
    #[must_use]
    pub fn call_at(&self, now: Instant, has_room: bool) -> Option<Instant> {
        if self.hearing.is_silent() {
            let pressing = self.queue.first_ready(Kind::Refresh).filter(|_| has_room).map(|(deadline, _)| deadline.before(PRESSING));
            let anybody = self.in_flight.out() > 0 || self.queue.probe_candidates().next().is_some();
            let tried = anybody.then(|| self.last_attempt.map_or(now, |last| last + TRY_INTERVAL));
            return pressing.into_iter().chain(tried).min();
        }
        match &self.gate {
            Gate::Open { .. } => self.joins(now).map(|(at, _)| at).into_iter().chain(self.tries_at()).min(),
            Gate::Closed(closure) => closure.next_probe(now, self.queue.probe_candidates()).or_else(|| self.tries_at()),
        }
    }

    /// A call at the lane's pace was answered by a 429: for a while none is joined.
    pub const fn throttled(&mut self, now: Instant) {
        self.allowance.throttled(now);
    }

    /// Whoever waits for the lane to open waits no more: it wasn't closed, its account was.
    pub fn release(&mut self, now: Instant) {
        self.opened = Some(now);
        self.queue.release_lane_holds();
    }
}

#[cfg(test)]
mod opening_tests;
#[cfg(test)]
mod silence_tests;
#[cfg(test)]
mod standing_tests;
#[cfg(test)]
mod tests;
