//! How fast the calls of one account may follow each other, and whether any may be made.
//!
//! As long as no 429 has come, as many may be out as have been answered well, and a few more: a start in the dark doubles with each round trip, and with
//! each quarter of a second, too, so that an API which takes its time is asked for what is due. A 429 closes the account for the time that it asks for;
//! then single calls go out, each when the one before is answered or has been out for half a second, until one passes: is granted, or refused for its own
//! reason. It also shows what has passed lately: that is the rate to stay just below, to come back to within seconds, and, where nothing stops it there, to
//! leave behind ever faster. So a standing limit is met once in a while by a call or two, and one that goes is soon noticed. Where even single calls are
//! refused, or the first 429 in a while asks to wait for longer than a rate is measured over, the rate says nothing: then the end is felt as a start in the
//! dark.

use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use super::lane::{Caller, Kind};
use super::retry::FailedAttempt;
use super::{FailureClass, LaneKey};
use crate::time::Instant;

/// So many calls may be out at first.
const FIRST_WINDOW: usize = 10;
/// A start in the dark doubles in so long, whether answers come or not.
const DOUBLES_IN: Duration = Duration::from_millis(250);
/// After so many doublings it is as wide as anybody asks for.
const MOST_DOUBLINGS: u32 = 12;
/// So many single calls that are refused in a row: it isn't the rate.
const OUTAGE: u32 = 2;
/// The longest time that a 429 may ask for.
pub const LONGEST_THROTTLE: Duration = Duration::from_mins(1);

/// What passed in such a time before a 429 is what the account has: the most of these, where it was enough to measure by, or what so few took. A short
/// time alone would count too coarsely where few calls pass, a long one alone wouldn't see that they began only lately, and what few took may have a pause in it.
const MEASURES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), LONGEST_MEASURE];
const LONGEST_MEASURE: Duration = Duration::from_secs(10);
const MEASURABLE: u32 = 5;
/// After a 429 the rate is so much of what was measured.
const CUT: f64 = 0.9;
/// It is back at what was measured after so many seconds, and twice as many as the 429 asked to wait, since it costs as many to meet the limit again; from
/// there on it grows by a tenth each second.
const RECOVERY: f64 = 15.0;
const GROWTH: f64 = 1.1;
/// A limit that has been exceeded so many times is none.
const FORGOTTEN: f64 = 8.0;

/// What a timer was late by may be made up for, up to so much.
const CATCHING_UP: Duration = Duration::from_millis(100);

/// A refresh that has so little time left, besides what those before it take, goes before all newcomers.
const URGENT: Duration = Duration::from_secs(2);

/// A single call that isn't answered is waited for so long before another goes out.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// Whose call it is, and in which lane.
pub type Who = (LaneKey, Caller);

/// How fast the calls of one account may follow each other.
#[derive(Clone, Debug)]
pub struct Pace {
    window: usize,
    /// When the first call was made into the dark; `None`: none has been since the start or a 429.
    in_the_dark_since: Option<Instant>,
    limit: Option<Limit>,
    closed: Option<Closed>,
    /// When a 429 was last over.
    reopened: Option<Instant>,
    passed: VecDeque<Instant>,
    next: Instant,
    /// Who went last.
    last: Kind,
}

/// The rate at which a 429 was met.
#[derive(Clone, Copy, Debug)]
struct Limit {
    /// Calls a second that passed.
    measured: f64,
    since: Instant,
    /// After so many seconds it is back at what was measured.
    recovery: f64,
}

impl Limit {
    /// Calls a second.
    fn rate(&self, now: Instant) -> f64 {
        let age = now.since(self.since).as_secs_f64();
        let Self { measured, recovery, .. } = *self;
        let share = if age < recovery { CUT + (1.0 - CUT) * age / recovery } else { GROWTH.powf(age - recovery) };
        measured * share
    }
}

/// Closed by a 429.
#[derive(Clone, Debug)]
struct Closed {
    until: Instant,
    /// How many calls in a row have been refused, of those that were made alone.
    streak: u32,
    /// Whether no other 429 came lately: then one that asks for a long time says nothing of a rate.
    is_first: bool,
    /// When a 429 last said how long to wait. What was sent before says nothing of that.
    asked: Instant,
    /// Those that are out, and when they were sent: where answers take longer than the next one waits, what each says still counts.
    probes: BTreeMap<Who, Instant>,
}

impl Closed {
    /// When the next may be sent: one that isn't answered is waited for no longer than [`PROBE_PATIENCE`].
    fn next(&self) -> Instant {
        self.probes.values().max().map_or(self.until, |sent| self.until.max(*sent + PROBE_PATIENCE))
    }

    /// When the single call was sent that ends, if it is one.
    fn takes(&mut self, who: &Who) -> Option<Instant> {
        self.probes.remove(who)
    }

