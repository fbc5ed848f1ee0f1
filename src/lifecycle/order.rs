//! What is to be written into a Secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hand::HeldGrant;
use super::ownership::{Identity, is_request};
use super::secret::{Owner, SecretMeta};
use super::token::TokenOrder;
use crate::api::names::{MANAGED_BY, MANAGED_BY_LABEL, annotation, key};
use crate::api::{DeletionPolicy, ValidSpec};
use crate::time::rfc3339_millis;

/// What is to be written into a Secret.
#[derive(Clone, Debug)]
pub struct SecretOrder {
    /// Labels to set; `None`: to take off.
    pub labels: BTreeMap<String, Option<String>>,
    /// Annotations to set; `None`: to take off.
    pub annotations: BTreeMap<String, Option<String>>,
    /// All owners, when they change.
    pub owners: Option<Vec<Owner>>,
    /// The data, unless it is right as it is.
    pub contents: Option<Contents>,
    /// Keys that the contents don't have, and that stay: others have put them there where no token is asked for.
    pub spared: Vec<&'static str>,
    /// Whether a token goes that nobody asks for any more, from data that otherwise stays as it is.
    pub drops_token: bool,
}

/// A Secret's data: a grant, and what belongs beside it.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The grant.
    pub grant: Arc<HeldGrant>,
    /// The token to be signed; `None`: none is to be there.
    pub token: Option<TokenOrder>,
}

impl SecretOrder {
    /// What makes `present` (or a new Secret) what the spec asks for, with `contents` in it.
    ///
    /// Labels and annotations that the operator put there and the spec no longer names are taken off; those of others stay.
    #[must_use]
    pub fn new(identity: &Identity, spec: &ValidSpec, present: Option<&SecretMeta>, contents: Option<Contents>) -> Self {
        let mut labels = set(&spec.labels);
        labels.insert(MANAGED_BY_LABEL.to_owned(), Some(MANAGED_BY.to_owned()));
        let mut annotations = set(&spec.annotations);
        annotations.insert(annotation::OWNED_BY.to_owned(), Some(identity.owned_by()));
        if let Some(Contents { grant, token }) = &contents {
            let claim = grant.claim();
            annotations.insert(annotation::ISSUE_TIME.to_owned(), Some(rfc3339_millis(claim.issue_time)));
            annotations.insert(annotation::EXPIRY_TIME.to_owned(), Some(rfc3339_millis(claim.expiry_time)));
            annotations.insert(annotation::REQUEST_HASH.to_owned(), Some(claim.request_hash));
            annotations.insert(annotation::TOKEN_HASH.to_owned(), token.as_ref().map(TokenOrder::hash));
        }
        let has_token = present.is_some_and(|present| present.annotations.contains_key(annotation::TOKEN_HASH));
        let drops_token = contents.is_none() && has_token && spec.access_token.is_none();
        if drops_token {
            annotations.insert(annotation::TOKEN_HASH.to_owned(), None);
        }
        let spared = present.filter(|_| contents.as_ref().is_some_and(|contents| contents.token.is_none())).map(others_token);
        let present_owners = present.map(|present| present.owners.as_slice()).unwrap_or_default();
        let wanted_owners = owners(identity, spec.deletion_policy, present_owners);
        if let Some(present) = present {
            for key in present.own_labels.iter().filter(|key| present.labels.contains_key(*key)) {
                labels.entry(key.clone()).or_insert(None);
            }
            let left = present.own_annotations.iter().filter(|key| present.annotations.contains_key(*key) && !is_ours(key));
            for key in left {
                annotations.entry(key.clone()).or_insert(None);
            }
        }
        Self {
            labels,
            annotations,
            owners: (wanted_owners != present_owners).then_some(wanted_owners),
            contents,
            spared: spared.unwrap_or_default(),
            drops_token,
        }
    }

    /// Whether `present` is already so, its data aside.
    #[must_use]
    pub fn is_fulfilled_by(&self, present: &SecretMeta) -> bool {
        let agrees = |wanted: &BTreeMap<String, Option<String>>, there: &BTreeMap<String, String>| {
            wanted.iter().all(|(key, value)| there.get(key) == value.as_ref())
        };
        let owners = self.owners.as_ref().is_none_or(|owners| *owners == present.owners);
        owners && agrees(&self.labels, &present.labels) && agrees(&self.annotations, &present.annotations)
    }
}

/// The keys of a token that aren't the operator's, by its annotation and by the API server's record.
fn others_token(present: &SecretMeta) -> Vec<&'static str> {
    let is_foreign = |name: &&str| present.foreign_data.contains(*name) && !present.annotations.contains_key(annotation::TOKEN_HASH);
    [key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME].into_iter().filter(is_foreign).collect()
}

fn set(map: &BTreeMap<String, String>) -> BTreeMap<String, Option<String>> {
    map.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
}

fn is_ours(key: &str) -> bool {
    key.starts_with("playbackgrant.dev/")
}

/// The owners as they should be: this request as the controller under `Delete`, no request under `Retain`, others as they are.
fn owners(identity: &Identity, policy: DeletionPolicy, present: &[Owner]) -> Vec<Owner> {
    let ours = identity.as_owner();
    let others = present.iter().filter(|owner| !(is_request(owner) && owner.name == identity.name)).cloned();
    match policy {
        DeletionPolicy::Retain => others.collect(),
        DeletionPolicy::Delete if present.iter().any(|owner| owner.uid == ours.uid && owner.controller) => present.to_vec(),
        DeletionPolicy::Delete => others.chain([ours]).collect(),
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
