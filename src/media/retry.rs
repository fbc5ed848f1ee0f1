//! When a failed attempt is repeated.

use std::time::Duration;

use super::FailureClass;

/// A success this recent makes a refusal look like a passing fault (a proxy's 404 during a deploy).
pub const RECENT_SUCCESS: Duration = Duration::from_mins(10);

/// A grant that has no more than this left, or none, is pressing: its attempts are repeated faster.
pub const PRESSING: Duration = Duration::from_secs(5);

/// The first attempt after a failure of the network or the server comes after this.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// The longest wait between attempts while the Media API is failing.
const LONGEST_RETRY: Duration = Duration::from_secs(1);
/// The same while a grant is pressing.
const LONGEST_PRESSING_RETRY: Duration = Duration::from_millis(300);
/// A refusal after a recent success is looked at again this often.
const RECENT_LOOK: Duration = Duration::from_secs(1);
/// A refusal without a recent success: first, and at longest.
const FIRST_SLOW_LOOK: Duration = Duration::from_secs(2);
const LONGEST_SLOW_LOOK: Duration = Duration::from_mins(1);

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailedAttempt {
    /// The class of the failure.
    pub class: FailureClass,
    /// How many attempts in a row have failed, this one included.
    pub streak: u32,
    /// Whether the same spec and credentials succeeded within [`RECENT_SUCCESS`].
    pub recently_succeeded: bool,
    /// Whether a grant is expired, or will be within [`PRESSING`].
    pub pressing: bool,
}

impl FailedAttempt {
    /// How long to wait until the next attempt; `draw` from 0 to 1 shortens it by up to a fifth, so that many don't march in step.
    #[must_use]
    pub fn retry_delay(&self, draw: f64) -> Duration {
        let (first, longest) = if self.slow() {
            (FIRST_SLOW_LOOK, LONGEST_SLOW_LOOK)
        } else {
            match (self.class, self.pressing) {
                (FailureClass::NotFound | FailureClass::Rejected | FailureClass::InvalidResponse, _) => (RECENT_LOOK, RECENT_LOOK),
                (_, true) => (FIRST_RETRY, LONGEST_PRESSING_RETRY),
                (_, false) => (FIRST_RETRY, LONGEST_RETRY),
            }
        };
        let doubled = first.saturating_mul(1_u32.checked_shl(self.streak.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(longest).mul_f64(1.0 - 0.2 * draw.clamp(0.0, 1.0))
    }

    /// Whether the failure is looked at slowly: a refusal that no recent success makes look passing.
    #[must_use]
    pub fn slow(&self) -> bool {
        let refused = !matches!(self.class, FailureClass::Unavailable | FailureClass::Throttled { .. });
        refused && !self.recently_succeeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound() {
        let delays = |class, recently_succeeded, pressing| -> Vec<u128> {
            (1..=9).map(|streak| FailedAttempt { class, streak, recently_succeeded, pressing }.retry_delay(0.0).as_millis()).collect()
        };
        assert_eq!(delays(FailureClass::Unavailable, false, false), [200, 400, 800, 1000, 1000, 1000, 1000, 1000, 1000]);
        assert_eq!(delays(FailureClass::Unavailable, true, true), [200, 300, 300, 300, 300, 300, 300, 300, 300]);
        assert_eq!(delays(FailureClass::Unauthorized, true, false), [200, 400, 800, 1000, 1000, 1000, 1000, 1000, 1000]);
        assert_eq!(delays(FailureClass::NotFound, true, true), [1000; 9]);
        for class in [FailureClass::Unauthorized, FailureClass::Forbidden, FailureClass::NotFound, FailureClass::Rejected] {
            assert_eq!(delays(class, false, true), [2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000, 60000]);
        }
    }

    #[test]
    fn the_streak_never_overflows() {
        let failed = FailedAttempt { class: FailureClass::NotFound, streak: u32::MAX, recently_succeeded: false, pressing: false };
        assert_eq!(failed.retry_delay(0.0), LONGEST_SLOW_LOOK);
        assert_eq!(failed.retry_delay(1.0), Duration::from_secs(48));
    }
}
