use std::time::Duration;

use secrecy::SecretSlice;

use super::*;
use crate::api::DeletionPolicy;
use crate::lifecycle::{Claim, Fields};
use crate::media::{GrantCall, GrantForm, PlayerStreamerSid, Ttl};
use crate::time::Instant;

const GRANT: &str = r#"{"playbackUrl":"https://play.example/?token=t"}"#;

fn sid() -> String {
    format!("VJ{}", "a".repeat(32))
}

fn spec() -> ValidSpec {
    ValidSpec {
        call: GrantCall {
            player_streamer_sid: PlayerStreamerSid::parse(&sid()).unwrap(),
            ttl: Ttl::from_seconds(15).unwrap(),
            access_control_allow_origin: None,
        },
        request_hash: "hash".into(),
        refresh_before: Duration::from_secs(5),
        credentials_secret_name: "media-api".into(),
        secret_name: "keynote".into(),
        labels: std::collections::BTreeMap::new(),
        annotations: std::collections::BTreeMap::new(),
        deletion_policy: DeletionPolicy::Delete,
        access_token: None,
        suspend: false,
    }
}

fn claim() -> Claim {
    let time = |text: &str| text.parse().unwrap();
    Claim { issue_time: time("2026-11-24T12:00:00Z"), expiry_time: time("2026-11-24T12:00:15Z"), request_hash: "hash".into() }
}

/// Three seconds after the issue.
fn now() -> Now {
    Now { instant: Instant::after_start(Duration::from_secs(1000)), wall: "2026-11-24T12:00:03Z".parse().unwrap() }
}

/// What the operator writes, with `changes` to it; an empty text takes a key away.
fn data(changes: &[(&str, &str)]) -> SecretData {
    let account = format!("AC{}", "b".repeat(32));
    let sid = sid();
    let written = [
        (key::GRANT, GRANT),
        (key::PLAYBACK_URL, "https://play.example/?token=t"),
        (key::PLAYER_STREAMER_SID, sid.as_str()),
        (key::ACCOUNT_SID, account.as_str()),
        (key::ISSUE_TIME, "2026-11-24T12:00:00.000Z"),
        (key::EXPIRY_TIME, "2026-11-24T12:00:15.000Z"),
    ];
    let kept = written.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let all = kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()));
    all.map(|(name, value)| ((*name).to_owned(), SecretSlice::from(value.as_bytes().to_vec()))).collect()
}

/// Metadata that claims that grant, where others have set that key last.
fn meta(foreign: Option<&str>) -> SecretMeta {
    let Claim { issue_time, expiry_time, request_hash } = claim();
    let claimed = [
        (annotation::ISSUE_TIME, rfc3339_millis(issue_time)),
        (annotation::EXPIRY_TIME, rfc3339_millis(expiry_time)),
        (annotation::REQUEST_HASH, request_hash.to_string()),
    ];
    SecretMeta {
        annotations: Fields::new(claimed.map(|(name, value)| (name.to_owned(), value)), |_| true),
        foreign_data: foreign.into_iter().map(str::to_owned).collect(),
        ..SecretMeta::default()
    }
}

fn read(changes: &[(&str, &str)], in_hand: Option<&HeldGrant>) -> Option<HeldGrant> {
    held_grant(&data(changes), &meta(None), &spec(), in_hand, now())
}

/// The same, where others have set that key last.
fn read_foreign(name: &str, changes: &[(&str, &str)], in_hand: Option<&HeldGrant>) -> Option<HeldGrant> {
    held_grant(&data(changes), &meta(Some(name)), &spec(), in_hand, now())
}

#[test]
fn what_was_written_is_the_grant_again() {
    let held = read(&[], None).unwrap();
    assert_eq!(held.grant.grant.expose_secret(), GRANT);
    assert_eq!(held.claim(), claim());
    assert_eq!(held.issue, Instant::after_start(Duration::from_secs(997)));
    assert_eq!(held.player_streamer_sid.as_str(), sid());
    assert!(read(&[("others", "key")], None).is_some(), "keys of others are nobody's business");
}

