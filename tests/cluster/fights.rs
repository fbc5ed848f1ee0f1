//! Others who write the same Secret or status, again and again: they are met with few writes, and the status says so.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::api::names::key::PLAYER_STREAMER_SID;
use playback_grant_operator::simulator::PlaybackToken;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{ClusterTest, Scene, test};
use crate::observe::observe;
use crate::stage::{Stage, conditions, data, ensure_names, message, sid, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("fights::one_who_changes_a_key_back_each_time_is_met_less_and_less_often", one_who_changes_a_key_back_each_time),
        test(
            "fights::one_who_changes_a_key_back_each_time_costs_no_grant_its_life",
            one_who_changes_a_key_back_each_time_costs_no_grant_its_life,
        ),
        test("fights::one_who_deletes_it_each_time_is_met_less_and_less_often", one_who_deletes_it_each_time),
        test("fights::one_who_gainsays_the_status_each_time_is_met_less_and_less_often", one_who_gainsays_the_status_each_time),
        test("fights::one_who_annotates_it_at_each_update_brings_no_write", one_who_annotates_it_at_each_update),
    ]
}

const ELSEWHERE: &str = "https://elsewhere.example";

/// Another writer, who answers each version of an object; it ends when it is dropped.
struct Rival(AbortOnDropHandle<Result<()>>);

impl Rival {
    fn start<K, R>(objects: &Api<K>, name: &str, answer: impl Fn(Api<K>, K) -> R + Send + 'static) -> Self
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        K::DynamicType: Clone + Debug + Default + Eq + std::hash::Hash + Send + Sync + Unpin,
        R: Future<Output = Result<(), kube::Error>> + Send,
    {
        let (objects, one) = (objects.clone(), watcher::Config::default().fields(&format!("metadata.name={name}")));
        Self(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut versions = pin!(watcher(objects.clone(), one).default_backoff().applied_objects());
            while let Some(version) = versions.next().await {
                match answer(objects.clone(), version?).await {
                    // The operator was faster: the next version is answered.
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                    answered => answered?,
                }
            }
            Ok(())
        })))
    }

    /// Ends it, and makes sure that it lived until now.
    fn end(self) -> Result<()> {
        ensure!(!self.0.is_finished(), "the rival has given up by itself");
        Ok(())
    }
}

/// How often the operator has done each thing to the Secret.
async fn done_to(stage: &Stage, secret: &str) -> Result<BTreeMap<String, u64>> {
    let mut done = BTreeMap::new();
    let suffix = format!("secrets/{secret}");
    for asked in stage.asked(None).await?.iter().filter_map(|asked| asked.strip_suffix(&suffix)) {
        *done.entry(asked.trim().to_owned()).or_default() += 1;
    }
    Ok(done)
}

fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

/// Due each 2 s.
fn short() -> Value {
    json!({"ttlSeconds": 6, "refreshBeforeExpirySeconds": 4})
}

async fn one_who_changes_a_key_back_each_time(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let rival = Rival::start(&stage.secrets, "lobby", async |secrets, secret: Secret| {
        if data(&secret, "playbackUrl").as_deref() != Some(ELSEWHERE) {
            let patch = Patch::Merge(json!({"stringData": {"playbackUrl": ELSEWHERE}}));
            secrets.patch("lobby", &PatchParams::apply("rival"), &patch).await?;
        }
        Ok(())
    });
    stage.reaches("lobby", "told of the fight", |request| conditions(request)[0] == "Ready=False SecretConflict").await?;
    ensure_told(&stage, "is changed by others again and again; the operator puts it right").await?;
    // At once, and after 1, 2, 4, 8, 16 and 32 s; from then on it is stalled.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let stalled = |request: &_| conditions(request).iter().any(|condition| condition == "Stalled=True SecretConflict");
    stage.reaches("lobby", "stalled for it", stalled).await?;
    let done = done_to(&stage, "lobby").await?;
    // One of the writes may be of the refresh that fell due meanwhile.
    ensure!((7..=9).contains(&done["patch"]) && done["create"] == 1, "the operator has written {done:?}");
    ensure!(done["get"] <= done["patch"] + 2, "the operator has read more than it has written: {done:?}");
    ensure!(stage.calls(1) <= 2, "the Media API was called {} times", stage.calls(1));
    rival.end()?;
    // A new grant waits for no repair.
    stage.annotate("lobby", "playbackgrant.dev/refresh-requested-at", "now").await?;
    let is_fresh = |secret: &Secret| data(secret, "playbackUrl").and_then(|url| PlaybackToken::decode(&url)).is_some();
    stage.holds("lobby", "right again", is_fresh).await?;
    stage.reaches("lobby", "Ready again", |request| conditions(request)[0] == "Ready=True GrantIssued").await.map(drop)
}

