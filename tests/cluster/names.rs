//! Names that are used again: nothing of a request that is gone lands on its namesake, and nothing of it is in the namesake's way.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use kube::runtime::{WatchStreamExt as _, watcher};
use playback_grant_operator::api::{PlaybackGrantRequest, PlaybackGrantRequestStatus};
use playback_grant_operator::controller::api::{ApiFailure, ApiServer};
use playback_grant_operator::lifecycle::Identity;
use playback_grant_testbed::{Stopwatch, unix_millis};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{ClusterTest, Scene, locked, test};
use crate::stage::{A_WHILE, ACCOUNT, PATIENCE, Stage, conditions, data, eventually, sid, status};

pub fn tests() -> Vec<ClusterTest> {
    let made_again = |policy: PropagationPolicy| move |scene| made_again_at_once(scene, policy);
    vec![
        test("names::made_again_at_once_after_a_background_deletion", made_again(PropagationPolicy::Background)),
        test("names::made_again_at_once_after_a_foreground_deletion", made_again(PropagationPolicy::Foreground)),
        test("names::made_again_at_once_after_a_deletion_that_orphans", made_again(PropagationPolicy::Orphan)),
        test("names::a_call_of_the_old_does_not_land_on_the_new", a_call_of_the_old_does_not_land_on_the_new),
        test("names::an_answer_that_comes_after_the_deletion_is_lost", an_answer_that_comes_after_the_deletion_is_lost),
        test("names::a_status_of_the_old_does_not_land_on_the_new", a_status_of_the_old_does_not_land_on_the_new),
        test("names::what_a_foreground_deletion_has_taken_stays_gone", what_a_foreground_deletion_has_taken_stays_gone),
    ]
}

const ROUNDS: usize = 10;
const REFRESH: &str = "playbackgrant.dev/refresh-requested-at";

fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

/// Every version of the requests in the namespace that is seen from now on.
fn seen(stage: &Stage) -> (Arc<Mutex<Vec<PlaybackGrantRequest>>>, AbortOnDropHandle<()>) {
    let requests: Api<PlaybackGrantRequest> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let seen = Arc::<Mutex<Vec<PlaybackGrantRequest>>>::default();
    let book = seen.clone();
    let looking = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut versions = pin!(watcher(requests, watcher::Config::default()).default_backoff().applied_objects());
        while let Some(version) = versions.next().await {
            locked(&book).extend(version);
        }
    }));
    (seen, looking)
}

async fn delete(stage: &Stage, name: &str, policy: PropagationPolicy) -> Result<()> {
    let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    stage.requests.delete(name, &params).await.map(drop).map_err(Into::into)
}

/// Makes a request as soon as its name is free.
async fn make_again(stage: &Stage, name: &str, n: u32, spec: &Value) -> Result<String> {
    let make = async || match stage.request(name, n, spec).await {
        Err(error) => match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            _ => Err(error),
        },
        Ok(made) => Ok(made.metadata.uid),
    };
    eventually("the name is free", make, Option::is_some, Option::is_some).await?.context("no uid")
}

async fn made_again_at_once(scene: Scene, policy: PropagationPolicy) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let (seen, looking) = seen(&stage);
    let mut uid = stage.ready_request("lobby", 1, &long()).await?.metadata.uid.context("no uid")?;
    for round in 0..ROUNDS {
        // What only this one was asked, and only its status may tell.
        let wish = format!("wish-{round}");
        stage.annotate("lobby", REFRESH, &wish).await?;
        stage.reaches("lobby", "refreshed", |request| status(request).last_handled_refresh_request.as_deref() == Some(&wish)).await?;
        delete(&stage, "lobby", policy.clone()).await?;
        let heir = make_again(&stage, "lobby", 1, &long()).await?;
        ensure!(heir != uid, "it was not deleted");
        let is_its_own = |request: &PlaybackGrantRequest| {
            request.metadata.uid.as_deref() == Some(&heir) && conditions(request) == ["Ready=True GrantIssued"]
        };
        stage.reaches("lobby", "Ready on its own account", is_its_own).await?;
        let owned = |secret: &k8s_openapi::api::core::v1::Secret| {
            let annotation = secret.metadata.annotations.as_ref().and_then(|all| all.get("playbackgrant.dev/owned-by"));
            let owners: Vec<_> = secret.metadata.owner_references.iter().flatten().map(|owner| owner.uid.as_str()).collect();
            annotation == Some(&format!("lobby/{heir}")) && owners == [heir.as_str()]
        };
        stage.holds("lobby", "the heir's", owned).await?;
        uid = heir;
    }
    // The garbage collector may still be after the last one's Secret.
    tokio::time::sleep(A_WHILE).await;
    let last = stage.ready("lobby").await?;
    ensure!(last.metadata.uid.as_deref() == Some(&uid) && stage.secrets.get_opt("lobby").await?.is_some(), "its Secret went after all");
    drop(looking);
    let mut lives = Vec::<String>::new();
    for request in locked(&seen).iter() {
        let uid = request.metadata.uid.clone().unwrap_or_default();
        if !lives.contains(&uid) {
            lives.push(uid);
        }
        let own_wish = format!("wish-{}", lives.len() - 1);
        let told = status(request).last_handled_refresh_request;
        ensure!(told.is_none() || told.as_deref() == Some(&own_wish), "life {} was told of {told:?}", lives.len());
    }
    ensure!(lives.len() == ROUNDS + 1, "{} lives were seen", lives.len());
    // Each life: its first grant, unless the Secret that was left could be taken over, and the one that was wished for.
    let (calls, rounds) = (stage.calls(1), u64::try_from(ROUNDS)?);
    ensure!((rounds + 1..=2 * rounds + 1).contains(&calls), "the Media API was called {calls} times in {} lives", lives.len());
    Ok(())
}

