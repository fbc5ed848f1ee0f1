//! The shell around the lanes: sends the calls that they let through, and hands on the answers.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::figures::Figures;
use super::lane::{Attempt, Caller, Outcome, Waiting};
use super::lanes::{Closed, Lanes, Opened};
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
    pub tag: Arc<str>,
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
    /// An attempt failed, and others are out for the same call that may still bring a grant.
    AttemptFailed {
        /// The failure.
        error: CallError,
        /// How long it took.
        took: Duration,
    },
    /// Lanes closed, or one became silent.
    LanesClosed {
        /// Which.
        closed: Closed,
        /// The failure that closed them.
        class: FailureClass,
        /// Its place among all that closed or opened: they may be told in another order.
        number: u64,
    },
    /// A lane is closed still, and looked at slowly from now on.
    LaneSlowed {
        /// Who waits.
        waiting: Vec<Caller>,
    },
    /// Lanes opened, or one was heard of again.
    LanesOpened {
        /// Which.
        opened: Opened,
        /// Its place, as there.
        number: u64,
    },
    /// A lane is forgotten, as it stood: nobody has been in it for long.
    LaneForgotten(LaneKey),
}

/// Sends the calls that the lanes let through.
pub struct Dispatcher {
    issuer: Arc<dyn IssueGrants>,
    clock: Clock,
    state: Mutex<State>,
    changed: Notify,
    tell: Box<dyn Fn(Event) + Send + Sync>,
}

struct State {
    lanes: Lanes,
    placed: BTreeMap<Caller, Placed>,
    tickets: u64,
    /// How often lanes may have closed or opened: a number for each.
    changes: u64,
}

/// A call that waits or is in flight.
struct Placed {
    lane: LaneKey,
    order: Order,
    ticket: u64,
    /// The attempts that are out, by their numbers.
    tasks: BTreeMap<u64, AbortHandle>,
}

impl Dispatcher {
    /// A dispatcher with at most `max_in_flight` calls in flight; `tell` is told what happens and must not wait.
    pub fn new(
        issuer: Arc<dyn IssueGrants>,
        clock: Clock,
        max_in_flight: usize,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = Mutex::new(State { lanes: Lanes::new(max_in_flight), placed: BTreeMap::new(), tickets: 0, changes: 0 });
        Arc::new(Self { issuer, clock, state, changed: Notify::new(), tell: Box::new(tell) })
    }

    /// Puts a call in its lane, in place of the caller's present one.
    pub fn order(&self, order: Order) {
        let mut state = self.state();
        state.withdraw(&order.caller);
        let lane = order.credentials.fingerprint();
        state.tickets += 1;
        let ticket = state.tickets;
        state.lanes.enqueue(lane, &order.caller, order.waiting.clone());
        state.placed.insert(order.caller.clone(), Placed { lane, order, ticket, tasks: BTreeMap::new() });
        drop(state);
        self.changed.notify_one();
    }

    /// Takes the caller's call out, also when it is in flight.
    pub fn withdraw(&self, caller: &Caller) {
        self.state().withdraw(caller);
        self.changed.notify_one();
    }

    /// The caller is gone: besides, what its calls have told says nothing of others' any more.
    pub fn forget(&self, caller: &Caller) {
        let mut state = self.state();
        state.withdraw(caller);
        state.lanes.forget(caller);
        drop(state);
        self.changed.notify_one();
    }

    /// Looks at once at what may be sent: time has passed that no timer has counted.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Why the caller's call waits for more than its turn, if it does, and whether its lane is looked at slowly.
    #[must_use]
    pub fn closure(&self, caller: &Caller) -> Option<(FailureClass, bool)> {
        let state = self.state();
        let placed = state.placed.get(caller)?;
        state.lanes.closure(placed.lane, caller)
    }

    /// How the lanes stand.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.state().lanes.figures(self.clock.instant())
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
        let mut state = self.state();
        // Not before: an answer that came in meanwhile would be of a later instant than what is sent now.
        let now = self.clock.instant();
        let forgotten = state.lanes.forget_idle(now);
        let silent: Vec<_> =
            state.lanes.listen(now).into_iter().map(|(lane, waiting)| (Closed { lanes: vec![lane], waiting }, state.changed())).collect();
        while let Some((lane, attempt)) = state.lanes.next(now) {
            if let Some(call) = state.placed.get_mut(&attempt.caller) {
                if attempt.instead {
                    for task in std::mem::take(&mut call.tasks).into_values() {
                        task.abort();
                    }
                }
                let number = attempt.number;
                let sending = self.clone().send(call.order.clone(), (lane, call.ticket), attempt);
                call.tasks.insert(number, tokio::spawn(sending).abort_handle());
            }
        }
        let look_at = state.lanes.look_at(now);
        drop(state);
        for lane in forgotten {
            (self.tell)(Event::LaneForgotten(lane));
        }
        for (closed, number) in silent {
            (self.tell)(Event::LanesClosed { closed, class: FailureClass::Unavailable, number });
        }
        look_at.map(|look_at| look_at.since(now))
    }

    async fn send(self: Arc<Self>, order: Order, (lane, ticket): (LaneKey, u64), attempt: Attempt) {
        let caller = order.caller.clone();
        let issue = self.clock.now();
        let issuing = AssertUnwindSafe(self.issuer.issue(order.call.clone(), order.credentials.clone())).catch_unwind();
        let result = issuing.await.unwrap_or_else(|_| Err(CallError::broken()));
        let outcome = match &result {
            Ok(_) => Outcome::Granted,
            Err(error) if error.is_unanswered() => Outcome::Unanswered,
            Err(error) => Outcome::Failed(error.class()),
        };
        let account = result.as_ref().ok().and_then(|grant| grant.account_sid.as_deref());
        let (answered, number) = {
            let mut state = self.state();
            // A withdrawn call is aborted; this is for one that was withdrawn just as it ended.
            if state.placed.get(&caller).is_none_or(|placed| placed.ticket != ticket) {
                return;
            }
            let now = self.clock.instant();
            let Some(answered) = state.lanes.answered(lane, &attempt, (outcome, account), now, rand::random()) else { return };
            if answered.ends_call {
                // The others are of no more use.
                state.placed.remove(&caller).into_iter().flat_map(|placed| placed.tasks).for_each(|(_, task)| task.abort());
            }
            (answered, state.changed())
        };
        self.changed.notify_one();
        if let Some(opened) = answered.opened {
            (self.tell)(Event::LanesOpened { opened, number });
        }
        let class = result.as_ref().err().map(CallError::class);
        match result {
            result if answered.ends_call => (self.tell)(Event::Answered { order: Box::new(order), lane, issue, result }),
            Err(error) => (self.tell)(Event::AttemptFailed { error, took: self.clock.instant().since(issue.instant) }),
            Ok(_) => {}
        }
        if let (Some(closed), Some(class)) = (answered.closed, class) {
            (self.tell)(Event::LanesClosed { closed, class, number });
        }
        if let Some(waiting) = answered.slowed_to {
            (self.tell)(Event::LaneSlowed { waiting });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The number of what has just closed or opened, if anything has.
    const fn changed(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    fn withdraw(&mut self, caller: &Caller) {
        let Some(placed) = self.placed.remove(caller) else { return };
        self.lanes.withdraw(placed.lane, caller);
        for task in placed.tasks.into_values() {
            task.abort();
        }
    }
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
