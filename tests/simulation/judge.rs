//! What must hold at every instant, judged by what the Media API put into the Secrets and by what is asked for, whatever the operator says.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::facts::{RequestFacts, SecretFacts, conditions};
use crate::history::EVENTFUL;
use crate::live::NOTICES;
use crate::media_api::Wanted;
use crate::others::LOOK;

/// Judges the time that passes, and each change.
#[derive(Debug, Default)]
pub struct Judge {
    /// How long a Secret may lack a good grant when nothing excuses it.
    slack: Duration,
    /// What the wall clock showed at the start.
    start: Timestamp,
    requests: BTreeMap<String, Request>,
    secrets: BTreeMap<String, SecretFacts>,
    problems: Vec<String>,
    settled: Duration,
    share: Share,
    /// By how many seconds the wall clock is ahead of what it showed, and by how many it has been at the most.
    ahead: i64,
    most_ahead: i64,
    /// When the wall clock last jumped, and when an operator last came.
    jumped: Duration,
    came: Duration,
}

/// For how long grants were asked for, all requests together, and for how long of it nothing stood in the way of a good one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub asked: Duration,
    pub judged: Duration,
}

impl std::ops::AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.asked += other.asked;
        self.judged += other.judged;
    }
}

/// What is known of one request. Instants are told since the start.
#[derive(Debug, Default)]
struct Request {
    /// What is asked for; nothing of one that is deleted or suspended.
    asked: Option<RequestFacts>,
    says_ready: bool,
    grants: Obstruction,
    statuses: Obstruction,
    /// Since when the Secret has held no good grant.
    bad_since: Option<Duration>,
    /// Since when it has held one, and the status says otherwise.
    unsaid_since: Option<Duration>,
    blamed: bool,
    bad: Duration,
}

/// What keeps something from being done.
#[derive(Debug, Default)]
struct Obstruction {
    count: usize,
    until: Duration,
}

impl Obstruction {
    /// Since when something that ought to have been done at `then` has waited for nobody; `None` while something is in its way.
    fn waits_since(&self, then: Duration) -> Option<Duration> {
        (self.count == 0).then(|| then.max(self.until))
    }
}

/// What is obstructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Grants,
    /// Nor can it be told.
    GrantsAndStatuses,
}

impl Judge {
    pub fn new(slack: Duration, start: Timestamp) -> Self {
        Self { slack, start, ..Self::default() }
    }

    /// Judges the time up to `now`.
    pub fn settle(&mut self, now: Duration) {
        let Self { slack, requests, secrets, problems, settled, share, jumped, came, .. } = self;
        for (name, request) in requests.iter_mut() {
            let Some(asked) = &request.asked else { continue };
            // What comes after is quiet, and judged anyhow.
            let eventful = now.min(EVENTFUL);
            share.asked += eventful.saturating_sub(*settled);
            share.judged += request.grants.waits_since(*settled).map_or(Duration::ZERO, |since| eventful.saturating_sub(since));
            let secret = secrets.get(&asked.secret);
            let grant = secret.and_then(|secret| secret.grant.as_ref()).filter(|grant| grant.is_for(asked));
            let good_until = grant.map_or(*settled, |grant| grant.expires.max(*settled));
            if good_until >= now {
                request.bad_since = None;
                // What another has taken is another's; and of what others have altered the operator may know no more than that.
                let owner = format!("{name}/{}", asked.uid);
                let is_own = secret.is_some_and(|secret| secret.owned_by.as_ref() == Some(&owner) && secret.claims.is_some());
                // Who came after the wall clock had jumped can't believe what times before the jump say.
                let is_told = grant.is_some_and(|grant| grant.issue() >= *jumped || *came < *jumped);
                let since = (is_own && is_told && !request.says_ready).then(|| *request.unsaid_since.get_or_insert(*settled));
                let waits = since.and_then(|since| request.statuses.waits_since(since)).filter(|waits| now > *waits + *slack);
                if let (Some(waits), false) = (waits, request.blamed) {
                    problems.push(format!("{now:.1?} {name} has a good grant and isn't Ready, and nothing excuses it since {waits:.1?}"));
                }
                request.blamed = waits.is_some();
                continue;
            }
            request.unsaid_since = None;
            // Another's is looked at again when it changes, or now and then.
            if let Some(secret) = secret.filter(|secret| secret.owner().is_some_and(|owner| owner != name)) {
                request.grants.until = request.grants.until.max(now + if secret.is_watched { NOTICES } else { LOOK });
            }
            // Nobody may have looked while it was good.
            request.bad_since = request.bad_since.filter(|_| good_until <= *settled);
            let since = *request.bad_since.get_or_insert(good_until);
            request.bad += now.saturating_sub(good_until);
            let late = |obstruction: &Obstruction| obstruction.waits_since(since).filter(|waits| now > *waits + *slack);
            if let Some(waits) = late(&request.grants).filter(|_| !request.blamed) {
                request.blamed = true;
                problems
                    .push(format!("{now:.1?} {name} has had no good grant since {since:.1?}, and nothing excuses it since {waits:.1?}"));
            }
            if request.says_ready && late(&request.statuses).is_some() && !std::mem::replace(&mut request.blamed, true) {
                problems.push(format!("{now:.1?} {name} says that it is Ready, and has had no good grant since {since:.1?}"));
            }
        }
        *settled = now;
    }

