//! What tells one pair of credentials from another without holding them.

use std::fmt;
use std::sync::OnceLock;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::credentials::Credentials;

/// Stands for one pair of user and password within this process.
///
/// It is salted by a random number of the process: whoever sees it, in a dump of memory say, can't try passwords against it in bulk that was
/// prepared before, nor compare two processes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey([u8; 32]);

impl Credentials {
    /// The same for the same user and password, and, as far as SHA-256 goes, for no others.
    #[must_use]
    pub fn fingerprint(&self) -> LaneKey {
        let mut hash = Sha256::new().chain_update(process_salt());
        for part in [self.user(), self.password().expose_secret()] {
            // The length goes first, so that no part can pass for the end of the one before it.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        LaneKey(hash.finalize().into())
    }
}

fn process_salt() -> &'static [u8; 32] {
    static SALT: OnceLock<[u8; 32]> = OnceLock::new();
    SALT.get_or_init(rand::random)
}

impl fmt::Debug for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([b0, b1, b2, b3, ..]) = self;
        write!(f, "LaneKey({b0:02x}{b1:02x}{b2:02x}{b3:02x})")
    }
}

#[cfg(test)]
mod tests {
    use super::LaneKey;
    use crate::media::Credentials;

    fn key(user: &str, password: &str) -> LaneKey {
        Credentials::new(user, password.into(), None).unwrap().fingerprint()
    }

    #[test]
    fn only_the_same_user_and_password_share_a_key() {
        assert_eq!(key("user", "password"), key("user", "password"));
        for (user, password) in [("user", "passwore"), ("usep", "password"), ("userp", "assword"), ("use", "rpassword")] {
            assert_ne!(key("user", "password"), key(user, password), "{user} {password}");
        }
    }

    #[test]
    fn the_account_beside_an_api_key_makes_no_lane_of_its_own() {
        let beside = Credentials::new("user", "password".into(), Some("AC0123456789abcdef0123456789abcdef")).unwrap();
        assert_eq!(beside.fingerprint(), key("user", "password"));
    }

    #[test]
    fn the_salt_is_the_processs_own() {
        assert_eq!(super::process_salt(), super::process_salt());
        assert_ne!(super::process_salt(), &[0; 32]);
    }

    #[test]
    fn debug_shows_eight_digits() {
        let shown = format!("{:?}", key("user", "password"));
        let digits = shown.strip_prefix("LaneKey(").unwrap().strip_suffix(')').unwrap();
        assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{shown}");
    }
}
