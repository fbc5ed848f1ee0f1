//! Metrics, for `/metrics`. Their names, units and labels are part of the API: `docs/metrics.md`.

mod labels;
mod lanes;
mod ledger;
mod objects;
mod process;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use self::labels::{
    ApiLabels, CallLabels, CallResult, Code, EventLabels, ReasonValue, RefreshLabels, RefreshResult, StateLabels, WatchLabels,
};
use self::lanes::LaneMetrics;
use self::ledger::{Counts, Ledger};
use self::objects::ObjectMetrics;
use self::process::ProcessMetrics;
use crate::api::condition::Reason;
use crate::clock::Clock;
use crate::lifecycle::{Identity, Refreshed, Standing, reason_of};
use crate::media::FailureClass;
use crate::media::figures::Figures;
use crate::media::lane::Caller;

/// Lives of grants, and what is left of them: up to 60 s.
const LIVES: [f64; 12] = [0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 20.0, 40.0, 60.0];
/// What takes milliseconds, and up to the 10 s after which a call is given up.
const LATENCIES: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0];

/// What is counted and measured.
pub struct Metrics {
    clock: Clock,
    registry: Registry,
    scrape: Mutex<()>,
    ledger: Mutex<Ledger>,
    expired: Counter<f64, std::sync::atomic::AtomicU64>,
    grants: Family<StateLabels, Gauge>,
    refreshes: Family<RefreshLabels, Counter>,
    refresh_duration: Histogram,
    remaining_life: Histogram,
    lateness: Histogram,
    media_api_requests: Family<CallLabels, Counter>,
    media_api_duration: Histogram,
    api_server_requests: Family<ApiLabels, Counter>,
    watch_errors: Family<WatchLabels, Counter>,
    events: Family<EventLabels, Counter>,
    clock_difference: Gauge<f64, std::sync::atomic::AtomicU64>,
    lanes: LaneMetrics,
    process: ProcessMetrics,
    objects: Option<ObjectMetrics>,
    /// What tells how the lanes stand.
    figures: OnceLock<Box<dyn Fn() -> Option<Figures> + Send + Sync>>,
    dropped_lines: Counter,
    /// What tells how many lines of the log were dropped.
    log: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl Metrics {
    /// Nothing has been counted yet. `per_object`: with a series for each request, too.
    #[must_use]
    pub fn new(clock: Clock, per_object: bool) -> Self {
        let mut registry = Registry::default();
        let into = &mut registry;
        let expired = registered_in(
            into,
            "playback_grant_expired",
            "For how long Secrets have held expired grants, all together; not of suspended requests",
            Unit::Seconds,
        );
        let grants = registered(
            into,
            "playback_grants",
            "Requests, by what their Secrets hold: a fresh grant, an expired one, or none; or suspended",
        );
        let refreshes = registered(into, "playback_grant_refreshes", "Grants that came into Secrets, and attempts that failed, by reason");
        let mut histogram = |name: &str, help: &str, buckets: [f64; 12]| {
            let histogram = Histogram::new(buckets);
            into.register_with_unit(name, help, Unit::Seconds, histogram.clone());
            histogram
        };
        let refresh_duration =
            histogram("playback_grant_refresh_duration", "From when a grant was asked for until it was in its Secret", LATENCIES);
        let remaining_life =
            histogram("playback_grant_remaining_life", "What a grant had left to live when the next came into its Secret", LIVES);
        let lateness =
            histogram("playback_grant_refresh_lateness", "From when a refresh was due until the grant was in its Secret", LATENCIES);
        let media_api_duration = histogram("playback_grant_media_api_request_duration", "How long calls of the Media API took", LATENCIES);
        let dropped_lines =
            registered(into, "playback_grant_log_lines_dropped", "Lines of the log that were dropped, since nobody read standard error");
        into.register(
            "playback_grant_build",
            "The build",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION")), ("commit", env!("PLAYBACK_GRANT_COMMIT"))]),
        );
        Self {
            clock,
            scrape: Mutex::default(),
            ledger: Mutex::default(),
            expired,
            grants,
            refreshes,
            refresh_duration,
            remaining_life,
            lateness,
            media_api_requests: registered(
                into,
                "playback_grant_media_api_requests",
                "Calls of the Media API that ended, by what that means and by HTTP status",
            ),
            media_api_duration,
            api_server_requests: registered(
                into,
                "playback_grant_api_server_requests",
                "What was asked of the Kubernetes API server for requests, and how it was answered; without watches",
            ),
            watch_errors: registered(into, "playback_grant_watch_errors", "Errors of watches, by what is watched"),
            events: registered(into, "playback_grant_events", "Kubernetes Events, by what became of them"),
            clock_difference: registered_in(
                into,
                "playback_grant_media_api_clock_difference",
                "By how much the Media API's clock was ahead of this machine's when it last granted",
                Unit::Seconds,
            ),
            lanes: LaneMetrics::new(into),
            process: ProcessMetrics::new(into),
            objects: per_object.then(|| ObjectMetrics::new(into)),
            registry,
            figures: OnceLock::new(),
            dropped_lines,
            log: OnceLock::new(),
        }
    }

    /// From now on `figures` is asked how the lanes stand. Only the first is.
    pub fn lanes_are_told_by(&self, figures: impl Fn() -> Option<Figures> + Send + Sync + 'static) {
        let _ = self.figures.set(Box::new(figures));
    }

    /// From now on `log` is asked how many lines it has dropped. Only the first is.
    pub fn dropped_lines_are_told_by(&self, log: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.log.set(Box::new(log));
    }

    /// The request's Secret stands so from now on; `None`: it is no affair of the operator's any more.
    pub fn stands(&self, caller: &Caller, identity: &Identity, standing: Option<Standing>) {
        let Some(known) = standing else { return self.forget(caller) };
        self.ledger().stands(caller, known, self.clock.instant());
        if let Some(objects) = &self.objects {
            objects.stands(caller, identity, standing);
        }
    }

    /// The request is gone, or is no affair of the operator's any more.
    pub fn forget(&self, caller: &Caller) {
        self.ledger().forget(caller, self.clock.instant());
        if let Some(objects) = &self.objects {
            objects.forget(caller);
        }
    }

    /// A grant came into its Secret.
    pub fn refreshed(&self, refreshed: &Refreshed) {
        let labels = RefreshLabels { result: RefreshResult::success, reason: ReasonValue(Reason::GrantIssued) };
        self.refreshes.get_or_create(&labels).inc();
        self.refresh_duration.observe(refreshed.took.as_secs_f64());
        if let Some(left) = refreshed.left {
            self.remaining_life.observe(left.as_secs_f64());
        }
        if let Some(late) = refreshed.late {
            self.lateness.observe(late.as_secs_f64());
        }
    }

    /// An attempt to get a grant failed.
    pub fn refresh_failed(&self, class: FailureClass) {
        let labels = RefreshLabels { result: RefreshResult::failure, reason: ReasonValue(reason_of(class)) };
        self.refreshes.get_or_create(&labels).inc();
    }

    /// A call of the Media API ended, with a grant or so, after so long; `status`: what it was answered with.
    pub fn media_api_answered(&self, outcome: Result<(), FailureClass>, status: Option<u16>, took: Duration) {
        let result = match outcome {
            Ok(()) => CallResult::Granted,
            Err(FailureClass::Unavailable) => CallResult::Unavailable,
            Err(FailureClass::Throttled { .. }) => CallResult::Throttled,
            Err(FailureClass::InvalidResponse) => CallResult::InvalidResponse,
            Err(FailureClass::Unauthorized) => CallResult::Unauthorized,
            Err(FailureClass::Forbidden) => CallResult::Forbidden,
            Err(FailureClass::NotFound) => CallResult::NotFound,
            Err(FailureClass::Rejected) => CallResult::Rejected,
        };
        self.media_api_requests.get_or_create(&CallLabels { result, code: Code(status) }).inc();
        self.media_api_duration.observe(took.as_secs_f64());
    }

    /// By how much the Media API's clock is ahead of this machine's.
    pub fn media_api_clock_differs(&self, difference: SignedDuration) {
        self.clock_difference.set(difference.as_secs_f64());
    }

    /// The API server has answered, or hasn't.
    pub fn api_server_answered(&self, request: &'static str, result: &'static str) {
        self.api_server_requests.get_or_create(&ApiLabels { request, result }).inc();
    }

    /// An Event was published, or failed to be, or was dropped, since there were too many.
    pub fn event_told(&self, result: &'static str) {
        self.events.get_or_create(&EventLabels { result }).inc();
    }

    /// A watch failed.
    pub fn watch_failed(&self, watched: &'static str) {
        self.watch_errors.get_or_create(&WatchLabels { watched }).inc();
    }

    /// All metrics, in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        // One after the other: what is told of the present is filled in for each, and counters may not go back.
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle();
        let mut encoded = String::new();
        // Writing into a String doesn't fail.
        let _ = text::encode(&mut encoded, &self.registry);
        encoded
    }

    /// Brings what time alone changes up to now.
    fn settle(&self) {
        let now = self.clock.now();
        let (expired, counts) = {
            let mut ledger = self.ledger();
            (ledger.expired(now.instant), ledger.counts(now.instant))
        };
        self.expired.inner().store(expired.as_secs_f64().to_bits(), std::sync::atomic::Ordering::Relaxed);
        let Counts { fresh, expired, absent, suspended } = counts;
        for (state, count) in [("fresh", fresh), ("expired", expired), ("absent", absent), ("suspended", suspended)] {
            self.grants.get_or_create(&StateLabels { state }).set(count.into());
        }
        self.process.read();
        if let Some(log) = self.log.get() {
            self.dropped_lines.inner().store(log(), std::sync::atomic::Ordering::Relaxed);
        }
        if let Some(objects) = &self.objects {
            objects.settle(now);
        }
        if let Some(figures) = self.figures.get().and_then(|figures| figures()) {
            self.lanes.set(&figures);
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A metric under that name, which stands in `/metrics` from now on.
fn registered<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// The same, in that unit, which is part of its name.
fn registered_in<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str, unit: Unit) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
