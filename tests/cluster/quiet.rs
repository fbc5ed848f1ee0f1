//! In quiet: no expired second, and nothing is asked of anybody that isn't needed. As it is shipped: one operator for all namespaces.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_testbed::{AuditQuery, AuditedRequest, Stopwatch, service_account_user, unix_millis};
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::search_everything;
use crate::logs::lines;
use crate::observe::{most_refreshes, observe};
use crate::stage::{ACCOUNT, PATIENCE, Stage, described, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![test(
        "quiet::two_minutes_without_an_expired_second_or_a_needless_request",
        two_minutes_without_an_expired_second_or_a_needless_request,
    )]
}

const FOR: Duration = Duration::from_mins(2);

/// Name, number of the PlayerStreamer, TTL, refreshBefore, and how many refreshes are the fewest in that time.
const REQUESTS: [(&str, u32, u32, u32, u64); 3] = [("lobby", 1, 15, 5, 10), ("kiosk", 2, 15, 10, 20), ("keynote", 3, 60, 20, 2)];

/// A token beside the grant costs nothing more.
const WITH_TOKEN: &str = "kiosk";

async fn two_minutes_without_an_expired_second_or_a_needless_request(_: Scene) -> Result<()> {
    // A control plane of its own: the others' requests would be served too.
    Stage::alone(two_minutes).await
}

async fn two_minutes(stage: &Stage) -> Result<()> {
    let operator = stage.operator_with(&[]).await?;
    for (name, n, ttl, before, _) in REQUESTS {
        let mut spec = json!({"ttlSeconds": ttl, "refreshBeforeExpirySeconds": before});
        if name == WITH_TOKEN {
            spec["accessToken"] = json!({"identity": "kiosk-1"});
        }
        stage.ready_request(name, n, &spec).await?;
    }
    // From here on an operator that finds everything fresh: its start is part of what is counted.
    rest(stage).await?;
    ensure!(operator.process.terminate(PATIENCE).await? == 0, "it did not end with 0");
    let calls_before = counts(|n| stage.calls(n));
    let asked_before = asked(stage).await?.len();
    let stopwatch = Stopwatch::start();
    let observed = observe(stage, async {
        let operator = stage.operator_with(&[]).await?;
        tokio::time::sleep(FOR).await;
        rest(stage).await?;
        let said = lines(&operator, " playback_grant_operator::")?;
        ensure!(said.len() == 1 && said[0].contains("the controller starts"), "in quiet it said {said:#?}");
        let (_, metrics) = operator.get("/metrics").await?;
        for figure in
            ["playback_grant_expired_seconds_total 0.0".to_owned(), format!("playback_grants{{state=\"fresh\"}} {}", REQUESTS.len())]
        {
            ensure!(metrics.lines().any(|line| line == figure), "not {figure}: {metrics}");
        }
        for figure in ["playback_grant_watch_errors_total{", "playback_grant_events_total{"] {
            ensure!(!metrics.contains(figure), "there is a {figure}: {metrics}");
        }
        ensure!(operator.process.terminate(PATIENCE).await? == 0, "it did not end with 0");
        Ok(())
    })
    .await?;
    let ran_for = stopwatch.elapsed();

    let mut needed = BTreeMap::from([("get secrets/media-api".to_owned(), 1)]);
    for (name, n, ttl, before, fewest) in REQUESTS {
        let record = observed.judge.record(name);
        ensure!(record.expired == 0 && record.unreadable == 0, "{name} stood expired for {} ms", record.expired);
        let calls = stage.calls(n) - calls_before[name];
        let most = most_refreshes(ttl, before, ran_for)?;
        ensure!((fewest..=most).contains(&calls), "{name} was refreshed {calls} times, not {fewest} to {most}");
        ensure!(u64::from(record.refreshes()) == calls, "{calls} calls for {name}, and {} new grants in its Secret", record.refreshes());
        needed.insert(format!("get secrets/{name}"), 1);
        needed.insert(format!("patch secrets/{name}"), calls);
        needed.insert(format!("patch playbackgrantrequests.status/{name}"), calls);
    }
    let mut found = BTreeMap::<String, u64>::new();
    let (mut lists, mut watches) = (0, 0);
    for request in &asked(stage).await?[asked_before..] {
        match request.verb.as_str() {
            "list" => lists += 1,
            "watch" => watches += 1,
            _ => *found.entry(described(request)).or_default() += 1,
        }
        let is_narrow = request.uri.contains("labelSelector=") || request.uri.contains("fieldSelector=metadata.name");
        ensure!(request.resource != "secrets" || !request.name.is_empty() || is_narrow, "all Secrets are looked at: {}", request.uri);
    }
    ensure!(found == needed, "asked of the API server: {found:?}; needed: {needed:?}");
    // Requests, grant Secrets and credentials are each listed once; a watch ends after 30 s, and is taken up again.
    ensure!((3..=6).contains(&lists) && (3..=30).contains(&watches), "{lists} lists and {watches} watches");
    search_everything(&stage.plane).await.map(drop)
}

/// What the operator's account has asked of the API server.
async fn asked(stage: &Stage) -> Result<Vec<AuditedRequest>> {
    // An answer may be a moment ahead of its line in the log; a later request's line isn't.
    stage.last_asked().await?;
    let user = service_account_user(ACCOUNT.0, ACCOUNT.1);
    stage.plane.audit_log().requests(&AuditQuery { user: Some(&user), ..AuditQuery::default() })
}

/// Waits for a moment at which nothing is under way: every grant is written, reported, and not due for a while.
async fn rest(stage: &Stage) -> Result<()> {
    let get = async || Ok(stage.requests.list(&kube::api::ListParams::default()).await?.items);
    let soon = |request: &PlaybackGrantRequest| {
        let due = status(request).next_refresh_time.and_then(|due| due.parse::<k8s_openapi::jiff::Timestamp>().ok());
        let due = due.and_then(|due| u64::try_from(due.as_millisecond()).ok()).unwrap_or_default();
        due < unix_millis() + 1500
    };
    crate::stage::eventually("nothing is due", get, |requests| !requests.iter().any(soon), Vec::len).await.map(drop)
}

fn counts(calls: impl Fn(u32) -> u64) -> BTreeMap<&'static str, u64> {
    REQUESTS.into_iter().map(|(name, n, ..)| (name, calls(n))).collect()
}
