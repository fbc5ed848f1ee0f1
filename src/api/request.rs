//! What a person asks for: the spec of a `PlaybackGrantRequest`.
//!
//! The types hold what may be stored, not what is right: a number out of range or a name that is none can have been stored through an
//! older, laxer schema, and must still be readable so that the request's status can say what to mend. [`super::validate`] tells.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rules;
use super::status::PlaybackGrantRequestStatus;

/// The lifetime that the Media API gives a grant when none is asked for, seconds (API description 1.55.2).
pub const DEFAULT_TTL_SECONDS: u8 = 15;

/// The longest lifetime that the Media API gives, seconds (API description 1.55.2).
pub const MAX_TTL_SECONDS: u8 = 60;

/// The playback grant to keep, and the Secret to keep it in.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "playbackgrant.dev",
    version = "v1alpha1",
    kind = "PlaybackGrantRequest",
    plural = "playbackgrantrequests",
    shortname = "pgr",
    namespaced,
    status = "PlaybackGrantRequestStatus",
    doc = "Asks for a Media API playback grant to be kept in a Secret, replaced before it expires.",
    validation = rules::secret_is_not_the_credentials(),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "TTL", type_ = "integer", json_path = ".spec.ttlSeconds", description = "Seconds that each grant lives."),
    // A string, since kubectl shows a `date` that lies ahead as `<invalid>`.
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.grant.expiryTime"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretName"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Streamer", type_ = "string", json_path = ".spec.playerStreamerSid", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::refresh_before_expiry())]
pub struct PlaybackGrantRequestSpec {
    /// The PlayerStreamer to play, by its SID: `VJ` and 32 hexadecimal digits, as the Media API shows it in `sid`.
    #[serde(default)]
    #[schemars(!default, length(max = 64), regex(pattern = r"^VJ[0-9a-fA-F]{32}$"))]
    #[x_kube(validation = rules::player_streamer_sid())]
    pub player_streamer_sid: String,

    /// The lifetime of each grant, in seconds: 1 to 60 (60 is the Media API's limit). Default: 15, the Media API's own default. A player that
    /// retries for up to 16 seconds needs more: 60 with the default refresh leaves it some 20. Below 5 a grant may expire before the next one is there.
    #[serde(default = "default_ttl")]
    #[schemars(range(min = 1, max = 60), extend("format" = "int32"))]
    pub ttl_seconds: i64,

    /// The full origin where the stream may be played, as a browser sends it: `http` or `https`, a host, and the port where it isn't the
    /// scheme's own; for example `https://www.example.com`. Default: the stream may be played anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 267))]
    #[x_kube(validation = rules::origin_is_not_a_star(), validation = rules::origin())]
    pub access_control_allow_origin: Option<String>,

    /// How long before its expiry a grant is replaced, in seconds: 1 up to three quarters of `ttlSeconds`. Default: a third of
    /// `ttlSeconds`, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 45))]
    pub refresh_before_expiry_seconds: Option<i64>,

    /// The Secret, in the request's own namespace, that holds the Media API's credentials: the keys `apiKeySid` and `apiKeySecret`
    /// (recommended; they win where both pairs are there), or `accountSid` and `authToken`.
    #[serde(default)]
    #[schemars(!default)]
    pub credentials_secret_ref: SecretRef,

    /// The Secret that the grant is written to, in the request's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GrantSecret")]
    pub secret: Option<GrantSecret>,

    /// The Access Token to keep in the Secret too, made anew with each grant: what an application hands to a player. The credentials must be an
    /// API key, which signs it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RequestedAccessToken")]
    pub access_token: Option<RequestedAccessToken>,

    /// Whether refreshing is suspended: the Secret keeps the grant that it has, which then expires. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// A Secret in the request's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretRef {
    /// The Secret's name: a DNS subdomain of at most 253 characters.
    #[serde(default)]
    #[schemars(!default, length(max = 253))]
    #[x_kube(validation = rules::secret_name())]
    pub name: String,
}

/// The Secret that the grant is written to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GrantSecret {
    /// The Secret's name: a DNS subdomain of at most 253 characters, and not the credentials Secret's. Default: the request's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253))]
    #[x_kube(validation = rules::secret_name())]
    pub name: Option<String>,

    /// Labels to put on the Secret: at most 32. The operator sets `app.kubernetes.io/managed-by` itself. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = json!({"type": "string", "maxLength": 63})))]
    #[x_kube(validation = rules::label_keys(), validation = rules::label_values(), validation = rules::reserved_keys())]
    pub labels: BTreeMap<String, String>,

    /// Annotations to put on the Secret: at most 32, keys and values together at most 16384 bytes. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = json!({"type": "string", "maxLength": 16384})))]
    #[x_kube(validation = rules::annotation_keys(), validation = rules::annotations_size(), validation = rules::reserved_keys())]
    pub annotations: BTreeMap<String, String>,

    /// What becomes of the Secret when the request is deleted: `Delete` deletes it too, `Retain` leaves it with the last grant in it. A change
    /// is taken over with the next write of the Secret: not while the request is suspended, nor while no grant is to be had. Default: `Delete`.
    #[serde(default = "default_deletion_policy")]
    #[schemars(with = "DeletionPolicy")]
    pub deletion_policy: String,
}

impl Default for GrantSecret {
    fn default() -> Self {
        Self { name: None, labels: BTreeMap::new(), annotations: BTreeMap::new(), deletion_policy: default_deletion_policy() }
    }
}

/// An Access Token that carries the grant.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RequestedAccessToken {
    /// Who the player is, as the token tells the Media API: 1 to 256 characters, none of them a control character.
    #[serde(default)]
    #[schemars(!default, length(max = 256))]
    #[x_kube(validation = rules::identity())]
    pub identity: String,

    /// The lifetime of the token, in seconds: 60 to 86400. It is counted from each signing, and the grant inside doesn't live any longer for
    /// it. Default: 3600.
    #[serde(default = "default_token_ttl")]
    #[schemars(range(min = 60, max = 86400), extend("format" = "int32"))]
    pub ttl_seconds: i64,
}

/// What becomes of the Secret when its request is deleted.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// The Secret is deleted with its request.
    #[default]
    Delete,
    /// The Secret stays, with the last grant in it.
    Retain,
}

impl DeletionPolicy {
    /// The policy as it stands in the spec.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }

    /// Takes `text` if it names a policy.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delete, Self::Retain].into_iter().find(|policy| policy.as_str() == text)
    }
}

const fn default_ttl() -> i64 {
    DEFAULT_TTL_SECONDS as i64
}

const fn default_token_ttl() -> i64 {
    crate::token::DEFAULT_TTL_SECONDS as i64
}

fn default_deletion_policy() -> String {
    DeletionPolicy::default().as_str().to_owned()
}
