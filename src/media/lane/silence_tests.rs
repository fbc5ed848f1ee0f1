use super::tests::{at, caller, lane_of, requeue, start};
use super::*;

/// A lane of three, of which `a` and `b` have called at once and heard nothing, at the instant from which on it is silent.
fn silent() -> (Lane, Instant) {
    let mut lane = lane_of(&["a", "b"]);
    while start(&mut lane, at(0)).is_some() {}
    lane.enqueue(&caller("c"), Waiting { kind: Kind::Refresh, deadline: at(90_000), hold: Hold::Nothing, urgent: false });
    lane.enqueue(&caller("new"), Waiting { kind: Kind::Newcomer, deadline: at(0), hold: Hold::Nothing, urgent: false });
    // Neither is joined by another before.
    lane.allowance = Allowance::default();
    lane.allowance.throttled(at(0));
    assert!(!lane.listen(at(1999)) && lane.closure().is_none());
    assert!(lane.listen(at(2000)));
    (lane, at(2000))
}

#[test]
fn a_silent_lane_is_tried_every_half_second_first_by_those_who_wait() {
    let (mut lane, now) = silent();
    assert_eq!(lane.closure(), Some((FailureClass::Unavailable, false)));
    assert_eq!((lane.first(Kind::Refresh), lane.first(Kind::Newcomer), lane.join(now)), (None, None, None));
    let mut tried = Vec::new();
    let mut when = now;
    for _ in 0..5 {
        let attempt = lane.probe(when, true).unwrap();
        assert_eq!(lane.probe(when, true), None, "one at a time");
        tried.push(attempt.caller);
        assert_eq!(lane.call_at(when, true), Some(when + TRY_INTERVAL));
        when = when + TRY_INTERVAL;
    }
    assert_eq!(
        tried,
        ["c", "new", "a", "b", "c"].map(caller),
        "then those whose calls are in flight in turn, by their deadlines where they were tried together"
    );
    assert_eq!((lane.out(), lane.in_flight.calls().count()), (7, 4));
}

#[test]
fn in_a_silent_lane_whose_grant_is_about_to_expire_is_tried_once_at_once() {
    let (mut lane, now) = silent();
    for name in ["d", "e"] {
        lane.enqueue(&caller(name), Waiting { kind: Kind::Refresh, deadline: now + PRESSING, hold: Hold::Nothing, urgent: false });
    }
    lane.enqueue(&caller("later"), Waiting { kind: Kind::Refresh, deadline: now + PRESSING * 2, hold: Hold::Nothing, urgent: false });
    let tried: Vec<_> = std::iter::from_fn(|| lane.probe(now, true)).map(|attempt| attempt.caller).collect();
    assert_eq!(tried, ["d", "e"].map(caller));
    assert_eq!(lane.call_at(now, true), Some(now + TRY_INTERVAL));
}

#[test]
fn the_first_grant_ends_a_silence_and_what_went_unanswered_is_called_again() {
    let (mut lane, now) = silent();
    let attempt = lane.probe(now, true).unwrap();
    let answered = lane.answered(&attempt, Outcome::Granted, now, 0.0);
    assert_eq!(answered, Some(Answered { ends_call: true, change: GateChange::Opened }));
    assert_eq!((lane.closure(), lane.out_since_opened()), (None, 0));
    assert!(lane.has_lost());
    let again: Vec<_> = std::iter::from_fn(|| lane.start(Kind::Refresh, now)).map(|attempt| attempt.caller).collect();
    assert_eq!((&again[..], lane.has_lost()), (&["a", "b"].map(caller)[..], false), "each once");
    assert_eq!(lane.start(Kind::Newcomer, now).map(|attempt| attempt.caller), Some(caller("new")));
    assert_eq!((lane.out(), lane.out_since_opened()), (5, 3));
}

#[test]
fn what_runs_into_its_limit_doesnt_end_a_silence_and_a_refusal_does() {
    let (mut lane, now) = silent();
    let (tried, other) = (lane.probe(now, true).unwrap(), lane.probe(now + TRY_INTERVAL, true).unwrap());
    assert_eq!(lane.answered(&tried, Outcome::Unanswered, now, 0.0).unwrap().change, GateChange::Unchanged);
    assert!(lane.closure().is_some());
    let refused = lane.answered(&other, Outcome::Failed(FailureClass::NotFound), now, 0.0).unwrap();
    assert_eq!((refused.change, lane.closure()), (GateChange::Opened, None));
    assert!(lane.first(Kind::Refresh).is_some(), "the others are called again");
}

