//! What holds of every token, whatever goes in.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::*;
use crate::media::{Grant, GrantForm};

/// A key, and one whose secret differs in one character or is another altogether.
fn keys() -> impl Strategy<Value = (SigningKey, SigningKey)> {
    let change =
        prop_oneof!["[ -~]{1,256}", (any::<prop::sample::Index>(), "[ -~]").prop_map(|(at, to)| format!("{}\n{to}", at.index(1000)))];
    ("SK[0-9a-f]{32}", "[ -~]{1,256}", change).prop_filter_map("two keys", |(sid, secret, change)| {
        let other = match change.split_once('\n') {
            None => change,
            Some((at, to)) => {
                let at = at.parse::<usize>().unwrap() % secret.len();
                format!("{}{to}{}", &secret[..at], &secret[at + 1..])
            }
        };
        (other != secret).then(|| (SigningKey::new(&sid, secret.into()), SigningKey::new(&sid, other.into())))
    })
}

fn specs() -> impl Strategy<Value = AccessTokenSpec> {
    ("\\PC{1,256}", MIN_TTL_SECONDS..=MAX_TTL_SECONDS).prop_filter_map("an identity", |(identity, seconds)| {
        Some(AccessTokenSpec { identity: AccessTokenIdentity::parse(&identity)?, ttl: AccessTokenTtl::from_seconds(seconds)? })
    })
}

fn json() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from), ".*".prop_map(Value::from)];
    leaf.prop_recursive(4, 32, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..8).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

/// Grants of either form: any JSON but null and strings, in compact and in indented text; and any text.
fn grants() -> impl Strategy<Value = (Grant, Value)> {
    let grant = |text: &str, form| Grant { form, ..Grant::from_stored(text, None).unwrap() };
    let raw = (json(), any::<bool>()).prop_filter("no text", |(value, _)| !value.is_string()).prop_map(move |(value, indented)| {
        let text = if indented { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        (grant(&text, GrantForm::Json), value)
    });
    let text = prop_oneof!["(?s).{1,64}", json().prop_map(|value| value.to_string())];
    prop_oneof![raw, text.prop_map(move |text: String| (grant(&text, GrantForm::Text), Value::from(text)))]
}

fn instants() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_000_i64).prop_map(|millis| Timestamp::from_millisecond(millis).unwrap())
}

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

proptest! {
    #[test]
    fn a_token_decodes_to_what_went_in_and_verifies_with_its_key_alone(
        (key, other) in keys(), spec in specs(), (grant, value) in grants(), now in instants(), nonce: u128,
    ) {
        let AccessToken { token, expiry_time } = sign(&key, &spec, Carried { grant: &grant, account_sid: ACCOUNT }, now, Nonce(nonce)).unwrap();
        let text = token.expose_secret();
        let read = ReadToken::parse(text).unwrap();
        prop_assert!(read.is_signed_by(&key));
        prop_assert!(!read.is_signed_by(&other));
        prop_assert_ne!(key.tag(), other.tag());
        prop_assert_eq!(&read.claims["grants"]["player"], &value);
        prop_assert_eq!(form_carried(text, grant.grant.expose_secret()), Some(grant.form));
        prop_assert_eq!(read.claims["grants"]["identity"].as_str(), Some(spec.identity.as_str()));
        prop_assert_eq!(read.claims["iss"].as_str(), Some(key.sid()));
        prop_assert_eq!(read.claims["sub"].as_str(), Some(ACCOUNT));
        let signed_at = now.as_second();
        let expected = format!("{}-{signed_at}-", key.sid());
        prop_assert!(read.claims["jti"].as_str().unwrap().starts_with(&expected));
        let at = |claim: &str| read.claims[claim].as_i64().unwrap();
        prop_assert_eq!(at("exp") - signed_at, i64::from(spec.ttl.seconds()));
        prop_assert_eq!(at("exp"), expiry_time.as_second());
        prop_assert!(at("nbf") <= signed_at && at("iat") <= signed_at && at("exp") - at("iat") <= 86_400);
        let codes: Vec<_> = findings(&read, Some(&key), now).into_iter().map(|finding| finding.code).collect();
        let playable = value.get("playbackUrl").is_some_and(Value::is_string);
        prop_assert!(codes.iter().all(|code| matches!(code, Code::Token | Code::Grants)) && codes.is_empty() == playable, "{:?}", codes);
    }

    /// A change of one character anywhere is noticed.
    #[test]
    fn no_change_of_a_token_verifies((key, _) in keys(), spec in specs(), (grant, _) in grants(), now in instants(), place: prop::sample::Index, to in "[A-Za-z0-9_-]") {
        let signed = sign(&key, &spec, Carried { grant: &grant, account_sid: ACCOUNT }, now, Nonce(1)).unwrap();
        let mut text = signed.token.expose_secret().to_owned();
        let at = place.index(text.len());
        let range = at..=at;
        prop_assume!(text[range.clone()] != to);
        text.replace_range(range, &to);
        prop_assert!(ReadToken::parse(&text).map_or(true, |read| !read.is_signed_by(&key)), "{at}");
    }
}

#[test]
fn no_two_of_a_hundred_thousand_tokens_of_one_second_are_the_same() {
    let key = SigningKey::new("SK0123456789abcdef0123456789abcdef", "secret".into());
    let spec = AccessTokenSpec { identity: AccessTokenIdentity::parse("kiosk").unwrap(), ttl: AccessTokenTtl::from_seconds(60).unwrap() };
    let grant = Grant::from_stored("{}", None).unwrap();
    let now = Timestamp::UNIX_EPOCH;
    let jti = |_| {
        let token = sign(&key, &spec, Carried { grant: &grant, account_sid: ACCOUNT }, now, Nonce(rand::random())).unwrap();
        let payload = token.token.expose_secret().split('.').nth(1).unwrap().to_owned();
        // `jti` comes first: the texts are the same as far as they are the same in it.
        payload[..128].to_owned()
    };
    let different: BTreeSet<String> = (0..100_000).map(jti).collect();
    assert_eq!(different.len(), 100_000);
}
