//! Secrets in the API server's form, in buffers that are wiped.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{ApiFailure, Metadata};
use crate::api::PlaybackGrantRequestStatus;
use crate::api::names::key;
use crate::lifecycle::{HeldGrant, Owner, SecretMeta, SecretOrder, SecretVersion};
use crate::time::rfc3339_millis;
use crate::token::AccessToken;

/// A Secret's data, decoded. It doesn't print and is wiped.
pub type SecretData = BTreeMap<String, SecretSlice<u8>>;

/// The value of that key, if it is there and a text.
#[must_use]
pub fn text<'a>(data: &'a SecretData, name: &str) -> Option<&'a str> {
    std::str::from_utf8(data.get(name)?.expose_secret()).ok()
}

/// A Secret read whole.
pub struct ReadSecret {
    /// Its metadata.
    pub meta: SecretMeta,
    /// Its data.
    pub data: SecretData,
}

#[derive(Deserialize)]
struct SecretAnswer {
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, Zeroizing<String>>>,
}

impl ReadSecret {
    pub(super) fn parse(answer: &[u8]) -> Result<Self, ApiFailure> {
        let SecretAnswer { metadata, data } = serde_json::from_slice(answer).map_err(|error| unreadable(&error))?;
        let decode = |(name, value): (String, Zeroizing<String>)| {
            let decoded = STANDARD.decode(value.as_bytes()).map_err(|_| ApiFailure::Unreadable("a value that isn't base64".to_owned()))?;
            Ok((name, SecretSlice::from(decoded)))
        };
        let data = data.unwrap_or_default().into_iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Self { meta: metadata.into_secret(), data })
    }
}

/// Where an answer can't be read; never what stands there.
pub(super) fn unreadable(error: &serde_json::Error) -> ApiFailure {
    ApiFailure::Unreadable(format!(
        "the API server's answer can't be read ({:?} error at line {}, column {})",
        error.classify(),
        error.line(),
        error.column()
    ))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    type_: Option<&'a str>,
    metadata: MetadataBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<BTreeMap<&'a str, Option<Zeroizing<String>>>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct MetadataBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<&'a str>,
    labels: BTreeMap<&'a str, Option<&'a str>>,
    annotations: BTreeMap<&'a str, Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_references: Option<Vec<OwnerBody<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnerBody<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    uid: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    controller: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    block_owner_deletion: bool,
}

pub(super) fn create(name: &str, order: &SecretOrder, token: Option<&AccessToken>) -> Result<Bytes, ApiFailure> {
    let mut metadata = MetadataBody { name: Some(name), ..metadata(order) };
    metadata.labels.retain(|_, value| value.is_some());
    metadata.annotations.retain(|_, value| value.is_some());
    let mut data = order.contents.as_ref().map(|contents| data(&contents.grant, token)).unwrap_or_default();
    data.retain(|_, value| value.is_some());
    encode(&SecretBody { api_version: Some("v1"), kind: Some("Secret"), type_: Some("Opaque"), metadata, data: Some(data) })
}

pub(super) fn patch(version: &SecretVersion, order: &SecretOrder, token: Option<&AccessToken>) -> Result<Bytes, ApiFailure> {
    let metadata = MetadataBody { uid: Some(version.uid()), resource_version: Some(version.resource_version()), ..metadata(order) };
    // The type is told too: a Secret of another one can't be changed, and is made anew.
    let data = match &order.contents {
        Some(contents) => {
            let mut data = data(&contents.grant, token);
            data.retain(|name, _| !order.spared.contains(name));
            Some(data)
        }
        None => order.drops_token.then(|| BTreeMap::from([(key::ACCESS_TOKEN, None), (key::ACCESS_TOKEN_EXPIRY_TIME, None)])),
    };
    encode(&SecretBody { api_version: None, kind: None, type_: Some("Opaque"), metadata, data })
}

/// One operation of a JSON patch of a request.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation<'a> {
    Test { path: &'static str, value: &'a str },
    Replace { path: &'static str, value: &'a str },
    Add { path: &'static str, value: &'a PlaybackGrantRequestStatus },
}

/// Sets the status of the request with that uid, if it is still that version.
pub(super) fn status(uid: &str, version: Option<&str>, status: &PlaybackGrantRequestStatus) -> Result<Bytes, ApiFailure> {
    let is_this = Operation::Test { path: "/metadata/uid", value: uid };
    let is_at = version.map(|value| Operation::Replace { path: "/metadata/resourceVersion", value });
    let says = Operation::Add { path: "/status", value: status };
    let operations: Vec<_> = [is_this].into_iter().chain(is_at).chain([says]).collect();
    serde_json::to_vec(&operations).map(Bytes::from).map_err(|_| ApiFailure::Impossible)
}

fn encode(body: &SecretBody<'_>) -> Result<Bytes, ApiFailure> {
    // As long as it may become: what grows is copied, and leaves what it held.
    let mut text = Zeroizing::new(Vec::with_capacity(room(body)));
    serde_json::to_writer(&mut *text, body).map_err(|_| ApiFailure::Impossible)?;
    Ok(Bytes::from_owner(text))
}

