//! Credentials that appear, change or vanish act at once, and are read once for each change.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{A_WHILE, Stage, api_key, conditions, key_sid, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("credentials::a_change_is_read_once_and_used_from_then_on", a_change_is_read_once_and_used_from_then_on),
        test("credentials::refused_ones_that_are_mended_act_at_once", refused_ones_that_are_mended_act_at_once),
        test("credentials::without_them_a_live_grant_stays_ready", without_them_a_live_grant_stays_ready),
    ]
}

const REFRESH: &str = "playbackgrant.dev/refresh-requested-at";

async fn a_change_is_read_once_and_used_from_then_on(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let long = json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1});
    for n in 1..=5 {
        stage.request(&format!("request-{n}"), n, &long).await?;
    }
    for n in 1..=5 {
        stage.ready(&format!("request-{n}")).await?;
    }
    let reads = async |stage: &Stage| {
        Ok::<_, anyhow::Error>(stage.asked(None).await?.iter().filter(|asked| *asked == "get secrets/media-api").count())
    };
    ensure!(reads(&stage).await? == 1, "five requests read their credentials {} times", reads(&stage).await?);

    let patch = Patch::Merge(json!({"stringData": api_key(2)}));
    stage.secrets.patch("media-api", &PatchParams::default(), &patch).await?;
    let asked = async || Ok(stage.asked(None).await?.iter().filter(|asked| *asked == "get secrets/media-api").count());
    crate::stage::eventually("the change is read", asked, |reads| *reads == 2, |reads| *reads).await?;
    ensure!(stage.simulator.counters().total.received == 5, "a change of credentials brought calls while the grants are fresh");
    stage.annotate("request-1", REFRESH, "now").await?;
    stage.reaches("request-1", "refreshed", |request| status(request).last_handled_refresh_request.as_deref() == Some("now")).await?;
    let users: Vec<_> = stage.simulator.calls().into_iter().filter_map(|call| call.user).collect();
    ensure!(users[..5].iter().all(|user| *user == key_sid(1)) && users[5..] == [key_sid(2)], "the users were {users:?}");
    ensure!(reads(&stage).await? == 2, "they were read again without a change");
    Ok(())
}

async fn refused_ones_that_are_mended_act_at_once(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.fault(&format!("401@{}", key_sid(1)))?;
    let _operator = stage.operator().await?;
    stage.request("lobby", 1, &json!({})).await?;
    stage.request("kiosk", 2, &json!({})).await?;
    let refused = ["Ready=False Unauthorized"];
    stage.reaches("lobby", "refused", |request| conditions(request).first().is_some_and(|ready| ready == refused[0])).await?;
    stage.reaches("kiosk", "refused", |request| conditions(request).first().is_some_and(|ready| ready == refused[0])).await?;
    // A wrong key isn't hammered: 2 s, then 4 s, whoever of the two asks.
    tokio::time::sleep(A_WHILE).await;
    let calls = stage.simulator.counters().total.received;
    ensure!(calls <= 4, "refused credentials were tried {calls} times");
    stage.credentials("media-api", &api_key(2)).await?;
    stage.ready("lobby").await?;
    stage.ready("kiosk").await?;
    ensure!(stage.simulator.calls().iter().filter(|call| call.user.as_deref() == Some(&key_sid(2))).count() == 2, "more calls than grants");
    Ok(())
}

async fn without_them_a_live_grant_stays_ready(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 15})).await?;
    stage.delete_secret("media-api").await?;
    let failing = ["Ready=True GrantIssued", "RefreshFailing=True CredentialsNotFound", "Stalled=True CredentialsNotFound"];
    stage.reaches("lobby", "Ready without credentials", |request| conditions(request) == failing).await?;
    let expired = ["Ready=False CredentialsNotFound", "RefreshFailing=True CredentialsNotFound", "Stalled=True CredentialsNotFound"];
    stage.reaches("lobby", "expired for want of credentials", |request| conditions(request) == expired).await?;
    stage.credentials("media-api", &api_key(1)).await?;
    stage.ready("lobby").await.map(drop)
}
