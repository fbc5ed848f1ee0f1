//! When a status is written, and what it says of times.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::testing::{Scene, at, backoff, bare, claimed, conditions, failing, hand, rest, shown};
use super::*;
use crate::api::condition::ConditionType::Ready;
use crate::lifecycle::SecretView;
use crate::media::FailureClass;

#[test]
fn what_changes_by_itself_is_written_every_thirty_seconds_and_a_transition_at_once() {
    let mut scene = Scene::fresh();
    let (report, _) = rest(&scene);
    assert_eq!(report.write_at, Some(at(1000)));
    scene.memory.told.written(report.status, "2".into(), at(1000));
    assert_eq!(rest(&scene).0.write_at, None);
    scene.memory.told.unclear = true;
    assert_eq!(rest(&scene).0.write_at, Some(at(1000)), "it may not be what stands there");
    scene.memory.told.unclear = false;
    scene.memory.consecutive_failures = 7;
    assert_eq!(rest(&scene).0.write_at, Some(at(1030)), "a count");
    scene.memory.told.seen("3", &PlaybackGrantRequestStatus::default());
    assert_eq!(rest(&scene).0.write_at, Some(at(1001)), "another says something else");
    scene.memory.told.held = Some(backoff(at(1040), false));
    assert_eq!(rest(&scene).0.write_at, Some(at(1040)), "the API server didn't take the last");
    scene.memory.told.held = None;
    scene.spec.suspend = true;
    scene.now = at(1015);
    assert_eq!(rest(&scene).0.write_at, Some(at(1015)), "a transition");
}

#[test]
fn a_coarse_status_leaves_out_what_each_refresh_changes() {
    let mut scene = Scene::fresh();
    let seconds = Duration::from_secs;
    for (interval, says) in [(0, true), (10, true), (11, false), (3600, false)] {
        scene.status_interval = seconds(interval);
        let (report, look_at) = rest(&scene);
        assert_eq!((report.status.grant.is_some(), report.status.next_refresh_time.is_some()), (says, says), "{interval} s");
        assert!(look_at.is_some() && report.status.secret_name.is_some());
        assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued")]));
    }
    let (report, _) = rest(&scene);
    scene.memory.told.written(report.status, "2".into(), at(1000));
    // The next grant is none of its affair, and a failure is.
    let version = scene.meta().version.clone();
    scene.secret = SecretView::Present(claimed("keynote", 1010));
    scene.memory.hand = Some(hand(1010));
    scene.memory.written(version, Some(&bare(hand(1010))), false, false, at(1010));
    scene.now = at(1011);
    assert_eq!(rest(&scene).0.write_at, None, "nothing has changed");
    scene.now = at(1021);
    failing(&mut scene, FailureClass::Unavailable, false);
    assert_eq!(rest(&scene).0.write_at, Some(at(1021)));
}

#[test]
fn the_transition_time_moves_with_the_status_and_not_with_the_reason() {
    let mut scene = Scene::absent();
    failing(&mut scene, FailureClass::Unavailable, false);
    let (first, _) = rest(&scene);
    scene.memory.told.written(first.status.clone(), "2".into(), at(1000));
    scene.now = at(1005);
    failing(&mut scene, FailureClass::NotFound, true);
    let (second, _) = rest(&scene);
    let times = |report: &Report| -> BTreeMap<String, String> {
        report.status.conditions.iter().map(|one| (one.type_.clone(), one.last_transition_time.0.to_string())).collect()
    };
    assert_eq!(times(&first)["Ready"], times(&second)["Ready"]);
    assert_eq!(times(&first)["RefreshFailing"], times(&second)["RefreshFailing"]);
    assert_ne!(times(&first)["Reconciling"], times(&second)["Stalled"]);
}
