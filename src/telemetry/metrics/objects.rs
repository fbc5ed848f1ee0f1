//! The expiry of each request's grant: a series for each request, and so only where it is asked for.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::ObjectLabels;
use super::registered_in;
use crate::lifecycle::{Identity, Standing};
use crate::media::lane::Caller;
use crate::time::{Instant, Now};

/// When the grants expire that the Secrets of requests hold.
pub(super) struct ObjectMetrics {
    expiry: Family<ObjectLabels, Gauge<f64, AtomicU64>>,
    held: Mutex<BTreeMap<Caller, (ObjectLabels, Instant)>>,
}

impl ObjectMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let help = "When the grant expires that the Secret of the request holds, since the Unix epoch";
        Self { expiry: registered_in(registry, "playback_grant_expiry_timestamp", help, Unit::Seconds), held: Mutex::default() }
    }

    /// The request's Secret stands so from now on; `None`: it is served no more.
    pub(super) fn stands(&self, caller: &Caller, identity: &Identity, standing: Option<Standing>) {
        if let Some(Standing::Holds { expiry }) = standing {
            let labels = || ObjectLabels { namespace: identity.namespace.clone(), name: identity.name.clone() };
            self.held().entry(caller.clone()).or_insert_with(|| (labels(), expiry)).1 = expiry;
        } else {
            self.forget(caller);
        }
    }

    /// The request is served no more.
    pub(super) fn forget(&self, caller: &Caller) {
        self.held().remove(caller);
    }

    /// Tells them as they stand.
    pub(super) fn settle(&self, now: Now) {
        let held: Vec<_> = self.held().values().cloned().collect();
        self.expiry.clear();
        for (labels, expiry) in held {
            self.expiry.get_or_create_owned(&labels).set(since_the_epoch(now.wall_at(expiry)));
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Caller, (ObjectLabels, Instant)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since_the_epoch(wall: Timestamp) -> f64 {
    wall.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}
