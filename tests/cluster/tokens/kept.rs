//! A token is made anew when it has to be, from the grant in hand, and left alone otherwise.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use playback_grant_testbed::mutating_policies_version;
use serde_json::{Value, json};

use super::read::token;
use super::{is_for, long, one_call};
use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::planted;
use crate::stage::{A_WHILE, Stage, api_key, conditions, data, ensure_names, eventually, message, version};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("tokens::a_change_of_the_spec_makes_a_new_one_without_a_call", a_change_of_the_spec_makes_a_new_one_without_a_call),
        test("tokens::a_change_of_the_key_makes_a_new_one_without_a_call", a_change_of_the_key_makes_a_new_one_without_a_call),
        test("tokens::after_a_restart_one_that_fits_is_left_alone", after_a_restart_one_that_fits_is_left_alone),
        test("tokens::after_a_restart_one_that_does_not_fit_is_made_anew", after_a_restart_one_that_does_not_fit_is_made_anew),
        test("tokens::a_spoilt_one_is_made_anew_without_a_call", a_spoilt_one_is_made_anew_without_a_call),
        test("tokens::without_an_api_key_the_grant_stays_fresh", without_an_api_key_the_grant_stays_fresh),
        test("tokens::the_account_may_stand_beside_the_key", the_account_may_stand_beside_the_key),
        test("tokens::a_string_grant_stays_a_string", a_string_grant_stays_a_string),
        test(
            "tokens::one_that_is_asked_for_no_more_goes_though_its_grant_has_expired",
            one_that_is_asked_for_no_more_goes_though_its_grant_has_expired,
        ),
        test("tokens::what_admission_undoes_is_not_written_without_end", what_admission_undoes_is_not_written_without_end),
        test("tokens::others_keys_stay_where_none_is_asked_for", others_keys_stay_where_none_is_asked_for),
    ]
}

const TOKEN_HASH: &str = "playbackgrant.dev/token-hash";

fn hash(secret: &Secret) -> Option<String> {
    secret.metadata.annotations.as_ref()?.get(TOKEN_HASH).cloned()
}

fn names(secret: &Secret) -> Vec<&str> {
    secret.data.iter().flatten().map(|(name, _)| name.as_str()).collect()
}

async fn a_change_of_the_spec_makes_a_new_one_without_a_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("one")).await?;
    let first = stage.secrets.get("lobby").await?;
    let keys =
        ["accessToken", "accessTokenExpiryTime", "accountSid", "expiryTime", "grant", "issueTime", "playbackUrl", "playerStreamerSid"];
    ensure!(names(&first) == keys, "its keys are {:?}", names(&first));
    ensure!(is_for("one", 1)(&first) && hash(&first).is_some(), "it isn't the token that was asked for");

    stage.change("lobby", &json!({"accessToken": {"identity": "two"}})).await?;
    let second = stage.holds("lobby", "with a token for the new identity", is_for("two", 1)).await?;
    ensure!(hash(&second).is_some_and(|hash| Some(hash) != self::hash(&first)), "the hash is the same");

    let life = |secret: &Secret| token(secret).map(|token| token.claims["exp"].as_i64().unwrap_or_default() - token.signed_at).ok();
    stage.change("lobby", &json!({"accessToken": {"ttlSeconds": 60}})).await?;
    stage.holds("lobby", "with a token of a minute", |secret| life(secret) == Some(60)).await?;

    stage.change("lobby", &json!({"accessToken": null})).await?;
    let last = stage.holds("lobby", "without a token", |secret| hash(secret).is_none()).await?;
    ensure!(names(&last) == keys[2..], "its keys are {:?}", names(&last));
    ensure!(data(&last, "grant") == data(&first, "grant"), "another grant is in it");

    stage.change("lobby", &json!({"accessToken": {"identity": "three"}})).await?;
    stage.holds("lobby", "with a token again", is_for("three", 1)).await?;
    stage.ready("lobby").await?;
    one_call(&stage, 1, "a token")
}

