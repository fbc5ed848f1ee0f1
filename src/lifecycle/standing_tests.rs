use std::time::Duration;

use super::super::testing::{Scene, at, bare, claimed, hand, identity};
use super::super::{Refreshed, SecretView, Standing};
use crate::media::Ttl;

#[test]
fn a_grant_that_comes_into_the_secret_tells_how_it_went() {
    let mut scene = Scene::absent();
    let uid = identity().uid;
    let told = |scene: &Scene, issue, now| Refreshed::by(&bare(hand(issue)), &scene.memory, &uid, &scene.spec, at(now));
    let seconds = Duration::from_secs;
    assert_eq!(told(&scene, 1000, 1002), Some(Refreshed { took: seconds(2), left: None, late: None }), "the first");
    scene = Scene::fresh();
    assert_eq!(told(&scene, 1000, 1002), None, "it is there already");
    let second = told(&scene, 1009, 1011).unwrap();
    assert_eq!((second.took, second.left), (seconds(2), Some(seconds(4))));
    // It was due when a third of its life was left, or up to 4 % of the interval earlier.
    let late = second.late.unwrap();
    assert!(late >= seconds(1) && late <= Duration::from_millis(1400), "{late:?}");
    let third = told(&scene, 1020, 1021).unwrap();
    assert_eq!(third.left, Some(Duration::ZERO), "it had expired");
    assert_eq!(third.late.unwrap(), late + seconds(10));
}

#[test]
fn what_nobody_waited_for_is_not_late() {
    let uid = identity().uid;
    let told = |scene: &Scene| Refreshed::by(&bare(hand(1020)), &scene.memory, &uid, &scene.spec, at(1021)).unwrap();
    let seconds = Duration::from_secs;
    let mut scene = Scene::fresh();
    assert!(told(&scene).late.is_some_and(|late| late > seconds(10)));
    let unasked = Refreshed { took: seconds(1), left: None, late: None };
    scene.memory.paused = true;
    assert_eq!(told(&scene), unasked, "it was suspended");
    scene = Scene::fresh();
    scene.memory.landed_life.as_mut().unwrap().0 = "another spec's".into();
    assert_eq!(told(&scene), unasked);
    // The grant in hand goes into the Secret that another spec names: it came before.
    scene = Scene::fresh();
    scene.memory.concerns("another", Some(4));
    assert_eq!(Refreshed::by(&bare(hand(1000)), &scene.memory, &uid, &scene.spec, at(1009)), None);
}

fn standing(scene: &Scene) -> Option<Standing> {
    scene.observed(Standing::of)
}

fn holds(seconds: u64) -> Standing {
    Standing::Holds { expiry: at(seconds) }
}

#[test]
fn a_grant_stands_for_as_long_as_it_lives_and_after() {
    let mut scene = Scene::fresh();
    assert_eq!(standing(&scene), Some(holds(1015)));
    scene.now = at(2000);
    assert_eq!(standing(&scene), Some(holds(1015)), "until another is there");
    // A restart has nothing but the Secret's own word.
    scene.memory.hand = None;
    scene.now = at(1003);
    assert_eq!(standing(&scene), Some(holds(1015)));
    scene.secret = SecretView::Outdated(claimed("keynote", 1000));
    assert_eq!(standing(&scene), Some(holds(1015)));
}

#[test]
fn what_is_spoilt_is_as_good_as_expired() {
    let mut scene = Scene::fresh();
    let version = scene.meta().version.clone();
    scene.memory.read_damaged(version);
    scene.now = at(1003);
    assert_eq!(standing(&scene), Some(holds(1003)));
}

/// What the Secret holds and what is in hand are two things.
#[test]
fn a_grant_that_is_not_written_yet_is_no_use_to_who_looks_at_the_secret() {
    let mut scene = Scene::fresh();
    scene.memory.hand = Some(hand(1010));
    assert_eq!(standing(&scene), Some(holds(1015)));
    scene.now = at(1016);
    assert_eq!(standing(&scene), Some(holds(1015)), "while another lives in hand");
}

