//! Makes a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::key::SigningKey;
use super::spec::{AccessTokenSpec, MAX_TTL_SECONDS};
use crate::media::{Grant, GrantForm};

/// A token is valid from so many seconds before it is signed: whoever checks it may have a clock that runs behind.
const CLOCK_ALLOWANCE_SECONDS: i64 = 10;

/// The header, the same for every token.
const HEADER: &str = r#"{"cty":"twilio-fpa;v=1","typ":"JWT","alg":"HS256"}"#;

/// A signed Access Token, a bearer credential.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token.
    pub token: SecretString,
    /// When it expires, in whole seconds.
    pub expiry_time: Timestamp,
}

/// What a token carries.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    /// The grant, put into the token unmodified.
    pub grant: &'a Grant,
    /// The account that has issued it, and that the key belongs to: the token's subject.
    pub account_sid: &'a str,
}

/// What makes two tokens different that one key signs in the same second. To be drawn at random for each token. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub u128);

#[derive(Serialize)]
struct Claims<'a> {
    jti: &'a str,
    iss: &'a str,
    sub: &'a str,
    nbf: i64,
    iat: i64,
    exp: i64,
    grants: Grants<'a>,
}

#[derive(Serialize)]
struct Grants<'a> {
    identity: &'a str,
    player: Player<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Player<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// Signs a token at the instant `now` of the wall clock.
///
/// It lives for the lifetime in `spec` from `now` on; both count in whole seconds, as a JWT does. `nbf` and `iat` lie 10 s before, though never
/// more than 86400 s before `exp`: the vendor's platform refuses longer lives (error 20157), and a token of a whole day has no allowance
/// left, as with the helper libraries. `None` when the grant's text isn't what its form says.
#[must_use]
pub fn sign(key: &SigningKey, spec: &AccessTokenSpec, carried: Carried<'_>, now: Timestamp, nonce: Nonce) -> Option<AccessToken> {
    let Carried { grant: Grant { grant, form, .. }, account_sid } = carried;
    let AccessTokenSpec { identity, ttl } = spec;
    let text = grant.expose_secret();
    let signed_at = now.as_duration().as_secs();
    let exp = signed_at.saturating_add(i64::from(ttl.seconds()));
    let valid_from = signed_at.saturating_sub(CLOCK_ALLOWANCE_SECONDS).max(exp.saturating_sub(i64::from(MAX_TTL_SECONDS)));
    let claims = Claims {
        jti: &format!("{}-{signed_at}-{:032x}", key.sid(), nonce.0),
        iss: key.sid(),
        sub: account_sid,
        nbf: valid_from,
        iat: valid_from,
        exp,
        grants: Grants {
            identity: identity.as_str(),
            player: match form {
                GrantForm::Json => Player::Json(serde_json::from_str(text).ok()?),
                GrantForm::Text => Player::Text(text),
            },
        },
    };
    let payload = in_wiped_buffer(&claims, text.len() + identity.as_str().len())?;
    let encoded = |part: usize| base64::encoded_len(part, false).unwrap_or_default();
    // As long as it becomes: what grows is copied, and leaves what it held.
    let mut token = Zeroizing::new(String::with_capacity(encoded(HEADER.len()) + encoded(payload.len()) + 2 + encoded(32)));
    URL_SAFE_NO_PAD.encode_string(HEADER, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(&*payload, &mut token);
    let signature = key.signature(token.as_bytes())?;
    token.push('.');
    token.push_str(&signature);
    let expiry_time = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_secs(exp)).ok()?;
    Some(AccessToken { token: SecretString::from(token.as_str()), expiry_time })
}

/// `claims` as JSON. `free_text`: how many bytes of it may each become six, as escapes.
fn in_wiped_buffer(claims: &Claims<'_>, free_text: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(Vec::with_capacity(512 + 6 * free_text));
    serde_json::to_writer(&mut *buffer, claims).ok()?;
    Some(buffer)
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
