//! What holds the next call back, and what doesn't.

use super::testing::{Scene, at, failing, rest, step};
use super::{Decision, Ordered, Step};
use crate::media::FailureClass;
use crate::media::lane::Hold;

#[test]
fn a_hold_that_has_just_ended_is_none() {
    let mut scene = Scene::absent();
    failing(&mut scene, FailureClass::NotFound, true);
    let until = scene.memory.failure.as_ref().unwrap().hold.until().unwrap();
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    scene.refresh_request = Some("v1".into());
    scene.now = until;
    let (_, look_at) = rest(&scene);
    assert!(look_at.is_none_or(|look_at| look_at > until), "it would look again and again: {look_at:?}");
}

#[test]
fn who_has_changed_the_spec_waits_for_no_look_of_before() {
    let mut scene = Scene::absent();
    scene.memory.concerns("keynote", Some(1));
    failing(&mut scene, FailureClass::NotFound, true);
    let called = |scene: &Scene| match step(scene) {
        Step::Order { ordered, waiting, .. } => (ordered, waiting.hold, waiting.urgent),
        other => panic!("{other:?}"),
    };
    scene.memory.ordered = None;
    let (waiting, hold, urgent) = called(&scene);
    assert_eq!((hold, urgent), (Hold::Own(at(1001)), false));
    // It waits for that look, or is just about to.
    for waits in [true, false] {
        scene.memory.ordered = waits.then(|| Box::new(waiting.clone()));
        scene.memory.failure.as_mut().unwrap().hold = Hold::Own(at(1001));
        scene.memory.concerns("keynote", Some(2 + i64::from(waits)));
        let (ordered, hold, urgent) = called(&scene);
        assert_eq!((hold, urgent), (Hold::Nothing, true), "it waits: {waits}");
        scene.memory.ordered(ordered, scene.now);
        scene.lane_closed = Some(FailureClass::NotFound);
        assert!(matches!(scene.decide(), Decision::Rest { .. }), "once");
        scene.lane_closed = None;
    }
}

#[test]
fn who_has_changed_the_spec_may_still_force_a_call_that_is_held() {
    let mut scene = Scene::absent();
    scene.memory.concerns("keynote", Some(1));
    failing(&mut scene, FailureClass::NotFound, true);
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    scene.memory.concerns("keynote", Some(2));
    scene.refresh_request = Some("v1".into());
    assert!(matches!(step(&scene), Step::Order { ordered, .. } if ordered.forced));
}
