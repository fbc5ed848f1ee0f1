//! Requests that were stored through a laxer schema: they are told, and stop nobody else.

use anyhow::{Context, Result, ensure};
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_testbed::ControlPlane;
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, in_project, test};
use crate::stage::{Stage, conditions, ensure_names};

pub fn tests() -> Vec<ClusterTest> {
    vec![test("malformed::what_was_stored_before_it_could_be_checked_is_told", what_was_stored_before_it_could_be_checked_is_told)]
}

/// Where they are stored, before any test starts.
const NAMESPACE: &str = "stored-before";

const SID: &str = "VJ00000000000000000000000000000001";

/// What can be read but breaks a rule: the change to a good spec, and what the status tells of it.
fn invalid() -> [(&'static str, Value, &'static [&'static str]); 6] {
    [
        ("no-streamer", json!({"playerStreamerSid": "VJ1"}), &["spec.playerStreamerSid: must be a PlayerStreamer's SID"]),
        ("too-long", json!({"ttlSeconds": 3600}), &["spec.ttlSeconds: must be 1 to 60 seconds"]),
        ("too-early", json!({"refreshBeforeExpirySeconds": 14}), &["spec.refreshBeforeExpirySeconds: must be 1 up to three quarters"]),
        ("star", json!({"accessControlAllowOrigin": "*"}), &["spec.accessControlAllowOrigin: * is not an origin: leave the field out"]),
        ("policy", json!({"secret": {"deletionPolicy": "Keep"}}), &["spec.secret.deletionPolicy: must be Delete or Retain"]),
        (
            "two",
            json!({"ttlSeconds": 0, "secret": {"labels": {"a b": "c"}}}),
            &["spec.ttlSeconds: ", "spec.secret.labels: \"a b\" is no label key"],
        ),
    ]
}

/// What breaks a rule that the API server applies to the whole object, and so to a write of its status too: the log tells, in the server's
/// words.
fn without_a_status() -> [(&'static str, Value, &'static str); 2] {
    [
        ("no-credentials", json!({"credentialsSecretRef": {}}), "no such key: name"),
        ("overwrites", json!({"secret": {"name": "media-api"}}), "must not be the credentials Secret"),
    ]
}

/// What can't even be read.
fn unreadable() -> [(&'static str, Value); 3] {
    [
        ("text-for-a-number", json!({"ttlSeconds": "sixty"})),
        ("text-for-an-object", json!({"secret": "mine"})),
        ("number-for-a-flag", json!({"suspend": 1})),
    ]
}

/// Stores all of them through a definition without any rule, in the place of the shipped one, which is installed after.
pub async fn store(plane: &ControlPlane) -> Result<()> {
    let shipped = std::fs::read_to_string(in_project("crds/playbackgrantrequests.yaml"))?;
    let mut definition: Value = serde_yaml_ng::from_str(&shipped)?;
    let anything = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    *definition.pointer_mut("/spec/versions/0/schema").context("no schema")? = anything;
    plane.apply(&serde_yaml_ng::to_string(&definition)?, "default").await?;
    plane.create_namespace_named(NAMESPACE).await?;
    let resource = ApiResource::erase::<PlaybackGrantRequest>(&());
    let requests: Api<DynamicObject> = Api::namespaced_with(plane.admin(), NAMESPACE, &resource);
    let invalid = invalid().map(|(name, changes, _)| (name, changes));
    let without_a_status = without_a_status().map(|(name, changes, _)| (name, changes));
    for (name, changes) in invalid.into_iter().chain(without_a_status).chain(unreadable()) {
        let mut spec = json!({"playerStreamerSid": SID, "ttlSeconds": 15, "credentialsSecretRef": {"name": "media-api"}});
        if let (Some(spec), Some(changes)) = (spec.as_object_mut(), changes.as_object()) {
            spec.extend(changes.clone());
        }
        let object = serde_json::from_value(json!({
            "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "metadata": {"name": name}, "spec": spec,
        }))?;
        requests.create(&PostParams::default(), &object).await.with_context(|| format!("storing {name}"))?;
    }
    Ok(())
}

async fn what_was_stored_before_it_could_be_checked_is_told(scene: Scene) -> Result<()> {
    let stage = Stage::set(&Scene { namespace: NAMESPACE.to_owned(), ..scene }).await?;
    let operator = stage.operator().await?;
    // Another that is well, made after all the malformed ones.
    stage.ready_request("well", 2, &json!({})).await?;
    for (name, _, words) in invalid() {
        let told = ["Ready=False InvalidSpec", "Stalled=True InvalidSpec"];
        // Not by name and type: a list with an object that can't be read fails whole.
        let resource = ApiResource::erase::<PlaybackGrantRequest>(&());
        let requests: Api<DynamicObject> = Api::namespaced_with(stage.admin.clone(), NAMESPACE, &resource);
        let request = async || Ok(serde_json::from_value::<PlaybackGrantRequest>(serde_json::to_value(requests.get(name).await?)?)?);
        let request = crate::stage::eventually(name, request, |request| conditions(request) == told, conditions).await?;
        ensure_names(&request, "Ready", words)?;
        ensure_names(&request, "Stalled", words)?;
    }
    let warnings = without_a_status()
        .map(|(name, _, words)| (name, words))
        .into_iter()
        .chain(unreadable().map(|(name, _)| (name, "can't be decoded")));
    for (name, words) in warnings {
        let log = async || operator.log();
        let is_told = |log: &String| {
            log.lines().any(|line| line.contains(" WARN ") && line.contains(&format!("request=\"{name}\"")) && line.contains(words))
        };
        crate::stage::eventually(&format!("the log warns of {name}"), log, is_told, |_| ()).await?;
    }
    ensure!(stage.calls(1) == 0, "the Media API was called for an invalid spec");
    // Mended, it is served.
    stage.change("too-long", &json!({"ttlSeconds": 60})).await?;
    stage.ready("too-long").await.map(drop)
}
