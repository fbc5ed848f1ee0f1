//! Successes that are none.

use playback_grant_operator::media::{CallError, CallFailure, FailureClass};

use crate::server::{Server, Step};
use crate::support::{PLANTED_VALUE, SID, answer, ask, grant_body, shows_something_planted};

const LONGEST_BODY: usize = 64 * 1024;

async fn error_of(bytes: impl Into<Vec<u8>>) -> CallError {
    let server = Server::answering(bytes).await;
    let error = ask(&format!("http://{}", server.address)).await.unwrap_err();
    assert!(!shows_something_planted(&format!("{error} {error:?}")), "{error}");
    error
}

/// Bodies of a 201, and what is wrong with each.
fn bad_bodies() -> Vec<(String, CallFailure)> {
    let wrong = |field, expected| CallFailure::WrongType { field, expected };
    let text = "a string or null";
    let grant = format!(r#""grant": {{"playbackUrl": "{PLANTED_VALUE}"}}"#);
    let mut bodies = vec![
        (String::new(), CallFailure::NotJson { category: "an unexpected end", line: 1, column: 0 }),
        (format!("<html>{PLANTED_VALUE}</html>"), CallFailure::NotJson { category: "a syntax error", line: 1, column: 1 }),
        (format!("{{\n\"grant\": {PLANTED_VALUE}"), CallFailure::NotJson { category: "a syntax error", line: 2, column: 10 }),
        (format!(r#"["{PLANTED_VALUE}"]"#), wrong("the answer", "a JSON object")),
        (format!(r#""{PLANTED_VALUE}""#), wrong("the answer", "a JSON object")),
        (format!(r#"{{"sid": "{SID}", "grant": null, "url": "{PLANTED_VALUE}"}}"#), CallFailure::GrantMissing),
        (format!(r#"{{"sid": "{SID}"}}"#), CallFailure::GrantMissing),
        (r#"{"grant": ""}"#.to_owned(), CallFailure::GrantMissing),
        (format!(r#"{{"sid": "VJffffffffffffffffffffffffffffffff", {grant}}}"#), CallFailure::OtherPlayerStreamer),
        (format!(r#"{{"sid": "{PLANTED_VALUE}", {grant}}}"#), CallFailure::OtherPlayerStreamer),
        (format!(r#"{{"grant": {{"playbackUrl": ["{PLANTED_VALUE}"]}}}}"#), wrong("grant.playbackUrl", text)),
    ];
    for field in ["sid", "account_sid", "url", "date_created"] {
        for value in [format!(r#"{{"a": "{PLANTED_VALUE}"}}"#), format!(r#"["{PLANTED_VALUE}"]"#), "4711".to_owned(), "true".to_owned()] {
            bodies.push((format!(r#"{{{grant}, "{field}": {value}}}"#), wrong(field, text)));
        }
    }
    bodies
}

/// One error for each way in which a success can fail.
pub async fn provoked() -> Vec<CallError> {
    let mut errors = Vec::new();
    for (body, _) in bad_bodies() {
        errors.push(error_of(answer(201, "", &body)).await);
    }
    errors.push(error_of(answer(200, "", &grant_body())).await);
    errors.push(error_of(answer(500, "", &"x".repeat(LONGEST_BODY + 1))).await);
    errors
}

#[tokio::test]
async fn a_201_that_is_not_what_it_should_be_is_named() {
    for (body, expected) in bad_bodies() {
        let error = error_of(answer(201, "Content-Type: application/json\r\n", &body)).await;
        assert_eq!(error.failure, expected, "{body}");
        assert_eq!((error.class(), error.status(), error.code()), (FailureClass::InvalidResponse, Some(201), None));
    }
}

#[tokio::test]
async fn another_success_is_not_a_grant() {
    for status in [200, 202, 206, 299] {
        let error = error_of(answer(status, "", &grant_body())).await;
        assert_eq!(error.failure, CallFailure::UnexpectedSuccess { status });
        assert_eq!((error.class(), error.status()), (FailureClass::InvalidResponse, Some(status)));
    }
    let error = error_of("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(error.failure, CallFailure::UnexpectedSuccess { status: 204 });
}

#[tokio::test]
async fn a_body_up_to_64_kib_is_read() {
    let body = grant_body() + &" ".repeat(LONGEST_BODY - grant_body().len());
    let server = Server::answering(answer(201, "", &body)).await;
    assert!(ask(&format!("http://{}", server.address)).await.is_ok());
}

#[tokio::test]
async fn a_longer_body_is_not_read_and_counts_as_its_status_says() {
    let filler = PLANTED_VALUE.repeat(LONGEST_BODY / PLANTED_VALUE.len() + 1);
    for (status, class) in [
        (201, FailureClass::InvalidResponse),
        (401, FailureClass::Unauthorized),
        (429, FailureClass::Throttled { retry_after: Some(std::time::Duration::from_secs(9)) }),
        (500, FailureClass::Unavailable),
    ] {
        let announced = answer(status, "Retry-After: 9\r\n", &filler);
        let unannounced = format!(
            "HTTP/1.1 {status} Words\r\nRetry-After: 9\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{filler}\r\n0\r\n\r\n",
            filler.len()
        );
        for bytes in [announced, unannounced] {
            let error = error_of(bytes).await;
            assert!(matches!(error.failure, CallFailure::BodyTooLarge { .. }), "{error}");
            assert_eq!((error.class(), error.status()), (class, Some(status)));
        }
    }
}

#[tokio::test]
async fn an_endless_body_ends_at_the_bound() {
    let chunk = format!("HTTP/1.1 201 Created\r\n\r\n{}", "x".repeat(LONGEST_BODY + 1));
    let server = Server::playing(vec![Step::ReadRequest, Step::Write(chunk.into_bytes()), Step::AwaitClose]).await;
    let error = ask(&format!("http://{}", server.address)).await.unwrap_err();
    assert!(matches!(error.failure, CallFailure::BodyTooLarge { .. }), "{error}");
    server.until(|seen| seen.closed_by_client == 1).await;
}
