//! When a call that isn't answered is joined by another.

use std::time::Duration;

use crate::time::Instant;

/// One joining call may be made for so many others.
const CALLS_FOR_ONE: u32 = 10;
/// No more are saved up than for so many.
const MOST_SAVED: u32 = 100;
/// After a 429 none is made for so long.
const AFTER_THROTTLE: Duration = Duration::from_secs(30);

const LEAST_PATIENCE: Duration = Duration::from_millis(500);
const MOST_PATIENCE: Duration = Duration::from_secs(2);

/// What may be spent on joining calls: a tenth of the others'.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    /// In tenths of a call.
    saved: u32,
    throttled: Option<Instant>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { saved: CALLS_FOR_ONE, throttled: None }
    }
}

impl Allowance {
    /// A call is made.
    pub(super) fn earn(&mut self) {
        self.saved = (self.saved + 1).min(MOST_SAVED * CALLS_FOR_ONE);
    }

    /// A joining call is made.
    pub(super) const fn spend(&mut self) {
        self.saved = self.saved.saturating_sub(CALLS_FOR_ONE);
    }

    /// A call was answered by a 429.
    pub(super) const fn throttled(&mut self, now: Instant) {
        self.throttled = Some(now);
    }

    /// From when on a joining call may be made; `None`: not before others are.
    pub(super) fn from(&self, now: Instant) -> Option<Instant> {
        (self.saved >= CALLS_FOR_ONE).then(|| self.throttled.map_or(now, |throttled| throttled + AFTER_THROTTLE))
    }
}

/// How long a call is waited for before it is joined: a third of the life that is left, 0.5 to 2 s; but an API that has been taking its time is given
/// twice that.
pub(super) fn patience(life_left: Duration, latency: Duration) -> Duration {
    (life_left / 3).clamp(LEAST_PATIENCE, MOST_PATIENCE).max(latency * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn patience_is_a_third_of_what_is_left_or_twice_what_it_takes() {
        let patience = |left, latency| patience(Duration::from_millis(left), Duration::from_millis(latency)).as_millis();
        assert_eq!([patience(0, 20), patience(1500, 20), patience(3000, 20), patience(60_000, 20)], [500, 500, 1000, 2000]);
        assert_eq!([patience(0, 300), patience(60_000, 4000)], [600, 8000]);
    }

    #[test]
    fn a_tenth_may_be_spent_and_nothing_for_a_while_after_a_429() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.from(at(1)), Some(at(1)));
        allowance.spend();
        assert_eq!(allowance.from(at(1)), None);
        (0..9).for_each(|_| allowance.earn());
        assert_eq!(allowance.from(at(1)), None);
        allowance.earn();
        assert_eq!(allowance.from(at(1)), Some(at(1)));
        allowance.throttled(at(2));
        assert_eq!(allowance.from(at(3)), Some(at(32)));
        (0..2000).for_each(|_| allowance.earn());
        let spent = std::iter::from_fn(|| allowance.from(at(3)).map(|_| allowance.spend())).count();
        assert_eq!(spent, 100);
    }
}
