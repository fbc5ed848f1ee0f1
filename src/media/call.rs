//! What is asked of the Media API, in types that can't hold what must not go into a URL or a header.

use std::fmt;
use std::time::Duration;

/// A PlayerStreamer's SID: `VJ` and 32 hexadecimal digits (API description 1.55.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlayerStreamerSid(String);

impl PlayerStreamerSid {
    /// Takes `text` if it is a SID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("VJ")?;
        (digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }

    /// The SID's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlayerStreamerSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A grant's lifetime: 1 to 60 seconds. The maximum is documented, the minimum isn't (API description 1.55.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ttl(u8);

impl Ttl {
    /// Takes `seconds` if it is in the range.
    #[must_use]
    pub fn from_seconds(seconds: u8) -> Option<Self> {
        (1..=60).contains(&seconds).then_some(Self(seconds))
    }

    /// The lifetime in seconds.
    #[must_use]
    pub const fn seconds(self) -> u8 {
        self.0
    }

    /// The lifetime.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

/// A full origin: scheme, host and optional port, as a browser sends it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// Takes `text` if it is an origin: `http` or `https`, a host in lower or upper case letters, digits, dots and hyphens (or an IPv6
    /// address in brackets), and an optional port from 1 to 65535; no path, query, user or fragment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (address, after) = bracketed.split_once(']')?;
                address.parse::<std::net::Ipv6Addr>().ok()?;
                match after.strip_prefix(':') {
                    Some(port) => (None, Some(port)),
                    None if after.is_empty() => (None, None),
                    None => return None,
                }
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (Some(host), Some(port)),
                None => (Some(rest), None),
            },
        };
        let host_is_fine = host.is_none_or(|host| host.len() <= 253 && host.split('.').all(is_host_label));
        let port_is_fine = port.is_none_or(|port| !port.starts_with(['+', '0']) && port.parse::<u16>().is_ok());
        (host_is_fine && port_is_fine).then(|| Self(text.to_owned()))
    }

    /// The origin's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// One playback grant to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantCall {
    /// The PlayerStreamer to play.
    pub player_streamer_sid: PlayerStreamerSid,
    /// The grant's lifetime (form field `Ttl`).
    pub ttl: Ttl,
    /// Where the stream may be played (form field `AccessControlAllowOrigin`); `None`: anywhere.
    pub access_control_allow_origin: Option<Origin>,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Until the connection stands, name look-up and TLS included.
    pub connect: Duration,
    /// Until the whole answer is there.
    pub total: Duration,
}
