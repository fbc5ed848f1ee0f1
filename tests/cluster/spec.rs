//! What a change of the spec, a wish to refresh, or a suspension brings, in calls and writes.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{A_WHILE, Stage, conditions, data, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("spec::what_decides_the_grant_brings_one_call", what_decides_the_grant_brings_one_call),
        test("spec::what_does_not_decide_the_grant_brings_none", what_does_not_decide_the_grant_brings_none),
        test("spec::a_wish_to_refresh_is_handled_once", a_wish_to_refresh_is_handled_once),
        test("spec::fluxs_annotation_counts_where_ours_is_absent", fluxs_annotation_counts_where_ours_is_absent),
        test("spec::a_wish_is_handled_by_a_failure_too", a_wish_is_handled_by_a_failure_too),
        test("spec::suspended_and_resumed_without_a_call", suspended_and_resumed_without_a_call),
        test("spec::a_request_that_is_being_deleted_is_left_alone", a_request_that_is_being_deleted_is_left_alone),
    ]
}

const REFRESH: &str = "playbackgrant.dev/refresh-requested-at";

fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

async fn what_decides_the_grant_brings_one_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.credentials("other", &crate::stage::api_key(2)).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let changes = [
        json!({"ttlSeconds": 50}),
        json!({"accessControlAllowOrigin": "https://www.example.com"}),
        json!({"credentialsSecretRef": {"name": "other"}}),
        json!({"playerStreamerSid": crate::stage::sid(2)}),
    ];
    for (calls, change) in (2..).zip(changes) {
        let before = stage.secrets.get("lobby").await?;
        let generation = stage.change("lobby", &change).await?.metadata.generation;
        stage
            .reaches("lobby", "Ready for the new spec", |request| {
                status(request).observed_generation == generation && conditions(request) == ["Ready=True GrantIssued"]
            })
            .await?;
        ensure!(data(&stage.secrets.get("lobby").await?, "grant") != data(&before, "grant"), "{change} left the grant as it was");
        let total = stage.simulator.counters().total.received;
        ensure!(total == calls, "after {change} there were {total} calls, not {calls}");
    }
    Ok(())
}

async fn what_does_not_decide_the_grant_brings_none(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let last = stage.last_asked().await?;
    let generation = stage.change("lobby", &json!({"refreshBeforeExpirySeconds": 2})).await?.metadata.generation;
    stage.reaches("lobby", "observed", |request| status(request).observed_generation == generation).await?;
    for (annotation, value) in [("example.com/noise", "1"), ("example.com/noise", "2")] {
        stage.annotate("lobby", annotation, value).await?;
    }
    tokio::time::sleep(A_WHILE).await;
    let asked = stage.asked(last.as_ref()).await?;
    ensure!(asked == ["patch playbackgrantrequests.status/lobby"], "the API server was asked {asked:?}");
    let generation = stage.change("lobby", &json!({"secret": {"labels": {"a": "1"}}})).await?.metadata.generation;
    stage.reaches("lobby", "observed", |request| status(request).observed_generation == generation).await?;
    let asked = stage.asked(last.as_ref()).await?;
    let one_write = ["patch playbackgrantrequests.status/lobby", "patch secrets/lobby", "patch playbackgrantrequests.status/lobby"];
    ensure!(asked == one_write, "the API server was asked {asked:?}");
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn a_wish_to_refresh_is_handled_once(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    stage.annotate("lobby", REFRESH, "first").await?;
    // The other tool's annotation counts for nothing where ours is.
    stage.annotate("lobby", "reconcile.fluxcd.io/requestedAt", "other").await?;
    let handled = |wish: &'static str| move |request: &_| status(request).last_handled_refresh_request.as_deref() == Some(wish);
    stage.reaches("lobby", "refreshed", handled("first")).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.calls(1) == 2, "one wish brought {} calls", stage.calls(1) - 1);

    // Many in a row: at most one call in 2 s, and the last is handled.
    for wish in ["a", "b", "c", "d", "e"] {
        stage.annotate("lobby", REFRESH, wish).await?;
    }
    stage.reaches("lobby", "refreshed as wished last", handled("e")).await?;
    // The first at once, the last as soon as another may be: what came between is overtaken. A slow machine may have time for more.
    ensure!((3..=2 + 5).contains(&stage.calls(1)), "five wishes at once brought {} calls", stage.calls(1) - 2);
    Ok(())
}

async fn fluxs_annotation_counts_where_ours_is_absent(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    stage.annotate("lobby", "reconcile.fluxcd.io/requestedAt", "by-flux").await?;
    stage.reaches("lobby", "refreshed", |request| status(request).last_handled_refresh_request.as_deref() == Some("by-flux")).await?;
    ensure!(stage.calls(1) == 2, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn a_wish_is_handled_by_a_failure_too(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    stage.fault("500:1x")?;
    stage.annotate("lobby", REFRESH, "now").await?;
    let is_told = |request: &_| {
        let told = ["Ready=True GrantIssued", "Reconciling=True MediaApiUnavailable", "RefreshFailing=True MediaApiUnavailable"];
        conditions(request) == told && status(request).last_handled_refresh_request.as_deref() == Some("now")
    };
    stage.reaches("lobby", "told of the failure", is_told).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.calls(1) == 2, "a wish that failed was repeated: {} calls", stage.calls(1));
    // A new grant ends what that attempt left.
    stage.annotate("lobby", REFRESH, "again").await?;
    stage.ready("lobby").await.map(drop)
}

async fn suspended_and_resumed_without_a_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let before = stage.secrets.get("lobby").await?;
    for (suspend, has_due) in [(true, false), (false, true)] {
        stage.change("lobby", &json!({"suspend": suspend})).await?;
        let request =
            stage.reaches("lobby", "observed", |request| status(request).observed_generation == request.metadata.generation).await?;
        ensure!(conditions(&request) == ["Ready=True GrantIssued"], "{:?}", conditions(&request));
        ensure!(status(&request).next_refresh_time.is_some() == has_due, "suspend: {suspend}, {:?}", status(&request).next_refresh_time);
    }
    ensure!(stage.secrets.get("lobby").await? == before, "the Secret was touched");
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn a_request_that_is_being_deleted_is_left_alone(scene: Scene) -> Result<()> {
    use kube::api::{DeleteParams, Patch, PatchParams};
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?;
    let finalizer = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    stage.requests.patch("lobby", &PatchParams::default(), &finalizer(json!(["example.com/somebody-elses"]))).await?;
    stage.requests.delete("lobby", &DeleteParams::default()).await?;
    stage.reaches("lobby", "being deleted", |request| request.metadata.deletion_timestamp.is_some()).await?;
    stage.delete_secret("lobby").await?;
    crate::names::ensure_left_alone(&stage).await?;
    stage.requests.patch("lobby", &PatchParams::default(), &finalizer(Value::Null)).await?;
    Ok(())
}
