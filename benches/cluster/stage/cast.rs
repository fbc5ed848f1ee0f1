//! Who asks for grants.

use playback_grant_operator::simulator::KnownCredentials;
use serde_json::{Value, json};

/// Requests that are alike.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Their names begin with it.
    pub name: &'static str,
    pub count: u32,
    pub credentials: Key,
    /// The life of their grants.
    pub ttl_seconds: u32,
    /// Whether they are suspended from the start.
    pub suspend: bool,
}

/// By which credentials they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Usual,
    /// Those of another account.
    Other,
    /// The usual user with a password that is wrong.
    Wrong,
}

pub const KEYS: [Key; 3] = [Key::Usual, Key::Other, Key::Wrong];

/// The life of most grants.
pub const TTL_SECONDS: u32 = 15;

/// Those that are there in each case.
pub const fn live(count: u32) -> Group {
    Group { name: "live", count, credentials: Key::Usual, ttl_seconds: TTL_SECONDS, suspend: false }
}

impl Group {
    /// How long it is from one refresh to the next at leisure.
    pub const fn interval_millis(&self) -> u64 {
        self.ttl_seconds as u64 * 1000 * 2 / 3
    }

    /// Whether they are given grants where nothing is wrong.
    pub fn is_served(&self) -> bool {
        self.credentials != Key::Wrong && !self.suspend
    }

    /// The name of the one of that number, and of its Secret.
    pub fn request_name(&self, n: u32) -> String {
        format!("{}-{n}", self.name)
    }

    /// Whether that is the name of one of them.
    pub fn has(&self, name: &str) -> bool {
        name.rsplit_once('-').is_some_and(|(group, _)| group == self.name)
    }

    /// The PlayerStreamer of the one of that number.
    pub fn streamer_sid(&self, n: u32) -> String {
        // The name's letters tell the group.
        let group = self.name.bytes().fold(0_u64, |letters, letter| letters << 8 | u64::from(letter));
        format!("VJ{group:024x}{n:08x}")
    }

    /// The one of that number.
    pub fn request(&self, n: u32) -> Value {
        json!({
            "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "metadata": {"name": self.request_name(n)},
            "spec": {
                "playerStreamerSid": self.streamer_sid(n), "ttlSeconds": self.ttl_seconds, "suspend": self.suspend,
                "credentialsSecretRef": {"name": self.credentials.secret_name()},
            },
        })
    }
}

impl Key {
    /// The Secret that holds them.
    pub const fn secret_name(self) -> &'static str {
        match self {
            Self::Usual => "media-api",
            Self::Other => "another-account",
            Self::Wrong => "a-stranger",
        }
    }

    fn user(self) -> String {
        format!("SK{:032x}", if self == Self::Other { 2 } else { 1 })
    }

    const fn password(self) -> &'static str {
        if matches!(self, Self::Wrong) { "a guess" } else { "made up for this" }
    }

    /// Its account.
    pub fn account_sid(self) -> String {
        format!("AC{:032x}", if self == Self::Other { 2 } else { 1 })
    }

    /// The Secret itself.
    pub fn secret(self) -> Value {
        json!({
            "metadata": {"name": self.secret_name()}, "stringData": {"apiKeySid": self.user(), "apiKeySecret": self.password()},
        })
    }

    /// What the Media API knows.
    pub fn known() -> Vec<KnownCredentials> {
        let known = |key: Self| KnownCredentials { user: key.user(), password: key.password().into(), account_sid: key.account_sid() };
        vec![known(Self::Usual), known(Self::Other)]
    }
}
