//! What went, or was changed, while the operator saw nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use playback_grant_operator::api::names::annotation::REFRESH_REQUESTED_AT;
use playback_grant_testbed::{AuditQuery, AuditedRequest, ControlPlane, Gate, Stopwatch, service_account_user, unix_millis};
use serde_json::{Value, json};

use crate::credentials::replace;
use crate::harness::Scene;
use crate::leaks::search_everything;
use crate::stage::{ACCOUNT, Operator, PATIENCE, Stage, api_key, data, eventually, key_sid, sid, status};

pub async fn after_a_cut(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let gate = Gate::open(stage.plane.url()).await?;
    let operator = stage.operator_at(&gate.url(), &["--namespace", &stage.namespace]).await?;
    what_went_is_noticed(&stage, &gate, &operator, async || Ok(())).await
}

pub async fn by_a_watch_that_is_too_old(_: Scene) -> Result<()> {
    // Its cache would serve a watch that etcd can't go on with.
    let mut plane = ControlPlane::start_with(&["--watch-cache=false"]).await?;
    crate::install(&plane).await?;
    plane.start_controller_manager().await?;
    Stage::on(plane, too_old).await
}

async fn too_old(stage: &Stage) -> Result<()> {
    let gate = Gate::open(stage.plane.url()).await?;
    let operator = stage.operator_at(&gate.url(), &[]).await?;
    let times_too_old = async |watched: &str| -> Result<usize> {
        let is_of = |line: &&str| line.contains("the watch is too old and starts anew") && line.contains(&format!("watched=\"{watched}\""));
        Ok(operator.log()?.lines().filter(is_of).count())
    };
    what_went_is_noticed(stage, &gate, &operator, async || compact(stage).await).await?;
    for watched in WATCHED {
        let times = times_too_old(watched).await?;
        ensure!(times > 0, "the watch of {watched} was not too old: this test shows nothing");
    }
    ensure!(operator.process.terminate(PATIENCE).await? == 0, "it did not end with 0");
    search_everything(&stage.plane).await.map(drop)
}

/// Takes everything but the present out of etcd.
async fn compact(stage: &Stage) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let ask = async |what: &str, question: Value| -> Result<Value> {
        let answer = client.post(format!("{}/v3/kv/{what}", stage.plane.etcd_url())).body(question.to_string()).send().await?;
        let text = answer.error_for_status().with_context(|| format!("etcd's answer to {what}"))?.text().await?;
        Ok(serde_json::from_str(&text)?)
    };
    // A key that isn't there: only the revision is asked for.
    let found = ask("range", json!({"key": "AA=="})).await?;
    let revision = found["header"]["revision"].as_str().context("etcd tells no revision")?.to_owned();
    ask("compaction", json!({"revision": revision, "physical": true})).await.map(drop)
}

/// How long after the watch of the Secrets was asked for again the operator had put right what went and what was changed, and how long after that
/// of the requests it had made the Secret of a new one, by the API server's own record.
async fn after_the_watches(stage: &Stage, since: MicroTime) -> Result<[i64; 3]> {
    // An answer may be a moment ahead of its line in the log; a later request's line isn't.
    stage.last_asked().await?;
    let user = service_account_user(ACCOUNT.0, ACCOUNT.1);
    let asked = stage.plane.audit_log().requests(&AuditQuery { user: Some(&user), since: Some(since), ..AuditQuery::default() })?;
    let back = |resource: &str| {
        let is_watched = |asked: &&AuditedRequest| ["list", "watch"].contains(&asked.verb.as_str()) && asked.resource == resource;
        // That of the credentials is by field.
        let all = asked.iter().filter(is_watched).filter(|asked| !asked.uri.contains("fieldSelector") && asked.code == 200);
        all.map(|asked| asked.received.0).min().with_context(|| format!("no watch of {resource} came back"))
    };
    let done = |verb: &str, name: &str| {
        let found = asked.iter().find(|asked| asked.verb == verb && asked.resource == "secrets" && asked.name == name);
        found.map(|asked| asked.received.0).with_context(|| format!("there was no {verb} of Secret {name}"))
    };
    let (secrets, requests) = (back("secrets")?, back("playbackgrantrequests")?);
    let millis = |from: Timestamp, to: Timestamp| to.as_millisecond() - from.as_millisecond();
    Ok([
        millis(secrets, done("create", "deleted")?),
        millis(secrets, done("patch", "changed")?),
        millis(requests, done("create", "later")?),
    ])
}

