//! What is called again when a lane opens, and what counts no more then.

use super::tests::{at, caller, lane_of};
use super::*;

const DOWN: Outcome = Outcome::Failed(FailureClass::Unavailable);

fn refresh(deadline: Instant) -> Waiting {
    Waiting { kind: Kind::Refresh, deadline, hold: Hold::Nothing, urgent: false }
}

/// A lane whose calls of `a` and `b` are unanswered, as they are when it has opened again by `c`'s, with `a` and `b` called once more at that instant.
fn opened() -> (Lane, Instant) {
    let mut lane = lane_of(&["a", "b"]);
    while lane.start(Kind::Refresh, at(0)).is_some() {}
    let now = at(2000);
    assert!(lane.listen(now));
    lane.enqueue(&caller("c"), refresh(at(90_000)));
    let opener = lane.probe(now, true).unwrap();
    assert_eq!(lane.answered(&opener, Outcome::Granted, now, 0.0).unwrap().change, GateChange::Opened);
    let again: Vec<_> = std::iter::from_fn(|| lane.start(Kind::Refresh, now)).map(|attempt| attempt.caller).collect();
    assert_eq!(again, ["a", "b"].map(caller));
    (lane, now)
}

fn newest(lane: &Lane, name: &str) -> Attempt {
    Attempt { caller: caller(name), number: lane.in_flight.newest(&caller(name)).unwrap(), instead: false, beside: false }
}

#[test]
fn of_all_calls_one_in_ten_may_be_a_lost_one_that_is_tried_first() {
    let mut lane = lane_of(&["a", "b"]);
    while lane.start(Kind::Refresh, at(0)).is_some() {}
    let mut tried = Vec::new();
    for n in 0..40 {
        let now = at(3000 + 500 * n);
        lane.hearing.answered(now, now);
        tried.extend(lane.try_first(now).map(|attempt| (n, attempt.caller)));
        lane.enqueue(&caller("other"), refresh(now + PRESSING * 2));
        let other = lane.start(Kind::Refresh, now).unwrap();
        assert!(lane.answered(&other, Outcome::Granted, now, 0.0).unwrap().ends_call);
    }
    assert_eq!(tried, [(0, "a"), (10, "b"), (20, "a"), (30, "b")].map(|(n, name)| (n, caller(name))));
}

#[test]
fn what_is_out_for_no_longer_than_answers_take_is_not_called_again() {
    let mut lane = lane_of(&["a", "b"]);
    let first = [0, 1].map(|_| lane.start(Kind::Refresh, at(0)).unwrap());
    lane.hearing.answered(at(0), at(1000));
    assert_eq!(first.map(|attempt| lane.answered(&attempt, DOWN, at(1001), 0.0).unwrap().change)[1], GateChange::Closed);
    for (name, deadline) in [("c", 50_000), ("d", 60_000), ("e", 70_000)] {
        lane.enqueue(&caller(name), refresh(at(deadline)));
    }
    let mut probes = Vec::new();
    for millis in (1001..4400).step_by(100) {
        probes.extend(lane.probe(at(millis), true).map(|attempt| (millis, attempt)));
    }
    let sent: Vec<_> = probes.iter().map(|(millis, attempt)| (*millis, &*attempt.caller)).collect();
    assert_eq!(sent, [(1201, "c"), (3201, "d")], "each is waited for twice as long as answers take");
    // The first has taken three times as long, and the second isn't late.
    assert_eq!(lane.answered(&probes[0].1, Outcome::Granted, at(4400), 0.0).unwrap().change, GateChange::Opened);
    assert!(!lane.has_lost());
}

#[test]
fn what_was_sent_together_with_what_opens_a_lane_is_not_called_again() {
    let mut lane = lane_of(&["a"]);
    lane.start(Kind::Refresh, at(0)).unwrap();
    let now = at(2000);
    assert!(lane.listen(now));
    for name in ["d", "e"] {
        lane.enqueue(&caller(name), refresh(now + PRESSING));
    }
    let pressing: Vec<_> = std::iter::from_fn(|| lane.probe(now, true)).collect();
    assert_eq!(pressing.len(), 2);
    assert_eq!(lane.answered(&pressing[0], Outcome::Granted, now + TRY_INTERVAL / 2, 0.0).unwrap().change, GateChange::Opened);
    let again: Vec<_> = std::iter::from_fn(|| lane.start(Kind::Refresh, now)).map(|attempt| attempt.caller).collect();
    assert_eq!(again, [caller("a")]);
}

#[test]
fn what_is_sent_when_a_lane_opens_says_how_it_is_now() {
    let (mut lane, now) = opened();
    let changes = ["a", "b"].map(|name| {
        let attempt = newest(&lane, name);
        lane.answered(&attempt, Outcome::Unanswered, now + TRY_INTERVAL, 0.0).unwrap().change
    });
    assert_eq!(changes, [GateChange::Unchanged, GateChange::Closed]);
}

#[test]
fn what_was_lost_before_a_lane_opened_is_told_later() {
    let (mut lane, _) = opened();
    let mut ends = |number, millis| {
        let attempt = Attempt { caller: caller("a"), number, instead: false, beside: false };
        lane.answered(&attempt, Outcome::Unanswered, at(millis), 0.0).unwrap().ends_call
    };
    assert!(!ends(1, 10_000), "the call that was made again may still be answered");
    assert!(ends(4, 12_000));
}