async fn a_change_of_the_key_makes_a_new_one_without_a_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("one")).await?;
    let before = stage.secrets.get("lobby").await?;
    let change =
        async |data: Value| stage.secrets.patch("media-api", &PatchParams::default(), &Patch::Merge(json!({"stringData": data}))).await;
    change(api_key(2)).await?;
    let after = stage.holds("lobby", "signed by the new key", is_for("one", 2)).await?;
    ensure!(data(&after, "grant") == data(&before, "grant"), "another grant is in it");
    one_call(&stage, 1, "a change of the key")?;

    // The same key in another Secret decides the grant, by its contract, and so brings a call.
    stage.credentials("another", &api_key(2)).await?;
    stage.change("lobby", &json!({"credentialsSecretRef": {"name": "another"}})).await?;
    stage.holds("lobby", "with another grant", |secret| data(secret, "grant") != data(&before, "grant")).await?;
    stage.ready("lobby").await?;

    // What is no news of the key is no news for the token.
    let before = stage.holds("lobby", "signed", is_for("one", 2)).await?;
    let touch = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
    stage.secrets.patch("another", &PatchParams::default(), &touch).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(version(&stage.secrets.get("lobby").await?.metadata) == version(&before.metadata), "it was written without need");
    Ok(())
}

async fn after_a_restart_one_that_fits_is_left_alone(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("one")).await?;
    let before = stage.secrets.get("lobby").await?;
    operator.kill9().await?;
    let last = stage.last_asked().await?;
    let _operator = stage.operator().await?;
    let asked = async || {
        let mut asked = stage.asked(last.as_ref()).await?;
        asked.sort();
        Ok(asked)
    };
    let needed = ["get secrets/lobby", "get secrets/media-api"];
    eventually("the Secret and the credentials are read", asked, |asked| *asked == needed, Clone::clone).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(asked().await? == needed, "asked were {:?}", asked().await?);
    ensure!(version(&stage.secrets.get("lobby").await?.metadata) == version(&before.metadata), "it was written");
    one_call(&stage, 1, "a restart")
}

async fn after_a_restart_one_that_does_not_fit_is_made_anew(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    for (n, name) in [(1, "key"), (2, "spec"), (3, "spoilt")] {
        stage.credentials(name, &api_key(1)).await?;
        let mut spec = long("one");
        spec["credentialsSecretRef"] = json!({"name": name});
        spec["secret"] = json!({"name": format!("{name}-grant")});
        stage.ready_request(name, n, &spec).await?;
    }
    let mut before = Vec::new();
    for name in ["key-grant", "spec-grant", "spoilt-grant"] {
        before.push(stage.secrets.get(name).await?);
    }
    operator.kill9().await?;
    stage.credentials("key", &api_key(2)).await?;
    stage.change("spec", &json!({"accessToken": {"identity": "two"}})).await?;
    stage.secrets.patch("spoilt-grant", &PatchParams::default(), &Patch::Merge(json!({"stringData": {"accessToken": "spoilt"}}))).await?;
    let _operator = stage.operator().await?;
    let key = stage.holds("key-grant", "signed by the new key", is_for("one", 2)).await?;
    let spec = stage.holds("spec-grant", "for the new identity", is_for("two", 1)).await?;
    let spoilt = stage.holds("spoilt-grant", "mended", is_for("one", 1)).await?;
    for (before, after) in before.iter().zip([key, spec, spoilt]) {
        ensure!(data(&after, "grant") == data(before, "grant"), "another grant is in it");
    }
    for n in 1..=3 {
        one_call(&stage, n, "a restart")?;
    }
    Ok(())
}

