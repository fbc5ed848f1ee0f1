//! What others do to Secrets, and how what lasts ends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use playback_grant_operator::api::names::{MANAGED_BY, MANAGED_BY_LABEL};
use serde_json::{Value, json};

use crate::cast::Version;
use crate::happenings;
use crate::history::{Happening, Tamper};
use crate::judge::What;
use crate::live::{NOTICES, Stage};
use crate::requests::{self, change, unproven};
use crate::world::name;

const OWNED_BY: &str = "playbackgrant.dev/owned-by";

/// A Secret that is another's, or of which the watch doesn't tell, is looked at again after this.
pub const LOOK: Duration = Duration::from_secs(10);

pub async fn begin(stage: &Stage<'_>, number: usize, happening: Happening) {
    match happening {
        Happening::Tamper(n, how) => tamper(stage, n, how).await,
        Happening::Hold(n, _) => {
            let label = is_watched(number).then_some(MANAGED_BY);
            let metadata = json!({"finalizers": ["example.com/hold"], "labels": {MANAGED_BY_LABEL: label}});
            seize(stage, number, n, &json!({"immutable": true, "metadata": metadata})).await;
        }
        Happening::TakeOver(n, _) => {
            seize(stage, number, n, &json!({"metadata": {"annotations": {OWNED_BY: "somebody/else"}}})).await;
        }
        other => unreachable!("{other:?} is carried out elsewhere"),
    }
}

pub async fn tamper(stage: &Stage<'_>, n: usize, how: Tamper) {
    let target = stage.cast().target(n);
    if stage.cast().is_seized(&target) || stage.is_contested(&target) {
        return;
    }
    let now = stage.world.now();
    // While it waits for what was refused it looks at a Secret a second after others have changed it.
    stage.judge().excuse_words(&name(n), now + NOTICES, now);
    let waits = if matches!(how, Tamper::Touch) { None } else { stage.cast().tampers(n, now) };
    if let Some(waits) = waits {
        stage.judge().excuse(&name(n), now + waits + NOTICES, now);
    }
    let patch = match how {
        Tamper::Delete => {
            let _gone = stage.world.secrets().delete(&target, &DeleteParams::default()).await;
            return;
        }
        Tamper::StripLabel => json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
        Tamper::SpoilGrant => json!({"data": {"grant": STANDARD.encode("spoilt")}}),
        Tamper::StripAnnotations => json!({"metadata": {"annotations": {
            "playbackgrant.dev/issue-time": null, "playbackgrant.dev/expiry-time": null, "playbackgrant.dev/request-hash": null,
        }}}),
        Tamper::Touch => json!({"metadata": {"annotations": {"touched": format!("{now:?}")}}}),
        Tamper::MakeImmutable => json!({"immutable": true}),
    };
    stage.world.change_secret(&target, &patch).await;
}

/// Whether a Secret that is held keeps its label. Of one that loses it no watch tells when it is let go.
const fn is_watched(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// The request's Secret can't be written from here on.
async fn seize(stage: &Stage<'_>, number: usize, n: usize, patch: &Value) {
    let target = stage.cast().target(n);
    if stage.cast().is_seized(&target) || stage.is_contested(&target) || !stage.world.change_secret(&target, patch).await {
        return;
    }
    let secret = stage.world.secrets().get(&target).await.unwrap();
    stage.cast().seized.insert(number, (target, (secret.uid(), secret.resource_version())));
    let now = stage.world.now();
    stage.judge().obstruct(What::Grants, [&name(n)], now);
}

/// Ends what has lasted.
pub async fn end(stage: &Stage<'_>, number: usize, happening: Happening) {
    let Stage { world, .. } = stage;
    match happening {
        Happening::Linger(n, _) => requests::has_lingered(stage, number, n).await,
        Happening::Rival(n, ..) => {
            if stage.cast().rivals.contains(&n) && change(stage, n, &json!({"secret": {"name": name(n)}})).await {
                stage.cast().targets.insert(n, name(n));
            }
        }
        Happening::Suspend(n, _) => drop(change(stage, n, &json!({"suspend": false})).await),
        Happening::Recreate(n, _) => {
            if world.requests().get_opt(&name(n)).await.unwrap().is_none() {
                world.make_request(n, &happenings::spec(&stage.history.requests[n])).await;
            }
        }
        Happening::Hold(n, _) => {
            let Some((secret, _)) = stage.cast().seized.remove(&number) else { return };
            world.change_secret(&secret, &json!({"metadata": {"finalizers": null}})).await;
            let now = world.now();
            let noticed = now + if is_watched(number) { NOTICES } else { LOOK };
            stage.judge().release(What::Grants, [&name(n)], noticed, now);
            stage.judge().excuse_words(&name(n), noticed, now);
        }
        Happening::TakeOver(n, _) => {
            let Some((secret, version)) = stage.cast().seized.remove(&number) else { return };
            give_back(stage, &secret, version).await;
            let now = world.now();
            stage.judge().release(What::Grants, [&name(n)], now + NOTICES, now);
        }
        Happening::DropCredentials(account, _) => {
            let now = world.now();
            let (is_back, key) = {
                let mut cast = stage.cast();
                cast.dropped[account] -= 1;
                (cast.dropped[account] == 0, cast.keys[account])
            };
            if is_back {
                world.make_credentials(account, key).await;
                world.media.uses_key(account, key);
                unproven(stage, account);
            }
            stage.judge().release(What::Grants, &stage.of_account(account), now, now);
        }
        other => unreachable!("{other:?} is carried out elsewhere"),
    }
}

/// Whose the Secret was takes it away.
async fn give_back(stage: &Stage<'_>, secret: &str, version: Version) {
    let found = stage.world.secrets().get_opt(secret).await.unwrap();
    // The garbage collector may have taken it; nobody else has any business with it.
    let is_untouched = |found: &Secret| (found.uid(), found.resource_version()) == version;
    if found.is_none_or(|found| !is_untouched(&found)) && !stage.cast().is_collected(secret) {
        stage.judge().complain(format!("Secret {secret} was another's, and was changed or deleted"));
    }
    let _gone = stage.world.secrets().delete(secret, &DeleteParams::default()).await;
}
