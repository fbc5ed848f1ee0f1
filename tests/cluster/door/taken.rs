//! What is taken: the other side of every rule, and what the API server fills in.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::{Answer, Door, keys, named, request};
use crate::harness::{ClusterTest, Scene, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("door::what_keeps_the_rules_is_taken", what_keeps_the_rules_is_taken),
        test("door::defaults_are_filled_in", defaults_are_filled_in),
        test("door::fields_that_are_unknown_are_pruned_or_refused_by_name", fields_that_are_unknown_are_pruned_or_refused_by_name),
    ]
}

async fn what_keeps_the_rules_is_taken(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let name = "a".repeat(253);
    let mut specs = vec![
        json!({"playerStreamerSid": "VJ00000000000000000000000000000000"}),
        json!({"ttlSeconds": 1}),
        json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 45}),
        json!({"ttlSeconds": 2, "refreshBeforeExpirySeconds": 1}),
        json!({"refreshBeforeExpirySeconds": 11}),
        json!({"credentialsSecretRef": {"name": "a.b-c.1"}, "secret": {"name": name}}),
        json!({"credentialsSecretRef": {"name": "keynote"}, "secret": {"name": "keynote-grant"}}),
        json!({"secret": {}}),
        json!({"secret": {"deletionPolicy": "Retain"}, "suspend": true}),
        json!({"secret": {"labels": keys(32), "annotations": keys(32)}}),
        json!({"secret": {"labels": {"example.com/App_1.x": "", "playbackgrant.dev": "x", "a.playbackgrant.dev/x": "Y_1.z"}}}),
        json!({"secret": {"annotations": {"Example.com/A": "any text at all: {\"é\": 1}\n", "playbackgrant.development/x": ""}}}),
        json!({"secret": {"annotations": {"a": "x".repeat(16_383)}}}),
        json!({"accessToken": {"identity": "kiosk-1"}}),
        json!({"accessToken": {"identity": " Jürgen <κ> \"🎬\" ", "ttlSeconds": 60}}),
        json!({"accessToken": {"identity": "é".repeat(256), "ttlSeconds": 86_400}}),
    ];
    let label = "a".repeat(63);
    let host = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    let origins = [
        "https://www.example.com",
        "http://localhost",
        "http://localhost:3000",
        "https://EXAMPLE.com:65535",
        "https://a-1.b--c.example:1",
        "http://10.0.0.1:8080",
        "https://[::1]",
        "https://[2001:db8::7]:8443",
        "https://[::ABCD]",
        "https://xn--bcher-kva.example",
    ];
    specs.extend(origins.iter().map(|origin| json!({"accessControlAllowOrigin": origin})));
    specs.push(json!({"accessControlAllowOrigin": format!("https://{host}:65535")}));
    for changes in &specs {
        if let Answer::Refused(message) = door.knock(&request(changes)).await? {
            bail!("{changes} was refused: {message}");
        }
    }
    Ok(())
}

async fn defaults_are_filled_in(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let stored = door.store(&request(&json!({"secret": {}}))).await?;
    let filled = json!({"ttlSeconds": 15, "suspend": false, "secret": {"deletionPolicy": "Delete"}});
    ensure!(stored["spec"] == request(&filled)["spec"], "the defaults gave {}", stored["spec"]);
    let stored = door.store(&named("kiosk", &json!({"accessToken": {"identity": "kiosk-1"}}))).await?;
    ensure!(stored["spec"]["accessToken"] == json!({"identity": "kiosk-1", "ttlSeconds": 3600}), "the defaults gave {}", stored["spec"]);
    let stored = door.store(&named("lobby", &json!({}))).await?;
    ensure!(
        stored["spec"].get("secret").is_none() && stored["spec"].get("accessToken").is_none() && stored.get("status").is_none(),
        "more than defaults was filled in: {stored}"
    );
    Ok(())
}

async fn fields_that_are_unknown_are_pruned_or_refused_by_name(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let unknown = request(&json!({"secret": {"lables": {"a": "b"}}, "accessTokens": {"identity": "kiosk-1"}}));
    let stored = door.store(&unknown).await?;
    ensure!(stored["spec"]["secret"].get("lables").is_none() && stored["spec"].get("accessTokens").is_none(), "not pruned: {stored}");

    let asked = http::Request::post(format!("{}?fieldValidation=Strict&dryRun=All", door.path()))
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(&unknown)?)?;
    let refused = door.client.request::<Value>(asked).await;
    let Err(kube::Error::Api(status)) = refused else { bail!("strictly validated, {unknown} got {refused:?}") };
    for field in ["unknown field \"spec.secret.lables\"", "unknown field \"spec.accessTokens\""] {
        ensure!(status.code == 400 && status.message.contains(field), "{field} isn't in {status:?}");
    }
    Ok(())
}
