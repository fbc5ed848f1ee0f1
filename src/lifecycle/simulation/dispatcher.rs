//! The lanes' shell on simulated time: as `media::dispatcher` and `controller::answers` do it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::media_api::{Given, Outcome, lane_of};
use super::world::{Event, World};
use crate::lifecycle::{HeldGrant, LaneClosed, whole_millis};
use crate::media::lane::{Caller, GateChange, Lane, Waiting};
use crate::media::{FailureClass, Grant, GrantCall, LaneKey};
use crate::time::{Instant, Now};

#[derive(Debug, Default)]
pub(super) struct Dispatcher {
    pub(super) lanes: BTreeMap<LaneKey, Lane>,
    placed: BTreeMap<Caller, Placed>,
    tickets: u64,
    look_at: Option<Instant>,
}

/// A call that waits or is in flight.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) pair: usize,
    pub(super) call: GrantCall,
    /// What the answer is for.
    pub(super) tag: String,
    ticket: u64,
    issue: Option<Now>,
}

impl Dispatcher {
    pub(super) fn order(&mut self, caller: &Caller, pair: usize, call: GrantCall, tag: String, waiting: Waiting) {
        self.withdraw(caller);
        self.tickets += 1;
        self.lanes.entry(lane_of(pair)).or_default().enqueue(caller, waiting);
        self.placed.insert(caller.clone(), Placed { pair, call, tag, ticket: self.tickets, issue: None });
    }

    pub(super) fn withdraw(&mut self, caller: &Caller) {
        if let Some(placed) = self.placed.remove(caller)
            && let Some(lane) = self.lanes.get_mut(&lane_of(placed.pair))
        {
            lane.withdraw(caller);
        }
    }

    pub(super) fn closure(&self, caller: &Caller) -> Option<LaneClosed> {
        let placed = self.placed.get(caller)?;
        let closure = self.lanes.get(&lane_of(placed.pair))?.closure()?;
        Some(LaneClosed { class: closure.class, slow: closure.slow })
    }

    /// Who may be called now.
    fn starting(&mut self, now: Instant) -> Vec<Caller> {
        self.lanes.retain(|_, lane| !lane.idle(now));
        self.lanes.values_mut().flat_map(|lane| std::iter::from_fn(move || lane.start(now))).collect()
    }
}

impl World {
    /// Sends what may be sent now, and comes back when there may be more.
    pub(super) fn let_calls_through(&mut self) {
        let now = self.now;
        let Some(operator) = &mut self.operator else { return };
        for caller in operator.dispatcher.starting(now) {
            self.send(&caller);
        }
        let Some(Operator { dispatcher, .. }) = &mut self.operator else { return };
        let look_at = dispatcher.lanes.values().filter_map(Lane::look_at).min();
        if dispatcher.look_at != look_at || look_at.is_some_and(|look_at| look_at <= now) {
            dispatcher.look_at = look_at;
            if let Some(look_at) = look_at {
                // A lane that asks for a look at once has just had it.
                let at = look_at.max(now + Duration::from_millis(1));
                self.schedule(at, Event::Lanes);
            }
        }
    }

    fn send(&mut self, caller: &Caller) {
        let now = self.instants();
        let Some(operator) = &mut self.operator else { return };
        let Some(placed) = operator.dispatcher.placed.get_mut(caller) else { return };
        placed.issue = Some(now);
        let placed = placed.clone();
        let request = self.judge.number_of(&operator.entries[caller].identity.name);
        let given = Given {
            issue: now.instant,
            expiry: now.instant + placed.call.ttl.duration(),
            ttl: placed.call.ttl,
            request_hash: placed.tag.clone(),
            wall_offset: self.wall_offset,
        };
        self.judge.sent(&operator.entries[caller], operator, &placed, now.instant);
        let Outcome { after, result } = self.media.answer((request, placed.pair), given, self.timing.media, &mut self.random);
        let ended = result.as_ref().map(|_| ()).map_err(|class| *class);
        self.judge.called((request, caller), &placed, after, ended, now.instant);
        self.schedule(now.instant + after, Event::MediaAnswers { operator: self.operators, ticket: placed.ticket, result });
    }

    pub(super) fn media_answered(&mut self, ticket: u64, result: Result<Grant, FailureClass>) {
        let now = self.now;
        let (draw_of_lane, draw) = (self.random.draw(), self.random.draw());
        let Some(Operator { dispatcher, .. }) = &mut self.operator else { return };
        // A call that was withdrawn is heard of no more.
        let Some(caller) = dispatcher.placed.iter().find(|(_, placed)| placed.ticket == ticket).map(|(caller, _)| caller.clone()) else {
            return;
        };
        let Some(placed) = dispatcher.placed.remove(&caller) else { return };
        let lane = dispatcher.lanes.entry(lane_of(placed.pair)).or_default();
        let outcome = result.as_ref().map(|_| ()).map_err(|class| *class);
        let change = lane.answered(&caller, outcome, now, draw_of_lane);
        let waiting: Vec<Caller> = lane.waiting().cloned().collect();
        self.take_in(&caller, placed, result, draw);
        self.wake(&caller);
        if change == GateChange::Closed {
            for caller in waiting {
                self.wake(&caller);
            }
        }
    }

    fn take_in(&mut self, caller: &Caller, placed: Placed, result: Result<Grant, FailureClass>, draw: f64) {
        let now = self.now;
        let Some(entry) = self.operator.as_mut().and_then(|operator| operator.entries.get_mut(caller)) else { return };
        let memory = &mut entry.memory;
        let lane = lane_of(placed.pair);
        let Placed { call, tag, issue: Some(issue), .. } = placed else { return };
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

use super::operator::Operator;
