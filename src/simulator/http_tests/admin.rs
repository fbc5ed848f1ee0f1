//! The admin path.

use super::{OTHER_STREAMER, STREAMER, call, call_as, client, json, start, status};
use crate::simulator::{Simulator, account_sid_of};
use reqwest::Method;
use serde_json::{Value, json};

async fn admin(simulator: &Simulator, method: Method, path: &str, body: &str) -> (u16, Value) {
    send(client().request(method, format!("{}/admin/{path}", simulator.base_url())).body(body.to_owned())).await
}

async fn add_as_json(simulator: &Simulator, fault: &Value) -> (u16, Value) {
    send(client().post(format!("{}/admin/faults", simulator.base_url())).json(fault)).await
}

async fn send(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn faults_are_switched_on_listed_and_switched_off() {
    let simulator = start(&[]).await;
    let (created, answer) = admin(&simulator, Method::POST, "faults?fault=reset:2x", "500:1h\n\n latency=1ms \n").await;
    assert_eq!(created, 201);
    let texts = |answer: &Value| answer["faults"].as_array().unwrap().iter().map(|fault| fault["fault"].clone()).collect::<Vec<_>>();
    assert_eq!(texts(&answer), ["reset:2x", "500:3600s", "latency=1ms"]);
    assert_eq!(status(&simulator).await, 500);

    let (_, listed) = admin(&simulator, Method::GET, "faults", "").await;
    let hits: Vec<_> = listed["faults"].as_array().unwrap().iter().map(|fault| fault["hits"].as_u64().unwrap()).collect();
    assert_eq!(hits, [0, 1, 1]);
    assert_eq!((&listed["faults"][0]["calls_left"], &listed["faults"][0]["seconds_left"]), (&json!(2), &Value::Null));

    let outage = listed["faults"][1]["id"].as_u64().unwrap();
    let path = format!("faults/{outage}");
    assert_eq!(admin(&simulator, Method::DELETE, &path, "").await, (200, json!({"removed": 1})));
    assert_eq!(admin(&simulator, Method::DELETE, &path, "").await.0, 404);
    assert_eq!(admin(&simulator, Method::DELETE, "faults/x", "").await.0, 404);
    assert!(call(&simulator).await.is_err());
    assert_eq!(admin(&simulator, Method::DELETE, "faults", "").await, (200, json!({"removed": 2})));
    assert_eq!(status(&simulator).await, 201);
}

#[tokio::test]
async fn a_fault_as_json_says_for_whom_and_how_long() {
    for (scope, statuses) in [
        (json!({"user": "SK1"}), [500, 500, 201]),
        (json!({"account": account_sid_of("SK2")}), [201, 201, 500]),
        (json!({"streamer": OTHER_STREAMER}), [201, 500, 201]),
        (json!({}), [500, 500, 500]),
    ] {
        let simulator = start(&[]).await;
        let mut fault = scope.clone();
        fault["fault"] = "500".into();
        fault["seconds"] = 1_000.5.into();
        fault["calls"] = 9.into();
        let (created, answer) = add_as_json(&simulator, &fault).await;
        assert_eq!((created, &answer["faults"][0]["calls_left"]), (201, &json!(9)), "{scope}");
        let mut seen = Vec::new();
        for (streamer, user) in [(STREAMER, "SK1"), (OTHER_STREAMER, "SK1"), (STREAMER, "SK2")] {
            seen.push(call_as(&simulator, streamer, user).await.unwrap().status().as_u16());
        }
        assert_eq!(seen, statuses, "{scope}");
    }
}

#[tokio::test]
async fn what_is_no_fault_is_refused_and_switches_nothing_on() {
    let simulator = start(&[]).await;
    for (body, mentioned) in [("", "no fault given"), ("500\nboom", "boom"), ("500:30", "duration")] {
        let (refused, answer) = admin(&simulator, Method::POST, "faults", body).await;
        assert_eq!(refused, 400, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(mentioned), "{answer}");
    }
    for (fault, mentioned) in [
        (json!({}), "missing field"),
        (json!({"fault": "500", "second": 1}), "unknown field"),
        (json!({"fault": "500", "seconds": -1}), "isn't negative"),
        (json!({"fault": "500", "calls": 0}), "1 or more"),
        (json!({"fault": "500", "account": "AC1"}), "account's SID"),
        (json!({"fault": "500", "streamer": "VJ1"}), "PlayerStreamer's SID"),
        (json!({"fault": "500", "user": "SK1", "streamer": STREAMER}), "one scope"),
    ] {
        let (refused, answer) = add_as_json(&simulator, &fault).await;
        assert_eq!(refused, 400, "{fault}");
        assert!(answer["error"].as_str().unwrap().contains(mentioned), "{answer}");
    }
    assert!(simulator.faults().is_empty());
}

#[tokio::test]
async fn counters_and_calls_are_shown_and_reset() {
    let simulator = start(&["500:1x"]).await;
    for expected in [500, 201, 201] {
        assert_eq!(status(&simulator).await, expected);
    }
    let (_, counters) = admin(&simulator, Method::GET, "counters", "").await;
    for of in [&counters["total"], &counters["streamers"][STREAMER], &counters["accounts"][account_sid_of("SK1")]] {
        assert_eq!((&of["received"], &of["answered_201"], &of["rejected"]), (&json!(3), &json!(2), &json!({"500": 1})));
        assert!(of["first_call_unix_ms"].as_u64() <= of["last_call_unix_ms"].as_u64());
    }
    let (_, calls) = admin(&simulator, Method::GET, "calls?limit=2", "").await;
    let numbers: Vec<_> = calls["calls"].as_array().unwrap().iter().map(|call| call["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!((&calls["calls"][0]["user"], &calls["calls"][0]["outcome"]), (&json!("SK1"), &json!({"answered": 201})));
    let (_, all) = admin(&simulator, Method::GET, "calls", "").await;
    assert_eq!(all["calls"].as_array().unwrap().len(), 3);
    assert!(!all.to_string().contains("secret"));

    assert_eq!(admin(&simulator, Method::DELETE, "counters", "").await.0, 204);
    let (_, counters) = admin(&simulator, Method::GET, "counters", "").await;
    assert_eq!((&counters["total"]["received"], &counters["streamers"]), (&json!(0), &json!({})));
}

#[tokio::test]
async fn credentials_are_replaced_and_never_shown() {
    let simulator = start(&[]).await;
    let account = "AC00000000000000000000000000000001";
    let lines = format!("# two\nSK1:hunter2:{account}\nSK2:secret:{account}\n");
    assert_eq!(admin(&simulator, Method::PUT, "credentials", &lines).await, (200, json!({"accepted": 2})));
    assert_eq!(call_as(&simulator, STREAMER, "SK1").await.unwrap().status(), 401);
    let granted = call_as(&simulator, STREAMER, "SK2").await.unwrap();
    assert_eq!(json(granted).await["account_sid"], account);
    for wrong in ["", "SK1:hunter2", "SK1:hunter2:AC1"] {
        let (refused, answer) = admin(&simulator, Method::PUT, "credentials", wrong).await;
        assert_eq!(refused, 400);
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
    assert_eq!(admin(&simulator, Method::DELETE, "credentials", "").await.0, 204);
    assert_eq!(call_as(&simulator, STREAMER, "SK1").await.unwrap().status(), 201);
}
