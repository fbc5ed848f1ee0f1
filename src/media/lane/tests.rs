use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

fn caller(name: &str) -> Caller {
    Caller::from(name)
}

fn lane_of(names: &[&str]) -> Lane {
    let mut lane = Lane::default();
    for (deadline, name) in (100_000..).step_by(1000).zip(names) {
        lane.enqueue(&caller(name), Waiting { deadline: at(deadline), hold: Hold::Nothing, urgent: false });
    }
    lane
}

fn requeue(lane: &mut Lane, name: &str) {
    lane.enqueue(&caller(name), Waiting { deadline: at(100_000), hold: Hold::WithLane(at(u64::MAX / 2)), urgent: false });
}

const DOWN: Result<(), FailureClass> = Err(FailureClass::Unavailable);

#[test]
fn the_earliest_deadline_goes_first() {
    let mut lane = Lane::default();
    for (name, deadline) in [("b", 2000), ("c", 3000), ("a", 1000)] {
        lane.enqueue(&caller(name), Waiting { deadline: at(deadline), hold: Hold::Nothing, urgent: false });
    }
    let order: Vec<_> = std::iter::from_fn(|| lane.start(at(0))).collect();
    assert_eq!(order, [caller("a"), caller("b"), caller("c")]);
}

#[test]
fn a_held_call_waits_for_its_instant() {
    let mut lane = Lane::default();
    lane.enqueue(&caller("a"), Waiting { deadline: at(0), hold: Hold::Own(at(500)), urgent: false });
    assert_eq!(lane.start(at(499)), None);
    assert_eq!(lane.look_at(), Some(at(500)));
    assert_eq!(lane.start(at(500)), Some(caller("a")));
    assert_eq!(lane.look_at(), None);
}

#[test]
fn one_poisoned_caller_harms_only_itself() {
    let mut lane = lane_of(&["poisoned", "good"]);
    for _ in 0..10 {
        assert_eq!(lane.start(at(0)), Some(caller("poisoned")));
        assert_eq!(lane.answered(&caller("poisoned"), DOWN, at(0), 0.0), GateChange::Unchanged);
        lane.enqueue(&caller("poisoned"), Waiting { deadline: at(0), hold: Hold::Nothing, urgent: false });
    }
    assert!(lane.closure().is_none());
}

#[test]
fn two_callers_that_fail_with_no_success_between_close_the_lane() {
    let mut lane = lane_of(&["a", "b", "c"]);
    while lane.start(at(0)).is_some() {}
    assert_eq!(lane.answered(&caller("a"), DOWN, at(0), 0.0), GateChange::Unchanged);
    assert_eq!(lane.answered(&caller("b"), Ok(()), at(0), 0.0), GateChange::Unchanged);
    assert_eq!(lane.answered(&caller("c"), DOWN, at(0), 0.0), GateChange::Unchanged);
    requeue(&mut lane, "a");
    lane.queue.release_lane_holds();
    assert_eq!(lane.start(at(0)), Some(caller("a")));
    assert_eq!(lane.answered(&caller("a"), DOWN, at(0), 0.0), GateChange::Closed);
}

#[test]
fn a_401_closes_at_once_and_a_refusal_of_one_request_does_not() {
    for (class, change) in [
        (FailureClass::Unauthorized, GateChange::Closed),
        (FailureClass::Throttled { retry_after: None }, GateChange::Closed),
        (FailureClass::Forbidden, GateChange::Unchanged),
        (FailureClass::Unavailable, GateChange::Unchanged),
        (FailureClass::NotFound, GateChange::Unchanged),
        (FailureClass::Rejected, GateChange::Unchanged),
        (FailureClass::InvalidResponse, GateChange::Unchanged),
    ] {
        let mut lane = lane_of(&["a", "b"]);
        lane.start(at(0));
        assert_eq!(lane.answered(&caller("a"), Err(class), at(0), 0.0), change, "{class:?}");
    }
}

