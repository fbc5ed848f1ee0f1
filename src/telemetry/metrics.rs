//! Metrics, for `/metrics`.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::media::FailureClass;

/// What is counted. A later issue of the operator widens it; the names are part of the API from here on.
pub struct Metrics {
    registry: Registry,
    media_api_requests: Family<ResultLabel, Counter>,
    watch_errors: Family<WatchLabel, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: ResultValue,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
enum ResultValue {
    Granted,
    Unavailable,
    Throttled,
    InvalidResponse,
    Unauthorized,
    Forbidden,
    NotFound,
    Rejected,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WatchLabel {
    watched: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("playback_grant");
        let media_api_requests = Family::<ResultLabel, Counter>::default();
        registry.register("media_api_requests", "Calls of the Media API that ended, by result", media_api_requests.clone());
        let watch_errors = Family::<WatchLabel, Counter>::default();
        registry.register("watch_errors", "Errors of watches, by what is watched", watch_errors.clone());
        registry.register("build", "The build", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        Self { registry, media_api_requests, watch_errors }
    }
}

impl Metrics {
    /// A call of the Media API ended.
    pub fn media_api_answered(&self, outcome: Result<(), FailureClass>) {
        let result = match outcome {
            Ok(()) => ResultValue::Granted,
            Err(FailureClass::Unavailable) => ResultValue::Unavailable,
            Err(FailureClass::Throttled { .. }) => ResultValue::Throttled,
            Err(FailureClass::InvalidResponse) => ResultValue::InvalidResponse,
            Err(FailureClass::Unauthorized) => ResultValue::Unauthorized,
            Err(FailureClass::Forbidden) => ResultValue::Forbidden,
            Err(FailureClass::NotFound) => ResultValue::NotFound,
            Err(FailureClass::Rejected) => ResultValue::Rejected,
        };
        self.media_api_requests.get_or_create(&ResultLabel { result }).inc();
    }

    /// A watch failed.
    pub fn watch_failed(&self, watched: &'static str) {
        self.watch_errors.get_or_create(&WatchLabel { watched }).inc();
    }

    /// All metrics, in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut encoded = String::new();
        // Writing into a String doesn't fail.
        let _ = text::encode(&mut encoded, &self.registry);
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_counted_by_its_result() {
        let metrics = Metrics::default();
        metrics.media_api_answered(Ok(()));
        metrics.media_api_answered(Ok(()));
        metrics.media_api_answered(Err(FailureClass::Throttled { retry_after: None }));
        metrics.watch_failed("requests");
        let encoded = metrics.encode();
        assert!(encoded.contains("playback_grant_media_api_requests_total{result=\"Granted\"} 2"), "{encoded}");
        assert!(encoded.contains("playback_grant_media_api_requests_total{result=\"Throttled\"} 1"), "{encoded}");
        assert!(encoded.contains("playback_grant_watch_errors_total{watched=\"requests\"} 1"), "{encoded}");
    }
}
