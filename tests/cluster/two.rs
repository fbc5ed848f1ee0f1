//! Two operators at once, as in a rolling update: no harm but extra calls.

use std::time::Duration;

use anyhow::{Result, ensure};
use playback_grant_testbed::{AuditedRequest, Stopwatch};
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};
use crate::observe::{Observed, most_refreshes, observe};
use crate::stage::{Operator, PATIENCE, Stage};

pub fn tests() -> Vec<ClusterTest> {
    vec![test("two::at_once_for_a_minute", at_once_for_a_minute), test("two::a_rolling_replacement", a_rolling_replacement)]
}

const NAMES: [&str; 6] = ["request-1", "request-2", "request-3", "request-4", "request-5", "request-6"];

/// A token in the same Secret is one more thing that two could write over one another.
const WITH_TOKEN: &str = "request-6";

async fn all_ready(stage: &Stage, ttl: u32, before: u32) -> Result<()> {
    for (n, name) in (1..).zip(NAMES) {
        let mut spec = json!({"ttlSeconds": ttl, "refreshBeforeExpirySeconds": before});
        if name == WITH_TOKEN {
            spec["accessToken"] = json!({"identity": "kiosk-1"});
        }
        stage.request(name, n, &spec).await?;
    }
    for name in NAMES {
        stage.ready(name).await?;
    }
    Ok(())
}

fn calls(stage: &Stage) -> Vec<u64> {
    (1..).zip(NAMES).map(|(n, _)| stage.calls(n)).collect()
}

/// What there was before it was looked on.
struct Before {
    calls: Vec<u64>,
    asked: Option<AuditedRequest>,
}

impl Before {
    async fn now(stage: &Stage) -> Result<Self> {
        Ok(Self { calls: calls(stage), asked: stage.last_asked().await? })
    }
}

/// What holds however many operators there are, `at_once` of them at the most.
async fn ensure_harmless(stage: &Stage, observed: &Observed, before: &Before, most: u64, at_once: u64) -> Result<()> {
    observed.ensure_fresh(NAMES)?;
    observed.ensure_told(NAMES, &[(&["Ready=True GrantIssued"], 0)])?;
    let asked = stage.asked(before.asked.as_ref()).await?;
    let (mut all_calls, mut all_writes, mut all_statuses) = (0, 0, 0);
    for ((name, before), now) in NAMES.into_iter().zip(&before.calls).zip(calls(stage)) {
        let (calls, writes) = (now - before, observed.writes(name));
        let status = format!("patch playbackgrantrequests.status/{name}");
        let statuses = asked.iter().filter(|asked| **asked == status).count() as u64;
        ensure!(calls <= most, "{calls} calls for {name}, at most {most} are needed");
        // A call brings one write at the most; those under way when the looking began were made before.
        ensure!(writes <= calls + at_once, "{name} was written {writes} times after {calls} calls");
        // Each operator tells once of each grant that it writes or finds, where both do so at once one is refused first, and two that write over each
        // other's words would do so without end.
        ensure!(statuses <= 3 * writes + 6, "{statuses} statuses of {name} were written for {writes} grants");
        all_calls += calls;
        all_writes += writes;
        all_statuses += statuses;
    }
    eprintln!(
        "{} requests: {all_calls} calls ({most} for each are the most), {all_writes} writes, {all_statuses} statuses, nothing expired",
        NAMES.len()
    );
    Ok(())
}

async fn at_once_for_a_minute(scene: Scene) -> Result<()> {
    const TTL: u32 = 10;
    const BEFORE: u32 = 5;
    let stage = Stage::set(&scene).await?;
    let operators = [stage.operator().await?, stage.operator().await?];
    for operator in &operators {
        operator.ready().await?;
    }
    all_ready(&stage, TTL, BEFORE).await?;
    let (before, stopwatch) = (Before::now(&stage).await?, Stopwatch::start());
    let mut called = Vec::new();
    for operator in &operators {
        called.push(operator.media_calls().await?);
    }
    let look_on = async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        Ok(())
    };
    let observed = observe(&stage, look_on).await?;
    let most = 2 * most_refreshes(TTL, BEFORE, stopwatch.elapsed())?;
    for (operator, before) in operators.iter().zip(called) {
        let called = operator.media_calls().await? - before;
        eprintln!("one of the two has called {called} times");
        ensure!(called > 0, "one of the two has made no call: this test shows nothing");
    }
    for operator in operators {
        ensure!(operator.process.terminate(PATIENCE).await? == 0, "it did not end with 0");
    }
    ensure_harmless(&stage, &observed, &before, most, 2).await
}

/// How an operator goes.
enum End {
    Told,
    Killed,
}

async fn a_rolling_replacement(scene: Scene) -> Result<()> {
    const TTL: u32 = 6;
    const BEFORE: u32 = 4;
    const ALONE: Duration = Duration::from_secs(5);
    const BOTH: Duration = Duration::from_secs(3);
    let stage = Stage::set(&scene).await?;
    let mut operator = (stage.operator().await?, Stopwatch::start());
    all_ready(&stage, TTL, BEFORE).await?;
    let before = Before::now(&stage).await?;
    // Each operator in its own time calls as often as it would alone.
    let mut most = 0;
    let mut ended = |(operator, since): (Operator, Stopwatch)| {
        most += most_refreshes(TTL, BEFORE, since.elapsed())?;
        Ok::<_, anyhow::Error>(operator)
    };
    let replace = async {
        for end in [End::Told, End::Told, End::Killed, End::Told] {
            tokio::time::sleep(ALONE).await;
            let next = (stage.operator().await?, Stopwatch::start());
            next.0.ready().await?;
            tokio::time::sleep(BOTH).await;
            let previous = ended(std::mem::replace(&mut operator, next))?;
            match end {
                End::Told => ensure!(previous.process.terminate(PATIENCE).await? == 0, "it did not end with 0"),
                End::Killed => previous.kill9().await?,
            }
        }
        tokio::time::sleep(ALONE).await;
        Ok(())
    };
    let observed = observe(&stage, replace).await?;
    let last = ended(operator)?;
    ensure!(last.process.terminate(PATIENCE).await? == 0, "it did not end with 0");
    ensure_harmless(&stage, &observed, &before, most, 1).await
}
