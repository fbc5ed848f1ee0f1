//! The lanes' shell on simulated time: as `media::dispatcher` and `controller::answers` do it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::media_api::{CALL_LIMIT, Given, Outcome as MadeOutcome, lane_of};
use super::operator::Operator;
use super::world::{Event, World};
use crate::lifecycle::{HeldGrant, LaneClosed, whole_millis};
use crate::media::lane::{Attempt, Caller, Outcome, Waiting};
use crate::media::lanes::Lanes;
use crate::media::{FailureClass, Grant, GrantCall};
use crate::time::{Instant, Now};

/// As `--max-in-flight` is by default.
const MOST: usize = 512;

#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) lanes: Lanes,
    placed: BTreeMap<Caller, Placed>,
    tickets: u64,
    look_at: Option<Instant>,
}

impl Default for Dispatcher {
    fn default() -> Self {
        Self { lanes: Lanes::new(MOST), placed: BTreeMap::new(), tickets: 0, look_at: None }
    }
}

/// A call that waits or is in flight.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) pair: usize,
    pub(super) call: GrantCall,
    /// What the answer is for.
    pub(super) tag: Arc<str>,
    ticket: u64,
}

/// An attempt that is out.
#[derive(Clone, Debug)]
pub(super) struct Out {
    attempt: Attempt,
    ticket: u64,
    issue: Now,
}

impl Dispatcher {
    pub(super) fn order(&mut self, caller: &Caller, pair: usize, call: GrantCall, tag: Arc<str>, waiting: Waiting) {
        self.withdraw(caller);
        self.tickets += 1;
        self.lanes.enqueue(lane_of(pair), caller, waiting);
        self.placed.insert(caller.clone(), Placed { pair, call, tag, ticket: self.tickets });
    }

    pub(super) fn withdraw(&mut self, caller: &Caller) {
        if let Some(placed) = self.placed.remove(caller) {
            self.lanes.withdraw(lane_of(placed.pair), caller);
        }
    }

    pub(super) fn forget(&mut self, caller: &Caller) {
        self.withdraw(caller);
        self.lanes.forget(caller);
    }

    pub(super) fn closure(&self, caller: &Caller) -> Option<LaneClosed> {
        let placed = self.placed.get(caller)?;
        let (class, slow) = self.lanes.closure(lane_of(placed.pair), caller)?;
        Some(LaneClosed { class, slow })
    }
}

impl World {
    /// Sends what may be sent now, and comes back when there may be more.
    pub(super) fn let_calls_through(&mut self) {
        let now = self.now;
        let Some(operator) = &mut self.operator else { return };
        operator.dispatcher.lanes.forget_idle(now);
        let silent = operator.dispatcher.lanes.listen(now);
        let attempts: Vec<Attempt> = std::iter::from_fn(|| Some(operator.dispatcher.lanes.next(now)?.1)).collect();
        for attempt in attempts {
            self.send(attempt);
        }
        let Some(Operator { dispatcher, .. }) = &mut self.operator else { return };
        let look_at = dispatcher.lanes.look_at(now);
        if dispatcher.look_at != look_at || look_at.is_some_and(|look_at| look_at <= now) {
            dispatcher.look_at = look_at;
            if let Some(look_at) = look_at {
                // A lane that asks for a look at once has just had it.
                let at = look_at.max(now + Duration::from_millis(1));
                self.schedule(at, Event::Lanes);
            }
        }
        for caller in silent.into_iter().flat_map(|(_, waiting)| waiting) {
            self.wake(&caller);
        }
    }

    fn send(&mut self, attempt: Attempt) {
        let now = self.instants();
        let Some(operator) = &mut self.operator else { return };
        let Some(placed) = operator.dispatcher.placed.get(&attempt.caller).cloned() else { return };
        let entry = &operator.entries[&attempt.caller];
        let request = self.judge.number_of(&entry.identity.name);
        let given = Given {
            issue: now.instant,
            expiry: now.instant + placed.call.ttl.duration(),
            ttl: placed.call.ttl,
            request_hash: placed.tag.clone(),
            wall_offset: self.wall_offset,
        };
        self.judge.sent(entry, operator, &placed, now.instant);
        let MadeOutcome { after, result } = self.media.answer((request, placed.pair), given, self.timing.media, &mut self.random);
        let ended = result.as_ref().map(|_| ()).map_err(|class| *class);
        self.judge.called((request, &attempt.caller), &placed, after, ended, now.instant);
        let out = Out { attempt, ticket: placed.ticket, issue: now };
        self.schedule(now.instant + after, Event::MediaAnswers { operator: self.operators, out, result });
    }

    pub(super) fn media_answered(&mut self, out: Out, result: Result<Grant, FailureClass>) {
        let now = self.now;
        let (draw_of_lane, draw) = (self.random.draw(), self.random.draw());
        let Some(Operator { dispatcher, .. }) = &mut self.operator else { return };
        let Out { attempt, ticket, issue } = out;
        let caller = &attempt.caller;
        // A call that was withdrawn is heard of no more.
        let Some(placed) = dispatcher.placed.get(caller).filter(|placed| placed.ticket == ticket).cloned() else { return };
        let lane = lane_of(placed.pair);
        let outcome = match &result {
            Ok(_) => Outcome::Granted,
            Err(FailureClass::Unavailable) if now.since(issue.instant) >= CALL_LIMIT => Outcome::Unanswered,
            Err(class) => Outcome::Failed(*class),
        };
        let account = result.as_ref().ok().and_then(|grant| grant.account_sid.as_deref());
        let Some(answered) = dispatcher.lanes.answered(lane, &attempt, (outcome, account), now, draw_of_lane) else { return };
        if !answered.ends_call {
            return;
        }
        dispatcher.placed.remove(caller);
        self.take_in(caller, placed, issue, result, draw);
        self.wake(caller);
        for caller in answered.closed.map(|closed| closed.waiting).into_iter().chain(answered.slowed_to).flatten() {
            self.wake(&caller);
        }
    }

    fn take_in(&mut self, caller: &Caller, placed: Placed, issue: Now, result: Result<Grant, FailureClass>, draw: f64) {
        let now = self.now;
        let Some(entry) = self.operator.as_mut().and_then(|operator| operator.entries.get_mut(caller)) else { return };
        let memory = &mut entry.memory;
        let lane = lane_of(placed.pair);
        let Placed { call, tag, .. } = placed;
        let is_awaited = memory.ordered.as_ref().is_some_and(|ordered| ordered.subject.request_hash == tag && ordered.subject.lane == lane);
        if !is_awaited {
            return;
        }
        match result {
            Ok(grant) => {
                let held = HeldGrant {
                    grant,
                    player_streamer_sid: call.player_streamer_sid,
                    issue: issue.instant,
                    issue_time: whole_millis(issue.wall),
                    ttl: call.ttl,
                    request_hash: tag,
                };
                self.judge.granted(caller, &held);
                memory.granted(held, now);
            }
            Err(class) => {
                let covered_until = memory.hand.as_ref().map(|hand| hand.expiry());
                memory.failed(class, format!("POST https://media.example: {class:?}"), covered_until, now, draw);
            }
        }
    }
}
