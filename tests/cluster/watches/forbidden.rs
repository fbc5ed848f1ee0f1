//! A namespace without the operator's Role, beside others.

use std::time::Duration;

use anyhow::{Result, ensure};
use playback_grant_testbed::{AuditQuery, Judge, Stopwatch, service_account_user};
use serde_json::json;

use crate::harness::{Scene, in_project};
use crate::observe::observe;
use crate::stage::{Operator, Stage};

const FOR: Duration = Duration::from_secs(20);

pub async fn one_of_three(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let (plane, url) = (&stage.plane, stage.simulator.base_url());
    let (second, forbidden) = (plane.create_namespace("second").await?, plane.create_namespace("forbidden").await?);
    let account = (plane.create_namespace("operator").await?, "playback-grant-operator");
    plane.create_service_account(&account.0, account.1).await?;
    let role = std::fs::read_to_string(in_project("deploy/manifests/role/role.yaml"))?.replace("playback-grant-system", &account.0);
    for served in [&stage.namespace, &second] {
        plane.apply(&role, served).await?;
    }
    let other = Stage::set(&Scene { namespace: second.clone(), ..scene.clone() }).await?;
    let kubeconfig = plane.service_account_kubeconfig(&account.0, account.1).await?;
    let launch = Operator::launch(plane, &stage.namespace).env("KUBECONFIG", kubeconfig).args(["--media-api-url", &url]);
    // The forbidden one in the midst.
    let launch = [&stage.namespace, &forbidden, &second].into_iter().fold(launch, |launch, name| launch.args(["--namespace", name]));
    let stopwatch = Stopwatch::start();
    let _operator = Operator::start(launch).await?;
    let spec = json!({"ttlSeconds": 5, "refreshBeforeExpirySeconds": 3});
    stage.ready_request("lobby", 1, &spec).await?;
    other.ready_request("kiosk", 2, &spec).await?;
    let mut second = Judge::default();
    let first = observe(&stage, async {
        second = observe(&other, async {
            tokio::time::sleep(FOR).await;
            Ok(())
        })
        .await?
        .judge;
        Ok(())
    })
    .await?
    .judge;
    for (judge, name) in [(&first, "lobby"), (&second, "kiosk")] {
        let complaints = judge.complaints([name]);
        ensure!(complaints.is_empty(), "{}", complaints.join("; "));
        // Of ten, at its own pace.
        let refreshes = judge.record(name).refreshes();
        ensure!(refreshes >= 6, "{name} was refreshed {refreshes} times");
    }
    stage.ready("lobby").await?;
    other.ready("kiosk").await?;

    let user = service_account_user(&account.0, account.1);
    let query = AuditQuery { user: Some(&user), verb: Some("list"), namespace: Some(&forbidden), ..AuditQuery::default() };
    let lists = plane.audit_log().requests(&query)?;
    let refused = lists.iter().filter(|list| list.code == 403).count();
    // At least half a second apart, but for the first few; the requests aren't even listed before the Secrets are.
    let most = usize::try_from(stopwatch.elapsed().as_secs())? * 2 + 10;
    eprintln!("{refused} lists of the forbidden namespace were refused in {:.1?}", stopwatch.elapsed());
    ensure!((3..=most).contains(&refused) && refused == lists.len(), "{refused} of {} lists were refused, at most {most}", lists.len());

    // Once it is given the Role, it is served like the others.
    plane.apply(&role, &forbidden).await?;
    let third = Stage::set(&Scene { namespace: forbidden, ..scene.clone() }).await?;
    third.ready_request("lounge", 3, &spec).await?;
    ensure!(stage.calls(3) > 0, "somebody else has made the grant");
    Ok(())
}
