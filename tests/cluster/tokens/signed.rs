//! With what a token is signed, and what it carries, refresh by refresh.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{Config, Event, watcher};
use playback_grant_testbed::unix_millis;
use serde_json::json;

use super::read::{Token, token};
use super::short;
use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{PATIENCE, Stage, api_key, data};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("tokens::each_of_a_hundred_carries_the_very_grant_beside_it", each_of_a_hundred_carries_the_very_grant_beside_it),
        test("tokens::a_second_after_a_change_all_are_signed_by_the_new_key", a_second_after_a_change_all_are_signed_by_the_new_key),
    ]
}

const NAMES: [&str; 5] = ["request-1", "request-2", "request-3", "request-4", "request-5"];

/// Looks at each version of each grant Secret, until `look` has seen enough.
async fn at_each_write(stage: &Stage, mut look: impl AsyncFnMut(&Secret) -> Result<bool>) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let mut events = pin!(watcher(secrets, Config::default().labels("app.kubernetes.io/managed-by=playback-grant-operator")));
    let mut seen = BTreeSet::new();
    let watched = async {
        while let Some(event) = events.next().await {
            let (Event::Apply(secret) | Event::InitApply(secret)) = event? else { continue };
            if seen.insert(secret.resource_version()) && look(&secret).await? {
                return Ok(());
            }
        }
        bail!("the watch ended")
    };
    tokio::time::timeout(PATIENCE * 3, watched).await.context("not enough was written")?
}

async fn each_of_a_hundred_carries_the_very_grant_beside_it(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    for (n, name) in (1..).zip(NAMES) {
        stage.ready_request(name, n, &short(name)).await?;
    }
    let (mut grants, mut ids) = (BTreeSet::new(), BTreeSet::new());
    at_each_write(&stage, async |secret| {
        let Token { claims, key, .. } = token(secret)?;
        ensure!(key == 1 && claims["grants"]["identity"] == secret.name_any(), "it is another's token: {}", claims["grants"]["identity"]);
        ensure!(claims["sub"] == data(secret, "accountSid").context("no account")?, "its subject is another account");
        let (signed, expires) = (claims["nbf"].as_i64().context("no nbf")? + 10, claims["exp"].as_i64().context("no exp")?);
        ensure!(expires - signed == 3600, "it lives for {} s", expires - signed);
        grants.insert(data(secret, "grant"));
        ensure!(ids.insert(claims["jti"].to_string()), "two tokens have one jti");
        Ok(grants.len() > 100 + NAMES.len())
    })
    .await
}

/// Four changes, one after the other, of the key that five requests use which are refreshed each second; three refreshes between two of them. No
/// token is signed by an earlier key once one is by a later; and each Secret has one by the new key within a second, in the median of twenty.
async fn a_second_after_a_change_all_are_signed_by_the_new_key(scene: Scene) -> Result<()> {
    const CHANGES: usize = 4;
    const WRITES: u32 = 4;
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    for (n, name) in (1..).zip(NAMES) {
        // Spread over the second: whenever it is, one of them is soon written.
        at_millisecond(u64::from(n) * 200).await;
        stage.ready_request(name, n, &short(name)).await?;
    }
    // By each Secret: the key of the last token, and how many in a row it has signed. The keys take turns.
    let mut keys = BTreeMap::<String, (u32, u32)>::new();
    let (mut present, mut changed_at, mut changes) = (1, 0, 0);
    let mut lags = Vec::new();
    at_each_write(&stage, async |secret| {
        let Token { key, .. } = token(secret)?;
        let (before, signed) = keys.get(&secret.name_any()).copied().unwrap_or_default();
        ensure!(key == present || before != present, "{}: the new key, then the old one again", secret.name_any());
        if key == present && before != present && changes > 0 {
            lags.push(unix_millis() - changed_at);
        }
        keys.insert(secret.name_any(), (key, if key == before { signed + 1 } else { 1 }));
        if keys.len() == NAMES.len() && keys.values().all(|(key, signed)| *key == present && *signed >= WRITES) {
            if changes == CHANGES {
                return Ok(true);
            }
            present = present % 9 + 1;
            let patch = Patch::Merge(json!({"stringData": api_key(present)}));
            changed_at = unix_millis();
            stage.secrets.patch("media-api", &PatchParams::default(), &patch).await?;
            changes += 1;
        }
        Ok(false)
    })
    .await?;
    lags.sort_unstable();
    ensure!(lags.len() == CHANGES * NAMES.len(), "{} tokens were first by a new key", lags.len());
    eprintln!(
        "a changed key signs after {} ms in the median of {}, {} ms at the most",
        lags[lags.len() / 2],
        lags.len(),
        lags[lags.len() - 1]
    );
    ensure!(lags[lags.len() / 2] < 1000, "a changed key signs late: after {lags:?} ms");
    Ok(())
}

/// Waits until so much of a second, by the wall clock, has passed.
async fn at_millisecond(wanted: u64) {
    tokio::time::sleep(Duration::from_millis((wanted + 1000 - unix_millis() % 1000) % 1000)).await;
}
