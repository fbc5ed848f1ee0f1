//! A made-up Media API: grants one by one, and faults by the hour.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::world::Random;
use crate::lifecycle::{CredentialsView, Signer};
use crate::media::{Credentials, FailureClass, Grant, LaneKey, Ttl};
use crate::time::Instant;
use crate::token::SigningKey;

/// The longest that a call takes.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(10);

pub(super) const PAIRS: usize = 5;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// 5xx, or no connection.
    Unavailable,
    /// 429, with `Retry-After` or without.
    Throttled(Option<u64>),
    Unauthorized,
    Forbidden,
    NotFound,
    Rejected,
    Garbage,
    /// So many of ten calls fail as unavailable.
    Flaky(u8),
    /// A grant, but late.
    Slow(u64),
    /// No answer.
    Hang,
}

/// Whose calls it goes wrong with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Whom {
    All,
    Pair(usize),
    /// One request's, whatever its streamer.
    Request(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MediaFault {
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) whom: Whom,
    pub(super) kind: Kind,
}

impl MediaFault {
    pub(super) fn concerns(&self, request: usize, pair: Option<usize>) -> bool {
        match self.whom {
            Whom::All => true,
            Whom::Pair(afflicted) => pair == Some(afflicted),
            Whom::Request(afflicted) => request == afflicted,
        }
    }
}

/// A grant that was given, as it truly is.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) expiry: Instant,
    pub(super) issue: Instant,
    pub(super) ttl: Ttl,
    pub(super) request_hash: Arc<str>,
    /// By how much the wall clock was off when it was asked for.
    pub(super) wall_offset: i64,
}

#[derive(Debug, Default)]
pub(super) struct MediaApi {
    pub(super) faults: Vec<MediaFault>,
    /// The requests whose answers don't say which account it is.
    pub(super) nameless: BTreeSet<usize>,
    /// By the grant's text.
    pub(super) given: BTreeMap<String, Given>,
}

/// What comes of a call that is sent now.
pub(super) struct Outcome {
    pub(super) after: Duration,
    pub(super) result: Result<Grant, FailureClass>,
}

impl MediaApi {
    /// The answer to a call of the request with that number.
    pub(super) fn answer(&mut self, (request, pair): (usize, usize), given: Given, usual: Duration, random: &mut Random) -> Outcome {
        let at = given.issue;
        let fault = self.faults.iter().find(|fault| fault.from <= at && at < fault.until && fault.concerns(request, Some(pair)));
        let failed = |class| Outcome { after: usual, result: Err(class) };
        match fault.map(|fault| fault.kind) {
            None => Outcome { after: usual, result: Ok(self.give(request, given)) },
            Some(Kind::Slow(millis)) => Outcome { after: Duration::from_millis(millis), result: Ok(self.give(request, given)) },
            Some(Kind::Flaky(of_ten)) if random.below(10) >= u64::from(of_ten) => {
                Outcome { after: usual, result: Ok(self.give(request, given)) }
            }
            Some(Kind::Unavailable | Kind::Flaky(_)) => failed(FailureClass::Unavailable),
            Some(Kind::Throttled(asked)) => failed(FailureClass::Throttled { retry_after: asked.map(Duration::from_secs) }),
            Some(Kind::Unauthorized) => failed(FailureClass::Unauthorized),
            Some(Kind::Forbidden) => failed(FailureClass::Forbidden),
            Some(Kind::NotFound) => failed(FailureClass::NotFound),
            Some(Kind::Rejected) => failed(FailureClass::Rejected),
            Some(Kind::Garbage) => failed(FailureClass::InvalidResponse),
            Some(Kind::Hang) => Outcome { after: CALL_LIMIT, result: Err(FailureClass::Unavailable) },
        }
    }

    pub(super) fn give(&mut self, request: usize, given: Given) -> Grant {
        let number = self.given.len();
        let text = format!(r#"{{"number":{number}}}"#);
        let account_sid = (!self.nameless.contains(&request)).then(|| account('0').into());
        let mut grant = Grant::from_stored(&text, account_sid).unwrap();
        grant.url = Some(format!("https://media.example/v1/grants/{number}").into());
        grant.date_created = Timestamp::from_second(1_790_000_000 + i64::try_from(number).unwrap()).ok();
        self.given.insert(text, given);
        grant
    }
}

/// How a pair of credentials is seen.
pub(super) fn usable(pair: usize) -> CredentialsView {
    CredentialsView::Usable { lane: lane_of(pair), signer: signer_of(pair) }
}

/// What a pair signs with: an API key with an account beside it, one without, an account with its auth token (which can't sign), another API
/// key, and the first one with another account.
pub(super) fn signer_of(pair: usize) -> Signer {
    thread_local! {
        static SIGNERS: Vec<Signer> = (0..PAIRS).map(new_signer).collect();
    }
    SIGNERS.with(|signers| signers[pair].clone())
}

fn new_signer(pair: usize) -> Signer {
    let key = (pair != 2).then(|| {
        let number = key_of(pair);
        SigningKey::new(&format!("SK{number:032}"), format!("secret-{number}").into()).tag()
    });
    let account_sid = match pair {
        1 => None,
        2 | 4 => Some(account('2').into()),
        _ => Some(account('1').into()),
    };
    Signer { key, account_sid }
}

/// The number of a pair's key.
pub(super) const fn key_of(pair: usize) -> usize {
    if pair == 4 { 0 } else { pair }
}

fn account(digit: char) -> String {
    format!("AC{}", String::from(digit).repeat(32))
}

/// The lane of a pair of credentials.
pub(super) fn lane_of(pair: usize) -> LaneKey {
    thread_local! {
        static LANES: Vec<LaneKey> =
            (0..PAIRS).map(|pair| Credentials::new(&format!("pair-{pair}"), "password".into(), None).unwrap().fingerprint()).collect();
    }
    LANES.with(|lanes| lanes[pair])
}
