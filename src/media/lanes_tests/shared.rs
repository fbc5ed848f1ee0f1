//! What lanes of one account share, and what they don't.

use super::super::{Answered, Attempt, Caller, FailureClass, Instant, Kind, LaneKey, Lanes, Outcome, Waiting};
use super::model::{THROTTLED, lane};
use crate::media::lane::Hold;
use std::time::Duration;

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

fn waiting(hold: Hold) -> Waiting {
    Waiting { kind: Kind::Refresh, deadline: at(60_000), hold, urgent: false }
}

fn enqueue(lanes: &mut Lanes, lane: LaneKey, name: &str) {
    lanes.enqueue(lane, &Caller::from(name), waiting(Hold::Nothing));
}

/// One whose grant expires soon: its call is joined half a second after it was sent.
fn enqueue_pressing(lanes: &mut Lanes, lane: LaneKey, name: &str) {
    lanes.enqueue(lane, &Caller::from(name), Waiting { deadline: at(2000), ..waiting(Hold::Nothing) });
}

/// Who is called now.
fn called(lanes: &mut Lanes, now: u64) -> Vec<(LaneKey, Attempt)> {
    lanes.listen(at(now));
    std::iter::from_fn(|| lanes.next(at(now))).collect()
}

/// The one who is called now.
fn one(lanes: &mut Lanes, now: u64) -> (LaneKey, Attempt) {
    let [one] = <[_; 1]>::try_from(called(lanes, now)).expect("one is called");
    one
}

fn answer(lanes: &mut Lanes, (lane, attempt): &(LaneKey, Attempt), outcome: Outcome, account: Option<&str>, now: u64) -> Answered {
    lanes.answered(*lane, attempt, (outcome, account), at(now), 0.0).expect("it was out")
}

/// A lane whose answers have shown its account.
fn known(lanes: &mut Lanes, user: &str, account: &str, now: u64) -> LaneKey {
    let lane = lane(user);
    enqueue(lanes, lane, user);
    let call = one(lanes, now);
    answer(lanes, &call, Outcome::Granted, Some(account), now);
    lane
}

fn throttled(retry_after: u64) -> Outcome {
    Outcome::Failed(FailureClass::Throttled { retry_after: Some(Duration::from_secs(retry_after)) })
}

#[test]
fn what_a_lane_has_learnt_before_it_knows_its_account_is_the_accounts() {
    let mut lanes = Lanes::new(512);
    let (first, second) = (known(&mut lanes, "first", "AC", 0), lane("second"));
    for name in ["a", "b"] {
        enqueue(&mut lanes, second, name);
    }
    let out = called(&mut lanes, 0);
    answer(&mut lanes, &out[0], throttled(20), None, 0);
    enqueue(&mut lanes, first, "c");
    let of_first = one(&mut lanes, 1);
    answer(&mut lanes, &of_first, Outcome::Granted, Some("AC"), 1);
    // This one was under way when its lane was asked to wait, and tells that the account is the first's.
    answer(&mut lanes, &out[1], Outcome::Granted, Some("AC"), 2);
    enqueue(&mut lanes, first, "c");
    assert_eq!(called(&mut lanes, 19_999), []);
    assert_eq!(lanes.look_at(at(3)), Some(at(20_000)));
    assert_eq!(one(&mut lanes, 20_000).0, first);
}

#[test]
fn an_account_that_was_asked_to_wait_takes_in_a_lane_that_was_not() {
    let mut lanes = Lanes::new(512);
    let (first, second) = (known(&mut lanes, "first", "AC", 0), lane("second"));
    enqueue(&mut lanes, first, "a");
    enqueue(&mut lanes, second, "b");
    let out = called(&mut lanes, 0);
    let (of_first, of_second): (Vec<_>, Vec<_>) = out.into_iter().partition(|(lane, _)| *lane == first);
    answer(&mut lanes, &of_first[0], throttled(20), None, 0);
    answer(&mut lanes, &of_second[0], Outcome::Granted, Some("AC"), 1);
    enqueue(&mut lanes, second, "b");
    assert_eq!(called(&mut lanes, 19_999), []);
    assert_eq!(one(&mut lanes, 20_000).0, second);
}

#[test]
fn an_account_keeps_what_it_knows_when_a_lane_turns_out_to_serve_another_too() {
    let mut lanes = Lanes::new(512);
    let (first, second) = (known(&mut lanes, "first", "AC1", 0), known(&mut lanes, "second", "AC1", 0));
    for name in ["a", "b"] {
        enqueue(&mut lanes, first, name);
    }
    let out = called(&mut lanes, 0);
    answer(&mut lanes, &out[0], throttled(20), None, 0);
    answer(&mut lanes, &out[1], Outcome::Granted, Some("AC2"), 1);
    enqueue(&mut lanes, second, "c");
    assert_eq!(called(&mut lanes, 19_999), [], "the second is still the first account's");
    assert_eq!(one(&mut lanes, 20_000).0, second);
}

