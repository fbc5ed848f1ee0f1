//! The types and reasons of a request's conditions. They are part of the API.

use std::fmt;

/// A condition's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// True while the Secret holds an unexpired grant made for the present spec.
    Ready,
    /// There, and True, only while the last attempt failed.
    RefreshFailing,
    /// kstatus: there, and True, only while the operator is working towards the spec.
    Reconciling,
    /// kstatus: there, and True, only while the operator can't get on without help.
    Stalled,
}

impl ConditionType {
    /// The type as it stands in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::RefreshFailing => "RefreshFailing",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The Secret holds an unexpired grant.
    GrantIssued,
    /// No grant for this spec yet: it is being asked for, or waits its turn.
    Issuing,
    /// Network, TLS, 5xx, no answer.
    MediaApiUnavailable,
    /// 429.
    MediaApiThrottled,
    /// A 201 that isn't what it should be.
    InvalidResponse,
    /// 401 or 403.
    Unauthorized,
    /// 404 or 410.
    PlayerStreamerNotFound,
    /// Any other 3xx or 4xx.
    MediaApiRejected,
    /// There is no such credentials Secret.
    CredentialsNotFound,
    /// The credentials Secret's keys are missing or malformed.
    CredentialsInvalid,
    /// An Access Token is asked for, and the credentials can't sign one.
    CredentialsCannotSign,
    /// The Secret is another's.
    SecretConflict,
    /// The API server didn't take the Secret.
    SecretWriteFailed,
    /// The spec was stored before it could be checked.
    InvalidSpec,
    /// Suspended, and the grant's life has ended.
    Suspended,
    /// The grant expired while the operator was away; no attempt has failed.
    GrantExpired,
}

impl Reason {
    /// The reason as it stands in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GrantIssued => "GrantIssued",
            Self::Issuing => "Issuing",
            Self::MediaApiUnavailable => "MediaApiUnavailable",
            Self::MediaApiThrottled => "MediaApiThrottled",
            Self::InvalidResponse => "InvalidResponse",
            Self::Unauthorized => "Unauthorized",
            Self::PlayerStreamerNotFound => "PlayerStreamerNotFound",
            Self::MediaApiRejected => "MediaApiRejected",
            Self::CredentialsNotFound => "CredentialsNotFound",
            Self::CredentialsInvalid => "CredentialsInvalid",
            Self::CredentialsCannotSign => "CredentialsCannotSign",
            Self::SecretConflict => "SecretConflict",
            Self::SecretWriteFailed => "SecretWriteFailed",
            Self::InvalidSpec => "InvalidSpec",
            Self::Suspended => "Suspended",
            Self::GrantExpired => "GrantExpired",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
