//! Tests of the counters and the log of calls.

use super::{CallOutcome, CallRecord, Tally};
use proptest::prelude::*;

const STREAMER: &str = "VJ0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

fn call(tally: &mut Tally, at_unix_ms: u64) -> CallRecord {
    tally.begins(STREAMER, Some("SK1"), Some(ACCOUNT), at_unix_ms)
}

#[test]
fn a_call_is_counted_for_all_its_streamer_and_its_account() {
    let mut tally = Tally::new(10);
    let (first, second) = (call(&mut tally, 5), call(&mut tally, 9));
    tally.ends(&first, CallOutcome::Answered(201));
    tally.ends(&second, CallOutcome::Answered(429));
    let counters = tally.counters();
    assert_eq!(counters.streamers[STREAMER], counters.total);
    assert_eq!(counters.accounts[ACCOUNT], counters.total);
    let total = counters.total;
    assert_eq!((total.received, total.answered_201, total.rejected[&429]), (2, 1, 1));
    assert_eq!((total.in_flight, total.max_in_flight), (0, 2));
    assert_eq!((total.first_call_unix_ms, total.last_call_unix_ms), (Some(5), Some(9)));
}

#[test]
fn malformed_streamers_and_missing_users_are_in_the_total_only() {
    let mut tally = Tally::new(10);
    tally.begins(&"x".repeat(1_000), None, None, 0);
    let counters = tally.counters();
    assert_eq!(counters.total.received, 1);
    assert!(counters.streamers.is_empty() && counters.accounts.is_empty());
    assert_eq!(tally.calls(10)[0].streamer.len(), 64);
}

#[test]
fn the_log_keeps_the_last_calls_in_order_of_arrival() {
    let mut tally = Tally::new(2);
    let calls: Vec<_> = (0..3).map(|at| call(&mut tally, at)).collect();
    tally.ends(&calls[2], CallOutcome::Answered(201));
    tally.ends(&calls[0], CallOutcome::Reset);
    let kept: Vec<_> = tally.calls(10).into_iter().map(|call| (call.number, call.outcome)).collect();
    assert_eq!(kept, [(1, CallOutcome::InFlight), (2, CallOutcome::Answered(201))]);
    assert_eq!(tally.calls(1)[0].number, 2);
}

#[test]
fn a_reset_keeps_what_is_under_way() {
    let mut tally = Tally::new(2);
    let (first, second) = (call(&mut tally, 0), call(&mut tally, 0));
    tally.ends(&first, CallOutcome::Answered(201));
    tally.reset();
    let total = tally.counters().total;
    assert_eq!((total.received, total.answered_201, total.in_flight, total.max_in_flight), (0, 0, 1, 1));
    tally.ends(&second, CallOutcome::Unanswered);
    tally.reset();
    assert_eq!(tally.counters(), super::Counters::default());
}

proptest! {
    #[test]
    fn every_call_is_somewhere(steps in proptest::collection::vec((any::<bool>(), 0_usize..8, 0_u8..5), 0..100)) {
        let mut tally = Tally::new(5);
        let mut open = Vec::new();
        for (begin, which, outcome) in steps {
            if begin || open.is_empty() {
                open.push(call(&mut tally, 0));
            } else {
                let outcomes = [CallOutcome::Answered(201), CallOutcome::Answered(500), CallOutcome::Answered(429), CallOutcome::Reset];
                let record = open.swap_remove(which % open.len());
                tally.ends(&record, outcomes.get(usize::from(outcome)).copied().unwrap_or(CallOutcome::Unanswered));
            }
            let total = tally.counters().total;
            let ended = total.answered_201 + total.rejected.values().sum::<u64>() + total.reset + total.unanswered;
            prop_assert_eq!(total.received, ended + total.in_flight);
            prop_assert_eq!(total.in_flight, open.len() as u64);
            prop_assert!(total.max_in_flight >= total.in_flight);
        }
    }
}
