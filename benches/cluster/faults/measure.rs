//! What a fault has cost, from what was seen.

use std::collections::BTreeSet;
use std::ops::Range;

use playback_grant_operator::simulator::CallRecord;

use super::calls::{Calls, early};
use crate::stage::cast::{Group, live};
use crate::stage::watch::{Held, Seen};

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
    /// The same of the worst run.
    pub worst_expired: u64,
    /// The longest that one did beyond that.
    pub worst_excess: u64,
    /// The longest that one did at all.
    pub worst: u64,
    /// From the fault's end until the first and the last of those held another whose grants had been due until then; `None`: none had.
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// The last of the worst run.
    pub worst_last: Option<u64>,
    /// The least that one of those whom it strikes had left when it began. What an operator leaves too late no fault forces.
    pub left_before: u64,
    /// For how long those did whom it doesn't strike, and the least that one of their grants had left when it was replaced.
    pub others_expired: u64,
    pub others_left: u64,
    pub calls: Calls,
    /// How many of them were made for those whom it strikes.
    pub struck_calls: u64,
    /// How many calls were needed at leisure: one for each request that was there from the start, and interval.
    pub needed: u64,
    /// How many calls were made for grants that weren't due, and how many while a 429 asked to wait.
    pub early: u64,
    pub hasty: u64,
    /// How long the grants still had to live that were replaced by others, in the median; 0 for one that had expired.
    pub left: u64,
    /// How many writes of Secrets and requests there were for a hundred grants that came into a Secret.
    pub writes: u64,
}

/// What is looked at.
pub struct Looked {
    /// From the fault's beginning until when nothing could be done.
    pub forced: Range<u64>,
    /// When it ended.
    pub ends: u64,
    /// Until now.
    pub now: u64,
    /// The calls in that time.
    pub calls: Vec<CallRecord>,
    /// How many of them were made while a 429 asked to wait.
    pub hasty: u64,
}

/// What it cost those whom it struck of those who were there from the start.
pub fn measure(seen: &Seen, (cast, struck): (&[Group], &Group), looked: &Looked) -> Measured {
    let Looked { forced: fault, ends, now, calls, hasty } = looked;
    let now = *now;
    let looked = now - fault.start;
    let needed = |group: &Group| u64::from(group.count) * looked / group.interval_millis();
    let looked_at = fault.start..now;
    let grants = seen.held.values().flatten().filter(|held| looked_at.contains(&held.seen)).count();
    let writes = seen.written.iter().filter(|at| looked_at.contains(at)).count();
    let streamers: BTreeSet<String> = (1..=struck.count).map(|n| struck.streamer_sid(n)).collect();
    let left = seen.held.values().flat_map(|held| held.windows(2)).filter(|pair| looked_at.contains(&pair[1].seen));
    let mut measured = Measured {
        calls: Calls::of(calls, *ends),
        struck_calls: calls.iter().filter(|call| streamers.contains(&call.streamer)).count() as u64,
        early: early(calls, seen, cast),
        hasty: *hasty,
        others_left: u64::MAX,
        left_before: u64::MAX,
        needed: cast.iter().map(needed).sum(),
        left: middle(left.map(life_left).collect()),
        writes: (100 * writes / grants.max(1)) as u64,
        ..Measured::default()
    };
    for (name, held) in &seen.held {
        let expired = expired(held, fault.start..now);
        if !struck.has(name) {
            if cast.iter().any(|group| group.has(name)) {
                measured.others_expired += expired;
                let left = held.windows(2).filter(|pair| looked_at.contains(&pair[1].seen)).map(life_left);
                measured.others_left = left.chain([measured.others_left]).min().unwrap_or_default();
            }
            continue;
        }
        measured.secrets += 1;
        let before = held.iter().rev().find(|held| held.seen <= fault.start);
        let left_before = before.map(|held| held.expires.saturating_sub(fault.start));
        measured.left_before = left_before.into_iter().chain([measured.left_before]).min().unwrap_or_default();
        let forced = forced(held, fault);
        measured.affected += u64::from(expired > 0);
        measured.expired += expired;
        measured.forced += forced.min(expired);
        measured.worst = measured.worst.max(expired);
        measured.worst_excess = measured.worst_excess.max(expired.saturating_sub(forced));
        if was_due(held, fault.end)
            && let Some(next) = held.iter().find(|held| held.seen >= fault.end && held.expires > held.seen)
        {
            let since = next.seen - fault.end;
            measured.first = measured.first.into_iter().chain([since]).min();
            measured.last = measured.last.max(Some(since));
        }
    }
    measured
}

