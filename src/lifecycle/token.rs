//! The Access Token that belongs beside the grant in hand, if one does.

use std::sync::Arc;

use super::hand::HeldGrant;
use super::secret::SecretMeta;
use super::situation::{CredentialsView, Situation, Target};
use crate::api::names::annotation;
use crate::token::{AccessTokenSpec, KeyTag, token_hash};

/// What of the credentials decides a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The API key; `None` when the credentials are none, and can't sign.
    pub key: Option<KeyTag>,
    /// The account that stands beside it, if one does.
    pub account_sid: Option<Arc<str>>,
}

/// A token to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOrder {
    /// What is asked for.
    pub spec: AccessTokenSpec,
    /// The account: the one that has issued the grant or, where the Media API doesn't say, the one beside the API key.
    pub account_sid: Arc<str>,
    /// The key that is to sign it.
    pub key: KeyTag,
}

impl TokenOrder {
    /// The hash over what decides it.
    #[must_use]
    pub fn hash(&self) -> String {
        let Self { spec, account_sid, key } = self;
        token_hash(spec, account_sid, key)
    }
}

/// Why there can't be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CannotSign {
    /// The credentials are an account's SID and auth token.
    NoApiKey,
    /// Nobody says which account it is.
    NoAccount,
}

/// The token that belongs beside a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// None is asked for.
    Unwanted,
    /// The credentials aren't read yet.
    Unread,
    /// There are no credentials that could be used.
    NoCredentials,
    /// There can't be one.
    Impossible(CannotSign),
    /// This one.
    Wanted(TokenOrder),
}

impl Token {
    /// What is to be signed now, if anything is.
    pub(super) fn order(self) -> Option<TokenOrder> {
        match self {
            Self::Wanted(order) => Some(order),
            Self::Unwanted | Self::Unread | Self::NoCredentials | Self::Impossible(_) => None,
        }
    }
}

impl Situation<'_> {
    /// The token that belongs beside `grant`.
    pub(super) fn token(&self, grant: &HeldGrant) -> Token {
        let Some(spec) = &self.spec.access_token else { return Token::Unwanted };
        let signer = match self.seen.credentials {
            CredentialsView::NotRead => return Token::Unread,
            CredentialsView::NotFound | CredentialsView::Invalid(_) => return Token::NoCredentials,
            CredentialsView::Usable { signer, .. } => signer,
        };
        let Some(key) = &signer.key else { return Token::Impossible(CannotSign::NoApiKey) };
        let Some(account_sid) = grant.grant.account_sid.as_ref().or(signer.account_sid.as_ref()) else {
            return Token::Impossible(CannotSign::NoAccount);
        };
        Token::Wanted(TokenOrder { spec: spec.clone(), account_sid: account_sid.clone(), key: key.clone() })
    }

    /// Whether the Secret, which holds the grant in hand, has that token beside it. What nobody can know now is left as it is, unless it is known to
    /// be spoilt.
    pub(super) fn has_beside_it(&self, token: &Token, meta: &SecretMeta) -> bool {
        let hash = meta.annotations.get(annotation::TOKEN_HASH);
        let is_whole = self.seen.memory.damaged_token.as_ref() != Some(&meta.version);
        match token {
            Token::Unread | Token::NoCredentials => is_whole,
            Token::Unwanted | Token::Impossible(_) => is_whole && hash.is_none(),
            Token::Wanted(order) => is_whole && hash == Some(order.hash().as_str()),
        }
    }

    /// What is to be said of the token beside an unexpired grant, where one is asked for.
    pub(super) fn token_beside_it(&self) -> &'static str {
        let (Target::Ours(meta) | Target::Outdated(meta), Some(hand), Some(_)) = (self.target, self.hand, &self.spec.access_token) else {
            return "";
        };
        let hash = meta.annotations.get(annotation::TOKEN_HASH);
        let is_spoilt = self.seen.memory.damaged_token.as_ref() == Some(&meta.version);
        match (hash, self.token(hand)) {
            (None, _) => ", but no Access Token",
            (Some(_), _) if is_spoilt => ", but its Access Token was spoilt by others",
            (Some(hash), Token::Wanted(order)) if hash != order.hash() => ", but another Access Token than is asked for",
            (Some(_), _) => ", and an Access Token that carries it",
        }
    }

    /// Whether others have spoilt the token again and again, so that it is left at that for now.
    pub(super) fn misses_token(&self) -> bool {
        let Target::Ours(meta) = self.target else { return false };
        self.hand.is_some_and(|hand| !self.has_beside_it(&self.token(hand), meta)) && self.awaits_repair()
    }

    /// Why the token that is asked for can't be signed, if it can't.
    pub(super) fn cannot_sign(&self) -> Option<CannotSign> {
        match self.token(self.hand?) {
            Token::Impossible(why) => Some(why),
            Token::Unwanted | Token::Unread | Token::NoCredentials | Token::Wanted(_) => None,
        }
    }

    /// Whether the Secret has had that token from here before, so that to write it again undoes what others did.
    pub(super) fn has_landed(&self, token: &Token) -> bool {
        let landed = &self.seen.memory.landed_token;
        match token {
            Token::Wanted(order) => landed.as_deref() == Some(order.hash().as_str()),
            Token::Unread | Token::NoCredentials | Token::Unwanted | Token::Impossible(_) => landed.is_none(),
        }
    }
}

#[cfg(test)]
#[path = "token_tests/mod.rs"]
mod tests;
