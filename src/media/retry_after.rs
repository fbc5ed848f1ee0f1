//! How long an answer asks its caller to stay away.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;

/// 136 years: what is longer is cut to this, so that any wait can be added to an instant.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// Reads a `Retry-After` header (RFC 9110, 10.2.3): whole seconds, or an HTTP date.
///
/// A date is taken against the answer's own `Date` header, since only these two come from the same clock; without one against `now`. A date
/// that has passed is a wait of zero. What can't be read is `None`. Capping it to what is sensible is the caller's.
#[must_use]
pub fn parse_retry_after(header: &str, date_header: Option<&str>, now: Option<Timestamp>) -> Option<Duration> {
    let header = header.trim_matches([' ', '\t']);
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(header.parse::<u32>().map_or(LONGEST, |seconds| Duration::from_secs(seconds.into())));
    }
    let until = httpdate::parse_http_date(header).ok()?;
    let since = date_header.and_then(|date| httpdate::parse_http_date(date).ok()).or_else(|| now.map(SystemTime::from))?;
    Some(until.duration_since(since).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, parse_retry_after};
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;
    use std::time::Duration;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn seconds_are_taken_as_they_are() {
        for (header, seconds) in [("0", 0), ("7", 7), (" 120\t", 120), ("007", 7), ("99999999999999999999", u64::from(u32::MAX))] {
            assert_eq!(parse_retry_after(header, None, None), Some(Duration::from_secs(seconds)), "{header}");
        }
    }

    #[test]
    fn a_date_is_taken_against_the_answers_own_date() {
        let elsewhen = Some(Timestamp::UNIX_EPOCH);
        for later in ["Sun, 06 Nov 1994 08:49:42 GMT", "Sunday, 06-Nov-94 08:49:42 GMT", "Sun Nov  6 08:49:42 1994"] {
            assert_eq!(parse_retry_after(later, Some(DATE), elsewhen), Some(Duration::from_secs(5)), "{later}");
        }
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", Some(DATE), elsewhen), Some(Duration::ZERO));
    }

    #[test]
    fn a_date_without_a_date_is_taken_against_now() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        assert_eq!(parse_retry_after(DATE, None, Some(now)), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after(DATE, Some("yesterday"), Some(now)), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after(DATE, None, None), None);
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for header in ["", " ", "-1", "+1", "1.5", "1s", "soon", "Sun, 32 Nov 1994 08:49:37 GMT"] {
            assert_eq!(parse_retry_after(header, Some(DATE), None), None, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(header in "\\PC{0,40}", date in "\\PC{0,40}") {
            let wait = parse_retry_after(&header, Some(&date), Some(Timestamp::UNIX_EPOCH));
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST));
        }
    }
}
