//! The vendor's error body.

use serde_json::{Value, json};

/// The vendor's code for an HTTP status, as its error dictionary lists them; a status that has none gets 20000 plus itself.
pub(crate) fn code_of(status: u16) -> u32 {
    match status {
        400 => 20001,
        401 => 20003,
        405 => 20004,
        other => 20000 + u32::from(other),
    }
}

/// The body `{code, message, more_info, status}`.
pub(crate) fn body(status: u16, code: u32, message: &str) -> Value {
    json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    })
}

/// A message for a status that a fault makes.
pub(crate) fn message_of(status: u16) -> &'static str {
    match status {
        401 => "Authenticate",
        403 => "Forbidden",
        404 | 410 => "The requested resource was not found",
        409 => "The request conflicts with the resource's state",
        426 => "Upgrade to TLS 1.2 or later",
        429 => "Too many concurrent requests",
        503 => "Service unavailable",
        400..=499 => "Invalid request",
        500..=599 => "Internal server error",
        _ => "Simulated answer",
    }
}

#[cfg(test)]
mod tests {
    use super::{body, code_of};

    #[test]
    fn statuses_have_the_vendors_codes() {
        let known = [(400, 20001), (401, 20003), (403, 20403), (404, 20404), (405, 20004), (409, 20409), (410, 20410)];
        let more = [(422, 20422), (426, 20426), (429, 20429), (500, 20500), (503, 20503)];
        for (status, code) in known.into_iter().chain(more) {
            assert_eq!(code_of(status), code);
        }
    }

    #[test]
    fn the_body_has_the_vendors_fields() {
        let expected = r#"{"code":20429,"message":"m","more_info":"https://www.twilio.com/docs/errors/20429","status":429}"#;
        assert_eq!(body(429, 20429, "m").to_string(), expected);
    }
}
