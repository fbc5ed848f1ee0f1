//! The one module that reads clocks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use crate::time::{Instant, Now};

/// Instants begin so long before the machine's start: a grant that was asked for before it still has its age.
const HEADROOM: Duration = Duration::from_hours(1);

/// The machine's clocks or, for tests, clocks that differ from them. How long a host's addresses are kept goes by the machine's in any case.
///
/// Instants come from `CLOCK_BOOTTIME`, which neither jumps nor stops while the machine sleeps: a grant ages in a sleeping machine too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: Source,
    shift: Option<&'static Shift>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Machine,
    /// The async runtime's, which a test may hold: time passes there when everybody waits. With where it stood at first.
    Runtime(tokio::time::Instant),
}

/// What the wall clock of a simulation shows at its start.
const SIMULATED_START: Timestamp = Timestamp::constant(1_798_761_600, 0);

/// By how much a clock differs from the machine's. What the programs can't be shown otherwise: the wall clock set, the machine asleep.
#[derive(Debug, Default)]
pub struct Shift {
    wall_seconds: AtomicI64,
    slept_seconds: AtomicU64,
}

impl Shift {
    /// The wall clock is set forward by so many seconds, or back.
    pub fn set_wall(&self, seconds: i64) {
        self.wall_seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The machine sleeps so many seconds: both clocks go on, and no timer does.
    pub fn sleep(&self, seconds: u32) {
        // In this order: to who reads in between, a grant seems older than it is, never younger.
        self.set_wall(i64::from(seconds));
        self.slept_seconds.fetch_add(u64::from(seconds), Ordering::SeqCst);
    }
}

impl Clock {
    /// The machine's own clocks.
    pub const MACHINE: Self = Self { source: Source::Machine, shift: None };

    /// The clocks of a simulation, which begins now: those of the async runtime that this is called in.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that reads clocks")]
    pub fn simulated(shift: &'static Shift) -> Self {
        Self { source: Source::Runtime(tokio::time::Instant::now()), shift: Some(shift) }
    }

    /// Clocks that differ from the machine's by `shift`, which may change while they are read.
    #[must_use]
    pub const fn shifted(shift: &'static Shift) -> Self {
        Self { source: Source::Machine, shift: Some(shift) }
    }

    /// The instant now, and what the wall clock says of it.
    #[must_use]
    pub fn now(self) -> Now {
        Now { instant: self.instant(), wall: self.wall() }
    }

    /// The instant now.
    #[must_use]
    pub fn instant(self) -> Instant {
        let since_boot = match self.source {
            Source::Runtime(start) => start.elapsed(),
            Source::Machine => {
                let since_boot = clock_gettime(ClockId::Boottime);
                Duration::new(u64::try_from(since_boot.tv_sec).unwrap_or_default(), u32::try_from(since_boot.tv_nsec).unwrap_or_default())
            }
        };
        let slept = self.shift.map_or(0, |shift| shift.slept_seconds.load(Ordering::SeqCst));
        Instant::after_start(HEADROOM + since_boot + Duration::from_secs(slept))
    }

    /// What the wall clock says. Only for what leaves the process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that reads clocks")]
    pub fn wall(self) -> Timestamp {
        let set = self.shift.map_or(0, |shift| shift.wall_seconds.load(Ordering::SeqCst));
        let wall = match self.source {
            Source::Runtime(start) => SIMULATED_START + start.elapsed(),
            Source::Machine => Timestamp::now(),
        };
        wall + SignedDuration::from_secs(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_do_not_go_back() {
        let readings: Vec<_> = (0..1000).map(|_| Clock::MACHINE.instant()).collect();
        assert!(readings.is_sorted());
    }

    #[test]
    fn what_was_a_minute_before_the_machines_start_has_an_instant() {
        assert!(
            Clock::MACHINE.instant().before(Duration::from_secs(59)).since(Instant::after_start(Duration::ZERO)) > Duration::from_mins(58)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulations_clocks_go_with_its_timers() {
        let shift: &'static Shift = Box::leak(Box::default());
        let clock = Clock::simulated(shift);
        let before = clock.now();
        tokio::time::sleep(Duration::from_hours(2)).await;
        let after = clock.now();
        assert_eq!(after.instant.since(before.instant), Duration::from_hours(2));
        assert_eq!(after.wall.duration_since(before.wall), SignedDuration::from_hours(2));
        shift.set_wall(-60);
        assert_eq!(clock.wall(), after.wall - SignedDuration::from_secs(60));
    }

    #[test]
    fn shifted_clocks_differ_by_what_they_are_told_while_they_are_read() {
        let shift: &'static Shift = Box::leak(Box::default());
        let clock = Clock::shifted(shift);
        let ahead = |clock: Clock| clock.wall().duration_since(Clock::MACHINE.wall()).as_secs_f64().round();
        assert!(ahead(clock).abs() < 1.0);
        shift.set_wall(-3600);
        assert!((ahead(clock) + 3600.0).abs() < 1.0);
        let before = Clock::MACHINE.instant();
        assert!(clock.instant().since(before) < Duration::from_mins(1), "a wall clock that is set moves no instant");
        shift.sleep(120);
        assert!((ahead(clock) + 3480.0).abs() < 1.0);
        assert!(clock.instant().since(before) >= Duration::from_mins(2), "a grant ages in a sleeping machine");
    }
}
