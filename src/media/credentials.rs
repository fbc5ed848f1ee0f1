//! Who calls the Media API.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::sid::is_sid;

/// The most bytes of a user or a password.
pub(super) const LONGEST_PART: usize = 256;

/// A user and a password for HTTP Basic: an API key (`SK…`) and its secret, or an account (`AC…`) and its auth token.
///
/// The password isn't printed and is wiped on drop. Both parts are printable ASCII, and the user has no colon, so that HTTP Basic can carry
/// them unambiguously.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: SecretString,
    account_sid: Option<String>,
}

impl Credentials {
    /// Puts a user and a password together. `account_sid` is the account that stands beside an API key; a user that is an account's SID is
    /// its own.
    pub fn new(user: &str, password: SecretString, account_sid: Option<&str>) -> Result<Self, CredentialsError> {
        if !is_printable(user) || user.contains(':') {
            return Err(CredentialsError::MalformedUser);
        }
        if !is_printable(password.expose_secret()) {
            return Err(CredentialsError::MalformedPassword);
        }
        if account_sid.is_some_and(|sid| !is_sid("AC", sid)) {
            return Err(CredentialsError::MalformedAccountSid);
        }
        let account_sid = account_sid.or_else(|| is_sid("AC", user).then_some(user)).map(str::to_owned);
        Ok(Self { user: user.to_owned(), password, account_sid })
    }

    /// The user: the SID of an API key or of an account. Not secret.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &SecretString {
        &self.password
    }

    /// The user, if it is an API key's SID (`SK…`).
    #[must_use]
    pub fn api_key_sid(&self) -> Option<&str> {
        is_sid("SK", &self.user).then_some(&self.user)
    }

    /// The account, where it is known: the user itself, or what stands beside the API key.
    #[must_use]
    pub fn account_sid(&self) -> Option<&str> {
        self.account_sid.as_deref()
    }
}

/// What HTTP Basic and an HTTP header carry without doubt about the encoding.
pub(super) fn is_printable(text: &str) -> bool {
    (1..=LONGEST_PART).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, password: _, account_sid } = self;
        f.debug_struct("Credentials").field("user", user).field("account_sid", account_sid).finish_non_exhaustive()
    }
}

/// Why there are no credentials. Names keys and parts, never a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The user can't stand in HTTP Basic.
    #[error("the user is malformed: it must be 1 to {LONGEST_PART} printable ASCII characters without a colon")]
    MalformedUser,
    /// The password can't stand in HTTP Basic.
    #[error("the password is malformed: it must be 1 to {LONGEST_PART} printable ASCII characters")]
    MalformedPassword,
    /// The account beside the user is no SID.
    #[error("the account SID is malformed: it must be AC and 32 hexadecimal digits")]
    MalformedAccountSid,
    /// No pair of keys is complete, and none was begun.
    #[error("neither pair of keys is there: give apiKeySid and apiKeySecret (recommended), or accountSid and authToken")]
    NoPair,
    /// One pair was begun.
    #[error("the key {present} is there without {missing}: add {missing}")]
    HalfAPair {
        /// The key that is there.
        present: &'static str,
        /// The key that isn't.
        missing: &'static str,
    },
    /// A key's value isn't what it should be.
    #[error("the value of the key {key} is malformed: it must be {expected}, with no more than one newline at its end")]
    MalformedKey {
        /// The key.
        key: &'static str,
        /// What its value must be.
        expected: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::{Credentials, CredentialsError};
    use proptest::prelude::*;

    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
    const KEY: &str = "SK0123456789abcdef0123456789abcdef";

    #[test]
    fn the_account_is_the_user_itself_or_stands_beside_the_api_key() {
        assert_eq!(Credentials::new(ACCOUNT, "p".into(), None).unwrap().account_sid(), Some(ACCOUNT));
        assert_eq!(Credentials::new(KEY, "p".into(), None).unwrap().account_sid(), None);
        assert_eq!(Credentials::new(KEY, "p".into(), Some(ACCOUNT)).unwrap().account_sid(), Some(ACCOUNT));
        assert_eq!(Credentials::new(KEY, "p".into(), Some(KEY)).unwrap_err(), CredentialsError::MalformedAccountSid);
        let key_of = |user: &str| Credentials::new(user, "p".into(), None).unwrap().api_key_sid().map(str::to_owned);
        assert_eq!((key_of(KEY).as_deref(), key_of(ACCOUNT), key_of("SK1")), (Some(KEY), None, None));
    }

    #[test]
    fn what_http_basic_cannot_carry_is_refused_by_the_part_it_is_in() {
        for user in ["", "a:b", "a\r\nX: y", "a\0", "ü", &"a".repeat(257)] {
            assert_eq!(Credentials::new(user, "p".into(), None).unwrap_err(), CredentialsError::MalformedUser, "{user:?}");
        }
        for password in ["", "a\nb", "a\0", "\u{7f}", "ü", &"a".repeat(257)] {
            assert_eq!(Credentials::new("u", password.into(), None).unwrap_err(), CredentialsError::MalformedPassword, "{password:?}");
        }
        assert!(Credentials::new("u", "a:b c~".into(), None).is_ok());
    }

    proptest! {
        #[test]
        fn neither_an_error_nor_debug_shows_the_password(noise in "[\\x00-\\x7f]{0,8}") {
            let planted = format!("planted-password-{noise}");
            let shown = match Credentials::new(KEY, planted.into(), None) {
                Ok(credentials) => {
                    prop_assert!(format!("{credentials:?}").contains(KEY), "whose they are");
                    format!("{credentials:?} {:?}", credentials.password())
                }
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains("planted-password"));
        }
    }
}
