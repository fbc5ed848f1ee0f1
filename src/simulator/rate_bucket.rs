//! A token bucket: the rate limit of one account.

use std::time::Duration;

/// Lets through a number of calls a second, and a burst of one second's worth, at least one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateBucket {
    calls_per_second: f64,
    tokens: f64,
    filled_at: Duration,
}

impl RateBucket {
    /// A full bucket at the instant `now`.
    pub(crate) fn full(calls_per_second: f64, now: Duration) -> Self {
        Self { calls_per_second, tokens: calls_per_second.max(1.0), filled_at: now }
    }

    /// Whether a call may pass at `now`; takes a token if so.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.tokens = elapsed.mul_add(self.calls_per_second, self.tokens).min(self.calls_per_second.max(1.0));
        self.filled_at = self.filled_at.max(now);
        // What a sum of fractions lacks of a whole token is no reason to refuse a call.
        let passes = self.tokens >= 1.0 - 1e-9;
        if passes {
            self.tokens -= 1.0;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::RateBucket;
    use proptest::prelude::*;
    use std::time::Duration;

    const START: Duration = Duration::from_secs(100);

    fn passed(bucket: &mut RateBucket, calls: u32, now: Duration) -> usize {
        (0..calls).filter(|_| bucket.take(now)).count()
    }

    #[test]
    fn a_burst_is_one_seconds_worth() {
        let mut bucket = RateBucket::full(20.0, START);
        assert_eq!(passed(&mut bucket, 100, START), 20);
        assert_eq!(passed(&mut bucket, 100, START + Duration::from_millis(500)), 10);
        assert_eq!(passed(&mut bucket, 100, START + Duration::from_mins(1)), 20);
    }

    #[test]
    fn less_than_one_a_second_still_lets_one_pass() {
        let mut bucket = RateBucket::full(0.5, START);
        assert_eq!(passed(&mut bucket, 5, START), 1);
        assert_eq!(passed(&mut bucket, 5, START + Duration::from_millis(1_900)), 0);
        assert_eq!(passed(&mut bucket, 5, START + Duration::from_secs(2)), 1);
    }

    #[test]
    fn an_earlier_instant_gives_nothing() {
        let mut bucket = RateBucket::full(1.0, START);
        assert!(bucket.take(START));
        assert!(!bucket.take(Duration::ZERO));
        assert!(!bucket.take(START + Duration::from_millis(900)));
        assert!(bucket.take(START + Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(rate in 0.1..200.0_f64, gaps in proptest::collection::vec(0_u64..400, 1..200)) {
            let mut bucket = RateBucket::full(rate, START);
            let mut now = START;
            let mut passes = 0_u32;
            for gap in gaps {
                now += Duration::from_millis(gap);
                passes += u32::from(bucket.take(now));
            }
            let bound = now.saturating_sub(START).as_secs_f64().mul_add(rate, rate.max(1.0)) + 1e-6;
            prop_assert!(f64::from(passes) <= bound, "{passes} > {bound}");
        }
    }
}
