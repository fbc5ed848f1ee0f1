//! Events: each transition is told once, a refresh as usual never, and what can't be told harms nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{Stage, conditions, eventually, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("events::each_transition_is_told_and_no_refresh", each_transition_is_told_and_no_refresh),
        test("events::an_obstacle_is_told_of_with_its_reason", an_obstacle_is_told_of_with_its_reason),
        test("events::one_that_was_deleted_is_made_again", one_that_was_deleted_is_made_again),
    ]
}

/// What `kubectl describe` shows of a request, in the order of time: type, reason, and how often.
async fn told(stage: &Stage, request: &str) -> Result<Vec<String>> {
    let uid = stage.requests.get(request).await?.uid();
    let events: Api<Event> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let mut events = events.list(&ListParams::default()).await?.items;
    events.retain(|event| event.regarding.as_ref().is_some_and(|regarding| regarding.uid == uid));
    events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
    let line = |event: &Event| {
        let (type_, reason) = (event.type_.as_deref().unwrap_or_default(), event.reason.as_deref().unwrap_or_default());
        let times = event.series.as_ref().map(|series| format!(" x{}", series.count)).unwrap_or_default();
        format!("{type_} {reason}{times}")
    };
    Ok(events.iter().map(line).collect())
}

pub async fn are_told(stage: &Stage, request: &str, expected: &[&str]) -> Result<()> {
    eventually("the Events are those expected", async || told(stage, request).await, |told| told == expected, Clone::clone).await?;
    Ok(())
}

async fn each_transition_is_told_and_no_refresh(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let first = stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?;
    let is_later = |request: &_| status(request).grant != status(&first).grant;
    stage.reaches("lobby", "refreshed", is_later).await?;
    are_told(&stage, "lobby", &["Normal GrantIssued"]).await?;

    stage.fault("500")?;
    stage.reaches("lobby", "without a grant", |request| conditions(request)[0].starts_with("Ready=False")).await?;
    let failed = ["Normal GrantIssued", "Warning MediaApiUnavailable", "Warning GrantExpired"];
    are_told(&stage, "lobby", &failed).await?;
    stage.simulator.clear_faults();
    stage.ready("lobby").await?;
    let recovered = [&failed[..], &["Normal RefreshRecovered"]].concat();
    are_told(&stage, "lobby", &recovered).await?;

    stage.change("lobby", &json!({"suspend": true})).await?;
    let suspended = [&recovered[..], &["Normal Suspended"]].concat();
    are_told(&stage, "lobby", &suspended).await?;
    stage.change("lobby", &json!({"suspend": false})).await?;
    let resumed = [&suspended[..], &["Normal Resumed"]].concat();
    are_told(&stage, "lobby", &resumed).await?;

    // The same again within minutes counts up what is there.
    let before = stage.ready("lobby").await?;
    stage.reaches("lobby", "refreshed", |request| status(request).grant != status(&before).grant).await?;
    stage.fault("500")?;
    stage.reaches("lobby", "failing", |request| conditions(request).iter().any(|one| one.starts_with("RefreshFailing"))).await?;
    let mut again = resumed.clone();
    again[1] = "Warning MediaApiUnavailable x2";
    are_told(&stage, "lobby", &again).await
}

async fn an_obstacle_is_told_of_with_its_reason(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let foreign: Secret = serde_json::from_value(json!({"metadata": {"name": "taken"}, "stringData": {"key": "another's"}}))?;
    stage.secrets.create(&PostParams::default(), &foreign).await?;
    let operator = stage.operator().await?;
    stage.request("lobby", 1, &json!({"secret": {"name": "taken"}})).await?;
    are_told(&stage, "lobby", &["Warning SecretConflict"]).await?;
    stage.request("kiosk", 2, &json!({"credentialsSecretRef": {"name": "nowhere"}})).await?;
    are_told(&stage, "kiosk", &["Warning CredentialsNotFound"]).await?;
    // Nothing more comes of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensure!(told(&stage, "lobby").await? == ["Warning SecretConflict"], "{:?}", told(&stage, "lobby").await?);
    let (_, metrics) = operator.get("/metrics").await?;
    ensure!(metrics.contains("playback_grant_events_total{result=\"published\"} 2\n"), "two Events are counted as: {metrics}");
    Ok(())
}

/// Of the same again the recorder changes what it made, which somebody may have deleted.
async fn one_that_was_deleted_is_made_again(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({})).await?;
    stage.change("lobby", &json!({"suspend": true})).await?;
    are_told(&stage, "lobby", &["Normal GrantIssued", "Normal Suspended"]).await?;
    let events: Api<Event> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let suspended = events.list(&ListParams::default()).await?.items.into_iter().find(|event| event.reason.as_deref() == Some("Suspended"));
    events.delete(&suspended.context("there is none")?.name_any(), &DeleteParams::default()).await?;
    stage.change("lobby", &json!({"suspend": false})).await?;
    are_told(&stage, "lobby", &["Normal GrantIssued", "Normal Resumed"]).await?;
    stage.change("lobby", &json!({"suspend": true})).await?;
    are_told(&stage, "lobby", &["Normal GrantIssued", "Normal Resumed", "Normal Suspended"]).await
}
