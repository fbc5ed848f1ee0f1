//! Others who change the Secret, or delete it: what is put right at once, and what is left at that for a while.

use std::sync::Arc;

use super::decide::Step;
use super::hand::HeldGrant;
use super::secret::SecretMeta;
use super::situation::{Situation, Target};
use crate::time::Instant;

/// What others do to a Secret again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fight {
    Changed,
    Deleted,
}

impl Situation<'_> {
    /// Whether a write would undo what others changed, rather than bring a new grant or what the spec newly asks for.
    pub(super) fn repairs(&self, meta: &SecretMeta) -> bool {
        let memory = self.seen.memory;
        // Another grant, whole: another operator's, whose call began earlier and whose write came later. Whoever holds the later one writes it,
        // and the other takes it over.
        let differs = |hand: &HeldGrant| meta.claim().is_some_and(|claim| claim != hand.claim());
        let another = memory.verified.as_ref() == Some(&meta.version) && self.hand.is_some_and(differs);
        self.grant_has_landed() && !another && memory.own_version.as_ref() != Some(&meta.version)
    }

    /// Whether the Secret isn't as it should be, and is left at that for now, since others change it again and again.
    pub(super) fn awaits_repair(&self) -> bool {
        let wait = self.repair_at().is_some_and(|at| self.now.instant < at);
        let is_repair = |meta, grant: &Arc<HeldGrant>| {
            !self.needs_read(meta) && matches!(self.wanted_write(meta, grant), Some(Step::Patch { repair: true, .. }))
        };
        wait && matches!((self.target, &self.seen.memory.hand), (Target::Ours(meta), Some(grant)) if self.hand.is_some() && is_repair(meta, grant))
    }

    /// Whether the Secret isn't there, or is to go since it can't be changed, and is left at that for now, since others bring that about again and
    /// again. A new grant waits for nothing.
    pub(super) fn awaits_restore(&self) -> bool {
        let is_to_be_made = match self.target {
            Target::Absent => true,
            Target::Ours(meta) => self.seen.memory.unpatchable.as_ref() == Some(&meta.version),
            _ => false,
        };
        is_to_be_made && self.grant_has_landed() && self.restore_at().is_some_and(|at| self.now.instant < at)
    }

    /// What others do again and again, and whether it has gone on for so long that it is told as a fight.
    pub(super) fn fight_told(&self) -> Option<(Fight, bool)> {
        let now = self.now.instant;
        let (changing, deleting) = (self.seen.memory.repairs.is_fight(now), self.seen.memory.restores.is_fight(now));
        let misses_grant = self.covered_until().is_none() && self.awaits_repair();
        let (is_absent, waits) = (matches!(self.target, Target::Absent), self.awaits_restore());
        let is_missed = |fight| match fight {
            Fight::Changed => misses_grant || self.misses_token() || (waits && !is_absent),
            Fight::Deleted => waits && is_absent,
        };
        // What stands in the way now goes before what did a while ago.
        let missed = [Fight::Deleted, Fight::Changed].into_iter().find(|fight| is_missed(*fight));
        let past = if changing { Some(Fight::Changed) } else { deleting.then_some(Fight::Deleted) };
        missed.or(past).map(|fight| (fight, changing || deleting))
    }

    /// Whether the grant in hand has been in the Secret.
    pub(super) fn grant_has_landed(&self) -> bool {
        self.hand.is_some_and(|hand| self.seen.memory.landed == Some(hand.issue))
    }

    pub(super) fn repair_at(&self) -> Option<Instant> {
        self.seen.memory.repairs.next()
    }

    pub(super) fn restore_at(&self) -> Option<Instant> {
        self.seen.memory.restores.next()
    }
}

#[cfg(test)]
#[path = "fight_tests.rs"]
mod tests;
