//! The turns that are taken, and who waits for one. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::lifecycle::Urgency;
use crate::media::lane::Caller;

/// How many may write at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub at_once: u16,
    /// So many of those are of requests whose last write was left unanswered, or the last one in their namespace: where a webhook hangs for some, it
    /// holds up the others once for each such request or, where all of a namespace hang, for as many as are tried before that is known.
    pub unanswered: u16,
    /// So many, where each further one is the only one of its namespace: one that was left unanswered by chance doesn't wait behind those that hang.
    pub first_of_theirs: u16,
}

/// The turns that are taken, and who waits for one.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    taken: u16,
    taken_by_unanswered: u16,
    /// How many were ever given to those who were left unanswered.
    given: u64,
    /// In the order in which they came; those who were left unanswered by namespace.
    waiting: BTreeMap<Place, VecDeque<Caller>>,
    /// Those in any of them.
    waits: BTreeMap<Caller, Place>,
    /// Those who have been woken and haven't come yet, and for which turn.
    woken: BTreeMap<Caller, Urgency>,
    namespaces: BTreeMap<String, Namespace>,
}

/// Where somebody waits.
type Place = (Urgency, String);

/// How those stand in a namespace who were left unanswered.
#[derive(Debug, Default)]
struct Namespace {
    /// How many turns they have.
    out: u16,
    /// Which of all that were given they had last.
    last: u64,
    /// Whether the last write in it was left unanswered.
    is_unanswered: bool,
}

