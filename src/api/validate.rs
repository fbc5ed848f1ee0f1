//! The spec, checked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::DeletionPolicy;
use crate::media::GrantCall;

/// A spec that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidSpec {
    /// What is asked of the Media API.
    pub call: GrantCall,
    /// How long before its expiry a grant is replaced.
    pub refresh_before: Duration,
    /// The credentials Secret.
    pub credentials_secret_name: String,
    /// The grant Secret.
    pub secret_name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What becomes of it.
    pub deletion_policy: DeletionPolicy,
    /// Whether refreshing is suspended.
    pub suspend: bool,
}

/// Why a spec can't be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSpec(pub String);

/// temporary
pub fn validate(_request: &super::PlaybackGrantRequest) -> Result<ValidSpec, InvalidSpec> {
    Err(InvalidSpec(String::new()))
}
