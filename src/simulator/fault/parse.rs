//! How a fault's text is read: one reader for the command line, the admin path and tests.

use super::{AnswerFault, ErrorBody, Fault, FaultKind, RetryAfter, Scope, StatusFault, parse_duration};
use crate::simulator::accounts::is_sid;
use std::str::FromStr;
use std::time::Duration;

/// Why a text isn't a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault {text:?}: {problem}")]
pub struct FaultError {
    /// The whole text.
    pub text: String,
    /// What is wrong in it, and what to write instead.
    pub problem: String,
}

const KINDS: &str = "latency, hang, reset, rate-limit, ended, garbage, null-grant, null-fields, wrong-types, other-streamer, string-grant, \
                     date-skew, trickle, oversized, torn";
const LARGEST_BODY: usize = 64 * 1024 * 1024;

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.trim()).map_err(|problem| FaultError { text: text.trim().to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let (what, scope) = match text.split_once('@') {
        Some((what, scope)) => (what, parse_scope(scope)?),
        None => (text, Scope::All),
    };
    let mut parts = what.split(':');
    let kind = parse_kind(parts.next().unwrap_or_default())?;
    let mut fault = Fault { kind, duration: None, calls: None, scope };
    for part in parts {
        if let Some(calls) = part.strip_suffix('x').and_then(whole_number).filter(|calls| *calls > 0) {
            once(fault.calls.replace(calls), "number of calls")?;
        } else if let Some(duration) = parse_duration(part) {
            once(fault.duration.replace(duration), "duration")?;
        } else {
            return Err(format!("{part:?} is neither a duration (30s, 1.5s, 250ms, 2m) nor a number of calls (3x)"));
        }
    }
    Ok(fault)
}

fn once<T>(earlier: Option<T>, what: &str) -> Result<(), String> {
    earlier.map_or(Ok(()), |_| Err(format!("it has more than one {what}; give one")))
}

fn parse_scope(text: &str) -> Result<Scope, String> {
    let name = text.to_owned();
    if text.is_empty() {
        Err("after @ stands an account (AC…), a PlayerStreamer (VJ…) or a user; leave the @ out for all calls".to_owned())
    } else if is_sid(text, "AC") {
        Ok(Scope::Account(name))
    } else if is_sid(text, "VJ") {
        Ok(Scope::Streamer(name))
    } else if text.starts_with("VJ") || text.starts_with("AC") {
        Err(format!("{text:?} isn't a whole SID: VJ or AC and 32 hexadecimal digits"))
    } else {
        Ok(Scope::User(name))
    }
}

fn parse_kind(text: &str) -> Result<FaultKind, String> {
    let mut options = text.split(',');
    let head = options.next().unwrap_or_default();
    let (name, argument) = head.split_once('=').map_or((head, None), |(name, argument)| (name, Some(argument)));
    let mut kind = match (name, argument) {
        ("hang", None) => FaultKind::Hang,
        ("reset", None) => FaultKind::Reset,
        ("latency", Some(latency)) => FaultKind::Latency(duration(latency)?),
        ("rate-limit", Some(rate)) => FaultKind::RateLimit { calls_per_second: parse_rate(rate)?, retry_after: None },
        ("ended", status) => FaultKind::Ended { status: status.map_or(Ok(409), parse_status)? },
        ("latency" | "rate-limit", None) => return Err(format!("{name} needs a value: latency=4s, rate-limit=20")),
        (status, None) if !status.is_empty() && status.bytes().all(|b| b.is_ascii_digit()) => {
            FaultKind::Status(StatusFault { status: parse_status(status)?, code: None, retry_after: None, body: ErrorBody::Json })
        }
        _ => FaultKind::Answer(parse_answer_fault(name, argument)?),
    };
    for option in options {
        apply_option(&mut kind, option)?;
    }
    Ok(kind)
}

fn parse_answer_fault(name: &str, argument: Option<&str>) -> Result<AnswerFault, String> {
    Ok(match (name, argument) {
        ("garbage", None) => AnswerFault::Garbage,
        ("null-grant", None) => AnswerFault::NullGrant,
        ("null-fields", None) => AnswerFault::NullFields,
        ("wrong-types", None) => AnswerFault::WrongTypes,
        ("other-streamer", None) => AnswerFault::OtherStreamer,
        ("string-grant", None) => AnswerFault::StringGrant,
        ("torn", None) => AnswerFault::Torn,
        ("date-skew", Some(skew)) => {
            let ms = i64::try_from(duration(skew.trim_start_matches('-'))?.as_millis()).map_err(|error| error.to_string())?;
            AnswerFault::DateSkew(if skew.starts_with('-') { -ms } else { ms })
        }
        ("trickle", None) => AnswerFault::Trickle(Duration::from_millis(200)),
        ("trickle", Some(interval)) => AnswerFault::Trickle(duration(interval)?),
        ("oversized", None) => AnswerFault::Oversized(1024 * 1024),
        ("oversized", Some(bytes)) => {
            let bytes = bytes.parse().ok().filter(|bytes| *bytes <= LARGEST_BODY);
            AnswerFault::Oversized(bytes.ok_or_else(|| format!("oversized takes a number of bytes up to {LARGEST_BODY}"))?)
        }
        ("date-skew", None) => return Err("date-skew needs a value: date-skew=-1h".to_owned()),
        (name, Some(_)) if parse_kind(name).is_ok() => return Err(format!("{name} takes no value")),
        _ => return Err(format!("{name:?} is neither a status (200 to 599, but 201) nor one of {KINDS}")),
    })
}

fn apply_option(kind: &mut FaultKind, option: &str) -> Result<(), String> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let seconds = || value.parse().map_err(|_| format!("{name} takes a number of whole seconds, not {value:?}"));
    match (kind, name) {
        (FaultKind::Status(StatusFault { retry_after, .. }) | FaultKind::RateLimit { retry_after, .. }, "retry-after") => {
            *retry_after = Some(RetryAfter::Seconds(seconds()?));
        }
        (FaultKind::Status(StatusFault { retry_after, .. }) | FaultKind::RateLimit { retry_after, .. }, "retry-after-date") => {
            *retry_after = Some(RetryAfter::Date(seconds()?));
        }
        (FaultKind::Status(fault), "code") => {
            fault.code = Some(value.parse().map_err(|_| format!("code takes a number, not {value:?}"))?);
        }
        (FaultKind::Status(fault), "body") => {
            fault.body = match value {
                "json" => ErrorBody::Json,
                "empty" => ErrorBody::Empty,
                "html" => ErrorBody::Html,
                _ => return Err(format!("body is json, empty or html, not {value:?}")),
            };
        }
        _ => {
            let known = "a status takes retry-after, retry-after-date, code and body, rate-limit the first two, all others none";
            return Err(format!("{name:?} is no option here: {known}"));
        }
    }
    Ok(())
}

fn parse_status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| text.len() == 3 && (200..=599).contains(status) && *status != 201);
    status.ok_or_else(|| format!("{text:?} is no status: 200 to 599, but 201"))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.001 && *rate <= 1e6);
    rate.ok_or_else(|| format!("{text:?} is no rate: calls a second, 0.001 to 1000000"))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is no duration: write 30s, 1.5s, 250ms or 2m"))
}

fn whole_number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
