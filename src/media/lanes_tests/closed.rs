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
    assert!(answered.closed.is_some());
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

/// What an answer opens, of that account, after the 429: which lanes, sorted.
fn opened_by((mut lanes, [first, second]): (Lanes, [LaneKey; 2]), in_the_first: bool, outcome: Outcome) -> Option<Vec<&'static str>> {
    let of = if in_the_first { first } else { second };
    enqueue(&mut lanes, of, "d");
    let (lane, attempt) = called(&mut lanes, 6000).into_iter().find(|(lane, _)| *lane == of).expect("it is called");
    let answered = lanes.answered(lane, &attempt, (outcome, None), at(6000), 0.0).expect("it was out");
    let names = [("first", first), ("second", second)];
    let lanes = answered.opened?.lanes;
    Some(names.into_iter().filter(|(_, lane)| lanes.contains(lane)).map(|(name, _)| name).collect())
}

#[test]
fn an_answer_opens_all_lanes_of_the_account_but_those_that_something_else_closes() {
    let nothing = |_: &mut Lanes, _: LaneKey| {};
    let is_silent = |lanes: &mut Lanes, lane: LaneKey| {
        enqueue(lanes, lane, "b");
        only(lanes, 500);
    };
    let its_own = Outcome::Failed(FailureClass::NotFound);
    assert_eq!(opened_by(of_one_account(nothing), true, Outcome::Granted), Some(vec!["first", "second"]));
    assert_eq!(opened_by(of_one_account(nothing), false, its_own), Some(vec!["first", "second"]));
    assert_eq!(opened_by(of_one_account(nothing), false, DOWN), None);
    // Failures have closed the first besides.
    assert_eq!(opened_by(of_one_account(fails), false, Outcome::Granted), Some(vec!["second"]));
    assert_eq!(opened_by(of_one_account(fails), true, its_own), Some(vec!["second"]));
    assert_eq!(opened_by(of_one_account(fails), true, Outcome::Granted), Some(vec!["first", "second"]));
    assert_eq!(opened_by(of_one_account(is_silent), false, Outcome::Granted), Some(vec!["second"]));
}

/// What was under way when a 429 came says nothing of the limit.
#[test]
fn a_lane_opens_no_sooner_than_its_account() {
    let (mut lanes, first) = (Lanes::new(512), lane("first"));
    for name in ["a", "b", "c", "d"] {
        enqueue(&mut lanes, first, name);
    }
    let out = called(&mut lanes, 0);
    let throttled = Outcome::Failed(FailureClass::Throttled { retry_after: None });
    let answers = [DOWN, DOWN, throttled, Outcome::Granted].into_iter().zip(&out);
    let ends = answers.map(|(outcome, (lane, attempt))| lanes.answered(*lane, attempt, (outcome, None), at(1), 0.0).expect("it was out"));
    let told: Vec<_> = ends.map(|answered| (answered.closed.is_some(), answered.opened.is_some())).collect();
    assert_eq!(told, [(false, false), (true, false), (true, false), (false, false)]);
    assert_eq!(
        (lanes.figures(at(1)).closed, lanes.closure(first, &Caller::from("a"))),
        (1, None),
        "its gate is open, and its account is closed"
    );
}

#[test]
fn a_lane_that_nobody_is_in_any_more_is_forgotten_in_time() {
    const MINUTE: u64 = 60_000;
    let (mut lanes, [first, second]) = of_one_account(|_, _| {});
    assert_eq!(lanes.forget_idle(at(10 * MINUTE)), []);
    let mut gone = lanes.forget_idle(at(10 * MINUTE + 1));
    assert_eq!((gone.pop(), gone.pop()), (Some(first), None), "the other was heard of a second later");
    assert_eq!(lanes.paces.len(), 1, "it is the other's, too");
    assert_eq!(lanes.forget_idle(at(10 * MINUTE + 1001)), [second]);
    assert!(lanes.members.is_empty() && lanes.paces.is_empty());
    assert_eq!(lanes.forget_idle(at(11 * MINUTE)), []);
}

/// A lane whose grants are another account's from now on is held back by that one's limit, and no more by the former's.
#[test]
fn an_answer_that_names_another_account_opens_what_that_ones_limit_does_not_close() {
    const OTHER: &str = "AC-other";
    let (mut lanes, [first, second]) = of_one_account(|_, _| {});
    enqueue(&mut lanes, first, "b");
    let (_, attempt) = only(&mut lanes, 6000);
    let answered = lanes.answered(first, &attempt, (Outcome::Granted, Some(OTHER)), at(6000), 0.0).expect("it was out");
    assert_eq!(answered.opened.map(|opened| opened.lanes), Some(vec![first]));
    // What it learns there is for it alone.
    enqueue(&mut lanes, second, "d");
    let figures = lanes.figures(at(6000));
    assert_eq!((figures.open, figures.closed), (1, 1));
}

/// Of two accounts, what opens a lane of one says nothing of the other's.
#[test]
fn what_opens_by_itself_is_told_alone() {
    let (mut lanes, [first, second]) = (Lanes::new(512), ["first", "second"].map(lane));
    enqueue(&mut lanes, second, "d");
    only(&mut lanes, 0);
    enqueue(&mut lanes, second, "e");
    for name in ["a", "b"] {
        enqueue(&mut lanes, first, name);
    }
    let out: Vec<_> = called(&mut lanes, 0).into_iter().filter(|(lane, _)| *lane == first).collect();
    assert_eq!(out.len(), 2);
    let last = out.iter().map(|(_, attempt)| lanes.answered(first, attempt, (DOWN, None), at(1), 0.0).expect("it was out")).last();
    assert_eq!(last.and_then(|answered| answered.closed).map(|closed| closed.lanes), Some(vec![first]));
    enqueue(&mut lanes, first, "c");
    let (_, probe) = called(&mut lanes, 1500).into_iter().find(|(lane, _)| *lane == first).expect("a probe");
    let answered = lanes.answered(first, &probe, (Outcome::Granted, None), at(1500), 0.0).expect("it was out");
    assert_eq!(answered.opened.map(|opened| (opened.lanes, opened.waiting)), Some((vec![first], 0)));
}

#[test]
fn an_account_that_no_lane_is_of_any_more_is_limited_no_more() {
    let (mut lanes, first) = (Lanes::new(512), lane("first"));
    let throttled = Outcome::Failed(FailureClass::Throttled { retry_after: None });
    let mut limited = |outcome, account, now| {
        enqueue(&mut lanes, first, "a");
        let (_, attempt) = only(&mut lanes, now);
        lanes.answered(first, &attempt, (outcome, account), at(now), 0.0).expect("it was out");
        lanes.forget_idle(at(now));
        lanes.figures(at(now)).limited
    };
    let account = Some(ACCOUNT);
    let counts =
        [limited(Outcome::Granted, account, 0), limited(throttled, None, 1000), limited(Outcome::Granted, Some("AC-other"), 20_000)];
    assert_eq!(counts, [0, 1, 0]);
}
