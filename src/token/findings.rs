//! What is wrong with a token, as the vendor's platform and its Player SDK would say it.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use super::CONTENT_TYPE;
use super::key::SigningKey;
use super::read::ReadToken;
use super::spec::MAX_TTL_SECONDS;
use crate::media::{is_account_sid, is_api_key_sid};

/// The vendor's error code for what is wrong with a token (its error dictionary, 20101 to 20107 and 20157).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 20101: it can't be read as a token at all, or the Player SDK finds no playback URL in it.
    Token,
    /// 20102: the header.
    Header,
    /// 20103: the issuer or the subject.
    IssuerOrSubject,
    /// 20104: it has expired, or has no expiry.
    Expiration,
    /// 20105: it isn't valid yet.
    NotYetValid,
    /// 20106: the grants.
    Grants,
    /// 20107: the signature.
    Signature,
    /// 20157: it lives for longer than may be.
    LivesTooLong,
}

impl Code {
    /// The vendor's number for it.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Token => 20101,
            Self::Header => 20102,
            Self::IssuerOrSubject => 20103,
            Self::Expiration => 20104,
            Self::NotYetValid => 20105,
            Self::Grants => 20106,
            Self::Signature => 20107,
            Self::LivesTooLong => 20157,
        }
    }
}

/// One thing that is wrong with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What the vendor would answer.
    pub code: Code,
    /// What is wrong, and what to do. Shows no secret.
    pub message: String,
}

/// Everything that is wrong with `token` at the instant `now`; empty when it is good. Its signature is only looked at when a key is given.
#[must_use]
pub fn findings(token: &ReadToken, key: Option<&SigningKey>, now: Timestamp) -> Vec<Finding> {
    let mut found = Found(Vec::new());
    found.header(&token.header);
    found.signature(token, key);
    found.issuer_and_subject(&token.claims, key);
    found.times(&token.claims, now.as_second());
    found.grants(&token.claims);
    found.0
}

struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, code: Code, message: impl Into<String>) {
        self.0.push(Finding { code, message: message.into() });
    }

    fn signature(&mut self, token: &ReadToken, key: Option<&SigningKey>) {
        // Under another algorithm it can't be right, whoever has signed it.
        let is_hs256 = token.header.get("alg").and_then(Value::as_str) == Some("HS256");
        if is_hs256 && key.is_some_and(|key| !token.is_signed_by(key)) {
            self.add(
                Code::Signature,
                "the key given has not signed this token: it was changed on its way, or another key (an earlier one?) has signed it",
            );
        }
    }

    fn header(&mut self, header: &Map<String, Value>) {
        for (field, expected) in [("alg", "HS256"), ("typ", "JWT"), ("cty", CONTENT_TYPE)] {
            if header.get(field).and_then(Value::as_str) != Some(expected) {
                self.add(Code::Header, format!("the header's {field} must be {expected:?}: sign the token as an Access Token"));
            }
        }
    }

    fn issuer_and_subject(&mut self, claims: &Map<String, Value>, key: Option<&SigningKey>) {
        let text = |field| claims.get(field).and_then(Value::as_str);
        match (text("iss"), key) {
            (Some(issuer), Some(key)) if is_api_key_sid(issuer) && issuer != key.sid() => {
                self.add(
                    Code::IssuerOrSubject,
                    format!("iss names another API key than the one given, {}: give that one's secret, or sign anew", key.sid()),
                );
            }
            (Some(issuer), _) if is_api_key_sid(issuer) => {}
            _ => self.add(
                Code::IssuerOrSubject,
                "iss must be an API key's SID, SK and 32 hexadecimal digits: sign with an API key, not with an auth token",
            ),
        }
        if !text("sub").is_some_and(is_account_sid) {
            self.add(
                Code::IssuerOrSubject,
                "sub must be the account's SID, AC and 32 hexadecimal digits: name the account that the API key belongs to",
            );
        }
    }

    fn times(&mut self, claims: &Map<String, Value>, now: i64) {
        let seconds = |field| claims.get(field).map(Value::as_i64);
        match seconds("exp") {
            Some(Some(exp)) if exp <= now => self.add(Code::Expiration, "it has expired: hand out the newest token from the Secret"),
            Some(Some(exp)) => {
                let from = ["iat", "nbf"].into_iter().find_map(|field| seconds(field).flatten()).unwrap_or(now);
                if exp.saturating_sub(from) > i64::from(MAX_TTL_SECONDS) {
                    self.add(Code::LivesTooLong, format!("it lives for more than {MAX_TTL_SECONDS} s: ask for a shorter life"));
                }
            }
            Some(None) => self.add(Code::Expiration, "exp must be a number of whole seconds since 1970"),
            None => self.add(Code::Expiration, "exp is missing: a token has to have an expiry"),
        }
        for (field, word) in [("nbf", "valid"), ("iat", "issued")] {
            match seconds(field) {
                None => {}
                Some(Some(at)) if at <= now => {}
                Some(Some(_)) => self.add(
                    Code::NotYetValid,
                    format!("it is {word} only later ({field}): set the clocks right, of who signs and of who checks"),
                ),
                Some(None) => self.add(Code::NotYetValid, format!("{field} must be a number of whole seconds since 1970")),
            }
        }
    }

    fn grants(&mut self, claims: &Map<String, Value>) {
        let Some(grants) = claims.get("grants").and_then(Value::as_object) else {
            return self.add(Code::Grants, "grants must be there, an object: sign the token with a playback grant");
        };
        if grants.get("identity").is_some_and(|identity| identity.as_str().is_none_or(str::is_empty)) {
            self.add(Code::Grants, "grants.identity must be a text that isn't empty, or be left out");
        }
        match grants.get("player") {
            Some(Value::Object(player)) if player.get("playbackUrl").is_some_and(Value::is_string) => {}
            Some(Value::Object(_)) => self.add(
                Code::Token,
                "grants.player has no playbackUrl, which is what the Player SDK looks for: see what the Media API answers",
            ),
            Some(Value::String(_)) => {
                self.add(Code::Token, "grants.player is a text, where the Player SDK takes an object only: see what the Media API answers");
            }
            _ => self.add(
                Code::Grants,
                "grants.player must be there, the grant as the Media API gives it: sign the token with a playback grant",
            ),
        }
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
