//! Decisions from hand-made observations.

use super::super::testing::{Scene, at, backoff, claimed, conditions, failing, hand, rest, shown, step, usable};
use super::*;
use crate::api::condition::ConditionType::{Ready, RefreshFailing, Stalled};
use crate::lifecycle::{Attempt, SecretView, Subject, Trouble};
use crate::media::FailureClass;

#[test]
fn a_foreign_secret_is_a_conflict_that_is_looked_at_every_ten_seconds() {
    let mut scene = Scene::fresh();
    scene.meta().annotations.set("playbackgrant.dev/owned-by", "other/uid-9", false);
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    assert!(matches!(step(&scene), Step::Withdraw), "first the call, which would be made while the look is under way");
    scene.memory.ordered = None;
    scene.memory.looked = Some(at(990));
    assert!(matches!(step(&scene), Step::Look));
    scene.memory.looked = Some(at(1000));
    let (report, look_at) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "False", "SecretConflict"), (Stalled, "True", "SecretConflict")]));
    let message = &report.status.conditions[0].message;
    assert!(message.contains("Secret web/keynote exists and belongs to the PlaybackGrantRequest other; it is left untouched"), "{message}");
    assert!(message.contains("Choose another name in spec.secret.name"), "{message}");
    assert_eq!((look_at, report.status.secret_name), (Some(at(1010)), None));
    let not_ours = |scene: &Scene| {
        let message = rest(scene).0.status.conditions[0].message.clone();
        let parts = ["lacks the annotation playbackgrant.dev/owned-by or has another controller", "Delete it, or choose another"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    scene.meta().annotations.remove("playbackgrant.dev/owned-by");
    not_ours(&scene);
    // With our name, under another's control.
    let mut scene = Scene::fresh();
    scene.memory.looked = Some(at(1000));
    let owner = scene.meta().owners[0].clone();
    scene.meta().owners = vec![crate::lifecycle::Owner { kind: "Deployment".into(), ..owner }];
    not_ours(&scene);
}

#[test]
fn nothing_is_asked_for_that_was_just_refused() {
    let mut scene = Scene::absent();
    let backoff = backoff(at(1005), true);
    scene.memory.trouble =
        Some(Box::new(Trouble { message: "forbidden".into(), refused: true, attempt: Attempt::Write, terminating: false, backoff }));
    assert_eq!(rest(&scene).1, Some(at(1005)));
    scene.memory.trouble.as_mut().unwrap().refused = false;
    assert!(matches!(step(&scene), Step::Order { .. }), "trouble of the server's own keeps no grant from being at hand");
}

#[test]
fn a_request_that_is_being_deleted_gets_no_step_but_withdraw() {
    for mut scene in [Scene::fresh(), Scene::absent()] {
        scene.deleting = true;
        scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
        assert!(matches!(step(&scene), Step::Withdraw));
        scene.memory.ordered = None;
        assert!(matches!(scene.decide(), Decision::Rest { report: None, look_at: None }));
    }
}

#[test]
fn a_fight_is_left_after_more_and_more_time_and_then_stalls() {
    let mut scene = Scene::fresh();
    scene.meta().labels.clear();
    scene.meta().version = scene.meta().version.at("8");
    scene.memory.verified = Some(scene.meta().version.clone());
    scene.memory.own_version = None;
    assert!(matches!(step(&scene), Step::Patch { repair: true, .. }), "at once");
    for (count, wait) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60)] {
        scene.memory.repairs = crate::lifecycle::Repairs { count, last: Some(at(1000)) };
        scene.memory.hand = Some(hand(1000));
        let (report, look_at) = rest(&scene);
        let due = at(1000 + wait).min(look_at.unwrap());
        assert_eq!(look_at, Some(due), "{count}: when it is put right, or a new grant is due");
        let stalls = report.status.conditions.iter().any(|one| one.type_ == "Stalled" && one.reason == "SecretConflict");
        assert_eq!(stalls, wait == 60, "{count}");
        assert_eq!(report.status.conditions[0].status, "True", "the grant is there all the same");
    }
    scene.memory.repairs = crate::lifecycle::Repairs { count: 2, last: Some(at(998)) };
    assert!(matches!(step(&scene), Step::Patch { repair: true, .. }), "its time has come");
    scene.memory.own_version = Some(scene.meta().version.clone());
    let Step::Patch { repair: false, order, .. } = step(&scene) else { panic!("a change of the spec is no repair and waits for nothing") };
    assert!(order.contents.is_none(), "the grant is there already");
}

