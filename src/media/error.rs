//! What can go wrong with a call, and which class of failure it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::vendor_errors;
use crate::names::NameProblem;

/// What a failed call means for the calls to come. The table of `docs/media-api.md`, as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Network, TLS, 5xx, no answer.
    Unavailable,
    /// 429. `retry_after` as asked for by the answer, uncapped; an HTTP date is taken against the answer's own `Date`, else the wall clock.
    Throttled {
        /// The time asked for.
        retry_after: Option<Duration>,
    },
    /// A 201 that isn't what it should be, or another 2xx.
    InvalidResponse,
    /// 401: these credentials are wrong.
    Unauthorized,
    /// 403: these credentials may not.
    Forbidden,
    /// 404 or 410: no such PlayerStreamer, or a wrong base URL.
    NotFound,
    /// Any other 3xx or 4xx.
    Rejected,
}

impl FailureClass {
    /// Whether the reason is the call's own, and says nothing of others with the same credentials.
    #[must_use]
    pub const fn is_own(self) -> bool {
        match self {
            Self::InvalidResponse | Self::NotFound | Self::Rejected => true,
            Self::Unavailable | Self::Throttled { .. } | Self::Unauthorized | Self::Forbidden => false,
        }
    }
}

/// A call that brought no grant: where it went and what became of it.
///
/// Neither its text, nor its `Debug`, nor a source (it has none: the errors of libraries quote what they read) holds a value of the answer's
/// body, but for the vendor's error code, or anything of the credentials.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("POST {origin}: {failure}")]
pub struct CallError {
    /// Scheme, host and port of the Media API.
    pub origin: Arc<str>,
    /// What became of the call.
    pub failure: CallFailure,
}

impl CallError {
    /// What it means for the calls to come.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        self.failure.class()
    }

    /// Whether the time that a call has passed without any answer or error.
    #[must_use]
    pub const fn is_unanswered(&self) -> bool {
        matches!(self.failure, CallFailure::NoAnswerInTime { head: None, .. } | CallFailure::ConnectTimedOut { .. })
    }

    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.failure.head().map(|head| head.status)
    }

    /// A call that ended in a panic of the operator's own.
    pub(super) fn broken() -> Self {
        Self { origin: "the Media API".into(), failure: CallFailure::Broken }
    }

    /// The vendor's error code, if the answer's body had one.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self.failure {
            CallFailure::Status { code, .. } => code,
            _ => None,
        }
    }
}

/// What is kept of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, uncapped; read for 429 only.
    pub retry_after: Option<Duration>,
}

/// The ways in which a call fails, each with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallFailure {
    /// The name service gives no address of the host.
    #[error("the host's name in the Media API's URL (or the proxy's) does not resolve, {problem}")]
    NameNotResolved {
        /// Why, and what to do.
        problem: NameProblem,
    },
    /// Nothing listens there.
    #[error("the connection was refused: check the Media API's URL and port (or the proxy's), and that something listens there")]
    ConnectionRefused,
    /// No connection, TLS included, within the limit.
    #[error("no connection within {limit:?}: check the network, firewalls and network policies on the way there")]
    ConnectTimedOut {
        /// The limit that passed.
        limit: Duration,
    },
    /// Any other way of not getting a connection: no route, a proxy that refuses.
    #[error("no connection could be made ({}): check the network, or the proxy that the environment names", connect_problem(*kind))]
    ConnectFailed {
        /// What the operating system says; `None` where it wasn't it that refused, but a proxy.
        kind: Option<io::ErrorKind>,
    },
    /// The server's certificate was refused.
    #[error("the server's certificate is not trusted, {problem}")]
    CertificateNotTrusted {
        /// What is wrong with it, and what to do.
        problem: CertificateProblem,
    },
    /// Any other failure of TLS.
    #[error("TLS could not be agreed on: check that this port speaks https, with TLS 1.2 or later")]
    Tls,
    /// The answer is not HTTP.
    #[error("the answer is not HTTP/1.1: check that the Media API's URL names the right scheme (https?) and port")]
    NotHttp,
    /// The connection ended before the answer did.
    #[error("the connection was closed {}: if this lasts, look at the proxies and load balancers on the way", within(head.as_ref()))]
    ConnectionLost {
        /// The answer's head, if it had arrived.
        head: Option<AnswerHead>,
    },
    /// The answer wasn't complete within the limit.
    #[error("no complete answer within {limit:?}, it ended {}: the Media API is slow or hangs, the call is made again", within(head.as_ref()))]
    NoAnswerInTime {
        /// The limit that passed.
        limit: Duration,
        /// The answer's head, if it had arrived.
        head: Option<AnswerHead>,
    },
    /// The body is longer than a grant can be.
    #[error(
        "answered {} with a body of more than {} KiB, which was not read: check that the Media API's URL names a Media API", head.status, super::body::LONGEST_BODY / 1024
    )]
    BodyTooLarge {
        /// The answer's head.
        head: AnswerHead,
    },
    /// 201 with something else than JSON.
    #[error(
        "answered 201 with a body that is not JSON ({category} at line {line} column {column}): check that the Media API's URL names a Media API"
    )]
    NotJson {
        /// Which kind of error the parser met.
        category: &'static str,
        /// Where, from 1.
        line: usize,
        /// Where, from 1 (0: before the first).
        column: usize,
    },
    /// A success that isn't 201.
    #[error("answered {status}, where 201 with a grant was due: check that the Media API's URL names a Media API")]
    UnexpectedSuccess {
        /// The HTTP status.
        status: u16,
    },
    /// 201 without a grant.
    #[error("answered 201 without a grant (absent, null or empty): check the PlayerStreamer's state, the call is made again")]
    GrantMissing,
    /// 201 with a field of the wrong type.
    #[error("answered 201, but {field} is not {expected}: check that the Media API's URL names a Media API")]
    WrongType {
        /// The field's path.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// 201 for a PlayerStreamer that wasn't asked for.
    #[error("answered 201, but for another PlayerStreamer: look for a cache or a proxy on the way that mixes up answers")]
    OtherPlayerStreamer,
    /// The operator failed at the call.
    #[error("the operator failed at this call, which is a bug: the call is made again; report it with the operator's log")]
    Broken,
    /// An error that the Media API, or whatever stands before it, reports by status.
    #[error("{}", vendor_errors::describe(head.status, *code))]
    Status {
        /// The answer's head.
        head: AnswerHead,
        /// The vendor's error code, if the body had one.
        code: Option<u32>,
    },
}