#[test]
fn whatever_of_it_is_changed_or_gone_it_is_not() {
    for name in [key::GRANT, key::PLAYBACK_URL, key::PLAYER_STREAMER_SID, key::ISSUE_TIME, key::EXPIRY_TIME] {
        assert!(read(&[(name, "")], None).is_none(), "{name} is gone");
    }
    for (name, value) in [
        (key::GRANT, r#"{"playbackUrl":"https://play.example/?token=u"}"#),
        (key::PLAYBACK_URL, "https://play.example/?token=u"),
        (key::PLAYER_STREAMER_SID, "VJ0123456789abcdef0123456789abcdef"),
        (key::ISSUE_TIME, "2026-11-24T12:00:01.000Z"),
        (key::EXPIRY_TIME, "2026-11-24T12:00:16.000Z"),
    ] {
        assert!(read(&[(name, value)], None).is_none(), "{name} is changed");
    }
}

#[test]
fn what_others_have_written_is_no_grant_unless_it_is_the_one_in_hand() {
    for name in [key::GRANT, key::PLAYBACK_URL, key::PLAYER_STREAMER_SID, key::ACCOUNT_SID, key::ISSUE_TIME, key::EXPIRY_TIME] {
        assert!(read_foreign(name, &[], None).is_none(), "{name} may be anybody's");
        assert!(read_foreign(name, &[], read(&[], None).as_ref()).is_some(), "{name} is what it was");
    }
    assert!(read_foreign("others", &[("others", "key")], None).is_some());
}

#[test]
fn another_operators_grant_of_the_same_millisecond_is_a_grant_and_others_text_is_none() {
    let in_hand = read(&[], None).unwrap();
    assert_eq!(read(&[], Some(&in_hand)).unwrap().issue, in_hand.issue);
    let spaced = GRANT.replacen(':', ": ", 1);
    let account = format!("AC{}", "c".repeat(32));
    for change in [(key::GRANT, spaced.as_str()), (key::ACCOUNT_SID, account.as_str())] {
        let another = read(&[change], Some(&in_hand)).unwrap();
        assert_eq!(another.claim(), in_hand.claim());
        assert!(another.grant.grant.expose_secret() != GRANT || another.grant.account_sid != in_hand.grant.account_sid, "it is another");
        assert!(read_foreign(change.0, &[change], Some(&in_hand)).is_none(), "{} was written by others", change.0);
    }
}

/// A token that carries that text as its grant, as JSON or as a string.
fn token(player: &str) -> String {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.signature", encode("{}"), encode(&format!(r#"{{"grants":{{"player":{player}}}}}"#)))
}

/// Whether the token is intact beside the grant in data with these changes.
fn intact(changes: &[(&str, &str)], foreign: Option<&str>, claimed: bool) -> bool {
    let mut meta = meta(foreign);
    if claimed {
        meta.annotations.set(annotation::TOKEN_HASH, "hash", true);
    }
    let data = data(changes);
    let held = held_grant(&data, &meta, &spec(), read(&[], None).as_ref(), now()).unwrap();
    token_is_intact(&data, &meta, &held)
}

#[test]
fn a_token_is_intact_when_it_carries_the_grant_beside_it_and_is_the_operators() {
    let good = token(GRANT);
    let written = [(key::ACCESS_TOKEN, good.as_str()), (key::ACCESS_TOKEN_EXPIRY_TIME, "2026-11-24T13:00:00.000Z")];
    assert!(intact(&written, None, true));
    assert!(intact(&written, Some("others"), true));
    for name in [key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME] {
        assert!(!intact(&written, Some(name), true), "others have set {name}");
    }
    let another = token(r#"{"playbackUrl":"https://play.example/?token=u"}"#);
    for spoilt in ["", "no token", another.as_str()] {
        assert!(!intact(&[(key::ACCESS_TOKEN, spoilt), written[1]], None, true), "{spoilt}");
    }
    for spoilt in ["", "soon"] {
        assert!(!intact(&[written[0], (key::ACCESS_TOKEN_EXPIRY_TIME, spoilt)], None, true), "{spoilt}");
    }
}

#[test]
fn where_no_token_is_claimed_none_of_the_operators_is_there() {
    assert!(intact(&[], None, false));
    for name in [key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME] {
        assert!(intact(&[(name, "somebody's")], Some(name), false), "{name} is another's");
        assert!(!intact(&[(name, "left")], None, false), "{name} has lost its hash");
    }
}

#[test]
fn the_token_tells_whether_the_grant_was_json_or_a_text() {
    let as_text = token(&serde_json::Value::from(GRANT).to_string());
    for (token, form) in [(token(GRANT), GrantForm::Json), (as_text, GrantForm::Text), (String::new(), GrantForm::Json)] {
        assert_eq!(read(&[(key::ACCESS_TOKEN, &token)], None).unwrap().grant.form, form);
    }
}
