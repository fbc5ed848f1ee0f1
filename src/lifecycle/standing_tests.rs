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

#[test]
fn what_the_spec_asked_for_before_expires_too() {
    let mut scene = Scene::fresh();
    scene.spec.call.ttl = Ttl::from_seconds(60).unwrap();
    assert_eq!(standing(&scene), Some(holds(1015)));
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
