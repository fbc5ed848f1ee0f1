//! What is stored is changed only on the ways that are meant for it.

use anyhow::{Context, Result, ensure};
use kube::api::{Api, Patch, PatchParams};
use playback_grant_operator::api::PlaybackGrantRequest;
use serde_json::{Value, json};

use super::{Door, SID, named, request};
use crate::harness::{ClusterTest, Scene, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("door::a_status_is_set_on_its_own_way_alone", a_status_is_set_on_its_own_way_alone),
        test("door::conditions_are_merged_by_type", conditions_are_merged_by_type),
        test("door::a_spec_is_checked_when_it_changes_too", a_spec_is_checked_when_it_changes_too),
    ]
}

async fn a_status_is_set_on_its_own_way_alone(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let mut object = request(&json!({}));
    object["status"] = json!({"secretName": "invented"});
    let stored = door.store(&object).await?;
    ensure!(stored.get("status").is_none(), "a status was created: {stored}");

    let patch = Patch::Merge(json!({"status": {"secretName": "invented"}, "spec": {"suspend": true}}));
    let patched = serde_json::to_value(door.requests.patch("keynote", &PatchParams::default(), &patch).await?)?;
    ensure!(patched.get("status").is_none() && patched["spec"]["suspend"] == true, "a status was patched: {patched}");
    ensure!(patched["metadata"]["generation"] == 2, "a change of the spec is generation {}", patched["metadata"]["generation"]);

    let patched = serde_json::to_value(door.requests.patch_status("keynote", &PatchParams::default(), &patch).await?)?;
    ensure!(patched["status"] == json!({"secretName": "invented"}), "the status is {}", patched["status"]);
    ensure!(patched["metadata"]["generation"] == 2, "a status made a generation");
    let negative = Patch::Merge(json!({"status": {"consecutiveFailures": -1}}));
    ensure!(door.requests.patch_status("keynote", &PatchParams::default(), &negative).await.is_err(), "a negative count was taken");
    Ok(())
}

async fn conditions_are_merged_by_type(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    door.store(&request(&json!({}))).await?;
    let mut patched = Value::Null;
    for (manager, kind, status) in [("one", "Ready", "False"), ("two", "Stalled", "True"), ("one", "Ready", "True")] {
        let condition = json!({
            "type": kind, "status": status, "reason": "Tested", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let status = json!({
            "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "status": {"conditions": [condition]},
        });
        let params = PatchParams::apply(manager).force();
        patched = serde_json::to_value(door.requests.patch_status("keynote", &params, &Patch::Apply(status)).await?)?;
    }
    let conditions = patched["status"]["conditions"].as_array().context("no conditions")?;
    let shown: Vec<_> = conditions.iter().map(|condition| (condition["type"].as_str(), condition["status"].as_str())).collect();
    ensure!(shown == [(Some("Ready"), Some("True")), (Some("Stalled"), Some("True"))], "the conditions are {shown:?}");
    Ok(())
}

async fn a_spec_is_checked_when_it_changes_too(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    door.store(&named("lobby", &json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 40}))).await?;
    let shorter = Patch::Merge(json!({"spec": {"ttlSeconds": 20}}));
    let refused = door.requests.patch("lobby", &PatchParams::default(), &shorter).await;
    let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(message.contains("spec.refreshBeforeExpirySeconds: "), "a TTL that its window doesn't fit got {message:?}");

    let typed: Api<PlaybackGrantRequest> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let read = typed.get("lobby").await?;
    ensure!(read.spec.player_streamer_sid == SID && read.spec.ttl_seconds == 60, "read as {:?}", read.spec);
    Ok(())
}
