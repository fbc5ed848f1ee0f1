//! The hash over what decides a grant.

use std::sync::Arc;

use crate::media::GrantCall;
use crate::parts_hash::parts_hash;

/// A hash over what decides the grant, and only that: streamer, TTL, origin and the name of the credentials.
///
/// It stands in a Secret's annotation and tells, after a restart too, whether the grant was made for the present spec.
#[must_use]
pub fn request_hash(call: &GrantCall, credentials_name: &str) -> Arc<str> {
    let GrantCall { player_streamer_sid, ttl, access_control_allow_origin } = call;
    let ttl = ttl.seconds().to_string();
    // An absent origin can't be mistaken for an empty one: no origin is empty.
    let origin = access_control_allow_origin.as_ref().map_or("", |origin| origin.as_str());
    parts_hash(["v1", player_streamer_sid.as_str(), &ttl, origin, credentials_name]).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::media::{Origin, PlayerStreamerSid, Ttl};

    fn call(sid: char, ttl: u8, origin: Option<&str>) -> GrantCall {
        GrantCall {
            player_streamer_sid: PlayerStreamerSid::parse(&format!("VJ{}", String::from(sid).repeat(32))).unwrap(),
            ttl: Ttl::from_seconds(ttl).unwrap(),
            access_control_allow_origin: origin.map(|origin| Origin::parse(origin).unwrap()),
        }
    }

    #[test]
    fn each_part_decides_the_hash() {
        let hashes: BTreeSet<Arc<str>> = [
            request_hash(&call('a', 15, None), "media-api"),
            request_hash(&call('b', 15, None), "media-api"),
            request_hash(&call('a', 16, None), "media-api"),
            request_hash(&call('a', 15, Some("https://a.example")), "media-api"),
            request_hash(&call('a', 15, None), "media-api-2"),
        ]
        .into();
        assert_eq!(hashes.len(), 5);
        assert!(hashes.iter().all(|hash| hash.len() == 32));
    }

    #[test]
    fn the_hash_is_the_same_in_every_release() {
        assert_eq!(&*request_hash(&call('a', 15, Some("https://a.example")), "media-api"), "73317530388800ddd11ec85eafd54c59");
    }
}