/// How many bytes the body has at the most: base64 is never escaped, any other character may become six.
fn room(body: &SecretBody<'_>) -> usize {
    const FRAME: usize = 1024;
    const ENTRY: usize = 16;
    let data = body.data.iter().flatten().map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.len()) + ENTRY);
    let MetadataBody { name, uid, resource_version, labels, annotations, owner_references } = &body.metadata;
    let maps = labels.iter().chain(annotations).map(|(name, value)| 6 * (name.len() + value.map_or(0, str::len)) + ENTRY);
    let owners = owner_references.iter().flatten().map(|owner| {
        let OwnerBody { api_version, kind, name, uid, controller: _, block_owner_deletion: _ } = owner;
        6 * (api_version.len() + kind.len() + name.len() + uid.len()) + 128
    });
    let names = [name, uid, resource_version].into_iter().flatten().map(|text| 6 * text.len());
    FRAME + data.chain(maps).chain(owners).chain(names).sum::<usize>()
}

fn metadata(order: &SecretOrder) -> MetadataBody<'_> {
    MetadataBody {
        labels: order.labels.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect(),
        annotations: order.annotations.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect(),
        owner_references: order.owners.as_deref().map(|owners| owners.iter().map(owner).collect()),
        ..MetadataBody::default()
    }
}

fn owner(owner: &Owner) -> OwnerBody<'_> {
    let Owner { api_version, kind, name, uid, controller, block_owner_deletion } = owner;
    OwnerBody { api_version, kind, name, uid, controller: *controller, block_owner_deletion: *block_owner_deletion }
}

