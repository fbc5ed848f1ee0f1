//! What `/metrics` tells of a running operator, held to what was seen from outside.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::api::DeleteParams;
use playback_grant_testbed::seconds;
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};
use crate::observe::observe;
use crate::stage::{Operator, Stage, conditions, eventually, status};
use crate::webhooks::Webhook;

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("metrics::expired_seconds_are_those_that_an_observer_sees", expired_seconds_are_those_that_an_observer_sees),
        test("metrics::what_cannot_be_written_is_counted_as_it_stands", what_cannot_be_written_is_counted_as_it_stands),
        test("metrics::of_a_refresh_each_is_counted_once", of_a_refresh_each_is_counted_once),
        test("metrics::a_coarse_status_tells_transitions_alone", a_coarse_status_tells_transitions_alone),
        test("metrics::what_is_deleted_is_counted_no_more", what_is_deleted_is_counted_no_more),
        test("metrics::what_was_suspended_is_not_late", what_was_suspended_is_not_late),
    ]
}

const EXPIRED: &str = "playback_grant_expired_seconds_total";

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

/// Whether these counts are those.
fn are(counts: &[f64], expected: &[f64]) -> bool {
    counts.len() == expected.len() && counts.iter().zip(expected).all(|(count, expected)| (count - expected).abs() < 0.5)
}

fn expiry_series(stage: &Stage, name: &str) -> String {
    format!("playback_grant_expiry_timestamp_seconds{{namespace=\"{}\",name=\"{name}\"}}", stage.namespace)
}

async fn value(operator: &Operator, series: &str) -> Result<f64> {
    values(operator, [series]).await.map(|[value]| value)
}

async fn expired_seconds_are_those_that_an_observer_sees(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator_with(&["--namespace", &stage.namespace, "--per-object-metrics"]).await?;
    let mut counted = 0.0;
    let observed = observe(&stage, async {
        for (n, name) in [(1, "lobby"), (2, "kiosk")] {
            stage.ready_request(name, n, &json!({"ttlSeconds": 4})).await?;
        }
        ensure!(value(&operator, EXPIRED).await? == 0.0, "something has expired in quiet");
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
        counted = value(&operator, EXPIRED).await?;
        Ok(())
    })
    .await?;
    let refreshed = stage.change("lobby", &json!({"ttlSeconds": 60})).await?;
    stage.reaches("lobby", "refreshed", |request| status(request).observed_generation == refreshed.metadata.generation).await?;
    let grant = status(&stage.ready("lobby").await?).grant.context("no grant")?;
    let expiry: k8s_openapi::jiff::Timestamp = grant.expiry_time.parse()?;
    let expiry = expiry.duration_since(k8s_openapi::jiff::Timestamp::UNIX_EPOCH).as_secs_f64();
    let series = expiry_series(&stage, "lobby");
    let told = async || value(&operator, &series).await;
    eventually(&format!("the expiry is told as {expiry}"), told, |told| (told - expiry).abs() <= 0.1, |told| *told).await?;
    let seen: u64 = ["lobby", "kiosk"].map(|name| observed.judge.record(name).expired).iter().sum();
    let difference = (counted - seconds(seen)).abs();
    ensure!(seen > 5_000 && difference <= AGREES, "the operator counts {counted} s, an observer sees {seen} ms");
    Ok(())
}

