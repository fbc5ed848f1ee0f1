use super::super::testing::{at, hand, now, spec};
use super::*;

fn claim(issue: &str, expiry: &str) -> Claim {
    Claim { issue_time: issue.parse().unwrap(), expiry_time: expiry.parse().unwrap(), request_hash: "".into() }
}

#[test]
fn a_claimed_life_is_believed_if_it_is_plausible() {
    let ttl = spec().call.ttl;
    // It is noon.
    for (issue, expiry, believed) in [
        ("12:00:00Z", "12:00:15Z", true),
        ("11:59:50.500Z", "12:00:05.500Z", true),
        ("11:00:00Z", "11:00:15Z", true),
        ("12:00:01Z", "12:00:16Z", true),
        ("12:00:01.001Z", "12:00:16.001Z", false),
        ("13:00:00Z", "13:00:15Z", false),
        ("12:00:00Z", "12:00:15.001Z", false),
        ("12:00:00Z", "12:00:14Z", false),
        ("12:00:00Z", "11:59:45Z", false),
    ] {
        let claim = claim(&format!("2026-11-24T{issue}"), &format!("2026-11-24T{expiry}"));
        let life = Life::claimed(&claim, ttl, now(at(1000)));
        assert_eq!(life.is_some(), believed, "{issue} {expiry}");
        if let Some(life) = life {
            assert!(life.issue <= at(1000), "issued in the future");
            assert!(life.expiry <= at(1015), "lives longer than a TTL from now");
        }
    }
}

#[test]
fn a_claimed_life_is_the_one_that_was_written() {
    let held = hand(990);
    assert_eq!(Life::claimed(&held.claim(), held.ttl, now(at(1000))), Some(Life::of(&held)));
    assert_eq!(Life::of(&held).expiry, at(1005));
}

#[test]
fn a_life_from_before_the_clocks_start_ends_when_it_truly_ends() {
    // The machine has been up for 5 s, and the grant is 10 s old.
    let noon = Now { instant: at(5), wall: "2026-11-24T12:00:00Z".parse().unwrap() };
    let claim = claim("2026-11-24T11:59:50Z", "2026-11-24T12:00:05Z");
    let life = Life::claimed(&claim, spec().call.ttl, noon).unwrap();
    assert_eq!(life.expiry, at(10));
}

#[test]
fn times_survive_the_way_through_a_secret() {
    let time: Timestamp = "2026-11-24T12:00:00.123987Z".parse().unwrap();
    assert_eq!(crate::time::rfc3339_millis(whole_millis(time)), "2026-11-24T12:00:00.123Z");
    assert_eq!(whole_millis(time), crate::time::rfc3339_millis(time).parse().unwrap());
}

#[test]
fn of_two_that_are_near_the_times_in_the_secret_tell_which_is_later() {
    let grant = |issue: Instant, wall: &str| HeldGrant { issue, issue_time: wall.parse().unwrap(), ..hand(990).as_ref().clone() };
    let instant = |micros: u64| at(990) + Duration::from_micros(micros);
    // Our own, asked for 0.1 ms before another operator's. Of that one, as it is read in the Secret, the microseconds are lost, and 0.4 ms more
    // between the readings of the clocks.
    let own = grant(instant(500_900), "2026-11-24T11:59:50.500Z");
    let others = grant(instant(500_600), "2026-11-24T11:59:50.501Z");
    assert!(own.issue > others.issue && !own.is_later_than(&others) && others.is_later_than(&own));
    let same = grant(instant(500_100), "2026-11-24T11:59:50.500Z");
    assert!(!own.is_later_than(&same) && !same.is_later_than(&own));
    let not_near = grant(own.issue + Duration::from_millis(500), "2026-11-24T11:59:50.400Z");
    assert!(not_near.is_later_than(&own) && !own.is_later_than(&not_near));
    // The wall clock was set back by an hour between the two.
    let next = grant(instant(5_000_000), "2026-11-24T10:59:55Z");
    assert!(next.is_later_than(&own) && !own.is_later_than(&next));
}
