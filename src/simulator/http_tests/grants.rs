//! The Media API's paths as long as nothing goes wrong.

use super::{HandClock, OTHER_STREAMER, STREAMER, call, call_as, client, grant_url, json, start, start_at};
use crate::simulator::{CallOutcome, KnownCredentials, PlaybackToken, account_sid_of};
use std::collections::HashSet;

#[tokio::test]
async fn a_call_is_granted_and_its_token_tells_when() {
    let simulator = start_at(&HandClock::new(), &[]).await;
    let response = call(&simulator).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["content-type"], "application/json");
    let json = json(response).await;
    assert_eq!(json["sid"], STREAMER);
    assert_eq!(json["account_sid"], account_sid_of("SK1"));
    assert_eq!(json["date_created"], "2023-11-14T22:13:20Z");
    let token = PlaybackToken::decode(json["grant"]["playbackUrl"].as_str().unwrap()).unwrap();
    assert_eq!((token.issued_at_unix_ms, token.ttl_ms), (1_700_000_000_000, 60_000));
}

#[tokio::test]
async fn no_two_grants_are_alike() {
    let simulator = start_at(&HandClock::new(), &[]).await;
    let mut tokens = HashSet::new();
    for _ in 0..20 {
        let json = json(call(&simulator).await.unwrap()).await;
        tokens.insert(PlaybackToken::decode(json["grant"]["playbackUrl"].as_str().unwrap()).unwrap());
    }
    assert_eq!(tokens.len(), 20);
}

#[tokio::test]
async fn forms_are_read_as_they_come() {
    let simulator = start(&[]).await;
    let post = || client().post(grant_url(&simulator, STREAMER)).basic_auth("SK1", Some("secret"));
    let form = "application/x-www-form-urlencoded";
    let ttl_of = async |request: reqwest::RequestBuilder| {
        let json = json(request.send().await.unwrap()).await;
        json["grant"]["playbackUrl"].as_str().and_then(PlaybackToken::decode).map(|token| token.ttl_ms)
    };
    assert_eq!(ttl_of(post()).await, Some(15_000));
    assert_eq!(ttl_of(post().header("content-type", form)).await, Some(15_000));
    let origin = "Ttl=20&AccessControlAllowOrigin=https%3A%2F%2Fa.example%3A8443";
    assert_eq!(ttl_of(post().header("content-type", form).body(origin)).await, Some(20_000));
    assert_eq!(ttl_of(post().header("content-type", form).body("Ttl=99")).await, None);
    assert_eq!(ttl_of(post().header("content-type", "application/json").body("{\"Ttl\": 20}")).await, None);
    assert_eq!(simulator.counters().total.rejected[&400], 2);
}

#[tokio::test]
async fn errors_are_the_vendors() {
    let simulator = start(&[]).await;
    let base = simulator.base_url();
    let grant = grant_url(&simulator, STREAMER);
    let ask = |method: reqwest::Method, url: &str| client().request(method, url);
    for (request, status, code) in [
        (ask(reqwest::Method::POST, &grant), 401, 20003),
        (ask(reqwest::Method::POST, &grant).bearer_auth("x"), 401, 20003),
        (ask(reqwest::Method::GET, &grant).basic_auth("SK1", Some("x")), 405, 20004),
        (ask(reqwest::Method::PUT, &grant).basic_auth("SK1", Some("x")), 405, 20004),
        (ask(reqwest::Method::GET, &grant), 401, 20003),
        (ask(reqwest::Method::POST, &grant_url(&simulator, "VJ1")).basic_auth("SK1", Some("x")), 404, 20404),
        (ask(reqwest::Method::POST, &grant_url(&simulator, "%ff")).basic_auth("SK1", Some("x")), 404, 20404),
        (ask(reqwest::Method::GET, &format!("{base}/v1/Nothing")).basic_auth("SK1", Some("x")), 404, 20404),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let json = json(response).await;
        assert_eq!((&json["code"], &json["status"]), (&code.into(), &status.into()));
        assert_eq!(json["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    }
    assert_eq!((simulator.counters().total.received, simulator.counters().other_requests), (4, 4));
}

#[tokio::test]
async fn a_streamer_can_be_read() {
    let simulator = start(&[]).await;
    let url = format!("{}/v1/PlayerStreamers/{STREAMER}", simulator.base_url());
    let json = json(client().get(&url).basic_auth("SK1", Some("x")).send().await.unwrap()).await;
    assert_eq!((&json["sid"], &json["status"]), (&STREAMER.into(), &"started".into()));
    assert_eq!(client().get(&url).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn given_credentials_have_their_accounts_and_others_are_refused() {
    let simulator = start(&[]).await;
    let account = "AC00000000000000000000000000000001";
    let known: KnownCredentials = format!("SK1:secret:{account}").parse().unwrap();
    simulator.set_credentials(vec![known]);
    let granted = call_as(&simulator, STREAMER, "SK1").await.unwrap();
    assert_eq!(json(granted).await["account_sid"], account);
    assert_eq!(call_as(&simulator, STREAMER, "SK2").await.unwrap().status(), 401);
    simulator.set_credentials(Vec::new());
    assert_eq!(call_as(&simulator, STREAMER, "SK2").await.unwrap().status(), 201);
}

#[tokio::test]
async fn calls_are_counted_and_remembered_in_order() {
    let simulator = start(&[]).await;
    for (streamer, user) in [(STREAMER, "SK1"), (OTHER_STREAMER, "SK1"), (STREAMER, "SK2"), ("VJ1", "SK2")] {
        call_as(&simulator, streamer, user).await.unwrap();
    }
    let counters = simulator.counters();
    assert_eq!((counters.total.received, counters.total.answered_201, counters.total.rejected[&404]), (4, 3, 1));
    assert_eq!((counters.total.in_flight, counters.total.max_in_flight), (0, 1));
    assert_eq!(counters.streamers[STREAMER].received, 2);
    assert_eq!(counters.streamers[OTHER_STREAMER].answered_201, 1);
    assert_eq!(counters.streamers.len(), 2);
    assert_eq!(counters.accounts[&account_sid_of("SK2")].received, 2);
    let calls: Vec<_> = simulator.calls().into_iter().map(|call| (call.streamer, call.user, call.outcome)).collect();
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[2], (STREAMER.to_owned(), Some("SK2".to_owned()), CallOutcome::Answered(201)));
    assert_eq!(calls[3].2, CallOutcome::Answered(404));
    simulator.reset_counters();
    assert_eq!(simulator.counters(), crate::simulator::Counters::default());
    assert!(simulator.calls().is_empty());
}
