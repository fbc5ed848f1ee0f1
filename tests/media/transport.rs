//! Connections that don't come to stand, tear, or fall silent.

use std::time::Duration;

use playback_grant_operator::media::error::AnswerHead;
use playback_grant_operator::media::{CallError, CallFailure, CallLimits, FailureClass};
use tokio::net::TcpSocket;

use crate::server::{Server, Step};
use crate::support::{AMPLE, ask, call, client, credentials, grant_answer, grant_body, shows_something_planted};

const CREATED: AnswerHead = AnswerHead { status: 201, retry_after: None };
/// Long enough to connect on a busy machine, for it is spent in whole by each call that hangs.
const PATIENCE: Duration = Duration::from_secs(3);

async fn error_of(script: Vec<Step>) -> CallError {
    let server = Server::playing(script).await;
    let error = ask(&format!("http://{}", server.address)).await.unwrap_err();
    assert_eq!(server.seen().connections, 1, "nothing is repeated: {error}");
    check(error)
}

fn check(error: CallError) -> CallError {
    assert_eq!(error.class(), FailureClass::Unavailable, "{error}");
    assert!(!shows_something_planted(&format!("{error} {error:?}")), "{error}");
    error
}

async fn error_within(script: Vec<Step>, limits: CallLimits) -> CallError {
    let server = Server::playing(script).await;
    check(client(&format!("http://{}", server.address), None).create_playback_grant(&call(), &credentials(), limits).await.unwrap_err())
}

fn write(text: &str) -> Step {
    Step::Write(text.as_bytes().to_vec())
}

/// One error for each way in which a connection fails on this machine, without TLS.
pub async fn provoked() -> Vec<CallError> {
    let half = grant_answer()[..grant_answer().len() - 20].to_owned();
    let hang = CallLimits { total: PATIENCE, ..AMPLE };
    vec![
        refused().await,
        error_of(vec![Step::ReadRequest]).await,
        error_of(vec![Step::ReadRequest, write(&half)]).await,
        error_of(vec![Step::ReadRequest, write("SSH-2.0-OpenSSH_9.9\r\n")]).await,
        error_within(vec![Step::ReadRequest, Step::AwaitClose], hang).await,
        error_within(vec![Step::ReadRequest, write("HTTP/1.1 201 Created\r\n\r\n"), Step::Trickle(b' ')], hang).await,
        silent_tls(CallLimits { connect: Duration::from_millis(500), ..AMPLE }).await,
    ]
}

async fn refused() -> CallError {
    // Bound and not listened on: the port refuses, and nobody else can get it meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    check(ask(&format!("http://{address}")).await.unwrap_err())
}

/// A server that accepts and doesn't answer TLS's first message.
async fn silent_tls(limits: CallLimits) -> CallError {
    let server = Server::playing(vec![Step::AwaitClose]).await;
    let client = client(&format!("https://{}", server.address), None);
    let error = client.create_playback_grant(&call(), &credentials(), limits).await.unwrap_err();
    server.until(|seen| seen.closed_by_client == 1).await;
    check(error)
}

#[tokio::test]
async fn a_port_without_a_listener_refuses() {
    let error = refused().await;
    assert_eq!((error.failure.clone(), error.status()), (CallFailure::ConnectionRefused, None));
}

#[tokio::test]
async fn a_connection_torn_before_an_answer_is_lost() {
    for script in [
        vec![],
        vec![Step::Reset],
        vec![Step::ReadRequest],
        vec![Step::ReadRequest, Step::Reset],
        vec![Step::ReadRequest, write("HTTP/1.1 2")],
        vec![Step::ReadRequest, write("HTTP/1.1 201 Created\r\nContent-")],
        vec![Step::ReadRequest, write("HTTP/1.1 201 Created\r\nContent-Length: 9\r\n"), Step::Reset],
    ] {
        let error = error_of(script.clone()).await;
        assert_eq!(error.failure, CallFailure::ConnectionLost { head: None }, "{script:?}");
    }
}

