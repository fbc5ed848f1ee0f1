//! The door: what the API server takes of a request, what it refuses, and with which words.

mod agreement;
mod cases;
mod each_rule;
mod names;
mod refused;
mod stored;
mod table;
mod taken;

use anyhow::{Context, Result, bail};
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::{Client, Error};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_testbed::ControlPlane;
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene};
use crate::stage::eventually;

pub fn tests() -> Vec<ClusterTest> {
    [refused::tests(), taken::tests(), stored::tests(), table::tests(), agreement::tests(), each_rule::tests(), names::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// Waits until the API server goes by the shipped definition: for a moment after a change it still goes by the one before.
pub async fn closed(plane: &ControlPlane) -> Result<()> {
    let resource = ApiResource::erase::<PlaybackGrantRequest>(&());
    let door = Door {
        requests: Api::namespaced_with(plane.admin(), "default", &resource),
        client: plane.admin(),
        namespace: "default".to_owned(),
    };
    let refused = async || Ok(matches!(door.knock(&request(&json!({"ttlSeconds": 61}))).await?, Answer::Refused(_)));
    eventually("the door is closed", refused, |refused| *refused, |_| ()).await.map(drop)
}

/// The SID of a PlayerStreamer that nobody has.
const SID: &str = "VJ0123456789abcdefABCDEF0123456789";

/// Requests as plain JSON, so that a test can send what the types can't hold.
struct Door {
    requests: Api<DynamicObject>,
    client: Client,
    namespace: String,
}

/// What the API server says to an object.
enum Answer {
    Taken(Value),
    Refused(String),
}

impl Door {
    fn open(scene: &Scene) -> Self {
        let resource = ApiResource::erase::<PlaybackGrantRequest>(&());
        Self {
            requests: Api::namespaced_with(scene.admin.clone(), &scene.namespace, &resource),
            client: scene.admin.clone(),
            namespace: scene.namespace.clone(),
        }
    }

    /// Has the API server check `object` as it checks one to be stored, without storing it.
    async fn knock(&self, object: &Value) -> Result<Answer> {
        self.send(object, true).await
    }

    /// Has `object` stored.
    async fn store(&self, object: &Value) -> Result<Value> {
        match self.send(object, false).await? {
            Answer::Taken(stored) => Ok(stored),
            Answer::Refused(message) => bail!("{object} was refused: {message}"),
        }
    }

    async fn send(&self, object: &Value, dry_run: bool) -> Result<Answer> {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        match self.requests.create(&PostParams { dry_run, ..PostParams::default() }, &object).await {
            Ok(taken) => Ok(Answer::Taken(serde_json::to_value(taken)?)),
            Err(Error::Api(status)) if status.code == 422 => Ok(Answer::Refused(status.message.clone())),
            Err(error) => Err(error).context("the API server neither took the object nor said what is wrong with it"),
        }
    }

    /// The path of the requests in the namespace of the test.
    fn path(&self) -> String {
        format!("/apis/playbackgrant.dev/v1alpha1/namespaces/{}/playbackgrantrequests", self.namespace)
    }
}

/// A request named `keynote` that is well, with `changes` put into its spec; a null takes the field away.
fn request(changes: &Value) -> Value {
    named("keynote", changes)
}

fn named(name: &str, changes: &Value) -> Value {
    let mut spec = json!({"playerStreamerSid": SID, "credentialsSecretRef": {"name": "media-api"}});
    if let (Some(spec), Some(changes)) = (spec.as_object_mut(), changes.as_object()) {
        spec.extend(changes.clone());
        spec.retain(|_, value| !value.is_null());
    }
    json!({
        "apiVersion": "playbackgrant.dev/v1alpha1",
        "kind": "PlaybackGrantRequest",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// A map of `count` keys.
fn keys(count: usize) -> Value {
    (0..count).map(|n| (format!("key-{n}"), json!("value"))).collect::<serde_json::Map<_, _>>().into()
}
