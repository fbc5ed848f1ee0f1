//! Credentials that many requests name.

use std::time::Duration;

use anyhow::{Result, ensure};
use playback_grant_testbed::{AuditQuery, Stopwatch, service_account_user};
use serde_json::json;

use super::{REFRESH, names, reads, ready_requests, replace};
use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{A_WHILE, ACCOUNT, Stage, api_key, eventually, key_sid};

pub fn tests() -> Vec<ClusterTest> {
    vec![test("credentials::a_hundred_requests_share_one_watch", a_hundred_requests_share_one_watch)]
}

const REQUESTS: u32 = 100;

/// A watch ends by itself after so long, and is taken up again.
const WATCH: Duration = Duration::from_secs(30);

async fn a_hundred_requests_share_one_watch(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let stopwatch = Stopwatch::start();
    let _operator = stage.operator().await?;
    ready_requests(&stage, REQUESTS, &json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})).await?;
    let first = reads(&stage).await?.len();
    ensure!(first == 1, "{REQUESTS} requests read their credentials {first} times");

    replace(&stage, &api_key(2)).await?;
    let count = async || Ok(reads(&stage).await?.len());
    eventually("the change is read", count, |reads| *reads == 2, |reads| *reads).await?;
    // All of them need the credentials at once.
    for name in names(REQUESTS) {
        stage.annotate(&name, REFRESH, "now").await?;
    }
    let user = key_sid(2);
    let renewed = async || Ok(stage.simulator.calls().iter().filter(|call| call.user.as_deref() == Some(&user)).count());
    eventually("all are renewed by the new key", renewed, |renewed| *renewed >= REQUESTS as usize, |renewed| *renewed).await?;
    let all = reads(&stage).await?.len();
    ensure!(all == 2, "after one change, {REQUESTS} requests had read their credentials {all} times");

    // Beyond the end of a watch.
    tokio::time::sleep(WATCH.saturating_sub(stopwatch.elapsed()) + A_WHILE).await;
    let all = reads(&stage).await?.len();
    ensure!(all == 2, "a watch that was taken up again had the credentials read {} times", all - 2);
    // Lists and watches of one object are told apart from those of the grant Secrets by their selector.
    let account = service_account_user(ACCOUNT.0, ACCOUNT.1);
    let query = AuditQuery { user: Some(&account), resource: Some("secrets"), namespace: Some(&stage.namespace), ..AuditQuery::default() };
    let asked = stage.plane.audit_log().requests(&query)?;
    let of_credentials = |verb: &str| {
        asked.iter().filter(|asked| asked.verb == verb && asked.uri.contains("fieldSelector=metadata.name%3Dmedia-api")).count()
    };
    let (lists, watches) = (of_credentials("list"), of_credentials("watch"));
    let most = 1 + usize::try_from(stopwatch.elapsed().as_secs() / WATCH.as_secs())?;
    eprintln!("{REQUESTS} requests: {lists} list and {watches} watches of their credentials in {} s", stopwatch.elapsed().as_secs());
    ensure!(lists == 1, "{lists} lists of one Secret");
    ensure!((1..=most).contains(&watches), "{watches} watches of one Secret, at most {most} one after the other");
    Ok(())
}