impl CallFailure {
    /// What it means for the calls to come. An answer whose body was cut short counts as its status says: the head has said enough.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NameNotResolved { .. }
            | Self::ConnectionRefused
            | Self::ConnectTimedOut { .. }
            | Self::ConnectFailed { .. }
            | Self::CertificateNotTrusted { .. }
            | Self::Tls
            | Self::NotHttp
            | Self::Broken
            | Self::ConnectionLost { head: None }
            | Self::NoAnswerInTime { head: None, .. } => FailureClass::Unavailable,
            Self::ConnectionLost { head: Some(head) } | Self::NoAnswerInTime { head: Some(head), .. } if head.status < 300 => {
                FailureClass::Unavailable
            }
            Self::ConnectionLost { head: Some(head) }
            | Self::NoAnswerInTime { head: Some(head), .. }
            | Self::BodyTooLarge { head }
            | Self::Status { head, .. } => class_of_status(*head),
            Self::NotJson { .. }
            | Self::UnexpectedSuccess { .. }
            | Self::GrantMissing
            | Self::WrongType { .. }
            | Self::OtherPlayerStreamer => FailureClass::InvalidResponse,
        }
    }

    fn head(&self) -> Option<AnswerHead> {
        match self {
            Self::ConnectionLost { head } | Self::NoAnswerInTime { head, .. } => *head,
            Self::BodyTooLarge { head } | Self::Status { head, .. } => Some(*head),
            Self::UnexpectedSuccess { status } => Some(AnswerHead { status: *status, retry_after: None }),
            Self::NotJson { .. } | Self::GrantMissing | Self::WrongType { .. } | Self::OtherPlayerStreamer => {
                Some(AnswerHead { status: 201, retry_after: None })
            }
            Self::NameNotResolved { .. }
            | Self::ConnectionRefused
            | Self::ConnectTimedOut { .. }
            | Self::ConnectFailed { .. }
            | Self::CertificateNotTrusted { .. }
            | Self::Tls
            | Self::NotHttp
            | Self::Broken => None,
        }
    }
}

fn class_of_status(head: AnswerHead) -> FailureClass {
    match head.status {
        ..300 => FailureClass::InvalidResponse,
        401 => FailureClass::Unauthorized,
        403 => FailureClass::Forbidden,
        404 | 410 => FailureClass::NotFound,
        429 => FailureClass::Throttled { retry_after: head.retry_after },
        300..500 => FailureClass::Rejected,
        500.. => FailureClass::Unavailable,
    }
}

/// Why a server's certificate was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateProblem {
    /// Issued by an authority that isn't trusted here.
    #[error("its issuer is unknown: give the issuer's certificate as the Media API's CA file")]
    UnknownIssuer,
    /// Made for another host.
    #[error("it was made for another name: check the host in the Media API's URL")]
    OtherName,
    /// Out of date.
    #[error("it has expired: have it renewed, or check this machine's clock")]
    Expired,
    /// Not valid yet.
    #[error("it is not valid yet: check this machine's clock")]
    NotYetValid,
    /// Anything else.
    #[error("it is malformed, revoked or not made for servers: have it replaced")]
    Unusable,
}

fn within(head: Option<&AnswerHead>) -> String {
    head.map_or_else(|| "before an answer".to_owned(), |head| format!("within the body of an answer with status {}", head.status))
}

fn connect_problem(kind: Option<io::ErrorKind>) -> String {
    kind.map_or_else(|| "a proxy opened no tunnel".to_owned(), |kind| kind.to_string())
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
