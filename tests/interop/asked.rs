//! What is asked of `token::sign`, as JSON: the same text that the helper libraries are given.

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::jiff::Timestamp;
use playback_grant_operator::media::{Grant, GrantForm};
use playback_grant_operator::token::{AccessToken, AccessTokenIdentity, AccessTokenSpec, AccessTokenTtl, Carried, Nonce, SigningKey, sign};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input<'a> {
    key_sid: String,
    key_secret: String,
    account_sid: String,
    identity: String,
    ttl_seconds: u32,
    /// As it stands in the text, so that the token carries that.
    #[serde(borrow)]
    grant: &'a RawValue,
    signed_at_millisecond: i64,
}

/// All that a token is made of, but for the nonce.
pub struct Asked {
    /// The key that signs it.
    pub key: SigningKey,
    spec: AccessTokenSpec,
    grant: Grant,
    account_sid: String,
    signed_at: Timestamp,
}

impl Asked {
    pub fn parse(text: &str) -> Result<Self> {
        // What serde says of a wrong text may quote it.
        let wrong = |error: serde_json::Error| anyhow!("not as expected at line {}, column {}", error.line(), error.column());
        let input: Input<'_> = serde_json::from_str(text).map_err(wrong)?;
        Ok(Self {
            key: SigningKey::new(&input.key_sid, input.key_secret.into()),
            spec: AccessTokenSpec {
                identity: AccessTokenIdentity::parse(&input.identity).context("no identity")?,
                ttl: AccessTokenTtl::from_seconds(input.ttl_seconds).context("no lifetime of a token")?,
            },
            grant: grant(input.grant.get()).context("no grant")?,
            account_sid: input.account_sid,
            signed_at: Timestamp::from_millisecond(input.signed_at_millisecond)?,
        })
    }

    pub fn sign(&self) -> Result<AccessToken> {
        let carried = Carried { grant: &self.grant, account_sid: &self.account_sid };
        sign(&self.key, &self.spec, carried, self.signed_at, Nonce(rand::random())).context("it could not be signed")
    }
}

/// The grant of which the Media API's answer has this text. A string stays one, whatever it holds.
fn grant(text: &str) -> Option<Grant> {
    match serde_json::from_str::<String>(text) {
        Ok(text) => Grant::from_stored(&text, None).map(|grant| Grant { form: GrantForm::Text, ..grant }),
        Err(_) => Grant::from_stored(text, None),
    }
}
