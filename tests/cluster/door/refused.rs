//! What is refused: the answer names the object, the field and the remedy.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::{Answer, Door, SID, keys, request};
use crate::harness::{ClusterTest, Scene, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("door::a_wrong_field_is_refused_with_its_remedy", a_wrong_field_is_refused_with_its_remedy),
        test("door::a_wrong_map_is_refused_with_the_key_and_the_remedy", a_wrong_map_is_refused_with_the_key_and_the_remedy),
        test("door::a_wrong_origin_is_refused", a_wrong_origin_is_refused),
        test("door::several_mistakes_are_told_at_once", several_mistakes_are_told_at_once),
    ]
}

/// A spec's changes, the field that the answer must name, and words of the remedy.
type Case = (Value, &'static str, &'static str);

async fn all_refused(scene: &Scene, cases: Vec<Case>) -> Result<()> {
    let door = Door::open(scene);
    for (changes, field, remedy) in cases {
        let shown: String = changes.to_string().chars().take(200).collect();
        let Answer::Refused(message) = door.knock(&request(&changes)).await? else { bail!("{shown} was taken") };
        ensure!(message.contains("\"keynote\""), "{shown}: the object isn't named in {message}");
        ensure!(message.contains(&format!("{field}: ")), "{shown}: {field} isn't named in {message}");
        ensure!(message.contains(remedy), "{shown}: {remedy:?} isn't said in {message}");
        ensure!(!message.contains("failed rule"), "{shown}: no words were found for a rule: {message}");
    }
    Ok(())
}

async fn a_wrong_field_is_refused_with_its_remedy(scene: Scene) -> Result<()> {
    let sid = |text: &str| json!({"playerStreamerSid": text});
    let credentials = |name: &str| json!({"credentialsSecretRef": {"name": name}});
    let secret = |name: &str| json!({"secret": {"name": name}});
    let copy = "copy it from the sid";
    let name = "must be a Secret's name, that is at most 253 lower case letters";
    let another = "name another one in spec.secret.name";
    let cases = vec![
        (json!({"playerStreamerSid": null}), "spec.playerStreamerSid", "Required value"),
        (sid(""), "spec.playerStreamerSid", copy),
        (sid(&SID[1..]), "spec.playerStreamerSid", copy),
        (sid(&format!("{SID}0")), "spec.playerStreamerSid", copy),
        (sid(&SID.to_lowercase()), "spec.playerStreamerSid", copy),
        (sid(&SID.replace('0', "g")), "spec.playerStreamerSid", copy),
        (sid(&format!(" {SID}")), "spec.playerStreamerSid", copy),
        (sid(&format!("{SID}\n")), "spec.playerStreamerSid", copy),
        (sid(&SID.repeat(2)), "spec.playerStreamerSid", "Too long: may not be more than 64"),
        (json!({"playerStreamerSid": 7}), "spec.playerStreamerSid", "must be of type string"),
        (json!({"ttlSeconds": 0}), "spec.ttlSeconds", "should be greater than or equal to 1"),
        (json!({"ttlSeconds": -5}), "spec.ttlSeconds", "should be greater than or equal to 1"),
        (json!({"ttlSeconds": 61}), "spec.ttlSeconds", "should be less than or equal to 60"),
        (json!({"ttlSeconds": "15"}), "spec.ttlSeconds", "must be of type integer"),
        (json!({"ttlSeconds": 1.5}), "spec.ttlSeconds", "must be of type integer"),
        (json!({"refreshBeforeExpirySeconds": 0}), "spec.refreshBeforeExpirySeconds", "should be greater than or equal to 1"),
        (json!({"refreshBeforeExpirySeconds": 12}), "spec.refreshBeforeExpirySeconds", "leave the field out for a third of ttlSeconds"),
        (json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 46}), "spec.refreshBeforeExpirySeconds", "less than or equal to 45"),
        (json!({"ttlSeconds": 2, "refreshBeforeExpirySeconds": 2}), "spec.refreshBeforeExpirySeconds", "three quarters of ttlSeconds"),
        (json!({"accessToken": {}}), "spec.accessToken.identity", "Required value"),
        (json!({"accessToken": {"identity": ""}}), "spec.accessToken.identity", "give the name by which the player is known"),
        (json!({"accessToken": {"identity": "a\nb"}}), "spec.accessToken.identity", "none of them a control character"),
        (json!({"accessToken": {"identity": "a\u{9f}"}}), "spec.accessToken.identity", "none of them a control character"),
        (json!({"accessToken": {"identity": "é".repeat(257)}}), "spec.accessToken.identity", "Too long: may not be more than 256"),
        (json!({"accessToken": {"identity": 7}}), "spec.accessToken.identity", "must be of type string"),
        (json!({"accessToken": {"identity": "a", "ttlSeconds": 59}}), "spec.accessToken.ttlSeconds", "greater than or equal to 60"),
        (json!({"accessToken": {"identity": "a", "ttlSeconds": 86_401}}), "spec.accessToken.ttlSeconds", "less than or equal to 86400"),
        (json!({"ttlSeconds": 1, "refreshBeforeExpirySeconds": 1}), "spec.refreshBeforeExpirySeconds", "no value fits a ttlSeconds of 1"),
        (json!({"credentialsSecretRef": null}), "spec.credentialsSecretRef", "Required value"),
        (json!({"credentialsSecretRef": {}}), "spec.credentialsSecretRef.name", "Required value"),
        (credentials(""), "spec.credentialsSecretRef.name", name),
        (credentials("Media"), "spec.credentialsSecretRef.name", name),
        (credentials("../media"), "spec.credentialsSecretRef.name", name),
        (credentials(&"a".repeat(254)), "spec.credentialsSecretRef.name", "Too long: may not be more than 253"),
        (credentials("keynote"), "spec.secret.name", another),
        (secret("media-api"), "spec.secret.name", another),
        (secret(""), "spec.secret.name", name),
        (secret("a_b"), "spec.secret.name", name),
        (secret("a..b"), "spec.secret.name", name),
        (secret(&"a".repeat(254)), "spec.secret.name", "Too long: may not be more than 253"),
        (json!({"secret": {"deletionPolicy": "Keep"}}), "spec.secret.deletionPolicy", r#"supported values: "Delete", "Retain""#),
        (json!({"suspend": "yes"}), "spec.suspend", "must be of type boolean"),
    ];
    all_refused(&scene, cases).await
}