#[test]
fn another_operators_earlier_grant_is_written_over_and_that_is_no_repair() {
    let mut scene = Scene::fresh();
    let ours = scene.memory.hand.clone();
    scene.secret = SecretView::Present(claimed("keynote", 999));
    scene.meta().version = scene.meta().version.at("8");
    scene.memory.repairs = crate::lifecycle::Repairs { count: 40, last: Some(at(1000)) };
    assert!(matches!(step(&scene), Step::Read), "it may be a later one, or no grant at all");
    let version = scene.meta().version.clone();
    scene.memory.read_intact(version.clone(), (*hand(999)).clone(), true);
    assert_eq!(scene.memory.hand.as_ref().map(|hand| hand.issue), ours.map(|hand| hand.issue));
    let Step::Patch { repair: false, order, .. } = step(&scene) else { panic!("it waits for something") };
    assert_eq!(order.contents.map(|contents| contents.grant.issue), Some(at(1000)));
    scene.memory.read_damaged(version);
    let (report, _) = rest(&scene);
    assert_eq!(report.status.conditions[0].reason, "SecretConflict", "what is no grant is a repair, and that waits");
}

#[test]
fn a_grant_is_over_at_the_instant_of_its_expiry() {
    let mut scene = Scene::absent();
    scene.memory.hand = Some(hand(1000));
    scene.now = at(1015).before(std::time::Duration::from_nanos(1));
    assert!(matches!(step(&scene), Step::Create { .. }));
    (scene.now, scene.memory.looked) = (at(1015), Some(at(1015)));
    assert!(matches!(step(&scene), Step::Order { .. }));
}

#[test]
fn a_new_grant_waits_for_no_repair() {
    let mut scene = Scene::fresh();
    scene.meta().version = scene.meta().version.at("8");
    scene.memory.repairs = crate::lifecycle::Repairs { count: 40, last: Some(at(1000)) };
    scene.memory.verified = None;
    scene.memory.damaged = Some(scene.meta().version.clone());
    let (report, _) = rest(&scene);
    assert_eq!(report.status.conditions[0].reason, "SecretConflict");
    scene.memory.hand = Some(hand(1001));
    scene.now = at(1002);
    assert!(matches!(step(&scene), Step::Patch { repair: false, .. }));
}

#[test]
fn a_refresh_is_forced_once_per_value_and_once_in_two_seconds() {
    let mut scene = Scene::fresh();
    scene.refresh_request = Some("v1".into());
    assert!(matches!(step(&scene), Step::Order { ordered: Ordered { forced: true, .. }, .. }));
    scene.memory.last_forced = Some(at(999));
    assert_eq!(rest(&scene).1, Some(at(1001)));
    scene.memory.handled_refresh = Some("v1".into());
    assert!(rest(&scene).1 > Some(at(1002)));
}

#[test]
fn a_label_taken_off_is_looked_for_before_anything_is_made() {
    let mut scene = Scene::absent();
    scene.secret = SecretView::NotLooked;
    scene.memory.hand = Some(hand(1000));
    assert!(matches!(step(&scene), Step::Look));
    scene.secret = SecretView::Absent;
    assert!(matches!(step(&scene), Step::Create { .. }), "restored from the hand, without a call");
}

#[test]
fn after_a_restart_a_fresh_secret_is_read_once_and_nothing_is_asked_for() {
    let mut scene = Scene::fresh();
    scene.memory = Memory::at_first_sight(None, at(1000));
    assert!(matches!(step(&scene), Step::Read));
    let version = scene.meta().version.clone();
    scene.memory.read_intact(version, (*hand(1000)).clone(), true);
    let (report, _) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued")]));
}

#[test]
fn what_cannot_be_patched_is_deleted_and_made_again() {
    let mut scene = Scene::fresh();
    scene.memory.hand = Some(hand(1001));
    scene.now = at(1002);
    let version = scene.meta().version.clone();
    scene.memory.unpatchable = Some(version.clone());
    assert!(matches!(step(&scene), Step::Replace(replaced) if replaced == version));
}

