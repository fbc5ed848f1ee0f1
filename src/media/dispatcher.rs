//! The shell around the lanes: sends the calls that they let through, and hands on the answers.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::lane::{Caller, GateChange, Lane, Waiting};
use super::share;
use super::{CallError, Credentials, FailureClass, Grant, GrantCall};
use crate::clock::Clock;
use crate::media::LaneKey;
use crate::time::Now;

/// Idle lanes are looked through this often.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// What makes the calls: the Media API's client, or a stand-in.
pub trait IssueGrants: Send + Sync + 'static {
    /// Asks for one grant.
    fn issue(&self, call: GrantCall, credentials: Arc<Credentials>) -> BoxFuture<'_, Result<Grant, CallError>>;
}

/// A call to be made when its turn comes.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who calls.
    pub caller: Caller,
    /// What the answer is for; it comes back with the answer.
    pub tag: String,
    /// What is asked for.
    pub call: GrantCall,
    /// With which credentials; they decide the lane.
    pub credentials: Arc<Credentials>,
    /// How it waits.
    pub waiting: Waiting,
}

/// What the dispatcher tells.
#[derive(Debug)]
pub enum Event {
    /// A call was answered, or failed.
    Answered {
        /// What was ordered.
        order: Box<Order>,
        /// The lane of its credentials.
        lane: LaneKey,
        /// Just before the call was sent.
        issue: Now,
        /// The answer.
        result: Result<Grant, CallError>,
    },
    /// A lane closed: these wait in it.
    LaneClosed {
        /// The failure that closed it.
        class: FailureClass,
        /// Who waits.
        waiting: Vec<Caller>,
    },
}

/// Sends the calls that the lanes let through.
pub struct Dispatcher {
    issuer: Arc<dyn IssueGrants>,
    clock: Clock,
    max_in_flight: usize,
    state: Mutex<State>,
    changed: Notify,
    tell: Box<dyn Fn(Event) + Send + Sync>,
}

#[derive(Default)]
struct State {
    lanes: BTreeMap<LaneKey, Lane>,
    placed: BTreeMap<Caller, Placed>,
    in_flight: usize,
    tickets: u64,
}

/// A call that waits or is in flight.
struct Placed {
    lane: LaneKey,
    order: Order,
    ticket: u64,
    task: Option<AbortHandle>,
}

impl Dispatcher {
    /// A dispatcher with at most `max_in_flight` calls in flight; `tell` is told what happens and must not wait.
    pub fn new(
        issuer: Arc<dyn IssueGrants>,
        clock: Clock,
        max_in_flight: usize,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { issuer, clock, max_in_flight: max_in_flight.max(1), state, changed: Notify::new(), tell: Box::new(tell) })
    }

    /// Puts a call in its lane, in place of the caller's present one.
    pub fn order(&self, order: Order) {
        let mut state = self.state();
        state.withdraw(&order.caller);
        let lane = order.credentials.fingerprint();
        state.tickets += 1;
        let ticket = state.tickets;
        state.lanes.entry(lane).or_default().enqueue(&order.caller, order.waiting.clone());
        state.placed.insert(order.caller.clone(), Placed { lane, order, ticket, task: None });
        drop(state);
        self.changed.notify_one();
    }

    /// Takes the caller's call out, also when it is in flight.
    pub fn withdraw(&self, caller: &Caller) {
        self.state().withdraw(caller);
        self.changed.notify_one();
    }

    /// Looks at once at what may be sent: time has passed that no timer has counted.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Why the lane of the caller's call is closed, if it is, and whether it is looked at slowly.
    #[must_use]
    pub fn closure(&self, caller: &Caller) -> Option<(FailureClass, bool)> {
        let state = self.state();
        let placed = state.placed.get(caller)?;
        let closure = state.lanes.get(&placed.lane)?.closure()?;
        Some((closure.class, closure.slow))
    }

    /// Sends calls for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        loop {
            let wait = self.send_all().unwrap_or(SWEEP_INTERVAL).min(SWEEP_INTERVAL);
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Sends what may be sent now; returns how long until there may be more.
    fn send_all(self: &Arc<Self>) -> Option<Duration> {
        let now = self.clock.instant();
        let mut state = self.state();
        let State { lanes, placed, in_flight, .. } = &mut *state;
        lanes.retain(|_, lane| !lane.idle(now));
        // Whoever has least under way goes first.
        let mut in_turn: Vec<&mut Lane> = lanes.values_mut().collect();
        in_turn.sort_by_key(|lane| lane.in_flight());
        let mut look_at = None;
        for lane in in_turn {
            while share::leaves_room(lane.in_flight(), *in_flight, self.max_in_flight)
                && let Some(caller) = lane.start(now)
            {
                if let Some(call) = placed.get_mut(&caller) {
                    *in_flight += 1;
                    let sending = self.clone().send(call.order.clone(), call.lane, call.ticket);
                    call.task = Some(tokio::spawn(sending).abort_handle());
                }
            }
            // A lane that has its share waits for an answer.
            if share::leaves_room(lane.in_flight(), *in_flight, self.max_in_flight) {
                look_at = look_at.into_iter().chain(lane.look_at()).min();
            }
        }
        look_at.map(|look_at| look_at.since(now))
    }

    async fn send(self: Arc<Self>, order: Order, lane: LaneKey, ticket: u64) {
        let caller = order.caller.clone();
        let issue = self.clock.now();
        let issuing = AssertUnwindSafe(self.issuer.issue(order.call.clone(), order.credentials.clone())).catch_unwind();
        let result = issuing.await.unwrap_or_else(|_| Err(CallError::broken()));
        let outcome = result.as_ref().map(|_| ()).map_err(CallError::class);
        let closed = {
            let mut state = self.state();
            // A withdrawn call is aborted; this is for one that was withdrawn just as it ended.
            if state.placed.get(&caller).is_none_or(|placed| placed.ticket != ticket) {
                return;
            }
            state.placed.remove(&caller);
            state.in_flight -= 1;
            let now = self.clock.instant();
            let lane = state.lanes.entry(lane).or_default();
            let change = lane.answered(&caller, outcome, now, rand::random());
            (change == GateChange::Closed).then(|| lane.waiting().cloned().collect::<Vec<_>>())
        };
        self.changed.notify_one();
        (self.tell)(Event::Answered { order: Box::new(order), lane, issue, result });
        if let (Some(waiting), Err(class)) = (closed, outcome) {
            (self.tell)(Event::LaneClosed { class, waiting });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn withdraw(&mut self, caller: &Caller) {
        let Some(placed) = self.placed.remove(caller) else { return };
        if let Some(lane) = self.lanes.get_mut(&placed.lane) {
            lane.withdraw(caller);
        }
        if let Some(task) = placed.task {
            task.abort();
            self.in_flight -= 1;
        }
    }
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
