//! What people do to requests and credentials, and what the garbage collector does after them.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::history::Happening;
use crate::judge::What;
use crate::live::{NOTICES, Stage};
use crate::media_api::{key_sid, streamer};
use crate::world::{credentials_name, name};
use crate::{happenings, others};

/// The finalizer of others.
const LINGERS: &str = "example.com/lingers";

/// The garbage collector looks so long after an owner went.
pub const COLLECTED_AFTER: Duration = Duration::from_millis(300);

pub async fn begin(stage: &Stage<'_>, number: usize, happening: Happening) {
    let Stage { world, .. } = stage;
    let now = world.now();
    match happening {
        Happening::SetTtl(n, ttl) => ask(stage, n, &json!({"ttlSeconds": ttl, "refreshBeforeExpirySeconds": null})).await,
        Happening::SetOrigin(n, origin) => {
            ask(stage, n, &json!({"accessControlAllowOrigin": format!("https://origin-{origin}.example")})).await;
        }
        Happening::SetLabel(n, label) => {
            let label = (label > 0).then(|| format!("t{label}"));
            change(stage, n, &json!({"secret": {"labels": {"tier": label}}})).await;
        }
        Happening::Rename(n, other) => {
            let target = if other { other_name(n) } else { name(n) };
            if change(stage, n, &json!({"secret": {"name": target}})).await {
                stage.cast().targets.insert(n, target);
            }
        }
        Happening::RefreshNow(n) => {
            let value = format!("at-{number}");
            if world.change_request(n, &json!({"metadata": {"annotations": {"playbackgrant.dev/refresh-requested-at": value}}})).await {
                stage.cast().refreshes.insert(n, value);
            }
        }
        Happening::Suspend(n, _) => drop(change(stage, n, &json!({"suspend": true})).await),
        Happening::Recreate(n, _) => {
            let _gone = world.requests().delete(&name(n), &DeleteParams::default()).await;
            stage.cast().is_renewed(n, now);
        }
        Happening::Linger(n, _) => linger(stage, number, n).await,
        Happening::Rival(n, other, _) => {
            // What a rival wins would be in the other's way for ever if it stayed when the rival went.
            let target = stage.cast().target(other);
            if n != other && change(stage, n, &json!({"secret": {"name": target, "deletionPolicy": "Delete"}})).await {
                let mut cast = stage.cast();
                cast.targets.insert(n, target);
                cast.rivals.insert(n);
            }
        }
        Happening::SetPolicy(n, retain) => {
            if !stage.cast().rivals.contains(&n) {
                change(stage, n, &json!({"secret": {"deletionPolicy": if retain { "Retain" } else { "Delete" }}})).await;
            }
        }
        Happening::RotateKey(account) => {
            let key = stage.cast().keys[account] + 1;
            stage.cast().keys[account] = key;
            unproven(stage, account);
            let secret = json!({"stringData": {"apiKeySid": key_sid(account, key), "apiKeySecret": format!("secret-{key}")}});
            if world.change_secret(&credentials_name(account), &secret).await {
                world.media.uses_key(account, key);
            }
        }
        Happening::DropCredentials(account, _) => {
            stage.judge().obstruct(What::Grants, &stage.of_account(account), now);
            stage.cast().dropped[account] += 1;
            let _gone = world.secrets().delete(&credentials_name(account), &DeleteParams::default()).await;
        }
        other => others::begin(stage, number, other).await,
    }
}

/// The request is deleted, and stays.
async fn linger(stage: &Stage<'_>, number: usize, n: usize) {
    let Stage { world, .. } = stage;
    if !world.change_request(n, &json!({"metadata": {"finalizers": [LINGERS]}})).await {
        return;
    }
    let _going = world.requests().delete(&name(n), &DeleteParams::default()).await;
    let uid = world.requests().get(&name(n)).await.unwrap().uid().unwrap();
    let now = world.now();
    let mut cast = stage.cast();
    cast.is_renewed(n, now);
    cast.lingering.insert(number, (uid, now));
}

/// It is gone, unless it has gone before, and nothing was asked of the Media API for it; it is made again.
pub async fn has_lingered(stage: &Stage<'_>, number: usize, n: usize) {
    let Stage { world, .. } = stage;
    let Some((uid, since)) = stage.cast().lingering.remove(&number) else { return };
    if world.requests().get_opt(&name(n)).await.unwrap().and_then(|found| found.uid()) != Some(uid) {
        return;
    }
    // Only what was seen can be heeded, and a call that was sent before comes in after.
    let seen_since = stage.judge().tells_since(&name(n), since).map(|since| since + NOTICES);
    let mut called = world.media.told().into_iter().filter(|(at, call)| call.starts_with(&streamer(n)) && Some(*at) > seen_since);
    if let (Some(_), Some((at, _))) = (seen_since, called.next_back()) {
        stage.judge().complain(format!("{at:.1?} a grant was asked for for {}, which is being deleted since {since:.1?}", name(n)));
    }
    world.change_request(n, &json!({"metadata": {"finalizers": null}})).await;
    stage.cast().is_renewed(n, world.now());
    world.make_request(n, &happenings::spec(&stage.history.requests[n])).await;
}

async fn ask(stage: &Stage<'_>, n: usize, spec: &serde_json::Value) {
    let now = stage.world.now();
    stage.cast().unproven_since.insert(n, now);
    change(stage, n, spec).await;
}

/// Changes the spec, if the request is there. Returns whether it could.
pub async fn change(stage: &Stage<'_>, n: usize, spec: &serde_json::Value) -> bool {
    stage.world.change_request(n, &json!({"spec": spec})).await
}

/// What the Secret of the request is named by a spec that doesn't leave it at the request's own name.
fn other_name(n: usize) -> String {
    format!("other-{n}")
}

/// Nothing is known of how the account's present credentials fare.
pub fn unproven(stage: &Stage<'_>, account: usize) {
    let now = stage.world.now();
    let mut cast = stage.cast();
    for (n, _) in stage.history.requests.iter().enumerate().filter(|(_, wish)| wish.account == account) {
        cast.unproven_since.insert(n, now);
    }
}

/// Deletes the Secrets whose controller is no more.
pub async fn collect(stage: &Stage<'_>) {
    let Stage { world, .. } = stage;
    let alive: Vec<String> = world.requests().list(&ListParams::default()).await.unwrap().iter().filter_map(ResourceExt::uid).collect();
    for secret in world.secrets().list(&ListParams::default()).await.unwrap() {
        if secret.owner_references().iter().any(|owner| owner.controller == Some(true) && !alive.contains(&owner.uid)) {
            let _gone = world.secrets().delete(&secret.name_any(), &DeleteParams::default()).await;
            stage.cast().collected.insert(secret.name_any());
        }
    }
}
