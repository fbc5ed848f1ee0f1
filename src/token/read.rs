//! Takes a token apart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroizing;

use super::key::SigningKey;
use crate::media::GrantForm;

/// A token taken apart; what it says is not to be believed before its signature is verified. It doesn't print.
pub struct ReadToken {
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
    message: Zeroizing<String>,
    signature: String,
}

/// Why a text isn't a token. Never shows any of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Something stands around it.
    #[error("{what}: give the token alone")]
    Wrapped {
        /// What stands there.
        what: &'static str,
    },
    /// It isn't three parts.
    #[error("a token has 3 parts between dots, and this has {found}: it was cut, or is something else")]
    Parts {
        /// How many it has.
        found: usize,
    },
    /// A part isn't base64url.
    #[error("not all of its {part} is base64url without padding: it was cut or changed on its way")]
    Encoding {
        /// Which part.
        part: &'static str,
    },
    /// A part isn't a JSON object.
    #[error("the JSON object that its {part} should be ends or breaks at line {line}, column {column}: it was cut or changed on its way")]
    NotAnObject {
        /// Which part.
        part: &'static str,
        /// Where it can't be read any further.
        line: usize,
        /// Where in that line.
        column: usize,
    },
}

impl ReadToken {
    /// Takes `token` apart: three parts in base64url without padding, the first two JSON objects.
    pub fn parse(token: &str) -> Result<Self, Malformed> {
        if let Some(what) = wrapping(token) {
            return Err(Malformed::Wrapped { what });
        }
        let [header, claims, signature] = parts(token)?;
        let read = Self {
            header: object("header", header)?,
            claims: object("claims", claims)?,
            message: Zeroizing::new(format!("{header}.{claims}")),
            signature: signature.to_owned(),
        };
        URL_SAFE_NO_PAD.decode(signature).map_err(|_| Malformed::Encoding { part: "signature" })?;
        Ok(read)
    }

    /// Whether `key` has signed it, with HS256.
    #[must_use]
    pub fn is_signed_by(&self, key: &SigningKey) -> bool {
        key.verifies(&self.signature, self.message.as_bytes())
    }
}

/// The form in which `token` carries the grant of that text; `None` when it carries another, or can't be read. Whose the signature is stays open.
#[must_use]
pub fn form_carried(token: &str, grant: &str) -> Option<GrantForm> {
    #[derive(Deserialize)]
    struct Claims<'a> {
        #[serde(borrow)]
        grants: Grants<'a>,
    }
    #[derive(Deserialize)]
    struct Grants<'a> {
        #[serde(borrow)]
        player: &'a RawValue,
    }
    let [_, claims, _] = parts(token).ok()?;
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
    let player = serde_json::from_slice::<Claims<'_>>(&claims).ok()?.grants.player.get();
    if player == grant {
        return Some(GrantForm::Json);
    }
    let text = Zeroizing::new(serde_json::from_str::<String>(player).ok()?);
    (*text == grant).then_some(GrantForm::Text)
}

/// What people paste around a token.
fn wrapping(token: &str) -> Option<&'static str> {
    let starts = |with: &str| token.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if token.starts_with(['"', '\'']) {
        Some("it stands in quotes")
    } else if starts("bearer ") || starts("authorization:") {
        Some("a header's words stand before it")
    } else if token.starts_with('{') {
        Some("it stands in a JSON object")
    } else if token.contains(char::is_whitespace) {
        Some("there are blanks or line breaks in it: it was wrapped, or these are several")
    } else if token.starts_with("ZXlK") && !token.contains('.') {
        Some("it is the base64 of a token, as a Secret's data has it: decode it first (base64 -d)")
    } else {
        None
    }
}

fn parts(token: &str) -> Result<[&str; 3], Malformed> {
    let parts: Vec<&str> = token.split('.').collect();
    <[&str; 3]>::try_from(parts).map_err(|parts| Malformed::Parts { found: parts.len() })
}

fn object(part: &'static str, text: &str) -> Result<Map<String, Value>, Malformed> {
    let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed::Encoding { part })?);
    serde_json::from_slice(&decoded).map_err(|error| Malformed::NotAnObject { part, line: error.line(), column: error.column() })
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
