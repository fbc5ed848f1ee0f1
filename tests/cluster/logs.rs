//! The log: one line for a transition, none for a refresh, and one for what many requests meet together.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{Operator, Stage, conditions, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("logs::what_many_meet_together_is_told_once", what_many_meet_together_is_told_once),
        test("logs::a_refresh_is_no_line", a_refresh_is_no_line),
    ]
}

const REQUESTS: u32 = 20;

/// Calls that are under way when a lane closes have failed by themselves.
const BY_THEMSELVES: usize = 8;

/// How many lines at `info` and above have this in them.
fn lines(operator: &Operator, text: &str) -> Result<usize> {
    let is_told = |line: &&str| [" INFO ", " WARN ", "ERROR "].iter().any(|level| line.contains(level)) && line.contains(text);
    Ok(operator.log()?.lines().filter(is_told).count())
}

async fn what_many_meet_together_is_told_once(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    let name = |n: u32| format!("lobby-{n}");
    for n in 1..=REQUESTS {
        stage.request(&name(n), n, &json!({"ttlSeconds": 4})).await?;
    }
    for n in 1..=REQUESTS {
        stage.ready(&name(n)).await?;
    }
    stage.fault("500")?;
    for n in 1..=REQUESTS {
        let failing = |request: &_| conditions(request).iter().any(|condition| condition.starts_with("Ready=False"));
        stage.reaches(&name(n), "without a grant", failing).await?;
    }
    stage.simulator.clear_faults();
    for n in 1..=REQUESTS {
        stage.ready(&name(n)).await?;
    }
    let told = |text: &str| lines(&operator, text);
    let (closed, opened) =
        (told("the Media API fails calls with the same credentials")?, told("takes calls with the same credentials again")?);
    ensure!((closed, opened) == (1, 1), "the lane was told to close {closed} times, and to open {opened} times");
    let (failing, recovered) = (told("refresh is failing")?, told("refresh is no longer failing")?);
    ensure!(failing <= BY_THEMSELVES && recovered <= BY_THEMSELVES, "{failing} and {recovered} of {REQUESTS} were told one by one");
    let lost = operator.log()?.lines().filter(|line| line.contains(" WARN ") && line.contains("not ready: ")).count();
    let ready = told(" ready: Secret")?;
    ensure!(lost == REQUESTS as usize, "{lost} of {REQUESTS} that lost their grants were told");
    ensure!(ready == 2 * REQUESTS as usize, "of {REQUESTS} it was told {ready} times that they are ready, not twice each");
    Ok(())
}

async fn a_refresh_is_no_line(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    let first = stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?;
    let before = lines(&operator, "")?;
    ensure!(before >= 2, "it starts, and a request becomes ready: {before} lines");
    let second = stage.reaches("lobby", "refreshed", |request| status(request).grant != status(&first).grant).await?;
    stage.reaches("lobby", "refreshed again", |request| status(request).grant != status(&second).grant).await?;
    let after = lines(&operator, "")?;
    ensure!(after == before, "{} lines were written in two refreshes", after - before);
    Ok(())
}