#[test]
fn a_call_fails_with_the_last_of_its_attempts_or_with_an_answer() {
    let mut lane = lane_of(&["a"]);
    let first = lane.start(Kind::Refresh, at(0)).unwrap();
    assert_eq!(lane.join(at(1999)), None);
    assert_eq!(lane.call_at(at(0), true), Some(at(2000)), "a third of what is left, at most 2 s");
    let second = lane.join(at(2000)).unwrap();
    assert_eq!((&second.caller, lane.out()), (&first.caller, 2));
    assert_eq!(lane.join(at(2499)), None, "the allowance is spent");
    let down = lane.answered(&first, Outcome::Failed(FailureClass::Unavailable), at(2001), 0.0);
    assert_eq!(down, Some(Answered { ends_call: false, change: GateChange::Unchanged }));
    assert!(lane.answered(&second, Outcome::Unanswered, at(2002), 0.0).unwrap().ends_call);

    let mut lane = lane_of(&["a"]);
    let attempts = [lane.start(Kind::Refresh, at(0)).unwrap(), lane.join(at(2000)).unwrap()];
    let refused = Outcome::Failed(FailureClass::NotFound);
    assert!(lane.answered(&attempts[1], refused, at(2001), 0.0).unwrap().ends_call, "that is an answer");
    assert_eq!(lane.answered(&attempts[0], Outcome::Granted, at(2002), 0.0), None, "and the other is heard of no more");
    assert_eq!(lane.out(), 0);
}

#[test]
fn a_probe_that_is_not_answered_is_waited_for_no_longer_than_for_a_try_of_a_silent_lane() {
    let mut lane = lane_of(&["a", "b", "c"]);
    let first = [lane.start(Kind::Refresh, at(0)).unwrap(), lane.start(Kind::Refresh, at(0)).unwrap()];
    let down = Outcome::Failed(FailureClass::Unavailable);
    assert_eq!(lane.answered(&first[0], down, at(1), 0.0).unwrap().change, GateChange::Unchanged);
    for (caller, deadline) in [("d", 103_000), ("e", 104_000)] {
        lane.enqueue(&Caller::from(caller), Waiting { kind: Kind::Refresh, deadline: at(deadline), hold: Hold::Nothing, urgent: false });
    }
    assert_eq!(lane.answered(&first[1], down, at(2), 0.0).unwrap().change, GateChange::Closed);
    let hangs = lane.probe(at(202), true).unwrap();
    // Another's answer comes after it was sent: the lane isn't silent.
    lane.hearing.answered(at(203), at(204));
    assert_eq!((lane.probe(at(701), true), lane.call_at(at(300), true)), (None, Some(at(702))));
    let next = lane.probe(at(702), true).unwrap();
    assert_ne!(hangs.caller, next.caller);
    assert_eq!(lane.answered(&next, Outcome::Granted, at(703), 0.0).unwrap().change, GateChange::Opened);
    assert_eq!(lane.first(Kind::Refresh), Some(at(102_000)), "the one that hangs is called again");
}

#[test]
fn a_failure_that_breaks_a_silence_ends_its_call_whatever_else_is_out_for_it() {
    let mut lane = lane_of(&["a"]);
    lane.start(Kind::Refresh, at(0)).unwrap();
    lane.allowance.throttled(at(0));
    assert!(lane.listen(at(2000)));
    let tried = [lane.probe(at(2000), true).unwrap(), lane.probe(at(2500), true).unwrap()];
    let down = lane.answered(&tried[1], Outcome::Failed(FailureClass::Unavailable), at(2510), 0.0);
    assert_eq!(down, Some(Answered { ends_call: true, change: GateChange::Unchanged }));
    assert_eq!((lane.out(), lane.closure()), (0, None));
    requeue(&mut lane, "a");
    lane.listen(at(2510));
    assert_eq!(lane.answered(&tried[0], Outcome::Granted, at(2511), 0.0), None);
    lane.queue.release_lane_holds();
    let next = lane.start(Kind::Refresh, at(2710)).unwrap();
    assert_eq!(lane.answered(&next, Outcome::Granted, at(2711), 0.0).unwrap().change, GateChange::Opened);
    // From then on a call is joined as ever.
    requeue(&mut lane, "a");
    lane.queue.release_lane_holds();
    let first = lane.start(Kind::Refresh, at(3000)).unwrap();
    lane.allowance = Allowance::default();
    lane.join(at(5000)).unwrap();
    assert!(!lane.answered(&first, Outcome::Failed(FailureClass::Unavailable), at(5001), 0.0).unwrap().ends_call);
}

#[test]
fn a_failure_that_comes_late_breaks_no_silence_and_is_told_after_ten_seconds() {
    let mut lane = lane_of(&["a"]);
    let mut attempts = vec![lane.start(Kind::Refresh, at(0)).unwrap()];
    lane.allowance.throttled(at(0));
    assert!(lane.listen(at(2000)));
    attempts.extend((4..24).map(|halves| lane.probe(at(halves * 500), true).unwrap()));
    let down = Outcome::Failed(FailureClass::Unavailable);
    let mut answered = |attempt: usize, when| lane.answered(&attempts[attempt], down, at(when), 0.0).unwrap().ends_call;
    assert!(!answered(0, 5000) && !answered(1, 7000) && !answered(6, 9999), "others are out for it");
    assert!(answered(7, 10_000));
    assert_eq!((lane.is_silent(), lane.out()), (true, 0));
    // One that comes soon is an answer.
    requeue(&mut lane, "a");
    let next = lane.probe(at(12_500), true).unwrap();
    lane.answered(&next, down, at(14_499), 0.0);
    assert!(!lane.is_silent());
}