/// How long the one still had to live when the other came.
fn life_left(pair: &[Held]) -> u64 {
    pair[0].expires.saturating_sub(pair[1].seen)
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

/// Whether what was held at that time was to have been replaced by then.
fn was_due(held: &[Held], at: u64) -> bool {
    let held = held.iter().rev().find(|held| held.seen < at);
    held.is_some_and(|held| held.due.map_or(held.expires, |due| due.min(held.expires)) < at)
}

impl Measured {
    /// The median of each figure; the worst of what must never be.
    pub fn median(runs: &[Self]) -> Self {
        let most = |of: &dyn Fn(&Self) -> u64| runs.iter().map(of).max().unwrap_or_default();
        let median = |of: &dyn Fn(&Self) -> u64| middle(runs.iter().map(of).collect());
        let median_if_any = |of: &dyn Fn(&Self) -> Option<u64>| {
            let all: Option<Vec<u64>> = runs.iter().map(of).collect();
            all.map(middle)
        };
        Self {
            secrets: median(&|run| run.secrets),
            affected: median(&|run| run.affected),
            expired: median(&|run| run.expired),
            forced: median(&|run| run.forced),
            worst_excess: median(&|run| run.worst_excess),
            worst: median(&|run| run.worst),
            first: median_if_any(&|run| run.first),
            last: median_if_any(&|run| run.last),
            worst_last: runs.iter().filter_map(|run| run.last).max(),
            left_before: runs.iter().map(|run| run.left_before).min().unwrap_or_default(),
            worst_expired: most(&|run| run.expired),
            others_expired: most(&|run| run.others_expired),
            others_left: runs.iter().map(|run| run.others_left).min().unwrap_or_default(),
            early: most(&|run| run.early),
            hasty: most(&|run| run.hasty),
            calls: Calls {
                made: median(&|run| run.calls.made),
                meanwhile: median(&|run| run.calls.meanwhile),
                throttled: median(&|run| run.calls.throttled),
            },
            struck_calls: runs.iter().map(|run| run.struck_calls).min().unwrap_or_default(),
            needed: median(&|run| run.needed),
            left: median(&|run| run.left),
            writes: median(&|run| run.writes),
        }
    }
}

fn middle(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// A Secret that held an expired grant for 7 s, of which a fault forced 5, reads so.
pub fn self_test() {
    let grant = |seen, expires| Held { seen, expires, due: None };
    let held = vec![grant(0, 15_000), grant(22_000, 37_000)];
    let other = vec![grant(0, 15_000), grant(16_500, 60_000)];
    let nobodys = vec![grant(0, 1)];
    let held = [("live-1".to_owned(), held), ("other-1".to_owned(), other), ("newcomer-1".to_owned(), nobodys)].into();
    let seen = Seen { held, written: vec![8_999, 16_500, 16_501, 22_000, 29_999, 30_000], ..Seen::default() };
    let cast = [live(1), Group { name: "other", ..live(2) }];
    let measure =
        |now| measure(&seen, (&cast, &cast[0]), &Looked { forced: 9_000..20_000, ends: 20_000, now, calls: Vec::new(), hasty: 0 });
    let measured = measure(40_000);
    assert_eq!((measured.expired, measured.forced, measured.worst_excess), (10_000, 5_000, 5_000));
    let measured = measure(30_000);
    assert_eq!((measured.expired, measured.forced, measured.worst_excess), (7_000, 5_000, 2_000));
    assert_eq!((measured.first, measured.last, measured.affected, measured.secrets), (Some(2_000), Some(2_000), 1, 1));
    let due = |due| [Held { due: Some(due), ..grant(0, 15_000) }];
    assert_eq!([due(9_999), due(10_000)].map(|held| was_due(&held, 10_000)), [true, false]);
    assert_eq!((measured.others_expired, measured.needed), (1500, 6), "of those who were there");
    assert_eq!((measured.left_before, Measured::median(std::slice::from_ref(&measured)).worst_last), (6_000, Some(2_000)));
    assert_eq!((measured.writes, measured.left), (200, 0), "four for two grants, which both came too late");
}
