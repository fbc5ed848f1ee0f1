//! Which grants each Secret has held, by what the simulator wrote into them: an observer that trusts nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use playback_grant_operator::api::names::key::PLAYBACK_URL;
use playback_grant_operator::simulator::PlaybackToken;
use playback_grant_testbed::unix_millis;

/// A grant in a Secret: when it was first seen there, and when it expires. Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub seen: u64,
    pub expires: u64,
}

/// What each Secret has held, in the order in which it was seen.
pub type Seen = BTreeMap<String, Vec<Held>>;

/// Follows the Secrets of a namespace for as long as it is polled.
pub async fn follow(client: Client, namespace: String, seen: Arc<Mutex<Seen>>) {
    let mut events = watcher(Api::<Secret>::namespaced(client, &namespace), watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(secret) | Event::InitApply(secret)) = event else { continue };
        let url = secret.data.as_ref().and_then(|data| data.get(PLAYBACK_URL));
        let token = url.and_then(|url| PlaybackToken::decode(std::str::from_utf8(&url.0).ok()?));
        let Some(expires) = token.map(|token| token.expires_at_unix_ms()) else { continue };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let held = seen.entry(secret.name_any()).or_default();
        if held.last().is_none_or(|last| last.expires != expires) {
            held.push(Held { seen: unix_millis(), expires });
        }
    }
}