async fn a_call_of_the_old_does_not_land_on_the_new(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.fault(&format!("latency=3s@{}", sid(1)))?;
    let _operator = stage.operator().await?;
    let (seen, looking) = seen(&stage);
    // Heirs for another PlayerStreamer, and one that differs from the old one by its uid alone.
    for n in [2, 2, 1] {
        let before = stage.calls(1);
        stage.request("lobby", 1, &long()).await?;
        eventually("its call is under way", async || Ok(stage.calls(1)), |calls| *calls > before, |calls| *calls).await?;
        delete(&stage, "lobby", PropagationPolicy::Background).await?;
        // What was asked for earlier than this, was for the old one.
        let born = unix_millis();
        let is_its_own = |streamer: Option<&str>, issue: Option<&String>| -> Result<bool> {
            let issue: Timestamp = issue.context("no issue time")?.parse()?;
            Ok(streamer == Some(&sid(n)) && u64::try_from(issue.as_millisecond())? >= born)
        };
        let heir = make_again(&stage, "lobby", n, &long()).await?;
        stage.ready("lobby").await?;
        // The answer comes now, if anybody still waits for it.
        for _ in 0..40 {
            let secret = stage.secrets.get("lobby").await?;
            let (streamer, issue) = (data(&secret, "playerStreamerSid"), data(&secret, "issueTime"));
            let is_own = is_its_own(streamer.as_deref(), issue.as_ref())?;
            ensure!(is_own, "the Secret of the heir for {} holds the old one's grant: {streamer:?}, {issue:?}", sid(n));
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let of_the_heir = |request: &&PlaybackGrantRequest| request.metadata.uid.as_deref() == Some(&heir);
        let told: Vec<_> = locked(&seen).iter().filter(of_the_heir).filter_map(|request| status(request).grant).collect();
        ensure!(!told.is_empty(), "no version of the heir was seen that tells of a grant");
        for grant in told {
            ensure!(is_its_own(Some(&grant.player_streamer_sid), Some(&grant.issue_time))?, "the status tells of the old one's grant");
        }
        let calls = stage.calls(1) - before;
        // What isn't answered soon is joined by others: the old one's call until it is withdrawn, the heir's for three seconds.
        let expected = if n == 1 { 2..=12 } else { 1..=3 };
        ensure!(expected.contains(&calls), "the old one was called for again, or not the heir: {calls} calls");
        delete(&stage, "lobby", PropagationPolicy::Background).await?;
        let gone = async || Ok(stage.secrets.get_opt("lobby").await?);
        eventually("the Secret is collected", gone, Option::is_none, Option::is_some).await?;
    }
    drop(looking);
    Ok(())
}

async fn an_answer_that_comes_after_the_deletion_is_lost(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    // So long that the deletion comes before the answer also on a busy machine.
    stage.fault(&format!("latency=8s@{}", sid(1)))?;
    let _operator = stage.operator().await?;
    stage.request("lobby", 1, &json!({"ttlSeconds": 15})).await?;
    stage.requests.patch("lobby", &PatchParams::default(), &finalizers(&["example.com/somebody-elses"])).await?;
    let under_way = async || Ok(stage.simulator.counters().total.in_flight);
    eventually("its call is under way", under_way, |calls| *calls > 0, |calls| *calls).await?;
    stage.reaches("lobby", "told that it waits", |request| !conditions(request).is_empty()).await?;
    let last = stage.last_asked().await?;
    ensure!(under_way().await? > 0, "the answer came before the deletion: this test shows nothing");
    delete(&stage, "lobby", PropagationPolicy::Background).await?;
    stage.reaches("lobby", "being deleted", |request| request.metadata.deletion_timestamp.is_some()).await?;
    // It is answered, or the operator waits for it no longer.
    eventually("its call has ended", under_way, |calls| *calls == 0, |calls| *calls).await?;
    tokio::time::sleep(A_WHILE).await;
    let (asked, calls) = (stage.asked(last.as_ref()).await?, stage.calls(1));
    // A call that isn't answered soon is joined by others, until it is withdrawn.
    ensure!(asked.is_empty() && (1..=16).contains(&calls), "asked {asked:?}, and {calls} calls");
    ensure!(stage.secrets.get_opt("lobby").await?.is_none(), "the answer made a Secret");
    stage.requests.patch("lobby", &PatchParams::default(), &finalizers(&[])).await?;
    let gone = async || Ok(stage.requests.get_opt("lobby").await?);
    eventually("the request is gone", gone, Option::is_none, Option::is_some).await.map(drop)
}

/// What the operator writes late, to a name that is another's by then; and what would come of it if a merge patch named the uid instead.
async fn a_status_of_the_old_does_not_land_on_the_new(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let first = stage.request("lobby", 1, &long()).await?;
    let (first, outdated) = (first.metadata.uid.context("no uid")?, first.metadata.resource_version.context("no version")?);
    delete(&stage, "lobby", PropagationPolicy::Background).await?;
    let heir = make_again(&stage, "lobby", 1, &long()).await?;
    let version = async || stage.requests.get("lobby").await?.metadata.resource_version.context("no version");
    let server = ApiServer::new(stage.plane.service_account_client(ACCOUNT.0, ACCOUNT.1).await?).within(PATIENCE);
    let identity = |uid: &str| Identity { namespace: stage.namespace.clone(), name: "lobby".to_owned(), uid: uid.to_owned() };
    let told = |failures| PlaybackGrantRequestStatus { consecutive_failures: failures, ..PlaybackGrantRequestStatus::default() };
    let failures = async || anyhow::Ok(status(&stage.requests.get("lobby").await?).consecutive_failures);
    for version in [outdated, version().await?] {
        let late = server.write_status(&identity(&first), Some(&version), &told(7)).await;
        ensure!(late.as_ref().is_err_and(ApiFailure::is_refusal), "the API server took it, or had trouble: {late:?}");
    }
    ensure!(failures().await? == 0, "the status of the old stands on the new");
    let before = version().await?;
    let written =
        server.write_status(&identity(&heir), Some(&before), &told(8)).await.map_err(|failure| anyhow::anyhow!("{}", failure.words()))?;
    ensure!(failures().await? == 8 && version().await? == written && written != before, "its own status was not taken");
    let overtaken = server.write_status(&identity(&heir), Some(&before), &told(7)).await;
    ensure!(overtaken == Err(ApiFailure::Conflict) && failures().await? == 8, "an older status landed over a newer one: {overtaken:?}");
    let naive = Patch::Merge(json!({"metadata": {"uid": first}, "status": told(9)}));
    let taken = stage.requests.patch_status("lobby", &PatchParams::default(), &naive).await;
    ensure!(taken.is_ok() && failures().await? == 9, "a merge patch would be refused as well: this test shows nothing");
    Ok(())
}

/// Checks that nothing is asked of anybody for the request `lobby`, of which grants live 4 s, and that its Secret isn't there.
pub async fn ensure_left_alone(stage: &Stage) -> Result<()> {
    // What was under way when the deletion came has ended by then; from here on nothing may come.
    tokio::time::sleep(A_WHILE).await;
    let (last, calls) = (stage.last_asked().await?, stage.calls(1));
    tokio::time::sleep(A_WHILE * 2).await;
    let asked = stage.asked(last.as_ref()).await?;
    ensure!(asked.is_empty() && stage.calls(1) == calls, "asked {asked:?}, and {} calls", stage.calls(1) - calls);
    ensure!(stage.secrets.get_opt("lobby").await?.is_none(), "the Secret was put back");
    Ok(())
}

fn finalizers(list: &[&str]) -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"finalizers": list}}))
}

async fn what_a_foreground_deletion_has_taken_stays_gone(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?;
    stage.requests.patch("lobby", &PatchParams::default(), &finalizers(&["example.com/somebody-elses"])).await?;
    delete(&stage, "lobby", PropagationPolicy::Foreground).await?;
    // The Secret blocks nothing: where the garbage collector has done with the request before it looks at the Secret, it leaves it.
    let stopwatch = Stopwatch::start();
    while stage.secrets.get_opt("lobby").await?.is_some() {
        if stopwatch.elapsed() > A_WHILE {
            stage.delete_secret("lobby").await?;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    ensure_left_alone(&stage).await?;
    let made = stage.asked(None).await?.into_iter().filter(|asked| asked == "create secrets/lobby").count();
    ensure!(made == 1, "the Secret was made {made} times");
    stage.requests.patch("lobby", &PatchParams::default(), &finalizers(&[])).await?;
    let gone = async || Ok(stage.requests.get_opt("lobby").await?);
    eventually("the request is gone", gone, Option::is_none, Option::is_some).await.map(drop)
}
