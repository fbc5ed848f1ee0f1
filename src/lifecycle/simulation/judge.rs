//! Who looks on: what has been counted, what was promised, and what excuses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::acts::{Act, name};
use super::api_server::ApiServer;
use super::dispatcher::Placed;
use super::histories::{Asked, History, ServerTrouble};
use super::media_api::MediaApi;
use super::objects::{Call, StoredSecret, start_of};
use super::operator::{Entry, Operator, Reconcile};
use super::tokens::{Keys, TokenTally};
use super::world::{Event, Timing, World};
use crate::api::PlaybackGrantRequestStatus;
use crate::api::names::annotation;
use crate::lifecycle::HeldGrant;
use crate::media::lane::Caller;
use crate::media::{FailureClass, Ttl};
use crate::time::Instant;

/// A refusal is looked at again after a minute at the latest.
const SLOW_LOOK: Duration = Duration::from_mins(1);
/// A success this recent keeps a refusal from being looked at slowly.
const RECENT: Duration = Duration::from_mins(10);
const LONGEST_THROTTLE: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: u32,
    pub(super) secret_writes: u32,
    pub(super) status_writes: u32,
    pub(super) looks: u32,
    /// Since when the Secret holds no good grant.
    pub(super) bad_since: Option<Instant>,
    /// For how long that was so, after the first grant and while a grant was wanted.
    pub(super) bad: Duration,
    pub(super) ever_good: bool,
    pub(super) excused_until: Option<Instant>,
    /// The same, until something changes that is looked at at once.
    pub(super) slow_until: Option<Instant>,
    refusals: u32,
    pub(super) last_forced: Option<Instant>,
    pub(super) disturbances: u32,
    pub(super) token: TokenTally,
}

pub(super) struct Judge {
    pub(super) history: History,
    pub(super) tallies: Vec<Tally>,
    /// What the present operator was given last, by the request's uid.
    pub(super) given: BTreeMap<Caller, (Instant, Ttl, Arc<str>)>,
    /// When each pair last succeeded under the present operator.
    lane_successes: BTreeMap<usize, Instant>,
    /// When each request last succeeded under it, and what for, and with which pair.
    own_successes: BTreeMap<Caller, (Arc<str>, usize, Instant)>,
    pub(super) keys: Keys,
    wall_offset: i64,
    lines: VecDeque<String>,
}

/// What there was before a call of the API server was carried out.
pub(super) struct Before {
    /// For which request it is carried out.
    request: String,
    pub(super) secret: Option<StoredSecret>,
    status: Option<PlaybackGrantRequestStatus>,
}

impl Before {
    pub(super) fn of(server: &ApiServer, request: &str, call: &Call) -> Self {
        let (secret, status) = match call {
            Call::Create { name, .. } | Call::Patch { name, .. } | Call::Delete { name, .. } => (server.secrets.get(name).cloned(), None),
            Call::WriteStatus { name, .. } => (None, server.requests.get(name).map(|request| request.status.clone().unwrap_or_default())),
            _ => (None, None),
        };
        Self { request: request.to_owned(), secret, status }
    }
}

impl Judge {
    pub(super) fn new(history: &History) -> Self {
        Self {
            history: history.clone(),
            tallies: history.requests.iter().map(|_| Tally::default()).collect(),
            given: BTreeMap::new(),
            lane_successes: BTreeMap::new(),
            own_successes: BTreeMap::new(),
            keys: Keys::default(),
            wall_offset: 0,
            lines: VecDeque::new(),
        }
    }

    /// Whether anybody does such a thing in this history.
    pub(super) fn has(&self, wanted: fn(&Act) -> bool) -> bool {
        self.history.acts.iter().any(|(_, act)| wanted(act))
    }

    #[track_caller]
    pub(super) fn require(&self, kept: bool, what: impl FnOnce() -> String) {
        if !kept {
            let story: Vec<&str> = self.lines.iter().map(String::as_str).collect();
            panic!("{}\nwhat happened last:\n{}", what(), story.join("\n"));
        }
    }

