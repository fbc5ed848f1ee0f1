//! Credentials that appear, change or vanish act at once, and are read once for each change.

mod mended;
mod rotated;
mod shared;

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use playback_grant_testbed::{AuditQuery, AuditedRequest, service_account_user};
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::planted;
use crate::stage::{ACCOUNT, Stage, api_key, conditions, eventually, key_sid, status};

pub fn tests() -> Vec<ClusterTest> {
    let mut tests = vec![
        test("credentials::a_change_is_read_once_and_used_from_then_on", a_change_is_read_once_and_used_from_then_on),
        test("credentials::refused_ones_that_are_mended_act_at_once", refused_ones_that_are_mended_act_at_once),
        test(
            "credentials::an_account_and_its_auth_token_serve_too_unless_there_is_an_api_key",
            an_account_and_its_auth_token_serve_too_unless_there_is_an_api_key,
        ),
        test("credentials::without_them_a_live_grant_stays_ready", without_them_a_live_grant_stays_ready),
    ];
    tests.extend([rotated::tests(), mended::tests(), shared::tests()].into_iter().flatten());
    tests
}

const REFRESH: &str = "playbackgrant.dev/refresh-requested-at";

/// The names of that many requests.
fn names(count: u32) -> Vec<String> {
    (1..=count).map(|n| format!("request-{n}")).collect()
}

/// Makes that many requests, and waits until they are ready.
async fn ready_requests(stage: &Stage, count: u32, spec: &Value) -> Result<()> {
    for (n, name) in (1..).zip(names(count)) {
        stage.request(&name, n, spec).await?;
    }
    for name in names(count) {
        stage.ready(&name).await?;
    }
    Ok(())
}

/// Replaces keys of the credentials, as one change of the Secret that is there.
pub async fn replace(stage: &Stage, data: &Value) -> Result<()> {
    let patch = Patch::Merge(json!({"stringData": data}));
    stage.secrets.patch("media-api", &PatchParams::default(), &patch).await.map(drop).map_err(Into::into)
}

/// Each time that the operator has read the credentials.
async fn reads(stage: &Stage) -> Result<Vec<AuditedRequest>> {
    // An answer may be a moment ahead of its line in the log; a later request's line isn't.
    stage.last_asked().await?;
    let user = service_account_user(ACCOUNT.0, ACCOUNT.1);
    let query = AuditQuery {
        user: Some(&user),
        verb: Some("get"),
        resource: Some("secrets"),
        namespace: Some(&stage.namespace),
        name: Some("media-api"),
        ..AuditQuery::default()
    };
    stage.plane.audit_log().requests(&query)
}

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
    eventually("the change is read", asked, |reads| *reads == 2, |reads| *reads).await?;
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
    let calls = |stage: &Stage, key: u32| stage.simulator.calls().iter().filter(|call| call.user.as_deref() == Some(&key_sid(key))).count();
    // A wrong key isn't hammered: the looks come 2, 4, 8 and 16 s after one another, whoever of the two asks.
    eventually("the refused key was tried four times", async || Ok(calls(&stage, 1)), |calls| *calls >= 4, |calls| *calls).await?;
    let stalled = |request: &_| conditions(request).iter().any(|condition| condition == "Stalled=True Unauthorized");
    stage.reaches("lobby", "stalled", |request| conditions(request)[0] == "Ready=False Unauthorized").await?;
    let told = async || Ok(stage.requests.list(&kube::api::ListParams::default()).await?.items);
    eventually("one of them is told that it is stalled", told, |requests| requests.iter().any(stalled), Vec::len).await?;
    let before = calls(&stage, 1);
    stage.credentials("media-api", &api_key(2)).await?;
    stage.ready("lobby").await?;
    stage.ready("kiosk").await?;
    ensure!(calls(&stage, 1) == before, "the next slow look was waited for: {} calls with the old key, then {}", before, calls(&stage, 1));
    ensure!(calls(&stage, 2) == 2, "{} calls with the new key for two grants", calls(&stage, 2));
    Ok(())
}

async fn an_account_and_its_auth_token_serve_too_unless_there_is_an_api_key(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let account = format!("AC{}", "5".repeat(32));
    // The newline that an editor leaves is forgiven.
    let pair = json!({"accountSid": account, "authToken": format!("{}\n", planted("auth-token"))});
    stage.credentials("media-api", &pair).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 60})).await?;
    let users = |stage: &Stage| stage.simulator.calls().into_iter().filter_map(|call| call.user).collect::<Vec<_>>();
    ensure!(users(&stage) == [account.clone()], "the users were {:?}", users(&stage));
    stage.secrets.patch("media-api", &PatchParams::default(), &Patch::Merge(json!({"stringData": api_key(3)}))).await?;
    stage.annotate("lobby", REFRESH, "now").await?;
    stage.reaches("lobby", "refreshed", |request| status(request).last_handled_refresh_request.as_deref() == Some("now")).await?;
    stage.annotate("lobby", REFRESH, "again").await?;
    stage.reaches("lobby", "refreshed", |request| status(request).last_handled_refresh_request.as_deref() == Some("again")).await?;
    ensure!(users(&stage).last() == Some(&key_sid(3)), "the users were {:?}", users(&stage));
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
