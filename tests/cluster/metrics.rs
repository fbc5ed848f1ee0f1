//! What `/metrics` tells of a running operator, held to what was seen from outside.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use playback_grant_testbed::seconds;
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};
use crate::observe::observe;
use crate::stage::{Operator, Stage, conditions, eventually, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("metrics::expired_seconds_are_those_that_an_observer_sees", expired_seconds_are_those_that_an_observer_sees),
        test("metrics::of_a_refresh_each_is_counted_once", of_a_refresh_each_is_counted_once),
        test("metrics::a_coarse_status_tells_transitions_alone", a_coarse_status_tells_transitions_alone),
    ]
}

/// By how much the operator's count of expired seconds may differ from the observer's.
const AGREES: f64 = 0.2;

/// The values of series at one moment, by their names with their labels; 0 where there is none yet.
async fn values<const N: usize>(operator: &Operator, series: [&str; N]) -> Result<[f64; N]> {
    let (_, metrics) = operator.get("/metrics").await?;
    let mut values = [0.0; N];
    for (series, of) in series.iter().zip(&mut values) {
        if let Some(value) = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')) {
            *of = value.parse().with_context(|| format!("{series} is {value}"))?;
        }
    }
    Ok(values)
}

async fn value(operator: &Operator, series: &str) -> Result<f64> {
    values(operator, [series]).await.map(|[value]| value)
}

async fn expired_seconds_are_those_that_an_observer_sees(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator_with(&["--namespace", &stage.namespace, "--per-object-metrics"]).await?;
    let expired = "playback_grant_expired_seconds_total";
    let mut counted = 0.0;
    let observed = observe(&stage, async {
        for (n, name) in [(1, "lobby"), (2, "kiosk")] {
            stage.ready_request(name, n, &json!({"ttlSeconds": 4})).await?;
        }
        ensure!(value(&operator, expired).await? == 0.0, "something has expired in quiet");
        ensure!(value(&operator, "playback_grants{state=\"fresh\"}").await? > 1.5, "not both are fresh");
        stage.fault("500")?;
        tokio::time::sleep(Duration::from_secs(9)).await;
        ensure!(value(&operator, "playback_grants{state=\"expired\"}").await? > 1.5, "not both are expired");
        ensure!(value(&operator, "playback_grant_lanes{state=\"closed\"}").await? > 0.5, "the lane isn't closed");
        let refused = value(&operator, "playback_grant_refreshes_total{result=\"failure\",reason=\"MediaApiUnavailable\"}").await?;
        ensure!(refused >= 1.0, "{refused} refreshes have failed");
        stage.simulator.clear_faults();
        for name in ["lobby", "kiosk"] {
            stage.ready(name).await?;
        }
        counted = value(&operator, expired).await?;
        let series = format!("playback_grant_expiry_timestamp_seconds{{namespace=\"{}\",name=\"lobby\"}}", stage.namespace);
        let (told, before) = (value(&operator, &series).await?, stage.requests.get("lobby").await?);
        ensure!(told > 1.7e9, "the expiry of one is told as {told}: {:?}", status(&before).grant.map(|grant| grant.expiry_time));
        Ok(())
    })
    .await?;
    let seen: u64 = ["lobby", "kiosk"].map(|name| observed.judge.record(name).expired).iter().sum();
    let difference = (counted - seconds(seen)).abs();
    ensure!(seen > 5_000 && difference <= AGREES, "the operator counts {counted} s, an observer sees {seen} ms");
    Ok(())
}

async fn of_a_refresh_each_is_counted_once(scene: Scene) -> Result<()> {
    const SERIES: [&str; 8] = [
        "playback_grant_refreshes_total{result=\"success\",reason=\"GrantIssued\"}",
        "playback_grant_refresh_duration_seconds_count",
        "playback_grant_media_api_requests_total{result=\"Granted\",code=\"201\"}",
        "playback_grant_media_api_request_duration_seconds_count",
        "playback_grant_api_server_requests_total{request=\"patch_secret\",result=\"ok\"}",
        "playback_grant_api_server_requests_total{request=\"patch_status\",result=\"ok\"}",
        "playback_grant_remaining_life_seconds_count",
        "playback_grant_refresh_lateness_seconds_count",
    ];
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    let first = stage.ready_request("lobby", 1, &json!({"ttlSeconds": 6, "refreshBeforeExpirySeconds": 2})).await?;
    // The operator counts what was answered a moment after others see it.
    let counted = async || values(&operator, SERIES).await;
    let is_issued = |counted: &[f64; 8]| counted[..4].iter().all(|count| (0.5..1.5).contains(count)) && counted[5] > 0.5;
    let before = eventually("the first grant is counted", counted, is_issued, Clone::clone).await?;
    stage.reaches("lobby", "refreshed", |request| status(request).grant != status(&first).grant).await?;
    let grown = async || counted().await.map(|after| after.iter().zip(&before).map(|(after, before)| after - before).collect::<Vec<f64>>());
    let by_one = |grown: &Vec<f64>| *grown == [1.0; 8];
    eventually(&format!("by one refresh {SERIES:?} grow by one each"), grown, by_one, Clone::clone).await?;
    let left = value(&operator, "playback_grant_remaining_life_seconds_sum").await?;
    ensure!((1.0..=2.2).contains(&left), "what was left of 2 s is told as {left}");
    Ok(())
}

/// With `--status-interval`: what the refreshes count up is what is left of their cost.
async fn a_coarse_status_tells_transitions_alone(scene: Scene) -> Result<()> {
    const STATUS: &str = "playback_grant_api_server_requests_total{request=\"patch_status\",result=\"ok\"}";
    const REFRESHED: &str = "playback_grant_refreshes_total{result=\"success\",reason=\"GrantIssued\"}";
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator_with(&["--namespace", &stage.namespace, "--status-interval", "60"]).await?;
    let first = status(&stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?);
    ensure!(first.grant.is_none() && first.next_refresh_time.is_none(), "it says what it can't keep up: {first:?}");
    let of_status = value(&operator, STATUS).await?;
    let refreshed = async || value(&operator, REFRESHED).await;
    eventually("it was refreshed twice", refreshed, |refreshed| *refreshed >= 3.0, |refreshed| *refreshed).await?;
    let more = value(&operator, STATUS).await? - of_status;
    // Its first status may have been counted after others saw it.
    ensure!(more <= 1.0, "{more} statuses were written in two refreshes");
    ensure!(status(&stage.requests.get("lobby").await?) == first, "the status has changed");
    stage.fault("500")?;
    stage.reaches("lobby", "failing", |request| conditions(request).iter().any(|one| one.starts_with("RefreshFailing=True"))).await?;
    stage.simulator.clear_faults();
    stage.ready("lobby").await?;
    Ok(())
}
