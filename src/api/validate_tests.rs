use std::time::Duration;

use kube::core::DeserializeGuard;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{InvalidSpec, ValidSpec, validate};
use crate::api::{DeletionPolicy, PlaybackGrantRequest, rules};

fn sid() -> String {
    format!("VJ{}", "0123456789abcdefABCDEF0123456789")
}

/// Decodes as the watch does, with `changes` merged into a spec that is well.
fn stored(changes: &Value) -> Result<PlaybackGrantRequest, String> {
    let mut spec = json!({"playerStreamerSid": sid(), "credentialsSecretRef": {"name": "media-api"}});
    for (field, value) in changes.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let object = json!({
        "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest",
        "metadata": {"name": "keynote", "namespace": "web"}, "spec": spec,
    });
    let guard: DeserializeGuard<PlaybackGrantRequest> = serde_json::from_value(object).unwrap();
    guard.0.map_err(|invalid| invalid.error)
}

fn checked(changes: &Value) -> Result<ValidSpec, InvalidSpec> {
    validate(&stored(changes).unwrap())
}

fn fields(changes: &Value) -> Vec<&'static str> {
    checked(changes).map_or_else(|invalid| invalid.violations.iter().map(|violation| violation.field).collect(), |_| Vec::new())
}

#[test]
fn what_is_left_out_has_its_default() {
    let valid = checked(&json!({})).unwrap();
    assert_eq!(valid.call.ttl.seconds(), 15);
    assert_eq!(valid.call.access_control_allow_origin, None);
    assert_eq!(valid.refresh_before, Duration::from_secs(5));
    assert_eq!((&*valid.secret_name, &*valid.credentials_secret_name), ("keynote", "media-api"));
    assert_eq!((valid.deletion_policy, valid.suspend), (DeletionPolicy::Delete, false));
    assert!(valid.labels.is_empty() && valid.annotations.is_empty());
    assert_eq!(valid.access_token, None);
    let token = checked(&json!({"accessToken": {"identity": "kiosk"}})).unwrap().access_token.unwrap();
    assert_eq!((token.identity.as_str(), token.ttl.seconds()), ("kiosk", 3600));
}

#[test]
fn a_grant_is_replaced_a_third_of_its_life_early_rounded_up() {
    for (ttl, seconds) in [(1, 1), (2, 1), (3, 1), (4, 2), (15, 5), (16, 6), (59, 20), (60, 20)] {
        assert_eq!(checked(&json!({"ttlSeconds": ttl})).unwrap().refresh_before, Duration::from_secs(seconds), "{ttl}");
    }
}

#[test]
fn an_origin_is_taken_and_a_star_has_a_remedy_of_its_own() {
    let origin = |text: &str| checked(&json!({"accessControlAllowOrigin": text}));
    let taken = origin("https://www.example.com:8443").unwrap().call.access_control_allow_origin.unwrap();
    assert_eq!(taken.as_str(), "https://www.example.com:8443");
    for (text, remedy) in
        [("*", rules::ORIGIN_STAR), ("https://www.example.com/", rules::ORIGIN), ("https://[::ffff:192.0.2.7]", rules::ORIGIN)]
    {
        assert_eq!(origin(text).unwrap_err().to_string(), format!("spec.accessControlAllowOrigin: {remedy}"), "{text}");
    }
}

#[test]
fn a_ttl_that_no_window_fits_has_a_remedy_of_its_own() {
    for (ttl, remedy) in [(1, rules::REFRESH_NOTHING_FITS), (4, rules::REFRESH_BEFORE)] {
        let invalid = checked(&json!({"ttlSeconds": ttl, "refreshBeforeExpirySeconds": 4})).unwrap_err();
        assert_eq!(invalid.to_string(), format!("spec.refreshBeforeExpirySeconds: {remedy}"), "{ttl}");
    }
}

