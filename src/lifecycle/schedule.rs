//! When a grant is due.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::media::Ttl;
use crate::time::Instant;

/// At most this share of the interval a grant is refreshed earlier, so that a herd disperses.
const SPREAD: f64 = 0.04;

/// The instant at which the grant issued at `issue` is replaced.
///
/// `expiry − refresh_before`, spread by `draw` (0 to 1) over the last 4 % of the interval, and never before `issue + max(0.5 s, TTL/4)`.
#[must_use]
pub fn due(issue: Instant, ttl: Ttl, refresh_before: Duration, draw: f64) -> Instant {
    let interval = ttl.duration().saturating_sub(refresh_before);
    let spread = interval.mul_f64(SPREAD * draw.clamp(0.0, 1.0));
    let least = Duration::from_millis(500).max(ttl.duration() / 4);
    issue + interval.saturating_sub(spread).max(least).min(ttl.duration())
}

/// A number from 0 to 1 that is the same whenever the same object asks about the same issue, also after a restart.
#[must_use]
pub fn draw(uid: &str, issue_time_millis: i64) -> f64 {
    let digest = Sha256::new().chain_update(uid).chain_update(issue_time_millis.to_be_bytes()).finalize();
    let word = digest.iter().take(4).fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    f64::from(word) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn start() -> Instant {
        Instant::after_start(Duration::from_secs(100))
    }

    #[test]
    fn the_default_is_due_after_two_thirds() {
        let ttl = Ttl::from_seconds(15).unwrap();
        assert_eq!(due(start(), ttl, Duration::from_secs(5), 0.0), start() + Duration::from_secs(10));
        assert_eq!(due(start(), ttl, Duration::from_secs(5), 1.0), start() + Duration::from_millis(9600));
    }

    #[test]
    fn the_shortest_is_not_due_before_half_a_second() {
        let ttl = Ttl::from_seconds(1).unwrap();
        assert_eq!(due(start(), ttl, Duration::from_secs(1), 0.5), start() + Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn a_grant_is_due_within_its_life(seconds in 1_u8..=60, share in 0.0_f64..=0.75, draw in 0.0_f64..=1.0) {
            let ttl = Ttl::from_seconds(seconds).unwrap();
            let refresh_before = ttl.duration().mul_f64(share);
            let due = due(start(), ttl, refresh_before, draw);
            prop_assert!(due.since(start()) >= Duration::from_millis(500).max(ttl.duration() / 4));
            prop_assert!(due.since(start()) <= ttl.duration().saturating_sub(refresh_before).max(Duration::from_millis(500)));
        }

        #[test]
        fn draws_are_stable_and_in_range(uid in ".*", issue in any::<i64>()) {
            let first = draw(&uid, issue);
            prop_assert!((0.0..=1.0).contains(&first));
            prop_assert!((first - draw(&uid, issue)).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn draws_disperse_a_herd() {
        let draws: Vec<f64> = (0..1000).map(|n| draw(&format!("uid-{n}"), 1_700_000_000_000)).collect();
        for tenth in 0..10_u8 {
            let from = f64::from(tenth) / 10.0;
            let inside = draws.iter().filter(|draw| (from..from + 0.1).contains(*draw)).count();
            assert!((50..=150).contains(&inside), "{inside} of 1000 draws fall into one tenth");
        }
    }
}
