//! Instants as the operator counts them. Pure: nothing here reads a clock.

use std::ops::Add;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// An instant on a clock that neither jumps nor stops while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The instant `duration` after the clock's start.
    #[must_use]
    pub const fn after_start(duration: Duration) -> Self {
        Self(duration)
    }

    /// How long after `earlier` this is; zero when it isn't after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `duration` before this one, but never before the clock's start.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// The instant now, and what the wall clock says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// What is computed with.
    pub instant: Instant,
    /// What is told to others. It may jump.
    pub wall: Timestamp,
}

impl Now {
    /// What the wall clock, as it goes now, would show at `instant`.
    #[must_use]
    pub fn wall_at(&self, instant: Instant) -> Timestamp {
        let ahead = signed(instant.since(self.instant));
        let behind = signed(self.instant.since(instant));
        let shifted = self.wall.checked_add(ahead).and_then(|wall| wall.checked_sub(behind));
        shifted.unwrap_or(Timestamp::MAX)
    }

    /// The instant at which the wall clock, as it goes now, shows `wall`; never before the clock's start.
    #[must_use]
    pub fn instant_at(&self, wall: Timestamp) -> Instant {
        let ahead = wall.duration_since(self.wall);
        match Duration::try_from(ahead) {
            Ok(ahead) => self.instant + ahead,
            Err(_) => self.instant.before(ahead.unsigned_abs()),
        }
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// `time` in RFC 3339, UTC, with milliseconds: the form in Secrets and status.
#[must_use]
pub fn rfc3339_millis(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now { instant: Instant::after_start(Duration::from_secs(1000)), wall: "2026-11-24T12:00:00Z".parse().unwrap() }
    }

    #[test]
    fn wall_and_instant_are_inverse() {
        for seconds in [0_u64, 1, 999, 1000, 1001, 86_400] {
            let instant = Instant::after_start(Duration::from_secs(seconds));
            assert_eq!(now().instant_at(now().wall_at(instant)), instant);
        }
    }

    #[test]
    fn an_instant_before_the_start_is_the_start() {
        let long_ago = "2001-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(now().instant_at(long_ago), Instant::after_start(Duration::ZERO));
    }

    #[test]
    fn times_are_written_with_milliseconds() {
        assert_eq!(rfc3339_millis(now().wall), "2026-11-24T12:00:00.000Z");
    }
}