async fn a_wrong_map_is_refused_with_the_key_and_the_remedy(scene: Scene) -> Result<()> {
    const LABELS: &str = "spec.secret.labels";
    const ANNOTATIONS: &str = "spec.secret.annotations";
    let labels = |key: &str, value: &str| json!({"secret": {"labels": {"fine": "fine", key: value}}});
    let annotations = |key: &str, value: &str| json!({"secret": {"annotations": {"fine": "fine", key: value}}});
    let long = "x".repeat(64);
    let mut cases = vec![
        (labels("a b", "v"), LABELS, r#""a b" is no label key"#),
        (labels("", "v"), LABELS, r#""" is no label key"#),
        (labels("a\nb", "v"), LABELS, r#""a\nb" is no label key"#),
        (labels("a/b/c", "v"), LABELS, r#""a/b/c" is no label key"#),
        (labels("Example.com/a", "v"), LABELS, r#""Example.com/a" is no label key"#),
        (labels(&long, "v"), LABELS, "is no label key"),
        (labels("a", "not a value"), LABELS, r#""a" has no label value"#),
        (labels("a", "https://example.com"), LABELS, "put it into spec.secret.annotations"),
        (labels("a", "-"), LABELS, r#""a" has no label value"#),
        (labels("a", &long), "spec.secret.labels.a", "Too long: may not be more than 63"),
        (labels("app.kubernetes.io/managed-by", "me"), LABELS, r#""app.kubernetes.io/managed-by" is one that the operator sets"#),
        (labels("playbackgrant.dev/team", "web"), LABELS, r#""playbackgrant.dev/team" is one that the operator sets"#),
        (json!({"secret": {"labels": keys(33)}}), LABELS, "must have at most 32"),
        (annotations("a b", "v"), ANNOTATIONS, r#""a b" is no annotation key"#),
        (annotations("a/b/c", "v"), ANNOTATIONS, r#""a/b/c" is no annotation key"#),
        (
            annotations("playbackgrant.dev/owned-by", "keynote/x"),
            ANNOTATIONS,
            r#""playbackgrant.dev/owned-by" is one that the operator sets"#,
        ),
        (annotations("app.kubernetes.io/managed-by", "me"), ANNOTATIONS, "remove the key"),
        (json!({"secret": {"annotations": keys(33)}}), ANNOTATIONS, "must have at most 32"),
        (annotations("a", &"x".repeat(16_385)), "spec.secret.annotations.a", "Too long: may not be more than 16384"),
    ];
    // `fine` twice and `a` are 9 bytes: one too many, also where the bytes are fewer than the characters.
    let too_much = "must be at most 16384 bytes, keys and values together: remove some, or shorten them";
    cases.push((annotations("a", &"x".repeat(16_376)), ANNOTATIONS, too_much));
    cases.push((annotations("a", &"é".repeat(8_188)), ANNOTATIONS, too_much));
    all_refused(&scene, cases).await
}

async fn a_wrong_origin_is_refused(scene: Scene) -> Result<()> {
    const FIELD: &str = "spec.accessControlAllowOrigin";
    let wrong = [
        "",
        "null",
        "www.example.com",
        "//www.example.com",
        "ftp://example.com",
        "HTTPS://example.com",
        "https:/example.com",
        "https://",
        "https://example.com/",
        "https://example.com/player",
        "https://example.com?x",
        "https://example.com#x",
        "https://me@example.com",
        "https://me:word@example.com",
        "https://*.example.com",
        "https://example.com:",
        "https://example.com:0",
        "https://example.com:080",
        "https://example.com:65536",
        "https://example.com:99999",
        "https://example.com:port",
        "https://exa mple.com",
        "https://a_b.com",
        "https://-a.com",
        "https://a-.com",
        "https://a..b",
        "https://a.",
        "https://.a",
        "https://bücher.example",
        "https://[::1",
        "https://::1",
        "https://[]",
        "https://[1.2.3.4]",
        "https://[::1%25eth0]",
        "https://[::g]",
        "https://[::1]x",
        "https://[::1]:0",
        "https://[::ffff:1.2.3.4]",
        "https://example.com https://example.org",
        "https://example.com,https://example.org",
        "https://example.com\n",
        "https://example.com\r\nX: y",
    ];
    let long_label = format!("https://{}.example", "a".repeat(64));
    let long_host = format!("http://{}", "a.".repeat(127).trim_end_matches('.').to_owned() + "aa");
    let mut cases: Vec<Case> = vec![
        (json!({"accessControlAllowOrigin": "*"}), FIELD, "* is not an origin: leave the field out to let the stream be played anywhere"),
        (json!({"accessControlAllowOrigin": format!("https://{}", "a".repeat(300))}), FIELD, "Too long: may not be more than 267"),
    ];
    let all = wrong.into_iter().chain([long_label.as_str(), long_host.as_str()]);
    cases.extend(
        all.map(|origin| (json!({"accessControlAllowOrigin": origin}), FIELD, "must be a full origin, that is http:// or https://")),
    );
    all_refused(&scene, cases).await
}

async fn several_mistakes_are_told_at_once(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let changes = json!({"playerStreamerSid": "VJ1", "ttlSeconds": 90, "accessControlAllowOrigin": "*", "secret": {"name": "media-api"}});
    let Answer::Refused(message) = door.knock(&request(&changes)).await? else { bail!("{changes} was taken") };
    for field in ["spec.playerStreamerSid: ", "spec.ttlSeconds: ", "spec.accessControlAllowOrigin: ", "spec.secret.name: "] {
        ensure!(message.contains(field), "{field} isn't named in {message}");
    }
    Ok(())
}
