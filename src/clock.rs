//! The one module that reads clocks.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::time::{Instant, Now};

/// Instants begin so long before the machine's start: a grant that was asked for before it still has its age.
const HEADROOM: Duration = Duration::from_hours(1);

/// The machine's clocks.
///
/// Instants come from `CLOCK_BOOTTIME`, which neither jumps nor stops while the machine sleeps: a grant ages in a sleeping machine too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The instant now, and what the wall clock says of it.
    #[must_use]
    pub fn now(self) -> Now {
        Now { instant: self.instant(), wall: self.wall() }
    }

    /// The instant now.
    #[must_use]
    pub fn instant(self) -> Instant {
        let since_boot = clock_gettime(ClockId::Boottime);
        let since_boot =
            Duration::new(u64::try_from(since_boot.tv_sec).unwrap_or_default(), u32::try_from(since_boot.tv_nsec).unwrap_or_default());
        Instant::after_start(HEADROOM + since_boot)
    }

    /// What the wall clock says. Only for what leaves the process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that reads clocks")]
    pub fn wall(self) -> Timestamp {
        Timestamp::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_do_not_go_back() {
        let readings: Vec<_> = (0..1000).map(|_| Clock.instant()).collect();
        assert!(readings.is_sorted());
    }

    #[test]
    fn what_was_a_minute_before_the_machines_start_has_an_instant() {
        assert!(Clock.instant().before(Duration::from_secs(59)).since(Instant::after_start(Duration::ZERO)) > Duration::from_mins(58));
    }
}
