//! What all watches have in common.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};

use crate::clock::Clock;
use crate::error_chain::find;
use crate::names::NameProblem;
use crate::time::Instant;

/// The API server ends each watch after so long, seconds; a connection that died is noticed at the latest 5 s after that.
pub const WATCH_TIMEOUT_SECONDS: u32 = 30;

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A watch that has worked for so long starts anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// The events of a watch, with a wait after each error.
pub fn with_waits<K>(events: impl Stream<Item = watcher::Result<Event<K>>>, clock: Clock) -> impl Stream<Item = watcher::Result<Event<K>>> {
    let errors = Arc::<Mutex<Errors>>::default();
    let backoff = WatchBackoff { errors: errors.clone(), clock };
    let look = move |event: &watcher::Result<Event<K>>| {
        if event.as_ref().is_err_and(is_too_old) {
            lock(&errors).too_old(clock.instant());
        }
    };
    events.inspect(look).backoff(backoff)
}

/// The errors of a watch so far.
#[derive(Debug, Default)]
struct Errors {
    in_a_row: u32,
    last: Option<Instant>,
    last_too_old: Option<Instant>,
}

impl Errors {
    /// The wait after an error: from 50 ms doubling to 1 s, up to half of it taken off at random.
    fn wait_after_one(&mut self, now: Instant, draw: f64) -> Duration {
        if self.last.replace(now).is_some_and(|last| now.since(last) > FORGOTTEN_AFTER) {
            self.in_a_row = 0;
        }
        let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(self.in_a_row).unwrap_or(u32::MAX));
        self.in_a_row = self.in_a_row.saturating_add(1);
        doubled.min(LONGEST_WAIT).mul_f64(1.0 - 0.5 * draw)
    }

    /// The watch has to start anew. The API server answers again, then: what failed before holds the list back no longer, unless one watch after
    /// another is too old.
    fn too_old(&mut self, now: Instant) {
        if self.last_too_old.replace(now).is_none_or(|last| now.since(last) > FORGOTTEN_AFTER) {
            self.in_a_row = 0;
        }
    }
}

struct WatchBackoff {
    errors: Arc<Mutex<Errors>>,
    clock: Clock,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(lock(&self.errors).wait_after_one(self.clock.instant(), rand::random()))
    }
}

impl Backoff for WatchBackoff {
    /// Not at each event: before each list, also one that is about to fail, the library tells that it begins.
    fn reset(&mut self) {}
}

fn lock(errors: &Mutex<Errors>) -> MutexGuard<'_, Errors> {
    errors.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the API server said that the account may not do this.
pub fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403
    )
}

/// What is logged of one watch: that it fails, once, and that it works again.
#[derive(Debug)]
pub struct WatchLog {
    clock: Clock,
    watched: &'static str,
    namespace: String,
    failed: Option<Instant>,
}

impl WatchLog {
    /// The log of the watch of `watched`; without a namespace, of all of them.
    pub fn new(watched: &'static str, namespace: Option<&str>, clock: Clock) -> Self {
        Self { clock, watched, namespace: namespace.unwrap_or("all namespaces").to_owned(), failed: None }
    }

    /// The watch works. Returns whether it failed before.
    pub fn works(&mut self) -> bool {
        let recovered = self.failed.take().is_some();
        if recovered {
            tracing::info!(watched = self.watched, namespace = self.namespace, "the watch works again");
        }
        recovered
    }

    /// Takes in a failure; returns whether it is of the same trouble as the one before. A watch that goes on quietly tells nothing, so one after
    /// a while is new.
    fn goes_on_failing(&mut self, now: Instant) -> bool {
        self.failed.replace(now).is_some_and(|last| now.since(last) <= FORGOTTEN_AFTER)
    }

