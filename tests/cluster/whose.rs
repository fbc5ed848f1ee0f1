//! Whose a Secret is: what is ours is mended, what is another's is left alone, and nothing is deleted that doesn't prove itself ours.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use playback_grant_operator::controller::api::{ApiFailure, ApiServer};
use playback_grant_operator::lifecycle::SecretVersion;
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{A_WHILE, ACCOUNT, PATIENCE, Stage, conditions, data, eventually, version};

pub fn tests() -> Vec<ClusterTest> {
    let given = |policy: &'static str| move |scene| what_was_given_to_another_is_touched_no_more(scene, policy);
    vec![
        test("whose::an_owner_reference_that_was_taken_off_is_put_back", an_owner_reference_that_was_taken_off_is_put_back),
        test("whose::our_name_under_another_controller_proves_nothing", our_name_under_another_controller_proves_nothing),
        test("whose::what_was_given_to_another_is_touched_no_more", given("Delete")),
        // No controller tells there that it isn't what the other has left behind, but only who wrote the annotation.
        test("whose::what_was_given_to_another_and_has_no_owner_is_touched_no_more", given("Retain")),
        test("whose::a_deletion_meets_only_the_version_that_was_seen", a_deletion_meets_only_the_version_that_was_seen),
        test("whose::a_copy_that_others_made_is_theirs", a_copy_that_others_made_is_theirs),
        test("whose::onto_anothers_name_and_back_loses_nothing", onto_anothers_name_and_back_loses_nothing),
        test("whose::who_waits_for_what_another_leaves_behind_has_it_at_once", who_waits_for_what_another_leaves_behind_has_it_at_once),
        test("whose::a_deletion_policy_may_change_both_ways", a_deletion_policy_may_change_both_ways),
    ]
}

const OWNED_BY: &str = "playbackgrant.dev/owned-by";
const CONFLICT: [&str; 2] = ["Ready=False SecretConflict", "Stalled=True SecretConflict"];

/// A foreign Secret is looked at every 10 s: after so long it has been.
const LOOKED_AT: Duration = Duration::from_secs(13);

fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

/// The requests among the Secret's owners, by uid.
fn owners(secret: &Secret) -> Vec<String> {
    secret.metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
}

/// Says that the Secret is that request's.
fn given_to(owner: &str) -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"annotations": {OWNED_BY: owner}}}))
}

async fn an_owner_reference_that_was_taken_off_is_put_back(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let request = stage.ready_request("lobby", 1, &long()).await?;
    let before = stage.secrets.get("lobby").await?;
    let uid = request.metadata.uid.context("no uid")?;
    ensure!(owners(&before) == [uid.clone()], "its owners are {:?}", owners(&before));
    let strip = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    stage.secrets.patch("lobby", &PatchParams::apply("somebody-else"), &strip).await?;
    let after = stage.holds("lobby", "owned again", |secret| owners(secret) == [uid.clone()]).await?;
    ensure!(after.metadata.uid == before.metadata.uid && after.data == before.data, "it was made anew");
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    stage.ready("lobby").await.map(drop)
}

async fn our_name_under_another_controller_proves_nothing(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let owner: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "theirs"}}))?;
    let owner = Api::<ConfigMap>::namespaced(stage.admin.clone(), &stage.namespace).create(&PostParams::default(), &owner).await?;
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": owner.metadata.uid, "controller": true});
    // Everything of ours but the controller: a predecessor's, if it weren't for that.
    let theirs: Secret = serde_json::from_value(json!({
        "metadata": {
            "name": "lobby",
            "labels": {"app.kubernetes.io/managed-by": "playback-grant-operator"},
            "annotations": {OWNED_BY: "lobby/5d1cb6a4-0000-0000-0000-000000000000"},
            "ownerReferences": [reference],
        },
        "stringData": {"theirs": "kept"},
    }))?;
    let theirs = stage.secrets.create(&PostParams::default(), &theirs).await?;
    stage.request("lobby", 1, &long()).await?;
    stage.reaches("lobby", "in conflict", |request| conditions(request) == CONFLICT).await?;
    tokio::time::sleep(LOOKED_AT).await;
    ensure!(stage.secrets.get("lobby").await? == theirs && stage.calls(1) == 0, "it was touched, or {} calls were made", stage.calls(1));
    // Once the other controller has let it go, it is a predecessor's.
    let strip = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    stage.secrets.patch("lobby", &PatchParams::default(), &strip).await?;
    stage.ready("lobby").await?;
    ensure!(data(&stage.secrets.get("lobby").await?, "theirs").as_deref() == Some("kept"), "another's key is gone");
    Ok(())
}

