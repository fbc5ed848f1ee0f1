//! Who may call, and whose account a call belongs to.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::str::FromStr;

/// A user, a password and the account they belong to. Its text is `USER:PASSWORD:ACCOUNT_SID`; the password may contain colons.
#[derive(Clone, Debug)]
pub struct KnownCredentials {
    /// The user of HTTP Basic: an API key's SID or an account's.
    pub user: String,
    /// The password.
    pub password: SecretString,
    /// The account, `^AC[0-9a-fA-F]{32}$`. Several users may share one.
    pub account_sid: String,
}

/// Why a text isn't credentials. Quotes nothing of the text, which holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Parts are missing.
    #[error("credentials are written USER:PASSWORD:ACCOUNT_SID, each part non-empty")]
    Parts,
    /// The last part isn't an account's SID.
    #[error("the last part of credentials is an account's SID: AC and 32 hexadecimal digits")]
    AccountSid,
}

impl FromStr for KnownCredentials {
    type Err = CredentialsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, rest) = text.split_once(':').ok_or(CredentialsError::Parts)?;
        let (password, account_sid) = rest.rsplit_once(':').ok_or(CredentialsError::Parts)?;
        if user.is_empty() || password.is_empty() {
            return Err(CredentialsError::Parts);
        }
        if !is_sid(account_sid, "AC") {
            return Err(CredentialsError::AccountSid);
        }
        Ok(Self { user: user.to_owned(), password: password.into(), account_sid: account_sid.to_owned() })
    }
}

/// Reads credentials from a file's text: one a line; empty lines and lines that start with `#` are passed over. An error names its line.
pub fn parse_credentials_lines(text: &str) -> Result<Vec<KnownCredentials>, (usize, CredentialsError)> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(index, line)| line.parse().map_err(|error| (index + 1, error))).collect()
}

/// The account of a user that isn't among the given ones: an account's SID is its own account, any other user has one of its own,
/// always the same.
#[must_use]
pub fn account_sid_of(user: &str) -> String {
    if is_sid(user, "AC") && !user.bytes().skip(2).any(|digit| digit.is_ascii_uppercase()) {
        return user.to_owned();
    }
    let digest = Sha256::digest(user.as_bytes());
    digest.iter().take(16).fold("AC".to_owned(), |sid, byte| format!("{sid}{byte:02x}"))
}

/// Whether `text` is `prefix` and 32 hexadecimal digits.
pub(crate) fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// What a call's `Authorization` header says.
#[derive(Clone, Debug)]
pub(crate) struct BasicCredentials {
    pub(crate) user: String,
    password: SecretString,
}

impl BasicCredentials {
    /// Reads a header of the Basic scheme (RFC 7617); `None` if it is anything else, or has no user.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (scheme, encoded) = header.split_once(' ')?;
        let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        (scheme.eq_ignore_ascii_case("basic") && !user.is_empty()).then(|| Self { user: user.to_owned(), password: password.into() })
    }
}

/// The credentials that are accepted: the given ones, or any when none are given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    known: HashMap<String, KnownCredentials>,
}

impl Accounts {
    pub(crate) fn new(known: impl IntoIterator<Item = KnownCredentials>) -> Self {
        Self { known: known.into_iter().map(|credentials| (credentials.user.clone(), credentials)).collect() }
    }

    /// The account that a call with this user counts for, be its password right or wrong.
    pub(crate) fn account_of(&self, user: &str) -> String {
        self.known.get(user).map_or_else(|| account_sid_of(user), |credentials| credentials.account_sid.clone())
    }

    /// Whether these credentials are accepted.
    pub(crate) fn accept(&self, given: &BasicCredentials) -> bool {
        match self.known.get(&given.user) {
            Some(known) => known.password.expose_secret() == given.password.expose_secret(),
            None => self.known.is_empty() && !given.password.expose_secret().is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Accounts, BasicCredentials, CredentialsError, KnownCredentials, account_sid_of, is_sid, parse_credentials_lines};
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

    fn given(user_and_password: &str) -> BasicCredentials {
        BasicCredentials::parse(&format!("Basic {}", BASE64_STANDARD.encode(user_and_password))).unwrap()
    }

    proptest! {
        #[test]
        fn every_user_has_one_valid_account(user in ".{1,40}", other in ".{1,40}") {
            let account = account_sid_of(&user);
            prop_assert!(is_sid(&account, "AC") && !account[2..].bytes().any(|digit| digit.is_ascii_uppercase()));
            prop_assert_eq!(account == account_sid_of(&other), user == other);
        }
    }

    #[test]
    fn an_account_is_its_own_account() {
        assert_eq!(account_sid_of(ACCOUNT), ACCOUNT);
        assert_ne!(account_sid_of("SK0123456789abcdef0123456789abcdef"), ACCOUNT);
    }

    #[test]
    fn without_given_credentials_any_are_accepted_but_no_empty_password() {
        let accounts = Accounts::default();
        assert!(accounts.accept(&given("anyone:anything")));
        assert!(!accounts.accept(&given("anyone:")));
    }

    #[test]
    fn given_credentials_are_the_only_ones_accepted() {
        let accounts = Accounts::new([format!("SK1:a:b:{ACCOUNT}").parse::<KnownCredentials>().unwrap()]);
        assert!(accounts.accept(&given("SK1:a:b")));
        assert!(!accounts.accept(&given("SK1:a")));
        assert!(!accounts.accept(&given("SK2:a:b")));
        assert_eq!(accounts.account_of("SK1"), ACCOUNT);
        assert_ne!(accounts.account_of("SK2"), ACCOUNT);
    }

    #[test]
    fn headers_that_are_not_basic_are_nothing() {
        let no_user = format!("Basic {}", BASE64_STANDARD.encode(":password"));
        for header in ["", "Basic", "Basic !!", "Bearer dTpw", "Basic dQ==", &no_user] {
            assert!(BasicCredentials::parse(header).is_none(), "{header}");
        }
        assert!(BasicCredentials::parse("basic dTpw").is_some());
    }

    #[test]
    fn a_files_lines_are_credentials_or_an_error_with_the_line() {
        let text = format!("# accounts\n\nSK1:p:{ACCOUNT}\n  SK2:q:{ACCOUNT}  \n");
        assert_eq!(parse_credentials_lines(&text).unwrap().len(), 2);
        assert_eq!(parse_credentials_lines("\nSK1:p:AC1").unwrap_err(), (2, CredentialsError::AccountSid));
        assert_eq!(parse_credentials_lines("SK1:p").unwrap_err(), (1, CredentialsError::Parts));
    }

    #[test]
    fn passwords_are_not_printed() {
        let known: KnownCredentials = format!("SK1:hunter2:{ACCOUNT}").parse().unwrap();
        assert!(!format!("{known:?} {:?}", given("SK1:hunter2")).contains("hunter2"));
    }
}
