use std::sync::Arc;
use std::time::Duration;

use super::super::testing::{Scene, at, bare, hand, token_order};
use super::*;
use crate::lifecycle::{Attempt, Backoff};
use crate::media::retry::RECENT_SUCCESS;

fn millis(instant: Instant, since: Instant) -> u128 {
    instant.since(since).as_millis()
}

#[test]
fn the_api_server_is_asked_again_after_a_wait_that_doubles() {
    let waits = |refused: bool| -> Vec<u128> {
        let (mut waits, mut earlier, mut now) = (Vec::new(), None, at(1000));
        for _ in 0..8 {
            let backoff = Backoff::after(earlier, refused, now);
            waits.push(millis(backoff.until, now));
            now = backoff.until;
            earlier = Some(backoff);
        }
        waits
    };
    assert_eq!(waits(false), [100, 200, 400, 800, 1000, 1000, 1000, 1000]);
    assert_eq!(waits(true), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
}

#[test]
fn a_failure_long_ago_says_nothing_of_the_next() {
    let first = Backoff::after(None, true, at(1000));
    assert!(first.is_first());
    let second = Backoff::after(Some(first), true, at(1061));
    assert!(!second.is_first());
    assert_eq!(second.until, at(1063));
    let later = Backoff::after(Some(second), true, at(1124));
    assert!(later.is_first());
    assert_eq!(later.until, at(1125));
}

#[test]
fn repairs_come_at_once_and_then_after_more_and_more_time() {
    let (mut repairs, mut now, mut waits) = (Repairs::default(), at(1000), Vec::new());
    assert_eq!(repairs.next(), None);
    for _ in 0..9 {
        repairs = repairs.made(now);
        let next = repairs.next().unwrap();
        waits.push(next.since(now).as_secs());
        assert_eq!(repairs.is_fight(next), next.since(now) == Duration::from_mins(1), "{repairs:?}");
        now = next;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let last = repairs.last.unwrap();
    assert!(repairs.is_fight(last) && !repairs.is_fight(last + Repairs::FORGOTTEN_AFTER));
    assert_eq!(repairs.made(last + Repairs::FORGOTTEN_AFTER).count, 1, "a Secret that is left alone for so long isn't fought over");
}

#[test]
fn what_was_deleted_is_made_again_three_times_at_once_and_then_as_repairs_are() {
    let (mut restores, mut now, mut waits) = (Restores::default(), at(1000), Vec::new());
    assert_eq!((restores.next(), restores.forgotten_at()), (None, None));
    for _ in 0..11 {
        restores = restores.made(now);
        let next = restores.next().unwrap();
        waits.push(next.since(now).as_secs());
        assert_eq!(restores.is_fight(next), next.since(now) == Duration::from_mins(1), "{restores:?}");
        now = next;
    }
    assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60], "the wait after each: three come without one");
    let forgotten = restores.forgotten_at().unwrap();
    assert!(!restores.is_fight(forgotten));
    assert_eq!(restores.made(forgotten).next(), Some(forgotten), "the first of another row");
}

/// Orders a call and lets it fail so many times; returns the waits in seconds, rounded.
fn failures(memory: &mut Memory, class: FailureClass, times: usize) -> Vec<u64> {
    let subject = Scene::absent().subject();
    let fail = |memory: &mut Memory| {
        memory.ordered(Ordered { subject: subject.clone(), refresh_request: None, forced: false }, at(1000));
        memory.failed(class, "message".into(), Some(at(2000)), at(1000), 0.0);
        match memory.failure.as_ref().unwrap().hold {
            Hold::Own(until) | Hold::WithLane(until) => until.since(at(1000)).as_secs(),
            Hold::Nothing => 0,
        }
    };
    (0..times).map(|_| fail(memory)).collect()
}

