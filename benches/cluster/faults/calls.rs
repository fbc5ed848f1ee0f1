//! What the calls of the Media API show: which were refused, made too early, or made while a 429 asked to wait.

use std::collections::BTreeMap;

use playback_grant_operator::simulator::{CallOutcome, CallRecord};

use crate::stage::cast::Group;
use crate::stage::watch::{Held, Seen};

/// So long after a 429 calls may still come in that were under way.
const UNDER_WAY_MILLIS: u64 = 1000;

/// How many calls there were, how many of them while the fault lasted, and how many were refused by 429.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    pub made: u64,
    pub meanwhile: u64,
    pub throttled: u64,
}

impl Calls {
    pub fn of(calls: &[CallRecord], ends: u64) -> Self {
        let count = |is: &dyn Fn(&CallRecord) -> bool| calls.iter().filter(|call| is(call)).count() as u64;
        Self { made: count(&|_| true), meanwhile: count(&|call| call.at_unix_ms < ends), throttled: count(&is_throttled) }
    }
}

fn is_throttled(call: &CallRecord) -> bool {
    call.outcome == CallOutcome::Answered(429)
}

/// What 429s have asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Until when to wait, by the last that was met by a call that was allowed; 0 where there was none.
    pub until: u64,
    /// How many calls were made all the same.
    pub hasty: u64,
}

/// What 429s have asked for that ask to wait for so many milliseconds each. What is called too early prolongs nothing.
pub fn asked(calls: &[CallRecord], wait: u64) -> Asked {
    let (mut asked, mut since) = (Asked::default(), 0);
    for call in calls {
        let at = call.at_unix_ms;
        if at >= asked.until {
            if is_throttled(call) {
                (since, asked.until) = (at, at + wait);
            }
        } else if at > since + UNDER_WAY_MILLIS {
            asked.hasty += 1;
        }
    }
    asked
}

/// How many calls were made for Secrets whose grants weren't due: they had more left than a third, and what spreads the calls.
pub fn early(calls: &[CallRecord], seen: &Seen, cast: &[Group]) -> u64 {
    let names: BTreeMap<String, (String, u64)> = cast
        .iter()
        .flat_map(|group| (1..=group.count).map(|n| (group.streamer_sid(n), (group.request_name(n), most_left_when_due(group)))))
        .collect();
    let is_early = |call: &&CallRecord| {
        names.get(&call.streamer).is_some_and(|(name, most)| {
            let held: &[Held] = seen.held.get(name).map_or(&[], Vec::as_slice);
            let held = held.iter().rev().find(|held| held.seen <= call.at_unix_ms);
            held.is_some_and(|held| held.expires > call.at_unix_ms + most)
        })
    };
    calls.iter().filter(is_early).count() as u64
}

/// A third of the life, at most 4 % of the interval earlier, and what two clocks may differ by.
fn most_left_when_due(group: &Group) -> u64 {
    u64::from(group.ttl_seconds) * 1000 / 3 + group.interval_millis() * 4 / 100 + 100
}

/// A 429 is obeyed or not, and a call is early or not.
pub fn self_test() {
    let call = |at_unix_ms, status, streamer: &str| CallRecord {
        number: 0,
        at_unix_ms,
        streamer: streamer.to_owned(),
        user: None,
        account: None,
        outcome: CallOutcome::Answered(status),
    };
    let live = crate::stage::cast::live(1);
    let sid = live.streamer_sid(1);
    let calls = [(10_000, 429), (10_900, 429), (11_100, 429), (15_000, 429), (19_900, 201), (20_000, 201)]
        .map(|(at, status)| call(at, status, &sid));
    assert_eq!(asked(&calls, 5000), Asked { until: 20_000, hasty: 2 });
    assert_eq!(asked(&calls[4..], 5000), Asked::default());
    let counted = Calls::of(&calls, 19_900);
    assert_eq!((counted.made, counted.meanwhile, counted.throttled), (6, 4, 4));
    let held = vec![Held { seen: 10_500, expires: 25_400, due: None }];
    let seen = Seen { held: [(live.request_name(1), held)].into(), ..Seen::default() };
    assert_eq!(early(&calls, &seen, &[live]), 3, "5.5 s before its end it may be");
}
