//! Faults that answer, but not as they should.

use super::{HandClock, OTHER_STREAMER, STREAMER, call, call_as, client, grant_url, json, start, start_at, status};
use serde_json::Value;
use std::time::Duration;

#[tokio::test]
async fn a_status_comes_for_its_time_with_its_headers_and_body() {
    let clock = HandClock::new();
    let simulator = start_at(&clock, &["429,retry-after=5:21s"]).await;
    let response = call(&simulator).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"5".parse().unwrap()));
    assert_eq!(json(response).await["code"], 20429);
    clock.advance(Duration::from_millis(20_999));
    assert_eq!(status(&simulator).await, 429);
    clock.advance(Duration::from_millis(1));
    assert_eq!(status(&simulator).await, 201);
    assert_eq!(simulator.counters().total.rejected[&429], 2);
}

#[tokio::test]
async fn error_bodies_can_be_empty_html_and_dates_are_exact() {
    let simulator = start(&["503,retry-after-date=7:1x", "502,body=html:1x", "500,body=empty:1x"]).await;
    let empty = call(&simulator).await.unwrap();
    assert_eq!((empty.status().as_u16(), empty.headers().get("content-type")), (500, None));
    assert!(empty.bytes().await.unwrap().is_empty());
    let html = call(&simulator).await.unwrap();
    assert_eq!((html.status().as_u16(), &html.headers()["content-type"]), (502, &"text/html".parse().unwrap()));
    let dated = call(&simulator).await.unwrap();
    assert_eq!(dated.headers().get_all("date").iter().count(), 1);
    let second = |name: &str| {
        let text = dated.headers()[name].to_str().unwrap();
        k8s_openapi::jiff::fmt::rfc2822::parse(text).unwrap().timestamp().as_second()
    };
    assert_eq!(second("retry-after") - second("date"), 7);
}

#[tokio::test]
async fn redirects_and_other_successes_are_statuses_like_any() {
    let simulator = start(&["200:1x", "307:1x", "204,body=empty:1x"]).await;
    assert_eq!(status(&simulator).await, 204);
    let redirect = call(&simulator).await.unwrap();
    assert_eq!(redirect.status(), 307);
    assert!(grant_url(&simulator, STREAMER).ends_with(redirect.headers()["location"].to_str().unwrap()));
    assert_eq!(status(&simulator).await, 200);
    assert_eq!(status(&simulator).await, 201);
}

#[tokio::test]
async fn a_scope_leaves_all_others_alone() {
    let by_streamer = format!("500@{OTHER_STREAMER}");
    let simulator = start(&[&by_streamer, "503@SK2"]).await;
    let mut statuses = Vec::new();
    for (streamer, user) in [(STREAMER, "SK1"), (OTHER_STREAMER, "SK1"), (STREAMER, "SK2"), (OTHER_STREAMER, "SK2")] {
        statuses.push(call_as(&simulator, streamer, user).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [201, 500, 503, 503]);
}

#[tokio::test]
async fn a_rate_limit_lets_a_seconds_worth_through_for_each_account() {
    let clock = HandClock::new();
    let simulator = start_at(&clock, &["rate-limit=2"]).await;
    let mut statuses = Vec::new();
    for user in ["SK1", "SK1", "SK1", "SK2"] {
        statuses.push(call_as(&simulator, STREAMER, user).await.unwrap().status().as_u16());
    }
    clock.advance(Duration::from_millis(500));
    for user in ["SK1", "SK1"] {
        statuses.push(call_as(&simulator, STREAMER, user).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [201, 201, 429, 201, 201, 429]);
}

#[tokio::test]
async fn an_ended_streamer_shows_in_both_places() {
    let simulator = start(&[&format!("ended=404@{STREAMER}")]).await;
    assert_eq!(status(&simulator).await, 404);
    let url = format!("{}/v1/PlayerStreamers/{STREAMER}", simulator.base_url());
    let read = json(client().get(url).basic_auth("SK1", Some("x")).send().await.unwrap()).await;
    assert_eq!((&read["status"], &read["ended_reason"]), (&"ended".into(), &"ended-via-api".into()));
    assert_eq!(call_as(&simulator, OTHER_STREAMER, "SK1").await.unwrap().status(), 201);
}

#[tokio::test]
async fn spoiled_grants_come_with_201() {
    for (fault, is_spoiled) in [
        ("null-grant", (|json| json["grant"].is_null()) as fn(&Value) -> bool),
        ("null-fields", |json| json["account_sid"].is_null() && json["grant"].is_object()),
        ("wrong-types", |json| json["grant"].is_array()),
        ("other-streamer", |json| json["sid"] != STREAMER && json["sid"].is_string()),
        ("string-grant", |json| json["grant"].is_string()),
        ("oversized=70000", |json| json.to_string().len() == 70_000),
        ("trickle=1ms", |json| json["grant"].is_object()),
    ] {
        let simulator = start(&[&format!("{fault}:1x")]).await;
        let response = call(&simulator).await.unwrap();
        assert_eq!(response.status(), 201, "{fault}");
        assert!(is_spoiled(&json(response).await), "{fault}");
        let plain = json(call(&simulator).await.unwrap()).await;
        assert!(fault.starts_with("trickle") || !is_spoiled(&plain), "{fault}");
        assert_eq!(simulator.counters().total.answered_201, 2, "{fault}");
    }
}

#[tokio::test]
async fn garbage_is_no_json() {
    let simulator = start(&["garbage"]).await;
    let response = call(&simulator).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (201, &"application/json".parse().unwrap()));
    assert!(serde_json::from_slice::<Value>(&response.bytes().await.unwrap()).is_err());
}
