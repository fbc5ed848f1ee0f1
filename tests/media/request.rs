//! What goes over the wire, and how often.

use std::time::Duration;

use playback_grant_operator::media::{CallLimits, GrantCall};
use secrecy::ExposeSecret;

use crate::server::{Server, Step};
use crate::support::{AMPLE, PLANTED_VALUE, SID, ask, call, client, credentials, grant_answer, shows_something_planted};

#[tokio::test]
async fn a_grant_is_read_as_it_was_sent() {
    let server = Server::answering(grant_answer()).await;
    let grant = ask(&format!("http://{}", server.address)).await.unwrap();
    let text = grant.grant.expose_secret();
    assert!(text.starts_with(r#"{"playbackUrl": "https"#) && text.ends_with(r#""requestCredentials": null}"#));
    assert!(grant.playback_url().unwrap().expose_secret().ends_with(PLANTED_VALUE));
    assert_eq!(grant.account_sid.as_deref(), Some("AC0123456789abcdef0123456789abcdef"));
    assert!(grant.url.as_ref().unwrap().ends_with("/PlaybackGrant"));
    assert_eq!(grant.date_created.unwrap().to_string(), "2026-11-24T10:00:00Z");
    assert!(!shows_something_planted(&format!("{grant:?}")));
}

#[tokio::test]
async fn the_request_is_exactly_this() {
    let server = Server::answering(grant_answer()).await;
    ask(&format!("http://{}", server.address)).await.unwrap();
    let request = server.seen().requests.remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some(format!("POST /v1/PlayerStreamers/{SID}/PlaybackGrant HTTP/1.1").as_str()));
    let mut headers: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_ascii_lowercase(), v)).collect();
    headers.sort();
    let expected = [
        ("accept", "application/json"),
        // base64 of SK0123456789abcdef0123456789abcdef:planted-password
        ("authorization", "Basic U0swMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpwbGFudGVkLXBhc3N3b3Jk"),
        ("connection", "close"),
        ("content-length", "68"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", &server.address.to_string()),
        ("user-agent", concat!("playback-grant-operator/", env!("CARGO_PKG_VERSION"))),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(body, "Ttl=60&AccessControlAllowOrigin=https%3A%2F%2Fwww.example.com%3A8443");
    assert!(shows_something_planted(&request), "the search for planted values finds one where there is one");
}

#[tokio::test]
async fn a_call_without_an_origin_sends_the_ttl_alone() {
    let server = Server::answering(grant_answer()).await;
    let anywhere = GrantCall { access_control_allow_origin: None, ..call() };
    let base_url = format!("http://{}/some/prefix/", server.address);
    client(&base_url, None).create_playback_grant(&anywhere, &credentials(), AMPLE).await.unwrap();
    let request = server.seen().requests.remove(0);
    assert!(request.starts_with(&format!("POST /some/prefix/v1/PlayerStreamers/{SID}/PlaybackGrant HTTP/1.1\r\n")), "{request}");
    assert_eq!(request.split_once("\r\n\r\n").unwrap().1, "Ttl=60");
}

#[tokio::test]
async fn each_call_has_a_connection_of_its_own_and_closes_it() {
    // The server would leave its connections open; that they end is the client's doing.
    let server = Server::playing(vec![Step::ReadRequest, Step::Write(grant_answer().into_bytes()), Step::AwaitClose]).await;
    let client = client(&format!("http://{}", server.address), None);
    for _ in 0..2 {
        client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap();
    }
    let (call, credentials) = (call(), credentials());
    let at_once = futures::future::join_all((0..3).map(|_| client.create_playback_grant(&call, &credentials, AMPLE))).await;
    assert!(at_once.iter().all(Result::is_ok));
    let seen = server.until(|seen| seen.closed_by_client == 5).await;
    assert_eq!((seen.connections, seen.requests.len()), (5, 5));
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_its_connection() {
    let server = Server::playing(vec![Step::ReadRequest, Step::AwaitClose]).await;
    let client = client(&format!("http://{}", server.address), None);
    let (call, credentials) = (call(), credentials());
    tokio::select! {
        outcome = client.create_playback_grant(&call, &credentials, AMPLE) => panic!("answered by nobody: {outcome:?}"),
        _ = server.until(|seen| seen.requests.len() == 1) => {}
    }
    let seen = server.until(|seen| seen.closed_by_client == 1).await;
    assert_eq!(seen.connections, 1);
}

#[tokio::test]
async fn calls_with_different_limits_share_a_client() {
    let server = Server::playing(vec![Step::ReadRequest, Step::AwaitClose]).await;
    let client = client(&format!("http://{}", server.address), None);
    let (call, credentials) = (call(), credentials());
    let short = CallLimits { total: Duration::from_secs(1), ..AMPLE };
    tokio::select! {
        biased;
        _ = client.create_playback_grant(&call, &credentials, AMPLE) => panic!("the call with the longer limit ended first"),
        outcome = client.create_playback_grant(&call, &credentials, short) => assert!(outcome.is_err()),
    }
}
