//! The log: one line for a transition, none for a refresh, and one for what many requests meet together.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{Operator, Stage, conditions, eventually, sid, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("logs::what_many_meet_together_is_told_once", what_many_meet_together_is_told_once),
        test("logs::a_refresh_is_no_line", a_refresh_is_no_line),
        test("logs::what_one_meets_alone_is_told_of_it", what_one_meets_alone_is_told_of_it),
    ]
}

const REQUESTS: u32 = 20;

/// Calls that are under way when a lane closes have failed by themselves.
const BY_THEMSELVES: usize = 8;

/// The lines at `info` and above that have this in them.
pub fn lines(operator: &Operator, text: &str) -> Result<Vec<String>> {
    let is_told = |line: &&str| [" INFO ", " WARN ", "ERROR "].iter().any(|level| line.contains(level)) && line.contains(text);
    Ok(operator.log()?.lines().filter(is_told).map(str::to_owned).collect())
}

/// Waits until there are so many of them: what a status says is told a moment after it stands there.
async fn told(operator: &Operator, text: &str, times: usize) -> Result<()> {
    let found = async || lines(operator, text);
    eventually(&format!("{text:?} is told {times} times"), found, |lines| lines.len() == times, Clone::clone).await.map(drop)
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
    // Each becomes ready twice, and loses its grant once.
    told(&operator, " ready: Secret", 2 * REQUESTS as usize).await?;
    let times = |text: &str| Ok::<_, anyhow::Error>(lines(&operator, text)?.len());
    let (closed, opened) =
        (times("the Media API fails calls with the same credentials")?, times("takes calls with the same credentials again")?);
    ensure!((closed, opened) == (1, 1), "the lane was told to close {closed} times, and to open {opened} times");
    let (failing, recovered) = (times("refresh is failing")?, times("refresh is no longer failing")?);
    ensure!(failing <= BY_THEMSELVES && recovered <= BY_THEMSELVES, "{failing} and {recovered} of {REQUESTS} were told one by one");
    let lost = operator.log()?.lines().filter(|line| line.contains(" WARN ") && line.contains("not ready: ")).count();
    ensure!(lost == REQUESTS as usize, "{lost} of {REQUESTS} that lost their grants were told");
    Ok(())
}

async fn what_one_meets_alone_is_told_of_it(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    for (n, name) in [(1, "lobby"), (2, "kiosk")] {
        stage.ready_request(name, n, &json!({"ttlSeconds": 6})).await?;
    }
    stage.fault(&format!("404@{}", sid(1)))?;
    stage.reaches("lobby", "failing", |request| conditions(request).iter().any(|one| one.starts_with("RefreshFailing"))).await?;
    stage.simulator.clear_faults();
    stage.ready("lobby").await?;
    told(&operator, "refresh is no longer failing", 1).await?;
    let [failing, recovered] = ["refresh is failing", "refresh is no longer failing"].map(|text| lines(&operator, text));
    let (failing, recovered) = (failing?, recovered?);
    let request = format!("namespace=\"{}\" request=\"lobby\"", stage.namespace);
    let is_told = |lines: &[String], of: [&str; 2]| lines.len() == 1 && of.iter().chain([&&*request]).all(|words| lines[0].contains(words));
    ensure!(is_told(&failing, [" WARN ", "reason=\"PlayerStreamerNotFound\""]), "{failing:?}");
    ensure!(is_told(&recovered, [" INFO ", "failing"]), "{recovered:?}");
    Ok(())
}

async fn a_refresh_is_no_line(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    let first = stage.ready_request("lobby", 1, &json!({"ttlSeconds": 4})).await?;
    told(&operator, " ready: Secret", 1).await?;
    let before = lines(&operator, "")?.len();
    ensure!(before >= 2, "it starts, and a request becomes ready: {before} lines");
    let second = stage.reaches("lobby", "refreshed", |request| status(request).grant != status(&first).grant).await?;
    stage.reaches("lobby", "refreshed again", |request| status(request).grant != status(&second).grant).await?;
    let after = lines(&operator, "")?;
    ensure!(after.len() == before, "in two refreshes these were written: {:?}", after.get(before..));
    Ok(())
}