#[test]
fn refusals_are_looked_at_again_after_two_seconds_doubling_to_a_minute() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    assert_eq!(failures(&mut memory, FailureClass::NotFound, 7), [2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(memory.consecutive_failures, 7);
}

#[test]
fn the_wait_begins_anew_after_a_restart_an_outage_or_another_spec() {
    let status = PlaybackGrantRequestStatus { consecutive_failures: 50, ..PlaybackGrantRequestStatus::default() };
    let mut memory = Memory::at_first_sight(Some(&status), at(1000));
    assert_eq!(failures(&mut memory, FailureClass::NotFound, 3), [2, 4, 8], "the count in the status is of before the restart");
    assert_eq!(memory.consecutive_failures, 53);

    let mut memory = Memory::at_first_sight(None, at(1000));
    assert_eq!(failures(&mut memory, FailureClass::Unavailable, 20).last(), Some(&1));
    assert_eq!(failures(&mut memory, FailureClass::NotFound, 3), [2, 4, 8], "an outage says nothing of a refusal");

    let mut memory = Memory::at_first_sight(None, at(1000));
    let other = Subject { request_hash: "other".into(), ..Scene::absent().subject() };
    for _ in 0..5 {
        memory.ordered(Ordered { subject: other.clone(), refresh_request: None, forced: false }, at(1000));
        memory.failed(FailureClass::NotFound, "message".into(), None, at(1000), 0.0);
    }
    assert_eq!(failures(&mut memory, FailureClass::NotFound, 3), [2, 4, 8], "another spec");
}

#[test]
fn an_answer_that_comes_late_is_no_newer_than_what_was_read_meanwhile() {
    let answered = |hand_of: &str, issue: u64| {
        let mut memory = Memory::at_first_sight(None, at(1000));
        let forced = Ordered { subject: Scene::absent().subject(), refresh_request: Some("now".into()), forced: true };
        memory.ordered(forced, at(1000));
        let read = HeldGrant { request_hash: hand_of.into(), ..(*hand(1001)).clone() };
        memory.read_intact(crate::lifecycle::SecretVersion::default(), read, true);
        memory.granted((*hand(issue)).clone(), at(1003));
        assert_eq!((memory.handled_refresh.as_deref(), memory.ordered), (Some("now"), None));
        memory.hand.unwrap().issue
    };
    let same = hand(1000).request_hash.clone();
    assert_eq!(answered(&same, 1000), at(1001), "another operator's grant, which lives longer");
    assert_eq!(answered(&same, 1002), at(1002));
    assert_eq!(answered("another spec's", 1000), at(1000));
}

#[test]
fn what_landed_before_the_wall_clock_was_set_back_was_asked_for_no_later_for_that() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.read_intact(crate::lifecycle::SecretVersion::default(), (*hand(1000)).clone(), true);
    memory.hand = Some(hand(1010));
    // By its times it is asked for just now.
    let read = HeldGrant { issue: at(1020), ..(*hand(1000)).clone() };
    memory.read_intact(crate::lifecycle::SecretVersion::default(), read.clone(), true);
    assert_eq!(memory.hand.as_ref().unwrap().issue, at(1010), "the later one is kept, to be written");
    memory.hand = None;
    memory.read_intact(crate::lifecycle::SecretVersion::default(), read, true);
    assert_eq!(memory.hand.unwrap().issue, at(1000));
}

#[test]
fn a_refusal_after_a_recent_success_looks_passing() {
    let succeeded = |at_instant: Instant| {
        let mut memory = Memory::at_first_sight(None, at(0));
        memory.ordered(Ordered { subject: Scene::absent().subject(), refresh_request: None, forced: false }, at_instant);
        memory.granted((*hand(1000)).clone(), at_instant);
        memory
    };
    let mut memory = succeeded(at(1000).before(RECENT_SUCCESS));
    assert_eq!(failures(&mut memory, FailureClass::NotFound, 3), [1, 1, 1]);
    assert!(!memory.failure.as_ref().unwrap().slow);
    let mut memory = succeeded(at(1000).before(RECENT_SUCCESS + Duration::from_millis(1)));
    assert_eq!(failures(&mut memory, FailureClass::NotFound, 1), [2]);
    assert!(memory.failure.as_ref().unwrap().slow);
}

#[test]
fn an_answer_handles_the_refresh_that_it_was_ordered_for_and_no_other() {
    let subject = Scene::absent().subject();
    let ordered =
        |value: Option<&str>| Ordered { subject: subject.clone(), refresh_request: value.map(str::to_owned), forced: value.is_some() };
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.ordered(ordered(Some("v1")), at(1000));
    assert_eq!(memory.last_forced, Some(at(1000)));
    memory.failed(FailureClass::Unavailable, String::new(), None, at(1001), 0.0);
    assert_eq!(memory.handled_refresh.as_deref(), Some("v1"), "answered, though not well");
    memory.ordered(ordered(None), at(1005));
    memory.granted((*hand(1005)).clone(), at(1006));
    assert_eq!((memory.handled_refresh.as_deref(), memory.last_forced), (Some("v1"), Some(at(1000))));
    memory.failed(FailureClass::Unavailable, String::new(), None, at(1007), 0.0);
    assert_eq!(memory.consecutive_failures, 0, "an answer to nothing that was ordered");
}

#[test]
fn the_later_grant_stays_in_hand() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    let version = SecretVersion::new("a", "1");
    memory.hand = Some(hand(1000));
    memory.read_intact(version.clone(), (*hand(990)).clone(), true);
    assert_eq!(memory.hand.as_ref().unwrap().issue, at(1000));
    memory.read_intact(version.clone(), (*hand(1010)).clone(), true);
    assert_eq!(memory.hand.as_ref().unwrap().issue, at(1010));
    let tie = HeldGrant { grant: crate::media::Grant::from_stored("{}", None).unwrap(), issue: at(1009), ..(*hand(1010)).clone() };
    memory.read_intact(version.clone(), tie, true);
    let kept = memory.hand.as_ref().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&kept.grant.grant), "{}", "of two that claim the same, the one that stands there");
    assert_eq!(kept.issue, at(1010), "when it was asked for is known");
    memory.read_intact(version, HeldGrant { request_hash: "other".into(), ..(*hand(990)).clone() }, true);
    assert_eq!(memory.hand.as_ref().unwrap().issue, at(990), "what is in hand is for another spec");
}

