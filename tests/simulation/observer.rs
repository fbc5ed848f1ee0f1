//! For how long each Secret held an expired grant: by what the Media API put into it, whatever the operator says.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use playback_grant_operator::clock::Clock;
use playback_grant_operator::time::Instant;
use serde_json::Value;

/// What a Secret held. Instants are told since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// When the grant in it expires.
    pub expiry: Duration,
    /// For how long it held expired ones so far.
    pub expired: Duration,
    /// How many grants it has held.
    pub grants: usize,
}

/// What all Secrets held, by their names.
#[derive(Default)]
pub struct Ledger {
    secrets: BTreeMap<String, Held>,
    settled: Duration,
}

impl Ledger {
    /// Counts up to now, and tells what has been counted.
    pub fn settle(&mut self, now: Duration) -> &BTreeMap<String, Held> {
        for held in self.secrets.values_mut() {
            held.expired += now.saturating_sub(held.expiry.max(self.settled));
        }
        self.settled = now;
        &self.secrets
    }

    fn takes(&mut self, secret: String, expiry: Duration) {
        let held = self.secrets.entry(secret).or_default();
        if held.expiry != expiry {
            held.grants += 1;
        }
        held.expiry = expiry;
    }
}

/// Follows all Secrets, for as long as it is polled.
pub async fn observe(client: Client, clock: Clock, start: Instant, ledger: Arc<Mutex<Ledger>>) {
    let mut versions = pin!(watcher(Api::<Secret>::all(client), watcher::Config::default()).default_backoff().applied_objects());
    while let Some(secret) = versions.next().await {
        let Ok(secret) = secret else { continue };
        let Some(grant) = secret.data.as_ref().and_then(|data| data.get("grant")) else { continue };
        let grant: Value = serde_json::from_slice(&grant.0).unwrap();
        let mut ledger = ledger.lock().unwrap();
        ledger.settle(clock.instant().since(start));
        ledger.takes(secret.name_any(), Duration::from_millis(grant["expires"].as_u64().unwrap()));
    }
}

/// A Secret that holds an expired grant for seven seconds is told so.
pub fn seven_seconds() {
    let mut ledger = Ledger::default();
    let seconds = Duration::from_secs;
    ledger.settle(seconds(1));
    ledger.takes("lobby".to_owned(), seconds(10));
    for second in 2..=17 {
        ledger.settle(seconds(second));
    }
    ledger.takes("lobby".to_owned(), seconds(30));
    let lobby = ledger.settle(seconds(30))["lobby"];
    assert_eq!((lobby.expired, lobby.grants), (seconds(7), 2));
    assert_eq!(ledger.settle(seconds(31))["lobby"].expired, seconds(8));
}
