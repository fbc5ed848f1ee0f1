//! Grants go before statuses when many are written at once.

use anyhow::{Result, ensure};
use playback_grant_testbed::{AuditQuery, AuditedRequest, service_account_user};
use serde_json::json;

use crate::harness::Scene;
use crate::stage::{ACCOUNT, Stage, conditions};

const REQUESTS: u32 = 40;

/// So many statuses are written at once, as `controller::turns` has it.
const STATUSES: usize = 4;

pub async fn few_are_written_at_once(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.fault("500")?;
    let _operator = stage.operator().await?;
    let name = |n: u32| format!("lobby-{n}");
    for n in 1..=REQUESTS {
        stage.request(&name(n), n, &json!({"ttlSeconds": 60})).await?;
    }
    let is_told_so = |condition: &String| condition.starts_with("Ready=False MediaApiUnavailable");
    for n in 1..=REQUESTS {
        stage.reaches(&name(n), "without a grant", |request| conditions(request).iter().any(is_told_so)).await?;
    }
    stage.simulator.clear_faults();
    for n in 1..=REQUESTS {
        stage.ready(&name(n)).await?;
    }
    // A later request's line in the log is no earlier.
    stage.last_asked().await?;
    let user = service_account_user(ACCOUNT.0, ACCOUNT.1);
    let all = || AuditQuery { user: Some(&user), namespace: Some(&stage.namespace), ..AuditQuery::default() };
    let log = stage.plane.audit_log();
    let statuses = log.requests(&AuditQuery { verb: Some("patch"), subresource: Some("status"), ..all() })?;
    let secrets = log.requests(&AuditQuery { verb: Some("create"), resource: Some("secrets"), ..all() })?;
    ensure!(statuses.len() >= 2 * REQUESTS as usize, "only {} statuses were written for {REQUESTS} requests", statuses.len());
    let (statuses, secrets) = (most_at_once(&statuses), most_at_once(&secrets));
    ensure!(statuses <= STATUSES, "{statuses} statuses were written at once");
    ensure!(secrets > STATUSES, "no more than {secrets} Secrets were written at once");
    Ok(())
}

/// How many of them the API server was at, at the most.
fn most_at_once(requests: &[AuditedRequest]) -> usize {
    let at = |instant| requests.iter().filter(|request| request.received.0 <= instant && instant < request.answered.0).count();
    requests.iter().map(|request| at(request.received.0)).max().unwrap_or_default()
}
