//! Who calls the Media API.

use secrecy::SecretString;

/// A user and a password for HTTP Basic: an API key (`SK…`) and its secret, or an account (`AC…`) and its auth token.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user: the SID of an API key or of an account. Not secret.
    pub user: String,
    /// The password.
    pub password: SecretString,
    /// The account, where it is known: the user itself, or what stands beside the API key.
    pub account_sid: Option<String>,
}

/// Which lane credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey(pub [u8; 32]);