#[test]
fn what_fails_late_and_was_sent_before_the_lane_opened_says_nothing_of_now() {
    let (mut lane, now) = silent();
    let tried = lane.probe(now, true).unwrap();
    assert_eq!(lane.answered(&tried, Outcome::Granted, now, 0.0).unwrap().change, GateChange::Opened);
    let down = Outcome::Failed(FailureClass::Unavailable);
    for name in ["a", "b"] {
        let number = lane.in_flight.newest(&caller(name)).unwrap();
        lane.answered(&Attempt { caller: caller(name), number, instead: false, beside: false }, down, now, 0.0);
    }
    assert_eq!(lane.closure(), None, "two have failed, and were lost before");
}

#[test]
fn who_was_not_heard_and_comes_anew_counts_for_lost_as_soon_as_it_is_not_heard_again() {
    let mut lane = lane_of(&["a"]);
    let first = lane.start(Kind::Refresh, at(0)).unwrap();
    lane.hearing.answered(at(9900), at(9900));
    lane.allowance.spend();
    lane.answered(&first, Outcome::Unanswered, at(10_000), 0.0);
    let tries = |lane: &mut Lane| {
        requeue(lane, "a");
        lane.queue.release_lane_holds();
        lane.start(Kind::Refresh, at(10_300)).unwrap();
        lane.hearing.answered(at(10_301), at(10_301));
        lane.allowance.spend();
        lane.call_at(at(10_300), true)
    };
    assert_eq!(tries(&mut lane), Some(at(10_800)), "half a second later, not two");
    let (number, down) = (lane.in_flight.newest(&caller("a")).unwrap(), Outcome::Failed(FailureClass::Unavailable));
    lane.answered(&Attempt { caller: caller("a"), number, instead: false, beside: false }, down, at(10_310), 0.0);
    assert_eq!(tries(&mut lane), Some(at(12_300)), "it was heard since");
}

#[test]
fn a_silent_lane_is_remembered_while_nobody_is_in_it() {
    let mut lane = lane_of(&["a"]);
    let attempt = lane.start(Kind::Refresh, at(0)).unwrap();
    assert!(lane.listen(at(2000)));
    lane.answered(&attempt, Outcome::Unanswered, at(10_000), 0.0);
    assert!(lane.is_silent() && lane.out() == 0 && !lane.idle(at(600_000)));
    assert!(lane.idle(at(600_001)));
}

#[test]
fn where_calls_are_rare_how_long_answers_take_is_not_forgotten_between_two() {
    for (class, silent) in [(FailureClass::Unauthorized, 68_000), (FailureClass::Unavailable, 62_000)] {
        let mut lane = lane_of(&["a", "b"]);
        let first = [0, 1].map(|_| lane.start(Kind::Refresh, at(0)).unwrap());
        let changes = first.map(|attempt| lane.answered(&attempt, Outcome::Failed(class), at(1), 0.0).unwrap().change);
        assert!(changes.contains(&GateChange::Closed));
        lane.hearing.answered(at(0), at(4000));
        requeue(&mut lane, "a");
        assert!(lane.probe(at(60_000), true).is_some());
        assert_eq!((lane.listen_at(), lane.listen(at(silent - 1)), lane.listen(at(silent))), (Some(at(silent)), false, true), "{class:?}");
    }
}

#[test]
fn a_silence_that_a_failure_breaks_is_over_with_the_next_grant() {
    let (mut lane, now) = silent();
    let refused = lane.probe(now, true).unwrap();
    lane.answered(&refused, Outcome::Failed(FailureClass::Unavailable), now, 0.0);
    assert_eq!(lane.closure(), None, "one failure closes no lane");
    let next = lane.start(Kind::Newcomer, now).unwrap();
    assert_eq!(lane.answered(&next, Outcome::Granted, now, 0.0).unwrap().change, GateChange::Opened);
    let again: Vec<_> = std::iter::from_fn(|| lane.start(Kind::Refresh, now)).map(|attempt| attempt.caller).collect();
    assert_eq!(again, ["a", "b"].map(caller));
}

#[test]
fn of_two_that_hang_beside_others_that_are_answered_each_is_tried_in_turn() {
    let mut lane = lane_of(&["a", "b"]);
    let mut tried = Vec::new();
    for halves in 0..32 {
        let now = at(halves * 500);
        lane.allowance = Allowance::default();
        lane.hearing.answered(now, now);
        if halves == 20 {
            // It is given up, and comes anew.
            lane.end_call(&caller("a"));
            requeue(&mut lane, "a");
            lane.queue.release_lane_holds();
        }
        if [0, 10, 20].contains(&halves) {
            lane.start(Kind::Refresh, now).unwrap();
        }
        tried.extend(lane.join(now).map(|attempt| (halves, attempt.caller)));
    }
    let from = |first| tried.iter().filter(|(halves, _)| *halves >= first).map(|(_, caller)| &**caller).collect::<Vec<_>>();
    assert_eq!(from(24), ["a", "b", "a", "b", "a", "b", "a", "b"]);
    assert_eq!(tried.len(), 28, "each half second, since the first counts for lost: {tried:?}");
}
