//! Answers that can't be decoded and hold what is secret, from both sides: nothing of them is told.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::corrupting_proxy::CorruptingProxy;
use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::Search;
use crate::stage::{ACCOUNT, Operator, Stage, conditions, ensure_names, eventually, message};

pub fn tests() -> Vec<ClusterTest> {
    vec![test("secrecy::what_cannot_be_decoded_is_not_told", what_cannot_be_decoded_is_not_told)]
}

async fn what_cannot_be_decoded_is_not_told(scene: Scene) -> Result<()> {
    let search = Search::shown_to_find()?;
    let stage = Stage::set(&scene).await?;
    let proxy = CorruptingProxy::start(&stage.plane, ACCOUNT).await?;
    let url = stage.simulator.base_url();
    let launch = || {
        Operator::launch(&stage.plane, &stage.namespace).env("KUBECONFIG", &proxy.kubeconfig).args([
            "--media-api-url",
            &url,
            "--namespace",
            &stage.namespace,
        ])
    };
    let operator = Operator::start(launch()).await?;
    let long = json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 45});
    stage.ready_request("lobby", 1, &long).await?;
    let first_log = operator.process.log_path().to_owned();
    operator.kill9().await?;

    // Reads after a restart, of the grant and of the credentials, and then writes: all answers are spoiled, each way in turn.
    proxy.spoil(true);
    let operator = Operator::start(launch()).await?;
    let failing = |request: &_| conditions(request).contains(&"RefreshFailing=True SecretWriteFailed".to_owned());
    let request = stage
        .reaches("lobby", "told that an answer can't be read", |request| {
            failing(request) && message(request, "RefreshFailing").contains("can't be read")
        })
        .await?;
    ensure_names(&request, "RefreshFailing", &[&format!("Secret {}/", stage.namespace), "line 1, column", "tries again by itself"])?;
    eventually("each way of spoiling had its turn", async || Ok(proxy.spoiled()), |spoiled| *spoiled >= 12, |spoiled| *spoiled).await?;
    proxy.spoil(false);

    // The Media API's own, with the grant in what can't be decoded.
    for (n, fault) in (2..).zip(["wrong-types", "garbage", "torn", "oversized", "other-streamer", "500", "429"]) {
        stage.fault(&format!("{fault}@{}", crate::stage::sid(n)))?;
        stage.request(fault, n, &json!({})).await?;
    }
    for fault in ["wrong-types", "garbage", "torn", "oversized", "other-streamer", "500", "429"] {
        stage.reaches(fault, "told of its failure", |request| conditions(request).len() == 3).await?;
    }
    stage.simulator.clear_faults();
    stage.annotate("lobby", "playbackgrant.dev/refresh-requested-at", "now").await?;
    stage.ready("lobby").await?;
    for log in [&first_log, operator.process.log_path()] {
        let text = std::fs::read(log)?;
        ensure!(text.len() > 10_000, "the log isn't verbose: {} bytes", text.len());
        let found = search.find(&log.display().to_string(), &text);
        ensure!(found.is_empty(), "{found:?}");
    }
    for path in ["/metrics", "/readyz", "/livez"] {
        let found = search.find(path, operator.get(path).await?.1.as_bytes());
        ensure!(found.is_empty(), "{found:?}");
    }
    let statuses = serde_json::to_vec(&stage.requests.list(&kube::api::ListParams::default()).await?)?;
    ensure!(search.find("the statuses", &statuses).is_empty(), "{:?}", search.find("the statuses", &statuses));
    Ok(())
}
