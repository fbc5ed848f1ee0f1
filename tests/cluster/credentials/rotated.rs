//! A key that is replaced while grants are refreshed with it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use playback_grant_operator::simulator::{CallOutcome, CallRecord};
use playback_grant_testbed::unix_millis;
use serde_json::json;

use super::{names, reads, replace};
use crate::harness::{ClusterTest, Scene, test};
use crate::observe::observe;
use crate::stage::{Stage, api_key, conditions, eventually, key_sid, sid};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("credentials::rotated_under_load_while_the_old_key_serves", rotated_under_load_while_the_old_key_serves),
        test("credentials::rotated_and_the_old_one_revoked_at_once", rotated_and_the_old_one_revoked_at_once),
        test("credentials::a_change_acts_within_a_second", a_change_acts_within_a_second),
    ]
}

const REQUESTS: u32 = 30;

/// Less than half of what a grant has left when it is due.
const REVOKED: Duration = Duration::from_millis(1500);

/// Keys 2, 3, … one after the other.
const CHANGES: u32 = 5;

/// The number of the key that made the call.
fn key(call: &CallRecord) -> Result<u32> {
    let user = call.user.as_deref().context("a call without a user")?;
    (1..=100).find(|n| key_sid(*n) == user).context("a call by a key that nobody has")
}

/// The calls for the request of that number.
fn calls_for(calls: &[CallRecord], n: u32) -> impl Iterator<Item = &CallRecord> {
    calls.iter().filter(move |call| call.streamer == sid(n))
}

/// Waits until each request has got a grant by the key.
async fn all_served_by(stage: &Stage, key: u32) -> Result<()> {
    let user = key_sid(key);
    let served = async || {
        let calls = stage.simulator.calls();
        let is_by = |call: &&CallRecord| call.user.as_deref() == Some(&user) && call.outcome == CallOutcome::Answered(201);
        Ok((1..=REQUESTS).filter(|n| calls_for(&calls, *n).any(|call| is_by(&call))).count())
    };
    eventually(&format!("all are served by key {key}"), served, |served| *served == REQUESTS as usize, |served| *served).await.map(drop)
}

/// Requests that are refreshed every 2 s, evenly spread: at each moment one of their calls is under way.
async fn under_load(stage: &Stage) -> Result<()> {
    stage.fault("latency=100ms")?;
    for (n, name) in (1..).zip(names(REQUESTS)) {
        stage.request(&name, n, &json!({"ttlSeconds": 6, "refreshBeforeExpirySeconds": 4})).await?;
        tokio::time::sleep(Duration::from_secs(2) / REQUESTS).await;
    }
    for name in names(REQUESTS) {
        stage.ready(&name).await?;
    }
    Ok(())
}

async fn rotated_under_load_while_the_old_key_serves(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    under_load(&stage).await?;
    let rotate = async {
        for key in 2..2 + CHANGES {
            replace(&stage, &api_key(key)).await?;
            all_served_by(&stage, key).await?;
        }
        Ok(())
    };
    let observed = observe(&stage, rotate).await?;
    let names = names(REQUESTS);
    observed.ensure_fresh(names.iter().map(String::as_str))?;
    observed.ensure_told(names.iter().map(String::as_str), &[(&["Ready=True GrantIssued"], 0)])?;

    let late = ensure_read_once_and_used(&stage).await?;
    let calls = stage.simulator.calls().len();
    eprintln!("{CHANGES} changes of the key, {calls} calls, {late} of them begun by an old key while the new one was read");
    Ok(())
}

/// Checks that each change of the key was read once, and that nothing was called by an old key after it but what was under way: each request's
/// one call. Returns how many came late so.
async fn ensure_read_once_and_used(stage: &Stage) -> Result<usize> {
    let (reads, calls) = (reads(stage).await?, stage.simulator.calls());
    ensure!(reads.len() == 1 + CHANGES as usize, "{CHANGES} changes were read {} times, the first look included", reads.len());
    let mut all = 0;
    for n in 1..=REQUESTS {
        for (new, read) in (2..).zip(&reads[1..]) {
            let read = u64::try_from(read.received.0.as_millisecond())?;
            let after = calls_for(&calls, n).filter(|call| call.at_unix_ms > read).map(key).collect::<Result<Vec<_>>>()?;
            // Its connection may have taken longer than that of the next.
            let late = after.iter().filter(|key| **key < new).count();
            ensure!(late <= 1, "request-{n} called by the keys {after:?} after key {new} had been read");
            all += late;
        }
    }
    Ok(all)
}