    /// From now on nothing can be done for these.
    pub fn obstruct<'a>(&mut self, what: What, names: impl IntoIterator<Item = &'a String>, now: Duration) {
        self.settle(now);
        for name in names {
            let request = self.requests.entry(name.clone()).or_default();
            request.grants.count += 1;
            request.statuses.count += usize::from(what == What::GrantsAndStatuses);
        }
    }

    /// That is over; what was waiting for it may take until `until` to notice.
    pub fn release<'a>(&mut self, what: What, names: impl IntoIterator<Item = &'a String>, until: Duration, now: Duration) {
        self.settle(now);
        for name in names {
            let request = self.requests.entry(name.clone()).or_default();
            request.grants.count -= 1;
            request.grants.until = request.grants.until.max(until);
            if what == What::GrantsAndStatuses {
                request.statuses.count -= 1;
                request.statuses.until = request.statuses.until.max(until);
            }
        }
    }

    /// What is asked for.
    pub fn wanted(&self, name: &str) -> Option<Wanted> {
        self.requests.get(name)?.asked.as_ref().map(RequestFacts::wanted)
    }

    /// Nothing is expected to be told of this one until then.
    pub fn excuse_words(&mut self, name: &str, until: Duration, now: Duration) {
        self.settle(now);
        let request = self.requests.entry(name.to_owned()).or_default();
        request.statuses.until = request.statuses.until.max(until);
    }

    /// Since when an operator could see what has been so since `then`; `None` while none can.
    pub fn tells_since(&self, name: &str, then: Duration) -> Option<Duration> {
        self.requests.get(name).and_then(|request| request.statuses.waits_since(then))
    }

    /// Nothing is expected of the operator for this one until then.
    pub fn excuse(&mut self, name: &str, until: Duration, now: Duration) {
        self.settle(now);
        let request = self.requests.entry(name.to_owned()).or_default();
        request.grants.until = request.grants.until.max(until);
        request.statuses.until = request.statuses.until.max(until);
    }

    /// The wall clock is set forward by so many seconds.
    pub fn wall_set(&mut self, seconds: i64, now: Duration) {
        self.settle(now);
        self.jumped = now;
        self.ahead += seconds;
        self.most_ahead = self.most_ahead.max(self.ahead);
    }

    /// An operator starts.
    pub fn operator_comes(&mut self, now: Duration) {
        self.settle(now);
        self.came = now;
    }

    /// A request has changed.
    pub fn request_changed(&mut self, name: &str, after: Option<&Value>, now: Duration) {
        self.settle(now);
        let request = self.requests.entry(name.to_owned()).or_default();
        let asked = after.and_then(RequestFacts::of);
        if asked != request.asked {
            (request.asked, request.bad_since, request.blamed) = (asked, None, false);
            request.grants.until = request.grants.until.max(now);
            request.statuses.until = request.statuses.until.max(now);
        }
        let says_ready = after.is_some_and(|after| conditions(after).iter().any(|told| told.starts_with("Ready=True")));
        if says_ready != request.says_ready {
            (request.says_ready, request.unsaid_since) = (says_ready, None);
        }
    }

    /// A Secret has changed.
    pub fn secret_changed(&mut self, name: &str, after: Option<&Value>, now: Duration) {
        self.settle(now);
        let after = after.map(SecretFacts::of);
        if let (Some(before), Some(after)) = (self.secrets.get(name), &after)
            && let (Some(held), Some(holds)) = (&before.grant, &after.grant)
            && before.uid == after.uid
            && held.is_like(holds)
            && holds.expires < held.expires
        {
            let (held, holds) = (held.expires, holds.expires);
            self.problems.push(format!("{now:.1?} {name} held a grant until {held:.1?}, and then an older one, until {holds:.1?}"));
        }
        // Others may spoil the one or the other; both together only an operator brings.
        if let Some(after) = &after
            && let (Some(grant), Some((token, carried))) = (&after.grant, &after.token)
            && let before = self.secrets.get(name)
            && before.is_none_or(|before| before.grant.as_ref() != Some(grant))
            && before.and_then(|before| before.token.as_ref()).is_none_or(|(before, _)| before != token)
            && carried.as_ref() != Some(grant)
        {
            self.problems.push(format!("{now:.1?} {name} was given an Access Token that carries {carried:?} beside {grant:?}"));
        }
        if let Some(after) = &after
            && let (Some(holds), Some(claims)) = (&after.grant, after.claims)
            && let truly = self.start + holds.expires + SignedDuration::from_secs(self.most_ahead)
            && claims > truly
        {
            let late = claims.duration_since(truly);
            self.problems.push(format!("{now:.1?} {name} claims that its grant lives {late:.1?} longer than it does"));
        }
        match after {
            Some(after) => drop(self.secrets.insert(name.to_owned(), after)),
            None => drop(self.secrets.remove(name)),
        }
    }

    /// Something that must not be is.
    pub fn complain(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// How long it is from one refresh to the next, for each request that asks for any.
    pub fn intervals(&self) -> Vec<Duration> {
        self.requests.values().filter_map(|request| Some(request.asked.as_ref()?.interval())).collect()
    }

    /// How much of the time was judged.
    pub const fn share(&self) -> Share {
        self.share
    }

    /// What must not have been, in order.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// For how long Secrets have held no good grant, all together.
    pub fn bad(&self) -> Duration {
        self.requests.values().map(|request| request.bad).sum()
    }
}

