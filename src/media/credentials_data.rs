//! Credentials out of the keys and values that a person has stored.

use std::str;

use secrecy::SecretString;

use super::credentials::{Credentials, CredentialsError, is_printable};
use super::sid::is_sid;

const API_KEY_SID: &str = "apiKeySid";
const API_KEY_SECRET: &str = "apiKeySecret";
const ACCOUNT_SID: &str = "accountSid";
const AUTH_TOKEN: &str = "authToken";

impl Credentials {
    /// Reads `apiKeySid` and `apiKeySecret` (they win where both pairs are complete) or `accountSid` and `authToken`; `accountSid` may stand
    /// beside the API key. One trailing newline of each value is forgiven, as an editor or `echo` leaves it.
    pub fn from_secret_data<'a>(get: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, CredentialsError> {
        let [api_key_sid, api_key_secret, account_sid, auth_token] = [API_KEY_SID, API_KEY_SECRET, ACCOUNT_SID, AUTH_TOKEN].map(get);
        match (api_key_sid, api_key_secret, account_sid, auth_token) {
            (Some(sid), Some(secret), account, _) => {
                let account = account.map(|account| account_sid_value(account)).transpose()?;
                let user = sid_value(API_KEY_SID, "SK", "SK and 32 hexadecimal digits", sid)?;
                Self::new(user, password_value(API_KEY_SECRET, secret)?, account)
            }
            (_, _, Some(account), Some(token)) => Self::new(account_sid_value(account)?, password_value(AUTH_TOKEN, token)?, None),
            (Some(_), None, _, _) => Err(CredentialsError::HalfAPair { present: API_KEY_SID, missing: API_KEY_SECRET }),
            (None, Some(_), _, _) => Err(CredentialsError::HalfAPair { present: API_KEY_SECRET, missing: API_KEY_SID }),
            (None, None, Some(_), None) => Err(CredentialsError::HalfAPair { present: ACCOUNT_SID, missing: AUTH_TOKEN }),
            (None, None, None, Some(_)) => Err(CredentialsError::HalfAPair { present: AUTH_TOKEN, missing: ACCOUNT_SID }),
            (None, None, None, None) => Err(CredentialsError::NoPair),
        }
    }
}

fn account_sid_value(value: &[u8]) -> Result<&str, CredentialsError> {
    sid_value(ACCOUNT_SID, "AC", "AC and 32 hexadecimal digits", value)
}

fn sid_value<'a>(key: &'static str, prefix: &str, expected: &'static str, value: &'a [u8]) -> Result<&'a str, CredentialsError> {
    text(value).filter(|text| is_sid(prefix, text)).ok_or(CredentialsError::MalformedKey { key, expected })
}

fn password_value(key: &'static str, value: &[u8]) -> Result<SecretString, CredentialsError> {
    let expected = "1 to 256 printable ASCII characters";
    text(value).filter(|text| is_printable(text)).map(SecretString::from).ok_or(CredentialsError::MalformedKey { key, expected })
}

fn text(value: &[u8]) -> Option<&str> {
    let value = value.strip_suffix(b"\n").map_or(value, |line| line.strip_suffix(b"\r").unwrap_or(line));
    str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::{ACCOUNT_SID, API_KEY_SECRET, API_KEY_SID, AUTH_TOKEN, Credentials, CredentialsError};
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
    const KEY: &str = "SK0123456789abcdef0123456789abcdef";

    fn read(data: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
        Credentials::from_secret_data(|key| data.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_bytes()))
    }

    #[test]
    fn the_api_key_wins_where_both_pairs_are_there() {
        let both = read(&[(API_KEY_SID, KEY), (API_KEY_SECRET, "key"), (ACCOUNT_SID, ACCOUNT), (AUTH_TOKEN, "token")]).unwrap();
        assert_eq!((both.user(), both.password().expose_secret(), both.account_sid()), (KEY, "key", Some(ACCOUNT)));
        let account = read(&[(ACCOUNT_SID, ACCOUNT), (AUTH_TOKEN, "token")]).unwrap();
        assert_eq!((account.user(), account.password().expose_secret(), account.account_sid()), (ACCOUNT, "token", Some(ACCOUNT)));
        let begun = read(&[(API_KEY_SID, KEY), (ACCOUNT_SID, ACCOUNT), (AUTH_TOKEN, "token")]).unwrap();
        assert_eq!(begun.user(), ACCOUNT);
    }

    #[test]
    fn one_trailing_newline_is_forgiven() {
        for end in ["\n", "\r\n"] {
            let read = read(&[(API_KEY_SID, &format!("{KEY}{end}")), (API_KEY_SECRET, &format!("key{end}"))]).unwrap();
            assert_eq!((read.user(), read.password().expose_secret()), (KEY, "key"));
        }
        assert!(read(&[(API_KEY_SID, KEY), (API_KEY_SECRET, "key\n\n")]).is_err());
        assert!(read(&[(API_KEY_SID, &format!("{KEY}\n\n")), (API_KEY_SECRET, "key")]).is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(read(&[]).unwrap_err(), CredentialsError::NoPair);
        for (present, missing) in
            [(API_KEY_SID, API_KEY_SECRET), (API_KEY_SECRET, API_KEY_SID), (ACCOUNT_SID, AUTH_TOKEN), (AUTH_TOKEN, ACCOUNT_SID)]
        {
            let error = read(&[(present, "planted")]).unwrap_err();
            assert_eq!(error, CredentialsError::HalfAPair { present, missing });
            assert!(error.to_string().contains(missing) && !error.to_string().contains("planted"));
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (data, malformed) in [
            ([(API_KEY_SID, ACCOUNT), (API_KEY_SECRET, "key")], API_KEY_SID),
            ([(API_KEY_SID, KEY), (API_KEY_SECRET, "")], API_KEY_SECRET),
            ([(API_KEY_SID, KEY), (API_KEY_SECRET, "schlüssel")], API_KEY_SECRET),
            ([(ACCOUNT_SID, KEY), (AUTH_TOKEN, "token")], ACCOUNT_SID),
            ([(ACCOUNT_SID, ACCOUNT), (AUTH_TOKEN, "to\tken")], AUTH_TOKEN),
        ] {
            let error = read(&data).unwrap_err();
            assert!(matches!(error, CredentialsError::MalformedKey { key, .. } if key == malformed), "{error}");
            assert!(error.to_string().contains(malformed));
        }
        let beside = read(&[(API_KEY_SID, KEY), (API_KEY_SECRET, "key"), (ACCOUNT_SID, "AC1")]).unwrap_err();
        assert!(matches!(beside, CredentialsError::MalformedKey { key: ACCOUNT_SID, .. }));
    }

    proptest! {
        #[test]
        fn no_error_shows_a_value(present in proptest::collection::vec(any::<bool>(), 4), noise in "\\PC{0,4}[\\x00-\\x1f]?") {
            let planted = format!("planted-{noise}");
            let keys = [API_KEY_SID, API_KEY_SECRET, ACCOUNT_SID, AUTH_TOKEN];
            let data: Vec<_> = keys.iter().zip(present).filter(|(_, there)| *there).map(|(key, _)| (*key, planted.as_str())).collect();
            let error = read(&data).unwrap_err();
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains("planted"));
        }
    }
}