#[test]
fn what_cannot_be_patched_and_is_held_by_others_is_waited_for() {
    let mut scene = Scene::fresh();
    scene.memory.hand = Some(hand(1001));
    scene.now = at(1002);
    scene.meta().deleting = true;
    assert!(matches!(step(&scene), Step::Patch { .. }), "one that can be patched is kept fresh until it goes");
    scene.memory.unpatchable = Some(scene.meta().version.clone());
    let (report, look_at) = rest(&scene);
    let reason = "SecretWriteFailed";
    assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued"), (RefreshFailing, "True", reason), (Stalled, "True", reason)]));
    assert!(report.status.conditions[2].message.contains("metadata.finalizers"));
    assert_eq!(look_at, Some(at(1015)), "the watch tells when it goes");
    scene.change();
    assert!(matches!(scene.decide(), Decision::Rest { .. }), "what others change of it doesn't make it changeable");
    scene.memory.looked = Some(at(1000));
    let labels = std::mem::take(&mut scene.meta().labels);
    assert_eq!(rest(&scene).1, Some(at(1010)), "without its label the watch tells nothing");
    scene.now = at(1010);
    assert!(matches!(step(&scene), Step::Look));
    (scene.now, scene.meta().labels) = (at(1002), labels);
    let mut spoilt = scene.memory.clone();
    spoilt.damaged = Some(scene.meta().version.at("6"));
    std::mem::swap(&mut scene.memory, &mut spoilt);
    assert_eq!(conditions(&rest(&scene).0)[0].1, "False", "what was spoilt before it was held is spoilt");
    std::mem::swap(&mut scene.memory, &mut spoilt);
    let mut expired = Scene { now: at(1020), ..scene };
    assert_eq!(rest(&expired).0.status.conditions[0].reason, reason, "nothing is asked for that can't be stored");
    expired.memory.ordered = Some(Box::new(Ordered { subject: expired.subject(), refresh_request: None, forced: false }));
    assert!(matches!(step(&expired), Step::Withdraw));
}

#[test]
fn whose_grant_has_expired_is_no_newcomer() {
    let mut scene = Scene::fresh();
    let kind = |scene: &Scene| match step(scene) {
        Step::Order { waiting, .. } => waiting.kind,
        other => panic!("{other:?}"),
    };
    scene.now = at(2000);
    assert_eq!(kind(&scene), Kind::Refresh);
    scene.memory.hand = None;
    (scene.memory.landed_life, scene.memory.verified) = (None, None);
    scene.secret = SecretView::Absent;
    scene.memory.looked = Some(at(2000));
    assert_eq!(kind(&scene), Kind::Newcomer);
}

#[test]
fn a_stray_goes_only_once_the_present_secret_holds_the_grant() {
    let mut scene = Scene::fresh();
    scene.strays = vec![claimed("before", 990)];
    assert!(matches!(step(&scene), Step::DeleteStray { name, .. } if name == "before"));
    scene.awaits_turn = true;
    rest(&scene);
    scene.awaits_turn = false;
    scene.memory.strays_held.failed("before", true, at(1000));
    assert_eq!(rest(&scene).1, Some(at(1001)), "nothing waits for it, and it is tried again");
    scene.now = at(1001);
    assert!(matches!(step(&scene), Step::DeleteStray { .. }), "its time has come");
    scene.now = at(1040);
    assert!(matches!(step(&scene), Step::Order { .. }), "what is due goes first");
    scene.now = at(1000);
    scene.secret = SecretView::Absent;
    assert!(matches!(step(&scene), Step::Create { .. }));
}

#[test]
fn a_stray_that_can_not_be_deleted_keeps_no_other_from_it() {
    let mut scene = Scene::fresh();
    scene.strays = vec![claimed("a", 990), claimed("b", 990)];
    assert!(matches!(step(&scene), Step::DeleteStray { name, .. } if name == "a"));
    scene.memory.strays_held.failed("a", true, at(1000));
    assert!(matches!(step(&scene), Step::DeleteStray { name, .. } if name == "b"));
    scene.memory.strays_held.failed("b", true, at(1000) + Duration::from_millis(500));
    assert_eq!(rest(&scene).1, Some(at(1001)));
    scene.now = at(1001);
    assert!(matches!(step(&scene), Step::DeleteStray { name, .. } if name == "a"));
}

#[test]
fn what_awaits_its_turn_asks_the_api_server_for_nothing_and_says_why() {
    let mut scene = Scene::fresh();
    scene.secret = SecretView::Absent;
    scene.memory.looked = Some(at(1000));
    assert!(step(&scene).is_write());
    scene.awaits_turn = true;
    scene.memory.held_up(|| "others hang".into(), at(1000));
    let (report, _) = rest(&scene);
    assert_eq!((&*report.status.conditions[0].reason, &*report.status.conditions[0].message), ("SecretWriteFailed", "others hang"));
    scene.awaits_turn = false;
    assert!(step(&scene).is_write(), "nothing but the turn is awaited");
    assert!([Step::Look, Step::Read, Step::ReadCredentials, Step::Withdraw].iter().all(|step| !step.is_write()), "these await none");
}

