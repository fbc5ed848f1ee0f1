//! Instants as the operator counts them. Pure: nothing here reads a clock.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::Add;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// An instant on a clock that neither jumps nor stops while the machine sleeps: within 584 years of its start, what is later is the last of them.
///
/// Nanoseconds since the start, and one more: there are many of each request's, and most are optional.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The instant `duration` after the clock's start.
    #[must_use]
    pub const fn after_start(duration: Duration) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos(duration)))
    }

    /// How long after `earlier` this is; zero when it isn't after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// The instant `duration` before this one, but never before the clock's start.
    #[must_use]
    pub const fn before(self, duration: Duration) -> Self {
        Self::after_start(Duration::from_nanos((self.0.get() - 1).saturating_sub(nanos(duration))))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({:?})", Duration::from_nanos(self.0.get() - 1))
    }
}

const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
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
    fn what_is_too_late_to_be_told_is_the_last_instant() {
        let last = Instant::after_start(Duration::MAX);
        assert_eq!((last + Duration::from_secs(1), now().instant + Duration::MAX), (last, last));
        assert!(last.since(now().instant) > Duration::from_hours(500 * 365 * 24));
        assert_eq!(last.before(Duration::MAX), Instant::after_start(Duration::ZERO));
        let second = now().instant.before(Duration::from_nanos(1));
        assert_eq!((now().instant.since(second), second.since(now().instant)), (Duration::from_nanos(1), Duration::ZERO));
    }

    #[test]
    fn an_instant_takes_no_more_room_where_there_may_be_none() {
        assert_eq!((size_of::<Instant>(), size_of::<Option<Instant>>()), (8, 8));
        assert_eq!(format!("{:?}", Instant::after_start(Duration::from_millis(1500))), "Instant(1.5s)");
    }

    #[test]
    fn times_are_written_with_milliseconds() {
        assert_eq!(rfc3339_millis(now().wall), "2026-11-24T12:00:00.000Z");
    }
}
