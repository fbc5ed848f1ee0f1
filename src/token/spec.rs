//! What is asked for of an Access Token, in types that can't break a rule.

use std::fmt;
use std::time::Duration;

/// A token's lifetime when none is asked for, seconds (the helper libraries' default).
pub const DEFAULT_TTL_SECONDS: u32 = 3600;

/// The shortest lifetime that can be asked for, seconds: as long as the longest grant lives.
pub const MIN_TTL_SECONDS: u32 = 60;

/// The longest lifetime that the vendor's platform accepts, seconds (24 h).
pub const MAX_TTL_SECONDS: u32 = 86_400;

/// The most characters of an identity.
const LONGEST_IDENTITY: usize = 256;

/// The Access Token that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenSpec {
    /// Who the player is.
    pub identity: AccessTokenIdentity,
    /// How long the token lives.
    pub ttl: AccessTokenTtl,
}

/// Who a player is, as the token tells: 1 to 256 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenIdentity(String);

impl AccessTokenIdentity {
    /// Takes `text` if it is an identity.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=LONGEST_IDENTITY).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// The identity as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessTokenIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How long a token lives: 60 to 86400 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessTokenTtl(u32);

impl AccessTokenTtl {
    /// Takes so many seconds if a token can live for them.
    #[must_use]
    pub fn from_seconds(seconds: u32) -> Option<Self> {
        (MIN_TTL_SECONDS..=MAX_TTL_SECONDS).contains(&seconds).then_some(Self(seconds))
    }

    /// The lifetime in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The lifetime.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_1_to_256_characters_without_control_characters() {
        for fine in ["a", " ", "kiosk 1", "Jürgen/κ🎬", "\u{200b}", &"ü".repeat(256)] {
            assert_eq!(AccessTokenIdentity::parse(fine).map(|identity| identity.to_string()).as_deref(), Some(fine));
        }
        for wrong in ["", "\n", "a\tb", "a\0", "\u{7f}", "\u{80}", "\u{9f}", &"a".repeat(257)] {
            assert_eq!(AccessTokenIdentity::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_token_lives_a_minute_to_a_day() {
        for (seconds, fits) in [(0, false), (59, false), (60, true), (3600, true), (86_400, true), (86_401, false)] {
            assert_eq!(AccessTokenTtl::from_seconds(seconds).map(AccessTokenTtl::seconds), fits.then_some(seconds));
        }
        assert_eq!(AccessTokenTtl::from_seconds(60).unwrap().duration(), Duration::from_mins(1));
    }
}