async fn what_was_given_to_another_is_touched_no_more(scene: Scene, policy: &str) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    // Each of them would be refreshed several times while it is looked on.
    for (n, name) in [(1, "lobby"), (2, "kiosk")] {
        let spec = json!({"ttlSeconds": 6, "refreshBeforeExpirySeconds": 3, "secret": {"deletionPolicy": policy}});
        stage.ready_request(name, n, &spec).await?;
    }
    let has_owner = !owners(&stage.secrets.get("lobby").await?).is_empty();
    ensure!(has_owner == (policy == "Delete"), "{policy}: it has an owner: {has_owner}");
    let kiosk = stage.requests.get("kiosk").await?.metadata.uid.context("no uid")?;
    let ours = stage.requests.get("lobby").await?.metadata.uid.context("no uid")?;
    // To one that lives, has a Secret under another name, and might take this one for what it left behind.
    let given = given_to(&format!("kiosk/{kiosk}"));
    stage.secrets.patch("lobby", &PatchParams::apply("somebody-else"), &given).await?;
    let request = stage.reaches("lobby", "in conflict", |request| conditions(request) == CONFLICT).await?;
    ensure!(crate::stage::message(&request, "Ready").contains("belongs to the PlaybackGrantRequest kiosk"), "{request:?}");
    let (before, calls) = (stage.secrets.get("lobby").await?, stage.calls(1));
    tokio::time::sleep(LOOKED_AT).await;
    ensure!(version(&stage.secrets.get("lobby").await?.metadata) == version(&before.metadata), "it was touched");
    ensure!(stage.calls(1) == calls, "{} calls were made for it", stage.calls(1) - calls);
    stage.ready("kiosk").await?;
    let back = given_to(&format!("lobby/{ours}"));
    stage.secrets.patch("lobby", &PatchParams::apply("somebody-else"), &back).await?;
    stage.ready("lobby").await.map(drop)
}

/// A Secret that has changed since, or is another of the same name, isn't the one that was to go.
async fn a_deletion_meets_only_the_version_that_was_seen(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let labelled: Secret = serde_json::from_value(json!({
        "metadata": {"name": "lobby", "labels": {"app.kubernetes.io/managed-by": "playback-grant-operator"}},
    }))?;
    let first = stage.secrets.create(&PostParams::default(), &labelled).await?;
    let last = stage.secrets.patch("lobby", &PatchParams::default(), &given_to("somebody/else")).await?;
    let version_of = |secret: &Secret| -> Result<SecretVersion> {
        let (uid, resource_version) = (secret.metadata.uid.clone(), secret.metadata.resource_version.clone());
        Ok(SecretVersion::new(&uid.context("no uid")?, &resource_version.context("no version")?))
    };
    let (seen, current) = (version_of(&first)?, version_of(&last)?);
    ensure!(
        seen.uid() == current.uid() && seen.resource_version() != current.resource_version(),
        "it wasn't changed: {seen:?}, {current:?}"
    );
    let server = ApiServer::new(stage.plane.service_account_client(ACCOUNT.0, ACCOUNT.1).await?).within(PATIENCE);
    let foreign = SecretVersion::new("5d1cb6a4-0000-0000-0000-000000000000", current.resource_version());
    for (what, version) in [("an earlier version", seen), ("another uid", foreign)] {
        let refused = server.delete(&stage.namespace, "lobby", &version).await;
        ensure!(refused == Err(ApiFailure::Conflict), "{what}: the API server said {refused:?}");
        ensure!(stage.secrets.get_opt("lobby").await?.as_ref() == Some(&last), "{what}: the Secret was touched");
    }
    server.delete(&stage.namespace, "lobby", &current).await.map_err(|failure| anyhow::anyhow!("{}", failure.words()))?;
    ensure!(stage.secrets.get_opt("lobby").await?.is_none(), "it is still there");
    Ok(())
}

