//! What two writes of a Secret cost the API server when nothing else happens: on this machine, in this run. A refresh can't cost it less.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::processes::Usage;
use crate::stage::{NAMESPACE, Stage};

/// So many are measured; they are as far apart as a thousand requests' would be.
const WRITES: u32 = 1000;
const APART: Duration = Duration::from_millis(5);

/// As long as a grant.
const LENGTH: usize = 900;

/// The API server's processor time for two of them, in microseconds: nobody is served yet, and only the bench watches.
pub async fn two_writes(stage: &Stage) -> Result<u64> {
    let secrets: Api<Secret> = Api::namespaced(stage.plane.admin(), NAMESPACE);
    let secret = json!({"metadata": {"name": "floor"}, "stringData": {"grant": "", "playbackUrl": ""}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    let pid = stage.plane.api_server().pid();
    let mut ticks = tokio::time::interval(APART);
    let before = Usage::of(pid)?;
    for n in 0..WRITES {
        ticks.tick().await;
        let grant = format!("{n:>LENGTH$}");
        let patch = Patch::Merge(json!({"stringData": {"grant": grant, "playbackUrl": grant}}));
        secrets.patch("floor", &PatchParams::default(), &patch).await?;
    }
    let micros = Usage::of(pid)?.since(before).cpu_micros;
    secrets.delete("floor", &kube::api::DeleteParams::default()).await?;
    Ok(micros * 2 / u64::from(WRITES))
}
