//! What all watches have in common.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher;

/// The API server ends each watch after so long, seconds; a connection that died is noticed at the latest 5 s after that.
pub const WATCH_TIMEOUT_SECONDS: u32 = 30;

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The wait after a watch's error: from 50 ms doubling to 1 s, up to half of it taken off at random.
#[derive(Debug, Default)]
pub struct WatchBackoff {
    errors: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(self.errors).unwrap_or(u32::MAX));
        self.errors = self.errors.saturating_add(1);
        Some(doubled.min(LONGEST_WAIT).mul_f64(rand::random_range(0.5..=1.0)))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.errors = 0;
    }
}

/// Logs a watch's error, without anything of the answer that caused it.
pub fn report_error(watched: &str, namespace: Option<&str>, error: &watcher::Error) {
    let namespace = namespace.unwrap_or("all namespaces");
    let (what, cause) = match error {
        watcher::Error::InitialListFailed(cause) => ("list", Some(cause)),
        watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => ("watch", Some(cause)),
        watcher::Error::WatchError(status) if status.code == 410 => {
            return tracing::debug!(watched, namespace, "the watch is too old and starts anew");
        }
        _ => ("watch", None),
    };
    match cause {
        Some(kube::Error::Api(status)) if status.code == 403 => tracing::warn!(
            watched,
            namespace,
            "not allowed to {what} (403): give the service account the Role of deploy/rbac in this namespace. It is tried again every second"
        ),
        Some(kube::Error::Api(status)) => {
            tracing::warn!(watched, namespace, code = status.code, "the API server refused to {what}; trying again");
        }
        _ => tracing::warn!(watched, namespace, "could not {what}; trying again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_start_anew() {
        let mut backoff = WatchBackoff::default();
        let waits: Vec<Duration> = backoff.by_ref().take(100).collect();
        assert!(waits[0] <= FIRST_WAIT);
        assert!(waits[10..].iter().all(|wait| (LONGEST_WAIT / 2..=LONGEST_WAIT).contains(wait)));
        backoff.reset();
        assert!(backoff.next().unwrap() <= FIRST_WAIT);
    }
}
