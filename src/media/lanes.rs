//! All lanes: which of them may call next, and at whose pace.
//!
//! Pure. Lanes whose answers show the same account share its pace. A shell enqueues, asks [`Lanes::next`] for what to call until there is nothing,
//! reports how each attempt ended with [`Lanes::answered`], and comes back at [`Lanes::look_at`].

use std::collections::{BTreeMap, BTreeSet};

use super::figures::Figures;
use super::lane::{Attempt, Caller, GateChange, Kind, Lane, Outcome, Waiting};
use super::pace::{Pace, Throttled};
use super::{FailureClass, LaneKey, share};
use crate::time::Instant;

/// Whose pace it is: an account's, once an answer has shown it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PaceKey {
    Lane(LaneKey),
    Account(String),
}

/// A lane, and whose pace it goes at.
#[derive(Clone, Debug)]
struct Member {
    lane: Lane,
    pace: PaceKey,
}

/// What the end of an attempt means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Whether it ends the call, too. If not, others are out for it that may still bring a grant.
    pub ends_call: bool,
    /// What is closed from now on, if anything closed.
    pub closed: Option<Closed>,
    /// Who waits, if their lane is closed still, and looked at slowly from now on.
    pub slowed_to: Option<Vec<Caller>>,
    /// What is open from now on, if anything opened.
    pub opened: Option<Opened>,
}

/// Lanes that have just closed, or, by a 429, all of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub lanes: Vec<LaneKey>,
    /// Who waits in them.
    pub waiting: Vec<Caller>,
}

/// Lanes that have just opened, or that a 429 to another of their account held back until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which, without those that something else still closes.
    pub lanes: Vec<LaneKey>,
    /// How many wait in them.
    pub waiting: usize,
}

/// All lanes.
#[derive(Clone, Debug)]
pub struct Lanes {
    members: BTreeMap<LaneKey, Member>,
    paces: BTreeMap<PaceKey, Pace>,
    out: usize,
    most: usize,
    joined: u64,
}

