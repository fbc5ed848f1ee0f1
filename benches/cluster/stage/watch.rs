//! Which grants each Secret has held, by what the simulator wrote into them, and how often anything was written: an observer that trusts nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::api::names::annotation::{ISSUE_TIME, OWNED_BY};
use playback_grant_operator::api::names::key::{GRANT, PLAYBACK_URL};
use playback_grant_operator::lifecycle::schedule;
use playback_grant_operator::media::Ttl;
use playback_grant_operator::simulator::PlaybackToken;
use playback_grant_operator::time::Instant;
use playback_grant_testbed::unix_millis;

/// A grant in a Secret: when it was first seen there, when it expires, and when it is to be replaced, by the word of its Secret. Milliseconds since the
/// Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub seen: u64,
    pub expires: u64,
    pub due: Option<u64>,
}

/// What has been seen of the Secrets and requests of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What each Secret has held, in the order in which it was seen.
    pub held: BTreeMap<String, Vec<Held>>,
    /// When a version of a Secret or of a request was seen that came by a write. What is written while a watch is down isn't among them.
    pub written: Vec<u64>,
    /// How many lists have been seen to their end: from the first of each kind on, writes are seen one by one.
    pub lists: u32,
}

/// It looks again so soon after its watch broke, however often: what it sees late counts against the operator.
struct AtOnce;

impl Iterator for AtOnce {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(50))
    }
}

impl Backoff for AtOnce {
    fn reset(&mut self) {}
}

/// Follows the Secrets of a namespace for as long as it is polled.
pub async fn secrets(client: Client, namespace: &'static str, seen: Arc<Mutex<Seen>>) {
    let (secrets, seen) = (Api::<Secret>::namespaced(client, namespace), || seen.lock().unwrap_or_else(PoisonError::into_inner));
    let mut events = watcher(secrets, watcher::Config::default()).backoff(AtOnce).boxed();
    while let Some(event) = events.next().await {
        let now = unix_millis();
        if matches!(event, Ok(Event::Apply(_))) {
            seen().written.push(now);
        }
        let (secret, grant) = match event {
            Ok(Event::Apply(secret) | Event::InitApply(secret)) => (secret.name_any(), grant(&secret, now)),
            Ok(Event::Delete(secret)) => (secret.name_any(), None),
            Ok(Event::InitDone) => {
                seen().lists += 1;
                continue;
            }
            Ok(Event::Init) | Err(_) => continue,
        };
        let mut seen = seen();
        // Credentials are Secrets, too. One that holds no grant any more is as good as one whose grant has expired.
        let grant = match grant {
            Some(grant) => grant,
            None if seen.held.contains_key(&secret) => Held { seen: now, expires: now, due: None },
            None => continue,
        };
        let held = seen.held.entry(secret).or_default();
        if held.last().is_none_or(|last| last.expires != grant.expires) {
            held.push(grant);
        }
    }
}

/// The grant in the Secret; `None` where there is none whose two copies are the same.
fn grant(secret: &Secret, now: u64) -> Option<Held> {
    let text = |key| std::str::from_utf8(&secret.data.as_ref()?.get(key)?.0).ok();
    let url = text(PLAYBACK_URL)?;
    let grant: serde_json::Value = serde_json::from_str(text(GRANT)?).ok()?;
    if grant["playbackUrl"] != url {
        return None;
    }
    let token = PlaybackToken::decode(url)?;
    Some(Held { seen: now, expires: token.expires_at_unix_ms(), due: due(secret, &token) })
}

/// When that grant is to be replaced: as the operator reckons, from the instant at which it says that it asked for it.
fn due(secret: &Secret, token: &PlaybackToken) -> Option<u64> {
    let annotation = |name| secret.annotations().get(name);
    let issue = annotation(ISSUE_TIME)?.parse::<Timestamp>().ok()?.as_millisecond();
    let (_, uid) = annotation(OWNED_BY)?.rsplit_once('/')?;
    let ttl = Ttl::from_seconds(u8::try_from(token.ttl_ms / 1000).ok()?)?;
    let issued = Instant::after_start(Duration::from_millis(u64::try_from(issue).ok()?));
    let due = schedule::due(issued, ttl, ttl.duration() / 3, schedule::draw(uid, issue));
    u64::try_from(due.since(Instant::after_start(Duration::ZERO)).as_millis()).ok()
}

/// Counts the writes of a namespace's requests for as long as it is polled.
pub async fn requests(client: Client, namespace: &'static str, seen: Arc<Mutex<Seen>>) {
    let seen = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    let requests = Api::<PartialObjectMeta<PlaybackGrantRequest>>::namespaced(client, namespace);
    let mut events = watcher(requests, watcher::Config::default()).backoff(AtOnce).boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(_)) => seen().written.push(unix_millis()),
            Ok(Event::InitDone) => seen().lists += 1,
            _ => {}
        }
    }
}
