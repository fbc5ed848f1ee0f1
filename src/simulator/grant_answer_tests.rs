//! Tests of the answers' shapes.

use super::{Granted, another, player_streamer};
use crate::simulator::answer::{Answer, Pace};
use crate::simulator::fault::AnswerFault;
use crate::simulator::token::PlaybackToken;
use serde_json::{Value, json};
use std::time::Duration;

const STREAMER: &str = "VJ0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: PlaybackToken = PlaybackToken { issued_at_unix_ms: 784_111_777_999, ttl_ms: 15_000, nonce: 1 };
const GRANTED: Granted<'_> = Granted { streamer: STREAMER, account: ACCOUNT, token: TOKEN };

fn json_of(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.content_type), (201, Some("application/json")));
    serde_json::from_slice(&answer.body).unwrap()
}

fn spoiled(fault: AnswerFault) -> Value {
    json_of(&GRANTED.spoiled(fault))
}

#[test]
fn a_grant_has_the_fixtures_shape() {
    let expected = json!({
        "sid": STREAMER,
        "url": format!("https://media.twilio.com/v1/PlayerStreamers/{STREAMER}/PlaybackGrant"),
        "account_sid": ACCOUNT,
        "date_created": "1994-11-06T08:49:37Z",
        "grant": {"playbackUrl": TOKEN.playback_url(), "playerStreamerSid": STREAMER, "requestCredentials": null},
    });
    assert_eq!(json_of(&GRANTED.answer()), expected);
    assert!(TOKEN.playback_url().starts_with("https://") && TOKEN.playback_url().contains("/playback?token="));
}

#[test]
fn spoiled_fields_are_spoiled_and_the_others_are_not() {
    let plain = json_of(&GRANTED.answer());
    let mut null = spoiled(AnswerFault::NullGrant);
    assert_eq!(null["grant"].take(), Value::Null);
    assert_eq!(null["sid"], plain["sid"]);

    let sparse = spoiled(AnswerFault::NullFields);
    assert_eq!(sparse["grant"], plain["grant"]);
    assert!(sparse.as_object().unwrap().iter().all(|(name, value)| plain.get(name).is_some() && (name == "grant" || value.is_null())));

    let other = spoiled(AnswerFault::OtherStreamer);
    assert_ne!(other["sid"], plain["sid"]);
    assert_eq!(other["grant"]["playerStreamerSid"], other["sid"]);
    assert_eq!(other["grant"]["playbackUrl"], plain["grant"]["playbackUrl"]);

    let string = spoiled(AnswerFault::StringGrant);
    assert_eq!(serde_json::from_str::<Value>(string["grant"].as_str().unwrap()).unwrap(), plain["grant"]);

    let skewed = spoiled(AnswerFault::DateSkew(-3_600_000));
    assert_eq!(skewed["date_created"], "1994-11-06T07:49:37Z");
    assert_eq!(skewed["grant"], plain["grant"]);
}

#[test]
fn wrong_types_are_wrong_in_every_field() {
    let spoiled = spoiled(AnswerFault::WrongTypes);
    let fields = spoiled.as_object().unwrap();
    assert_eq!(fields.len(), 5);
    assert!(fields["date_created"] == TOKEN.playback_url() && fields["grant"].is_array() && fields["account_sid"].is_array());
    assert!(!fields["sid"].is_string() && !fields["url"].is_string());
}

#[test]
fn garbage_is_not_json_but_holds_what_must_not_leak() {
    let garbage = GRANTED.spoiled(AnswerFault::Garbage);
    assert_eq!((garbage.status, garbage.content_type), (201, Some("application/json")));
    assert!(serde_json::from_slice::<Value>(&garbage.body).is_err());
    assert!(String::from_utf8(garbage.body).unwrap().contains(&TOKEN.encode()));
}

#[test]
fn an_oversized_answer_is_valid_and_of_the_size_asked_for() {
    let oversized = GRANTED.spoiled(AnswerFault::Oversized(70_000));
    assert_eq!(oversized.body.len(), 70_000);
    assert_eq!(json_of(&oversized)["grant"], json_of(&GRANTED.answer())["grant"]);
    assert!(GRANTED.spoiled(AnswerFault::Oversized(0)).body.len() > GRANTED.answer().body.len());
}

#[test]
fn slow_and_torn_answers_are_the_plain_one_at_another_pace() {
    let interval = Duration::from_millis(7);
    assert_eq!(GRANTED.spoiled(AnswerFault::Trickle(interval)), Answer { pace: Pace::Trickle(interval), ..GRANTED.answer() });
    assert_eq!(GRANTED.spoiled(AnswerFault::Torn), Answer { pace: Pace::Torn, ..GRANTED.answer() });
}

#[test]
fn another_streamer_is_another_valid_one() {
    for sid in [STREAMER, "VJ00000000000000000000000000000000"] {
        assert_ne!(another(sid), sid);
        assert!(crate::media::PlayerStreamerSid::parse(&another(sid)).is_some());
    }
}

#[test]
fn a_streamer_says_whether_it_has_ended() {
    let json = |ended| serde_json::from_slice::<Value>(&player_streamer(STREAMER, ACCOUNT, ended, 0).body).unwrap();
    assert_eq!((&json(false)["status"], &json(false)["ended_reason"]), (&json!("started"), &Value::Null));
    assert_eq!((&json(true)["status"], &json(true)["ended_reason"]), (&json!("ended"), &json!("ended-via-api")));
}