impl Queue {
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            taken: 0,
            taken_by_unanswered: 0,
            given: 0,
            waiting: BTreeMap::new(),
            waits: BTreeMap::new(),
            woken: BTreeMap::new(),
            namespaces: BTreeMap::new(),
        }
    }

    pub fn urgency_in(&self, namespace: &str, urgency: Urgency) -> Urgency {
        if self.namespaces.get(namespace).is_some_and(|namespace| namespace.is_unanswered) { Urgency::Unanswered } else { urgency }
    }

    /// A write in that namespace, by itself so urgent, was answered, or left unanswered. Returns who waits no more, since that says nothing against them
    /// any longer.
    pub fn ended(&mut self, namespace: &str, own: Urgency, is_answered: bool) -> VecDeque<Caller> {
        if !is_answered {
            // One that hangs again and again says nothing new of the others.
            if own != Urgency::Unanswered {
                self.namespaces.entry(namespace.to_owned()).or_default().is_unanswered = true;
            }
            return VecDeque::new();
        }
        let Some(of) = self.namespaces.get_mut(namespace).filter(|of| of.is_unanswered) else { return VecDeque::new() };
        of.is_unanswered = false;
        let freed = self.waiting.remove(&place(Urgency::Unanswered, namespace)).unwrap_or_default();
        for caller in &freed {
            self.waits.remove(caller);
        }
        self.tidy(namespace);
        freed
    }

    /// Takes a turn, or waits for one. Returns whether it took one, and whoever is to be woken in its stead: it may have come with another urgency than it
    /// was woken for.
    pub fn come(&mut self, namespace: &str, caller: &Caller, urgency: Urgency) -> (bool, Option<Caller>) {
        let woken_for = self.woken.get(caller).copied();
        let is_taken = self.take(namespace, caller, urgency);
        // Whoever takes a turn of the unanswered takes one of all, too; but not the other way round.
        let leaves_one = woken_for.is_some_and(|woken_for| !is_taken || (woken_for == Urgency::Unanswered && urgency != woken_for));
        (is_taken, if leaves_one { self.next() } else { None })
    }

    fn take(&mut self, namespace: &str, caller: &Caller, urgency: Urgency) -> bool {
        let was_woken = self.woken.remove(caller).is_some();
        if self.is_free(namespace, urgency) {
            self.taken += 1;
            if urgency == Urgency::Unanswered {
                self.taken_by_unanswered += 1;
                self.given += 1;
                let of = self.namespaces.entry(namespace.to_owned()).or_default();
                (of.out, of.last) = (of.out + 1, self.given);
            }
            self.wait_no_more(caller);
            return true;
        }
        let place = place(urgency, namespace);
        if self.waits.get(caller) != Some(&place) {
            self.wait_no_more(caller);
            self.waits.insert(caller.clone(), place.clone());
            let waiting = self.waiting.entry(place).or_default();
            // Who was overtaken on the way here has waited longest.
            if was_woken { waiting.push_front(caller.clone()) } else { waiting.push_back(caller.clone()) }
        }
        false
    }

    fn is_free(&self, namespace: &str, urgency: Urgency) -> bool {
        let Limits { at_once, unanswered, first_of_theirs } = self.limits;
        let most = if self.out_in(namespace) == 0 { first_of_theirs } else { unanswered };
        self.taken < at_once && (urgency != Urgency::Unanswered || self.taken_by_unanswered < most)
    }

    fn out_in(&self, namespace: &str) -> u16 {
        self.namespaces.get(namespace).map_or(0, |namespace| namespace.out)
    }

    /// Returns whoever is to be woken.
    pub fn give_back(&mut self, namespace: &str, urgency: Urgency) -> Option<Caller> {
        self.taken = self.taken.saturating_sub(1);
        if urgency == Urgency::Unanswered {
            self.taken_by_unanswered = self.taken_by_unanswered.saturating_sub(1);
            if let Some(of) = self.namespaces.get_mut(namespace) {
                of.out = of.out.saturating_sub(1);
            }
        }
        let next = self.next();
        self.tidy(namespace);
        next
    }

    /// Returns whoever is to be woken in the caller's stead, if that was.
    pub fn leave(&mut self, caller: &Caller) -> Option<Caller> {
        self.wait_no_more(caller);
        if self.woken.remove(caller).is_some() { self.next() } else { None }
    }

    /// The most urgent for whom there is a turn, who waits no more from here on.
    fn next(&mut self) -> Option<Caller> {
        // One turn is left to those who were left unanswered: the API server may have been slow, and be slow still.
        let urgencies = match self.taken_by_unanswered {
            0 => [Urgency::Transition, Urgency::Unanswered, Urgency::Usual],
            _ => [Urgency::Transition, Urgency::Usual, Urgency::Unanswered],
        };
        let place = urgencies.into_iter().find_map(|urgency| self.first(urgency))?;
        let next = self.waiting.get_mut(&place)?.pop_front()?;
        self.waits.remove(&next);
        self.tidy_place(&place);
        self.woken.insert(next.clone(), place.0);
        Some(next)
    }

    /// Where the first of that urgency waits for whom there is a turn: in the namespace with the fewest turns, and of those in the one that was given none
    /// for longest.
    fn first(&self, urgency: Urgency) -> Option<Place> {
        let places = self.waiting.keys().filter(|(of, namespace)| *of == urgency && self.is_free(namespace, urgency));
        let standing = |(_, namespace): &&Place| self.namespaces.get(namespace).map_or((0, 0), |namespace| (namespace.out, namespace.last));
        places.min_by_key(standing).cloned()
    }

    fn wait_no_more(&mut self, caller: &Caller) {
        let Some(place) = self.waits.remove(caller) else { return };
        if let Some(waiting) = self.waiting.get_mut(&place) {
            waiting.retain(|waits| waits != caller);
        }
        self.tidy_place(&place);
    }

    fn tidy_place(&mut self, place: &Place) {
        if self.waiting.get(place).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(place);
            self.tidy(&place.1);
        }
    }

    /// Forgets a namespace of which there is nothing to know any more.
    fn tidy(&mut self, namespace: &str) {
        let is_known = |of: &Namespace| of.out > 0 || of.is_unanswered;
        let is_awaited = || self.waiting.contains_key(&place(Urgency::Unanswered, namespace));
        if self.namespaces.get(namespace).is_some_and(|of| !is_known(of)) && !is_awaited() {
            self.namespaces.remove(namespace);
        }
    }

    #[cfg(test)]
    pub(super) const fn taken(&self) -> u16 {
        self.taken
    }

    #[cfg(test)]
    pub(super) fn waits(&self) -> usize {
        self.waits.len()
    }
}

/// Those who weren't left unanswered wait in one row, whichever their namespace.
fn place(urgency: Urgency, namespace: &str) -> Place {
    (urgency, if urgency == Urgency::Unanswered { namespace.to_owned() } else { String::new() })
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
