//! What the API server takes as a name works to the end: the Secret is made, refreshed, and goes.

use anyhow::{Result, ensure};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::api::names::annotation::{OWNED_BY, REFRESH_REQUESTED_AT};
use serde_json::{Value, json};

use super::{Answer, Door, keys, named};
use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{Stage, api_key, data, eventually, sid, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("door::whatever_is_taken_as_a_name_works", whatever_is_taken_as_a_name_works),
        test("door::whatever_is_taken_as_a_namespace_works", whatever_is_taken_as_a_namespace_works),
        test("door::as_many_labels_and_annotations_as_are_taken_work", as_many_labels_and_annotations_as_are_taken_work),
        test("door::the_credentials_own_name_is_never_the_grants", the_credentials_own_name_is_never_the_grants),
    ]
}

fn long(credentials: &str) -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1, "credentialsSecretRef": {"name": credentials}})
}

/// Has a request made, its grant refreshed, and both deleted.
async fn works(stage: &Stage, name: &str, n: u32, spec: &Value) -> Result<()> {
    let made = stage.ready_request(name, n, spec).await?;
    let first = stage.secrets.get(name).await?;
    let owner = first.metadata.annotations.as_ref().and_then(|annotations| annotations.get(OWNED_BY));
    let expected = format!("{name}/{}", made.metadata.uid.unwrap_or_default());
    ensure!(owner == Some(&expected), "{name}: the Secret is owned by {owner:?}");
    ensure!(status(&stage.requests.get(name).await?).secret_name.as_deref() == Some(name), "{name}: another Secret is told of");
    stage.annotate(name, REFRESH_REQUESTED_AT, "now").await?;
    stage.holds(name, "refreshed", |secret| data(secret, "grant") != data(&first, "grant")).await?;
    ensure!(stage.calls(n) == 2, "{name}: {} calls for two grants", stage.calls(n));
    stage.requests.delete(name, &DeleteParams::default()).await?;
    let gone = async || Ok(stage.secrets.get_opt(name).await?.is_none());
    eventually(&format!("the Secret {name} is gone"), gone, |gone| *gone, |gone| *gone).await.map(drop)
}

async fn whatever_is_taken_as_a_name_works(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let label = "a".repeat(63);
    let names = [
        "0".to_owned(),
        "a.b-c.1".to_owned(),
        "1.2.3.4".to_owned(),
        "a--b".to_owned(),
        "xn--bcher-kva.example".to_owned(),
        // Parts of the API server's own paths.
        "watch".to_owned(),
        "status".to_owned(),
        "namespaces".to_owned(),
        "null".to_owned(),
        "true".to_owned(),
        "1e3".to_owned(),
        // As long as a name may be, with dots and in one piece, and longer than a label's value may be.
        format!("{label}.{label}.{label}.{}", "b".repeat(61)),
        "c".repeat(253),
        "d".repeat(64),
    ];
    for (n, name) in (1..).zip(&names) {
        works(&stage, name, n, &long("media-api")).await?;
    }
    // The credentials' name is part of a path, and of a watch's selector.
    for (n, name) in (101..).zip(&names) {
        stage.credentials(name, &api_key(n)).await?;
        works(&stage, &format!("request-{n}"), n, &long(name)).await?;
        let users: Vec<_> = stage.simulator.calls().into_iter().filter(|call| call.streamer == sid(n)).map(|call| call.user).collect();
        ensure!(users.iter().all(|user| *user == Some(crate::stage::key_sid(n))), "{name}: the users were {users:?}");
    }
    Ok(())
}

async fn whatever_is_taken_as_a_namespace_works(scene: Scene) -> Result<()> {
    // Another run's namespaces are another control plane's.
    for name in ["0".to_owned(), "1e3".to_owned(), "a--b".to_owned(), "status".to_owned(), "n".repeat(63)] {
        scene.plane.create_namespace_named(&name).await?;
        let scene = Scene { namespace: name.clone(), ..scene.clone() };
        let stage = Stage::set(&scene).await?;
        let _operator = stage.operator().await?;
        works(&stage, "lobby", 1, &long("media-api")).await?;
    }
    Ok(())
}

async fn as_many_labels_and_annotations_as_are_taken_work(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let mut annotations = keys(32);
    // All the rest of the 16 KiB is in one of them.
    let others: usize = annotations.as_object().into_iter().flatten().skip(1).map(|(key, _)| key.len() + "value".len()).sum();
    annotations["key-0"] = json!("x".repeat(16_384 - "key-0".len() - others));
    let spec = |annotations: &Value| {
        let mut spec = long("media-api");
        spec["secret"] = json!({"labels": keys(32), "annotations": annotations});
        spec
    };
    stage.ready_request("lobby", 1, &spec(&annotations)).await?;
    let secret = serde_json::to_value(stage.secrets.get("lobby").await?.metadata)?;
    for (kind, asked) in [("labels", &keys(32)), ("annotations", &annotations)] {
        let lacking = asked.as_object().into_iter().flatten().filter(|(key, value)| secret[kind][key.as_str()] != **value).count();
        ensure!(lacking == 0, "{lacking} {kind} are not on the Secret");
    }
    let first = stage.secrets.get("lobby").await?;
    stage.annotate("lobby", REFRESH_REQUESTED_AT, "now").await?;
    stage.holds("lobby", "refreshed", |secret| data(secret, "grant") != data(&first, "grant")).await?;
    // One byte more is refused, where the whole of it was taken.
    annotations["key-0"] = json!("x".repeat(16_385 - "key-0".len() - others));
    let Answer::Refused(message) = Door::open(&scene).knock(&named("kiosk", &spec(&annotations))).await? else {
        anyhow::bail!("a byte more was taken");
    };
    ensure!(message.contains("at most 16384 bytes, keys and values together"), "{message}");
    Ok(())
}

/// By default the grant's Secret has the request's name, which nobody names in the spec.
async fn the_credentials_own_name_is_never_the_grants(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let knock = async |name: &str, credentials: &str, secret: Option<&str>| {
        let mut changes = json!({"credentialsSecretRef": {"name": credentials}});
        if let Some(secret) = secret {
            changes["secret"] = json!({"name": secret});
        }
        Ok::<_, anyhow::Error>(matches!(door.knock(&named(name, &changes)).await?, Answer::Taken(_)))
    };
    let longest = "a".repeat(253);
    for name in ["media-api", "a.b", longest.as_str()] {
        ensure!(!knock(name, name, None).await?, "the request's name was taken as its credentials'");
        ensure!(!knock("lobby", name, Some(name)).await?, "the grant's name was taken as its credentials'");
        ensure!(knock(name, name, Some("another")).await?, "a request of its credentials' name needs another Secret, no more");
        ensure!(knock(name, "another", None).await?, "the request's name was refused");
    }
    // What is stored can't be changed to it either.
    let stage = Stage::set(&scene).await?;
    stage.request("lobby", 1, &json!({"secret": {"name": "lobby-grant"}})).await?;
    let requests: Api<PlaybackGrantRequest> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    for spec in [json!({"credentialsSecretRef": {"name": "lobby-grant"}}), json!({"secret": {"name": "media-api"}})] {
        let patched = requests.patch("lobby", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await;
        ensure!(matches!(&patched, Err(kube::Error::Api(status)) if status.code == 422), "{spec} was taken as a change");
    }
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let without = json!({"spec": {"secret": null, "credentialsSecretRef": {"name": "lobby"}}});
    let patched = requests.patch("lobby", &params, &Patch::Merge(without)).await;
    ensure!(patched.is_err(), "the default was taken as a change, though it is the credentials' name");
    Ok(())
}
