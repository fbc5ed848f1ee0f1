//! What is asked of the Media API, in types that can't hold what must not go into a URL or a header.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::sid::is_sid;

/// A PlayerStreamer's SID: `VJ` and 32 hexadecimal digits (API description 1.55.2). A clone shares its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlayerStreamerSid(Arc<str>);

impl PlayerStreamerSid {
    /// Takes `text` if it is a SID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_sid("VJ", text).then(|| Self(text.into()))
    }

    /// The SID's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SID's text, which whoever asks for it shares.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
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
                // An IPv4 address written as IPv6 is none to the API server; and no browser sends it so.
                address.parse::<std::net::Ipv6Addr>().ok().filter(|address| address.to_ipv4_mapped().is_none())?;
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
    /// From the start of the call until the connection stands: name look-up, a proxy's tunnel and TLS included.
    pub connect: Duration,
    /// From the start of the call until the whole answer is there, its body included.
    pub total: Duration,
}

#[cfg(test)]
mod tests {
    use super::{Origin, PlayerStreamerSid, Ttl};
    use proptest::prelude::*;

    #[test]
    fn a_full_origin_is_taken_as_it_is() {
        for text in [
            "https://www.example.com",
            "http://localhost:3000",
            "https://Example.COM:65535",
            "https://192.0.2.7",
            "https://[2001:db8::1]",
            "https://[::1]:8443",
            "https://a-b.c",
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_not_a_full_origin_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "https://",
            "https://*",
            "https://*.example.com",
            "www.example.com",
            "//www.example.com",
            "ftp://www.example.com",
            "HTTPS://www.example.com",
            "https://www.example.com/",
            "https://www.example.com?q",
            "https://www.example.com#f",
            "https://user@www.example.com",
            "https://user:pass@www.example.com",
            "https://www.example.com:",
            "https://www.example.com:0",
            "https://www.example.com:080",
            "https://www.example.com:+80",
            "https://www.example.com:65536",
            "https://www..example.com",
            "https://.example.com",
            "https://-a.example.com",
            "https://a-.example.com",
            "https://a_b.example.com",
            "https://exämple.com",
            "https://www.example.com\r\nX: y",
            " https://www.example.com",
            "https://[::1",
            "https://[::1]8443",
            "https://[fe80::1%25eth0]",
            "https://[192.0.2.7]",
        ] {
            assert!(Origin::parse(text).is_none(), "{text:?}");
        }
        assert!(Origin::parse(&format!("https://{}.com", "a".repeat(64))).is_none());
        assert!(Origin::parse(&format!("https://{}com", "abc.".repeat(63))).is_none());
    }

    #[test]
    fn a_lifetime_is_between_1_and_60_seconds() {
        assert_eq!((0..=u8::MAX).filter(|&s| Ttl::from_seconds(s).is_some()).collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>());
        let longest = Ttl::from_seconds(60).unwrap();
        assert_eq!((longest.seconds(), longest.duration().as_secs()), (60, 60));
    }

    proptest! {
        #[test]
        fn what_is_taken_can_stand_in_a_url_and_a_form(text in "\\PC{0,80}|https?://[a-zA-Z0-9.:\\[\\]@/?#_-]{0,40}|VJ[0-9a-gA-G]{31,33}") {
            if let Some(origin) = Origin::parse(&text) {
                let url = reqwest::Url::parse(origin.as_str());
                // A host of digits alone is an address to a URL parser, and may be out of an address's range.
                if let Ok(url) = url {
                    prop_assert_eq!(url.path(), "/");
                    prop_assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none());
                }
                prop_assert!(origin.as_str().bytes().all(|b| b.is_ascii_graphic()));
            }
            if let Some(sid) = PlayerStreamerSid::parse(&text) {
                prop_assert!(sid.as_str().len() == 34 && sid.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
            }
        }
    }
}
