//! What an answer looks like on the wire.

use super::fault::{ErrorBody, RetryAfter, StatusFault};
use super::vendor_error;
use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};
use serde_json::Value;
use std::time::Duration;

/// An answer to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) pace: Pace,
}

/// How an answer's body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    AtOnce,
    /// One byte an interval.
    Trickle(Duration),
    /// Half of it, then the connection ends.
    Torn,
}

impl Answer {
    /// A JSON answer.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { status, content_type: Some("application/json"), headers: Vec::new(), body, pace: Pace::AtOnce }
    }

    /// The vendor's error with its usual code.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &vendor_error::body(status, vendor_error::code_of(status), message))
    }

    /// What a status fault answers. `path` is the request's own; `sent_unix_ms` is the instant of the answer.
    pub(crate) fn of_fault(fault: &StatusFault, path: &str, sent_unix_ms: u64) -> Self {
        let StatusFault { status, code, retry_after, body } = fault;
        let message = vendor_error::message_of(*status);
        let mut answer = Self::json(*status, &vendor_error::body(*status, code.unwrap_or_else(|| vendor_error::code_of(*status)), message));
        match body {
            ErrorBody::Json => {}
            ErrorBody::Empty => (answer.content_type, answer.body) = (None, Vec::new()),
            ErrorBody::Html => {
                answer.content_type = Some("text/html");
                answer.body = format!("<html><head><title>{status}</title></head><body><h1>{status} {message}</h1></body></html>\n").into();
            }
        }
        match retry_after {
            None => {}
            Some(RetryAfter::Seconds(seconds)) => answer.headers.push(("retry-after", seconds.to_string())),
            // With a Date of its own, so that the two differ by exactly what was asked for.
            Some(RetryAfter::Date(seconds)) => {
                answer.headers.push(("date", http_date(sent_unix_ms, 0)));
                answer.headers.push(("retry-after", http_date(sent_unix_ms, *seconds)));
            }
        }
        if (300..400).contains(status) {
            answer.headers.push(("location", path.to_owned()));
        }
        answer
    }
}

/// ISO 8601 in UTC, whole seconds, with a `Z`: how the Media API writes times.
pub(crate) fn vendor_time(unix_ms: i64) -> String {
    Timestamp::from_second(unix_ms.div_euclid(1_000)).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

fn http_date(unix_ms: u64, seconds_later: u32) -> String {
    let second = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX).saturating_add(i64::from(seconds_later));
    let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Answer, vendor_time};
    use crate::simulator::fault::{Fault, FaultKind};

    fn answer_of(fault: &str) -> Answer {
        let FaultKind::Status(fault) = fault.parse::<Fault>().unwrap().kind else { panic!("{fault} is no status") };
        Answer::of_fault(&fault, "/path", 784_111_777_999)
    }

    #[test]
    fn bodies_are_as_chosen() {
        let json = answer_of("403,code=20005");
        assert_eq!(json.content_type, Some("application/json"));
        assert!(String::from_utf8(json.body).unwrap().contains("\"code\":20005"));
        let empty = answer_of("500,body=empty");
        assert_eq!((empty.content_type, empty.body.len()), (None, 0));
        let html = answer_of("502,body=html");
        assert_eq!(html.content_type, Some("text/html"));
        assert!(html.body.starts_with(b"<html>"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert!(answer_of("429").headers.is_empty());
        assert_eq!(answer_of("429,retry-after=7").headers, [("retry-after", "7".to_owned())]);
        let dates = [("date", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()), ("retry-after", "Sun, 06 Nov 1994 08:49:42 GMT".to_owned())];
        assert_eq!(answer_of("503,retry-after-date=5").headers, dates);
    }

    #[test]
    fn redirects_lead_to_the_same_path() {
        assert_eq!(answer_of("307").headers, [("location", "/path".to_owned())]);
    }

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(vendor_time(784_111_777_999), "1994-11-06T08:49:37Z");
    }
}
