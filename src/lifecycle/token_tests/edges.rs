//! Where others have a hand in it: spoilt tokens, other writers, admission, expired grants.

use super::super::super::testing::{Scene, at, conditions, failing, hand, rest, step, usable};
use super::{ACCOUNT, Change, rests, served, signing, wanting, write};
use crate::lifecycle::{CredentialsView, Decision, Step};
use crate::media::FailureClass;

#[test]
fn a_spoilt_token_stays_spoilt_after_a_write_of_labels_alone() {
    let mut scene = served();
    let version = scene.meta().version.clone();
    scene.memory.read_intact(version.clone(), (*hand(1000)).clone(), false);
    scene.memory.written(version.clone(), None, false, false, at(1000));
    assert_eq!(scene.memory.damaged_token, Some(version));
    assert!(write(&mut scene).unwrap().token.is_some());
    assert_eq!(scene.memory.damaged_token, None);
}

#[test]
fn a_spoilt_token_is_no_better_for_want_of_a_key() {
    let mut scene = served();
    let version = scene.meta().version.clone();
    scene.memory.read_intact(version, (*hand(1000)).clone(), false);
    scene.credentials = CredentialsView::NotRead;
    assert!(matches!(step(&scene), Step::ReadCredentials));
    scene.credentials = CredentialsView::NotFound;
    assert_eq!(write(&mut scene).unwrap().token, None, "none, rather than one with another grant in it");
    assert!(matches!(scene.decide(), Decision::Rest { .. }));
}

#[test]
fn a_token_that_is_asked_for_no_more_goes_though_its_grant_has_expired() {
    let mut scene = served();
    scene.now = at(1016);
    failing(&mut scene, FailureClass::NotFound, true);
    assert!(matches!(scene.decide(), Decision::Rest { .. }), "while it is asked for, it stays with its grant");
    scene.spec.access_token = None;
    let mut lost = Scene { memory: scene.memory.clone(), secret: scene.secret.clone(), spec: scene.spec.clone(), ..Scene::absent() };
    (lost.now, lost.memory.damaged) = (scene.now, Some(lost.meta().version.clone()));
    assert!(!matches!(lost.decide(), Decision::Step(Step::Patch { .. })), "what is of no use is replaced as a whole");
    let order = match step(&scene) {
        Step::Patch { order, repair: false, .. } => order,
        other => panic!("{other:?}"),
    };
    assert!(order.drops_token && order.contents.is_none() && order.annotations["playbackgrant.dev/token-hash"].is_none());
    // Where others have put it back again and again, it is left at that for a while.
    scene.memory.repairs = crate::lifecycle::Repairs { count: 3, last: Some(scene.now) };
    let next = scene.memory.repairs.next().unwrap();
    assert_eq!(rest(&scene).1, Some(next));
    scene.now = next;
    write(&mut scene);
    assert!(matches!(scene.decide(), Decision::Rest { .. }));
}

#[test]
fn a_new_key_is_no_repair_whoever_has_touched_the_secret() {
    let mut scene = served();
    touched(&mut scene);
    rests(&scene);
    scene.credentials = signing("another", Some(ACCOUNT));
    assert!(matches!(step(&scene), Step::Patch { repair: false, .. }));
    // The token that has been there before is.
    scene.credentials = signing("secret", Some(ACCOUNT));
    scene.meta().annotations.set("playbackgrant.dev/token-hash", "another", false);
    assert!(matches!(step(&scene), Step::Patch { repair: true, .. }));
    scene.spec.access_token = None;
    assert!(matches!(step(&scene), Step::Patch { repair: false, .. }));
}

/// Others have annotated the Secret, and it was read and found well.
fn touched(scene: &mut Scene) {
    scene.meta().annotations.set("others", "x", false);
    scene.change();
    let version = scene.meta().version.clone();
    scene.memory.read_intact(version, (*hand(1000)).clone(), true);
}