/// All keys of a grant Secret; `None` for one that isn't to be there, so that an earlier grant's goes.
fn data(held: &HeldGrant, token: Option<&AccessToken>) -> BTreeMap<&'static str, Option<Zeroizing<String>>> {
    let claim = held.claim();
    let encoded = |text: &str| Some(Zeroizing::new(STANDARD.encode(text)));
    BTreeMap::from([
        (key::GRANT, encoded(held.grant.grant.expose_secret())),
        (key::PLAYBACK_URL, held.grant.playback_url().and_then(|url| encoded(url.expose_secret()))),
        (key::PLAYER_STREAMER_SID, encoded(held.player_streamer_sid.as_str())),
        (key::ACCOUNT_SID, held.grant.account_sid.as_deref().and_then(encoded)),
        (key::ISSUE_TIME, encoded(&rfc3339_millis(claim.issue_time))),
        (key::EXPIRY_TIME, encoded(&rfc3339_millis(claim.expiry_time))),
        (key::ACCESS_TOKEN, token.and_then(|token| encoded(token.token.expose_secret()))),
        (key::ACCESS_TOKEN_EXPIRY_TIME, token.and_then(|token| encoded(&rfc3339_millis(token.expiry_time)))),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_never_outgrows_its_buffer_nor_the_buffer_the_body() {
        const SLACK: usize = 8 * 1024;
        let worst = "\u{1}".repeat(3000);
        let entries: Vec<String> = (3000..3040).map(|length| "\u{1}".repeat(length)).collect();
        let map = || entries.iter().map(|text| (text.as_str(), Some(text.as_str()))).collect::<BTreeMap<_, _>>();
        let owner =
            || OwnerBody { api_version: &worst, kind: &worst, name: &worst, uid: &worst, controller: true, block_owner_deletion: true };
        let names = |value: &Option<Zeroizing<String>>| -> BTreeMap<&str, _> {
            [key::GRANT, key::PLAYBACK_URL, key::ACCESS_TOKEN_EXPIRY_TIME].into_iter().map(|name| (name, value.clone())).collect()
        };
        let full = SecretBody {
            api_version: Some("v1"),
            kind: Some("Secret"),
            type_: Some("Opaque"),
            metadata: MetadataBody {
                name: Some(&worst),
                uid: Some(&worst),
                resource_version: Some(&worst),
                labels: map(),
                annotations: map(),
                owner_references: Some((0..20).map(|_| owner()).collect()),
            },
            data: Some(names(&Some(Zeroizing::new(STANDARD.encode(&worst))))),
        };
        let bare = SecretBody { api_version: None, kind: None, type_: None, metadata: MetadataBody::default(), data: Some(names(&None)) };
        for body in [full, bare] {
            let room = room(&body);
            let mut text = Vec::with_capacity(room);
            serde_json::to_writer(&mut text, &body).unwrap();
            assert!(text.len() <= room && text.capacity() == room, "{} bytes in a buffer of {room}", text.len());
            assert!(room <= text.len() + SLACK, "a buffer of {room} for {} bytes", text.len());
        }
    }

    fn order(spared: &[&'static str]) -> SecretOrder {
        let held = HeldGrant {
            grant: crate::media::Grant::from_stored("{}", None).unwrap(),
            player_streamer_sid: crate::media::PlayerStreamerSid::parse(&format!("VJ{}", "a".repeat(32))).unwrap(),
            issue: crate::time::Instant::after_start(std::time::Duration::ZERO),
            issue_time: k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            ttl: crate::media::Ttl::from_seconds(15).unwrap(),
            request_hash: "hash".into(),
        };
        SecretOrder {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            owners: None,
            contents: Some(crate::lifecycle::Contents { grant: std::sync::Arc::new(held), token: None }),
            spared: spared.to_vec(),
            drops_token: false,
        }
    }

    #[test]
    fn a_status_is_set_on_that_request_and_on_that_version_if_one_is_given() {
        let says = PlaybackGrantRequestStatus { secret_name: Some("lobby".into()), ..PlaybackGrantRequestStatus::default() };
        let patch = |version| -> serde_json::Value { serde_json::from_slice(&status("uid-1", version, &says).unwrap()).unwrap() };
        let is_this = json!({"op": "test", "path": "/metadata/uid", "value": "uid-1"});
        let is_at = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"});
        let sets = json!({"op": "add", "path": "/status", "value": {"secretName": "lobby", "consecutiveFailures": 0}});
        assert_eq!(patch(Some("7")), json!([is_this, is_at, sets]));
        assert_eq!(patch(None), json!([is_this, sets]));
    }

    /// What a patch says of the data: each key as text, or `null`.
    fn patched(order: &SecretOrder, token: Option<&AccessToken>) -> Option<BTreeMap<String, Option<String>>> {
        let body = patch(&SecretVersion::default(), order, token).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let text = |value: &serde_json::Value| String::from_utf8(STANDARD.decode(value.as_str()?).unwrap()).ok();
        Some(body.get("data")?.as_object()?.iter().map(|(name, value)| (name.clone(), text(value))).collect())
    }

    #[test]
    fn a_token_goes_in_with_its_expiry_and_out_with_null() {
        let token = AccessToken { token: "token".into(), expiry_time: "2026-11-24T13:00:00Z".parse().unwrap() };
        let with = patched(&order(&[]), Some(&token)).unwrap();
        assert_eq!(with[key::ACCESS_TOKEN].as_deref(), Some("token"));
        assert_eq!(with[key::ACCESS_TOKEN_EXPIRY_TIME].as_deref(), Some("2026-11-24T13:00:00.000Z"));
        assert_eq!(with[key::EXPIRY_TIME].as_deref(), Some("1970-01-01T00:00:15.000Z"), "the grant's own");
        let without = patched(&order(&[]), None).unwrap();
        assert_eq!((&without[key::ACCESS_TOKEN], &without[key::ACCESS_TOKEN_EXPIRY_TIME]), (&None, &None));
        assert_eq!(without[key::GRANT].as_deref(), Some("{}"));
        let spared = patched(&order(&[key::ACCESS_TOKEN]), None).unwrap();
        assert!(!spared.contains_key(key::ACCESS_TOKEN) && spared[key::ACCESS_TOKEN_EXPIRY_TIME].is_none());
    }

    #[test]
    fn without_contents_the_data_stays_but_for_a_token_that_goes() {
        let bare = |drops_token| SecretOrder { contents: None, drops_token, ..order(&[]) };
        assert_eq!(patched(&bare(false), None), None);
        let gone = [key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME].map(|name| (name.to_owned(), None));
        assert_eq!(patched(&bare(true), None), Some(gone.into()));
    }

    #[test]
    fn metadata_are_told_whole_and_a_change_names_its_version() {
        let owner = Owner {
            api_version: "playbackgrant.dev/v1alpha1".into(),
            kind: "PlaybackGrantRequest".into(),
            name: "lobby".into(),
            uid: "u1".into(),
            controller: true,
            block_owner_deletion: false,
        };
        let texts = |texts: [(&str, Option<&str>); 2]| texts.map(|(key, value)| (key.to_owned(), value.map(str::to_owned))).into();
        let order = SecretOrder {
            labels: texts([("tier", Some("one")), ("left", None)]),
            annotations: texts([("note", Some("two")), ("gone", None)]),
            owners: Some(vec![owner]),
            ..order(&[])
        };
        let metadata = |body: Bytes| serde_json::from_slice::<serde_json::Value>(&body).unwrap()["metadata"].clone();
        let owners = json!([{"apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "name": "lobby", "uid": "u1", "controller": true}]);
        assert_eq!(
            metadata(create("keynote", &order, None).unwrap()),
            json!({"name": "keynote", "labels": {"tier": "one"}, "annotations": {"note": "two"}, "ownerReferences": owners}),
        );
        let version = SecretVersion::new("u2", "7");
        assert_eq!(
            metadata(patch(&version, &order, None).unwrap()),
            json!({
                "uid": "u2", "resourceVersion": "7",
                "labels": {"tier": "one", "left": null}, "annotations": {"note": "two", "gone": null}, "ownerReferences": owners,
            }),
        );
    }

    #[test]
    fn a_new_secret_has_no_keys_without_values() {
        let body = create("keynote", &order(&[]), None).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let names: Vec<_> = body["data"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["expiryTime", "grant", "issueTime", "playerStreamerSid"]);
    }
}