/// How often the key was refused to the request.
fn refused(stage: &Stage, n: u32, by: u32) -> usize {
    let (user, calls) = (key_sid(by), stage.simulator.calls());
    calls_for(&calls, n).filter(|call| call.user.as_deref() == Some(&user) && call.outcome == CallOutcome::Answered(401)).count()
}

async fn rotated_and_the_old_one_revoked_at_once(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    under_load(&stage).await?;
    let rotate = async {
        for key in 2..2 + CHANGES {
            // Revoked first: what is called between the two is refused for certain. Every second time that is waited for, and it stays so for as
            // long as most of the requests need to become due: each of them would try several times by itself.
            stage.fault(&format!("401@{}", key_sid(key - 1)))?;
            if key % 2 == 0 {
                let refused = async || Ok((1..=REQUESTS).map(|n| refused(&stage, n, key - 1)).sum::<usize>());
                eventually("a call is refused", refused, |refused| *refused > 0, |refused| *refused).await?;
                tokio::time::sleep(REVOKED).await;
            }
            replace(&stage, &api_key(key)).await?;
            all_served_by(&stage, key).await?;
        }
        Ok(())
    };
    let observed = observe(&stage, rotate).await?;
    observed.ensure_fresh(names(REQUESTS).iter().map(String::as_str))?;
    let calls = stage.simulator.calls();
    let mut by_key = Vec::new();
    for by in 1..=CHANGES {
        let each: Vec<usize> = (1..=REQUESTS).map(|n| refused(&stage, n, by)).collect();
        let all: usize = each.iter().sum();
        // Those under way, which after a key's change before may be all at once, and then one probe at a time, from request to request. A machine
        // that is held may have time for some probes more.
        ensure!(all <= 2 * REQUESTS as usize && each.iter().all(|times| *times <= 3), "a refused key was tried {all} times: {each:?}");
        by_key.push(all);
    }
    for name in names(REQUESTS) {
        stage.ready(&name).await?;
    }
    let late = ensure_read_once_and_used(&stage).await?;
    eprintln!("{CHANGES} keys revoked under {REQUESTS} requests: refused were {by_key:?} calls, of {}; {late} came late", calls.len());
    Ok(())
}

/// Many times a request stands before a key that has never served, and that is replaced.
async fn a_change_acts_within_a_second(scene: Scene) -> Result<()> {
    const TIMES: u32 = 11;
    // The status of the refusal is back through the watch by then, and nothing else is to wake anybody: such a key is looked at again 1.6 s after
    // the refusal at the earliest.
    const QUIET: Duration = Duration::from_millis(500);
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let mut lags = Vec::new();
    for time in 1..=TIMES {
        let (name, bad, good) = (format!("request-{time}"), 2 * time - 1, 2 * time);
        stage.fault(&format!("401@{}", key_sid(bad)))?;
        replace(&stage, &api_key(bad)).await?;
        if time > 1 {
            // Or the request might be seen before the key, and be served by the one before.
            let read = async || Ok(reads(&stage).await?.len());
            eventually("the key is read", read, |reads| *reads == 2 * time as usize - 1, |reads| *reads).await?;
        }
        stage.request(&name, time, &json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})).await?;
        stage.reaches(&name, "refused", |request| conditions(request).contains(&"Ready=False Unauthorized".to_owned())).await?;
        tokio::time::sleep(QUIET).await;
        let changed = unix_millis();
        replace(&stage, &api_key(good)).await?;
        stage.ready(&name).await?;
        let calls = stage.simulator.calls();
        // Others are refreshed with it, too, once a minute has passed.
        let of_good = calls.iter().filter(|call| call.user.as_deref() == Some(&key_sid(good)));
        let by_good: Vec<_> = of_good.filter(|call| call.streamer == sid(time)).collect();
        let [call] = by_good[..] else { bail!("key {good} made {} calls for one grant", by_good.len()) };
        ensure!(call.outcome == CallOutcome::Answered(201), "key {good} was answered {:?}", call.outcome);
        lags.push(call.at_unix_ms.saturating_sub(changed));
    }
    let keys = stage.simulator.calls().iter().map(key).collect::<Result<Vec<_>>>()?;
    ensure!(keys.is_sorted(), "an old key was used after a new one: {keys:?}");
    let reads = reads(&stage).await?.len();
    // The first key was there from the start: the first look, and each change after it.
    ensure!(reads == 2 * TIMES as usize, "{} changes were read {reads} times", 2 * TIMES - 1);
    lags.sort_unstable();
    let (median, longest) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    eprintln!("a changed key makes its first call after {median} ms in the median of {TIMES}, {longest} ms at the most");
    ensure!(median <= 1000, "a changed key makes its first call only after {median} ms in the median");
    Ok(())
}
