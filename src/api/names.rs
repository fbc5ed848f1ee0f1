//! The names that the operator puts on objects, and the keys of the Secrets it reads and writes.

use std::borrow::Cow;

/// The API group of the resource, and the domain of the operator's annotations.
pub const GROUP: &str = "playbackgrant.dev";

/// The group and the version of the resource.
pub const API_VERSION: &str = "playbackgrant.dev/v1alpha1";

/// The kind of the resource.
pub const KIND: &str = "PlaybackGrantRequest";

/// The field manager under which the operator writes.
pub const FIELD_MANAGER: &str = "playback-grant-operator";

/// The label that tells which program manages an object; the operator watches Secrets by it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The value of [`MANAGED_BY_LABEL`] on grant Secrets.
pub const MANAGED_BY: &str = "playback-grant-operator";

/// A text that stands in an object. Those of the operator's own, which stand in each, take no room in memory.
#[must_use]
pub fn kept(text: Cow<'_, str>) -> Cow<'static, str> {
    OWN.into_iter().find(|own| *own == text).map_or_else(|| Cow::Owned(text.into_owned()), Cow::Borrowed)
}

/// What stands in each Secret of the operator's.
const OWN: [&str; 17] = [
    API_VERSION,
    KIND,
    FIELD_MANAGER,
    MANAGED_BY_LABEL,
    annotation::EXPIRY_TIME,
    annotation::ISSUE_TIME,
    annotation::OWNED_BY,
    annotation::REQUEST_HASH,
    annotation::TOKEN_HASH,
    key::GRANT,
    key::PLAYBACK_URL,
    key::PLAYER_STREAMER_SID,
    key::ACCOUNT_SID,
    key::ISSUE_TIME,
    key::EXPIRY_TIME,
    key::ACCESS_TOKEN,
    key::ACCESS_TOKEN_EXPIRY_TIME,
];

/// Annotations of grant Secrets and of requests.
pub mod annotation {
    /// The instant at which the grant was asked for: RFC 3339, UTC, milliseconds.
    pub const ISSUE_TIME: &str = "playbackgrant.dev/issue-time";
    /// The instant at which the grant expires: RFC 3339, UTC, milliseconds.
    pub const EXPIRY_TIME: &str = "playbackgrant.dev/expiry-time";
    /// A hash over what decides the grant, and only that.
    pub const REQUEST_HASH: &str = "playbackgrant.dev/request-hash";
    /// A hash over what decides the Access Token, and only that; where there is one.
    pub const TOKEN_HASH: &str = "playbackgrant.dev/token-hash";
    /// Whose Secret it is: `<request name>/<request uid>`.
    pub const OWNED_BY: &str = "playbackgrant.dev/owned-by";
    /// On a request: a value that hasn't been handled yet asks for a refresh now.
    pub const REFRESH_REQUESTED_AT: &str = "playbackgrant.dev/refresh-requested-at";
    /// Flux's annotation for the same, honoured only where the operator's own is absent.
    pub const FLUX_REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
}

/// Keys of the grant Secret's data.
pub mod key {
    /// The grant as received: a JSON object, or a string unquoted.
    pub const GRANT: &str = "grant";
    /// The URL that a player loads, when the grant has one. A bearer credential.
    pub const PLAYBACK_URL: &str = "playbackUrl";
    /// The PlayerStreamer that the grant is for.
    pub const PLAYER_STREAMER_SID: &str = "playerStreamerSid";
    /// The account that issued the grant.
    pub const ACCOUNT_SID: &str = "accountSid";
    /// The instant at which the grant was asked for: RFC 3339, UTC, milliseconds.
    pub const ISSUE_TIME: &str = "issueTime";
    /// The instant at which the grant expires: RFC 3339, UTC, milliseconds.
    pub const EXPIRY_TIME: &str = "expiryTime";
    /// The Access Token that carries the grant, where one is asked for. A bearer credential.
    pub const ACCESS_TOKEN: &str = "accessToken";
    /// The instant at which the Access Token expires: RFC 3339, UTC, milliseconds. The grant in it expires much earlier.
    pub const ACCESS_TOKEN_EXPIRY_TIME: &str = "accessTokenExpiryTime";
}

/// Keys of the credentials Secret's data.
pub mod credentials_key {
    /// The SID of an API key, `SK…`.
    pub const API_KEY_SID: &str = "apiKeySid";
    /// The secret of that API key.
    pub const API_KEY_SECRET: &str = "apiKeySecret";
    /// The SID of the account, `AC…`.
    pub const ACCOUNT_SID: &str = "accountSid";
    /// The account's auth token.
    pub const AUTH_TOKEN: &str = "authToken";
}

#[cfg(test)]
mod tests {
    use kube::Resource as _;

    use super::*;
    use crate::api::PlaybackGrantRequest as Request;

    #[test]
    fn names_of_the_operators_own_take_no_room() {
        for own in [API_VERSION, KIND, MANAGED_BY_LABEL, annotation::OWNED_BY, annotation::TOKEN_HASH] {
            assert!(matches!(kept(Cow::Borrowed(own)), Cow::Borrowed(text) if text == own));
        }
        assert!(matches!(kept(Cow::Borrowed("tier")), Cow::Owned(text) if text == "tier"));
        let of = |part: fn(&()) -> Cow<'_, str>| part(&()).into_owned();
        assert_eq!((of(Request::api_version), of(Request::kind), of(Request::group)), (API_VERSION.into(), KIND.into(), GROUP.into()));
    }
}