    pub(super) fn note(&mut self, line: String) {
        if self.lines.len() == 40 {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn requests(&self) -> usize {
        self.history.requests.len()
    }

    pub(super) fn asked_for(&self, n: usize) -> Option<Asked> {
        self.history.requests.get(n).cloned()
    }

    pub(super) fn number_of(&self, request: &str) -> usize {
        (0..self.history.requests.len()).find(|n| name(*n) == request).unwrap()
    }

    pub(super) fn tally(&mut self, request: &str) -> &mut Tally {
        let number = self.number_of(request);
        &mut self.tallies[number]
    }

    pub(super) fn started(&mut self, now: Instant) {
        self.given.clear();
        self.lane_successes.clear();
        self.own_successes.clear();
        self.keys.read.clear();
        for tally in &mut self.tallies {
            tally.last_forced = None;
            tally.refusals = 0;
            tally.excuse_writes(now);
        }
    }

    /// The worst that a repair, a restored Secret, a wake and a call take when all goes well, beyond the promised second.
    pub(super) fn slack(&self) -> Duration {
        let Timing { server, watch, media } = self.history.timing;
        Duration::from_secs(1) + server * 14 + watch * 3 + media * 3
    }

    pub(super) fn granted(&mut self, caller: &Caller, held: &HeldGrant) {
        self.given.insert(caller.clone(), (held.issue, held.ttl, held.request_hash.clone()));
    }

    /// A reconcile begins.
    pub(super) fn reconciles(&mut self, reconcile: &Reconcile, now: Instant) {
        self.note(format!("{now:?} reconcile {}", reconcile.identity.name));
    }

    pub(super) fn went_on_for_long(&self, request: &str) {
        // While answers fail to come, each attempt is a step, and the time between two is used up by the step before.
        let hangs = self.history.server_faults.iter().any(|fault| fault.trouble == ServerTrouble::Hangs);
        self.require(hangs, || format!("{request}: a reconcile takes more steps than any orderly course of things"));
    }

    /// The API server is asked for something.
    pub(super) fn asked(&mut self, request: &str, call: &Call) {
        let tally = self.tally(request);
        match call {
            Call::Look(_) | Call::Read(_) | Call::ReadCredentials(_) => tally.looks += 1,
            Call::WriteStatus { .. } => tally.status_writes += 1,
            Call::Create { .. } | Call::Patch { .. } | Call::Delete { .. } => tally.secret_writes += 1,
        }
        self.note(format!("    asks {}", start_of(call)));
    }

    /// A call is sent to the Media API.
    pub(super) fn sent(&mut self, entry: &Entry, operator: &Operator, placed: &Placed, now: Instant) {
        let ordered = entry.memory.ordered.as_ref();
        self.require(ordered.is_some_and(|ordered| ordered.subject.request_hash == placed.tag), || {
            format!("{}: a call is sent that nobody waits for", entry.identity.name)
        });
        self.require(operator.by_name.contains_key(&entry.identity.name), || "a call for a request that is gone".to_owned());
        self.tally(&entry.identity.name).calls += 1;
        self.note(format!("{now:?} calls for {}", entry.identity.name));
    }

    /// How that call will end, and what it excuses.
    pub(super) fn called(
        &mut self,
        (request, caller): (usize, &Caller),
        placed: &Placed,
        after: Duration,
        result: Result<(), FailureClass>,
        now: Instant,
    ) {
        self.note(format!("    will be answered {result:?} in {after:?}"));
        let answered = now + after;
        let pair = placed.pair;
        let lane_recently = self.lane_successes.get(&pair).is_some_and(|at| answered.since(*at) <= RECENT);
        let own_recently = self
            .own_successes
            .get(caller)
            .is_some_and(|(hash, with, at)| *hash == placed.tag && *with == pair && answered.since(*at) <= RECENT);
        if after > self.history.timing.media {
            self.excuse_all(answered);
        }
        match result {
            Ok(()) => {
                self.tallies[request].refusals = 0;
                self.lane_successes.insert(pair, answered);
                self.own_successes.insert(caller.clone(), (placed.tag.clone(), pair, answered));
            }
            Err(FailureClass::Unavailable) => {}
            Err(FailureClass::Throttled { retry_after }) => {
                self.excuse_all(answered + retry_after.unwrap_or_default().min(LONGEST_THROTTLE));
            }
            Err(FailureClass::Unauthorized | FailureClass::Forbidden) if !lane_recently => self.excuse_all(answered + SLOW_LOOK),
            Err(_) if !own_recently => {
                let tally = &mut self.tallies[request];
                tally.refusals += 1;
                let wait = Duration::from_secs(1 << tally.refusals.min(6)).min(SLOW_LOOK);
                tally.slow_until = tally.slow_until.max(Some(answered + wait));
            }
            Err(_) => {}
        }
    }

    fn excuse_all(&mut self, until: Instant) {
        for tally in &mut self.tallies {
            tally.excuse(until);
        }
    }

    /// Others act.
    pub(super) fn acts(&mut self, act: Act, now: Instant) {
        self.note(format!("{now:?} {act:?}"));
        if let Act::JumpClock(seconds) = act {
            self.wall_offset += seconds;
        }
        if let Act::StripLabel(n)
        | Act::ChangeData(n)
        | Act::SpoilToken(n, _)
        | Act::StripTokenHash(n)
        | Act::ChangeLabel(n)
        | Act::StripAnnotations(n)
        | Act::MakeImmutable(n)
        | Act::DeleteSecret(n)
        | Act::TakeOver(n) = act
            && let Some(tally) = self.tallies.get_mut(n)
        {
            tally.disturbances += 1;
            let wait = if tally.disturbances == 1 { 0 } else { 1_u64 << (tally.disturbances - 2).min(6) };
            tally.excuse_writes(now + Duration::from_secs(wait.min(60)));
        }
    }

    /// A refresh is asked for, or something else than before: a refusal of what was before holds nothing back from here on.
    pub(super) fn asks_anew(&mut self, n: usize, something_else: bool, now: Instant) {
        let tally = &mut self.tallies[n];
        if let Some(slow_until) = tally.slow_until.take() {
            tally.excuse(slow_until.min(now));
        }
        if something_else {
            tally.refusals = 0;
        }
    }

    pub(super) fn after_call(&mut self, before: &Before, server: &ApiServer, media: &MediaApi, call: &Call, done: bool, now: Instant) {
        self.note(format!("{now:?} arrives {}", if done { "and is done" } else { "and is refused" }));
        if !done {
            return;
        }
        let request = &before.request;
        if let Call::Patch { name, .. } | Call::Delete { name, .. } = call
            && let Some(before) = &before.secret
        {
            let owner = before.meta.annotations.get(annotation::OWNED_BY).and_then(|owned_by| owned_by.split_once('/'));
            self.require(owner.is_some_and(|(owner, _)| owner == request), || {
                format!("Secret {name} was another's, and was touched for {request}")
            });
            // Without its annotations nobody can know what a Secret holds, nor how old that is once the wall clock has jumped.
            let is_told = before.meta.claim().is_some();
            let truth = |secret: &StoredSecret| secret.data.get("grant").and_then(|text| media.given.get(text)).cloned();
            if let (Some(was), Some(is)) = (truth(before), server.secrets.get(name).and_then(truth)) {
                let is_known = is_told && was.wall_offset == self.wall_offset;
                self.require(!is_known || was.request_hash != is.request_hash || was.expiry <= is.expiry, || {
                    format!("Secret {name}: a grant that expires at {:?} landed over one that expires at {:?}", is.expiry, was.expiry)
                });
            }
        }
        self.token_is_right(before, server, call, now);
        if let (Call::WriteStatus { status, name, .. }, Some(was)) = (call, &before.status) {
            self.status_written(name, was, status);
        }
    }
}

impl Tally {
    pub(super) fn excuse(&mut self, until: Instant) {
        self.excused_until = self.excused_until.max(Some(until));
    }

    /// What keeps a Secret from being written keeps both its grant and its token.
    pub(super) fn excuse_writes(&mut self, until: Instant) {
        self.excuse(until);
        self.token.excused_until = self.token.excused_until.max(Some(until));
    }
}

impl World {
    pub(super) fn trace(&mut self, event: &Event) {
        if let Event::Answers { request, answer, .. } = event {
            let line = format!("{:?} {request} is answered {}", self.now, start_of(answer));
            self.judge.note(line);
        }
    }
}
