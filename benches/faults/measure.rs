//! What a fault has cost, from what was seen.

use std::ops::Range;

use crate::stage::Calls;
use crate::watch::{Held, Seen};

/// What a fault has cost. Milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// How many Secrets there are.
    pub secrets: u64,
    /// How many of them held an expired grant.
    pub affected: u64,
    /// For how long they did, all together, and for how long of it the fault alone is to blame: from the expiry of what each held to its end.
    pub expired: u64,
    pub forced: u64,
    /// The longest that one did beyond that.
    pub worst_excess: u64,
    /// The longest that one did at all.
    pub worst: u64,
    /// From the fault's end until the first and the last of those whose grants had expired held another.
    pub first: u64,
    pub last: u64,
    pub calls: Calls,
    /// How long it was looked at.
    pub looked: u64,
}

/// What it cost from its beginning until `now`. `fault`: from when until when nothing could be done.
pub fn measure(seen: &Seen, fault: Range<u64>, now: u64, calls: Calls) -> Measured {
    let mut measured = Measured { calls, looked: now - fault.start, first: u64::MAX, ..Measured::default() };
    for held in seen.values() {
        measured.secrets += 1;
        let expired = expired(held, fault.start..now);
        let forced = forced(held, &fault);
        measured.affected += u64::from(expired > 0);
        measured.expired += expired;
        measured.forced += forced.min(expired);
        measured.worst = measured.worst.max(expired);
        measured.worst_excess = measured.worst_excess.max(expired.saturating_sub(forced));
        if forced > 0
            && let Some(next) = held.iter().find(|held| held.seen >= fault.end)
        {
            measured.first = measured.first.min(next.seen - fault.end);
            measured.last = measured.last.max(next.seen - fault.end);
        }
    }
    if measured.first == u64::MAX {
        measured.first = 0;
    }
    measured
}

/// For how long of that time an expired grant was held.
fn expired(held: &[Held], time: Range<u64>) -> u64 {
    let ends = held.iter().skip(1).map(|next| next.seen).chain([time.end]);
    let of_each = held.iter().zip(ends).map(|(held, replaced)| {
        let from = held.expires.max(held.seen).max(time.start);
        replaced.min(time.end).saturating_sub(from)
    });
    of_each.sum()
}

/// For how long of it the fault is to blame: from the expiry of the last grant that came before its end.
fn forced(held: &[Held], fault: &Range<u64>) -> u64 {
    let last = held.iter().filter(|held| held.seen < fault.end).map(|held| held.expires).max();
    last.map_or(0, |expires| fault.end.saturating_sub(expires.max(fault.start)))
}

impl Measured {
    /// The median of each figure.
    pub fn median(runs: &[Self]) -> Self {
        let median = |of: &dyn Fn(&Self) -> u64| {
            let mut all: Vec<u64> = runs.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        Self {
            secrets: median(&|run| run.secrets),
            affected: median(&|run| run.affected),
            expired: median(&|run| run.expired),
            forced: median(&|run| run.forced),
            worst_excess: median(&|run| run.worst_excess),
            worst: median(&|run| run.worst),
            first: median(&|run| run.first),
            last: median(&|run| run.last),
            calls: Calls { made: median(&|run| run.calls.made), throttled: median(&|run| run.calls.throttled) },
            looked: median(&|run| run.looked),
        }
    }

    /// How many calls are needed in that time at leisure: one for each request and interval.
    pub const fn needed(&self) -> u64 {
        self.secrets * self.looked / crate::stage::INTERVAL_MILLIS
    }
}

/// A Secret that held an expired grant for 7 s, of which a fault forced 5, reads so.
pub fn self_test() {
    let held = vec![Held { seen: 0, expires: 15_000 }, Held { seen: 22_000, expires: 37_000 }];
    let seen = Seen::from([("lobby".to_owned(), held)]);
    let measured = measure(&seen, 9_000..20_000, 40_000, Calls::default());
    assert_eq!((measured.expired, measured.forced, measured.worst_excess), (10_000, 5_000, 5_000));
    let measured = measure(&seen, 9_000..20_000, 30_000, Calls::default());
    assert_eq!((measured.expired, measured.forced, measured.worst_excess), (7_000, 5_000, 2_000));
    assert_eq!((measured.first, measured.last, measured.affected), (2_000, 2_000, 1));
}
