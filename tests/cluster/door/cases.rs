//! The two sides of each rule of the spec; [`super::each_rule`] holds that none is missing.

use serde_json::{Value, json};

use super::{SID, keys};

/// How one rule is shown.
pub struct Case {
    /// The field that has it.
    pub field: &'static str,
    /// As the definition's rule has it.
    pub kind: &'static str,
    /// Changes of the spec that just keep the rule.
    pub taken: Value,
    /// Changes of the spec that just break it; null: there is no spec.
    pub refused: Value,
    /// Rules, by field and kinds, that are stricter there, or say the same, and so speak too.
    pub beside: (&'static str, &'static [&'static str]),
}

fn case(field: &'static str, kind: &'static str, taken: Value, refused: Value) -> Case {
    Case { field, kind, taken, refused, beside: ("", &[]) }
}

/// A case for each rule of the spec.
pub fn cases() -> Vec<Case> {
    const ORIGIN: &str = "spec.accessControlAllowOrigin";
    const IDENTITY: &str = "spec.accessToken.identity";
    const TOKEN_TTL: &str = "spec.accessToken.ttlSeconds";
    const CREDENTIALS: &str = "spec.credentialsSecretRef.name";
    const BEFORE: &str = "spec.refreshBeforeExpirySeconds";
    const STREAMER: &str = "spec.playerStreamerSid";
    /// Of the pattern, in words.
    const SAME: &str = "must be a PlayerStreamer's SID,";
    const NAME: &str = "spec.secret.name";
    const LABELS: &str = "spec.secret.labels";
    const ANNOTATIONS: &str = "spec.secret.annotations";
    const NO_NAME: &str = "must be a Secret's name,";
    const RESERVED: &str = "is one that the operator";
    let origin = |origin: &str| json!({"accessControlAllowOrigin": origin});
    let identity = |identity: &str| json!({"accessToken": {"identity": identity}});
    let token_ttl = |ttl: u32| json!({"accessToken": {"identity": "kiosk-1", "ttlSeconds": ttl}});
    let credentials = |name: &str| json!({"credentialsSecretRef": {"name": name}});
    let before = |before: u32, ttl: u32| json!({"refreshBeforeExpirySeconds": before, "ttlSeconds": ttl});
    let ttl = |ttl: u32| json!({"ttlSeconds": ttl});
    let streamer = |sid: &str| json!({"playerStreamerSid": sid});
    let secret = |name: &str| json!({"secret": {"name": name}});
    let label = |key: &str, value: &str| json!({"secret": {"labels": {key: value}}});
    let annotation = |key: &str, value: &str| json!({"secret": {"annotations": {key: value}}});
    let longest_host = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(61));
    let many = "a".repeat(254);
    let most = &many[1..];
    vec![
        case(ORIGIN, "maxLength", origin(&format!("https://{longest_host}:65535")), origin(&format!("https://{longest_host}:655350"))),
        case(ORIGIN, "* is not an origin:", origin("https://a"), origin("*")),
        case(ORIGIN, "must be a full origin,", origin("http://a:65535"), origin("http://a:65536")),
        case(IDENTITY, "maxLength", identity(&"é".repeat(256)), identity(&"é".repeat(257))),
        case(IDENTITY, "must be 1 to 256", identity("a"), identity("")),
        case(IDENTITY, "required", identity("a"), json!({"accessToken": {}})),
        case(TOKEN_TTL, "minimum", token_ttl(60), token_ttl(59)),
        case(TOKEN_TTL, "maximum", token_ttl(86_400), token_ttl(86_401)),
        case(CREDENTIALS, "maxLength", credentials(most), credentials(&many)),
        case(CREDENTIALS, NO_NAME, credentials("a"), credentials("")),
        case(CREDENTIALS, "required", credentials("a"), json!({"credentialsSecretRef": {}})),
        case("spec.credentialsSecretRef", "required", credentials("a"), json!({"credentialsSecretRef": null})),
        Case {
            beside: (STREAMER, &["pattern", SAME]),
            ..case(STREAMER, "maxLength", streamer(&"a".repeat(64)), streamer(&"a".repeat(65)))
        },
        Case { beside: (STREAMER, &[SAME]), ..case(STREAMER, "pattern", streamer(SID), streamer(&SID[1..])) },
        Case { beside: (STREAMER, &["pattern"]), ..case(STREAMER, SAME, streamer(SID), streamer(&format!("{SID}0"))) },
        case(STREAMER, "required", streamer(SID), json!({"playerStreamerSid": null})),
        case("spec", "required", json!({}), Value::Null),
        case("spec.ttlSeconds", "minimum", ttl(1), ttl(0)),
        case("spec.ttlSeconds", "maximum", ttl(60), ttl(61)),
        case(BEFORE, "minimum", before(1, 2), before(0, 2)),
        Case { beside: (BEFORE, &["must be 1 up to"]), ..case(BEFORE, "maximum", before(45, 60), before(46, 60)) },
        case(BEFORE, "must be 1 up to", before(3, 4), before(3, 3)),
        case(BEFORE, "no value fits a ttlSeconds", before(1, 2), before(1, 1)),
        case(
            "spec.secret.deletionPolicy",
            "enum",
            json!({"secret": {"deletionPolicy": "Retain"}}),
            json!({"secret": {"deletionPolicy": "retain"}}),
        ),
        case(NAME, "maxLength", secret(most), secret(&many)),
        case(NAME, NO_NAME, secret("0.a-b"), secret("0.a-")),
        case(NAME, "the grant's Secret (by default", secret("media-apj"), secret("media-api")),
        case(LABELS, "maxProperties", json!({"secret": {"labels": keys(32)}}), json!({"secret": {"labels": keys(33)}})),
        case("spec.secret.labels[]", "maxLength", label("a", &"b".repeat(63)), label("a", &"b".repeat(64))),
        case(LABELS, "is no label key, that", label(&"a".repeat(63), ""), label(&"a".repeat(64), "")),
        case(LABELS, "has no label value, that", label("a", "b_c"), label("a", "b_")),
        case(LABELS, RESERVED, label("playbackgrant.dev", "a"), label("playbackgrant.dev/a", "a")),
        case(ANNOTATIONS, "maxProperties", json!({"secret": {"annotations": keys(32)}}), json!({"secret": {"annotations": keys(33)}})),
        Case {
            beside: (ANNOTATIONS, &["must be at most 16384"]),
            ..case("spec.secret.annotations[]", "maxLength", annotation("a", &"b".repeat(16_384)), annotation("a", &"b".repeat(16_385)))
        },
        case(ANNOTATIONS, "is no annotation key, that", annotation(&"A".repeat(63), ""), annotation(&"A".repeat(64), "")),
        case(ANNOTATIONS, "must be at most 16384", annotation("a", &"b".repeat(16_383)), annotation("ab", &"b".repeat(16_383))),
        case(ANNOTATIONS, RESERVED, annotation("app.kubernetes.io/managed-bz", ""), annotation("app.kubernetes.io/managed-by", "")),
    ]
}
