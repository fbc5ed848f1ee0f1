//! Tests of what a call is answered, and in which order its obstacles come.

use super::{Delivery, GrantRequest, Plan, decide_grant, decide_read};
use crate::simulator::accounts::{Accounts, BasicCredentials};
use crate::simulator::answer::Answer;
use crate::simulator::clock::Moment;
use crate::simulator::fault::FaultBoard;
use crate::simulator::token::PlaybackToken;
use serde_json::Value;
use std::time::Duration;

const STREAMER: &str = "VJ0123456789abcdef0123456789abcdef";
const NOW: Moment = Moment { unix_ms: 1_700_000_000_123, uptime: Duration::from_secs(10) };

fn board(faults: &[&str]) -> FaultBoard {
    let mut board = FaultBoard::default();
    for fault in faults {
        board.add(fault.parse().unwrap(), NOW.uptime);
    }
    board
}

fn decide(faults: &mut FaultBoard, streamer: &str, authorization: &str, form: Result<&[(&str, &str)], &str>) -> Plan {
    let fields: Result<Vec<_>, _> = form.map(|form| form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
    let credentials = BasicCredentials::parse(authorization);
    let form = fields.as_deref().map_err(|message| *message);
    let request = GrantRequest { path: "/p", streamer, credentials: credentials.as_ref(), form };
    decide_grant(&request, &Accounts::default(), faults, Duration::from_millis(5), NOW, 77)
}

fn answer(faults: &[&str], streamer: &str, authorization: &str, form: Result<&[(&str, &str)], &str>) -> Answer {
    match decide(&mut board(faults), streamer, authorization, form).delivery {
        Delivery::Answer(answer) => answer,
        other => panic!("no answer: {other:?}"),
    }
}

/// `u:p`
const AUTHORIZED: &str = "Basic dTpw";

fn code(answer: &Answer) -> u64 {
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["status"], answer.status);
    json["code"].as_u64().unwrap()
}

#[test]
fn the_token_carries_arrival_and_lifetime() {
    for (form, ttl_ms) in [(&[][..], 15_000), (&[("Ttl", "1")], 1_000), (&[("Ttl", "60"), ("Other", "x")], 60_000)] {
        let answer = answer(&["latency=4s"], STREAMER, AUTHORIZED, Ok(form));
        assert_eq!(answer.status, 201);
        let json: Value = serde_json::from_slice(&answer.body).unwrap();
        let token = PlaybackToken::decode(json["grant"]["playbackUrl"].as_str().unwrap()).unwrap();
        assert_eq!(token, PlaybackToken { issued_at_unix_ms: NOW.unix_ms, ttl_ms, nonce: 77 });
    }
}

#[test]
fn forms_that_are_not_right_are_refused() {
    let twice = [("Ttl", "5"), ("Ttl", "5")];
    for form in [
        Err("no form"),
        Ok(&[("Ttl", "0")][..]),
        Ok(&[("Ttl", "61")]),
        Ok(&[("Ttl", "-1")]),
        Ok(&[("Ttl", "+5")]),
        Ok(&[("Ttl", "1.5")]),
        Ok(&[("Ttl", "")]),
        Ok(&[("Ttl", "321")]),
        Ok(&twice),
        Ok(&[("AccessControlAllowOrigin", "*")]),
        Ok(&[("AccessControlAllowOrigin", "https://a.example/")]),
        Ok(&[("AccessControlAllowOrigin", "a.example")]),
    ] {
        let answer = answer(&[], STREAMER, AUTHORIZED, form);
        assert_eq!((answer.status, code(&answer)), (400, 20001), "{form:?}");
    }
    assert_eq!(answer(&[], STREAMER, AUTHORIZED, Ok(&[("AccessControlAllowOrigin", "https://a.example:8443")])).status, 201);
}

#[test]
fn obstacles_come_in_the_documented_order() {
    let wrong_form: Result<&[(&str, &str)], &str> = Err("no form");
    let all = ["ended=410", "rate-limit=0.001", "503"];
    let refused = answer(&all, "VJ1", "", wrong_form);
    assert_eq!((refused.status, code(&refused)), (503, 20503));
    let refused = answer(&all[..2], "VJ1", "", wrong_form);
    assert_eq!((refused.status, code(&refused)), (401, 20003));
    assert_eq!(refused.headers[0].0, "www-authenticate");
    let refused = answer(&all[..2], "VJ1", AUTHORIZED, wrong_form);
    assert_eq!((refused.status, code(&refused)), (404, 20404));

    let mut board = board(&all[..2]);
    let mut status = |form| match decide(&mut board, STREAMER, AUTHORIZED, form).delivery {
        Delivery::Answer(answer) => answer.status,
        other => panic!("no answer: {other:?}"),
    };
    assert_eq!([status(wrong_form), status(wrong_form)], [400, 429]);
    assert_eq!(answer(&all[..1], STREAMER, AUTHORIZED, wrong_form).status, 400);
    assert_eq!(answer(&all[..1], STREAMER, AUTHORIZED, Ok(&[])).status, 410);
}

#[test]
fn latency_goes_with_every_delivery() {
    for (fault, expected) in [("hang", Some(Delivery::Hang)), ("reset", Some(Delivery::Reset)), ("500", None)] {
        let plan = decide(&mut board(&["latency=1s", "latency=2s", fault]), STREAMER, AUTHORIZED, Ok(&[]));
        assert_eq!(plan.delay, Duration::from_millis(3_005));
        assert!(expected.is_none_or(|expected| plan.delivery == expected), "{fault}");
    }
}

#[test]
fn reading_a_streamer_needs_credentials_and_shows_its_end() {
    let read = |faults: &[&str], streamer, authorization| {
        let credentials = BasicCredentials::parse(authorization);
        let request = GrantRequest { path: "/p", streamer, credentials: credentials.as_ref(), form: Ok(&[]) };
        decide_read(&request, &Accounts::default(), &mut board(faults), 0, NOW)
    };
    assert_eq!(read(&[], STREAMER, "").status, 401);
    assert_eq!(read(&[], "VJ1", AUTHORIZED).status, 404);
    let status = |answer: Answer| serde_json::from_slice::<Value>(&answer.body).unwrap()["status"].clone();
    assert_eq!(status(read(&["500", "hang"], STREAMER, AUTHORIZED)), "started");
    assert_eq!(status(read(&["ended"], STREAMER, AUTHORIZED)), "ended");
}
