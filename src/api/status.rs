//! What the operator reports: the status of a `PlaybackGrantRequest`.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw and did for a request.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlaybackGrantRequestStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,

    /// `Ready`, `RefreshFailing`, `Reconciling` and `Stalled`; the last three are there only while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The Secret that holds the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub secret_name: Option<String>,

    /// The grant in the Secret, without anything secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GrantStatus")]
    pub grant: Option<GrantStatus>,

    /// When the next grant is due: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub next_refresh_time: Option<String>,

    /// How many attempts have failed since the last that succeeded.
    #[serde(default)]
    #[schemars(skip_serializing_if = "no_default_in_the_schema", extend("format" = "int32"))]
    pub consecutive_failures: u32,

    /// The value of the refresh annotation that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub last_handled_refresh_request: Option<String>,
}

// What stays the same from grant to grant is shared with whoever knows it besides.
/// The grant in the Secret, without anything secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GrantStatus {
    /// The PlayerStreamer that the grant is for.
    #[schemars(with = "String")]
    pub player_streamer_sid: Arc<str>,

    /// The account that issued the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub account_sid: Option<Arc<str>>,

    /// The URL of the grant in the Media API. It can't be played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub url: Option<Arc<str>>,

    /// When the Media API says that it made the grant: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub date_created: Option<String>,

    /// When the grant was asked for: RFC 3339, UTC, milliseconds.
    #[schemars(extend("format" = "date-time"))]
    pub issue_time: String,

    /// When the grant expires: RFC 3339, UTC, milliseconds.
    #[schemars(extend("format" = "date-time"))]
    pub expiry_time: String,
}

/// A default in the schema would make the API server write into statuses.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape for such a function")]
const fn no_default_in_the_schema(_: &u32) -> bool {
    true
}
