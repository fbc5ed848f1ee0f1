use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const NOW: i64 = 1_795_521_600;

fn key(digit: &str) -> SigningKey {
    SigningKey::new(&format!("SK{}", digit.repeat(32)), format!("secret-{digit}").into())
}

fn parts() -> (Value, Value) {
    let claims = json!({
        "jti": "any", "iss": key("a").sid(), "sub": format!("AC{}", "a".repeat(32)), "nbf": NOW - 5, "iat": NOW - 5, "exp": NOW + 60,
        "grants": {"identity": "kiosk", "player": {"playbackUrl": "https://play.example/?token=planted"}},
    });
    (json!({"cty": "twilio-fpa;v=1", "typ": "JWT", "alg": "HS256"}), claims)
}

fn token((header, claims): &(Value, Value)) -> ReadToken {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key("a").signature(message.as_bytes()).unwrap();
    ReadToken::parse(&format!("{message}.{signature}")).unwrap()
}

fn codes(parts: &(Value, Value), key: Option<&SigningKey>) -> Vec<u32> {
    let found = findings(&token(parts), key, Timestamp::from_second(NOW).unwrap());
    for Finding { message, .. } in &found {
        assert!(!message.contains("planted") && !message.contains("secret-"), "{message}");
    }
    found.iter().map(|finding| finding.code.number()).collect()
}

#[test]
fn a_good_token_has_no_fault() {
    assert_eq!(codes(&parts(), Some(&key("a"))), [0_u32; 0]);
    assert_eq!(codes(&parts(), None), [0_u32; 0]);
}

#[test]
fn another_key_is_told_by_signature_and_issuer() {
    assert_eq!(codes(&parts(), Some(&key("b"))), [20107, 20103]);
    assert_eq!(codes(&parts(), Some(&SigningKey::new(key("a").sid(), "another".into()))), [20107]);
    assert_eq!(codes(&parts(), Some(&SigningKey::new(key("b").sid(), "secret-a".into()))), [20103]);
}

#[test]
fn each_header_field_has_its_one_value() {
    for (field, wrong) in
        [("alg", json!("none")), ("alg", json!("HS512")), ("typ", json!("jwt")), ("cty", json!("twilio-fpa;v=2")), ("cty", json!(1))]
    {
        let mut parts = parts();
        parts.0[field] = wrong;
        assert_eq!(codes(&parts, Some(&key("a"))), [20102], "{field}");
        let by_another = if field == "alg" { vec![20102, 20103] } else { vec![20102, 20107, 20103] };
        assert_eq!(codes(&parts, Some(&key("b"))), by_another, "{field}");
        parts.0.as_object_mut().unwrap().remove(field);
        assert_eq!(codes(&parts, Some(&key("a"))), [20102], "without {field}");
    }
}

#[test]
fn each_claim_is_told_by_its_code() {
    let sid = |prefix: &str| json!(format!("{prefix}{}", "a".repeat(32)));
    let table = [
        ("iss", Some(sid("AC")), vec![20103]),
        ("iss", None, vec![20103]),
        ("sub", Some(sid("SK")), vec![20103]),
        ("sub", Some(json!(7)), vec![20103]),
        ("sub", None, vec![20103]),
        ("exp", Some(json!(NOW)), vec![20104]),
        ("exp", Some(json!(NOW + 1)), vec![]),
        ("exp", Some(json!("soon")), vec![20104]),
        ("exp", Some(json!(17.5)), vec![20104]),
        ("exp", None, vec![20104]),
        ("exp", Some(json!(NOW - 5 + 86_400)), vec![]),
        ("exp", Some(json!(NOW - 5 + 86_401)), vec![20157]),
        ("nbf", Some(json!(NOW)), vec![]),
        ("nbf", Some(json!(NOW + 1)), vec![20105]),
        ("nbf", Some(json!("now")), vec![20105]),
        ("nbf", None, vec![]),
        ("iat", Some(json!(NOW + 1)), vec![20105]),
        ("iat", None, vec![]),
        ("grants", None, vec![20106]),
        ("grants", Some(json!([])), vec![20106]),
        ("grants", Some(json!({})), vec![20106]),
        ("grants", Some(json!({"player": null})), vec![20106]),
        ("grants", Some(json!({"player": ["planted"]})), vec![20106]),
        ("grants", Some(json!({"player": {}})), vec![20101]),
        ("grants", Some(json!({"player": {"playbackUrl": null}})), vec![20101]),
        ("grants", Some(json!({"player": "{\"playbackUrl\":\"https://planted/\"}"})), vec![20101]),
        ("grants", Some(json!({"player": {"playbackUrl": "https://planted/"}})), vec![]),
        ("grants", Some(json!({"identity": "", "player": {"playbackUrl": "https://planted/"}})), vec![20106]),
        ("grants", Some(json!({"identity": 7, "player": {"playbackUrl": "https://planted/"}})), vec![20106]),
    ];
    for (claim, value, expected) in table {
        let mut parts = parts();
        let claims = parts.1.as_object_mut().unwrap();
        claims.remove(claim);
        claims.extend(value.clone().map(|value| (claim.to_owned(), value)));
        assert_eq!(codes(&parts, None), expected, "{claim}: {value:?}");
    }
}

#[test]
fn a_long_life_is_counted_from_what_is_there() {
    let mut parts = parts();
    parts.1["exp"] = json!(NOW + 86_400);
    parts.1.as_object_mut().unwrap().remove("iat");
    assert_eq!(codes(&parts, None), [20157], "from nbf");
    parts.1.as_object_mut().unwrap().remove("nbf");
    assert_eq!(codes(&parts, None), [0_u32; 0], "from now");
    parts.1["exp"] = json!(NOW + 86_401);
    assert_eq!(codes(&parts, None), [20157]);
}
