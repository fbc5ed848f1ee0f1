//! How many are out at once, and what is told of them.

use super::super::{Attempt, Caller, Closed, FailureClass, Figures, Instant, Kind, LaneKey, Lanes, Outcome, Waiting};
use super::model::lane;
use crate::media::lane::Hold;
use crate::media::retry::PRESSING;
use std::time::Duration;

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

fn waiting() -> Waiting {
    Waiting { kind: Kind::Refresh, deadline: at(60_000), hold: Hold::Nothing, urgent: false }
}

fn enqueue(lanes: &mut Lanes, lane: LaneKey, name: &str) {
    lanes.enqueue(lane, &Caller::from(name), waiting());
}

fn called(lanes: &mut Lanes, now: u64) -> Vec<(LaneKey, Attempt)> {
    lanes.listen(at(now));
    std::iter::from_fn(|| lanes.next(at(now))).collect()
}

/// Lanes of which one has room for three calls, of four callers.
fn full() -> (Lanes, LaneKey, Vec<(LaneKey, Attempt)>) {
    let (mut lanes, lane) = (Lanes::new(3), lane("first"));
    for name in ["a", "b", "c", "d"] {
        enqueue(&mut lanes, lane, name);
    }
    let out = called(&mut lanes, 0);
    assert_eq!((out.len(), lanes.out()), (3, 3));
    (lanes, lane, out)
}

#[test]
fn whoever_is_withdrawn_makes_room_for_one() {
    let (mut lanes, lane, out) = full();
    lanes.withdraw(lane, &out[0].1.caller);
    assert_eq!(lanes.out(), 2);
    enqueue(&mut lanes, lane, "e");
    assert_eq!((called(&mut lanes, 1).len(), lanes.out()), (1, 3));
    lanes.withdraw(lane, &out[1].1.caller);
    lanes.withdraw(lane, &out[2].1.caller);
    assert_eq!(lanes.out(), 1);
    assert_eq!((called(&mut lanes, 1).len(), lanes.out()), (1, 2));
    let waits = ["d", "e"].map(Caller::from);
    for waits in &waits {
        lanes.withdraw(lane, waits);
    }
    assert_eq!(called(&mut lanes, 2), [], "one that only waited made none");
}

/// Two different callers that fail close a lane. One that is gone is none of them.
#[test]
fn whoever_is_gone_has_not_failed_and_one_that_calls_again_has() {
    for (is_gone, closes) in [(true, false), (false, true)] {
        let (mut lanes, lane, out) = full();
        let fail = |lanes: &mut Lanes, n: usize| {
            lanes.answered(lane, &out[n].1, (Outcome::Failed(FailureClass::Unavailable), None), at(1), 0.0).unwrap().closed.is_some()
        };
        assert!(!fail(&mut lanes, 0));
        if is_gone {
            lanes.forget(&out[0].1.caller);
        }
        assert_eq!(fail(&mut lanes, 1), closes);
    }
}

#[test]
fn an_answer_makes_room_for_one_and_none_that_is_not_awaited_does() {
    let (mut lanes, lane, out) = full();
    let answer = |lanes: &mut Lanes| lanes.answered(lane, &out[0].1, (Outcome::Granted, None), at(1), 0.0).is_some();
    assert!(answer(&mut lanes) && !answer(&mut lanes));
    assert_eq!(lanes.out(), 2);
    assert_eq!((called(&mut lanes, 1).len(), lanes.out()), (1, 3));
}

#[test]
fn without_room_none_is_joined() {
    let joined = |most| {
        let (mut lanes, lane) = (Lanes::new(most), lane("first"));
        lanes.enqueue(lane, &Caller::from("a"), Waiting { deadline: at(3000), ..waiting() });
        assert_eq!(called(&mut lanes, 0).len(), 1);
        called(&mut lanes, 1000).len()
    };
    assert_eq!([joined(1), joined(512)], [0, 1]);
}

