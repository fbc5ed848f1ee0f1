use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

pub(super) fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

pub(super) fn caller(name: &str) -> Caller {
    Caller::from(name)
}

pub(super) fn lane_of(names: &[&str]) -> Lane {
    let mut lane = Lane::default();
    for (deadline, name) in (100_000..).step_by(1000).zip(names) {
        lane.enqueue(&caller(name), Waiting { kind: Kind::Refresh, deadline: at(deadline), hold: Hold::Nothing, urgent: false });
    }
    lane
}

/// Whom the lane calls now, as if it were alone and nothing held its pace.
pub(super) fn start(lane: &mut Lane, now: Instant) -> Option<Caller> {
    lane.listen(now);
    let in_turn = |lane: &mut Lane| lane.start(Kind::Refresh, now).or_else(|| lane.start(Kind::Newcomer, now));
    Some(lane.probe(now, true).or_else(|| in_turn(lane))?.caller)
}

/// The newest attempt for that caller ends.
fn answer(lane: &mut Lane, caller: &Caller, outcome: Result<(), FailureClass>, now: Instant, draw: f64) -> GateChange {
    let Some(number) = lane.in_flight.newest(caller) else { return GateChange::Unchanged };
    let outcome = outcome.map_or_else(Outcome::Failed, |()| Outcome::Granted);
    lane.answered(&Attempt { caller: caller.clone(), number, instead: false, beside: false }, outcome, now, draw).unwrap().change
}

fn look_at(lane: &Lane) -> Option<Instant> {
    lane.listen_at().into_iter().chain(lane.call_at(at(0), true)).min()
}

pub(super) fn requeue(lane: &mut Lane, name: &str) {
    lane.enqueue(
        &caller(name),
        Waiting { kind: Kind::Refresh, deadline: at(100_000), hold: Hold::WithLane(at(u64::MAX / 2)), urgent: false },
    );
}

const DOWN: Result<(), FailureClass> = Err(FailureClass::Unavailable);

#[test]
fn what_may_be_called_now_is_counted_while_the_lane_is_open() {
    let mut lane = lane_of(&["a", "b", "c"]);
    let held = Hold::WithLane(at(u64::MAX / 2));
    lane.enqueue(&caller("held"), Waiting { kind: Kind::Refresh, deadline: at(1), hold: held, urgent: false });
    assert_eq!((lane.ready_refreshes(), lane.has_lost()), (3, false));
    let [first, second] = [0, 1].map(|_| lane.start(Kind::Refresh, at(0)).unwrap());
    assert_eq!(lane.ready_refreshes(), 1);
    for attempt in [first, second] {
        lane.answered(&attempt, Outcome::Failed(FailureClass::Unavailable), at(1), 0.0);
    }
    assert!(lane.closure().is_some());
    assert_eq!((lane.ready_refreshes(), lane.has_lost()), (0, false));
}

#[test]
fn the_earliest_deadline_goes_first() {
    let mut lane = Lane::default();
    for (name, deadline) in [("b", 2000), ("c", 3000), ("a", 1000)] {
        lane.enqueue(&caller(name), Waiting { kind: Kind::Refresh, deadline: at(deadline), hold: Hold::Nothing, urgent: false });
    }
    let order: Vec<_> = std::iter::from_fn(|| start(&mut lane, at(0))).collect();
    assert_eq!(order, [caller("a"), caller("b"), caller("c")]);
}

#[test]
fn a_held_call_waits_for_its_instant() {
    let mut lane = Lane::default();
    lane.enqueue(&caller("a"), Waiting { kind: Kind::Refresh, deadline: at(0), hold: Hold::Own(at(500)), urgent: false });
    assert_eq!(start(&mut lane, at(499)), None);
    assert_eq!(look_at(&lane), Some(at(500)));
    assert_eq!(start(&mut lane, at(500)), Some(caller("a")));
    assert_eq!(look_at(&lane), Some(at(1000)), "it is joined then");
}

#[test]
fn one_poisoned_caller_harms_only_itself() {
    let mut lane = lane_of(&["poisoned", "good"]);
    for _ in 0..10 {
        assert_eq!(start(&mut lane, at(0)), Some(caller("poisoned")));
        assert_eq!(answer(&mut lane, &caller("poisoned"), DOWN, at(0), 0.0), GateChange::Unchanged);
        lane.enqueue(&caller("poisoned"), Waiting { kind: Kind::Refresh, deadline: at(0), hold: Hold::Nothing, urgent: false });
    }
    assert!(lane.closure().is_none());
}

#[test]
fn two_callers_that_fail_with_no_success_between_close_the_lane() {
    let mut lane = lane_of(&["a", "b", "c"]);
    while start(&mut lane, at(0)).is_some() {}
    assert_eq!(answer(&mut lane, &caller("a"), DOWN, at(0), 0.0), GateChange::Unchanged);
    assert_eq!(answer(&mut lane, &caller("b"), Ok(()), at(0), 0.0), GateChange::Unchanged);
    assert_eq!(answer(&mut lane, &caller("c"), DOWN, at(0), 0.0), GateChange::Unchanged);
    requeue(&mut lane, "a");
    lane.queue.release_lane_holds();
    assert_eq!(start(&mut lane, at(0)), Some(caller("a")));
    assert_eq!(answer(&mut lane, &caller("a"), DOWN, at(0), 0.0), GateChange::Closed);
}