#[test]
fn what_a_laxer_schema_let_in_is_read_and_named() {
    let cases = [
        (json!({"playerStreamerSid": null}), "spec.playerStreamerSid"),
        (json!({"playerStreamerSid": "VJ/../Accounts"}), "spec.playerStreamerSid"),
        (json!({"ttlSeconds": 1000}), "spec.ttlSeconds"),
        (json!({"ttlSeconds": -5}), "spec.ttlSeconds"),
        (json!({"ttlSeconds": i64::MAX}), "spec.ttlSeconds"),
        (json!({"ttlSeconds": 0}), "spec.ttlSeconds"),
        (json!({"accessControlAllowOrigin": "*"}), "spec.accessControlAllowOrigin"),
        (json!({"accessControlAllowOrigin": ""}), "spec.accessControlAllowOrigin"),
        (json!({"accessControlAllowOrigin": "https://a.example/\r\nX: y"}), "spec.accessControlAllowOrigin"),
        (json!({"accessControlAllowOrigin": "http://[::ffff:1.2.3.4]"}), "spec.accessControlAllowOrigin"),
        (json!({"refreshBeforeExpirySeconds": 12}), "spec.refreshBeforeExpirySeconds"),
        (json!({"refreshBeforeExpirySeconds": 0}), "spec.refreshBeforeExpirySeconds"),
        (json!({"refreshBeforeExpirySeconds": -1}), "spec.refreshBeforeExpirySeconds"),
        (json!({"ttlSeconds": 1, "refreshBeforeExpirySeconds": 1}), "spec.refreshBeforeExpirySeconds"),
        (json!({"credentialsSecretRef": null}), "spec.credentialsSecretRef.name"),
        (json!({"credentialsSecretRef": {}}), "spec.credentialsSecretRef.name"),
        (json!({"credentialsSecretRef": {"name": "../x"}}), "spec.credentialsSecretRef.name"),
        (json!({"credentialsSecretRef": {"name": "keynote"}}), "spec.secret.name"),
        (json!({"secret": {"name": "media-api"}}), "spec.secret.name"),
        (json!({"secret": {"name": "Not_a_name"}}), "spec.secret.name"),
        (json!({"secret": {"labels": {"a b": "x"}}}), "spec.secret.labels"),
        (json!({"secret": {"labels": {"a": "x y"}}}), "spec.secret.labels"),
        (json!({"secret": {"labels": {"playbackgrant.dev/owned-by": "x"}}}), "spec.secret.labels"),
        (json!({"secret": {"annotations": {"a/b/c": "x"}}}), "spec.secret.annotations"),
        (json!({"secret": {"annotations": {"a": "x".repeat(16_384)}}}), "spec.secret.annotations"),
        (json!({"secret": {"annotations": {"app.kubernetes.io/managed-by": "x"}}}), "spec.secret.annotations"),
        (json!({"secret": {"deletionPolicy": "Keep"}}), "spec.secret.deletionPolicy"),
        (json!({"accessToken": {}}), "spec.accessToken.identity"),
        (json!({"accessToken": {"identity": ""}}), "spec.accessToken.identity"),
        (json!({"accessToken": {"identity": "a\u{85}b"}}), "spec.accessToken.identity"),
        (json!({"accessToken": {"identity": "x".repeat(257)}}), "spec.accessToken.identity"),
        (json!({"accessToken": {"identity": "a", "ttlSeconds": 59}}), "spec.accessToken.ttlSeconds"),
        (json!({"accessToken": {"identity": "a", "ttlSeconds": 86_401}}), "spec.accessToken.ttlSeconds"),
        (json!({"accessToken": {"identity": "a", "ttlSeconds": -1}}), "spec.accessToken.ttlSeconds"),
        (json!({"accessToken": {"identity": "a", "ttlSeconds": i64::MAX}}), "spec.accessToken.ttlSeconds"),
    ];
    for (changes, field) in cases {
        assert_eq!(fields(&changes), [field], "{changes}");
    }
}

#[test]
fn every_violation_is_told_with_its_remedy() {
    let many: serde_json::Map<String, Value> = (0..33).map(|n| (format!("k{n}"), json!("v"))).collect();
    let changes = json!({
        "ttlSeconds": 61,
        "secret": {"labels": many, "annotations": many, "deletionPolicy": ""},
        "accessToken": {"identity": "", "ttlSeconds": 0},
    });
    let invalid = checked(&changes).unwrap_err();
    assert_eq!(
        invalid.violations.iter().map(|violation| violation.field).collect::<Vec<_>>(),
        [
            "spec.ttlSeconds",
            "spec.secret.labels",
            "spec.secret.annotations",
            "spec.secret.deletionPolicy",
            "spec.accessToken.identity",
            "spec.accessToken.ttlSeconds"
        ]
    );
    let told = invalid.to_string();
    assert!(
        told.starts_with("spec.ttlSeconds: must be 1 to 60 seconds")
            && told.contains("spec.secret.labels: must be at most 32: remove some; ")
    );
}

#[test]
fn a_hostile_key_stays_on_one_short_line() {
    let key = format!("a\n{}", "x".repeat(5000));
    let told = checked(&json!({"secret": {"labels": {key: "v"}}})).unwrap_err().to_string();
    assert!(!told.contains('\n') && told.len() < 500, "{told}");
}

#[test]
fn only_what_has_no_shape_is_left_to_the_guard() {
    for undecodable in [json!({"ttlSeconds": "15"}), json!({"ttlSeconds": 1.5}), json!({"secret": "x"}), json!({"suspend": 1})] {
        assert!(stored(&undecodable).is_err(), "{undecodable}");
    }
}

proptest! {
    #[test]
    fn the_window_is_one_second_up_to_three_quarters(ttl in -10_i64..100, before in -10_i64..100) {
        let fine = (1..=60).contains(&ttl) && before >= 1 && before * 4 <= ttl * 3;
        prop_assert_eq!(fields(&json!({"ttlSeconds": ttl, "refreshBeforeExpirySeconds": before})).is_empty(), fine);
    }

    #[test]
    fn what_is_valid_can_go_into_a_url_and_a_header(sid in ".{0,40}|VJ[0-9a-fA-F]{31,33}", origin in ".{0,30}|https?://[a-z.:0-9\\[\\]/@-]{0,20}") {
        if let Ok(valid) = checked(&json!({"playerStreamerSid": sid, "accessControlAllowOrigin": origin})) {
            prop_assert!(valid.call.player_streamer_sid.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
            let origin = valid.call.access_control_allow_origin.unwrap();
            prop_assert!(origin.as_str().bytes().all(|b| b.is_ascii_graphic() && b != b'@' && b != b'*'));
        }
    }
}
