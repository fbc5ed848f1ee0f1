//! The single calls that are made while an account is closed by a 429.

use super::tests::{at, throttled, who};
use super::*;

#[test]
fn after_a_429_one_calls_at_a_time_until_one_is_granted() {
    let mut pace = Pace::default();
    pace.throttled(&who("a"), throttled(None), at(0));
    let mut waits = Vec::new();
    let mut now = at(0);
    for _ in 0..4 {
        let next = pace.next(at(0)).unwrap();
        waits.push(u64::try_from(next.since(now).as_millis()).unwrap());
        now = next;
        pace.calls(|| who("b"), now);
        assert_eq!(pace.next(at(0)), Some(now + PROBE_PATIENCE), "one at a time");
        assert!(!pace.allows(0, now + PROBE_PATIENCE / 2) && pace.allows(0, now + PROBE_PATIENCE), "unless it isn't answered");
        assert!(!pace.throttled(&who("b"), throttled(None), now), "it is closed already");
    }
    assert_eq!(waits, [200, 300, 300, 300]);
    now = pace.next(at(0)).unwrap();
    pace.calls(|| who("b"), now);
    pace.ended(&who("c"));
    assert!(!pace.allows(0, now), "that was another");
    pace.ended(&who("b"));
    assert!(pace.allows(0, now), "another may be made");
    pace.calls(|| who("b"), now);
    assert!(pace.let_through(&who("b"), now) && !pace.let_through(&who("b"), now));
}

#[test]
fn what_was_under_way_says_nothing_of_the_time_that_was_asked_for() {
    let mut pace = Pace::default();
    pace.throttled(&who("a"), throttled(Some(30)), at(0));
    assert!(!pace.let_through(&who("b"), at(29_999)) && !pace.allows(0, at(29_999)));
    assert!(pace.let_through(&who("c"), at(30_000)));
    pace.throttled(&who("a"), throttled(None), at(31_000));
    assert!(!pace.throttled(&who("b"), throttled(Some(7)), at(31_010)), "it asks for more");
    assert!(!pace.throttled(&who("c"), throttled(None), at(31_020)), "it asks for nothing");
    assert_eq!(pace.next(at(0)), Some(at(38_010)));
}

#[test]
fn of_single_calls_each_counts_but_what_was_sent_before_a_429_opens_not_before_its_time() {
    let mut pace = Pace::default();
    pace.throttled(&who("a"), throttled(None), at(0));
    let mut now = pace.next(at(0)).unwrap();
    let first = now;
    for name in ["b", "c", "d"] {
        pace.calls(|| who(name), now);
        assert_eq!((pace.allows(0, now + PROBE_PATIENCE.mul_f64(0.9)), pace.next(now)), (false, Some(now + PROBE_PATIENCE)));
        now = now + PROBE_PATIENCE;
    }
    assert!(pace.clone().let_through(&who("b"), first + Duration::from_millis(10)), "its grant opens");
    let mut withdrawn = pace.clone();
    for name in ["b", "c", "d"] {
        withdrawn.ended(&who(name));
    }
    assert!(withdrawn.allows(0, first + Duration::from_millis(10)), "none is waited for");
    pace.throttled(&who("c"), throttled(Some(30)), now);
    assert!(!pace.let_through(&who("b"), now), "which was sent before");
    assert!(!pace.let_through(&who("d"), now) && !pace.allows(0, now + Duration::from_secs(29)));
    pace.calls(|| who("b"), now + Duration::from_secs(30));
    pace.throttled(&who("e"), throttled(None), now + Duration::from_secs(31));
    assert!(pace.let_through(&who("b"), now + Duration::from_secs(31)), "and this one after it");
}

#[test]
fn where_single_calls_are_refused_too_the_rate_says_nothing() {
    let mut pace = Pace::default();
    (0..20).for_each(|n| assert!(!pace.let_through(&who("a"), at(n * 50))));
    pace.throttled(&who("a"), throttled(None), at(1000));
    for (refused, is_limited) in [(2, true), (3, false)] {
        let now = pace.next(at(0)).unwrap();
        pace.calls(|| who("b"), now);
        pace.throttled(&who("b"), throttled(None), now);
        assert_eq!(pace.limit.is_some(), is_limited, "{refused} in a row");
    }
    pace.let_through(&who("b"), at(9000));
    assert!(pace.allows(1, at(9000)) && !pace.allows(2, at(9000)), "it starts in the dark again");
}