#[test]
fn a_401_closes_at_once_and_a_refusal_of_one_request_does_not() {
    for (class, change) in [
        (FailureClass::Unauthorized, GateChange::Closed),
        (FailureClass::Throttled { retry_after: None }, GateChange::Unchanged),
        (FailureClass::Forbidden, GateChange::Unchanged),
        (FailureClass::Unavailable, GateChange::Unchanged),
        (FailureClass::NotFound, GateChange::Unchanged),
        (FailureClass::Rejected, GateChange::Unchanged),
        (FailureClass::InvalidResponse, GateChange::Unchanged),
    ] {
        let mut lane = lane_of(&["a", "b"]);
        start(&mut lane, at(0));
        assert_eq!(answer(&mut lane, &caller("a"), Err(class), at(0), 0.0), change, "{class:?}");
    }
}

#[test]
fn refusals_of_many_requests_never_close_the_lane() {
    let mut lane = lane_of(&["a", "b", "c"]);
    while start(&mut lane, at(0)).is_some() {}
    for name in ["a", "b", "c"] {
        assert_eq!(answer(&mut lane, &caller(name), Err(FailureClass::NotFound), at(0), 0.0), GateChange::Unchanged);
    }
}

/// Closes a lane of four, all of whose calls have failed and wait again.
fn closed() -> Lane {
    let names = ["a", "b", "c", "d"];
    let mut lane = lane_of(&names);
    while start(&mut lane, at(0)).is_some() {}
    for name in names {
        answer(&mut lane, &caller(name), DOWN, at(0), 0.0);
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
        now = look_at(&lane).unwrap();
        let probe = start(&mut lane, now).unwrap();
        assert_eq!(start(&mut lane, now + Duration::from_millis(499)), None, "a second probe while one is under way");
        answer(&mut lane, &probe, DOWN, now, 0.0);
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
    lane.enqueue(&caller("pressing"), Waiting { kind: Kind::Refresh, deadline: at(6000), hold: Hold::Nothing, urgent: false });
    let mut sent = Vec::new();
    for _ in 0..6 {
        let now = look_at(&lane).unwrap();
        sent.push(now);
        let probe = start(&mut lane, now).unwrap();
        answer(&mut lane, &probe, DOWN, now, 0.0);
        lane.enqueue(&probe, Waiting { kind: Kind::Refresh, deadline: at(6000), hold: Hold::Nothing, urgent: false });
    }
    assert_eq!(sent, [at(200), at(600), at(1400), at(1700), at(2000), at(2300)]);
}

#[test]
fn any_success_opens_the_lane_and_wakes_all_in_order() {
    let mut lane = closed();
    let probe = start(&mut lane, at(200)).unwrap();
    assert_eq!(answer(&mut lane, &probe, Ok(()), at(200), 0.0), GateChange::Opened);
    assert_eq!(std::iter::from_fn(|| start(&mut lane, at(200))).count(), 3);
}

#[test]
fn an_opened_lane_keeps_what_a_request_has_to_wait_for_itself() {
    let mut lane = closed();
    lane.enqueue(&caller("d"), Waiting { kind: Kind::Refresh, deadline: at(0), hold: Hold::Own(at(9000)), urgent: false });
    let probe = start(&mut lane, at(200)).unwrap();
    assert_ne!(probe, caller("d"));
    answer(&mut lane, &probe, Ok(()), at(200), 0.0);
    assert_eq!(std::iter::from_fn(|| start(&mut lane, at(200))).count(), 2);
    assert_eq!(start(&mut lane, at(9000)), Some(caller("d")));
}

#[test]
fn a_withdrawn_probe_makes_room_for_the_next() {
    let mut lane = closed();
    let first = start(&mut lane, at(200)).unwrap();
    lane.withdraw(&first);
    let second = start(&mut lane, at(200)).unwrap();
    assert_ne!(first, second);
    assert_eq!(answer(&mut lane, &first, Ok(()), at(200), 0.0), GateChange::Unchanged, "an answer to a withdrawn call says nothing");
}

#[test]
fn an_idle_lane_is_kept_while_its_success_matters() {
    let mut lane = lane_of(&["a"]);
    assert!(!lane.idle(at(0)));
    start(&mut lane, at(0));
    assert!(!lane.idle(at(0)));
    answer(&mut lane, &caller("a"), Ok(()), at(0), 0.0);
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
            lane.enqueue(&names[index], Waiting { kind: Kind::Refresh, deadline: now, hold: Hold::Nothing, urgent: false });
            if let Some(started) = start(&mut lane, now) {
                let outcome = [
                    Ok(()),
                    DOWN,
                    Err(FailureClass::Unauthorized),
                    Err(FailureClass::Throttled { retry_after: Some(Duration::from_secs(2)) }),
                    Err(FailureClass::NotFound),
                ][usize::from(outcome)];
                answer(&mut lane, &started, outcome, now, 0.5);
                if outcome.is_err() {
                    lane.enqueue(&started, Waiting { kind: Kind::Refresh, deadline: now, hold: Hold::WithLane(now + Duration::from_secs(1)), urgent: false });
                }
            }
        }
        let waiting = lane.waiting().count();
        let mut served = 0;
        for _ in 0..1000 {
            match start(&mut lane, now) {
                Some(started) => {
                    served += 1;
                    answer(&mut lane, &started, Ok(()), now, 0.5);
                }
                None => match look_at(&lane) {
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
        let now = look_at(&lane).unwrap();
        let probe = start(&mut lane, now).unwrap();
        answer(&mut lane, &probe, DOWN, now, 0.0);
        requeue(&mut lane, &probe);
    }
    for class in [FailureClass::NotFound, FailureClass::Rejected, FailureClass::InvalidResponse] {
        let now = look_at(&lane).unwrap();
        let probe = start(&mut lane, now).unwrap();
        assert_eq!(answer(&mut lane, &probe, Err(class), now, 0.0), GateChange::Unchanged);
        requeue(&mut lane, &probe);
        assert_eq!(look_at(&lane), Some(now + Duration::from_millis(200)), "the next is another's, and soon: {class:?}");
        assert_eq!(lane.closure().unwrap().0, FailureClass::Unavailable);
    }
}

#[test]
fn an_outage_does_not_make_the_first_refusal_a_long_one() {
    let mut lane = closed();
    for (class, wait, change) in [
        (FailureClass::Unavailable, 400, GateChange::Unchanged),
        (FailureClass::Unavailable, 800, GateChange::Unchanged),
        (FailureClass::Unauthorized, 2000, GateChange::Slowed),
        (FailureClass::Unauthorized, 4000, GateChange::Unchanged),
        (FailureClass::Unavailable, 200, GateChange::Unchanged),
        (FailureClass::Unauthorized, 2000, GateChange::Unchanged),
    ] {
        let now = look_at(&lane).unwrap();
        let probe = start(&mut lane, now).unwrap();
        assert_eq!(answer(&mut lane, &probe, Err(class), now, 0.0), change, "that it is slow is told once");
        requeue(&mut lane, &probe);
        assert_eq!(look_at(&lane), Some(now + Duration::from_millis(wait)), "{class:?}");
    }
}

#[test]
fn somebody_who_has_mended_something_is_sent_into_a_lane_that_is_looked_at_slowly() {
    let mut lane = lane_of(&["a", "b"]);
    start(&mut lane, at(0));
    assert_eq!(answer(&mut lane, &caller("a"), Err(FailureClass::Unauthorized), at(0), 0.0), GateChange::Closed);
    assert_eq!(start(&mut lane, at(1)), None, "a look is taken later");
    lane.enqueue(&caller("c"), Waiting { kind: Kind::Refresh, deadline: at(200_000), hold: Hold::Nothing, urgent: true });
    assert_eq!(start(&mut lane, at(1)), Some(caller("c")));
    assert_eq!(start(&mut lane, at(1)), None, "one probe at a time");
}

#[test]
fn a_lane_is_remembered_for_as_long_as_its_last_answer_matters() {
    let mut lane = lane_of(&["a"]);
    start(&mut lane, at(0));
    answer(&mut lane, &caller("a"), Err(FailureClass::Unauthorized), at(0), 0.0);
    assert!(!lane.idle(at(60_000)), "it is still closed");
    assert!(!lane.idle(at(600_000)));
    assert!(lane.idle(at(600_001)));
    assert!(Lane::default().idle(at(0)));
    lane.enqueue(&caller("a"), Waiting { kind: Kind::Refresh, deadline: at(0), hold: Hold::Nothing, urgent: false });
    assert!(!lane.idle(at(900_000)), "somebody waits");
    start(&mut lane, at(900_000));
    assert!(!lane.idle(at(900_000)), "a call is in flight");
}

#[test]
fn who_has_just_failed_counts_as_pressing_too() {
    let mut lane = Lane::default();
    lane.enqueue(&caller("only"), Waiting { kind: Kind::Refresh, deadline: at(0), hold: Hold::Nothing, urgent: false });
    lane.last_success = Some(at(0));
    for streak in 1..6_u32 {
        let now = at(u64::from(streak) * 10_000);
        assert_eq!(start(&mut lane, now), Some(caller("only")));
        answer(&mut lane, &caller("only"), Err(FailureClass::Unauthorized), now, 0.0);
        lane.enqueue(&caller("only"), Waiting { kind: Kind::Refresh, deadline: at(0), hold: Hold::Nothing, urgent: false });
        let wait = look_at(&lane).unwrap().since(now);
        assert!(wait <= Duration::from_millis(300), "{wait:?} after {streak} failures with an expired grant");
    }
}
