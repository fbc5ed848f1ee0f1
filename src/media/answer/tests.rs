use super::{Grant, GrantForm, parse_error_code, parse_grant};
use crate::media::{CallFailure, PlayerStreamerSid};
use proptest::prelude::*;
use secrecy::ExposeSecret;

const SID: &str = "VJ0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

fn parse(body: &str) -> Result<Grant, CallFailure> {
    parse_grant(body.as_bytes(), &PlayerStreamerSid::parse(SID).unwrap())
}

#[test]
fn the_form_of_a_stored_grant_is_guessed_from_its_text() {
    for json in [r#"{"a":1}"#, "[]", "12", "true"] {
        assert_eq!(GrantForm::guess(json), GrantForm::Json, "{json}");
    }
    for text in ["planted", "", r#""quoted""#, r#" {"a":1}"#, r#"{"a":1}{"#] {
        assert_eq!(GrantForm::guess(text), GrantForm::Text, "{text}");
    }
}

#[test]
fn an_object_is_kept_to_the_byte() {
    let object = r#"{ "playbackUrl":"https:\/\/p.example\/m.m3u8?token=t\u0031", "requestCredentials" : null, "n": 1.50 }"#;
    let grant = parse(&format!(
        r#"{{"sid":"{SID}","grant": {object} ,"account_sid":"{ACCOUNT}","url":"https://media.example/v1/PlayerStreamers/{SID}/PlaybackGrant","date_created":"2026-11-24T10:00:00Z","new":[1]}}"#
    ))
    .unwrap();
    assert_eq!(grant.grant.expose_secret(), object);
    assert_eq!(grant.playback_url().unwrap().expose_secret(), "https://p.example/m.m3u8?token=t1");
    assert_eq!(grant.account_sid.as_deref(), Some(ACCOUNT));
    assert_eq!(*grant.url.unwrap(), format!("https://media.example/v1/PlayerStreamers/{SID}/PlaybackGrant"));
    assert_eq!(grant.date_created.unwrap().to_string(), "2026-11-24T10:00:00Z");
}

