//! What the simulator has seen: counters, and the last calls one by one.

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// More streamers or accounts than this are counted in the total only.
const MOST_KEYS: usize = 100_000;

/// Counters of calls for a grant (`POST …/PlaybackGrant`). At every instant
/// `received = answered_201 + the sum of rejected + reset + unanswered + in_flight`, but for calls under way at a reset of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallCounters {
    /// Calls received.
    pub received: u64,
    /// Calls answered with status 201, spoiled answers included.
    pub answered_201: u64,
    /// Calls answered with another status, by status.
    pub rejected: BTreeMap<u16, u64>,
    /// Calls whose connection the simulator ended instead of an answer or within it.
    pub reset: u64,
    /// Calls whose client left before the whole answer was there: all that hung, and those that waited less than the latency.
    pub unanswered: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// The most calls that were under way at once.
    pub max_in_flight: u64,
    /// When the first call came: milliseconds since the Unix epoch.
    pub first_call_unix_ms: Option<u64>,
    /// When the last call came: milliseconds since the Unix epoch.
    pub last_call_unix_ms: Option<u64>,
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// All calls for grants, those with malformed SIDs or without credentials included.
    pub total: CallCounters,
    /// By account: the one that the call's user belongs to, be its password right or wrong.
    pub accounts: BTreeMap<String, CallCounters>,
    /// By PlayerStreamer.
    pub streamers: BTreeMap<String, CallCounters>,
    /// Requests below `/v1` that weren't calls for grants.
    pub other_requests: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// It is under way.
    InFlight,
    /// It was answered with this status.
    Answered(u16),
    /// Its connection was ended.
    Reset,
    /// Its client left.
    Unanswered,
}

/// One call for a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallRecord {
    /// Its number, in order of arrival, from 0.
    pub number: u64,
    /// When it came: milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// The PlayerStreamer's SID as called, shortened to 64 characters.
    pub streamer: String,
    /// The user of the credentials, shortened to 64 characters; none without credentials.
    pub user: Option<String>,
    /// The account of that user.
    pub account: Option<String>,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// Counters and log of calls.
#[derive(Debug)]
pub(crate) struct Tally {
    counters: Counters,
    calls: VecDeque<CallRecord>,
    most_calls: usize,
    next_number: u64,
}

impl Tally {
    /// Remembers the last `most_calls` calls one by one.
    pub(crate) fn new(most_calls: usize) -> Self {
        Self { counters: Counters::default(), calls: VecDeque::new(), most_calls, next_number: 0 }
    }

    /// Notes a call; what is returned is given back to [`Tally::ends`].
    pub(crate) fn begins(&mut self, streamer: &str, user: Option<&str>, account: Option<&str>, at_unix_ms: u64) -> CallRecord {
        let record = CallRecord {
            number: self.next_number,
            at_unix_ms,
            streamer: streamer.chars().take(64).collect(),
            user: user.map(|user| user.chars().take(64).collect()),
            account: account.map(str::to_owned),
            outcome: CallOutcome::InFlight,
        };
        self.next_number += 1;
        self.each_counter(&record, true, |counters| counters.begins(at_unix_ms));
        self.calls.push_back(record.clone());
        while self.calls.len() > self.most_calls {
            self.calls.pop_front();
        }
        record
    }

    /// Notes a call's end.
    pub(crate) fn ends(&mut self, record: &CallRecord, outcome: CallOutcome) {
        self.each_counter(record, false, |counters| counters.ends(outcome));
        let first = self.calls.front().map_or(0, |oldest| oldest.number);
        let index = record.number.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(kept) = index.and_then(|index| self.calls.get_mut(index)) {
            kept.outcome = outcome;
        }
    }

    /// Notes a request that isn't a call for a grant.
    pub(crate) const fn other_request(&mut self) {
        self.counters.other_requests += 1;
    }

    /// The counters now.
    pub(crate) fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// The last calls, at most `most`, the oldest first.
    pub(crate) fn calls(&self, most: usize) -> Vec<CallRecord> {
        self.calls.iter().skip(self.calls.len().saturating_sub(most)).cloned().collect()
    }

    /// Starts counting anew; calls under way stay under way.
    pub(crate) fn reset(&mut self) {
        self.calls.clear();
        let Counters { total, accounts, streamers, other_requests } = &mut self.counters;
        total.reset();
        for counters in [accounts, streamers] {
            counters.retain(|_, counters| {
                counters.reset();
                counters.in_flight > 0
            });
        }
        *other_requests = 0;
    }

    fn each_counter(&mut self, record: &CallRecord, create: bool, change: impl Fn(&mut CallCounters)) {
        change(&mut self.counters.total);
        let streamer = crate::media::PlayerStreamerSid::parse(&record.streamer).map(|_| &record.streamer);
        let keyed = [(&mut self.counters.streamers, streamer), (&mut self.counters.accounts, record.account.as_ref())];
        for (counters, key) in keyed {
            let Some(key) = key else { continue };
            if create && !counters.contains_key(key) && counters.len() < MOST_KEYS {
                counters.insert(key.clone(), CallCounters::default());
            }
            if let Some(counters) = counters.get_mut(key) {
                change(counters);
            }
        }
    }
}

impl CallCounters {
    fn begins(&mut self, at_unix_ms: u64) {
        self.received += 1;
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
        self.first_call_unix_ms.get_or_insert(at_unix_ms);
        self.last_call_unix_ms = Some(at_unix_ms);
    }

    fn ends(&mut self, outcome: CallOutcome) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            CallOutcome::Answered(201) => self.answered_201 += 1,
            CallOutcome::Answered(status) => *self.rejected.entry(status).or_default() += 1,
            CallOutcome::Reset => self.reset += 1,
            CallOutcome::Unanswered | CallOutcome::InFlight => self.unanswered += 1,
        }
    }

    fn reset(&mut self) {
        let in_flight = self.in_flight;
        *self = Self { in_flight, max_in_flight: in_flight, ..Self::default() };
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