    /// The watch failed. Nothing is logged of the answer that caused it: it may hold a Secret.
    pub fn failed(&mut self, error: &watcher::Error) {
        let Some((what, code)) = described(error) else {
            return tracing::debug!(watched = self.watched, namespace = self.namespace, "the watch is too old and starts anew");
        };
        let goes_on = self.goes_on_failing(self.clock.instant());
        let (watched, namespace) = (self.watched, self.namespace.as_str());
        if goes_on {
            return tracing::debug!(watched, namespace, code, "still could not {what}");
        }
        match code {
            Some(403) => tracing::warn!(
                watched,
                namespace,
                "not allowed to {what} (403): give the service account the Role of deploy/manifests/role in this namespace (the chart makes it for each of its value `namespaces`). It is tried again every second"
            ),
            Some(401) => tracing::warn!(
                watched,
                namespace,
                "could not {what}: the API server doesn't know the operator (401): check the service account's token, or the user in the kubeconfig"
            ),
            Some(404) => tracing::warn!(
                watched,
                namespace,
                "could not {what}: the API server has no such resource (404): apply crds/playbackgrantrequests.yaml"
            ),
            Some(code) => tracing::warn!(watched, namespace, code, "the API server refused to {what}; trying again"),
            None => tracing::warn!(watched, namespace, "could not {what}: {}; trying again", cause_of(error)),
        }
    }
}

/// Why the API server has given no answer that can be read. The error's own words may quote an answer.
fn cause_of(error: &watcher::Error) -> &'static str {
    let kind = find::<io::Error>(error).map(io::Error::kind);
    if let Some(rustls::Error::InvalidCertificate(_)) = find::<rustls::Error>(error) {
        "the API server's certificate isn't trusted: check certificate-authority in the kubeconfig, or the service account's ca.crt"
    } else if find::<rustls::Error>(error).is_some() {
        "what answers at the API server's address, named at the start, speaks no TLS that the operator knows: check the address"
    } else if find::<NameProblem>(error).is_some() {
        "the API server's name, in the address named at the start, could not be resolved: check it, and the cluster's DNS"
    } else if kind == Some(io::ErrorKind::ConnectionRefused) {
        "nothing listens at the API server's address, named at the start"
    } else if find::<serde_json::Error>(error).is_some() {
        "what answers at the API server's address, named at the start, answers in no way that can be read: check that it is an API server's"
    } else {
        "no connection to the API server's address, named at the start, or none that lasts"
    }
}