#[test]
fn without_a_place_a_silent_lane_is_not_looked_at() {
    let look_at = |most| {
        let (mut lanes, lane) = (Lanes::new(most), lane("first"));
        enqueue(&mut lanes, lane, "a");
        assert_eq!(called(&mut lanes, 0).len(), 1);
        assert_eq!(called(&mut lanes, 2000).len(), 1);
        lanes.look_at(at(2000))
    };
    assert_eq!([look_at(2), look_at(3)], [None, Some(at(2500))]);
}

#[test]
fn in_a_silent_lane_all_whose_grants_are_about_to_expire_are_tried_at_once() {
    let (mut lanes, lane) = (Lanes::new(512), lane("first"));
    enqueue(&mut lanes, lane, "a");
    assert_eq!(called(&mut lanes, 0).len(), 1);
    assert_eq!(lanes.listen(at(2000)).len(), 1);
    for name in ["b", "c", "d"] {
        lanes.enqueue(lane, &Caller::from(name), Waiting { deadline: at(2500), ..waiting() });
    }
    assert_eq!(called(&mut lanes, 2000).len(), 3);
}

#[test]
fn a_silent_lane_is_looked_at_when_a_grant_is_about_to_expire() {
    let (mut lanes, lane) = (Lanes::new(512), lane("first"));
    enqueue(&mut lanes, lane, "a");
    assert_eq!([called(&mut lanes, 0).len(), called(&mut lanes, 2000).len()], [1, 1]);
    lanes.enqueue(lane, &Caller::from("b"), Waiting { deadline: at(2200) + PRESSING, ..waiting() });
    assert_eq!(called(&mut lanes, 2000), []);
    assert_eq!(lanes.look_at(at(2000)), Some(at(2200)), "before the next try is due");
    assert_eq!(called(&mut lanes, 2200).len(), 1);
}

#[test]
fn what_is_joined_is_counted() {
    let (mut lanes, lane) = (Lanes::new(512), lane("first"));
    let waiting = Waiting { kind: Kind::Refresh, deadline: at(3000), hold: Hold::Nothing, urgent: false };
    lanes.enqueue(lane, &Caller::from("a"), waiting);
    assert_eq!(called(&mut lanes, 0).len(), 1);
    assert_eq!(lanes.figures(at(0)), Figures { in_flight: 1, open: 1, ..Figures::default() });
    assert_eq!(called(&mut lanes, 1000).len(), 1);
    assert_eq!(lanes.figures(at(1000)), Figures { in_flight: 2, open: 1, joined: 1, ..Figures::default() });
}

#[test]
fn lanes_are_counted_by_how_they_stand() {
    let mut lanes = Lanes::new(512);
    let [refused, silent, open] = ["refused", "silent", "open"].map(lane);
    let call = |lanes: &mut Lanes, lane, outcome: Option<Outcome>, now: u64| {
        enqueue(lanes, lane, "a");
        let (of, attempt) = called(lanes, now).pop().expect("it is called");
        assert_eq!(of, lane);
        outcome.map(|outcome| lanes.answered(lane, &attempt, (outcome, None), at(now), 0.0).expect("it was out"))
    };
    let closes = call(&mut lanes, refused, Some(Outcome::Failed(FailureClass::Unauthorized)), 0).unwrap();
    assert_eq!((closes.closed, closes.opened), (Some(Closed { lanes: vec![refused], waiting: vec![] }), None));
    assert_eq!(lanes.figures(at(0)), Figures::default(), "nobody waits in it: whoever did may have other credentials by now");
    for name in ["b", "c"] {
        lanes.enqueue(refused, &Caller::from(name), Waiting { hold: Hold::WithLane(at(90_000)), ..waiting() });
    }
    call(&mut lanes, silent, None, 0);
    let usual = call(&mut lanes, open, Some(Outcome::Granted), 0).unwrap();
    assert_eq!((usual.closed, usual.opened), (None, None));
    assert_eq!(lanes.figures(at(0)), Figures { in_flight: 1, waiting: 2, open: 2, closed: 1, ..Figures::default() });
    assert_eq!(lanes.listen(at(2000)), [(silent, vec![Caller::from("a")])]);
    assert_eq!(lanes.figures(at(2000)), Figures { in_flight: 1, waiting: 2, open: 1, closed: 1, silent: 1, ..Figures::default() });
    assert_eq!(lanes.closure(refused, &Caller::from("b")), Some((FailureClass::Unauthorized, true)));
    let mut abandoned = lanes.clone();
    abandoned.withdraw(silent, &Caller::from("a"));
    assert_eq!(abandoned.figures(at(2000)), Figures { waiting: 2, open: 1, closed: 1, ..Figures::default() });
    assert_eq!([lanes.closure(open, &Caller::from("a")), lanes.closure(lane("none"), &Caller::from("a"))], [None, None]);
}