async fn one_who_changes_a_key_back_each_time_costs_no_grant_its_life(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &short()).await?;
    let rival = Rival::start(&stage.secrets, "lobby", async |secrets, secret: Secret| {
        let theirs = sid(2);
        if data(&secret, PLAYER_STREAMER_SID).as_deref() != Some(theirs.as_str()) {
            let patch = Patch::Merge(json!({"stringData": {PLAYER_STREAMER_SID: theirs}}));
            secrets.patch("lobby", &PatchParams::apply("rival"), &patch).await?;
        }
        Ok(())
    });
    stage.reaches("lobby", "told of the fight", |request| conditions(request)[0] == "Ready=False SecretConflict").await?;
    let observed = observe(&stage, async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        Ok(())
    })
    .await?;
    rival.end()?;
    observed.ensure_fresh(["lobby"])?;
    // Of ten.
    let refreshes = observed.judge.record("lobby").refreshes();
    ensure!(refreshes >= 6, "it was refreshed {refreshes} times in the fight");
    Ok(())
}

async fn one_who_deletes_it_each_time(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let rival = Rival::start(&stage.secrets, "lobby", async |secrets, _| secrets.delete("lobby", &DeleteParams::default()).await.map(drop));
    let told = ["Ready=False SecretConflict", "Reconciling=True SecretConflict"];
    stage.reaches("lobby", "told of the fight", |request| conditions(request) == told).await?;
    ensure_told(&stage, "is deleted by others again and again; the operator makes it again").await?;
    // Three times at once, and after 1, 2, 4, 8 and 16 s.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let done = done_to(&stage, "lobby").await?;
    ensure!((6..=9).contains(&done["create"]), "the operator has written {done:?}");
    // One look for each time that it went: it might have lost its label only.
    ensure!(done.get("get").is_none_or(|looks| *looks <= 2 * done["create"]), "the operator has looked more often than it went: {done:?}");
    // The message's advice: another name is no rival's. Nothing waits there, and nothing is held against it.
    stage.change("lobby", &json!({"secret": {"name": "renamed"}})).await?;
    stage.ready("lobby").await?;
    ensure!(stage.secrets.get_opt("renamed").await?.is_some() && done_to(&stage, "renamed").await?["create"] == 1, "it isn't there");
    rival.end()?;
    stage.change("lobby", &json!({"secret": null})).await?;
    stage.holds("lobby", "back", |_| true).await?;
    stage.ready("lobby").await?;
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

fn is_told_of_by_another(request: &PlaybackGrantRequest) -> bool {
    conditions(request) == ["Ready=True Elsewhere"]
}

async fn one_who_gainsays_the_status_each_time(scene: Scene) -> Result<()> {
    const STATUS: &str = "patch playbackgrantrequests.status/lobby";
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let rival = Rival::start(&stage.requests, "lobby", async |requests, request: PlaybackGrantRequest| {
        if !is_told_of_by_another(&request) {
            let condition = json!({"type": "Ready", "status": "True", "reason": "Elsewhere", "message": "", "lastTransitionTime": "2026-11-24T12:00:00Z"});
            let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
            requests.patch_status("lobby", &PatchParams::apply("rival"), &patch).await?;
        }
        Ok(())
    });
    stage.reaches("lobby", "told of by another", is_told_of_by_another).await?;
    let written = async || Ok::<_, anyhow::Error>(stage.asked(None).await?.iter().filter(|asked| *asked == STATUS).count());
    let before = written().await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let times = written().await? - before;
    // After 1, 2, 4 and 8 s; the fifth would come after 31.
    ensure!((3..=5).contains(&times), "the operator has said it again {times} times");
    rival.end()
}

async fn one_who_annotates_it_at_each_update(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &short()).await?;
    let rival = Rival::start(&stage.secrets, "lobby", async |secrets, secret: Secret| {
        let annotation = |name: &str| secret.metadata.annotations.as_ref().and_then(|all| all.get(name)).cloned();
        let issue = annotation("playbackgrant.dev/issue-time");
        if annotation("seen") != issue {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"seen": issue}}}));
            secrets.patch("lobby", &PatchParams::apply("rival"), &patch).await?;
        }
        Ok(())
    });
    let observed = observe(&stage, async {
        for _ in 0..40 {
            let request = stage.requests.get("lobby").await?;
            ensure!(conditions(&request) == ["Ready=True GrantIssued"], "{:?}: {}", conditions(&request), message(&request, "Stalled"));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    })
    .await?;
    rival.end()?;
    observed.ensure_fresh(["lobby"])?;
    // What was under way has ended once a grant that came after the rival's end is told of. The log is read for a while, in which there may be
    // one more.
    let fewest = stage.calls(1);
    let before = status(&stage.requests.get("lobby").await?).grant;
    stage.reaches("lobby", "refreshed", |request| status(request).grant != before).await?;
    let done = done_to(&stage, "lobby").await?;
    let most = stage.calls(1);
    ensure!(fewest >= 5, "only {fewest} calls in 20 s");
    let (writes, looks) = (done["create"] + done["patch"], done.get("get").copied().unwrap_or_default());
    // Each change by others is read once. A refresh that the rival's write met on its way is written a second time, after a look.
    ensure!((fewest..=most + 3).contains(&writes), "{fewest} to {most} calls, and the operator has written {done:?}");
    ensure!(looks <= most + 3, "at most {most} changes by others, and the operator has read {done:?}");
    Ok(())
}

async fn ensure_told(stage: &Stage, words: &str) -> Result<()> {
    ensure_names(&stage.requests.get("lobby").await?, "Ready", &[words, "Find out who else does it", "spec.secret.name"])
}
