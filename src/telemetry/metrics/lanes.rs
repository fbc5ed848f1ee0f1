//! The figures of the lanes, as they stand when they are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::StateLabels;
use super::registered;
use crate::media::figures::Figures;

/// The figures of the lanes.
pub(super) struct LaneMetrics {
    in_flight: Gauge,
    waiting: Gauge,
    lanes: Family<StateLabels, Gauge>,
    limited: Gauge,
    own_rate: Gauge<f64, AtomicU64>,
    shortfall: Gauge,
    joined: Counter,
}

impl LaneMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            in_flight: registered(registry, "playback_grant_media_api_in_flight", "Calls of the Media API that are under way"),
            waiting: registered(
                registry,
                "playback_grant_media_api_waiting",
                "Requests that wait for their turn to call the Media API, or until it may be tried again",
            ),
            lanes: registered(
                registry,
                "playback_grant_lanes",
                "Lanes, one for each pair of credentials: open, closed by failures or for the time that a 429 asks for, or silent",
            ),
            limited: registered(
                registry,
                "playback_grant_media_api_limited_accounts",
                "Accounts whose calls are held back since the Media API answered 429",
            ),
            own_rate: registered(
                registry,
                "playback_grant_media_api_own_rate",
                "Calls a second that accounts whose calls are held back may make, all together",
            ),
            shortfall: registered(
                registry,
                "playback_grant_media_api_shortfall",
                "Refreshes that are due and wait, since their account's calls are held back",
            ),
            joined: registered(
                registry,
                "playback_grant_media_api_joined_calls",
                "Calls of the Media API that were made beside others for the same, which weren't answered",
            ),
        }
    }

    pub(super) fn set(&self, figures: &Figures) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.in_flight.set(number(figures.in_flight));
        self.waiting.set(number(figures.waiting));
        self.limited.set(number(figures.limited));
        self.own_rate.set(figures.own_rate);
        self.shortfall.set(number(figures.shortfall));
        for (state, count) in [("open", figures.open), ("closed", figures.closed), ("silent", figures.silent)] {
            self.lanes.get_or_create(&StateLabels { state }).set(number(count));
        }
        self.joined.inner().store(figures.joined, Ordering::Relaxed);
    }
}