impl Lanes {
    /// No lanes yet; at most `most` attempts are out at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { members: BTreeMap::new(), paces: BTreeMap::new(), out: 0, most: most.max(1), joined: 0 }
    }

    /// Puts a caller in a lane.
    pub fn enqueue(&mut self, lane: LaneKey, caller: &Caller, waiting: Waiting) {
        let pace = PaceKey::Lane(lane);
        let member = self.members.entry(lane).or_insert_with(|| Member { lane: Lane::default(), pace });
        member.lane.enqueue(caller, waiting);
    }

    /// Takes a caller out of a lane. Attempts that are out for it are heard of no more.
    pub fn withdraw(&mut self, lane: LaneKey, caller: &Caller) {
        if let Some(member) = self.members.get_mut(&lane) {
            let before = member.lane.out();
            member.lane.withdraw(caller);
            self.out -= before - member.lane.out();
            if let Some(pace) = self.paces.get_mut(&member.pace) {
                pace.ended(&(lane, caller.clone()));
            }
        }
    }

    /// Forgets what a caller's calls have told: it is gone, and calls no more.
    pub fn forget(&mut self, caller: &Caller) {
        let of_it: Vec<LaneKey> = self.members.keys().copied().collect();
        for lane in of_it {
            self.withdraw(lane, caller);
        }
    }

    /// Forgets the lanes that nobody has been in for so long that nothing they told matters any more. Returns which.
    pub fn forget_idle(&mut self, now: Instant) -> Vec<LaneKey> {
        let idle: Vec<LaneKey> = self.members.extract_if(.., |_, member| member.lane.idle(now)).map(|(key, _)| key).collect();
        // An account that no lane's answers show any more has no pace, either.
        let used: BTreeSet<&PaceKey> = self.members.values().map(|member| &member.pace).collect();
        self.paces.retain(|key, _| used.contains(key));
        idle
    }

    /// Takes in that time has passed. Returns the lanes that have just become silent, each with who waits in it, also for an answer.
    pub fn listen(&mut self, now: Instant) -> Vec<(LaneKey, Vec<Caller>)> {
        let silent = self.members.iter_mut().filter_map(|(key, Member { lane, .. })| lane.listen(now).then_some((key, lane)));
        silent.map(|(key, lane)| (*key, lane.callers().cloned().collect())).collect()
    }

    /// The next attempt to make now.
    pub fn next(&mut self, now: Instant) -> Option<(LaneKey, Attempt)> {
        let beside = |lanes: &mut Self, call| lanes.beside(call, now);
        let attempt = self.probe(now).or_else(|| beside(self, Lane::try_first)).or_else(|| self.in_turn(now));
        let attempt = attempt.or_else(|| self.start_over(now)).or_else(|| beside(self, Lane::join))?;
        self.out += 1;
        if attempt.1.beside {
            self.joined += 1;
        }
        Some(attempt)
    }

    /// What a closed or silent lane lets through. Whoever has least out goes first.
    fn probe(&mut self, now: Instant) -> Option<(LaneKey, Attempt)> {
        let Self { members, paces, out, most, .. } = self;
        if *out >= *most {
            return None;
        }
        let may = |member: &Member| match paces.get(&member.pace) {
            Some(pace) if member.lane.is_silent() => pace.asked_until().is_none_or(|until| until <= now),
            Some(pace) => pace.may_probe(now),
            None => true,
        };
        let mut candidates: Vec<_> = members.iter_mut().filter(|(_, member)| may(member)).collect();
        candidates.sort_by_key(|(_, member)| member.lane.out());
        let (key, is_silent, pace, attempt) = candidates.into_iter().find_map(|(key, Member { lane, pace })| {
            let is_closed = paces.get(pace).is_some_and(|pace| pace.closed_until().is_some());
            let has_room = !is_closed && share::leaves_room(lane.out(), *out, *most);
            Some((*key, lane.is_silent(), pace.clone(), lane.probe(now, has_room)?))
        })?;
        // Of a silent lane none is waited for: it says nothing of the account.
        if let Some(pace) = paces.get_mut(&pace).filter(|_| !is_silent) {
            pace.probes(|| (key, attempt.caller.clone()), now);
        }
        Some((key, attempt))
    }

    /// Of all open lanes whose pace allows it, the call whose turn it is.
    fn in_turn(&mut self, now: Instant) -> Option<(LaneKey, Attempt)> {
        let Self { members, paces, out, most, .. } = self;
        let mut by_pace = BTreeMap::<&PaceKey, Vec<(LaneKey, &mut Lane)>>::new();
        for (key, Member { lane, pace }) in members {
            by_pace.entry(pace).or_default().push((*key, lane));
        }
        let mut by_out: Vec<_> = by_pace.into_iter().collect();
        by_out.sort_by_key(|(_, lanes)| lanes.iter().map(|(_, lane)| lane.out()).sum::<usize>());
        for (key, mut lanes) in by_out {
            let pace = paces.entry(key.clone()).or_default();
            let of_pace = lanes.iter().map(|(_, lane)| lane.out_since_opened()).sum();
            if !pace.allows(of_pace, now) {
                continue;
            }
            lanes.retain(|(_, lane)| share::leaves_room(lane.out(), *out, *most));
            let refreshes = lanes.iter().map(|(_, lane)| lane.ready_refreshes()).sum();
            let first = |kind| lanes.iter().filter_map(|(key, lane)| Some((lane.first(kind)?, *key))).min();
            let (kind, chosen) = match (first(Kind::Refresh), first(Kind::Newcomer)) {
                (Some((deadline, refresh)), Some((_, newcomer))) => match pace.turn(deadline, refreshes, now) {
                    Kind::Refresh => (Kind::Refresh, refresh),
                    Kind::Newcomer => (Kind::Newcomer, newcomer),
                },
                (Some((_, refresh)), None) => (Kind::Refresh, refresh),
                (None, Some((_, newcomer))) => (Kind::Newcomer, newcomer),
                (None, None) => continue,
            };
            let attempt = lanes.iter_mut().find(|(key, _)| *key == chosen).and_then(|(_, lane)| lane.start(kind, now));
            if let Some(attempt) = attempt {
                pace.calls(|| (chosen, attempt.caller.clone()), now);
                pace.takes_turn(kind);
                return Some((chosen, attempt));
            }
        }
        None
    }

    /// Where what went unanswered has taken all room, it is called again in its own place.
    fn start_over(&mut self, now: Instant) -> Option<(LaneKey, Attempt)> {
        let Self { members, paces, out, most, .. } = self;
        members.iter_mut().find_map(|(key, Member { lane, pace })| {
            if !lane.has_lost() || share::leaves_room(lane.out(), *out, *most) {
                return None;
            }
            let pace = paces.entry(pace.clone()).or_default();
            let before = lane.out();
            let attempt = pace.allows(lane.out_since_opened(), now).then(|| lane.start_over(now)).flatten()?;
            // The new one is counted by who asked for it.
            *out = *out + lane.out() - before - 1;
            pace.calls(|| (*key, attempt.caller.clone()), now);
            Some((*key, attempt))
        })
    }

    /// What is sent beside a call that isn't answered.
    fn beside(&mut self, call: fn(&mut Lane, Instant) -> Option<Attempt>, now: Instant) -> Option<(LaneKey, Attempt)> {
        let Self { members, paces, out, most, .. } = self;
        members.iter_mut().find_map(|(key, Member { lane, pace })| {
            let pace = paces.entry(pace.clone()).or_default();
            let may = share::leaves_room(lane.out(), *out, *most) && pace.allows(lane.out_since_opened(), now);
            let attempt = may.then(|| call(lane, now)).flatten()?;
            pace.calls(|| (*key, attempt.caller.clone()), now);
            Some((*key, attempt))
        })
    }

    /// Takes in how an attempt ended; `None`: it is of no call in flight. `account`: whose the grant is that it brought, by the answer's word. `draw`, from
    /// 0 to 1, spreads the next probe.
    pub fn answered(
        &mut self,
        lane: LaneKey,
        attempt: &Attempt,
        (outcome, account): (Outcome, Option<&str>),
        now: Instant,
        draw: f64,
    ) -> Option<Answered> {
        let was_open = self.members.get(&lane).is_some_and(|member| self.is_open(member));
        let member = self.members.get_mut(&lane)?;
        let before = member.lane.out();
        let pressing = member.lane.pressing(now);
        let answered = member.lane.answered(attempt, outcome, now, draw)?;
        self.out -= before - member.lane.out();
        let slowed_to = (answered.change == GateChange::Slowed).then(|| member.lane.waiting().cloned().collect());
        let waiting = || member.lane.waiting().cloned().collect();
        let mut closed = (answered.change == GateChange::Closed).then(|| Closed { lanes: vec![lane], waiting: waiting() });
        if let Some(account) = account {
            let account = PaceKey::Account(account.to_owned());
            if member.pace != account {
                let former = std::mem::replace(&mut member.pace, account.clone());
                // What the lane has learnt by itself is the account's. A former account's is that account's.
                let own = if let PaceKey::Lane(_) = former { self.paces.remove(&former) } else { None };
                let shared = self.paces.remove(&account);
                let pace = own.into_iter().chain(shared).reduce(Pace::merged).unwrap_or_default();
                self.paces.insert(account, pace);
            }
        }
        let key = member.pace.clone();
        let mut limit_opened = false;
        let pace = self.paces.entry(key.clone()).or_default();
        let who = (lane, attempt.caller.clone());
        if let Outcome::Failed(FailureClass::Throttled { retry_after }) = outcome {
            let limit_closed = pace.throttled(&who, Throttled { retry_after, pressing, draw }, now);
            self.of_pace(&key).for_each(|lane| lane.throttled(now));
            if limit_closed {
                let of_pace = || self.members.iter().filter(|(_, member)| member.pace == key);
                let waiting = of_pace().flat_map(|(_, member)| member.lane.waiting().cloned()).collect();
                closed = Some(Closed { lanes: of_pace().map(|(lane, _)| *lane).collect(), waiting });
            }
        } else if outcome.passes_the_limit() {
            if pace.let_through(&who, now) {
                self.of_pace(&key).for_each(|lane| lane.release(now));
                limit_opened = true;
            }
        } else {
            pace.ended(&who);
        }
        // Whatever opened it: its gate, an answer that breaks a silence, its account's limit, or that it is of another account.
        let opened =
            (limit_opened || !was_open).then(|| self.opened(|of, pace| if of == lane { !was_open } else { limit_opened && *pace == key }));
        let opened = opened.filter(|opened| !opened.lanes.is_empty());
        Some(Answered { ends_call: answered.ends_call, closed, slowed_to, opened })
    }

    fn is_open(&self, Member { lane, pace }: &Member) -> bool {
        lane.closure().is_none() && self.paces.get(pace).is_none_or(|pace| pace.closed_until().is_none())
    }

    /// Those of some lanes that nothing closes any more.
    fn opened(&self, of: impl Fn(LaneKey, &PaceKey) -> bool) -> Opened {
        let open = self.members.iter().filter(|(key, member)| of(**key, &member.pace) && self.is_open(member));
        let (lanes, waiting): (Vec<LaneKey>, Vec<usize>) = open.map(|(key, member)| (*key, member.lane.waiting().count())).unzip();
        Opened { lanes, waiting: waiting.into_iter().sum() }
    }

    /// The lanes that go at that pace.
    fn of_pace(&mut self, pace: &PaceKey) -> impl Iterator<Item = &mut Lane> {
        self.members.values_mut().filter(move |member| member.pace == *pace).map(|member| &mut member.lane)
    }

    /// How they stand.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Figures {
        let mut figures = Figures { in_flight: self.out, joined: self.joined, ..Figures::default() };
        for Member { lane, pace } in self.members.values() {
            figures.waiting += lane.waiting().count();
            let pace = self.paces.get(pace);
            let count = match lane.closure() {
                // What closed it was somebody's who calls no more, with other credentials by now, say.
                Some(_) if !lane.has_callers() => continue,
                Some(_) if lane.is_silent() => &mut figures.silent,
                Some(_) => &mut figures.closed,
                None if pace.is_some_and(|pace| pace.closed_until().is_some()) => &mut figures.closed,
                None => &mut figures.open,
            };
            *count += 1;
            if pace.is_some_and(Pace::is_limited) {
                figures.shortfall += lane.ready_refreshes() as usize;
            }
        }
        let rates = self.paces.values().filter_map(|pace| pace.rate(now));
        (figures.limited, figures.own_rate) = rates.fold((0, 0.0), |(count, sum), rate| (count + 1, sum + rate));
        figures
    }

    /// How many attempts are out.
    #[must_use]
    pub const fn out(&self) -> usize {
        self.out
    }

    /// Why that caller waits in its lane for more than its turn, if it does, and whether the lane is looked at slowly.
    #[must_use]
    pub fn closure(&self, lane: LaneKey, caller: &Caller) -> Option<(FailureClass, bool)> {
        let Member { lane, pace } = self.members.get(&lane)?;
        let is_limited = self.paces.get(pace).is_some_and(Pace::is_limited) && lane.waits(caller);
        lane.closure().or_else(|| is_limited.then_some((FailureClass::Throttled { retry_after: None }, false)))
    }

    /// When [`Self::listen`] or [`Self::next`] may next have something to do, if nothing else happens. To be asked when there is nothing more to
    /// call now: what time alone doesn't bring waits for an answer.
    #[must_use]
    pub fn look_at(&self, now: Instant) -> Option<Instant> {
        self.members.values().filter_map(|member| self.look_at_lane(member, now)).min()
    }

    fn look_at_lane(&self, Member { lane, pace }: &Member, now: Instant) -> Option<Instant> {
        let pace = self.paces.get(pace);
        let has_room = share::leaves_room(lane.out(), self.out, self.most);
        let (has_place, is_closed) = (self.out < self.most, pace.is_some_and(|pace| pace.closed_until().is_some()));
        let waits = [Kind::Refresh, Kind::Newcomer].into_iter().any(|kind| lane.first(kind).is_some());
        let turn_at = pace.filter(|_| if has_room { waits } else { lane.has_lost() }).and_then(|pace| pace.next(now));
        // Probes go at their own pace, unless a 429 asks to wait.
        let (at, next) = if lane.is_silent() {
            (lane.call_at(now, has_room && !is_closed).filter(|_| has_place), pace.and_then(Pace::asked_until))
        } else if lane.closure().is_some() {
            (lane.call_at(now, has_room).filter(|_| has_place), pace.and_then(Pace::closed_until))
        } else {
            let held = pace.filter(|pace| !pace.allows(lane.out_since_opened(), now)).and_then(|pace| pace.next(now));
            (lane.call_at(now, has_room).filter(|_| has_room), held)
        };
        let call_at = at.map(|at| next.map_or(at, |next| at.max(next)));
        lane.listen_at().into_iter().chain(call_at.into_iter().chain(turn_at).filter(|at| now < *at)).min()
    }
}

#[cfg(test)]
#[path = "lanes_tests/mod.rs"]
mod tests;