#[test]
fn a_string_is_unquoted_and_looked_into() {
    let grant = parse(r#"{"grant":"opaque \"text\""}"#).unwrap();
    assert_eq!(grant.grant.expose_secret(), "opaque \"text\"");
    assert!(grant.playback_url().is_none());
    let grant = parse(r#"{"grant":"{\"playbackUrl\":\"https://p.example/?token=1\"}"}"#).unwrap();
    assert_eq!(grant.grant.expose_secret(), r#"{"playbackUrl":"https://p.example/?token=1"}"#);
    assert_eq!(grant.playback_url().unwrap().expose_secret(), "https://p.example/?token=1");
}

#[test]
fn any_other_json_is_opaque() {
    for raw in ["{}", "[1, 2]", "7", "true", r#"{"playbackUrl":null}"#] {
        let grant = parse(&format!(r#"{{"grant":{raw}}}"#)).unwrap();
        assert_eq!(grant.grant.expose_secret(), raw);
        assert!(grant.playback_url().is_none());
    }
}

#[test]
fn only_the_grant_is_needed() {
    let grant = parse(r#"{"sid":null,"url":null,"account_sid":null,"date_created":null,"grant":{}}"#).unwrap();
    assert!(grant.account_sid.is_none() && grant.url.is_none() && grant.date_created.is_none());
    let odd = parse(r#"{"url":"not a URL","account_sid":"AC1","date_created":"yesterday","grant":{}}"#).unwrap();
    assert!(odd.account_sid.is_none() && odd.url.is_none() && odd.date_created.is_none());
    for body in ["{}", r#"{"grant":null}"#, r#"{"grant":""}"#] {
        assert_eq!(parse(body).unwrap_err(), CallFailure::GrantMissing, "{body}");
    }
}

#[test]
fn a_url_that_could_hold_a_credential_is_dropped() {
    for url in ["https://h/p?token=1", "https://h/p#token", "https://user@h/p", "https://u:p@h/p", "ftp://h/p", "data:text/plain,token"] {
        assert!(parse(&format!(r#"{{"url":"{url}","grant":{{}}}}"#)).unwrap().url.is_none(), "{url}");
    }
}

#[test]
fn a_field_of_the_wrong_type_is_named() {
    for (field, path) in [
        ("sid", "sid"),
        ("account_sid", "account_sid"),
        ("url", "url"),
        ("date_created", "date_created"),
        ("playbackUrl", "grant.playbackUrl"),
    ] {
        for wrong in ["12345", "true", "{}", "[]", r#""\ud800""#] {
            let body = match field {
                "playbackUrl" => format!(r#"{{"grant":{{"playbackUrl":{wrong}}}}}"#),
                _ => format!(r#"{{"grant":{{}},"{field}":{wrong}}}"#),
            };
            let expected = CallFailure::WrongType { field: path, expected: "a string or null" };
            assert_eq!(parse(&body).unwrap_err(), expected, "{body}");
        }
    }
    for body in ["[]", "1", "null", r#""text""#] {
        let expected = CallFailure::WrongType { field: "the answer", expected: "a JSON object" };
        assert_eq!(parse(body).unwrap_err(), expected, "{body}");
    }
}

#[test]
fn what_is_not_json_is_located() {
    for (body, category, line, column) in [
        ("", "an unexpected end", 1, 0),
        ("<html>", "a syntax error", 1, 1),
        ("{\"grant\":\n {", "an unexpected end", 2, 2),
        ("{} {}", "a syntax error", 1, 4),
    ] {
        assert_eq!(parse(body).unwrap_err(), CallFailure::NotJson { category, line, column }, "{body}");
    }
    assert!(matches!(parse_grant(b"{\"grant\":\"\xff\"}", &PlayerStreamerSid::parse(SID).unwrap()), Err(CallFailure::NotJson { .. })));
}

#[test]
fn an_answer_for_another_streamer_is_refused() {
    assert_eq!(parse(r#"{"sid":"VJffffffffffffffffffffffffffffffff","grant":{}}"#).unwrap_err(), CallFailure::OtherPlayerStreamer);
    assert!(parse(r#"{"sid":"VJ0123456789ABCDEF0123456789ABCDEF","grant":{}}"#).is_ok());
}

#[test]
fn an_error_code_is_a_number_of_five_or_six_digits_or_nothing() {
    assert_eq!(parse_error_code(br#"{"code":20404,"message":"m","status":404}"#), Some(20404));
    for body in
        ["", "<html>", "[]", "{}", r#"{"code":null}"#, r#"{"code":"20404"}"#, r#"{"code":1}"#, r#"{"code":-20404}"#, r#"{"code":20404.5}"#]
    {
        assert_eq!(parse_error_code(body.as_bytes()), None, "{body}");
    }
    assert_eq!(parse_error_code(br#"{"code":1234567}"#), None);
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![Just("null".to_owned()), Just(r#""planted-value""#.to_owned()), Just("4711471147".to_owned()), Just("true".to_owned())];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            inner.prop_map(|value| format!(r#"{{"playbackUrl":{value}}}"#)),
        ]
    })
}

proptest! {
    #[test]
    fn no_failure_shows_a_value(values in proptest::collection::vec(any_json(), 5), cut in any::<proptest::sample::Index>(), cut_it in any::<bool>()) {
        let names = ["sid", "account_sid", "url", "date_created", "grant"];
        let fields: Vec<_> = names.iter().zip(&values).map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        let mut body = format!("{{{}}}", fields.join(","));
        if cut_it {
            body.truncate(cut.index(body.len()));
        }
        match parse(&body) {
            Ok(grant) => {
                let shown = format!("{grant:?}");
                prop_assert!(!shown.contains("planted") && !shown.contains("4711471147"), "{}", shown);
            }
            Err(failure) => {
                let shown = format!("{failure} {failure:?}");
                prop_assert!(!shown.contains("planted") && !shown.contains("4711471147"), "{}", shown);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse_grant(&body, &PlayerStreamerSid::parse(SID).unwrap());
        let _ = parse_error_code(&body);
    }
}
