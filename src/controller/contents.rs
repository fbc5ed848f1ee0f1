//! Whether a Secret's data is the grant that its annotations speak of.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret as _;

use super::api::{SecretData, text};
use crate::api::ValidSpec;
use crate::api::names::{annotation, key};
use crate::lifecycle::{HeldGrant, SecretMeta};
use crate::media::Grant;
use crate::time::{Now, rfc3339_millis};
use crate::token::form_carried;

/// The grant in a Secret's data, if the data is whole and fits the annotations, and if it is the one in hand or an operator has written it.
///
/// Two operators at once may ask at the same millisecond: then the annotations are the same, and the grants are not.
#[must_use]
pub fn held_grant(data: &SecretData, meta: &SecretMeta, spec: &ValidSpec, in_hand: Option<&HeldGrant>, now: Now) -> Option<HeldGrant> {
    let claim = &meta.claim()?;
    let text = |name: &str| text(data, name);
    let sid = &spec.call.player_streamer_sid;
    let fits = text(key::PLAYER_STREAMER_SID) == Some(sid.as_str())
        && text(key::ISSUE_TIME) == Some(&rfc3339_millis(claim.issue_time))
        && text(key::EXPIRY_TIME) == Some(&rfc3339_millis(claim.expiry_time));
    let mut grant = Grant::from_stored(text(key::GRANT).filter(|_| fits)?, text(key::ACCOUNT_SID).map(Arc::from))?;
    if let Some(form) = text(key::ACCESS_TOKEN).and_then(|token| form_carried(token, grant.grant.expose_secret())) {
        grant.form = form;
    }
    if text(key::PLAYBACK_URL) != grant.playback_url().as_ref().map(secrecy::ExposeSecret::expose_secret) {
        return None;
    }
    let is_same = |hand: &&HeldGrant| {
        hand.claim() == *claim
            && hand.grant.grant.expose_secret() == grant.grant.expose_secret()
            && hand.grant.account_sid == grant.account_sid
    };
    if let Some(hand) = in_hand.filter(is_same) {
        return Some(hand.clone());
    }
    let ours = [key::GRANT, key::PLAYBACK_URL, key::PLAYER_STREAMER_SID, key::ACCOUNT_SID, key::ISSUE_TIME, key::EXPIRY_TIME];
    if ours.iter().any(|name| meta.foreign_data.contains(*name)) {
        return None;
    }
    Some(HeldGrant {
        grant,
        player_streamer_sid: sid.clone(),
        issue: now.instant_at(claim.issue_time).min(now.instant),
        issue_time: claim.issue_time,
        ttl: spec.call.ttl,
        request_hash: claim.request_hash.clone(),
    })
}

/// Whether the Access Token in a Secret's data carries that grant and is the operator's; where none is claimed, whether none of the operator's is
/// there.
///
/// Who signed it isn't looked at here: the hash in the annotation tells which key was to.
#[must_use]
pub fn token_is_intact(data: &SecretData, meta: &SecretMeta, held: &HeldGrant) -> bool {
    if !meta.annotations.contains_key(annotation::TOKEN_HASH) {
        let is_left = |name: &&str| data.contains_key(*name) && !meta.foreign_data.contains(*name);
        return ![key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME].iter().any(is_left);
    }
    let text = |name: &str| text(data, name);
    let carries =
        text(key::ACCESS_TOKEN).is_some_and(|token| form_carried(token, held.grant.grant.expose_secret()) == Some(held.grant.form));
    let expires = text(key::ACCESS_TOKEN_EXPIRY_TIME).is_some_and(|time| time.parse::<Timestamp>().is_ok());
    let is_ours = [key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME].iter().all(|name| !meta.foreign_data.contains(*name));
    carries && expires && is_ours
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
