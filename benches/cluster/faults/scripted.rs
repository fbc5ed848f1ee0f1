//! The observer held to what is known: a Secret that is made to hold an expired grant for seven seconds, on a real API server.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use playback_grant_operator::api::names::key::{GRANT, PLAYBACK_URL};
use playback_grant_operator::simulator::PlaybackToken;
use playback_grant_testbed::{ControlPlane, unix_millis};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::measure::{Looked, Measured, measure};
use crate::stage::NAMESPACE;
use crate::stage::cast::live;
use crate::stage::watch::{self, Seen};

const EXPIRED_MILLIS: u64 = 7_000;
const LIFE_MILLIS: u64 = 15_000;
/// So much of the first grant's life is left when it comes into the Secret.
const LEFT_MILLIS: u64 = 1_500;
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives what the observer reads; an error where it is off by more than `tolerance`, in milliseconds.
pub async fn seven_seconds(tolerance: u64) -> Result<u64> {
    let plane = ControlPlane::start().await?;
    let read = observed(&plane, tolerance).await;
    plane.stop().await?;
    read
}

async fn observed(plane: &ControlPlane, tolerance: u64) -> Result<u64> {
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/playbackgrantrequests.yaml");
    plane.install(&[&definition]).await?;
    let seen = Arc::<Mutex<Seen>>::default();
    let secrets = AbortOnDropHandle::new(tokio::spawn(watch::secrets(plane.admin(), NAMESPACE, seen.clone())));
    let requests = AbortOnDropHandle::new(tokio::spawn(watch::requests(plane.admin(), NAMESPACE, seen.clone())));
    let _watching = (secrets, requests);
    let has_seen = |what: &dyn Fn(&Seen) -> bool| what(&seen.lock().unwrap_or_else(PoisonError::into_inner));
    wait_until("the observer has not seen what there is", || has_seen(&|seen| seen.lists >= 2)).await?;
    let (cast, began) = ([live(1)], unix_millis());
    let secrets: Api<Secret> = Api::namespaced(plane.admin(), NAMESPACE);
    let name = cast[0].request_name(1);
    let read = |now| {
        let looked = Looked { forced: began..began, ends: began, now, calls: Vec::new(), hasty: 0 };
        measure(&seen.lock().unwrap_or_else(PoisonError::into_inner), (&cast, &cast[0]), &looked)
    };

    let first = PlaybackToken { issued_at_unix_ms: began + LEFT_MILLIS - LIFE_MILLIS, ttl_ms: LIFE_MILLIS, nonce: 1 };
    let secret = json!({"metadata": {"name": name}, "stringData": grant(first)});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    let expires = first.expires_at_unix_ms();
    tokio::time::sleep(Duration::from_millis((expires + EXPIRED_MILLIS).saturating_sub(unix_millis()))).await;
    let sent = unix_millis();
    let second = PlaybackToken { issued_at_unix_ms: sent, ttl_ms: LIFE_MILLIS, nonce: 2 };
    secrets.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"stringData": grant(second)}))).await?;
    let answered = unix_millis();

    // One version each: the Secret was made, and written once.
    wait_until("the observer has not seen the two versions of a Secret", || has_seen(&|seen| seen.written.len() >= 2)).await?;
    let Measured { expired, writes, .. } = read(unix_millis());
    // What is true lies between when the write was sent and when it was answered.
    let (least, most) = ((sent - expires).saturating_sub(tolerance), answered - expires + tolerance);
    ensure!((least..=most).contains(&expired), "the observer reads {expired} ms of a Secret that was expired for {least} to {most} ms");
    ensure!(writes == 100, "the observer reads {writes} writes for a hundred grants, each of which was written once");
    Ok(expired)
}

async fn wait_until(otherwise: &'static str, is_so: impl Fn() -> bool) -> Result<()> {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, so).await.context(otherwise)
}

fn grant(token: PlaybackToken) -> Value {
    let url = token.playback_url();
    json!({GRANT: json!({"playbackUrl": url}).to_string(), PLAYBACK_URL: url})
}
