//! Each row of the error table: the vendor's body, no body, and a proxy's page in its place.

use std::time::Duration;

use playback_grant_operator::media::{CallError, FailureClass};

use crate::server::Server;
use crate::support::{PLANTED_VALUE, answer, ask, shows_something_planted};

const NO_WAIT: FailureClass = FailureClass::Throttled { retry_after: None };

/// Status, codes that come with it, class.
const TABLE: [(u16, &[u32], FailureClass); 23] = [
    (300, &[], FailureClass::Rejected),
    (302, &[], FailureClass::Rejected),
    (307, &[], FailureClass::Rejected),
    (400, &[20001], FailureClass::Rejected),
    (401, &[20003], FailureClass::Unauthorized),
    (402, &[], FailureClass::Rejected),
    (403, &[20403, 20003, 20005, 20006, 20008, 20010], FailureClass::Forbidden),
    (404, &[20404], FailureClass::NotFound),
    (405, &[20004], FailureClass::Rejected),
    (407, &[], FailureClass::Rejected),
    (408, &[], FailureClass::Rejected),
    (409, &[20409], FailureClass::Rejected),
    (410, &[20410], FailureClass::NotFound),
    (418, &[], FailureClass::Rejected),
    (422, &[20422, 20423], FailureClass::Rejected),
    (426, &[20426], FailureClass::Rejected),
    (429, &[20429], NO_WAIT),
    (499, &[], FailureClass::Rejected),
    (500, &[20500], FailureClass::Unavailable),
    (502, &[], FailureClass::Unavailable),
    (503, &[20503], FailureClass::Unavailable),
    (504, &[], FailureClass::Unavailable),
    (599, &[], FailureClass::Unavailable),
];

/// A body as the vendor's are shaped, and with values in it that must not be shown.
fn vendor_body(status: u16, code: u32) -> String {
    format!(
        r#"{{"code": {code}, "message": "{PLANTED_VALUE}", "more_info": "https://errors.example.com/{PLANTED_VALUE}", "status": {status}, "details": {{"{PLANTED_VALUE}": "{PLANTED_VALUE}"}}}}"#
    )
}

async fn error_of(status: u16, headers: &str, body: &str) -> CallError {
    let server = Server::answering(answer(status, headers, body)).await;
    let error = ask(&format!("http://{}", server.address)).await.unwrap_err();
    let seen = server.seen();
    assert_eq!((seen.connections, seen.requests.len()), (1, 1), "{status}: nothing is repeated");
    assert!(!shows_something_planted(&format!("{error} {error:?}")), "{error}");
    error
}

/// One error for each row and code.
pub async fn provoked() -> Vec<CallError> {
    let mut errors = Vec::new();
    for (status, codes, _) in TABLE {
        errors.push(error_of(status, "", "").await);
        for code in codes {
            errors.push(error_of(status, "", &vendor_body(status, *code)).await);
        }
    }
    errors
}

#[tokio::test]
async fn each_row_has_its_class_and_shows_status_and_code() {
    for (status, codes, class) in TABLE {
        for &code in codes {
            let error = error_of(status, "Content-Type: application/json\r\n", &vendor_body(status, code)).await;
            assert_eq!((error.class(), error.status(), error.code()), (class, Some(status), Some(code)), "{error}");
            let text = error.to_string();
            assert!(text.starts_with("POST http://127.0.0.1:") && text.contains(&format!(": answered {status} (code {code}), ")), "{text}");
        }
    }
}

#[tokio::test]
async fn each_row_has_its_class_whatever_the_body_is() {
    let html = format!("<!DOCTYPE html><html><title>{PLANTED_VALUE}</title></html>");
    let wrong = format!(r#"{{"code": "{PLANTED_VALUE}", "message": 7}}"#);
    let cut = vendor_body(500, 20500).replace('}', "");
    for (status, _, class) in TABLE {
        for body in ["", html.as_str(), wrong.as_str(), cut.as_str(), "[]", "null", r#"{"code": 4711471147}"#] {
            let error = error_of(status, "", body).await;
            assert_eq!((error.class(), error.status(), error.code()), (class, Some(status), None), "{error}");
            assert!(!error.to_string().contains("4711471147"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_429_says_how_long() {
    for (headers, seconds) in [
        ("Retry-After: 7\r\n", Some(7)),
        ("retry-after: 0\r\n", Some(0)),
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n", Some(60)),
        // Without a Date the wall clock counts, which stands at 10:00:00 in these tests.
        ("Retry-After: Tue, 24 Nov 2026 10:00:03 GMT\r\n", Some(3)),
        ("Retry-After: soon\r\n", None),
        ("", None),
    ] {
        let error = error_of(429, headers, &vendor_body(429, 20429)).await;
        assert_eq!(error.class(), FailureClass::Throttled { retry_after: seconds.map(Duration::from_secs) }, "{headers}");
    }
    let other = error_of(503, "Retry-After: 7\r\n", "").await;
    assert_eq!(other.class(), FailureClass::Unavailable);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering(crate::support::grant_answer()).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://{}/{PLANTED_VALUE}\r\n", elsewhere.address);
        let error = error_of(status, &location, "").await;
        assert_eq!((error.class(), error.status()), (FailureClass::Rejected, Some(status)), "{error}");
    }
    assert_eq!(elsewhere.seen().connections, 0);
}