/// What nothing excuses is blamed, once, and what something excuses is not.
pub fn self_test() {
    let seconds = Duration::from_secs;
    let request = json!({"metadata": {"name": "lobby", "uid": "u"}, "spec": {"playerStreamerSid": "VJ", "ttlSeconds": 15}});
    let everybody = ["lobby".to_owned()];
    let judged = |excused: bool| {
        let mut judge = Judge::new(seconds(1), Timestamp::UNIX_EPOCH);
        judge.request_changed("lobby", Some(&request), seconds(0));
        judge.settle(seconds(1));
        assert_eq!(judge.problems().len(), 0, "a new one has its second");
        if excused {
            judge.obstruct(What::Grants, &everybody, seconds(1));
        }
        judge.settle(seconds(5));
        if excused {
            judge.release(What::Grants, &everybody, seconds(6), seconds(5));
        }
        judge.settle(seconds(7));
        judge
    };
    assert_eq!((judged(true).problems().len(), judged(true).bad()), (0, seconds(7)));
    assert_eq!(judged(true).share(), Share { asked: seconds(7), judged: seconds(2) });
    assert_eq!(judged(false).problems().len(), 1);
    assert_eq!(late_again(), 0, "it was given another meanwhile");
    let mut late = judged(true);
    late.settle(seconds(8));
    assert_eq!(late.problems().len(), 1, "a second after the excuse is over");
    assert_eq!(told_of(false), 1, "a good grant that is told of as none");
    assert_eq!(told_of(true), 0, "another's");
}

/// What is blamed where a Secret has lacked a grant twice, and nobody has looked in between.
fn late_again() -> usize {
    let grant = STANDARD.encode(json!({"expires": 9000, "streamer": "VJ", "ttl": 15}).to_string());
    let mut judge = Judge::new(Duration::from_secs(1), Timestamp::UNIX_EPOCH);
    let request = json!({"metadata": {"name": "lobby", "uid": "u"}, "spec": {"playerStreamerSid": "VJ", "ttlSeconds": 15}});
    judge.request_changed("lobby", Some(&request), Duration::ZERO);
    judge.secret_changed("lobby", Some(&json!({"metadata": {"uid": "s"}, "data": {"grant": grant}})), Duration::from_millis(900));
    judge.settle(Duration::from_millis(9500));
    judge.problems().len()
}

/// What is blamed where the status says nothing of a good grant for two seconds.
fn told_of(is_anothers: bool) -> usize {
    let grant = STANDARD.encode(json!({"expires": 60_000, "streamer": "VJ", "ttl": 15}).to_string());
    let owner = if is_anothers { "kiosk/u" } else { "lobby/u" };
    let secret = json!({"metadata": {"uid": "s", "annotations": {
        "playbackgrant.dev/owned-by": owner, "playbackgrant.dev/expiry-time": "1970-01-01T00:01:00Z",
    }}, "data": {"grant": grant}});
    let mut judge = Judge::new(Duration::from_secs(1), Timestamp::UNIX_EPOCH);
    let request = json!({"metadata": {"name": "lobby", "uid": "u"}, "spec": {"playerStreamerSid": "VJ", "ttlSeconds": 15}});
    judge.request_changed("lobby", Some(&request), Duration::ZERO);
    judge.secret_changed("lobby", Some(&secret), Duration::ZERO);
    judge.settle(Duration::from_millis(900));
    assert_eq!(judge.problems().len(), 0, "it has its second");
    judge.settle(Duration::from_secs(2));
    judge.settle(Duration::from_secs(3));
    judge.problems().len()
}
