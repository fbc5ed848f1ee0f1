//! What is known of a Secret without its data.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::fields::Fields;
use crate::api::names::{MANAGED_BY, MANAGED_BY_LABEL, annotation};

/// A Secret as last seen, in the watch or in the answer to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretView {
    /// The watch shows none, which proves nothing: one without the operator's label isn't in it.
    NotLooked,
    /// It was looked for and isn't there.
    Absent,
    /// It is there.
    Present(SecretMeta),
    /// It was there, and an own write has met another version: it has to be looked at before it is touched.
    Outdated(SecretMeta),
}

/// A Secret's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretMeta {
    /// The name.
    pub name: String,
    /// Which Secret of that name, and which version of it.
    pub version: SecretVersion,
    /// Whether it is being deleted, and stays until others take their finalizers off.
    pub deleting: bool,
    /// All labels.
    pub labels: Fields,
    /// All annotations.
    pub annotations: Fields,
    /// All owners.
    pub owners: Vec<Owner>,
    /// The keys of data that others were the last to set, by the API server's own record.
    pub foreign_data: BTreeSet<String>,
}

/// One version of one Secret. Whatever remembers it shares its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretVersion {
    /// The Secret's uid.
    pub uid: Arc<str>,
    /// The version.
    pub resource_version: Arc<str>,
}

/// An owner reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The owner's group and version.
    pub api_version: Cow<'static, str>,
    /// The owner's kind.
    pub kind: Cow<'static, str>,
    /// The owner's name.
    pub name: String,
    /// The owner's uid.
    pub uid: String,
    /// Whether it is the one controller among the owners.
    pub controller: bool,
    /// Whether the owner's foreground deletion waits for the Secret.
    pub block_owner_deletion: bool,
}

/// What a Secret's annotations say of the grant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When the grant was asked for, by the wall clock of that time.
    pub issue_time: Timestamp,
    /// When it expires.
    pub expiry_time: Timestamp,
    /// The hash over what decided it.
    pub request_hash: Arc<str>,
}

impl SecretMeta {
    /// What the annotations say of the grant, if they say all of it.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let text = |name| self.annotations.get(name);
        Some(Claim {
            issue_time: text(annotation::ISSUE_TIME)?.parse().ok()?,
            expiry_time: text(annotation::EXPIRY_TIME)?.parse().ok()?,
            request_hash: text(annotation::REQUEST_HASH)?.into(),
        })
    }

    /// Whether the watch, which goes by the label, tells of it.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.labels.get(MANAGED_BY_LABEL) == Some(MANAGED_BY)
    }

    /// The owner that is the controller, if there is one.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }
}
