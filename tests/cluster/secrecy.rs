//! Answers that can't be decoded and hold what is secret, from both sides: nothing of them is told.

use anyhow::{Result, ensure};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::corrupting_proxy::CorruptingProxy;
use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::Search;
use crate::stage::{ACCOUNT, Operator, Stage, api_key, conditions, ensure_names, eventually, message, sid, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("secrecy::what_the_api_server_spoils_is_not_told", what_the_api_server_spoils_is_not_told),
        test("secrecy::what_the_media_api_spoils_is_not_told", what_the_media_api_spoils_is_not_told),
    ]
}

/// Each way of spoiling an answer has its turn.
const TURNS: usize = 4;

async fn what_the_api_server_spoils_is_not_told(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let proxy = CorruptingProxy::start(&stage.plane, ACCOUNT).await?;
    let url = stage.simulator.base_url();
    let launch = || {
        let arguments = ["--media-api-url", &url, "--namespace", &stage.namespace];
        Operator::launch(&stage.plane, &stage.namespace).env("KUBECONFIG", &proxy.kubeconfig).args(arguments)
    };
    let spoiled = async |method: &'static str, secret: &'static str, times: usize| {
        let count = async || Ok(proxy.spoiled(method, secret));
        eventually(&format!("{method} {secret} is spoiled"), count, |count| *count >= times, |count| *count).await
    };
    let operator = Operator::start(launch()).await?;

    // Writes: what was written has landed, though the answer can't be read, and is found again.
    proxy.spoil("POST", "lobby");
    stage
        .ready_request("lobby", 1, &json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 45, "accessToken": {"identity": "lobby"}}))
        .await?;
    spoiled("POST", "lobby", 1).await?;
    proxy.spoil("PATCH", "lobby");
    for turn in 1..=TURNS {
        let wish = format!("wish-{turn}");
        stage.annotate("lobby", "playbackgrant.dev/refresh-requested-at", &wish).await?;
        spoiled("PATCH", "lobby", turn).await?;
        stage
            .reaches("lobby", "refreshed as wished", |request| status(request).last_handled_refresh_request.as_ref() == Some(&wish))
            .await?;
    }
    proxy.leave_alone();
    stage.ready("lobby").await?;

    // Credentials that have changed.
    proxy.spoil("GET", "media-api");
    stage.secrets.patch("media-api", &PatchParams::default(), &Patch::Merge(json!({"stringData": api_key(2)}))).await?;
    let is_told = |of: &'static str| {
        move |request: &_| {
            conditions(request).contains(&"RefreshFailing=True SecretWriteFailed".to_owned())
                && message(request, "RefreshFailing").contains(of)
        }
    };
    let request = stage.reaches("lobby", "told of its credentials", is_told("/media-api: the API server's answer can't be read")).await?;
    ensure_names(
        &request,
        "RefreshFailing",
        &[&format!("could not read Secret {}/media-api", stage.namespace), "line 1, column", "tries again"],
    )?;
    spoiled("GET", "media-api", TURNS).await?;
    proxy.leave_alone();
    stage.ready("lobby").await?;

    // The grant, after a restart.
    let first_log = operator.log()?;
    operator.kill9().await?;
    proxy.spoil("GET", "lobby");
    let operator = Operator::start(launch()).await?;
    let request = stage.reaches("lobby", "told of its Secret", is_told("/lobby: the API server's answer can't be read")).await?;
    ensure_names(
        &request,
        "RefreshFailing",
        &[&format!("could not read Secret {}/lobby", stage.namespace), "line 1, column", "tries again"],
    )?;
    spoiled("GET", "lobby", TURNS).await?;
    proxy.leave_alone();
    stage.ready("lobby").await?;
    ensure_silent(&stage, &[first_log, operator.log()?], &operator).await
}

async fn what_the_media_api_spoils_is_not_told(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    let faults = [
        ("wrong-types", "is not"),
        ("garbage", "not JSON"),
        ("torn", "closed within the body"),
        ("oversized", "KiB, which was not read"),
        ("other-streamer", "another PlayerStreamer"),
        ("500", "answered 500"),
        ("429", "answered 429"),
    ];
    for (n, (fault, _)) in (1..).zip(faults) {
        // Each with credentials of its own: one that closes its lane keeps no other from being received.
        stage.credentials(&format!("media-api-{n}"), &api_key(n)).await?;
        stage.fault(&format!("{fault}@{}", sid(n)))?;
        stage.request(fault, n, &json!({"credentialsSecretRef": {"name": format!("media-api-{n}")}})).await?;
    }
    for (n, (fault, words)) in (1..).zip(faults) {
        stage.reaches(fault, "told of its failure", |request| message(request, "RefreshFailing").contains(words)).await?;
        ensure!(stage.calls(n) > 0, "{fault} was never met");
    }
    ensure_silent(&stage, &[operator.log()?], &operator).await
}

async fn ensure_silent(stage: &Stage, logs: &[String], operator: &Operator) -> Result<()> {
    let search = Search::shown_to_find()?;
    let mut places = vec![];
    for log in logs {
        ensure!(log.len() > 10_000, "the log isn't verbose: {} bytes", log.len());
        places.push(("the log", log.clone()));
    }
    for path in ["/metrics", "/readyz", "/livez"] {
        places.push((path, operator.get(path).await?.1));
    }
    places.push(("the statuses", serde_json::to_string(&stage.requests.list(&ListParams::default()).await?)?));
    let found: Vec<_> = places.iter().flat_map(|(place, text)| search.find(place, text.as_bytes())).collect();
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}
