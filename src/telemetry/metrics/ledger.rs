//! For how long Secrets have held expired grants, and how many of them stand how. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lifecycle::Standing;
use crate::media::lane::Caller;
use crate::time::Instant;

/// How the Secret of each request stands, and what has been counted of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<Caller, Entry>,
    expired: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    standing: Standing,
    /// Up to when it has been counted.
    settled: Instant,
}

impl Entry {
    /// For how long an expired grant was held since it was last counted.
    fn settle(&mut self, now: Instant) -> Duration {
        let since = self.settled;
        self.settled = since.max(now);
        match self.standing {
            Standing::Holds { expiry } => now.since(expiry.max(since)),
            Standing::Absent | Standing::Suspended => Duration::ZERO,
        }
    }
}

/// How many requests stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Their Secrets hold an unexpired grant.
    pub(super) fresh: u32,
    /// They hold an expired one.
    pub(super) expired: u32,
    /// They hold none.
    pub(super) absent: u32,
    pub(super) suspended: u32,
}

impl Ledger {
    /// From now on the request's Secret stands so.
    pub(super) fn stands(&mut self, caller: &Caller, standing: Standing, now: Instant) {
        if let Some(entry) = self.entries.get_mut(caller) {
            if entry.standing != standing {
                self.expired += entry.settle(now);
                entry.standing = standing;
            }
        } else {
            // What was before an operator came isn't its account.
            self.entries.insert(caller.clone(), Entry { standing, settled: now });
        }
    }

    /// The request is served no more.
    pub(super) fn forget(&mut self, caller: &Caller, now: Instant) {
        if let Some(mut entry) = self.entries.remove(caller) {
            self.expired += entry.settle(now);
        }
    }

    /// For how long Secrets have held expired grants, all together, up to now.
    pub(super) fn expired(&mut self, now: Instant) -> Duration {
        let since: Duration = self.entries.values_mut().map(|entry| entry.settle(now)).sum();
        self.expired += since;
        self.expired
    }

    /// How many stand how, now.
    pub(super) fn counts(&self, now: Instant) -> Counts {
        let mut counts = Counts::default();
        for entry in self.entries.values() {
            let count = match entry.standing {
                Standing::Holds { expiry } if now < expiry => &mut counts.fresh,
                Standing::Holds { .. } => &mut counts.expired,
                Standing::Absent => &mut counts.absent,
                Standing::Suspended => &mut counts.suspended,
            };
            *count += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    fn holds(millis: u64) -> Standing {
        Standing::Holds { expiry: at(millis) }
    }

    fn millis(ledger: &mut Ledger, now: u64) -> u128 {
        ledger.expired(at(now)).as_millis()
    }

    #[test]
    fn what_is_expired_is_counted_until_another_is_there() {
        let (mut ledger, lobby) = (Ledger::default(), Caller::from("lobby"));
        ledger.stands(&lobby, Standing::Absent, at(0));
        assert_eq!((millis(&mut ledger, 5000), ledger.counts(at(5000)).absent), (0, 1), "none is no expired one");
        ledger.stands(&lobby, holds(15_000), at(5000));
        assert_eq!((millis(&mut ledger, 14_999), ledger.counts(at(14_999)).fresh), (0, 1));
        assert_eq!((millis(&mut ledger, 16_000), ledger.counts(at(15_000)).expired), (1000, 1));
        ledger.stands(&lobby, holds(15_000), at(17_000));
        assert_eq!(millis(&mut ledger, 18_000), 3000);
        ledger.stands(&lobby, holds(40_000), at(22_000));
        assert_eq!((millis(&mut ledger, 39_000), ledger.counts(at(39_000)).fresh), (7000, 1));
    }

    #[test]
    fn what_is_suspended_gone_or_was_before_is_not_counted() {
        let (mut ledger, lobby) = (Ledger::default(), Caller::from("lobby"));
        ledger.stands(&lobby, holds(1000), at(9000));
        assert_eq!(millis(&mut ledger, 10_000), 1000, "from when it was first seen");
        ledger.stands(&lobby, Standing::Suspended, at(11_000));
        assert_eq!((millis(&mut ledger, 20_000), ledger.counts(at(20_000)).suspended), (2000, 1));
        ledger.stands(&lobby, holds(1000), at(20_000));
        ledger.forget(&lobby, at(20_500));
        ledger.forget(&lobby, at(30_000));
        assert_eq!((millis(&mut ledger, 30_000), ledger.counts(at(30_000))), (2500, Counts::default()));
    }

    #[test]
    fn a_clock_that_is_read_in_another_order_counts_nothing_twice() {
        let (mut ledger, lobby) = (Ledger::default(), Caller::from("lobby"));
        ledger.stands(&lobby, holds(1000), at(1000));
        assert_eq!(millis(&mut ledger, 3000), 2000);
        assert_eq!(millis(&mut ledger, 2500), 2000);
        assert_eq!(millis(&mut ledger, 4000), 3000);
    }

    proptest! {
        /// However often it is asked, and in whichever steps grants come: it is the sum of what each was late by.
        #[test]
        fn the_sum_is_what_each_grant_came_late_by(grants in prop::collection::vec((1_u64..20_000, 1_u64..20_000), 1..20), asked in 1_u64..5000) {
            let (mut ledger, lobby) = (Ledger::default(), Caller::from("lobby"));
            let (mut now, mut late) = (0, 0);
            for (life, stays) in grants {
                ledger.stands(&lobby, holds(now + life), at(now));
                for moment in (now..now + stays).step_by(usize::try_from(asked).unwrap()) {
                    ledger.expired(at(moment));
                }
                now += stays;
                late += u128::from(stays.saturating_sub(life));
            }
            prop_assert_eq!(millis(&mut ledger, now), late);
        }
    }
}