async fn a_spoilt_one_is_made_anew_without_a_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let spoil = async |name: &str, patch: Value| stage.secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    let spoilings = [
        json!({"stringData": {"accessToken": "spoilt"}}),
        json!({"data": {"accessToken": null}}),
        json!({"stringData": {"accessTokenExpiryTime": "2099-01-01T00:00:00.000Z"}}),
        json!({"metadata": {"annotations": {TOKEN_HASH: "another"}}}),
    ];
    for (n, patch) in (1..).zip(spoilings) {
        let name = format!("request-{n}");
        stage.ready_request(&name, n, &long("one")).await?;
        let before = stage.secrets.get(&name).await?;
        let spoilt = spoil(&name, patch).await?;
        let is_mended = |secret: &Secret| {
            is_for("one", 1)(secret)
                && hash(secret) == hash(&before)
                && secret.metadata.resource_version != spoilt.metadata.resource_version
        };
        let after = stage.holds(&name, "mended", is_mended).await?;
        ensure!(data(&after, "grant") == data(&before, "grant"), "another grant is in it");
        stage.ready(&name).await?;
        one_call(&stage, n, "a spoilt token")?;
    }
    Ok(())
}

async fn without_an_api_key_the_grant_stays_fresh(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.credentials("media-api", &json!({"accountSid": format!("AC{}", "5".repeat(32)), "authToken": planted("auth-token")})).await?;
    let operator = stage.operator().await?;
    stage.request("lobby", 1, &json!({"accessToken": {"identity": "one"}, "ttlSeconds": 10, "refreshBeforeExpirySeconds": 7})).await?;
    let cannot = ["Ready=True GrantIssued", "Stalled=True CredentialsCannotSign"];
    let request = stage.reaches("lobby", "told that it can't be signed", |request| conditions(request) == cannot).await?;
    ensure_names(&request, "Stalled", &[&format!("{}/media-api", stage.namespace), "Add the keys apiKeySid and apiKeySecret", "/lobby"])?;
    ensure!(message(&request, "Ready").ends_with("but no Access Token"), "{}", message(&request, "Ready"));
    let calls = async || Ok(stage.calls(1));
    eventually("it is refreshed all the same", calls, |calls| *calls >= 3, |calls| *calls).await?;
    let secret = stage.secrets.get("lobby").await?;
    ensure!(data(&secret, "accessToken").is_none() && hash(&secret).is_none(), "there is a token that nobody can have signed");
    stage.reaches("lobby", "still told so", |request| conditions(request) == cannot).await?;
    let told = operator.log()?.matches("stalled: spec.accessToken asks for an Access Token").count();
    ensure!(told == 1, "the log tells of it {told} times");

    stage.secrets.patch("media-api", &PatchParams::default(), &Patch::Merge(json!({"stringData": api_key(1)}))).await?;
    stage.holds("lobby", "signed", is_for("one", 1)).await?;
    stage.ready("lobby").await.map(drop)
}

async fn the_account_may_stand_beside_the_key(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.fault("null-fields")?;
    let _operator = stage.operator().await?;
    stage.request("lobby", 1, &long("one")).await?;
    let cannot = ["Ready=True GrantIssued", "Stalled=True CredentialsCannotSign"];
    let request = stage.reaches("lobby", "told that it can't be signed", |request| conditions(request) == cannot).await?;
    ensure_names(&request, "Stalled", &["neither the Media API's answer nor Secret", "Add the key accountSid"])?;
    let account = format!("AC{}", "7".repeat(32));
    stage.secrets.patch("media-api", &PatchParams::default(), &Patch::Merge(json!({"stringData": {"accountSid": account}}))).await?;
    let secret = stage.holds("lobby", "signed", is_for("one", 1)).await?;
    ensure!(token(&secret)?.claims["sub"] == account.as_str(), "its subject is {}", token(&secret)?.claims["sub"]);
    stage.ready("lobby").await?;
    one_call(&stage, 1, "an account")
}

async fn a_string_grant_stays_a_string(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.fault("string-grant")?;
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("one")).await?;
    let before = stage.secrets.get("lobby").await?;
    ensure!(token(&before)?.claims["grants"]["player"].is_string(), "the string has become something else");
    // Also where the operator knows the grant from its Secret alone, in which the string has no quotes.
    operator.kill9().await?;
    let _operator = stage.operator().await?;
    stage.change("lobby", &json!({"accessToken": {"identity": "two"}})).await?;
    let after = stage.holds("lobby", "for the new identity", is_for("two", 1)).await?;
    ensure!(
        token(&after)?.claims["grants"]["player"] == token(&before)?.claims["grants"]["player"],
        "the string has become something else"
    );
    one_call(&stage, 1, "a restart")
}