#[test]
fn a_grant_that_comes_while_a_repair_is_under_way_has_not_landed_with_it() {
    let version = |number: &str| SecretVersion::new("a", number);
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.hand = Some(hand(1000));
    memory.written(version("1"), Some(&bare(hand(1000))), false, false, at(1000));
    assert_eq!(memory.landed, Some(at(1000)));
    memory.hand = Some(hand(1010));
    memory.written(version("2"), Some(&bare(hand(1000))), true, false, at(1010));
    assert_eq!((memory.landed, memory.repairs.count), (Some(at(1000)), 1));
    memory.written(version("3"), None, false, false, at(1011));
    assert_eq!((memory.landed, memory.repairs.count), (Some(at(1000)), 1), "labels carry no grant");
    memory.written(version("4"), Some(&bare(hand(1010))), false, false, at(1012));
    assert_eq!((memory.landed, memory.repairs.count), (Some(at(1010)), 1));
}

#[test]
fn a_grant_taken_over_at_a_restart_makes_a_refusal_look_passing_but_not_that_of_credentials() {
    let slow = |class, issued, hash: Option<&str>| {
        let mut memory = Memory::at_first_sight(None, at(1000));
        let subject = Scene::absent().subject();
        let request_hash = hash.map_or(subject.request_hash.clone(), Arc::from);
        memory.hand = Some(Arc::new(HeldGrant { request_hash, ..(*hand(issued)).clone() }));
        memory.ordered(Ordered { subject, refresh_request: None, forced: false }, at(1000));
        memory.failed(class, String::new(), None, at(1000), 0.0);
        memory.failure.unwrap().slow
    };
    assert!(!slow(FailureClass::NotFound, 400, None));
    assert!(slow(FailureClass::NotFound, 399, None), "more than ten minutes ago");
    assert!(slow(FailureClass::NotFound, 990, Some("another")));
    assert!(slow(FailureClass::Unauthorized, 990, None), "the key may be another by now");
    assert!(slow(FailureClass::Forbidden, 990, None));
}

#[test]
fn what_is_refused_is_tried_again_more_slowly_than_what_is_unanswered() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.told.refused(false, at(1000));
    assert_eq!(memory.told.held.unwrap().until, at(1000) + Duration::from_millis(100));
    memory.told.refused(true, at(1001));
    assert_eq!(memory.told.held.unwrap().until, at(1003));
    memory.strays_held.failed("before", true, at(1000));
    assert_eq!(memory.strays_held.of("before").unwrap().until, at(1001));
}

#[test]
fn the_api_servers_answer_may_take_longer_each_time_that_it_does_not_come() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    let limits: Vec<u64> = (0..6)
        .map(|_| {
            let limit = memory.server_limit().as_secs();
            memory.troubled(Attempt::Write, String::new(), false, false, at(1000));
            limit
        })
        .collect();
    assert_eq!(limits, [2, 4, 8, 10, 10, 10]);
}

#[test]
fn what_was_refused_says_nothing_of_how_long_an_answer_takes() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.troubled(Attempt::Write, String::new(), true, false, at(1000));
    memory.told.refused(true, at(1000));
    assert_eq!(memory.server_limit().as_secs(), 2);
    memory.told.refused(false, at(1000));
    assert_eq!(memory.server_limit().as_secs(), 8);
}

#[test]
fn an_api_server_that_takes_calls_again_is_asked_at_once() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.relieved(at(1000));
    for _ in 0..6 {
        memory.troubled(Attempt::Write, "forbidden".into(), true, false, at(1000));
        memory.told.refused(true, at(1000));
        memory.strays_held.failed("before", true, at(1000));
    }
    memory.relieved(at(1001));
    let trouble = memory.trouble.as_ref().unwrap().backoff.until;
    assert_eq!([trouble, memory.told.held.unwrap().until, memory.strays_held.of("before").unwrap().until], [at(1001); 3]);
    memory.troubled(Attempt::Write, "terminating".into(), true, true, at(1001));
    let until = memory.trouble.as_ref().unwrap().backoff.until;
    memory.relieved(at(1002));
    assert_eq!(memory.trouble.unwrap().backoff.until, until, "nothing changes for a namespace that goes");
}