#[test]
fn refusals_of_many_requests_never_close_the_lane() {
    let mut lane = lane_of(&["a", "b", "c"]);
    while lane.start(at(0)).is_some() {}
    for name in ["a", "b", "c"] {
        assert_eq!(lane.answered(&caller(name), Err(FailureClass::NotFound), at(0), 0.0), GateChange::Unchanged);
    }
}

#[test]
fn a_429_closes_for_the_time_asked_for_but_no_longer_than_a_minute() {
    for (asked, closed_for) in [(Some(5), 5000), (Some(300), 60_000), (Some(0), 200), (None, 200)] {
        let mut lane = lane_of(&["a", "b"]);
        lane.start(at(0));
        let class = FailureClass::Throttled { retry_after: asked.map(Duration::from_secs) };
        lane.answered(&caller("a"), Err(class), at(0), 0.0);
        assert_eq!(lane.start(at(closed_for - 1)), None, "{asked:?}");
        assert_eq!(lane.look_at(), Some(at(closed_for)));
        assert_eq!(lane.start(at(closed_for)), Some(caller("b")));
    }
}

/// Closes a lane of four, all of whose calls have failed and wait again.
fn closed() -> Lane {
    let names = ["a", "b", "c", "d"];
    let mut lane = lane_of(&names);
    while lane.start(at(0)).is_some() {}
    for name in names {
        lane.answered(&caller(name), DOWN, at(0), 0.0);
        requeue(&mut lane, name);
    }
    assert!(lane.closure().is_some());
    lane
}

#[test]
fn a_closed_lane_sends_one_probe_at_a_time_and_the_probe_moves_on() {
    let mut lane = closed();
    let mut probes = BTreeMap::<Caller, u32>::new();
    let mut now = at(0);
    for _ in 0..40 {
        now = lane.look_at().unwrap();
        let probe = lane.start(now).unwrap();
        assert_eq!(lane.start(now + Duration::from_mins(1)), None, "a second probe while one is under way");
        lane.answered(&probe, DOWN, now, 0.0);
        requeue(&mut lane, &probe);
        *probes.entry(probe).or_default() += 1;
    }
    assert_eq!(probes.values().copied().collect::<Vec<_>>(), [10, 10, 10, 10]);
    // 0.2, 0.4, 0.8, then one a second.
    assert_eq!(now, at(200 + 400 + 800 + 37 * 1000));
}

#[test]
fn probes_come_faster_while_a_grant_is_pressing() {
    let mut lane = closed();
    lane.enqueue(&caller("pressing"), Waiting { deadline: at(6000), hold: Hold::Nothing, urgent: false });
    let mut sent = Vec::new();
    for _ in 0..6 {
        let now = lane.look_at().unwrap();
        sent.push(now);
        let probe = lane.start(now).unwrap();
        lane.answered(&probe, DOWN, now, 0.0);
        lane.enqueue(&probe, Waiting { deadline: at(6000), hold: Hold::Nothing, urgent: false });
    }
    assert_eq!(sent, [at(200), at(600), at(1400), at(1700), at(2000), at(2300)]);
}

#[test]
fn any_success_opens_the_lane_and_wakes_all_in_order() {
    let mut lane = closed();
    let probe = lane.start(at(200)).unwrap();
    assert_eq!(lane.answered(&probe, Ok(()), at(200), 0.0), GateChange::Opened);
    assert_eq!(std::iter::from_fn(|| lane.start(at(200))).count(), 3);
}

#[test]
fn an_opened_lane_keeps_what_a_request_has_to_wait_for_itself() {
    let mut lane = closed();
    lane.enqueue(&caller("d"), Waiting { deadline: at(0), hold: Hold::Own(at(9000)), urgent: false });
    let probe = lane.start(at(200)).unwrap();
    assert_ne!(probe, caller("d"));
    lane.answered(&probe, Ok(()), at(200), 0.0);
    assert_eq!(std::iter::from_fn(|| lane.start(at(200))).count(), 2);
    assert_eq!(lane.start(at(9000)), Some(caller("d")));
}

