//! How a fault is written.

use super::{AnswerFault, ErrorBody, Fault, FaultKind, RetryAfter, Scope, StatusFault, show_duration};
use std::fmt;
use std::time::Duration;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, duration, calls, scope } = self;
        write!(f, "{kind}")?;
        if let Some(duration) = duration {
            write!(f, ":{}", show_duration(*duration))?;
        }
        if let Some(calls) = calls {
            write!(f, ":{calls}x")?;
        }
        match scope {
            Scope::All => Ok(()),
            Scope::Account(name) | Scope::User(name) | Scope::Streamer(name) => write!(f, "@{name}"),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(fault) => write!(f, "{fault}"),
            Self::Hang => f.write_str("hang"),
            Self::Reset => f.write_str("reset"),
            Self::Latency(latency) => write!(f, "latency={}", show_duration(*latency)),
            Self::RateLimit { calls_per_second, retry_after } => {
                write!(f, "rate-limit={calls_per_second}")?;
                retry_after.map_or(Ok(()), |retry_after| write!(f, ",{retry_after}"))
            }
            Self::Ended { status } => write!(f, "ended={status}"),
            Self::Answer(fault) => write!(f, "{fault}"),
        }
    }
}

impl fmt::Display for StatusFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, retry_after, body } = self;
        write!(f, "{status}")?;
        if let Some(code) = code {
            write!(f, ",code={code}")?;
        }
        if let Some(retry_after) = retry_after {
            write!(f, ",{retry_after}")?;
        }
        f.write_str(match body {
            ErrorBody::Json => "",
            ErrorBody::Empty => ",body=empty",
            ErrorBody::Html => ",body=html",
        })
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "retry-after={seconds}"),
            Self::Date(seconds) => write!(f, "retry-after-date={seconds}"),
        }
    }
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbage => f.write_str("garbage"),
            Self::NullGrant => f.write_str("null-grant"),
            Self::NullFields => f.write_str("null-fields"),
            Self::WrongTypes => f.write_str("wrong-types"),
            Self::OtherStreamer => f.write_str("other-streamer"),
            Self::StringGrant => f.write_str("string-grant"),
            Self::DateSkew(skew_ms) => {
                let sign = if *skew_ms < 0 { "-" } else { "" };
                write!(f, "date-skew={sign}{}", show_duration(Duration::from_millis(skew_ms.unsigned_abs())))
            }
            Self::Trickle(interval) => write!(f, "trickle={}", show_duration(*interval)),
            Self::Oversized(bytes) => write!(f, "oversized={bytes}"),
            Self::Torn => f.write_str("torn"),
        }
    }
}