/// Accounts of two lanes each that have met a limit of twenty calls a second: each lane's next two callers wait.
fn limited(accounts: &[&str]) -> Lanes {
    let mut lanes = Lanes::new(512);
    for account in accounts {
        let [first, second] = ["1", "2"].map(|n| lane(&format!("{account}-{n}")));
        for n in 0..40 {
            let of = if n % 2 == 0 { first } else { second };
            enqueue(&mut lanes, of, "a");
            let (_, attempt) = called(&mut lanes, n * 50).pop().expect("it is called");
            lanes.answered(of, &attempt, (Outcome::Granted, Some(account)), at(n * 50), 0.0).expect("it was out");
        }
        enqueue(&mut lanes, first, "a");
        let (_, attempt) = called(&mut lanes, 2000).pop().expect("it is called");
        for (lane, name) in [(first, "b"), (first, "c"), (second, "d"), (second, "e")] {
            enqueue(&mut lanes, lane, name);
        }
        let throttled = Outcome::Failed(FailureClass::Throttled { retry_after: None });
        let answered = lanes.answered(first, &attempt, (throttled, None), at(2000), 0.0).expect("it was out");
        let closed = answered.closed.expect("it closes the account");
        assert!(closed.lanes.len() == 2 && [first, second].iter().all(|lane| closed.lanes.contains(lane)), "{closed:?}");
        let mut told: Vec<_> = closed.waiting.iter().map(ToString::to_string).collect();
        told.sort();
        assert_eq!(told, ["b", "c", "d", "e"], "all who wait for the account, in whichever lane");
    }
    lanes
}

#[test]
fn accounts_that_are_held_back_are_counted_with_the_rate_that_they_have_all_together() {
    let opened = |accounts: &[&str]| {
        let mut lanes = limited(accounts);
        let closed = lanes.figures(at(2000));
        let count = accounts.len();
        assert_eq!(closed, Figures { waiting: 4 * count, closed: 2 * count, limited: count, shortfall: 4 * count, ..Figures::default() });
        let of = lane(&format!("{}-1", accounts[0]));
        assert_eq!(lanes.closure(of, &Caller::from("b")), Some((FailureClass::Throttled { retry_after: None }, false)));
        assert_eq!(lanes.closure(of, &Caller::from("nobody")), None);
        let now = 20_000;
        for (lane, attempt) in called(&mut lanes, now) {
            let answered = lanes.answered(lane, &attempt, (Outcome::Granted, None), at(now), 0.0).expect("it was out");
            let opened = answered.opened.expect("it opens the account");
            assert_eq!((opened.lanes.len(), opened.waiting), (2, 3), "those who wait for the account");
        }
        let figures = lanes.figures(at(now));
        assert_eq!((figures.limited, figures.shortfall), (count, 3 * count));
        figures.own_rate
    };
    let (one, two) = (opened(&["first"]), opened(&["first", "second"]));
    assert!((10.0..30.0).contains(&one) && (two - 2.0 * one).abs() < 1e-9, "{one}, and {two}");
}