/// What the operator watches, each by a watch of its own.
const WATCHED: [&str; 3] = ["requests", "secrets", "credentials"];

/// Twice as long as the waits of a watch take to grow to a second.
const GROWN: Duration = Duration::from_secs(6);

/// In which a watch that waits no longer than a second tries five times, and a busy machine may have it miss some.
const TRYING: Duration = Duration::from_secs(5);

/// However long the gate stays cut, each watch goes on trying, and nothing does so without a wait.
async fn ensure_each_tries_on(gate: &Gate, operator: &Operator) -> Result<()> {
    let failed = async || -> Result<Vec<u64>> {
        let (_, metrics) = operator.get("/metrics").await?;
        let of = |watched| {
            let name = format!("playback_grant_watch_errors_total{{watched=\"{watched}\"}} ");
            let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
            Ok(count.with_context(|| format!("no watch of {watched} has failed"))?.parse()?)
        };
        WATCHED.into_iter().map(of).collect()
    };
    tokio::time::sleep(GROWN).await;
    let (before, refused) = (failed().await?, gate.refused());
    tokio::time::sleep(TRYING).await;
    let tries: Vec<u64> = failed().await?.iter().zip(&before).map(|(after, before)| after - before).collect();
    let refused = gate.refused() - refused;
    eprintln!("in {TRYING:?} behind the cut gate: {tries:?} tries of the watches of {WATCHED:?}, and {refused} connections were refused");
    ensure!(tries.iter().all(|tries| *tries >= 3), "the watches of {WATCHED:?} tried {tries:?} times in {TRYING:?}");
    // One of each watch may have been refused before, and have failed since. Not only the watches try.
    let least = tries.iter().sum::<u64>().saturating_sub(3);
    ensure!((least..=200).contains(&refused), "{refused} connections were tried in {TRYING:?}, the watches' own tries {tries:?}");
    Ok(())
}

/// Long enough that nothing is due while the test runs, however slow the machine is.
fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

/// Due each 2 s at the latest.
fn short() -> Value {
    json!({"ttlSeconds": 5, "refreshBeforeExpirySeconds": 3})
}

/// Several times as long as a short one is quiet.
const SEVERAL_PERIODS: Duration = Duration::from_secs(10);