/// Asks for a grant for another spec than that of the grant in the Secret, of which nothing else is known.
fn of_another_spec(issue: &str, expiry: &str) -> Scene {
    let mut scene = of_a_start(issue, expiry);
    scene.meta().annotations.set("playbackgrant.dev/request-hash", "another spec's", true);
    scene
}

/// Nothing is known but what the Secret says.
fn of_a_start(issue: &str, expiry: &str) -> Scene {
    let mut scene = Scene { secret: SecretView::Present(claimed("keynote", 1000)), ..Scene::absent() };
    scene.now = at(1003);
    for (name, time) in [("playbackgrant.dev/issue-time", issue), ("playbackgrant.dev/expiry-time", expiry)] {
        scene.meta().annotations.set(name, &format!("2026-11-24T{time}.000Z"), true);
    }
    scene
}

#[test]
fn what_the_spec_asked_for_before_expires_too() {
    let mut scene = Scene::fresh();
    scene.spec.call.ttl = Ttl::from_seconds(60).unwrap();
    assert_eq!(standing(&scene), Some(holds(1015)));
    assert_eq!(standing(&of_another_spec("11:59:50", "12:00:50")), Some(holds(1050)));
}

/// However the clock was set since: of what this process wrote it knows how long it lives.
#[test]
fn a_grant_of_the_spec_before_that_was_written_here_is_believed() {
    let mut scene = Scene::fresh();
    scene.spec.request_hash = "another spec's".into();
    scene.wall_set = -60;
    assert_eq!(standing(&scene), Some(holds(1015)));
    scene.memory.landed_life = None;
    assert_eq!(standing(&scene), Some(holds(1000)), "its word alone says that it was asked for in a minute");
}

#[test]
fn what_cannot_be_true_of_a_grant_is_not_believed() {
    assert_eq!(standing(&of_a_start("11:59:55", "12:00:10")), Some(holds(1010)), "it may be true");
    for scene in [of_a_start, of_another_spec].into_iter().flat_map(|claims| {
        // Asked for in an hour; for an hour; for longer than a byte counts; for less than nothing; for no time at all.
        let times = [
            ("13:00:00", "13:00:15"),
            ("11:59:55", "12:59:55"),
            ("11:59:55", "12:04:16"),
            ("12:00:00", "11:59:50"),
            ("12:00:00", "12:00:00"),
        ];
        times.map(|(issue, expiry)| claims(issue, expiry))
    }) {
        let annotations: Vec<_> =
            if let SecretView::Present(meta) = &scene.secret { meta.annotations.iter().collect() } else { Vec::new() };
        assert_eq!(standing(&scene), Some(holds(1003)), "{annotations:?}");
    }
    // Of the present spec it is known how long it lives.
    assert_eq!(standing(&of_a_start("11:59:55", "12:00:55")), Some(holds(1003)));
}

#[test]
fn without_a_grant_of_ours_there_is_none() {
    let absent = Some(Standing::Absent);
    assert_eq!(standing(&Scene::absent()), absent);
    let mut scene = Scene::absent();
    scene.secret = SecretView::NotLooked;
    assert_eq!(standing(&scene), absent);
    let mut scene = Scene::fresh();
    scene.meta().annotations.set("playbackgrant.dev/owned-by", "lobby/uid-7", false);
    assert_eq!(standing(&scene), absent, "another's");
    let mut scene = Scene::fresh();
    scene.meta().annotations.remove("playbackgrant.dev/expiry-time");
    assert_eq!(standing(&scene), absent, "it says of none");
    let mut scene = Scene::fresh();
    scene.invalid = true;
    assert_eq!(standing(&scene), absent);
}

#[test]
fn what_is_suspended_or_goes_is_no_ones_fault() {
    let mut scene = Scene::fresh();
    scene.spec.suspend = true;
    scene.now = at(2000);
    assert_eq!(standing(&scene), Some(Standing::Suspended));
    scene.deleting = true;
    assert_eq!(standing(&scene), None);
}
