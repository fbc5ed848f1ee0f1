//! What a person asks for: the spec of a `PlaybackGrantRequest`.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::status::PlaybackGrantRequestStatus;

/// The lifetime that the Media API gives a grant when none is asked for, seconds (API description 1.55.2).
pub const DEFAULT_TTL_SECONDS: u8 = 15;

/// The longest lifetime that the Media API gives, seconds (API description 1.55.2).
pub const MAX_TTL_SECONDS: u8 = 60;

/// The playback grant that is asked for.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "playbackgrant.dev",
    version = "v1alpha1",
    kind = "PlaybackGrantRequest",
    plural = "playbackgrantrequests",
    shortname = "pgr",
    namespaced,
    status = "PlaybackGrantRequestStatus"
)]
#[serde(rename_all = "camelCase")]
pub struct PlaybackGrantRequestSpec {
    /// The PlayerStreamer to play: `VJ` and 32 hexadecimal digits.
    pub player_streamer_sid: String,

    /// The lifetime of each grant, in seconds: 1 to 60.
    #[serde(default = "default_ttl")]
    pub ttl_seconds: u8,

    /// The full origin (scheme, host, optional port) where the stream may be played. Absent: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_control_allow_origin: Option<String>,

    /// How long before its expiry a grant is replaced, in seconds: 1 up to three quarters of the TTL. Absent: a third of the TTL, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_before_expiry_seconds: Option<u8>,

    /// The Secret, in the same namespace, that holds the Media API's credentials.
    pub credentials_secret_ref: SecretRef,

    /// The Secret that the grant is written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<GrantSecret>,

    /// Whether refreshing is suspended. The Secret keeps the grant that it has.
    #[serde(default)]
    pub suspend: bool,
}

/// A Secret in the request's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    /// The Secret's name.
    pub name: String,
}

/// The Secret that the grant is written to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GrantSecret {
    /// The Secret's name. Absent: the request's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Labels to put on the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,

    /// Annotations to put on the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,

    /// What becomes of the Secret when the request is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What becomes of the Secret when its request is deleted.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// The Secret is deleted with its request.
    #[default]
    Delete,
    /// The Secret stays, with the last grant in it.
    Retain,
}

const fn default_ttl() -> u8 {
    DEFAULT_TTL_SECONDS
}
