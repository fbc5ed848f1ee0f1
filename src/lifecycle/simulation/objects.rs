//! What is stored in the simulated API server, and what is asked of it.

use std::collections::BTreeMap;

use super::made_token::MadeToken;
use crate::api::names::{MANAGED_BY, MANAGED_BY_LABEL, annotation, key};
use crate::api::{PlaybackGrantRequest, PlaybackGrantRequestStatus};
use crate::lifecycle::{HeldGrant, SecretMeta, SecretOrder, SecretVersion};
use crate::time::rfc3339_millis;
use secrecy::ExposeSecret as _;

pub(super) type Data = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredSecret {
    pub(super) meta: SecretMeta,
    pub(super) data: Data,
    pub(super) immutable: bool,
}

/// Credentials: which of the pairs that the Media API knows; `None`: none that can be used.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredCredentials {
    pub(super) version: SecretVersion,
    pub(super) pair: Option<usize>,
}

/// What is asked of the API server.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Look(String),
    Read(String),
    ReadCredentials(String),
    Create { name: String, order: SecretOrder, token: Option<MadeToken>, restore: bool },
    Patch { name: String, version: SecretVersion, order: SecretOrder, token: Option<MadeToken>, repair: bool },
    Delete { name: String, version: SecretVersion },
    WriteStatus { name: String, uid: String, version: Option<String>, status: Box<PlaybackGrantRequestStatus> },
}

impl Call {
    pub(super) const fn writes_secret(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Patch { .. } | Self::Delete { .. })
    }

    pub(super) const fn is_write(&self) -> bool {
        self.writes_secret() || matches!(self, Self::WriteStatus { .. })
    }
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Meta(SecretMeta),
    Whole(StoredSecret),
    Credentials(StoredCredentials),
    /// The request, at this version.
    Request(String),
    Done,
}

/// The ways in which the API server fails, as the operator tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    NotFound,
    Conflict,
    Unchangeable,
    Refused,
    /// In trouble, or no answer: what was asked for may have been done.
    Unavailable,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Request(Box<PlaybackGrantRequest>),
    RequestGone { name: String, uid: String },
    Secret(SecretMeta),
    SecretGone(SecretMeta),
    Credentials(String, Option<SecretVersion>),
}

/// A Secret's data with `held` in it and that token beside it, as the operator writes it.
pub(super) fn data_of(held: &HeldGrant, token: Option<&MadeToken>) -> Data {
    let claim = held.claim();
    let mut data = Data::from([
        (key::GRANT.to_owned(), held.grant.grant.expose_secret().to_owned()),
        (key::PLAYER_STREAMER_SID.to_owned(), held.player_streamer_sid.to_string()),
        (key::ISSUE_TIME.to_owned(), rfc3339_millis(claim.issue_time)),
        (key::EXPIRY_TIME.to_owned(), rfc3339_millis(claim.expiry_time)),
    ]);
    data.extend(held.grant.account_sid.clone().map(|sid| (key::ACCOUNT_SID.to_owned(), sid.to_string())));
    data.extend(token.map(|token| (key::ACCESS_TOKEN.to_owned(), token.text())));
    data.extend(token.map(|token| (key::ACCESS_TOKEN_EXPIRY_TIME.to_owned(), token.expiry_time.clone())));
    data
}

/// Whether the watch shows a Secret with these labels.
pub(super) fn is_watched(meta: &SecretMeta) -> bool {
    meta.labels.get(MANAGED_BY_LABEL) == Some(MANAGED_BY)
}

/// The value of the refresh annotation.
pub(super) fn refresh_request(object: &PlaybackGrantRequest) -> Option<&str> {
    let annotations = object.metadata.annotations.as_ref()?;
    [annotation::REFRESH_REQUESTED_AT, annotation::FLUX_REQUESTED_AT].into_iter().find_map(|name| annotations.get(name)).map(String::as_str)
}

/// As much of a value as a story needs; no more of it is put into words, which takes the most of a test's time.
pub(super) fn start_of(value: &impl std::fmt::Debug) -> String {
    struct Start(String);
    impl std::fmt::Write for Start {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.push_str(text);
            if self.0.len() < 120 { Ok(()) } else { Err(std::fmt::Error) }
        }
    }
    let mut start = Start(String::new());
    // It ends with an error when it is long enough.
    let _ = std::fmt::Write::write_fmt(&mut start, format_args!("{value:?}"));
    start.0
}
