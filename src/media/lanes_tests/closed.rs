//! Lanes that are closed, or silent, whose account a 429 has closed, too.

use super::super::{Attempt, Caller, FailureClass, Kind, LaneKey, Lanes, Outcome, Waiting};
use super::model::{DOWN, lane};
use crate::media::lane::Hold;
use crate::time::Instant;
use std::time::Duration;

const ACCOUNT: &str = "AC";

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

fn enqueue(lanes: &mut Lanes, lane: LaneKey, name: &str) {
    let waiting = Waiting { kind: Kind::Refresh, deadline: at(90_000), hold: Hold::Nothing, urgent: false };
    lanes.enqueue(lane, &Caller::from(name), waiting);
}

fn called(lanes: &mut Lanes, now: u64) -> Vec<(LaneKey, Attempt)> {
    lanes.listen(at(now));
    std::iter::from_fn(|| lanes.next(at(now))).collect()
}

/// The only call that is made then.
fn only(lanes: &mut Lanes, now: u64) -> (LaneKey, Attempt) {
    let mut called = called(lanes, now);
    assert_eq!(called.len(), 1, "{called:?}");
    called.remove(0)
}

/// Two lanes of one account, which the second's 429 closes at 1 s, for 5 s; `in_the_first` happens before that.
fn of_one_account(in_the_first: impl FnOnce(&mut Lanes, LaneKey)) -> (Lanes, [LaneKey; 2]) {
    let (mut lanes, [first, second]) = (Lanes::new(512), ["first", "second"].map(lane));
    for key in [first, second] {
        enqueue(&mut lanes, key, "a");
        let (lane, attempt) = only(&mut lanes, 0);
        lanes.answered(lane, &attempt, (Outcome::Granted, Some(ACCOUNT)), at(0), 0.0).expect("it was out");
    }
    in_the_first(&mut lanes, first);
    enqueue(&mut lanes, second, "a");
    let (lane, attempt) = only(&mut lanes, 1000);
    let throttled = FailureClass::Throttled { retry_after: Some(Duration::from_secs(5)) };
    let answered = lanes.answered(lane, &attempt, (Outcome::Failed(throttled), None), at(1000), 0.0).expect("it was out");
    assert!(answered.closed_to.is_some());
    (lanes, [first, second])
}

/// Two requests have failed.
fn fails(lanes: &mut Lanes, lane: LaneKey) {
    for name in ["b", "c"] {
        enqueue(lanes, lane, name);
        let (_, attempt) = only(lanes, 500);
        lanes.answered(lane, &attempt, (DOWN, None), at(500), 0.0).expect("it was out");
    }
}

#[test]
fn a_probe_of_a_closed_lane_is_the_one_call_that_its_account_is_given() {
    let (mut lanes, [first, second]) = of_one_account(fails);
    enqueue(&mut lanes, first, "b");
    enqueue(&mut lanes, second, "d");
    assert_eq!(called(&mut lanes, 5999), []);
    assert_eq!(only(&mut lanes, 6000).0, first);
}

#[test]
fn a_closed_lane_waits_for_the_one_call_that_its_account_is_given() {
    let (mut lanes, [first, second]) = of_one_account(fails);
    enqueue(&mut lanes, second, "d");
    assert_eq!(only(&mut lanes, 6000).0, second);
    enqueue(&mut lanes, first, "b");
    assert_eq!(called(&mut lanes, 6100), []);
}

#[test]
fn a_silent_lane_waits_for_what_a_429_asks_and_for_nobodys_answer() {
    let (mut lanes, [first, second]) = of_one_account(|lanes, lane| {
        enqueue(lanes, lane, "b");
        only(lanes, 500);
    });
    assert_eq!(lanes.listen(at(5000)).len(), 1, "it is silent");
    assert_eq!(called(&mut lanes, 5900), []);
    enqueue(&mut lanes, second, "d");
    let both: Vec<LaneKey> = called(&mut lanes, 6000).into_iter().map(|(lane, _)| lane).collect();
    assert!(both.len() == 2 && both.contains(&first) && both.contains(&second), "{both:?}");
    assert_eq!(only(&mut lanes, 6500).0, first, "it is tried each half second, though the other's call is out");
}
