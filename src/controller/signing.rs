//! The token that a write is to bring.

use k8s_openapi::jiff::Timestamp;

use crate::lifecycle::{Contents, SecretOrder, TokenOrder};
use crate::media::Credentials;
use crate::token::{self, AccessToken, Carried, Nonce, SigningKey};

/// Why a token that was to be written isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSigned {
    /// The credentials have changed since the decision; the next decision sees it.
    CredentialsChanged,
    /// It can't be made.
    Impossible,
}

/// The token that the order asks for, around the grant that is in it; `None` when it asks for none. `credentials`: those known now, if they can be
/// used. Only the key that was decided upon signs.
pub(super) fn signed(
    order: &SecretOrder,
    credentials: Option<&Credentials>,
    wall: Timestamp,
    nonce: Nonce,
) -> Result<Option<AccessToken>, NotSigned> {
    let Some(Contents { grant, token: Some(TokenOrder { spec, account_sid, key: tag }) }) = &order.contents else { return Ok(None) };
    let key = credentials.and_then(SigningKey::of).filter(|key| key.tag() == *tag).ok_or(NotSigned::CredentialsChanged)?;
    token::sign(&key, spec, Carried { grant: &grant.grant, account_sid }, wall, nonce).map(Some).ok_or(NotSigned::Impossible)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::lifecycle::HeldGrant;
    use crate::media::{Grant, GrantForm, PlayerStreamerSid, Ttl};
    use crate::time::Instant;
    use crate::token::{AccessTokenIdentity, AccessTokenSpec, AccessTokenTtl, ReadToken, form_carried};

    const GRANT: &str = r#"{"playbackUrl":"https://play.example/?token=t"}"#;

    fn sid(kind: &str) -> String {
        format!("{kind}{}", "a".repeat(32))
    }

    fn api_key(secret: &str) -> Credentials {
        Credentials::new(&sid("SK"), secret.into(), None).unwrap()
    }

    fn order(grant: Grant, wants_token: bool) -> SecretOrder {
        let spec =
            AccessTokenSpec { identity: AccessTokenIdentity::parse("kiosk").unwrap(), ttl: AccessTokenTtl::from_seconds(3600).unwrap() };
        let key = SigningKey::of(&api_key("secret")).unwrap().tag();
        let held = HeldGrant {
            grant,
            player_streamer_sid: PlayerStreamerSid::parse(&sid("VJ")).unwrap(),
            issue: Instant::after_start(std::time::Duration::ZERO),
            issue_time: Timestamp::UNIX_EPOCH,
            ttl: Ttl::from_seconds(15).unwrap(),
            request_hash: "hash".into(),
        };
        let token = wants_token.then(|| TokenOrder { spec, account_sid: sid("AC").into(), key });
        SecretOrder {
            labels: std::collections::BTreeMap::new(),
            annotations: std::collections::BTreeMap::new(),
            owners: None,
            contents: Some(Contents { grant: Arc::new(held), token }),
            spared: Vec::new(),
            drops_token: false,
        }
    }

    fn sign_with(order: &SecretOrder, credentials: Option<&Credentials>) -> Result<Option<AccessToken>, NotSigned> {
        signed(order, credentials, Timestamp::UNIX_EPOCH, Nonce(1))
    }

    #[test]
    fn the_key_that_was_decided_upon_signs_around_the_grant_in_the_order() {
        let order = order(Grant::from_stored(GRANT, None).unwrap(), true);
        let token = sign_with(&order, Some(&api_key("secret"))).unwrap().unwrap();
        let text = token.token.expose_secret();
        assert_eq!(form_carried(text, GRANT), Some(GrantForm::Json));
        assert!(ReadToken::parse(text).unwrap().is_signed_by(&SigningKey::of(&api_key("secret")).unwrap()));
        assert_eq!(ReadToken::parse(text).unwrap().claims["sub"], sid("AC"));
        assert_eq!(token.expiry_time.as_second(), 3600);
    }

    #[test]
    fn no_other_key_signs_in_its_place() {
        let order = order(Grant::from_stored(GRANT, None).unwrap(), true);
        let account = Credentials::new(&sid("AC"), "secret".into(), None).unwrap();
        let another = Credentials::new(&format!("SK{}", "b".repeat(32)), "secret".into(), None).unwrap();
        for credentials in [None, Some(&api_key("another")), Some(&account), Some(&another)] {
            assert_eq!(sign_with(&order, credentials).err(), Some(NotSigned::CredentialsChanged), "{credentials:?}");
        }
    }

    #[test]
    fn where_none_is_asked_for_none_is_signed() {
        let order = order(Grant::from_stored(GRANT, None).unwrap(), false);
        assert!(sign_with(&order, Some(&api_key("secret"))).unwrap().is_none());
        assert!(sign_with(&order, None).unwrap().is_none());
        assert!(sign_with(&SecretOrder { contents: None, ..order }, None).unwrap().is_none());
    }

    #[test]
    fn what_can_not_be_signed_is_no_token_that_is_not_there() {
        let grant = Grant { form: GrantForm::Json, ..Grant::from_stored("no JSON", None).unwrap() };
        assert_eq!(sign_with(&order(grant, true), Some(&api_key("secret"))).err(), Some(NotSigned::Impossible));
    }
}
