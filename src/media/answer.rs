//! What the Media API answers.

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

/// A playback grant as received.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The grant itself: the JSON object's text exactly as received, or a string grant unquoted. A bearer credential.
    pub grant: SecretString,
    /// The grant's `playbackUrl`, when it is an object (or a stringified object) that has one. A bearer credential.
    pub playback_url: Option<SecretString>,
    /// The account that issued the grant, when the answer says so and it is a SID (`^AC[0-9a-fA-F]{32}$`).
    pub account_sid: Option<String>,
    /// The URL of the grant in the Media API; `None` when absent, or when it has a query, a fragment or a user (it goes into the status).
    pub url: Option<String>,
    /// When the Media API says that it made the grant.
    pub date_created: Option<Timestamp>,
}