/// One request's Secret is deleted, another request with its Secret, a third's Secret changed, a fourth request made again for another
/// PlayerStreamer, and the credentials of all are changed, all behind the cut gate; then comes `meanwhile`, and the gate is mended.
async fn what_went_is_noticed(stage: &Stage, gate: &Gate, operator: &Operator, meanwhile: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    stage.ready_request("gone", 2, &short()).await?;
    stage.ready_request("renewed", 5, &short()).await?;
    stage.ready_request("deleted", 1, &long()).await?;
    stage.ready_request("changed", 3, &long()).await?;
    let (deleted, changed) = (stage.secrets.get("deleted").await?, stage.secrets.get("changed").await?);

    ensure!(gate.cut() > 0, "there was no connection to be cut");
    stage.requests.delete("gone", &DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..<_>::default() }).await?;
    let collected = async || Ok(stage.secrets.get_opt("gone").await?);
    eventually("its Secret is collected", collected, Option::is_none, Option::is_some).await?;
    stage.requests.delete("renewed", &DeleteParams::background()).await?;
    let heir = stage.request("renewed", 6, &long()).await?;
    stage.delete_secret("deleted").await?;
    let theirs =
        json!({"metadata": {"annotations": {"playbackgrant.dev/expiry-time": "2020-01-01T00:00:00.000Z"}}, "stringData": {"grant": "{}"}});
    stage.secrets.patch("changed", &PatchParams::apply("somebody-else"), &Patch::Merge(theirs)).await?;
    replace(stage, &api_key(2)).await?;
    meanwhile().await?;
    // It can't know yet, and goes on for both.
    let before = stage.calls(2);
    eventually("it asks for grants behind the gate", async || Ok(stage.calls(2)), |calls| *calls > before, |calls| *calls).await?;
    ensure_each_tries_on(gate, operator).await?;
    ensure!(stage.secrets.get_opt("deleted").await?.is_none(), "the gate isn't cut");

    gate.mend();
    let (since, stopwatch) = (MicroTime(Timestamp::from_millisecond(i64::try_from(unix_millis())?)?), Stopwatch::start());
    let (back, mended, later) = tokio::try_join!(
        async {
            let back = stage.holds("deleted", "back", |_| true).await?;
            ensure!(back.data == deleted.data, "another grant is in it");
            Ok(stopwatch.elapsed())
        },
        async {
            let mended = stage.holds("changed", "mended", |secret| data(secret, "grant") == data(&changed, "grant")).await?;
            ensure!(mended.metadata.uid == changed.metadata.uid && mended.data == changed.data, "it isn't the same again");
            Ok(stopwatch.elapsed())
        },
        async {
            // Whoever sees this one has seen that the other went.
            stage.ready_request("later", 4, &long()).await?;
            Ok(stopwatch.elapsed())
        }
    )?;
    let lags = after_the_watches(stage, since).await?;
    eprintln!(
        "after the gate was mended: what was deleted is back after {back:.1?}, what was changed is mended after {mended:.1?}, and a new \
         request is ready after {later:.1?}; after its watch was back: {lags:?} ms"
    );
    // A second with nothing beside.
    ensure!(lags.iter().all(|lag| *lag <= 5000), "it was stale for {lags:?} ms after the watches were back");
    let is_the_heirs = |secret: &_| data(secret, "playerStreamerSid") == Some(sid(6));
    stage.holds("renewed", "the heir's", is_the_heirs).await?;
    let of_the_gone = async || Ok::<_, anyhow::Error>((stage.calls(2), stage.calls(5)));
    let after = of_the_gone().await?;
    tokio::time::sleep(SEVERAL_PERIODS).await;
    ensure!(of_the_gone().await? == after, "requests that are gone were refreshed: {:?} calls, then {after:?}", of_the_gone().await?);
    let renewed = stage.ready("renewed").await?;
    ensure!(renewed.metadata.uid == heir.metadata.uid && stage.calls(6) == 1, "{} calls for the heir", stage.calls(6));
    ensure!(is_the_heirs(&stage.secrets.get("renewed").await?), "the heir's Secret holds another's grant");
    // Where the other watch was the first to go on, it was put back, and is collected again: its owner is gone.
    eventually("the Secret of a request that is gone is gone", collected, Option::is_none, Option::is_some).await?;
    ensure!((stage.calls(1), stage.calls(3)) == (1, 1), "calls: {} and {}", stage.calls(1), stage.calls(3));
    // What is asked for now is asked for with what the credentials have become.
    stage.annotate("later", REFRESH_REQUESTED_AT, "now").await?;
    let is_refreshed = |request: &_| status(request).last_handled_refresh_request.as_deref() == Some("now");
    stage.reaches("later", "refreshed", is_refreshed).await?;
    let by = stage.simulator.calls().into_iter().rfind(|call| call.streamer == sid(4)).and_then(|call| call.user);
    ensure!(by == Some(key_sid(2)), "the change of the credentials was not noticed: the last user was {by:?}");
    for name in ["deleted", "changed"] {
        stage.ready(name).await?;
    }
    Ok(())
}