async fn one_that_is_asked_for_no_more_goes_though_its_grant_has_expired(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"accessToken": {"identity": "one"}, "ttlSeconds": 5})).await?;
    stage.fault("404")?;
    stage
        .reaches("lobby", "without a grant", |request| conditions(request).contains(&"Ready=False PlayerStreamerNotFound".to_owned()))
        .await?;
    let before = stage.secrets.get("lobby").await?;
    ensure!(data(&before, "accessToken").is_some() && hash(&before).is_some(), "it went by itself");
    stage.change("lobby", &json!({"accessToken": null})).await?;
    let after = stage.holds("lobby", "without a token", |secret| hash(secret).is_none()).await?;
    ensure!(data(&after, "accessToken").is_none() && data(&after, "accessTokenExpiryTime").is_none(), "its keys are {:?}", names(&after));
    ensure!(data(&after, "grant") == data(&before, "grant"), "the grant went, too");
    Ok(())
}

/// A policy takes the token's hash off each Secret that is written.
async fn what_admission_undoes_is_not_written_without_end(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let name = format!("undoes-{}", stage.namespace);
    let policy = json!({
        "apiVersion": mutating_policies_version(), "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}],
            },
            "matchConditions": [{"name": "hash", "expression": format!("has(object.metadata.annotations) && '{TOKEN_HASH}' in object.metadata.annotations")}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
                format!("[JSONPatch{{op: 'remove', path: '/metadata/annotations/' + jsonpatch.escapeKey('{TOKEN_HASH}')}}]")}}],
        },
    });
    let binding = json!({
        "apiVersion": mutating_policies_version(), "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name},
    });
    for object in [policy, binding] {
        stage.plane.apply(&serde_json::to_string(&object)?, &stage.namespace).await?;
    }
    // The policy acts when it is known to all of the API server.
    let probe = async || {
        let metadata = json!({"name": "probe", "annotations": {TOKEN_HASH: "x"}});
        stage.delete_secret("probe").await?;
        let probe: Secret = serde_json::from_value(json!({"metadata": metadata}))?;
        Ok(hash(&stage.secrets.create(&kube::api::PostParams::default(), &probe).await?))
    };
    eventually("the policy acts", probe, Option::is_none, Clone::clone).await?;

    let _operator = stage.operator().await?;
    stage.request("lobby", 1, &long("one")).await?;
    stage.reaches("lobby", "Ready", |request| conditions(request).contains(&"Ready=True GrantIssued".to_owned())).await?;
    tokio::time::sleep(A_WHILE).await;
    let writes = stage.asked(None).await?.iter().filter(|asked| asked.ends_with(" secrets/lobby") && !asked.starts_with("get")).count();
    // The first, at once after it, and then 1, 2, 4 … s later.
    ensure!((2..=5).contains(&writes), "it was written {writes} times");
    one_call(&stage, 1, "a policy")
}

async fn others_keys_stay_where_none_is_asked_for(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})).await?;
    let theirs = Patch::Merge(json!({"stringData": {"accessToken": "another program's"}}));
    let before = stage.secrets.patch("lobby", &PatchParams::default(), &theirs).await?;
    stage.annotate("lobby", "playbackgrant.dev/refresh-requested-at", "now").await?;
    let after = stage.holds("lobby", "refreshed", |secret| data(secret, "grant") != data(&before, "grant")).await?;
    ensure!(data(&after, "accessToken").as_deref() == Some("another program's"), "another program's key is gone");
    stage.change("lobby", &json!({"accessToken": {"identity": "one"}})).await?;
    stage.holds("lobby", "with a token in its place", is_for("one", 1)).await?;
    stage.change("lobby", &json!({"accessToken": null})).await?;
    let last = stage.holds("lobby", "without a token", |secret| hash(secret).is_none()).await?;
    ensure!(data(&last, "accessToken").is_none(), "the token stayed");
    Ok(())
}