#[test]
fn a_wish_overtakes_a_call_that_is_held_back_but_only_once() {
    let mut scene = Scene::absent();
    failing(&mut scene, FailureClass::NotFound, true);
    let waits = Ordered { subject: scene.subject(), refresh_request: None, forced: false };
    scene.memory.ordered = Some(Box::new(waits.clone()));
    rest(&scene);
    scene.refresh_request = Some("v1".into());
    let Step::Order { ordered, waiting, .. } = step(&scene) else { panic!("the wish waits for the slow look") };
    assert!(ordered.forced && ordered.refresh_request.as_deref() == Some("v1"));
    assert_eq!((waiting.hold, waiting.urgent), (Hold::Nothing, true));
    scene.memory.ordered(ordered, at(1000));
    rest(&scene);
    scene.refresh_request = Some("v2".into());
    scene.now = at(1003);
    rest(&scene);
    // One that isn't held back is under way, or about to be.
    scene.memory.ordered = Some(Box::new(waits));
    scene.memory.failure = None;
    rest(&scene);
    // Others' failures hold it back too.
    scene.lane_closed = Some(FailureClass::Unauthorized);
    assert!(matches!(step(&scene), Step::Order { waiting: Waiting { urgent: true, .. }, .. }));
}

#[test]
fn a_wish_while_another_is_under_way_waits_for_its_answer() {
    let mut scene = Scene::fresh();
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: Some("v1".into()), forced: true }));
    for wish in ["v1", "v2"] {
        scene.refresh_request = Some(wish.into());
        rest(&scene);
    }
    scene.refresh_request = None;
    assert!(matches!(step(&scene), Step::Withdraw), "nobody wishes any more");
}

#[test]
fn a_secret_that_has_changed_is_looked_at_before_it_is_touched_and_covers_until_then() {
    let mut scene = Scene::fresh();
    scene.secret = SecretView::Outdated(scene.meta().clone());
    assert!(matches!(step(&scene), Step::Look));
    scene.memory.troubled(Attempt::Write, "could not look".into(), false, false, at(1000));
    let (report, _) = rest(&scene);
    assert_eq!(report.status.conditions[0].reason, "GrantIssued", "its grant lives on");
    assert!(report.status.grant.is_some() && report.status.secret_name.is_some());
}

#[test]
fn a_change_of_the_spec_since_a_refusal_is_urgent() {
    let mut scene = Scene::absent();
    failing(&mut scene, FailureClass::Unauthorized, true);
    scene.memory.ordered = None;
    let waiting = |scene: &Scene| match step(scene) {
        Step::Order { waiting, .. } => waiting,
        other => panic!("{other:?}"),
    };
    assert!(!waiting(&scene).urgent);
    scene.memory.failure.as_mut().unwrap().subject.request_hash = "another".into();
    assert_eq!((waiting(&scene).hold, waiting(&scene).urgent), (Hold::Nothing, true));
    // So is one since it began to wait behind others' failures.
    scene.memory.failure = None;
    assert!(!waiting(&scene).urgent);
    let subject = Subject { request_hash: "another".into(), ..scene.subject() };
    scene.memory.ordered = Some(Box::new(Ordered { subject, refresh_request: None, forced: false }));
    assert!(waiting(&scene).urgent);
}

#[test]
fn before_a_call_an_old_absence_is_looked_at_again() {
    let mut scene = Scene::absent();
    scene.memory.looked = Some(at(990));
    assert!(matches!(step(&scene), Step::Look));
    scene.memory.looked = Some(at(991));
    assert!(matches!(step(&scene), Step::Order { .. }));
    scene.memory.hand = Some(hand(1000));
    scene.memory.looked = Some(at(900));
    assert!(matches!(step(&scene), Step::Create { .. }), "what is made fails if there is one");
}

#[test]
fn a_refusal_holds_back_only_what_it_refused() {
    let mut scene = Scene::absent();
    failing(&mut scene, FailureClass::NotFound, true);
    scene.memory.ordered = None;
    let hold = |scene: &Scene| match step(scene) {
        Step::Order { waiting, .. } => waiting.hold,
        other => panic!("{other:?}"),
    };
    assert_eq!(hold(&scene), Hold::Own(at(1001)));
    scene.refresh_request = Some("v1".into());
    assert_eq!(hold(&scene), Hold::Nothing, "a refresh was asked for");
    scene.refresh_request = None;
    scene.credentials = usable("another");
    assert_eq!(hold(&scene), Hold::Nothing, "other credentials");
}