async fn a_copy_that_others_made_is_theirs(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let mut copy = stage.secrets.get("lobby").await?;
    (copy.metadata.name, copy.metadata.uid, copy.metadata.resource_version) = (Some("backup".to_owned()), None, None);
    copy.metadata.managed_fields = None;
    let params = PostParams { field_manager: Some("kubectl-create".to_owned()), ..PostParams::default() };
    let copy = stage.secrets.create(&params, &copy).await?;
    // A new name: what the request has left behind goes, and the copy stays.
    stage.change("lobby", &json!({"secret": {"name": "renamed"}})).await?;
    stage.reaches("lobby", "at the new name", |request| conditions(request) == ["Ready=True GrantIssued"]).await?;
    let left = async || Ok(stage.secrets.get_opt("lobby").await?);
    eventually("the one that was left behind is gone", left, Option::is_none, Option::is_some).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.secrets.get_opt("backup").await? == Some(copy), "the copy was touched");
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn onto_anothers_name_and_back_loses_nothing(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let theirs: Secret = serde_json::from_value(json!({"metadata": {"name": "theirs"}, "stringData": {"theirs": "kept"}}))?;
    let theirs = stage.secrets.create(&PostParams::default(), &theirs).await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let ours = stage.secrets.get("lobby").await?;
    stage.change("lobby", &json!({"secret": {"name": "theirs"}})).await?;
    stage.reaches("lobby", "in conflict", |request| conditions(request) == CONFLICT).await?;
    tokio::time::sleep(LOOKED_AT).await;
    ensure!(stage.secrets.get("theirs").await? == theirs, "another's Secret was touched");
    ensure!(stage.secrets.get("lobby").await? == ours, "ours went before there was another");
    stage.change("lobby", &json!({"secret": null})).await?;
    stage.ready("lobby").await?;
    ensure!(stage.secrets.get("lobby").await?.data == ours.data, "another grant is in it");
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

/// Without being told, the one that waits would find out by a look.
async fn who_waits_for_what_another_leaves_behind_has_it_at_once(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let ours = stage.secrets.get("lobby").await?;
    let mut spec = long();
    spec["secret"] = json!({"name": "lobby"});
    stage.request("stage", 2, &spec).await?;
    stage.reaches("stage", "in conflict", |request| conditions(request) == CONFLICT).await?;
    let looks = async || Ok::<_, anyhow::Error>(stage.asked(None).await?.iter().filter(|asked| *asked == "get secrets/lobby").count());
    let before = looks().await?;
    stage.change("lobby", &json!({"secret": {"name": "elsewhere"}})).await?;
    stage.ready("stage").await?;
    let theirs = stage.secrets.get("lobby").await?;
    ensure!(theirs.metadata.uid != ours.metadata.uid && theirs.data != ours.data, "it holds what was another's");
    ensure!(looks().await? == before, "it was looked at {} times", looks().await? - before);
    stage.ready("lobby").await?;
    ensure!(stage.secrets.get("elsewhere").await?.data == ours.data, "what was renamed isn't in its Secret");
    Ok(())
}

async fn a_deletion_policy_may_change_both_ways(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let mut kept = BTreeMap::new();
    for (n, name, policies) in [(1, "goes", ["Retain", "Delete"]), (2, "stays", ["Delete", "Retain"])] {
        let spec = json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1, "secret": {"deletionPolicy": policies[1]}});
        let uid = stage.ready_request(name, n, &spec).await?.metadata.uid.context("no uid")?;
        for policy in policies {
            stage.change(name, &json!({"secret": {"deletionPolicy": policy}})).await?;
            let expected = if policy == "Delete" { vec![uid.clone()] } else { Vec::new() };
            stage.holds(name, &format!("as {policy} has it"), |secret| owners(secret) == expected).await?;
        }
        stage.ready(name).await?;
        kept.insert(name, stage.secrets.get(name).await?.data);
        ensure!(stage.calls(n) == 1, "{name}: the Media API was called {} times", stage.calls(n));
        stage.requests.delete(name, &DeleteParams::background()).await?;
    }
    let gone = async || Ok(stage.secrets.get_opt("goes").await?);
    eventually("what is to be deleted is collected", gone, Option::is_none, Option::is_some).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.secrets.get("stays").await?.data == kept["stays"], "what is to be retained was touched");
    Ok(())
}