#[test]
fn a_withdrawn_probe_makes_room_for_the_next() {
    let mut lane = closed();
    let first = lane.start(at(200)).unwrap();
    lane.withdraw(&first);
    let second = lane.start(at(200)).unwrap();
    assert_ne!(first, second);
    assert_eq!(lane.answered(&first, Ok(()), at(200), 0.0), GateChange::Unchanged, "an answer to a withdrawn call says nothing");
}

#[test]
fn an_idle_lane_is_kept_while_its_success_matters() {
    let mut lane = lane_of(&["a"]);
    assert!(!lane.idle(at(0)));
    lane.start(at(0));
    assert!(!lane.idle(at(0)));
    lane.answered(&caller("a"), Ok(()), at(0), 0.0);
    assert!(!lane.idle(at(600_000)));
    assert!(lane.idle(at(600_001)));
}

proptest! {
    /// Whatever the answers, once they are good the queue drains, and nobody's call is in flight twice.
    #[test]
    fn every_queue_drains(outcomes in prop::collection::vec((0_usize..6, 0_u8..5), 0..200)) {
        let names: Vec<Caller> = (0..6).map(|n| caller(&format!("caller-{n}"))).collect();
        let mut lane = Lane::default();
        let mut now = at(0);
        for (index, outcome) in outcomes {
            now = now + Duration::from_millis(37);
            lane.enqueue(&names[index], Waiting { deadline: now, hold: Hold::Nothing, urgent: false });
            if let Some(started) = lane.start(now) {
                let outcome = [
                    Ok(()),
                    DOWN,
                    Err(FailureClass::Unauthorized),
                    Err(FailureClass::Throttled { retry_after: Some(Duration::from_secs(2)) }),
                    Err(FailureClass::NotFound),
                ][usize::from(outcome)];
                lane.answered(&started, outcome, now, 0.5);
                if outcome.is_err() {
                    lane.enqueue(&started, Waiting { deadline: now, hold: Hold::WithLane(now + Duration::from_secs(1)), urgent: false });
                }
            }
        }
        let waiting = lane.waiting().count();
        let mut served = 0;
        for _ in 0..1000 {
            match lane.start(now) {
                Some(started) => {
                    served += 1;
                    lane.answered(&started, Ok(()), now, 0.5);
                }
                None => match lane.look_at() {
                    Some(look_at) => now = now.max(look_at),
                    None => break,
                },
            }
        }
        prop_assert_eq!(served, waiting);
        prop_assert_eq!(lane.waiting().count(), 0);
    }
}

#[test]
fn a_probe_that_fails_for_a_reason_of_its_own_says_nothing_of_the_lane() {
    let mut lane = closed();
    for _ in 0..8 {
        let now = lane.look_at().unwrap();
        let probe = lane.start(now).unwrap();
        lane.answered(&probe, DOWN, now, 0.0);
        requeue(&mut lane, &probe);
    }
    for class in [FailureClass::NotFound, FailureClass::Rejected, FailureClass::InvalidResponse] {
        let now = lane.look_at().unwrap();
        let probe = lane.start(now).unwrap();
        assert_eq!(lane.answered(&probe, Err(class), now, 0.0), GateChange::Unchanged);
        requeue(&mut lane, &probe);
        assert_eq!(lane.look_at(), Some(now + Duration::from_millis(200)), "the next is another's, and soon: {class:?}");
        assert_eq!(lane.closure().unwrap().class, FailureClass::Unavailable);
    }
}

#[test]
fn an_outage_does_not_make_the_first_refusal_a_long_one() {
    let mut lane = closed();
    for (class, wait) in [
        (FailureClass::Unavailable, 400),
        (FailureClass::Unavailable, 800),
        (FailureClass::Unauthorized, 2000),
        (FailureClass::Unauthorized, 4000),
        (FailureClass::Unavailable, 200),
    ] {
        let now = lane.look_at().unwrap();
        let probe = lane.start(now).unwrap();
        lane.answered(&probe, Err(class), now, 0.0);
        requeue(&mut lane, &probe);
        assert_eq!(lane.look_at(), Some(now + Duration::from_millis(wait)), "{class:?}");
    }
}