#[test]
fn after_a_429_no_lane_of_the_account_joins_a_call() {
    let mut lanes = Lanes::new(512);
    let (first, second) = (known(&mut lanes, "first", "AC", 0), known(&mut lanes, "second", "AC", 0));
    enqueue(&mut lanes, first, "a");
    enqueue_pressing(&mut lanes, second, "slow");
    let out = called(&mut lanes, 1000);
    let (of_first, of_second): (Vec<_>, Vec<_>) = out.into_iter().partition(|(lane, _)| *lane == first);
    let mut unthrottled = lanes.clone();
    answer(&mut unthrottled, &of_first[0], Outcome::Granted, Some("AC"), 1001);
    assert_eq!(one(&mut unthrottled, 1500).0, second, "without a 429 it would be joined");
    answer(&mut lanes, &of_first[0], THROTTLED, None, 1001);
    enqueue(&mut lanes, first, "a");
    let probe = one(&mut lanes, 1201);
    assert_eq!(probe.0, first);
    answer(&mut lanes, &probe, Outcome::Granted, Some("AC"), 1202);
    // Whatever is heard keeps the second lane from taking its call for lost.
    let joined: Vec<_> = (1203..2990).step_by(10).flat_map(|now| called(&mut lanes, now)).collect();
    assert_eq!(joined, []);
    answer(&mut lanes, &of_second[0], Outcome::Granted, Some("AC"), 2991);
}

#[test]
fn what_hangs_in_one_lane_takes_no_room_of_another() {
    let mut lanes = Lanes::new(512);
    let (first, second) = (known(&mut lanes, "first", "AC", 0), known(&mut lanes, "second", "AC", 0));
    for n in 0..20 {
        enqueue(&mut lanes, first, &format!("hangs {n}"));
    }
    let room = called(&mut lanes, 1).len();
    assert!(room < 20, "{room} are let in at first");
    enqueue(&mut lanes, second, "a");
    assert_eq!(called(&mut lanes, 249), [], "they may be answered yet");
    assert_eq!(lanes.look_at(at(249)), Some(at(250)));
    let lane_of_a = called(&mut lanes, 250).into_iter().find(|(_, attempt)| &*attempt.caller == "a").map(|(lane, _)| lane);
    assert_eq!(lane_of_a, Some(second));
}

#[test]
fn a_silence_is_told_to_whoever_waits_for_a_turn_or_an_answer() {
    let mut lanes = Lanes::new(1);
    let first = lane("first");
    enqueue(&mut lanes, first, "out");
    enqueue(&mut lanes, first, "waits");
    assert_eq!(&*one(&mut lanes, 0).1.caller, "out");
    let silent = lanes.listen(at(2000));
    let [(lane, told)] = silent.as_slice() else { panic!("{silent:?}") };
    assert_eq!(*lane, first);
    let mut told: Vec<&str> = told.iter().map(|caller| &**caller).collect();
    told.sort_unstable();
    assert_eq!(told, ["out", "waits"]);
    assert!(told.iter().all(|caller| lanes.closure(first, &Caller::from(*caller)) == Some((FailureClass::Unavailable, false))));
}

#[test]
fn what_others_may_have_mended_is_looked_at_as_soon_as_the_account_may() {
    let mut lanes = Lanes::new(512);
    let first = lane("first");
    for name in ["a", "b", "c"] {
        enqueue(&mut lanes, first, name);
    }
    let out = called(&mut lanes, 0);
    for (call, outcome) in
        out.iter().zip([Outcome::Failed(FailureClass::Forbidden), Outcome::Failed(FailureClass::Forbidden), throttled(1)])
    {
        answer(&mut lanes, call, outcome, None, 1);
    }
    assert_eq!(lanes.closure(first, &Caller::from("a")), Some((FailureClass::Forbidden, true)), "it never succeeded");
    lanes.enqueue(first, &Caller::from("a"), waiting(Hold::WithLane(at(60_000))));
    assert!(lanes.look_at(at(2)).is_some_and(|look_at| look_at > at(1001)));
    lanes.enqueue(first, &Caller::from("a"), Waiting { urgent: true, ..waiting(Hold::Nothing) });
    assert_eq!(called(&mut lanes, 2), []);
    assert_eq!(lanes.look_at(at(2)), Some(at(1001)));
    assert_eq!(&*one(&mut lanes, 1001).1.caller, "a");
}
