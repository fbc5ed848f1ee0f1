//! Who waits in a lane, in the order of their deadlines.

use std::collections::{BTreeMap, BTreeSet};

use super::{Caller, Hold, Kind, Waiting};
use crate::time::Instant;

/// Those who wait: ready in the order of their deadlines, the others in the order of their release.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Caller, Waiting>,
    /// By kind.
    ready: [BTreeSet<(Instant, Caller)>; 2],
    held: BTreeSet<(Instant, Caller)>,
    deadlines: BTreeSet<(Instant, Caller)>,
}

impl Queue {
    pub(super) fn insert(&mut self, caller: &Caller, mut waiting: Waiting) {
        self.remove(caller);
        if let Hold::Own(until) = waiting.hold {
            // It comes anew: by its expiry, which may be long over, it would go before all whose grants still live, again and again.
            (waiting.kind, waiting.deadline) = (Kind::Newcomer, until);
        }
        match waiting.hold.until() {
            None => self.ready[waiting.kind as usize].insert((waiting.deadline, caller.clone())),
            Some(until) => self.held.insert((until, caller.clone())),
        };
        self.deadlines.insert((waiting.deadline, caller.clone()));
        self.waiting.insert(caller.clone(), waiting);
    }

    /// Takes a caller out; gives how it waited.
    pub(super) fn remove(&mut self, caller: &Caller) -> Option<Waiting> {
        let waiting = self.waiting.remove(caller)?;
        self.ready[waiting.kind as usize].remove(&(waiting.deadline, caller.clone()));
        self.deadlines.remove(&(waiting.deadline, caller.clone()));
        if let Some(until) = waiting.hold.until() {
            self.held.remove(&(until, caller.clone()));
        }
        Some(waiting)
    }

    /// Makes ready whose hold has ended.
    pub(super) fn release(&mut self, now: Instant) {
        while let Some((until, _)) = self.held.first()
            && *until <= now
        {
            if let Some((_, caller)) = self.held.pop_first() {
                self.make_ready(&caller);
            }
        }
    }

    /// Makes ready whoever only the lane held.
    pub(super) fn release_lane_holds(&mut self) {
        let with_lane: Vec<Caller> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| matches!(waiting.hold, Hold::WithLane(_)))
            .map(|(caller, _)| caller.clone())
            .collect();
        for caller in with_lane {
            if let Some(until) = self.waiting.get(&caller).and_then(|waiting| waiting.hold.until()) {
                self.held.remove(&(until, caller.clone()));
            }
            self.make_ready(&caller);
        }
    }

    /// The one of that kind with the earliest deadline that nothing holds.
    pub(super) fn first_ready(&self, kind: Kind) -> Option<(Instant, &Caller)> {
        self.ready[kind as usize].first().map(|(deadline, caller)| (*deadline, caller))
    }

    pub(super) fn count_ready(&self, kind: Kind) -> u32 {
        u32::try_from(self.ready[kind as usize].len()).unwrap_or(u32::MAX)
    }

    pub(super) fn next_release(&self) -> Option<Instant> {
        self.held.first().map(|(until, _)| *until)
    }

    pub(super) fn earliest_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Who may be sent as a probe into a closed lane: all but those that are held for a reason of their own.
    pub(super) fn probe_candidates(&self) -> impl Iterator<Item = (&Caller, &Waiting)> {
        self.waiting.iter().filter(|(_, waiting)| !matches!(waiting.hold, Hold::Own(_)))
    }

    pub(super) fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.waiting.keys()
    }

    pub(super) fn contains(&self, caller: &Caller) -> bool {
        self.waiting.contains_key(caller)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn make_ready(&mut self, caller: &Caller) {
        if let Some(waiting) = self.waiting.get_mut(caller) {
            waiting.hold = Hold::Nothing;
            self.ready[waiting.kind as usize].insert((waiting.deadline, caller.clone()));
        }
    }
}