/// What an admission webhook takes away or changes on the way of each write.
#[test]
fn what_is_undone_at_each_write_is_tried_again_after_longer_and_longer() {
    let undoings: [(&str, Change); 3] = [
        ("token-hash", |scene| scene.meta().annotations.remove("playbackgrant.dev/token-hash")),
        ("issue-time", |scene| scene.meta().annotations.remove("playbackgrant.dev/issue-time")),
        ("a label", |scene| scene.meta().labels.set("tier", "policy", false)),
    ];
    for (what, undo) in undoings {
        let mut scene = served();
        undo(&mut scene);
        let mut writes = 0;
        while let Decision::Step(Step::Patch { repair, order, .. }) = scene.decide() {
            scene.change();
            undo(&mut scene);
            let (meta, now) = (scene.meta().clone(), scene.now);
            assert!(!order.is_fulfilled_by(&meta), "{what}");
            scene.memory.written(meta.version, order.contents.as_ref(), repair, true, now);
            writes += 1;
            assert!(writes <= 2, "{what}: {writes} writes in one instant");
        }
        let waits = scene.memory.repairs.next().unwrap().since(scene.now);
        assert!(waits >= std::time::Duration::from_secs(1), "{what}: {waits:?}");
    }
}

#[test]
fn a_failing_refresh_hides_no_missing_token() {
    let mut scene = wanting();
    scene.credentials = usable("media-api");
    scene.now = at(1012);
    failing(&mut scene, FailureClass::Unavailable, false);
    let (report, _) = rest(&scene);
    assert_eq!(report.status.conditions[0].message, "Secret web/keynote holds an unexpired grant, but no Access Token");
    assert!(conditions(&report).contains(&("RefreshFailing".into(), "True".into(), "MediaApiUnavailable".into())));
}

#[test]
fn a_token_that_has_lost_its_hash_goes_when_none_is_to_be_there() {
    for is_wanted in [false, true] {
        let mut scene = served();
        scene.meta().annotations.remove("playbackgrant.dev/token-hash");
        let version = scene.meta().version.clone();
        scene.memory.read_intact(version, (*hand(1000)).clone(), false);
        if is_wanted {
            scene.credentials = usable("media-api");
        } else {
            scene.spec.access_token = None;
        }
        assert_eq!(write(&mut scene).unwrap().token, None, "wanted: {is_wanted}");
        assert!(matches!(scene.decide(), Decision::Rest { .. }));
    }
}

#[test]
fn the_status_tells_of_the_token_beside_the_grant() {
    let told = |change: &dyn Fn(&mut Scene)| {
        let mut scene = served();
        change(&mut scene);
        let message = rest(&scene).0.status.conditions[0].message.clone();
        message.strip_prefix("Secret web/keynote holds an unexpired grant").unwrap().to_owned()
    };
    assert_eq!(told(&|_| ()), ", and an Access Token that carries it");
    // Where nothing is written, what is there is told.
    assert_eq!(
        told(&|scene| {
            scene.spec.suspend = true;
            scene.credentials = signing("another", Some(ACCOUNT));
        }),
        ", but another Access Token than is asked for; refreshing is suspended"
    );
    assert_eq!(
        told(&|scene| {
            scene.spec.suspend = true;
            scene.spec.access_token = None;
        }),
        "; refreshing is suspended"
    );
    assert_eq!(
        told(&|scene| {
            scene.spec.suspend = true;
            scene.memory.damaged_token = Some(scene.meta().version.clone());
        }),
        ", but its Access Token was spoilt by others; refreshing is suspended"
    );
    assert_eq!(
        told(&|scene| {
            scene.credentials = CredentialsView::NotFound;
            scene.meta().annotations.remove("playbackgrant.dev/token-hash");
        }),
        ", but no Access Token"
    );
}

#[test]
fn a_token_that_is_spoilt_again_and_again_is_told_of_while_it_is_left_at_that() {
    let mut scene = served();
    touched(&mut scene);
    let version = scene.meta().version.clone();
    scene.memory.read_intact(version, (*hand(1000)).clone(), false);
    assert!(matches!(step(&scene), Step::Patch { repair: true, .. }));
    let repairs = crate::lifecycle::Repairs { count: 3, last: Some(scene.now) };
    scene.memory.repairs = repairs;
    let (report, look_at) = rest(&scene);
    let ready = ("Ready".into(), "True".into(), "GrantIssued".into());
    assert_eq!(conditions(&report), [ready, ("Reconciling".into(), "True".into(), "SecretConflict".into())]);
    assert!(report.status.conditions[0].message.ends_with(", but its Access Token was spoilt by others"));
    assert_eq!(look_at, repairs.next());
}