#[test]
fn a_secret_that_others_change_lets_what_was_refused_be_tried_soon() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.secret_changed(at(1000));
    assert_eq!(memory.trouble, None);
    for _ in 0..6 {
        memory.troubled(Attempt::Write, "denied".into(), true, false, at(1000));
    }
    let until = |memory: &Memory| memory.trouble.as_ref().unwrap().backoff.until;
    memory.secret_changed(at(1010));
    assert_eq!(until(&memory), at(1011), "not at each change");
    memory.secret_changed(at(1010) + Duration::from_millis(500));
    assert_eq!(until(&memory), at(1011), "and no later than before");
    memory.troubled(Attempt::Write, "terminating".into(), true, true, at(1011));
    let before = until(&memory);
    memory.secret_changed(at(1012));
    assert_eq!(until(&memory), before, "nothing changes for a namespace that goes");
}

#[test]
fn what_was_refused_under_one_name_is_not_held_against_the_next() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.concerns("bad", Some(1));
    memory.troubled(Attempt::Write, "no bad names".into(), true, false, at(1000));
    memory.concerns("bad", Some(1));
    assert!(memory.trouble.is_some());
    memory.concerns("good", Some(1));
    assert_eq!(memory.trouble, None);
    memory.troubled(Attempt::Write, "terminating".into(), true, true, at(1000));
    memory.concerns("better", Some(1));
    assert!(memory.trouble.is_some(), "no name helps in a namespace that goes");
}

#[test]
fn what_was_refused_of_one_spec_is_not_held_against_the_next() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.concerns("keynote", Some(1));
    (memory.landed, memory.repairs.count) = (Some(at(1000)), 1);
    memory.troubled(Attempt::Write, "no such labels".into(), true, false, at(1000));
    memory.concerns("keynote", Some(1));
    assert!(memory.trouble.is_some());
    memory.concerns("keynote", Some(2));
    assert_eq!(memory.trouble, None);
    assert_eq!((memory.landed, memory.repairs.count), (Some(at(1000)), 1), "it is the same Secret");
    memory.troubled(Attempt::Write, "terminating".into(), true, true, at(1000));
    memory.concerns("keynote", Some(3));
    assert!(memory.trouble.is_some(), "nor does another spec");
}

#[test]
fn what_was_read_and_is_not_what_was_written_is_remembered_until_the_next_write() {
    let version = SecretVersion::new("a", "1");
    let mut memory = Memory::at_first_sight(None, at(1000));
    memory.read_intact(version.clone(), (*hand(1000)).clone(), true);
    assert_eq!((&memory.verified, &memory.damaged), (&Some(version.clone()), &None));
    memory.read_damaged(version.clone());
    assert_eq!((&memory.verified, &memory.damaged), (&None, &Some(version.clone())));
    memory.written(version.clone(), Some(&bare(hand(1000))), true, false, at(1000));
    assert_eq!((&memory.verified, &memory.damaged), (&Some(version), &None));
}

#[test]
fn the_life_of_what_landed_is_known_of_a_secret_that_says_just_that() {
    let mut memory = Memory::at_first_sight(None, at(1000));
    let claim = hand(1000).claim();
    assert_eq!(memory.known_life(&claim), None);
    memory.written(SecretVersion::default(), Some(&bare(hand(1000))), false, false, at(1000));
    assert_eq!(memory.known_life(&claim), Some(Life::of(&hand(1000))));
    for other in [
        Claim { request_hash: "another spec's".into(), ..claim.clone() },
        Claim { issue_time: hand(1001).issue_time, ..claim.clone() },
        Claim { expiry_time: hand(1001).claim().expiry_time, ..claim },
    ] {
        assert_eq!(memory.known_life(&other), None, "{other:?}");
    }
}

#[test]
fn a_token_is_signed_anew_around_a_grant_that_was_there() {
    let mut memory = Scene::fresh().memory;
    let with_token = |seconds| Contents { token: Some(token_order()), ..bare(hand(seconds)) };
    assert!(memory.signs_anew(Some(&with_token(1000))));
    assert!(!memory.signs_anew(Some(&bare(hand(1000)))) && !memory.signs_anew(None), "no token comes");
    assert!(!memory.signs_anew(Some(&with_token(1001))), "it comes with a grant of its own");
    memory.landed = None;
    assert!(!memory.signs_anew(Some(&with_token(1000))), "the grant is the first");
}

#[test]
fn the_status_that_was_written_last_is_no_news_unless_it_comes_with_another_spec() {
    let mut memory = Memory::at_first_sight(None, at(0));
    memory.concerns("lobby", Some(3));
    memory.told.seen("6", &PlaybackGrantRequestStatus::default());
    memory.told.written(PlaybackGrantRequestStatus::default(), "7".into(), at(0));
    assert!(memory.is_echo("7", Some(3)));
    assert!(!memory.is_echo("8", Some(3)) && !memory.is_echo("7", Some(4)));
}
