//! What a lane tells of itself.

use super::tests::{at, caller, lane_of, start};
use super::*;

#[test]
fn a_silent_lane_that_nobody_is_in_has_nothing_to_try() {
    let mut lane = lane_of(&["a"]);
    assert_eq!(start(&mut lane, at(0)), Some(caller("a")));
    assert!(!lane.is_silent());
    lane.allowance.throttled(at(0));
    assert!(lane.listen(at(2000)) && lane.is_silent());
    assert!(lane.call_at(at(2000), true).is_some());
    lane.withdraw(&caller("a"));
    assert_eq!((lane.is_silent(), lane.call_at(at(2000), true)), (true, None));
}

#[test]
fn after_a_429_no_call_is_joined_before_it_counts_for_lost() {
    let joins = |throttled: bool, when: u64| {
        let mut lane = Lane::default();
        lane.enqueue(&caller("a"), Waiting { kind: Kind::Refresh, deadline: at(1500), hold: Hold::Nothing, urgent: false });
        assert_eq!(start(&mut lane, at(0)), Some(caller("a")));
        if throttled {
            lane.throttled(at(0));
        }
        lane.join(at(when)).is_some()
    };
    assert_eq!([joins(false, 500), joins(true, 500), joins(true, 1999), joins(true, 2000)], [true, false, false, true]);
}

#[test]
fn those_who_wait_for_the_lane_are_released_and_what_is_out_was_sent_before() {
    let mut lane = lane_of(&["a"]);
    assert_eq!(start(&mut lane, at(0)), Some(caller("a")));
    let held = Waiting { kind: Kind::Refresh, deadline: at(100_000), hold: Hold::WithLane(at(9000)), urgent: false };
    lane.enqueue(&caller("b"), held);
    assert_eq!((lane.ready_refreshes(), lane.out_since_opened()), (0, 1));
    lane.release(at(1));
    assert_eq!((lane.ready_refreshes(), lane.out_since_opened()), (1, 0));
}

#[test]
fn who_waits_is_told_from_who_is_out_and_who_is_neither() {
    let mut lane = lane_of(&["a", "b"]);
    assert_eq!(start(&mut lane, at(0)), Some(caller("a")));
    assert_eq!(["a", "b", "c"].map(|name| lane.waits(&caller(name))), [false, true, false]);
    assert_eq!(lane.callers().collect::<Vec<_>>(), [&caller("b"), &caller("a")]);
}