#[tokio::test]
async fn a_connection_torn_within_an_answer_is_lost_and_the_status_is_known() {
    let head = format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n", grant_body().len());
    let half = grant_answer()[..grant_answer().len() - 20].to_owned();
    let chunked = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n";
    for text in [head, half, format!("{chunked}5\r\n{{\"gra"), format!("{chunked}3\r\n{{\"g\r\n")] {
        let error = error_of(vec![Step::ReadRequest, write(&text)]).await;
        assert_eq!(error.failure, CallFailure::ConnectionLost { head: Some(CREATED) }, "{text}");
        assert_eq!(error.status(), Some(201));
    }
}

#[tokio::test]
async fn an_error_torn_within_its_body_counts_as_its_status_says() {
    for (status, class) in [
        (401, FailureClass::Unauthorized),
        (404, FailureClass::NotFound),
        (429, FailureClass::Throttled { retry_after: Some(Duration::from_secs(5)) }),
        (503, FailureClass::Unavailable),
    ] {
        let torn = format!("HTTP/1.1 {status} Words\r\nRetry-After: 5\r\nContent-Length: 100\r\n\r\n{{\"code\":");
        let server = Server::answering(torn).await;
        let error = ask(&format!("http://{}", server.address)).await.unwrap_err();
        assert!(matches!(error.failure, CallFailure::ConnectionLost { head: Some(_) }), "{error}");
        assert_eq!((error.class(), error.status()), (class, Some(status)));
    }
}

#[tokio::test]
async fn what_is_not_http_is_named() {
    for text in [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "\x15\x03\x01\x00\x02\x02\x16\r\n\r\n",
        "HTTP/1.1 2OO Created\r\n\r\n",
        "HTTP/1.1 201 Created\r\n: nameless\r\n\r\n",
        "HTTP/1.1 201 Created\r\nContent-Length: many\r\n\r\n{}",
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}",
        &format!("HTTP/1.1 201 Created\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)),
    ] {
        let error = error_of(vec![Step::ReadRequest, write(text), Step::AwaitClose]).await;
        assert_eq!(error.failure, CallFailure::NotHttp, "{}", &text[..text.len().min(60)]);
    }
}

#[tokio::test]
async fn silence_ends_at_the_total_limit() {
    let limits = CallLimits { total: PATIENCE, ..AMPLE };
    let error = error_within(vec![Step::ReadRequest, Step::AwaitClose], limits).await;
    assert_eq!(error.failure, CallFailure::NoAnswerInTime { limit: PATIENCE, head: None });
}

#[tokio::test]
async fn a_trickle_ends_at_the_total_limit() {
    let limits = CallLimits { total: PATIENCE, ..AMPLE };
    let of_head = error_within(vec![Step::ReadRequest, write("HTTP/1.1 201 Created\r\nX: "), Step::Trickle(b'x')], limits);
    let of_body = error_within(vec![Step::ReadRequest, write("HTTP/1.1 201 Created\r\n\r\n"), Step::Trickle(b' ')], limits);
    let (of_head, of_body) = tokio::join!(of_head, of_body);
    assert_eq!(of_head.failure, CallFailure::NoAnswerInTime { limit: PATIENCE, head: None });
    assert_eq!(of_body.failure, CallFailure::NoAnswerInTime { limit: PATIENCE, head: Some(CREATED) });
}

#[tokio::test]
async fn a_connection_that_does_not_come_to_stand_ends_at_the_connect_limit_of_its_call() {
    for limit in [Duration::from_millis(200), Duration::from_millis(500)] {
        let error = silent_tls(CallLimits { connect: limit, ..AMPLE }).await;
        assert_eq!(error.failure, CallFailure::ConnectTimedOut { limit });
        let error = silent_tls(CallLimits { total: limit, ..AMPLE }).await;
        assert_eq!(error.failure, CallFailure::ConnectTimedOut { limit });
    }
}
