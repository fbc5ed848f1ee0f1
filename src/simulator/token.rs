//! What the simulator writes into a grant, so that an observer can judge the grant by itself.

use std::fmt;

/// The token in a simulated playback URL: when the grant was issued and how long it lives.
///
/// Its text is `sim1.<issue instant>.<lifetime>.<nonce>`: two decimal numbers of milliseconds (the first since the Unix epoch) and 32
/// hexadecimal digits that make each token unique. A grant counts as issued when its call arrives at the simulator, however long the
/// answer then takes, so no client can take it for fresher than it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlaybackToken {
    /// When the grant was issued, in milliseconds since the Unix epoch.
    pub issued_at_unix_ms: u64,
    /// How long it lives, in milliseconds.
    pub ttl_ms: u64,
    /// What makes the token unique.
    pub nonce: u128,
}

/// The first field of every token's text: a mark and the version of what follows.
const MARK: &str = "sim1";

/// Where the simulated streams would be played. The name never resolves (RFC 2606).
const PLAYBACK_BASE: &str = "https://playback.invalid/playback?token=";

impl PlaybackToken {
    /// The token as it stands in a playback URL.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{MARK}.{}.{}.{:032x}", self.issued_at_unix_ms, self.ttl_ms, self.nonce)
    }

    /// The playback URL that carries the token.
    #[must_use]
    pub fn playback_url(&self) -> String {
        format!("{PLAYBACK_BASE}{}", self.encode())
    }

    /// Reads the token out of a playback URL (its `token` parameter) or a bare token; `None` if it isn't one of the simulator's.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let token = match text.split_once('?') {
            Some((_, query)) => query
                .split('#')
                .next()?
                .split('&')
                .find_map(|parameter| parameter.strip_prefix("token="))
                .filter(|token| !token.is_empty())?,
            None => text,
        };
        let fields: Vec<&str> = token.split('.').collect();
        let [MARK, issued, ttl, nonce] = fields[..] else { return None };
        if nonce.len() != 32 || !nonce.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self { issued_at_unix_ms: decimal(issued)?, ttl_ms: decimal(ttl)?, nonce: u128::from_str_radix(nonce, 16).ok()? })
    }

    /// The first instant at which the grant no longer plays, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn expires_at_unix_ms(&self) -> u64 {
        self.issued_at_unix_ms.saturating_add(self.ttl_ms)
    }
}

/// A playback URL is a bearer credential: the nonce stays out of what is printed.
impl fmt::Debug for PlaybackToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaybackToken")
            .field("issued_at_unix_ms", &self.issued_at_unix_ms)
            .field("ttl_ms", &self.ttl_ms)
            .finish_non_exhaustive()
    }
}

fn decimal(text: &str) -> Option<u64> {
    (!text.starts_with('+')).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::PlaybackToken;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(issued_at_unix_ms: u64, ttl_ms: u64, nonce: u128) {
            let token = PlaybackToken { issued_at_unix_ms, ttl_ms, nonce };
            prop_assert_eq!(PlaybackToken::decode(&token.encode()), Some(token));
            prop_assert_eq!(PlaybackToken::decode(&token.playback_url()), Some(token));
            prop_assert_eq!(PlaybackToken::decode(&format!("https://a/b?x=1&token={}&y=2#f", token.encode())), Some(token));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,80}") {
            if let Some(token) = PlaybackToken::decode(&text) {
                prop_assert!(text.contains("sim1."));
                prop_assert!(token.expires_at_unix_ms() >= token.issued_at_unix_ms);
            }
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let good = PlaybackToken { issued_at_unix_ms: 1_700_000_000_000, ttl_ms: 15_000, nonce: 7 }.encode();
        assert!(PlaybackToken::decode(&good).is_some());
        for text in [
            String::new(),
            good.replace("sim1", "sim2"),
            good.replace("15000", "+15000"),
            good.replace("15000", "-1"),
            format!("{good}.1"),
            good[..good.len() - 1].to_owned(),
            format!("https://a/playback?other={good}"),
            "https://a/playback?token=".to_owned(),
        ] {
            assert_eq!(PlaybackToken::decode(&text), None, "{}", text.len());
        }
    }

    #[test]
    fn expiry_is_issue_and_lifetime_and_never_overflows() {
        let token = PlaybackToken { issued_at_unix_ms: 1_000, ttl_ms: 15_000, nonce: 0 };
        assert_eq!(token.expires_at_unix_ms(), 16_000);
        let token = PlaybackToken { issued_at_unix_ms: u64::MAX, ttl_ms: 1, nonce: 0 };
        assert_eq!(token.expires_at_unix_ms(), u64::MAX);
    }

    #[test]
    fn the_nonce_is_not_printed() {
        let token = PlaybackToken { issued_at_unix_ms: 1, ttl_ms: 2, nonce: 0xabcd_ef01 };
        let printed = format!("{token:?}");
        assert!(!printed.contains("abcdef01") && !printed.contains(&0xabcd_ef01_u128.to_string()), "{printed}");
    }
}
