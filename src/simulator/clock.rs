//! The simulator's time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One instant, as both clocks tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the Unix epoch: what goes into answers, tokens, counters and the log of calls.
    pub unix_ms: u64,
    /// Time since the simulator's start on a clock that never jumps: what faults and rates go by.
    pub uptime: Duration,
}

/// Tells the time. Injected, so that faults and rates are tested at chosen instants.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Moment;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose uptime starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the simulator's only clock, and the only place that reads it")]
    pub fn start() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the simulator's only clock, and the only place that reads it")]
    fn now(&self) -> Moment {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX), uptime: self.started.elapsed() }
    }
}