/// A grant in hand is no use to who looks at the Secret.
async fn what_cannot_be_written_is_counted_as_it_stands(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    let mut counted = 0.0;
    let observed = observe(&stage, async {
        stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?;
        let webhook = Webhook::start(json!({"code": 403, "reason": "Forbidden", "message": "not now"})).await?;
        let configurations = webhook.register(&stage, "lobby").await?;
        tokio::time::sleep(Duration::from_secs(9)).await;
        let states = ["fresh", "expired"].map(|state| format!("playback_grants{{state=\"{state}\"}}"));
        let states = values(&operator, states.each_ref().map(String::as_str)).await?;
        ensure!(are(&states, &[0.0, 1.0]) && stage.calls(1) >= 2, "fresh and expired are {states:?} after {} calls", stage.calls(1));
        configurations.delete(&stage.namespace, &DeleteParams::default()).await?;
        stage.ready("lobby").await?;
        counted = value(&operator, EXPIRED).await?;
        Ok(())
    })
    .await?;
    let seen = observed.judge.record("lobby").expired;
    let difference = (counted - seconds(seen)).abs();
    ensure!(seen > 4_000 && difference <= AGREES, "the operator counts {counted} s, an observer sees {seen} ms");
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
    ensure!(are(&before[6..], &[0.0; 2]), "the first grant is counted as late, or as left: {before:?}");
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
    const REFRESHED: &str = "playback_grant_refreshes_total{result=\"success\",reason=\"GrantIssued\"}";
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator_with(&["--namespace", &stage.namespace, "--status-interval", "3600"]).await?;
    let first = status(&stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?);
    ensure!(first.grant.is_none() && first.next_refresh_time.is_none(), "it says what it can't keep up: {first:?}");
    let last = stage.last_asked().await?;
    let refreshed = async || value(&operator, REFRESHED).await;
    eventually("it was refreshed twice", refreshed, |refreshed| *refreshed >= 3.0, |refreshed| *refreshed).await?;
    let asked = stage.asked(last.as_ref()).await?;
    let of = |what: &str| asked.iter().filter(|asked| *asked == what).count();
    let (secrets, statuses) = (of("patch secrets/lobby"), of("patch playbackgrantrequests.status/lobby"));
    ensure!(secrets >= 2 && statuses == 0, "{secrets} Secrets and {statuses} statuses were written in two refreshes: {asked:?}");
    ensure!(status(&stage.requests.get("lobby").await?) == first, "the status has changed");
    stage.fault("500")?;
    stage.reaches("lobby", "failing", |request| conditions(request).iter().any(|one| one.starts_with("RefreshFailing=True"))).await?;
    stage.simulator.clear_faults();
    stage.ready("lobby").await?;
    Ok(())
}

/// Neither what is gone, nor what was there before one of the same name.
async fn what_is_deleted_is_counted_no_more(scene: Scene) -> Result<()> {
    const STATES: [&str; 4] = ["fresh", "expired", "absent", "suspended"];
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator_with(&["--namespace", &stage.namespace, "--per-object-metrics"]).await?;
    let states = async || {
        values(&operator, STATES.map(|state| format!("playback_grants{{state=\"{state}\"}}")).each_ref().map(String::as_str)).await
    };
    let come_to = async |what: &str, expected: [f64; 4]| {
        eventually(&format!("{what}, {STATES:?} are {expected:?}"), states, |states| are(states, &expected), Clone::clone).await.map(drop)
    };
    for (of_the_name, left) in [("gone", [0.0; 4]), ("another", [0.0, 0.0, 1.0, 0.0])] {
        stage.ready_request("lobby", 1, &json!({"ttlSeconds": 2})).await?;
        stage.fault("500")?;
        come_to("without a grant", [0.0, 1.0, 0.0, 0.0]).await?;
        stage.requests.delete("lobby", &DeleteParams::default()).await?;
        if of_the_name == "another" {
            stage.request("lobby", 2, &json!({"ttlSeconds": 2, "secret": {"name": "other"}})).await?;
        }
        come_to(of_the_name, left).await?;
        let before = value(&operator, EXPIRED).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = value(&operator, EXPIRED).await?;
        ensure!(before > 0.0 && after.to_bits() == before.to_bits(), "{of_the_name}: {before} s, and two seconds later {after} s");
        ensure!(!operator.get("/metrics").await?.1.contains(&expiry_series(&stage, "lobby")), "{of_the_name}: its expiry is told");
        stage.simulator.clear_faults();
    }
    Ok(())
}

async fn what_was_suspended_is_not_late(scene: Scene) -> Result<()> {
    const COUNTED: [&str; 3] = [
        "playback_grant_refreshes_total{result=\"success\",reason=\"GrantIssued\"}",
        "playback_grant_remaining_life_seconds_count",
        "playback_grant_refresh_lateness_seconds_count",
    ];
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?;
    stage.change("lobby", &json!({"suspend": true})).await?;
    stage.reaches("lobby", "suspended", |request| conditions(request) == ["Ready=False Suspended"]).await?;
    let [refreshes, left, late] = values(&operator, COUNTED).await?;
    stage.change("lobby", &json!({"suspend": false})).await?;
    let counted = async || values(&operator, COUNTED).await;
    let come_to = async |expected: [f64; 3]| {
        eventually(&format!("{expected:?} are counted"), counted, |counted| are(counted, &expected), Clone::clone).await
    };
    come_to([refreshes + 1.0, left, late]).await?;
    come_to([refreshes + 2.0, left + 1.0, late + 1.0]).await?;
    Ok(())
}
