//! A restart costs nothing: no call for what is fresh, one read for each fresh Secret.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use playback_grant_operator::api::names::annotation;
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{A_WHILE, Stage, data, eventually};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("restart::after_a_kill_no_call_is_made_for_what_is_fresh", after_a_kill_no_call_is_made_for_what_is_fresh),
        test("restart::what_was_read_is_in_hand_again", what_was_read_is_in_hand_again),
        test("restart::what_has_become_due_meanwhile_is_refreshed", what_has_become_due_meanwhile_is_refreshed),
        test("restart::sigterm_ends_it_at_once_with_0", sigterm_ends_it_at_once_with_0),
        test("restart::what_is_being_written_is_waited_for", what_is_being_written_is_waited_for),
    ]
}

fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

const NAMES: [&str; 5] = ["request-1", "request-2", "request-3", "request-4", "request-5"];

async fn after_a_kill_no_call_is_made_for_what_is_fresh(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    for (n, name) in (1..).zip(NAMES) {
        stage.ready_request(name, n, &long()).await?;
    }
    operator.kill9().await?;
    let last = stage.last_asked().await?;
    let _operator = stage.operator().await?;
    let expected: BTreeMap<String, u32> =
        NAMES.iter().map(|name| format!("get secrets/{name}")).chain(["get secrets/media-api".to_owned()]).map(|read| (read, 1)).collect();
    let asked = async || {
        let mut asked = BTreeMap::<String, u32>::new();
        for request in stage.asked(last.as_ref()).await? {
            *asked.entry(request).or_default() += 1;
        }
        Ok(asked)
    };
    eventually("each fresh Secret is read, and the credentials", asked, |asked| *asked == expected, Clone::clone).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(asked().await? == expected, "in the end the API server was asked {:?}", asked().await?);
    let calls = stage.simulator.counters().total.received;
    ensure!(calls == 5, "{calls} calls were made for five grants");
    Ok(())
}

async fn what_was_read_is_in_hand_again(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    operator.kill9().await?;
    let last = stage.last_asked().await?;
    let _operator = stage.operator().await?;
    let before = stage.secrets.get("lobby").await?;
    let asked = async || stage.asked(last.as_ref()).await;
    eventually("the Secret is read", asked, |asked| asked.iter().any(|asked| asked == "get secrets/lobby"), Clone::clone).await?;
    // The answer may be a moment behind its line in the log.
    tokio::time::sleep(A_WHILE).await;
    stage.delete_secret("lobby").await?;
    let after = stage.holds("lobby", "back", |secret| secret.metadata.uid != before.metadata.uid).await?;
    ensure!(data(&after, "grant") == data(&before, "grant"), "another grant is in it");
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn what_has_become_due_meanwhile_is_refreshed(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    // Due after 5 s, and alive for 15 more.
    let spec = json!({"ttlSeconds": 20, "refreshBeforeExpirySeconds": 15});
    stage.ready_request("lobby", 1, &spec).await?;
    operator.kill9().await?;
    let before = stage.secrets.get("lobby").await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let _operator = stage.operator().await?;
    let after = stage.holds("lobby", "refreshed", |secret| data(secret, "grant") != data(&before, "grant")).await?;
    let time = |secret: &Secret, name: &str| -> Result<Timestamp> { Ok(secret.annotations().get(name).context("no time")?.parse()?) };
    let (asked, expires) = (time(&after, annotation::ISSUE_TIME)?, time(&before, annotation::EXPIRY_TIME)?);
    ensure!(asked < expires, "it was asked for at {asked} only, and the one before had expired at {expires}");
    stage.ready("lobby").await.map(drop)
}

async fn sigterm_ends_it_at_once_with_0(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    // A call that hangs holds nothing up.
    stage.fault("hang")?;
    stage.request("kiosk", 2, &json!({})).await?;
    eventually("the call is under way", async || Ok(stage.calls(2)), |calls| *calls > 0, |calls| *calls).await?;
    let before = stage.simulator.counters().total.received;
    // Half of what a call that hangs is given.
    ensure!(operator.process.terminate(Duration::from_secs(5)).await? == 0, "it did not end with 0");
    // Another may have joined the one that hangs just before.
    let after = stage.simulator.counters().total.received;
    ensure!(after <= before + 1, "it called {} times more", after - before);
    ensure!(operator.log()?.contains("told to end by SIGTERM"), "the log doesn't tell of it");
    Ok(())
}

async fn what_is_being_written_is_waited_for(_: Scene) -> Result<()> {
    Stage::alone(async |stage| {
        let operator = stage.operator().await?;
        stage.ready_request("lobby", 1, &long()).await?;
        let before = stage.secrets.get("lobby").await?;
        stage.fault("latency=1s")?;
        stage.annotate("lobby", annotation::REFRESH_REQUESTED_AT, "now").await?;
        eventually("the call is under way", async || Ok(stage.calls(1)), |calls| *calls == 2, |calls| *calls).await?;
        stage.plane.api_server().stop();
        // The answer comes, and the write waits for its own.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let goes_on = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let has_ended = operator.process.wait_exited(Duration::ZERO).await.is_ok();
            stage.plane.api_server().cont();
            ensure!(!has_ended, "it did not wait for the write");
            Ok(())
        };
        let (code, ()) = tokio::try_join!(operator.process.terminate(Duration::from_secs(8)), goes_on)?;
        ensure!(code == 0, "it ended with {code}");
        let after = stage.secrets.get("lobby").await?;
        ensure!(data(&after, "grant") != data(&before, "grant"), "the grant that had come was not written");
        Ok(())
    })
    .await
}
