use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::token::{AccessTokenIdentity, AccessTokenTtl, ReadToken};

const KEY: &str = "SK0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

fn signed(grant: &str, ttl: u32, now: &str) -> (AccessToken, ReadToken) {
    let key = SigningKey::new(KEY, "0123456789abcdef0123456789abcdef".into());
    let spec = AccessTokenSpec {
        identity: AccessTokenIdentity::parse("kiosk \"1\" ü").unwrap(),
        ttl: AccessTokenTtl::from_seconds(ttl).unwrap(),
    };
    let grant = Grant::from_stored(grant, None).unwrap();
    let now: Timestamp = now.parse().unwrap();
    let token = sign(&key, &spec, Carried { grant: &grant, account_sid: ACCOUNT }, now, Nonce(0xabc)).unwrap();
    let read = ReadToken::parse(token.token.expose_secret()).unwrap();
    assert!(read.is_signed_by(&key));
    (token, read)
}

#[test]
fn header_and_claims_are_as_the_vendors_platform_expects_them() {
    let (token, read) =
        signed(r#"{"playbackUrl":"https://play.example/?token=t","requestCredentials":null}"#, 3600, "2026-11-24T12:00:00.999Z");
    assert_eq!(Value::Object(read.header), json!({"cty": "twilio-fpa;v=1", "typ": "JWT", "alg": "HS256"}));
    let at = 1_795_521_600;
    let claims = json!({
        "jti": format!("{KEY}-{at}-00000000000000000000000000000abc"),
        "iss": KEY,
        "sub": ACCOUNT,
        "nbf": at - 10,
        "iat": at - 10,
        "exp": at + 3600,
        "grants": {
            "identity": "kiosk \"1\" ü",
            "player": {"playbackUrl": "https://play.example/?token=t", "requestCredentials": null},
        },
    });
    assert_eq!(Value::Object(read.claims), claims);
    assert_eq!(token.expiry_time, "2026-11-24T13:00:00Z".parse().unwrap());
}

#[test]
fn no_token_lives_for_more_than_a_day_from_its_issue() {
    for (ttl, before) in [(60, 10), (86_389, 10), (86_390, 10), (86_391, 9), (86_399, 1), (86_400, 0)] {
        let (_, read) = signed("{}", ttl, "2026-11-24T12:00:00Z");
        let at = |field: &str| read.claims[field].as_i64().unwrap();
        assert_eq!((at("exp") - 1_795_521_600, 1_795_521_600 - at("iat"), 1_795_521_600 - at("nbf")), (ttl.into(), before, before));
        assert!(at("exp") - at("iat") <= 86_400);
    }
}

#[test]
fn the_grant_goes_in_byte_by_byte() {
    for grant in [r#"{ "b":1.0e2,"a":[ "\u00e9" ],"b":2 }"#, "[1, 2]", "17", "true"] {
        let (token, _) = signed(grant, 60, "2026-11-24T12:00:00Z");
        let claims = token.token.expose_secret().split('.').nth(1).unwrap().to_owned();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert!(claims.ends_with(&format!(r#""player":{grant}}}}}"#)), "{claims}");
    }
    let (_, read) = signed("opaque \"text\"", 60, "2026-11-24T12:00:00Z");
    assert_eq!(read.claims["grants"]["player"], json!("opaque \"text\""));
}

#[test]
fn a_buffer_once_made_is_long_enough() {
    let spec = AccessTokenSpec {
        identity: AccessTokenIdentity::parse(&"\"".repeat(256)).unwrap(),
        ttl: AccessTokenTtl::from_seconds(86_400).unwrap(),
    };
    let text = "\u{1}".repeat(4096);
    let claims = Claims {
        jti: &format!("{KEY}-{}-{:032x}", i64::MIN, u128::MAX),
        iss: KEY,
        sub: ACCOUNT,
        nbf: i64::MIN,
        iat: i64::MIN,
        exp: i64::MIN,
        grants: Grants { identity: spec.identity.as_str(), player: Player::Text(&text) },
    };
    let buffer = in_wiped_buffer(&claims, text.len() + 256).unwrap();
    assert_eq!(buffer.capacity(), 512 + 6 * (4096 + 256), "it has grown, and left a copy of the grant behind");
}

#[test]
fn nothing_secret_is_printed() {
    let (token, _) = signed(r#"{"playbackUrl":"https://planted/"}"#, 60, "2026-11-24T12:00:00Z");
    let shown = format!("{token:?}");
    assert!(!shown.contains("eyJ") && !shown.contains("planted"), "{shown}");
}
