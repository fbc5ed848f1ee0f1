//! For how long a Secret holds no good grant, and whether that was forced.

use super::acts::name;
use super::histories::ServerTrouble;
use super::world::World;
use crate::api::{PlaybackGrantRequest, ValidSpec, validate};
use crate::lifecycle::{Identity, Whose};
use crate::time::Instant;
use std::time::Duration;

/// A foreign Secret is looked at again after this.
const CONFLICT_LOOK: Duration = Duration::from_secs(10);
/// The operator gives up on the API server after this.
const SERVER_LIMIT: Duration = Duration::from_secs(10);
/// What the API server refuses is tried again after this at the latest.
const REFUSED_BACKOFF: Duration = Duration::from_secs(30);

/// Until when it is excused that a Secret isn't as it should be.
struct Excuse {
    /// Since it can't be written.
    writes: Option<Instant>,
    /// Since no grant can be had.
    calls: Option<Instant>,
}

impl World {
    /// Judges the time from now until `then`, in which nothing happens.
    pub(super) fn look_on(&mut self, then: Instant) {
        for n in 0..self.judge.requests() {
            self.look_at_request(n, then);
        }
    }

    fn look_at_request(&mut self, n: usize, then: Instant) {
        let now = self.now;
        let Some(request) = self.server.requests.get(&name(n)) else {
            let tally = &mut self.judge.tallies[n];
            tally.bad_since = None;
            tally.ever_good = false;
            return;
        };
        let spec = validate(request).ok();
        let served = spec.as_ref().filter(|spec| is_served(request, spec));
        let good_until = spec.as_ref().and_then(|spec| self.good_until(request, spec)).filter(|until| now < *until);
        let token = good_until.and(served).and_then(|spec| self.token_of(request, spec));
        let wanted = served.is_some();
        let excuse = self.excuse(n, request, served, then);
        let is_claimed = request.status.as_ref().is_some_and(|status| {
            status.conditions.first().is_some_and(|ready| ready.status == "True")
                && status.observed_generation == request.metadata.generation
        });
        let undisturbed = self.judge.history.server_faults.is_empty() && self.judge.history.acts.len() <= 1 && wanted;
        let slack = self.judge.slack();
        let tally = &mut self.judge.tallies[n];
        tally.ever_good |= good_until.is_some();
        if let Some(until) = excuse.writes {
            tally.excuse_writes(until);
        }
        if let Some(until) = excuse.calls {
            tally.excuse(until);
        }
        let end = good_until.map_or(then, |until| until.min(then));
        self.judge.look_at_token(n, token, now, end);
        let tally = &mut self.judge.tallies[n];
        if good_until.is_some_and(|until| then <= until) {
            tally.bad_since = None;
            return;
        }
        let bad_from = good_until.unwrap_or(now);
        let since = match good_until {
            Some(until) => until,
            None => tally.bad_since.unwrap_or(now),
        };
        tally.bad_since = Some(since);
        if wanted && tally.ever_good {
            tally.bad += then.since(bad_from);
        }
        let allowed = tally.excused_until.max(tally.slow_until).map_or(since, |excused| excused.max(since)) + slack;
        let started = tally.excused_until;
        self.judge.require(then <= allowed, || {
            format!("{then:?} request-{n} has had no good grant since {since:?}, and nothing excuses that after {started:?}")
        });
        self.judge.require(!(undisturbed && is_claimed && then > since + slack), || {
            format!("{then:?} request-{n} is Ready, and has had no good grant since {since:?}")
        });
    }

    /// The true expiry of the grant that the Secret holds, if it is one for the request as it is.
    fn good_until(&self, request: &PlaybackGrantRequest, spec: &ValidSpec) -> Option<Instant> {
        let secret = self.server.secrets.get(&*spec.secret_name)?;
        if identity(request).whose(&secret.meta) == Whose::Foreign {
            return None;
        }
        let given = self.media.given.get(secret.data.get("grant")?)?;
        (given.request_hash == spec.request_hash).then_some(given.expiry)
    }

    /// Until when it is excused that there is no good grant, by what is so from now until `then`.
    fn excuse(&self, n: usize, request: &PlaybackGrantRequest, wanted: Option<&ValidSpec>, then: Instant) -> Excuse {
        let server = self.trouble().map(|trouble| match trouble {
            ServerTrouble::Hangs => then + SERVER_LIMIT,
            ServerTrouble::RefusesSecrets => then + REFUSED_BACKOFF,
            ServerTrouble::RefusesStatuses => self.now,
            ServerTrouble::Unavailable | ServerTrouble::LosesAnswers => then + Duration::from_secs(1),
        });
        // Also while nothing is wanted, a write of the status may be under way that holds up what is wanted next.
        let Some(spec) = wanted.filter(|_| self.operator.is_some()) else {
            return Excuse { writes: server.max(Some(then)), calls: None };
        };
        let foreign =
            self.server.secrets.get(&*spec.secret_name).is_some_and(|secret| identity(request).whose(&secret.meta) == Whose::Foreign);
        let pair = self.server.credentials.get(&*spec.credentials_secret_name).and_then(|credentials| credentials.pair);
        let media = self.media.faults.iter().any(|fault| fault.from <= self.now && self.now < fault.until && fault.concerns(n, pair));
        let foreign = foreign.then_some(then + CONFLICT_LOOK);
        let media = (media || pair.is_none()).then_some(then);
        let doubtful = self.doubtful_until(spec);
        Excuse { writes: [foreign, server, doubtful].into_iter().flatten().max(), calls: media }
    }

    /// Until when an operator that knows a grant only by its times on the wall clock, which has jumped since, may believe in it.
    fn doubtful_until(&self, spec: &ValidSpec) -> Option<Instant> {
        let given = self.media.given.get(self.server.secrets.get(&*spec.secret_name)?.data.get("grant")?)?;
        (given.wall_offset != self.wall_offset).then_some(self.now + given.ttl.duration())
    }
}

/// Whether a request with that spec is to have a grant.
pub(super) fn is_served(request: &PlaybackGrantRequest, spec: &ValidSpec) -> bool {
    request.metadata.deletion_timestamp.is_none() && !spec.suspend
}

pub(super) fn identity(request: &PlaybackGrantRequest) -> Identity {
    let metadata = &request.metadata;
    Identity { namespace: "web".into(), name: metadata.name.clone().unwrap(), uid: metadata.uid.clone().unwrap() }
}