/// Whether what the watch would go on from is no longer there.
fn is_too_old(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

/// What could not be done, and the API server's status code, if it gave one; `None` for a watch that has to start anew since it is too old,
/// which is nothing to tell of.
fn described(error: &watcher::Error) -> Option<(&'static str, Option<u16>)> {
    let code = |cause: &kube::Error| match cause {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    };
    match error {
        watcher::Error::InitialListFailed(cause) => Some(("list", code(cause))),
        watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => Some(("watch", code(cause))),
        watcher::Error::WatchError(_) if is_too_old(error) => None,
        watcher::Error::WatchError(status) => Some(("watch", Some(status.code))),
        watcher::Error::NoResourceVersion => Some(("watch", None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn waits_grow_to_a_second_and_start_anew_after_half_a_minute() {
        let mut errors = Errors::default();
        let waits: Vec<u128> = (0..100).map(|second| errors.wait_after_one(at(second), 0.0).as_millis()).collect();
        assert_eq!(waits[..6], [50, 100, 200, 400, 800, 1000]);
        assert!(waits[6..].iter().all(|wait| *wait == 1000));
        assert_eq!(errors.wait_after_one(at(129), 1.0).as_millis(), 500);
        assert_eq!(errors.wait_after_one(at(160), 1.0).as_millis(), 25);
    }

    #[test]
    fn its_own_draws_stay_within_bounds() {
        let mut backoff = WatchBackoff { errors: Arc::default(), clock: Clock::MACHINE };
        // The library resets before each list.
        let waits: Vec<Duration> = std::iter::from_fn(|| {
            backoff.reset();
            backoff.next()
        })
        .take(100)
        .collect();
        assert!(waits[0] >= FIRST_WAIT / 2 && waits[0] <= FIRST_WAIT);
        assert!(waits[5..].iter().all(|wait| (LONGEST_WAIT / 2..=LONGEST_WAIT).contains(wait)));
    }

    /// What each of these errors, all after an outage of ten, is waited for, on a clock that goes on by itself.
    #[expect(clippy::disallowed_methods, reason = "it is the test's own clock, which stands")]
    async fn waits_after(after: &[u16]) -> Vec<Duration> {
        let error = |code| watcher::Error::WatchError(Box::new(kube::core::Status { code, ..kube::core::Status::failure("", "") }));
        let all: Vec<watcher::Result<Event<()>>> = [&[503; 10], after].concat().into_iter().map(|code| Err(error(code))).collect();
        let mut events = std::pin::pin!(with_waits(futures::stream::iter(all), Clock::MACHINE));
        let (mut last, mut waits) = (tokio::time::Instant::now(), Vec::new());
        while events.next().await.is_some() {
            waits.push(last.elapsed());
            last = tokio::time::Instant::now();
        }
        waits.split_off(10)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_too_old_starts_anew_soon_unless_that_goes_on() {
        // The wait after an error shows before what comes next.
        let waits = waits_after(&[410, 503, 410, 410, 410, 410, 503]).await;
        assert!(waits[0] >= LONGEST_WAIT / 2, "{waits:?}");
        assert!(waits[1] <= FIRST_WAIT * 2, "{waits:?}");
        assert!(waits[6] >= LONGEST_WAIT / 2, "{waits:?}");
    }

    #[test]
    fn each_error_is_told_by_what_could_not_be_done_and_the_servers_code() {
        use kube::core::Status;
        let status = |code: u16| Box::new(Status { code, ..Status::failure("planted", "reason") });
        let refused = |code| kube::Error::Api(status(code));
        assert_eq!(described(&watcher::Error::InitialListFailed(refused(403))), Some(("list", Some(403))));
        assert_eq!(described(&watcher::Error::WatchStartFailed(refused(500))), Some(("watch", Some(500))));
        assert_eq!(described(&watcher::Error::WatchFailed(kube::Error::LinesCodecMaxLineLengthExceeded)), Some(("watch", None)));
        assert_eq!(described(&watcher::Error::WatchError(status(410))), None);
        assert_eq!(described(&watcher::Error::WatchError(status(429))), Some(("watch", Some(429))));
        assert_eq!(described(&watcher::Error::NoResourceVersion), Some(("watch", None)));
        assert!(
            is_forbidden(&watcher::Error::InitialListFailed(refused(403))) && is_forbidden(&watcher::Error::WatchStartFailed(refused(403)))
        );
        assert!(!is_forbidden(&watcher::Error::InitialListFailed(refused(500))) && !is_forbidden(&watcher::Error::NoResourceVersion));
    }

    #[test]
    fn what_gave_no_answer_is_told_by_its_cause_and_never_in_its_own_words() {
        let over_io = |content: Box<dyn std::error::Error + Send + Sync>| io::Error::new(io::ErrorKind::InvalidData, content);
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let told =
            |cause: Box<dyn std::error::Error + Send + Sync>| cause_of(&watcher::Error::InitialListFailed(kube::Error::Service(cause)));
        for (cause, words) in [
            (
                Box::new(over_io(Box::new(unknown))) as Box<dyn std::error::Error + Send + Sync>,
                "isn't trusted: check certificate-authority",
            ),
            (Box::new(over_io(Box::new(rustls::Error::General("planted".to_owned())))), "speaks no TLS"),
            (Box::new(over_io(Box::new(NameProblem::Unknown))), "could not be resolved"),
            (Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)), "nothing listens"),
            (Box::new(serde_json::from_str::<u8>("planted").unwrap_err()), "in no way that can be read"),
            (Box::new(io::Error::other("planted")), "no connection to the API server's address"),
        ] {
            let told = told(cause);
            assert!(told.contains(words) && !told.contains("planted"), "{told}");
        }
    }

    #[test]
    fn a_failure_after_a_while_is_a_new_one() {
        let mut log = WatchLog::new("requests", None, Clock::MACHINE);
        let told: Vec<bool> =
            [0, 1, 31, 62, 63].map(|second| !log.goes_on_failing(Instant::after_start(Duration::from_secs(second)))).to_vec();
        assert_eq!(told, [true, false, false, true, false]);
    }

    #[test]
    fn only_a_watch_that_failed_works_again() {
        let mut log = WatchLog::new("requests", None, Clock::MACHINE);
        assert!(!log.works());
        log.failed(&watcher::Error::NoResourceVersion);
        log.failed(&watcher::Error::NoResourceVersion);
        assert!(log.works());
        assert!(!log.works());
    }
}