    fn is_opened_by(&mut self, who: &Who, now: Instant) -> bool {
        let sent = self.takes(who);
        self.until <= now || sent.is_some_and(|sent| self.asked <= sent)
    }
}

/// A 429, and what matters for the next call.
#[derive(Clone, Copy, Debug)]
pub struct Throttled {
    /// The time that it asks for.
    pub retry_after: Option<Duration>,
    /// Whether a grant is expired, or will be soon.
    pub pressing: bool,
    /// From 0 to 1; spreads the next call.
    pub draw: f64,
}

impl Throttled {
    /// Whether it asks to wait for longer than a rate is measured over: where none came lately, that isn't a matter of how many calls there were.
    fn asks_for_long(&self) -> bool {
        self.retry_after.is_some_and(|asked| asked >= LONGEST_MEASURE)
    }

    /// When to call next, after so many refusals in a row.
    fn until(&self, streak: u32, now: Instant) -> Instant {
        let Self { retry_after, pressing, draw } = *self;
        let attempt = FailedAttempt { class: FailureClass::Throttled { retry_after }, streak, recently_succeeded: true, pressing };
        now + attempt.retry_delay(draw).max(retry_after.unwrap_or_default().min(LONGEST_THROTTLE))
    }
}

impl Default for Pace {
    fn default() -> Self {
        let next = Instant::after_start(Duration::ZERO);
        Self {
            window: FIRST_WINDOW,
            in_the_dark_since: None,
            limit: None,
            closed: None,
            reopened: None,
            passed: VecDeque::new(),
            next,
            last: Kind::Newcomer,
        }
    }
}

