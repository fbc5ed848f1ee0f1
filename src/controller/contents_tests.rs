use std::time::Duration;

use secrecy::SecretSlice;

use super::*;
use crate::api::DeletionPolicy;
use crate::media::{GrantCall, PlayerStreamerSid, Ttl};
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
        refresh_before: Duration::from_secs(5),
        credentials_secret_name: "media-api".into(),
        secret_name: "keynote".into(),
        labels: std::collections::BTreeMap::new(),
        annotations: std::collections::BTreeMap::new(),
        deletion_policy: DeletionPolicy::Delete,
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

fn read(changes: &[(&str, &str)], in_hand: Option<&HeldGrant>) -> Option<HeldGrant> {
    held_grant(&data(changes), &claim(), &spec(), in_hand, now())
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
fn the_same_grant_in_hand_has_to_be_equal_to_the_last_byte() {
    let in_hand = read(&[], None).unwrap();
    let again = read(&[], Some(&in_hand)).unwrap();
    assert_eq!(again.issue, in_hand.issue);
    let spaced = GRANT.replacen(':', ": ", 1);
    assert!(read(&[(key::GRANT, &spaced)], Some(&in_hand)).is_none(), "the same JSON, written otherwise");
    let account = format!("AC{}", "c".repeat(32));
    assert!(read(&[(key::ACCOUNT_SID, &account)], Some(&in_hand)).is_none(), "another account");
    // One that claims other times is another grant, and is believed by itself.
    let later = HeldGrant { issue_time: "2026-11-24T12:00:02Z".parse().unwrap(), ..in_hand };
    assert!(read(&[(key::GRANT, &spaced)], Some(&later)).is_some_and(|held| held.issue_time == claim().issue_time));
}
