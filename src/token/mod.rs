//! The Access Token: a JWT, signed with an API key, in which a playback grant is handed to a player.
//!
//! Pure: the instant, and what makes two tokens of one second different, are arguments. What the vendor's platform expects of a token is
//! known from its helper libraries (PyPI `twilio` 7.16.4, npm `twilio` 3.84.1); `make interop` holds this module against them.
//!
//! ```text
//! AccessTokenSpec ─┐
//! Grant, account ──┼─ sign ──▶ AccessToken      in the Secret, beside the grant that it carries
//! SigningKey ──────┤
//! instant, Nonce ──┘
//! text ── read ──▶ ReadToken ── findings ──▶ what is wrong with it, as the vendor's platform would say it
//! ```

mod findings;
mod hash;
mod key;
mod read;
mod sign;
mod spec;

pub use findings::{Code, Finding, findings};
pub use hash::token_hash;
pub use key::{KeyTag, SigningKey};
pub use read::{Malformed, ReadToken, form_carried};
pub use sign::{AccessToken, Carried, Nonce, sign};
pub use spec::{AccessTokenIdentity, AccessTokenSpec, AccessTokenTtl, DEFAULT_TTL_SECONDS, MAX_TTL_SECONDS, MIN_TTL_SECONDS};

/// The header's `cty`: a "first party access" token, version 1.
const CONTENT_TYPE: &str = "twilio-fpa;v=1";

#[cfg(test)]
mod properties;
