//! The Media API of the simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use playback_grant_operator::clock::Clock;
use playback_grant_operator::media::dispatcher::IssueGrants;
use playback_grant_operator::media::error::AnswerHead;
use playback_grant_operator::media::{CallError, CallFailure, Credentials, Grant, GrantCall, Origin};
use playback_grant_operator::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A call is given up after this, by the client in whose place this stands.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// A proxy gives up after this.
const TIMES_OUT: Duration = Duration::from_secs(5);

/// How long a call takes that is only slow.
pub const SLOW: Duration = Duration::from_secs(2);

/// Whom a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    Everyone,
    Account(usize),
    /// The streamer of the request of that number.
    Streamer(usize),
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    Refused,
    Unavailable,
    /// The grant is made, and the connection ends before the answer.
    Reset,
    Hangs,
    /// A proxy says after seconds that nothing has answered.
    TimesOut,
    Slow,
    Throttled(Option<u8>),
    Garbage,
    NotFound,
    Unauthorized,
    Forbidden,
}

impl Fault {
    fn failure(self) -> CallFailure {
        let status = |status, retry_after: Option<u8>| CallFailure::Status {
            head: AnswerHead { status, retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.into())) },
            code: None,
        };
        match self {
            Self::Refused => CallFailure::ConnectionRefused,
            Self::Unavailable => status(503, None),
            Self::TimesOut => status(504, None),
            Self::Reset => CallFailure::ConnectionLost { head: None },
            Self::Hangs | Self::Slow => CallFailure::NoAnswerInTime { limit: GIVEN_UP, head: None },
            Self::Throttled(retry_after) => status(429, retry_after),
            Self::Garbage => CallFailure::GrantMissing,
            Self::NotFound => status(404, None),
            Self::Unauthorized => status(401, None),
            Self::Forbidden => status(403, None),
        }
    }
}

pub struct MediaApi {
    clock: Clock,
    start: Instant,
    latency: Duration,
    state: Mutex<State>,
}

/// What a grant is for: streamer, TTL in seconds, origin.
pub type Wanted = (String, u64, Option<String>);

#[derive(Default)]
struct State {
    faults: BTreeMap<usize, (Whom, Fault)>,
    /// When each call came in, for which streamer, and what was wrong then.
    calls: Vec<(Duration, String)>,
    /// The one key of each account that is good; 0 where none is told.
    keys: BTreeMap<usize, usize>,
    /// When a grant was last given, for the same streamer, TTL and origin.
    given: BTreeMap<Wanted, Duration>,
}

/// The SID of the key of that number of the account of that number.
pub fn key_sid(account: usize, key: usize) -> String {
    format!("SK{account:016x}{key:016x}")
}

/// The account, and its key.
fn key_of(key_sid: &str) -> Option<(usize, usize)> {
    let number = |digits: &str| usize::from_str_radix(digits, 16).ok();
    Some((number(key_sid.get(2..18)?)?, number(key_sid.get(18..)?)?))
}

/// The SID of the streamer of the request of that number.
pub fn streamer(n: usize) -> String {
    format!("VJ{n:032x}")
}

impl MediaApi {
    pub fn new(clock: Clock, latency: Duration) -> Arc<Self> {
        Arc::new(Self { clock, start: clock.instant(), latency, state: Mutex::default() })
    }

    /// From now on this is wrong, under that number.
    pub fn begin(&self, number: usize, whom: Whom, fault: Fault) {
        self.state().faults.insert(number, (whom, fault));
    }

    /// What is wrong under that number is so no more.
    pub fn end(&self, number: usize) {
        self.state().faults.remove(&number);
    }

    /// From now on the account has this key and no other.
    pub fn uses_key(&self, account: usize, key: usize) {
        self.state().keys.insert(account, key);
    }

    pub fn calls(&self) -> usize {
        self.state().calls.len()
    }

    /// The calls, and when each was made.
    pub fn told(&self) -> Vec<(Duration, String)> {
        self.state().calls.clone()
    }

    /// When a grant was last given for that.
    pub fn last_given(&self, wanted: &Wanted) -> Option<Duration> {
        self.state().given.get(wanted).copied()
    }

    fn now(&self) -> Duration {
        self.clock.instant().since(self.start)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, streamer_sid: &str, account: Option<usize>) -> Option<Fault> {
        let concerns = |whom| match whom {
            Whom::Everyone => true,
            Whom::Account(number) => account == Some(number),
            Whom::Streamer(n) => streamer(n) == streamer_sid,
        };
        self.state().faults.values().find(|(whom, _)| concerns(*whom)).map(|(_, fault)| *fault)
    }

    /// Whether these credentials are good no more.
    fn is_revoked(&self, key: Option<(usize, usize)>) -> bool {
        key.is_none_or(|(account, key)| self.state().keys.get(&account).copied().unwrap_or_default() != key)
    }

    async fn answer(&self, call: GrantCall, key: Option<(usize, usize)>) -> Result<Grant, CallFailure> {
        let streamer_sid = call.player_streamer_sid.as_str();
        let fault =
            if self.is_revoked(key) { Some(Fault::Unauthorized) } else { self.fault(streamer_sid, key.map(|(account, _)| account)) };
        let called = self.now();
        self.state().calls.push((called, format!("{streamer_sid} {fault:?}")));
        tokio::time::sleep(self.latency / 2).await;
        // The life begins when the call comes in here. Only the judge reads this.
        let expires = self.now() + call.ttl.duration();
        match fault {
            Some(Fault::Hangs) => tokio::time::sleep(GIVEN_UP.saturating_sub(self.latency)).await,
            Some(Fault::TimesOut) => tokio::time::sleep(TIMES_OUT).await,
            Some(Fault::Slow) => tokio::time::sleep(SLOW).await,
            _ => {}
        }
        if let Some(fault) = fault.filter(|fault| *fault != Fault::Slow) {
            tokio::time::sleep(self.latency / 2).await;
            return Err(fault.failure());
        }
        let grant = json!({
            "expires": u64::try_from(expires.as_millis()).unwrap(),
            "streamer": streamer_sid,
            "ttl": call.ttl.seconds(),
            "origin": call.access_control_allow_origin.as_ref().map(Origin::as_str),
        });
        tokio::time::sleep(self.latency / 2).await;
        let origin = call.access_control_allow_origin.as_ref().map(|origin| origin.as_str().to_owned());
        self.state().given.insert((streamer_sid.to_owned(), call.ttl.seconds().into(), origin), self.now());
        Ok(Grant::from_stored(&grant.to_string(), key.map(|(account, _)| format!("AC{account:032x}").into())).unwrap())
    }
}

impl IssueGrants for MediaApi {
    fn issue(&self, call: GrantCall, credentials: Arc<Credentials>) -> BoxFuture<'_, Result<Grant, CallError>> {
        self.answer(call, key_of(credentials.user()))
            .map(|answer| answer.map_err(|failure| CallError { origin: "the Media API".into(), failure }))
            .boxed()
    }
}
