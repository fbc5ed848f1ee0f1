//! Requests that are refreshed through lanes, and a Media API that takes its time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Lanes;
use crate::media::lane::{Attempt, Caller, Hold, Kind, Outcome, Waiting};
use crate::media::retry::FailedAttempt;
use crate::media::{Credentials, FailureClass, LaneKey};
use crate::time::Instant;

/// As long as grants live in seconds, and how long before their end they are refreshed.
const TTL: u64 = 15_000;
const REFRESHED: u64 = 10_000;
/// An attempt is given up after this.
pub const GIVEN_UP: u64 = 10_000;
/// An answer takes so long, where nothing is said of it.
pub const USUAL: u64 = 10;

pub const DOWN: Outcome = Outcome::Failed(FailureClass::Unavailable);
pub const THROTTLED: Outcome = Outcome::Failed(FailureClass::Throttled { retry_after: None });

/// What becomes of a call: how long it takes in milliseconds, and how it ends.
pub type Fate = (u64, Outcome);
pub const GOOD: Fate = (USUAL, Outcome::Granted);
pub const HANGS: Fate = (GIVEN_UP, Outcome::Unanswered);

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub lane: LaneKey,
    pub account: &'static str,
    /// When its grant expires, if it has one.
    pub expiry: Option<u64>,
    arrival: u64,
    streak: u32,
    /// For how long it held an expired grant, or none.
    pub expired: u64,
    /// When it was last given a grant.
    pub fresh: Option<u64>,
}

/// What happens next.
#[derive(Debug)]
enum Event {
    Due(usize),
    Ends { request: usize, attempt: Attempt, sent: u64, outcome: Outcome },
}

/// Requests, lanes and time, in milliseconds.
pub struct Model {
    pub requests: Vec<Request>,
    lanes: Lanes,
    events: BTreeMap<(u64, u64), Event>,
    numbers: u64,
    pub now: u64,
    /// The request, and when it called.
    pub calls: Vec<(usize, u64)>,
    pub throttled: usize,
    /// Whose calls ended without a grant, and when.
    pub told: Vec<(usize, u64)>,
}

pub fn lane(user: &str) -> LaneKey {
    Credentials::new(user, "password".into(), None).unwrap().fingerprint()
}

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

impl Model {
    pub fn new() -> Self {
        Self {
            requests: Vec::new(),
            lanes: Lanes::new(512),
            events: BTreeMap::new(),
            numbers: 0,
            now: 0,
            calls: Vec::new(),
            throttled: 0,
            told: Vec::new(),
        }
    }

    /// So many requests that have grants already, as due as they would be after a while.
    pub fn with_live(count: usize, user: &str, account: &'static str) -> Self {
        let mut model = Self::new();
        model.add_live(count, user, account);
        model
    }

    pub fn add_live(&mut self, count: usize, user: &str, account: &'static str) {
        for n in 0..count {
            let due = self.now + REFRESHED * n as u64 / count as u64;
            let request = self.add(user, account, Some(due + TTL - REFRESHED));
            self.schedule(due, Event::Due(request));
        }
    }

    pub fn add_newcomers(&mut self, count: usize, user: &str, account: &'static str) {
        for _ in 0..count {
            let request = self.add(user, account, None);
            self.schedule(self.now, Event::Due(request));
        }
    }

    fn add(&mut self, user: &str, account: &'static str, expiry: Option<u64>) -> usize {
        let arrival = self.now;
        self.requests.push(Request { lane: lane(user), account, expiry, arrival, streak: 0, expired: 0, fresh: None });
        self.requests.len() - 1
    }

    fn schedule(&mut self, when: u64, event: Event) {
        self.numbers += 1;
        self.events.insert((when, self.numbers), event);
    }

