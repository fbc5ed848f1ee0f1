//! Tests of which faults act, on whom, and until when.

use super::{Caller, FaultBoard, Outage, Spoiler};
use crate::simulator::fault::AnswerFault;
use std::time::Duration;

const STREAMER: &str = "VJ0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const CALLER: Caller<'_> = Caller { streamer: STREAMER, user: Some("SK1"), account: Some(ACCOUNT) };
const STRANGER: Caller<'_> = Caller { streamer: "VJ", user: Some("SK2"), account: Some("AC") };
const NOBODY: Caller<'_> = Caller { streamer: "VJ", user: None, account: None };

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn board(faults: &[&str]) -> FaultBoard {
    let mut board = FaultBoard::default();
    for fault in faults {
        board.add(fault.parse().unwrap(), at(1_000));
    }
    board
}

fn outage_status(board: &mut FaultBoard, caller: Caller<'_>, now: Duration) -> Option<u16> {
    board.take_outage(caller, now).map(|outage| match outage {
        Outage::Status(fault) => fault.status,
        Outage::Hang | Outage::Reset => 0,
    })
}

#[test]
fn a_fault_ends_by_time_on_the_dot() {
    let mut board = board(&["500:2.5s"]);
    assert_eq!(outage_status(&mut board, CALLER, at(1_000)), Some(500));
    assert_eq!(outage_status(&mut board, CALLER, at(3_499)), Some(500));
    assert_eq!(outage_status(&mut board, CALLER, at(3_500)), None);
    assert!(board.report(at(3_500)).is_empty());
}

#[test]
fn a_fault_ends_by_count_and_counts_only_what_it_acted_on() {
    let mut board = board(&[&format!("reset:2x@{STREAMER}")]);
    assert_eq!(board.take_outage(STRANGER, at(1_000)), None);
    assert_eq!(board.take_outage(CALLER, at(1_000)), Some(Outage::Reset));
    let report = board.report(at(1_000));
    assert_eq!((report[0].hits, report[0].calls_left, report[0].seconds_left), (1, Some(1), None));
    assert_eq!(board.take_outage(CALLER, at(1_000)), Some(Outage::Reset));
    assert_eq!(board.take_outage(CALLER, at(1_000)), None);
}

#[test]
fn with_time_and_count_the_first_ends_it() {
    let mut by_count = board(&["500:10s:1x"]);
    assert_eq!(outage_status(&mut by_count, CALLER, at(1_000)), Some(500));
    assert_eq!(outage_status(&mut by_count, CALLER, at(1_001)), None);
    let mut by_time = board(&["500:10s:1x"]);
    assert_eq!(outage_status(&mut by_time, CALLER, at(11_000)), None);
}

#[test]
fn each_scope_strikes_its_own() {
    for (scope, strikes_caller, strikes_stranger, strikes_nobody) in [
        (String::new(), true, true, true),
        (format!("@{STREAMER}"), true, false, false),
        (format!("@{ACCOUNT}"), true, false, false),
        ("@SK1".to_owned(), true, false, false),
        ("@SK2".to_owned(), false, true, false),
    ] {
        let mut board = board(&[&format!("503{scope}")]);
        assert_eq!(board.take_outage(CALLER, at(1_000)).is_some(), strikes_caller, "{scope}");
        assert_eq!(board.take_outage(STRANGER, at(1_000)).is_some(), strikes_stranger, "{scope}");
        assert_eq!(board.take_outage(NOBODY, at(1_000)).is_some(), strikes_nobody, "{scope}");
    }
}

#[test]
fn the_newest_outage_acts_and_the_older_are_not_used_up() {
    let mut board = board(&["500:1x", "hang:1x"]);
    assert_eq!(board.take_outage(CALLER, at(1_000)), Some(Outage::Hang));
    assert_eq!(outage_status(&mut board, CALLER, at(1_000)), Some(500));
    assert_eq!(board.take_outage(CALLER, at(1_000)), None);
}

#[test]
fn latencies_add_up() {
    let mut board = board(&["latency=1s", "500", "latency=250ms:1x", &format!("latency=9s@{}", "SK9")]);
    assert_eq!(board.take_latency(CALLER, at(1_000)), at(1_250));
    assert_eq!(board.take_latency(CALLER, at(1_000)), at(1_000));
}

#[test]
fn spoilers_are_apart_from_outages() {
    let mut board = board(&["500:1x", "ended=404", "null-grant:1x"]);
    assert_eq!(board.take_spoiler(CALLER, at(1_000)), Some(Spoiler::Answer(AnswerFault::NullGrant)));
    assert_eq!(board.take_spoiler(CALLER, at(1_000)), Some(Spoiler::Ended { status: 404 }));
    assert_eq!(outage_status(&mut board, CALLER, at(1_000)), Some(500));
    assert!(board.has_ended(CALLER, at(1_000)));
}

#[test]
fn a_rate_limit_has_a_bucket_for_each_account() {
    let mut board = board(&["rate-limit=2,retry-after=3"]);
    let refusals = |board: &mut FaultBoard, caller, now| (0..5).filter_map(|_| board.take_rate_limit(caller, now)).collect::<Vec<_>>();
    let refused = refusals(&mut board, CALLER, at(1_000));
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|fault| fault.status == 429 && fault.retry_after.is_some()));
    assert_eq!(refusals(&mut board, STRANGER, at(1_000)).len(), 3);
    assert_eq!(refusals(&mut board, CALLER, at(2_000)).len(), 3);
    assert_eq!(board.report(at(2_000))[0].hits, 9);
}

#[test]
fn faults_are_removed_by_number_and_all_at_once() {
    let mut board = FaultBoard::default();
    let first = board.add("500".parse().unwrap(), at(0));
    let second = board.add("hang:1s".parse().unwrap(), at(0));
    assert_ne!(first, second);
    assert!(board.remove(first, at(0)));
    assert!(!board.remove(first, at(0)));
    assert!(!board.remove(second, at(1_000)));
    board.add("reset".parse().unwrap(), at(1_000));
    assert_eq!(board.clear(at(1_000)), 1);
    assert_eq!(board.take_outage(CALLER, at(1_000)), None);
}
