//! How long to wait after what failed, and after what others have changed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Instant;

/// A wait that doubles with each failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub(super) failures: u32,
    /// When to try again.
    pub until: Instant,
}

impl Backoff {
    /// A failure that long ago says nothing of the next.
    pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

    /// Nothing has failed.
    pub(super) const fn none(now: Instant) -> Self {
        Self { failures: 0, until: now }
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn is_recent(&self, now: Instant) -> bool {
        now.since(self.until) <= Self::FORGOTTEN_AFTER
    }

    /// Whether it is the first in a row.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.failures == 1
    }

    /// The wait after one more failure than `earlier`: from 0.1 s doubling to 1 s, or after a refusal from 1 s to 30 s.
    #[must_use]
    pub fn after(earlier: Option<Self>, refused: bool, now: Instant) -> Self {
        let recent = earlier.filter(|earlier| earlier.is_recent(now));
        let failures = recent.map_or(0, |recent| recent.failures).saturating_add(1);
        let (first, longest) = if refused { (1000, 30_000) } else { (100, 1000) };
        let doubled = 1_u64.checked_shl(failures - 1).unwrap_or(u64::MAX).saturating_mul(first);
        Self { failures, until: now + Duration::from_millis(doubled.min(longest)) }
    }
}

/// Until when several Secrets are left where they are, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds(BTreeMap<String, Backoff>);

impl Holds {
    /// Of this one, if it is.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<Backoff> {
        self.0.get(name).copied()
    }

    /// This one could not be deleted.
    pub fn failed(&mut self, name: &str, refused: bool, now: Instant) {
        self.0.retain(|_, held| held.is_recent(now));
        self.0.insert(name.to_owned(), Backoff::after(self.of(name), refused, now));
    }

    pub(super) fn relieved(&mut self, now: Instant) {
        for held in self.0.values_mut() {
            held.until = held.until.min(now);
        }
    }
}

/// How often others have changed what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Repairs in a row, less than [`Repairs::FORGOTTEN_AFTER`] apart.
    pub count: u32,
    /// When the last was made.
    pub last: Option<Instant>,
}

impl Repairs {
    /// A Secret that is left alone for so long isn't fought over.
    pub const FORGOTTEN_AFTER: Duration = Duration::from_mins(2);
    const LONGEST: Duration = Duration::from_mins(1);

    /// When the next repair may be made: at once, then after 1, 2, 4 … 60 s.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let last = self.last?;
        let wait = match self.count {
            0 | 1 => u64::from(self.count),
            more => 1_u64.checked_shl(more - 1).unwrap_or(u64::MAX),
        };
        Some(last + Duration::from_secs(wait).min(Self::LONGEST))
    }

    /// Whether others fight over the Secret: it was put right so often that the longest wait is reached, and the last time isn't long ago.
    #[must_use]
    pub fn is_fight(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| self.next() == Some(last + Self::LONGEST) && now.since(last) < Self::FORGOTTEN_AFTER)
    }

    /// How long such a row, with this as its last, is remembered.
    pub(super) fn forgotten_at(&self) -> Option<Instant> {
        self.last.map(|last| last + Self::FORGOTTEN_AFTER)
    }

    pub(super) fn made(self, now: Instant) -> Self {
        let apart = self.last.is_none_or(|last| now.since(last) >= Self::FORGOTTEN_AFTER);
        Self { count: if apart { 1 } else { self.count.saturating_add(1) }, last: Some(now) }
    }
}

/// How often a Secret that others had deleted, or made what can't be changed, was made again. The first few times at once, and then as repairs
/// are: whoever deletes it each time isn't fought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restores(Repairs);

impl Restores {
    /// So many in a row come at once: a person may delete a Secret, and see it come back, some times.
    const AT_ONCE: u32 = 3;

    /// When the Secret may be made again.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.beyond().next()
    }

    /// Whether others fight over the Secret, as [`Repairs::is_fight`] has it.
    #[must_use]
    pub fn is_fight(&self, now: Instant) -> bool {
        self.beyond().is_fight(now)
    }

    pub(super) fn forgotten_at(&self) -> Option<Instant> {
        self.0.forgotten_at()
    }

    pub(super) fn made(self, now: Instant) -> Self {
        Self(self.0.made(now))
    }

    fn beyond(&self) -> Repairs {
        Repairs { count: self.0.count.saturating_sub(Self::AT_ONCE - 1), ..self.0 }
    }
}