#[test]
fn somebody_who_has_mended_something_is_sent_into_a_lane_that_is_looked_at_slowly() {
    for (class, sent) in
        [(FailureClass::Unauthorized, true), (FailureClass::Throttled { retry_after: Some(Duration::from_secs(9)) }, false)]
    {
        let mut lane = lane_of(&["a", "b"]);
        lane.start(at(0));
        assert_eq!(lane.answered(&caller("a"), Err(class), at(0), 0.0), GateChange::Closed);
        lane.enqueue(&caller("c"), Waiting { deadline: at(200_000), hold: Hold::Nothing, urgent: true });
        assert_eq!(lane.start(at(1)).is_some(), sent, "{class:?}");
        assert_eq!(lane.start(at(1)), None, "one probe at a time");
    }
}

#[test]
fn a_success_that_was_under_way_does_not_end_the_time_that_a_429_asked_for() {
    for (class, change) in [
        (FailureClass::Throttled { retry_after: Some(Duration::from_secs(30)) }, GateChange::Unchanged),
        (FailureClass::Unauthorized, GateChange::Opened),
    ] {
        let mut lane = lane_of(&["a", "b", "c", "d"]);
        while lane.start(at(0)).is_some() {}
        lane.answered(&caller("a"), Err(class), at(0), 0.0);
        assert_eq!(lane.answered(&caller("b"), Ok(()), at(1), 0.0), change, "{class:?}");
    }
    let mut lane = lane_of(&["a", "b", "c"]);
    while lane.start(at(0)).is_some() {}
    lane.answered(&caller("a"), Err(FailureClass::Throttled { retry_after: Some(Duration::from_secs(30)) }), at(0), 0.0);
    assert_eq!(lane.answered(&caller("b"), Ok(()), at(29_999), 0.0), GateChange::Unchanged);
    assert_eq!(lane.answered(&caller("c"), Ok(()), at(30_000), 0.0), GateChange::Opened);
}

#[test]
fn a_lane_is_remembered_for_as_long_as_its_last_answer_matters() {
    let mut lane = lane_of(&["a"]);
    lane.start(at(0));
    lane.answered(&caller("a"), Err(FailureClass::Throttled { retry_after: Some(Duration::from_mins(1)) }), at(0), 0.0);
    assert!(!lane.idle(at(60_000)), "it is still closed");
    assert!(!lane.idle(at(600_000)));
    assert!(lane.idle(at(600_001)));
    assert!(Lane::default().idle(at(0)));
    lane.enqueue(&caller("a"), Waiting { deadline: at(0), hold: Hold::Nothing, urgent: false });
    assert!(!lane.idle(at(900_000)), "somebody waits");
    lane.start(at(900_000));
    assert!(!lane.idle(at(900_000)), "a call is in flight");
}

#[test]
fn who_has_just_failed_counts_as_pressing_too() {
    let mut lane = Lane::default();
    lane.enqueue(&caller("only"), Waiting { deadline: at(0), hold: Hold::Nothing, urgent: false });
    lane.last_success = Some(at(0));
    for streak in 1..6_u32 {
        let now = at(u64::from(streak) * 10_000);
        assert_eq!(lane.start(now), Some(caller("only")));
        lane.answered(&caller("only"), Err(FailureClass::Unauthorized), now, 0.0);
        lane.enqueue(&caller("only"), Waiting { deadline: at(0), hold: Hold::Nothing, urgent: false });
        let wait = lane.look_at().unwrap().since(now);
        assert!(wait <= Duration::from_millis(300), "{wait:?} after {streak} failures with an expired grant");
    }
}
