//! Which faults are on, and which of them act on a call. Pure: every instant is an argument (time since the simulator's start).

use super::{AnswerFault, Fault, FaultKind, RetryAfter, Scope, StatusFault};
use crate::simulator::rate_bucket::RateBucket;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;

/// A switched-on fault's number, unique within a simulator's life.
pub type FaultId = u64;

/// A fault that is on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultReport {
    /// Its number.
    pub id: FaultId,
    /// Its text.
    pub fault: String,
    /// How many calls it has acted on.
    pub hits: u64,
    /// Seconds until it ends by itself; none: it doesn't end by time.
    pub seconds_left: Option<f64>,
    /// Calls until it ends by itself; none: it doesn't end by count.
    pub calls_left: Option<u64>,
}

/// Whose call it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) streamer: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) account: Option<&'a str>,
}

/// What an outage does to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    Status(StatusFault),
    Hang,
    Reset,
}

/// What spoils a call that would have been granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spoiler {
    Ended { status: u16 },
    Answer(AnswerFault),
}

/// The faults that are on, in the order in which they were switched on.
#[derive(Debug, Default)]
pub(crate) struct FaultBoard {
    active: Vec<ActiveFault>,
    next_id: FaultId,
}

#[derive(Debug)]
struct ActiveFault {
    id: FaultId,
    fault: Fault,
    since: Duration,
    hits: u64,
    buckets: HashMap<String, RateBucket>,
}

impl FaultBoard {
    /// Switches a fault on.
    pub(crate) fn add(&mut self, fault: Fault, now: Duration) -> FaultId {
        self.next_id += 1;
        self.active.push(ActiveFault { id: self.next_id, fault, since: now, hits: 0, buckets: HashMap::new() });
        self.next_id
    }

    /// Switches one off; false if it isn't on.
    pub(crate) fn remove(&mut self, id: FaultId, now: Duration) -> bool {
        self.drop_ended(now);
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() < before
    }

    /// Switches all off; how many there were.
    pub(crate) fn clear(&mut self, now: Duration) -> usize {
        self.drop_ended(now);
        std::mem::take(&mut self.active).len()
    }

    /// The faults that are on.
    pub(crate) fn report(&mut self, now: Duration) -> Vec<FaultReport> {
        self.drop_ended(now);
        self.active.iter().map(|active| active.report(now)).collect()
    }

    /// How much later the call is answered: all latency faults that strike it, added up.
    pub(crate) fn take_latency(&mut self, caller: Caller<'_>, now: Duration) -> Duration {
        let mut latency = Duration::ZERO;
        for active in self.striking(caller, now) {
            if let FaultKind::Latency(more) = active.fault.kind {
                active.hits += 1;
                latency = latency.saturating_add(more);
            }
        }
        latency
    }

    /// The newest outage that strikes the call.
    pub(crate) fn take_outage(&mut self, caller: Caller<'_>, now: Duration) -> Option<Outage> {
        self.take_newest(caller, now, |kind| match kind {
            FaultKind::Status(fault) => Some(Outage::Status(fault.clone())),
            FaultKind::Hang => Some(Outage::Hang),
            FaultKind::Reset => Some(Outage::Reset),
            _ => None,
        })
    }

    /// What spoils the call's answer: the newest fault that does.
    pub(crate) fn take_spoiler(&mut self, caller: Caller<'_>, now: Duration) -> Option<Spoiler> {
        self.take_newest(caller, now, |kind| match kind {
            FaultKind::Ended { status } => Some(Spoiler::Ended { status: *status }),
            FaultKind::Answer(fault) => Some(Spoiler::Answer(*fault)),
            _ => None,
        })
    }

    /// The 429 of the oldest rate limit that has nothing left for the account; `None` if the call passes all.
    pub(crate) fn take_rate_limit(&mut self, caller: Caller<'_>, now: Duration) -> Option<StatusFault> {
        let account = caller.account.unwrap_or_default();
        let mut refusal = None;
        for active in self.striking(caller, now) {
            let FaultKind::RateLimit { calls_per_second, retry_after } = active.fault.kind else { continue };
            let bucket = active.buckets.entry(account.to_owned()).or_insert_with(|| RateBucket::full(calls_per_second, now));
            if !bucket.take(now) {
                active.hits += 1;
                refusal = Some(retry_after);
                break;
            }
        }
        refusal.map(too_many)
    }

    /// Whether the call's PlayerStreamer has ended. Counts as no call.
    pub(crate) fn has_ended(&mut self, caller: Caller<'_>, now: Duration) -> bool {
        self.striking(caller, now).any(|active| matches!(active.fault.kind, FaultKind::Ended { .. }))
    }

    fn take_newest<T>(&mut self, caller: Caller<'_>, now: Duration, acts: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
        let (active, effect) =
            self.striking(caller, now).rev().find_map(|active| acts(&active.fault.kind).map(|effect| (active, effect)))?;
        active.hits += 1;
        Some(effect)
    }

    fn striking(&mut self, caller: Caller<'_>, now: Duration) -> impl DoubleEndedIterator<Item = &mut ActiveFault> {
        self.drop_ended(now);
        self.active.iter_mut().filter(move |active| active.fault.scope.holds(caller))
    }

    fn drop_ended(&mut self, now: Duration) {
        self.active.retain(|active| !active.has_run_out(now));
    }
}

impl ActiveFault {
    fn has_run_out(&self, now: Duration) -> bool {
        let Fault { duration, calls, .. } = &self.fault;
        duration.is_some_and(|duration| now >= self.since.saturating_add(duration)) || calls.is_some_and(|calls| self.hits >= calls)
    }

    fn report(&self, now: Duration) -> FaultReport {
        let left = |duration: Duration| self.since.saturating_add(duration).saturating_sub(now).as_secs_f64();
        FaultReport {
            id: self.id,
            fault: self.fault.to_string(),
            hits: self.hits,
            seconds_left: self.fault.duration.map(left),
            calls_left: self.fault.calls.map(|calls| calls.saturating_sub(self.hits)),
        }
    }
}

impl Scope {
    fn holds(&self, caller: Caller<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Account(account) => caller.account == Some(account),
            Self::User(user) => caller.user == Some(user),
            Self::Streamer(streamer) => caller.streamer == streamer,
        }
    }
}

fn too_many(retry_after: Option<RetryAfter>) -> StatusFault {
    StatusFault { status: 429, code: None, retry_after, body: super::ErrorBody::Json }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
