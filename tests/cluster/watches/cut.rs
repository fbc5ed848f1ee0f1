//! A way to the API server that is cut again and again.

use std::time::Duration;

use anyhow::{Result, ensure};
use playback_grant_testbed::Gate;
use serde_json::json;

use crate::harness::Scene;
use crate::observe::observe;
use crate::stage::Stage;

const REQUESTS: u32 = 10;

/// For some 20 s: cut for so long, and open for so long. A grant is due 9 s before it expires: the way is open at least three times in between,
/// so that it can be written also where the machine is busy.
const CUTS: u32 = 8;
const CUT: Duration = Duration::from_secs(1);
const OPEN: Duration = Duration::from_millis(1500);

pub async fn again_and_again(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let gate = Gate::open(stage.plane.url()).await?;
    let _operator = stage.operator_at(&gate.url(), &["--namespace", &stage.namespace]).await?;
    let names: Vec<_> = (1..=REQUESTS).map(|n| format!("request-{n}")).collect();
    for (n, name) in (1..).zip(&names) {
        stage.ready_request(name, n, &json!({"ttlSeconds": 12, "refreshBeforeExpirySeconds": 9})).await?;
    }
    let mut dropped = Vec::new();
    let judge = observe(&stage, async {
        for _ in 0..CUTS {
            dropped.push(gate.cut());
            tokio::time::sleep(CUT).await;
            gate.mend();
            tokio::time::sleep(OPEN).await;
        }
        for name in &names {
            stage.ready(name).await?;
        }
        Ok(())
    })
    .await?
    .judge;
    eprintln!("{CUTS} cuts, each of so many connections: {dropped:?}");
    ensure!(dropped.iter().all(|dropped| *dropped > 0), "a cut met no connection: this test shows nothing");
    let complaints = judge.complaints(names.iter().map(String::as_str));
    ensure!(complaints.is_empty(), "{}", complaints.join("; "));
    let fewest = names.iter().map(|name| judge.record(name).refreshes()).min().unwrap_or_default();
    ensure!(fewest > 2, "one was refreshed only {fewest} times");
    Ok(())
}
