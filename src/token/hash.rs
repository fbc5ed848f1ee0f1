//! The hash over what decides a token.

use super::key::KeyTag;
use super::spec::AccessTokenSpec;
use crate::parts_hash::parts_hash;

/// A hash over what decides the token, the grant in it aside: identity, lifetime, account and key.
///
/// It stands in a Secret's annotation and tells, after a restart too, whether the token was made for the present spec with the present key.
#[must_use]
pub fn token_hash(spec: &AccessTokenSpec, account_sid: &str, key: &KeyTag) -> String {
    let AccessTokenSpec { identity, ttl } = spec;
    let ttl = ttl.seconds().to_string();
    parts_hash(["v1", identity.as_str(), &ttl, account_sid, key.as_str()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::token::{AccessTokenIdentity, AccessTokenTtl, SigningKey};

    fn spec(identity: &str, seconds: u32) -> AccessTokenSpec {
        AccessTokenSpec { identity: AccessTokenIdentity::parse(identity).unwrap(), ttl: AccessTokenTtl::from_seconds(seconds).unwrap() }
    }

    fn tag(sid: &str) -> KeyTag {
        SigningKey::new(sid, "secret".into()).tag()
    }

    #[test]
    fn each_part_decides_the_hash() {
        let hashes: BTreeSet<String> = [
            token_hash(&spec("kiosk", 60), "AC1", &tag("SK1")),
            token_hash(&spec("kiosks", 60), "AC1", &tag("SK1")),
            token_hash(&spec("kiosk", 61), "AC1", &tag("SK1")),
            token_hash(&spec("kiosk", 60), "AC2", &tag("SK1")),
            token_hash(&spec("kiosk", 60), "AC1", &tag("SK2")),
            // No part can pass for the end of the one before it.
            token_hash(&spec("kiosk", 660), "AC1", &tag("SK1")),
            token_hash(&spec("kiosk6", 60), "AC1", &tag("SK1")),
        ]
        .into();
        assert_eq!(hashes.len(), 7);
        assert!(hashes.iter().all(|hash| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
