//! What Flux, and whoever else goes by kstatus, makes of the statuses reported here. Its rules are written down here once more, over the object
//! as JSON, as it reads it: nothing of ours is known to it.

use serde_json::{Value, json};

use super::testing::{Scene, at, backoff, failing, hand, rest};
use super::{Attempt, CredentialsView, Ordered, Trouble};
use crate::media::FailureClass;

fn kstatus(object: &Value) -> &'static str {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating";
    }
    let observed = &object["status"]["observedGeneration"];
    if !observed.is_null() && *observed != object["metadata"]["generation"] {
        return "InProgress";
    }
    let none = Vec::new();
    let conditions = object["status"]["conditions"].as_array().unwrap_or(&none);
    for condition in conditions {
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Reconciling"), Some("True")) => return "InProgress",
            (Some("Stalled"), Some("True")) => return "Failed",
            _ => {}
        }
    }
    match conditions.iter().find(|condition| condition["type"] == "Ready").map(|ready| ready["status"] == "True") {
        Some(false) => "InProgress",
        Some(true) | None => "Current",
    }
}

/// The request as the API server shows it, of generation 3, with the status that is reported of the scene.
fn object(scene: &Scene) -> Value {
    json!({"metadata": {"name": "keynote", "generation": 3}, "status": rest(scene).0.status})
}

fn waiting(mut scene: Scene) -> Scene {
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    scene
}

fn failed(mut scene: Scene, class: FailureClass, slow: bool) -> Scene {
    failing(&mut scene, class, slow);
    scene
}

/// A grant is in hand, and couldn't be written.
fn troubled(refused: bool) -> Scene {
    let mut scene = Scene::absent();
    scene.memory.hand = Some(hand(1000));
    let trouble = Trouble {
        message: "exceeded quota".into(),
        refused,
        attempt: Attempt::Write,
        terminating: false,
        backoff: backoff(at(1005), refused),
    };
    scene.memory.trouble = Some(Box::new(trouble));
    scene
}

#[test]
fn kstatus_waits_for_what_is_worked_at_and_gives_up_on_what_needs_help() {
    let suspended = |seconds| {
        let mut scene = Scene { now: at(seconds), ..Scene::fresh() };
        scene.spec.suspend = true;
        scene
    };
    let mut conflict = Scene::fresh();
    conflict.meta().annotations.set("playbackgrant.dev/owned-by", "other/uid-9", false);
    let shown = |scene: &Scene, wanted: &str, what: &str| {
        let object = object(scene);
        assert_eq!(kstatus(&object), wanted, "{what}: {}", object["status"]);
    };
    shown(&Scene::fresh(), "Current", "a fresh grant");
    shown(&waiting(Scene::absent()), "InProgress", "the first is being issued");
    shown(&waiting(Scene { now: at(1020), ..Scene::fresh() }), "InProgress", "one that was missed");
    shown(&failed(Scene::absent(), FailureClass::Unavailable, false), "InProgress", "no answer");
    shown(
        &failed(Scene { now: at(1011), ..Scene::fresh() }, FailureClass::Unavailable, false),
        "InProgress",
        "no answer under a live grant",
    );
    shown(&failed(Scene::absent(), FailureClass::Throttled { retry_after: None }, false), "InProgress", "throttled");
    shown(&failed(Scene::absent(), FailureClass::InvalidResponse, true), "InProgress", "an answer that makes no sense");
    shown(&failed(Scene::absent(), FailureClass::Unauthorized, false), "InProgress", "refused credentials, a while");
    shown(&failed(Scene::absent(), FailureClass::Unauthorized, true), "Failed", "refused credentials");
    shown(&failed(Scene { now: at(1011), ..Scene::fresh() }, FailureClass::Unauthorized, true), "Failed", "refused under a live grant");
    shown(&failed(Scene::absent(), FailureClass::NotFound, true), "Failed", "no such streamer");
    shown(&failed(Scene::absent(), FailureClass::Rejected, true), "Failed", "a refused request");
    shown(&Scene { credentials: CredentialsView::NotFound, ..Scene::absent() }, "Failed", "no credentials");
    shown(
        &Scene { credentials: CredentialsView::Invalid("apiKeySecret is missing".into()), ..Scene::absent() },
        "Failed",
        "malformed ones",
    );
    shown(&troubled(false), "InProgress", "an API server in trouble");
    shown(&troubled(true), "Failed", "one that refuses");
    shown(&conflict, "Failed", "a Secret that is another's");
    shown(&Scene { invalid: true, ..Scene::absent() }, "Failed", "an invalid spec");
    shown(&suspended(1000), "Current", "suspended under a live grant");
    shown(&suspended(1020), "InProgress", "suspended for longer");
}

#[test]
fn kstatus_waits_until_a_change_has_been_seen_and_until_a_request_is_gone() {
    let mut changed = object(&Scene::fresh());
    changed["metadata"]["generation"] = json!(4);
    assert_eq!(kstatus(&changed), "InProgress");
    changed["metadata"]["deletionTimestamp"] = json!("2026-11-24T12:00:00Z");
    assert_eq!(kstatus(&changed), "Terminating");
}
