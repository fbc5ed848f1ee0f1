//! Decisions while others change the Secret, or delete it.

use std::time::Duration;

use super::super::testing::{Scene, at, conditions, hand, rest, shown, step};
use super::*;
use crate::api::condition::ConditionType::{Ready, Reconciling, Stalled};
use crate::lifecycle::{Repairs, Restores};

/// A Secret that has held the grant, and that others have deleted so often.
fn deleted(times: u32) -> Scene {
    let mut scene = Scene::absent();
    scene.memory.concerns("keynote", Some(1));
    scene.memory.hand = Some(hand(1000));
    scene.memory.landed = Some(at(1000));
    for _ in 0..times {
        scene.memory.restored(scene.now);
    }
    scene
}

fn message(scene: &Scene) -> String {
    rest(scene).0.status.conditions[0].message.clone()
}

#[test]
fn one_that_is_deleted_again_and_again_is_made_again_less_and_less_often() {
    for times in 0..3 {
        assert!(matches!(step(&deleted(times)), Step::Create { restore: true, .. }), "the third comes at once, too");
    }
    let mut scene = deleted(3);
    let (report, look_at) = rest(&scene);
    assert_eq!(look_at, Some(scene.now + Duration::from_secs(1)));
    assert_eq!(conditions(&report), shown(&[(Ready, "False", "SecretConflict"), (Reconciling, "True", "SecretConflict")]));
    assert!(message(&scene).contains("Secret web/keynote is deleted by others again and again; the operator makes it again"));
    scene.now = look_at.unwrap();
    assert!(matches!(step(&scene), Step::Create { restore: true, .. }), "its time has come");
    // A new grant waits for nothing.
    let mut scene = deleted(10);
    scene.memory.landed = Some(at(990));
    assert!(matches!(step(&scene), Step::Create { restore: false, .. }));
}

#[test]
fn another_name_inherits_no_fight() {
    let mut scene = deleted(10);
    scene.memory.repairs = Repairs { count: 10, last: Some(scene.now) };
    scene.memory.concerns("keynote", Some(1));
    assert!(message(&scene).contains("is deleted by others"), "it is the same");
    // The advice that the message gives is followed.
    scene.memory.concerns("another", Some(1));
    assert!(matches!(step(&scene), Step::Create { restore: false, .. }));
    assert_eq!((scene.memory.repairs, scene.memory.restores), (Repairs::default(), Restores::default()));
    assert!(scene.memory.hand.is_some(), "the grant is any Secret's");
}

#[test]
fn one_that_is_made_immutable_again_and_again_stays_until_another_may_be_made() {
    let mut scene = Scene::fresh();
    scene.meta().labels.clear();
    scene.memory.unpatchable = Some(scene.meta().version.clone());
    assert!(matches!(step(&scene), Step::Replace(_)));
    for _ in 0..3 {
        scene.memory.restored(scene.now);
    }
    let (report, look_at) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued"), (Reconciling, "True", "SecretConflict")]));
    assert!(report.status.conditions[1].message.contains("is changed by others"));
    scene.now = look_at.unwrap();
    assert!(matches!(step(&scene), Step::Replace(_)), "and then it is made at once, too");
    assert!(scene.memory.restores.next().is_none_or(|next| next <= scene.now));
}

#[test]
fn a_label_that_waits_to_be_put_right_is_not_told_while_nothing_is_missed() {
    let mut scene = Scene::fresh();
    scene.meta().labels.clear();
    scene.meta().version = scene.meta().version.at("8");
    scene.memory.verified = Some(scene.meta().version.clone());
    scene.memory.repairs = Repairs { count: 1, last: Some(scene.now) };
    let (report, look_at) = rest(&scene);
    assert_eq!((conditions(&report), look_at), (shown(&[(Ready, "True", "GrantIssued")]), Some(scene.now + Duration::from_secs(1))));
    scene.memory.repairs = Repairs::default();
    assert!(matches!(step(&scene), Step::Patch { repair: true, .. }), "it would be put right at once otherwise");
}

#[test]
fn a_fight_is_told_until_it_is_long_ago() {
    let mut scene = Scene::fresh();
    for _ in 0..10 {
        scene.memory.restored(scene.now);
    }
    let (report, _) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued"), (Stalled, "True", "SecretConflict")]));
    assert!(report.status.conditions[1].message.contains("is deleted by others"));
    // Now it is being changed, which goes before what was.
    scene.memory.verified = None;
    scene.meta().version = scene.meta().version.at("8");
    scene.memory.damaged = Some(scene.meta().version.clone());
    scene.memory.repairs = Repairs { count: 3, last: Some(scene.now) };
    let (report, _) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "False", "SecretConflict"), (Stalled, "True", "SecretConflict")]));
    assert!(report.status.conditions[0].message.contains("is changed by others"));
    scene.now = scene.now + Repairs::FORGOTTEN_AFTER;
    assert!(!scene.memory.restores.is_fight(scene.now));
}

#[test]
fn a_fight_is_looked_at_again_when_it_is_forgotten() {
    let (a_while_ago, soon) = (at(1000).before(Duration::from_secs(119)), Some(at(1001)));
    let mut scene = Scene::fresh();
    assert!(rest(&scene).1 > soon);
    scene.memory.repairs = Repairs { count: 10, last: Some(a_while_ago) };
    assert_eq!(rest(&scene).1, soon);
    scene.memory.repairs = Repairs::default();
    scene.memory.restored(a_while_ago);
    assert_eq!(rest(&scene).1, soon);
    // What is now is decided now.
    scene.now = at(1001);
    assert!(rest(&scene).1 > soon);
}
