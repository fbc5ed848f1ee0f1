//! Made-up Access Tokens: they tell whoever looks who has signed them, and for what.

use std::sync::Arc;

use k8s_openapi::jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use super::media_api::{key_of, signer_of};
use crate::lifecycle::TokenOrder;
use crate::media::Grant;
use crate::time::{Now, rfc3339_millis};
use crate::token::{AccessTokenIdentity, AccessTokenSpec, AccessTokenTtl};

/// A token, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MadeToken {
    /// The text of the grant in it.
    pub(super) grant: String,
    pub(super) identity: String,
    pub(super) ttl: u32,
    pub(super) account_sid: Arc<str>,
    /// The Secret in which its key was found.
    pub(super) credentials: String,
    /// The number of that key.
    pub(super) key: usize,
    pub(super) expiry_time: String,
    /// What makes it another than the one that was signed before it.
    pub(super) signed_at: String,
}

impl MadeToken {
    pub(super) fn sign(order: &TokenOrder, grant: &Grant, (credentials, pair): (&str, usize), now: Now) -> Self {
        let TokenOrder { spec: AccessTokenSpec { identity, ttl }, account_sid, key: _ } = order;
        let expiry_time = now.wall.checked_add(SignedDuration::from_secs(i64::from(ttl.seconds()))).unwrap();
        Self {
            grant: grant.grant.expose_secret().to_owned(),
            identity: identity.to_string(),
            ttl: ttl.seconds(),
            account_sid: account_sid.clone(),
            credentials: credentials.to_owned(),
            key: key_of(pair),
            expiry_time: rfc3339_millis(expiry_time),
            signed_at: format!("{:?}", now.instant),
        }
    }

    /// As it stands in a Secret.
    pub(super) fn text(&self) -> String {
        let Self { grant, identity, ttl, account_sid, credentials, key, expiry_time, signed_at } = self;
        [grant.as_str(), identity, &ttl.to_string(), account_sid, credentials, &key.to_string(), expiry_time, signed_at].join("\n")
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('\n').collect();
        let [grant, identity, ttl, account_sid, credentials, key, expiry_time, signed_at] = *parts.as_slice() else { return None };
        Some(Self {
            grant: grant.to_owned(),
            identity: identity.to_owned(),
            ttl: ttl.parse().ok()?,
            account_sid: account_sid.into(),
            credentials: credentials.to_owned(),
            key: key.parse().ok()?,
            expiry_time: expiry_time.to_owned(),
            signed_at: signed_at.to_owned(),
        })
    }

    /// The hash that stands beside it in the annotations.
    pub(super) fn hash(&self) -> Option<String> {
        let spec = AccessTokenSpec { identity: AccessTokenIdentity::parse(&self.identity)?, ttl: AccessTokenTtl::from_seconds(self.ttl)? };
        Some(TokenOrder { spec, account_sid: self.account_sid.clone(), key: signer_of(self.key).key? }.hash())
    }
}
