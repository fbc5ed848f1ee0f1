//! What is to be written into a Secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fields::Fields;
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
            annotations.insert(annotation::REQUEST_HASH.to_owned(), Some(claim.request_hash.to_string()));
            annotations.insert(annotation::TOKEN_HASH.to_owned(), token.as_ref().map(TokenOrder::hash));
        }
        let drops_token = contents.is_none() && present.is_some_and(|present| has_unwanted_token(spec, present));
        if drops_token {
            annotations.insert(annotation::TOKEN_HASH.to_owned(), None);
        }
        let spared = present.filter(|_| contents.as_ref().is_some_and(|contents| contents.token.is_none())).map(others_token);
        if let Some(present) = present {
            labels.extend(left_labels(spec, present).map(|key| (key.to_owned(), None)));
            annotations.extend(left_annotations(spec, present).map(|key| (key.to_owned(), None)));
        }
        Self {
            labels,
            annotations,
            owners: changed_owners(identity, spec.deletion_policy, present.map(|present| present.owners.as_slice()).unwrap_or_default()),
            contents,
            spared: spared.unwrap_or_default(),
            drops_token,
        }
    }

    /// Whether such an order without contents would change nothing of `present`. That is asked at each look, so it is told without making one.
    #[must_use]
    pub fn is_needless(identity: &Identity, spec: &ValidSpec, present: &SecretMeta) -> bool {
        let has_all =
            |there: &Fields, asked: &BTreeMap<String, String>| asked.iter().all(|(key, value)| there.get(key) == Some(value.as_str()));
        has_all(&present.labels, &spec.labels)
            && has_all(&present.annotations, &spec.annotations)
            && present.is_watched()
            && present.annotations.get(annotation::OWNED_BY).and_then(|owner| owner.split_once('/'))
                == Some((&identity.name, &identity.uid))
            && left_labels(spec, present).next().is_none()
            && left_annotations(spec, present).next().is_none()
            && changed_owners(identity, spec.deletion_policy, &present.owners).is_none()
            && !has_unwanted_token(spec, present)
    }

    /// Whether `present` is already so, its data aside.
    #[must_use]
    pub fn is_fulfilled_by(&self, present: &SecretMeta) -> bool {
        let agrees = |wanted: &BTreeMap<String, Option<String>>, there: &Fields| {
            wanted.iter().all(|(key, value)| there.get(key) == value.as_deref())
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

/// The labels that the operator put there and nobody asks for any more.
fn left_labels<'a>(spec: &'a ValidSpec, present: &'a SecretMeta) -> impl Iterator<Item = &'a str> {
    present.labels.own_keys().filter(|key| !spec.labels.contains_key(*key) && *key != MANAGED_BY_LABEL)
}

/// The annotations that the operator put there and nobody asks for any more, other than what tells of the grant.
fn left_annotations<'a>(spec: &'a ValidSpec, present: &'a SecretMeta) -> impl Iterator<Item = &'a str> {
    present.annotations.own_keys().filter(|key| !spec.annotations.contains_key(*key) && !is_ours(key))
}

/// Whether there is a token that nobody asks for any more.
pub(super) fn has_unwanted_token(spec: &ValidSpec, present: &SecretMeta) -> bool {
    spec.access_token.is_none() && present.annotations.contains_key(annotation::TOKEN_HASH)
}

/// The owners as they should be, unless they are: this request as the controller under `Delete`, no request under `Retain`, others as they are.
fn changed_owners(identity: &Identity, policy: DeletionPolicy, present: &[Owner]) -> Option<Vec<Owner>> {
    let is_ours = |owner: &&Owner| is_request(owner) && *owner.name == *identity.name;
    let others = || present.iter().filter(|owner| !is_ours(owner)).cloned();
    match policy {
        DeletionPolicy::Retain => present.iter().any(|owner| is_ours(&owner)).then(|| others().collect()),
        DeletionPolicy::Delete => {
            let owns = present.iter().any(|owner| owner.uid == identity.uid && owner.controller);
            (!owns).then(|| others().chain([identity.as_owner()]).collect())
        }
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