impl Pace {
    /// What two lanes that turn out to be of one account know of it: what is held back most goes for both, and where nothing is, what went best.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let (window, in_the_dark_since) = match (self.is_limited(), other.is_limited()) {
            (false, false) => (self.window.max(other.window), self.in_the_dark_since.into_iter().chain(other.in_the_dark_since).min()),
            (true, false) => (self.window, self.in_the_dark_since),
            (false, true) => (other.window, other.in_the_dark_since),
            (true, true) => (self.window.min(other.window), None),
        };
        let reopened = self.reopened.max(other.reopened);
        let (closed, open) = if self.closed_until() >= other.closed_until() { (self, other) } else { (other, self) };
        let limit = closed.limit.into_iter().chain(open.limit).max_by_key(|limit| limit.since);
        let passed = closed.passed.into_iter().chain(open.passed).collect::<BinaryHeap<_>>().into_sorted_vec().into();
        let next = closed.next.max(open.next);
        Self { window, in_the_dark_since, limit, closed: closed.closed, reopened, passed, next, last: closed.last }
    }

    /// Whether a call may be made now, whatever the pace: no 429 asks to wait.
    #[must_use]
    pub fn may_probe(&self, now: Instant) -> bool {
        self.closed.as_ref().is_none_or(|closed| closed.next() <= now)
    }

    /// When it may, if a 429 asks to wait.
    #[must_use]
    pub fn closed_until(&self) -> Option<Instant> {
        self.closed.as_ref().map(Closed::next)
    }

    /// Until when a 429 asks to wait, if one does, whatever call is made alone after that.
    #[must_use]
    pub fn asked_until(&self) -> Option<Instant> {
        self.closed.as_ref().map(|closed| closed.until)
    }

    /// Whether another call may be made now, while so many are out.
    #[must_use]
    pub fn allows(&self, out: usize, now: Instant) -> bool {
        match (&self.closed, &self.limit) {
            (Some(closed), _) => closed.next() <= now,
            (None, Some(_)) => self.next <= now,
            (None, None) => out < self.window.saturating_mul(1 << self.doublings(now)),
        }
    }

    fn doublings(&self, now: Instant) -> u32 {
        let past = self.in_the_dark_since.map_or(0, |since| now.since(since).as_millis() / DOUBLES_IN.as_millis());
        u32::try_from(past).map_or(MOST_DOUBLINGS, |past| past.min(MOST_DOUBLINGS))
    }

    /// When it next may, if that is a matter of time. To be asked when it may not now.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Instant> {
        match (&self.closed, &self.limit) {
            (Some(closed), _) => Some(closed.next()),
            (None, Some(_)) => Some(self.next),
            (None, None) => {
                let doublings = self.doublings(now);
                let since = self.in_the_dark_since.filter(|_| doublings < MOST_DOUBLINGS)?;
                Some(since + DOUBLES_IN * (doublings + 1))
            }
        }
    }

    /// A call is made.
    pub fn calls(&mut self, who: impl FnOnce() -> Who, now: Instant) {
        self.probes(who, now);
        if let Some(limit) = &self.limit {
            let interval = Duration::from_secs_f64(limit.rate(now).recip());
            self.next = self.next.max(now.before(CATCHING_UP)) + interval;
        } else if self.closed.is_none() {
            self.in_the_dark_since.get_or_insert(now);
        }
    }

    /// A probe of a lane is sent.
    pub fn probes(&mut self, who: impl FnOnce() -> Who, now: Instant) {
        if let Some(closed) = &mut self.closed {
            closed.probes.insert(who(), now);
        }
    }

    /// How many calls a second may be made, where that is held back; none while a 429 asks to wait.
    #[must_use]
    pub fn rate(&self, now: Instant) -> Option<f64> {
        match (&self.closed, &self.limit) {
            (Some(_), _) => Some(0.0),
            (None, limit) => limit.map(|limit| limit.rate(now)),
        }
    }

    /// Whether calls are held back.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.limit.is_some() || self.closed.is_some()
    }

    /// A grant came, or what else has passed the account's limit. Returns whether that opens the account: one that was under way when a 429 came says
    /// nothing of the time that was asked for.
    pub fn let_through(&mut self, who: &Who, now: Instant) -> bool {
        self.window = self.window.saturating_add(1);
        self.passed.push_back(now);
        self.forget(now);
        if self.limit.is_some_and(|limit| limit.rate(now) > FORGOTTEN * limit.measured) {
            (self.limit, self.in_the_dark_since) = (None, Some(now));
        }
        let opens = self.closed.take_if(|closed| closed.is_opened_by(who, now)).is_some();
        if opens {
            self.reopened = Some(now);
        }
        opens
    }

    /// A 429 came. Returns whether that closes the account.
    pub fn throttled(&mut self, who: &Who, throttled: Throttled, now: Instant) -> bool {
        if let Some(closed) = &mut self.closed {
            if throttled.retry_after.is_some() {
                closed.asked = now;
            }
            if closed.takes(who).is_some() {
                closed.streak = closed.streak.saturating_add(1);
                closed.until = closed.until.max(throttled.until(closed.streak, now));
            } else if throttled.retry_after.is_some() {
                closed.until = closed.until.max(throttled.until(closed.streak, now));
            }
            if closed.streak > OUTAGE || closed.is_first && throttled.asks_for_long() {
                (self.limit, self.window) = (None, 1);
            }
            return false;
        }
        self.forget(now);
        self.in_the_dark_since = None;
        let is_first = self.limit.is_none() && self.reopened.is_none_or(|reopened| now.since(reopened) > LONGEST_THROTTLE);
        let measured = self.measured(now).filter(|_| !(is_first && throttled.asks_for_long()));
        let asked = throttled.retry_after.unwrap_or_default().min(LONGEST_THROTTLE).as_secs_f64();
        self.limit = measured.map(|measured| Limit { measured, since: now, recovery: RECOVERY + 2.0 * asked });
        if self.limit.is_none() {
            self.window = 1;
        }
        self.next = now;
        self.closed = Some(Closed { until: throttled.until(1, now), streak: 1, is_first, asked: now, probes: BTreeMap::new() });
        true
    }

    /// A call ended in another way, or is heard of no more.
    pub fn ended(&mut self, who: &Who) {
        if let Some(closed) = &mut self.closed {
            closed.takes(who);
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.passed.front().is_some_and(|passed| *passed + LONGEST_MEASURE <= now) {
            self.passed.pop_front();
        }
    }

    /// How many calls a second passed lately, if enough did.
    fn measured(&self, now: Instant) -> Option<f64> {
        let rate = |count: u32, time: Duration| f64::from(count) / time.as_secs_f64();
        let within = |time: Duration| {
            let count = self.passed.iter().rev().take_while(|passed| now < **passed + time).count();
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            (count >= MEASURABLE).then(|| rate(count, time))
        };
        let first_of_few = self.passed.iter().rev().nth(MEASURABLE as usize - 1);
        let few = first_of_few.map(|first| rate(MEASURABLE, now.since(*first).max(MEASURES[0])));
        MEASURES.into_iter().filter_map(within).chain(few).max_by(f64::total_cmp)
    }

    /// Of a newcomer and the first of so many refreshes, with that deadline, who goes first. They take turns; but where all those refreshes would take
    /// so long that the first could be too late, they go before any newcomer: who is let in needs to be refreshed, too, and where there isn't enough for
    /// those who are there, one more would cost them theirs.
    #[must_use]
    pub fn turn(&self, refresh: Instant, refreshes: u32, now: Instant) -> Kind {
        let take = self.limit.map_or(Duration::ZERO, |limit| Duration::from_secs_f64(f64::from(refreshes) / limit.rate(now)));
        if refresh <= now + URGENT + take || self.last == Kind::Newcomer { Kind::Refresh } else { Kind::Newcomer }
    }

    /// One of that kind goes.
    pub const fn takes_turn(&mut self, kind: Kind) {
        self.last = kind;
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "pace_single_tests.rs"]
mod single_tests;