    /// Lets time pass until then, with a Media API that answers so: the request, and the time of its call.
    pub fn pass(&mut self, until: u64, mut api: impl FnMut(usize, u64) -> Fate) {
        loop {
            self.lanes.forget_idle(at(self.now));
            for (_, waiting) in self.lanes.listen(at(self.now)) {
                assert!(waiting.len() <= self.requests.len());
            }
            while let Some((_, attempt)) = self.lanes.next(at(self.now)) {
                let request: usize = attempt.caller.parse().unwrap();
                self.calls.push((request, self.now));
                let (after, outcome) = api(request, self.now);
                let (after, outcome) = if after >= GIVEN_UP { HANGS } else { (after, outcome) };
                self.schedule(self.now + after, Event::Ends { request, attempt, sent: self.now, outcome });
            }
            let out: usize = self.lanes.members.values().map(|member| member.lane.out()).sum();
            assert_eq!(self.lanes.out, out, "so many are out, in all lanes together");
            let look_at = self.lanes.look_at(at(self.now));
            assert!(look_at.is_none_or(|look_at| at(self.now) < look_at), "it would be looked at again and again");
            let look_at = look_at.map(millis);
            let next = self.events.keys().next().map(|(when, _)| *when).into_iter().chain(look_at).min();
            let sleeps_until = next.unwrap_or(until).min(until);
            self.nothing_comes_up_until(sleeps_until);
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = next;
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= next) {
                let event = entry.remove();
                self.happens(event);
            }
        }
        self.now = until;
    }

    /// Whoever sleeps until then misses nothing.
    fn nothing_comes_up_until(&self, then: u64) {
        let mut lanes = self.lanes.clone();
        for time in [self.now.midpoint(then), then.saturating_sub(1)] {
            if self.now < time && time < then {
                let silent = lanes.listen(at(time));
                assert!(silent.is_empty(), "at {time} lanes are silent that at {} were to be looked at at {then}", self.now);
                let attempt = lanes.next(at(time));
                assert!(attempt.is_none(), "at {time} {attempt:?} was to be made; at {} a look was asked for at {then}", self.now);
            }
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Due(request) => self.order(request, Hold::Nothing),
            Event::Ends { request, attempt, sent, outcome } => self.ends(request, &attempt, sent, outcome),
        }
    }

    fn order(&mut self, number: usize, hold: Hold) {
        let request = &self.requests[number];
        let kind = if request.expiry.is_some() { Kind::Refresh } else { Kind::Newcomer };
        let deadline = at(request.expiry.unwrap_or(request.arrival));
        self.lanes.enqueue(request.lane, &Caller::from(number.to_string()), Waiting { kind, deadline, hold, urgent: false });
    }

    fn ends(&mut self, number: usize, attempt: &Attempt, sent: u64, outcome: Outcome) {
        let request = &mut self.requests[number];
        let account = (outcome == Outcome::Granted).then_some(request.account);
        self.throttled += usize::from(matches!(outcome, Outcome::Failed(FailureClass::Throttled { .. })));
        let Some(answered) = self.lanes.answered(request.lane, attempt, (outcome, account), at(self.now), 0.5) else { return };
        if !answered.ends_call {
            return;
        }
        let class = match outcome {
            Outcome::Granted => {
                request.expired += self.now.saturating_sub(request.expiry.unwrap_or(request.arrival));
                (request.expiry, request.fresh, request.streak) = (Some(sent + TTL), Some(self.now), 0);
                return self.schedule(sent + REFRESHED, Event::Due(number));
            }
            Outcome::Failed(class) => class,
            Outcome::Unanswered => FailureClass::Unavailable,
        };
        self.told.push((number, self.now));
        request.streak += 1;
        let pressing = request.expiry.is_none_or(|expiry| expiry <= self.now + 5000);
        let wait = FailedAttempt { class, streak: request.streak, recently_succeeded: true, pressing }.retry_delay(0.5);
        let until = at(self.now) + wait;
        self.order(number, if class.is_own() { Hold::Own(until) } else { Hold::WithLane(until) });
    }

    /// Forgets what has been, but not how things stand.
    pub fn begins(&mut self) {
        self.calls.clear();
        self.told.clear();
        self.throttled = 0;
        for request in &mut self.requests {
            (request.expired, request.fresh) = (0, None);
        }
    }

    /// For how long each of these has held no good grant, also if it still doesn't.
    pub fn expired(&self, of: std::ops::Range<usize>) -> Vec<u64> {
        let still = |request: &Request| self.now.saturating_sub(request.expiry.unwrap_or(request.arrival));
        self.requests[of].iter().map(|request| request.expired + still(request)).collect()
    }
}

fn millis(instant: Instant) -> u64 {
    let since = instant.since(at(0));
    // What is due within a millisecond is looked at when it is over.
    u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap()
}
