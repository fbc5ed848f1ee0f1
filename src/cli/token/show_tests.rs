use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::token::{SigningKey, findings};

const NOW: i64 = 1_795_521_600;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn claims() -> Value {
    json!({
        "jti": "SK1-1", "iss": format!("SK{}", "a".repeat(32)), "sub": format!("AC{}", "a".repeat(32)),
        "nbf": NOW - 30, "iat": NOW - 30, "exp": NOW + 3570,
        "grants": {
            "identity": "kiosk 1",
            "player": {
                "playbackUrl": "https://user:planted@play.example:444/a/b?token=planted&expires=planted#planted",
                "playerStreamerSid": "VJ1",
                "requestCredentials": null,
                "new": {"secret": "planted"},
            },
        },
    })
}

struct Scene {
    claims: Value,
    beside: Option<Beside>,
    key: Option<SigningKey>,
    show_secrets: bool,
}

fn scene() -> Scene {
    Scene { claims: claims(), beside: None, key: None, show_secrets: false }
}

impl Scene {
    /// What is shown, and whether the token is good.
    fn shown(&self) -> (String, bool) {
        let encode = |text: &[u8]| URL_SAFE_NO_PAD.encode(text);
        let header = encode(br#"{"alg":"HS256","cty":"twilio-fpa;v=1","typ":"JWT"}"#);
        let message = format!("{header}.{}", encode(self.claims.to_string().as_bytes()));
        let signature = jsonwebtoken::crypto::sign(
            message.as_bytes(),
            &jsonwebtoken::EncodingKey::from_secret(b"right"),
            jsonwebtoken::Algorithm::HS256,
        );
        let read = ReadToken::parse(&format!("{message}.{}", signature.unwrap())).unwrap();
        let signature = if self.key.is_some() { Signature::VerifiedWith("Secret web/media-api") } else { Signature::NotVerified };
        let findings = findings(&read, self.key.as_ref(), now());
        let shown = Shown {
            place: "standard input",
            read: &read,
            findings: &findings,
            beside: self.beside.as_ref(),
            signature,
            show_secrets: self.show_secrets,
        };
        (shown.text(now()), shown.is_good(now()))
    }
}

#[test]
fn a_person_sees_times_as_remaining_life_and_no_secret() {
    let (text, good) = scene().shown();
    let expected = "Access Token in standard input

header
  alg  HS256
  cty  twilio-fpa;v=1
  typ  JWT

claims
  jti                               SK1-1
  iss                               SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  sub                               ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  nbf                               2026-11-24T11:59:30Z  (30 s ago)
  iat                               2026-11-24T11:59:30Z  (30 s ago)
  exp                               2026-11-24T12:59:30Z  (in 59 min 30 s)
  grants.identity                   kiosk 1
  grants.player.new                 *** (masked; --show-secrets shows it)
  grants.player.playbackUrl         https://play.example:444/***?token=***&expires=***
  grants.player.playerStreamerSid   VJ1
  grants.player.requestCredentials  null

signature  not verified (give --key-secret or --key-file)
token      good, as far as can be told without the key
";
    assert_eq!((text.as_str(), good), (expected, true));
}

#[test]
fn what_is_secret_is_shown_to_who_asks_for_it() {
    let (text, _) = Scene { show_secrets: true, ..scene() }.shown();
    assert!(text.contains("?token=planted&expires=planted#planted") && text.contains(r#"{"secret":"planted"}"#), "{text}");
}

#[test]
fn a_grant_of_another_kind_is_masked_as_a_whole() {
    for player in [
        json!("{\"playbackUrl\":\"https://planted/\"}"),
        json!(["planted"]),
        json!({"playbackUrl": ["planted"]}),
        json!({"playbackUrl": "planted"}),
    ] {
        let mut scene = scene();
        scene.claims["grants"]["player"] = player.clone();
        let (text, _) = scene.shown();
        assert!(!text.contains("planted") && text.contains("***"), "{player}: {text}");
    }
    let mut scene = scene();
    scene.claims["grants"] = json!(["planted"]);
    let (text, good) = scene.shown();
    assert!(!text.contains("planted") && text.contains("grants") && !good, "{text}");
}

#[test]
fn nothing_of_a_playback_url_is_shown_but_its_host_and_its_parameters_names() {
    for (url, shown) in [
        ("https://play.example/a?planted", "https://play.example/***?***"),
        ("http://play.example:8080/planted/a.m3u8;token=planted", "http://play.example:8080/***"),
        ("https://play.example/a?x&token=planted#planted", "https://play.example/***?***&token=***"),
        ("https://play.example?planted%20planted=1&a-b_C=&=planted", "https://play.example/***?***&a-b_C=***&=***"),
        (&format!("https://play.example/?{}=1", "planted".repeat(5)), "https://play.example/***?***"),
        ("https://planted:planted@[::1]:444/", "https://[::1]:444/***"),
        ("data:planted", "*** (no http(s) URL; --show-secrets shows it)"),
        ("planted", "*** (no http(s) URL; --show-secrets shows it)"),
    ] {
        assert_eq!(masked_url(url), shown);
    }
}

#[test]
fn a_signature_is_good_by_the_key_that_made_it() {
    let key = SigningKey::new(&format!("SK{}", "a".repeat(32)), "right".into());
    let (text, good) = Scene { key: Some(key), ..scene() }.shown();
    assert!(good && text.ends_with("\nsignature  good, by the key in Secret web/media-api\ntoken      good\n"), "{text}");
}

#[test]
fn a_bad_signature_and_a_bad_token_are_told_apart() {
    let key = |secret: &str| Some(SigningKey::new(&format!("SK{}", "a".repeat(32)), secret.to_owned().into()));
    let (text, good) = Scene { key: key("wrong"), ..scene() }.shown();
    assert!(!good && text.contains("\nsignature  BAD, by the key in Secret web/media-api\ntoken      BAD\n  20107  "), "{text}");
    let mut expired = Scene { key: key("right"), ..scene() };
    expired.claims["exp"] = json!(NOW);
    let (text, good) = expired.shown();
    assert!(!good && text.contains("\nsignature  good, by the key in Secret web/media-api\ntoken      BAD\n  20104  "), "{text}");
}

#[test]
fn a_grant_that_is_not_there_is_shown_as_that() {
    let mut scene = scene();
    scene.claims["grants"]["player"] = Value::Null;
    assert!(scene.shown().0.contains("  grants.player    null\n"), "{}", scene.shown().0);
}

#[test]
fn what_is_wrong_is_told_with_the_media_apis_code() {
    let key = SigningKey::new(&format!("SK{}", "a".repeat(32)), "secret".into());
    let mut scene = Scene { key: Some(key), ..scene() };
    scene.claims["exp"] = json!(NOW - 7200);
    let (text, good) = scene.shown();
    assert!(!good);
    let end = text.split_once("\nsignature").unwrap().1;
    assert!(
        end.starts_with("  BAD, by the key in Secret web/media-api\ntoken      BAD\n  20107  ")
            && end.contains("\n  20104  it has expired"),
        "{end}"
    );
    assert!(text.contains("exp                               2026-11-24T10:00:00Z  (2 h 0 min ago)"), "{text}");
}

#[test]
fn the_grant_beside_it_is_told_of() {
    let beside = |is_carried, seconds: Option<i64>| {
        let expiry_time = seconds.map(|seconds| Timestamp::from_second(NOW + seconds).unwrap());
        Scene { beside: Some(Beside { is_carried, expiry_time }), ..scene() }.shown()
    };
    let (text, good) = beside(true, Some(9));
    assert!(
        good && text.contains("\ngrant beside it\n  it is    the one in the token\n  expires  2026-11-24T12:00:09Z  (in 9 s)\n"),
        "{text}"
    );
    assert!(beside(true, Some(1)).1 && beside(true, None).1);
    let (text, good) = beside(true, Some(0));
    assert!(!good && text.ends_with("token      BAD\n         the grant in it has expired, though the token may not have: see the status of its PlaybackGrantRequest\n"), "{text}");
    let (text, good) = beside(false, Some(9));
    assert!(!good && text.contains("it is    another than the one in the token"), "{text}");
}

#[test]
fn nothing_in_a_token_speaks_to_the_terminal() {
    let mut scene = scene();
    scene.claims["grants"]["identity"] = json!("\u{1b}[2J\u{9b}2Jkiosk\nsignature  good\u{202e}\u{200b}\u{2028}");
    scene.claims["\u{1b}]0;x\u{7}"] = json!({"\u{9b}": "\u{1b}"});
    let (text, _) = scene.shown();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.contains("good\\u{202e}\\u{200b}\\u{2028}\n"), "{text}");
    assert!(text.contains("\\u{1b}[2J\\u{9b}2Jkiosk\\u{a}signature"), "{text}");
}

#[test]
fn what_is_now_is_over() {
    assert_eq!(moment(now(), now()), "2026-11-24T12:00:00Z  (0 s ago)");
    assert_eq!(moment(Timestamp::from_second(NOW + 1).unwrap(), now()), "2026-11-24T12:00:01Z  (in 1 s)");
}

#[test]
fn spans_are_told_in_two_units() {
    for (seconds, told) in
        [(0.0, "0 s"), (119.9, "119 s"), (120.0, "2 min 0 s"), (7199.0, "119 min 59 s"), (7200.0, "2 h 0 min"), (86_399.0, "23 h 59 min")]
    {
        assert_eq!(span(seconds), told);
    }
}
