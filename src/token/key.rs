//! The key that signs tokens.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use secrecy::{ExposeSecret as _, SecretString};

use crate::media::Credentials;

/// An API key: its SID, and its secret, which isn't printed and is wiped on drop.
#[derive(Clone)]
pub struct SigningKey {
    sid: String,
    secret: SecretString,
}

impl SigningKey {
    /// The API key of that SID (`SK…`), with its secret. A token that names another kind of SID as its issuer is accepted by nobody.
    #[must_use]
    pub fn new(sid: &str, secret: SecretString) -> Self {
        Self { sid: sid.to_owned(), secret }
    }

    /// The API key among the credentials; `None` when they are an account's SID and auth token, which can't sign.
    #[must_use]
    pub fn of(credentials: &Credentials) -> Option<Self> {
        credentials.api_key_sid().map(|sid| Self::new(sid, credentials.password().clone()))
    }

    /// The key's SID. Not secret.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// What tells this key from others, and stays the same from one start of the process to the next.
    #[must_use]
    pub fn tag(&self) -> KeyTag {
        // No token's text has a line break: what is made here can't pass for the signature of one, nor does half of it.
        let message = format!("playbackgrant.dev/token-hash\nv1\n{}", self.sid);
        let mut text = self.signature(message.as_bytes()).unwrap_or_default();
        text.truncate(22);
        KeyTag(text.into())
    }

    /// The signature of `message`, in base64url. Fails only when the machine has no memory left.
    pub(super) fn signature(&self, message: &[u8]) -> Option<String> {
        let key = EncodingKey::from_secret(self.secret.expose_secret().as_bytes());
        jsonwebtoken::crypto::sign(message, &key, Algorithm::HS256).ok()
    }

    /// Whether `signature` (base64url) is this key's signature of `message`.
    pub(super) fn verifies(&self, signature: &str, message: &[u8]) -> bool {
        let key = DecodingKey::from_secret(self.secret.expose_secret().as_bytes());
        jsonwebtoken::crypto::verify(signature, message, &key, Algorithm::HS256).unwrap_or(false)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sid, secret: _ } = self;
        f.debug_struct("SigningKey").field("sid", sid).finish_non_exhaustive()
    }
}

/// Stands for one API key, its SID and its secret, without holding it: half of an HMAC under the key.
///
/// Whoever sees it can try guesses of the secret against it, as against any token that the key has signed. An API key's secret is 32 random
/// characters, beyond guessing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTag(Arc<str>);

impl KeyTag {
    /// As text: 22 characters of base64url.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "SK0123456789abcdef0123456789abcdef";
    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

    #[test]
    fn only_an_api_key_signs() {
        let key = SigningKey::of(&Credentials::new(SID, "secret".into(), Some(ACCOUNT)).unwrap()).unwrap();
        assert_eq!(key.sid(), SID);
        assert!(SigningKey::of(&Credentials::new(ACCOUNT, "token".into(), None).unwrap()).is_none());
        assert!(SigningKey::of(&Credentials::new("user", "password".into(), None).unwrap()).is_none());
    }

    #[test]
    fn a_tag_tells_sid_and_secret_apart_and_stays_the_same() {
        let tag = |sid: &str, secret: &str| SigningKey::new(sid, secret.into()).tag();
        assert_eq!(tag(SID, "secret"), tag(SID, "secret"));
        assert_ne!(tag(SID, "secret"), tag(SID, "secrets"));
        assert_ne!(tag(SID, "secret"), tag(ACCOUNT, "secret"));
        assert_eq!(tag(SID, "secret").as_str(), "chPMfMu2I8uqxFUvVQIyWD", "the same in every release, or every token is signed anew");
    }

    #[test]
    fn neither_debug_nor_tag_shows_the_secret() {
        let key = SigningKey::new(SID, "planted-secret".into());
        assert_eq!(format!("{key:?}"), format!("SigningKey {{ sid: {SID:?}, .. }}"));
        assert!(!format!("{:?}", key.tag()).contains("planted"));
    }
}
