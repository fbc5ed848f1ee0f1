//! Where the Media API is.

use std::net::IpAddr;

use reqwest::Url;
use thiserror::Error;

use super::call::PlayerStreamerSid;

/// The Media API's base URL: credentials may be sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaApiUrl(Url);

impl MediaApiUrl {
    /// Takes `text` if it is an absolute `https` URL, or an `http` URL of a loopback host, or any `http` URL when `allow_insecure`.
    /// A path is taken as a prefix. The error never shows `text`, which may hold a password.
    pub fn parse(text: &str, allow_insecure: bool) -> Result<Self, MediaApiUrlError> {
        let url = Url::parse(text).map_err(|_| MediaApiUrlError::NotAUrl)?;
        // A URL of these schemes has a host, or it is none.
        if !matches!(url.scheme(), "http" | "https") {
            return Err(MediaApiUrlError::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(MediaApiUrlError::HasUser);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(MediaApiUrlError::HasQueryOrFragment);
        }
        let base = Self(url);
        if base.0.scheme() == "http" && !allow_insecure && !base.is_loopback() {
            return Err(MediaApiUrlError::Insecure);
        }
        Ok(base)
    }

    /// Scheme, host and port: what an error names as the place.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whether the host is this machine itself: `localhost` or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or_else(|_| host == "localhost", |address| address.is_loopback())
    }

    /// Where a PlayerStreamer's grants are made.
    pub(super) fn playback_grant(&self, sid: &PlayerStreamerSid) -> Url {
        let mut url = self.0.clone();
        let prefix = self.0.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}/v1/PlayerStreamers/{sid}/PlaybackGrant"));
        url
    }
}

/// Why a text is not the base URL of a Media API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MediaApiUrlError {
    /// Not an absolute URL.
    #[error("the Media API's URL is not an absolute URL: write it like https://media.twilio.com")]
    NotAUrl,
    /// Another scheme than `http` and `https`.
    #[error("the Media API's URL has neither the scheme https nor http: write it like https://media.twilio.com")]
    NotHttp,
    /// A user or password stands in it.
    #[error("the Media API's URL holds a user or a password: take it out, credentials come from each request's own Secret")]
    HasUser,
    /// A query or fragment stands in it.
    #[error("the Media API's URL has a query or a fragment: end it with the host, the port or a path")]
    HasQueryOrFragment,
    /// Credentials would cross a network in the clear.
    #[error(
        "the Media API's URL is plain http to another machine, which would show credentials to the network: use https, or allow an insecure Media API"
    )]
    Insecure,
}

#[cfg(test)]
mod tests {
    use super::{MediaApiUrl, MediaApiUrlError};
    use crate::media::PlayerStreamerSid;

    #[test]
    fn https_goes_anywhere_and_http_only_to_this_machine() {
        for text in ["https://media.twilio.com", "http://127.0.0.1:8181", "http://127.9.9.9", "http://[::1]:8181/", "http://localhost:1"] {
            assert!(MediaApiUrl::parse(text, false).is_ok(), "{text}");
        }
        for text in ["http://media.twilio.com", "http://127.0.0.1.example.com", "http://10.0.0.1", "http://localhost.example.com"] {
            assert_eq!(MediaApiUrl::parse(text, false), Err(MediaApiUrlError::Insecure), "{text}");
            assert!(MediaApiUrl::parse(text, true).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_error_names_scheme_host_and_port_alone() {
        for (text, origin) in [("https://media.twilio.com/prefix/", "https://media.twilio.com"), ("http://[::1]:8181", "http://[::1]:8181")]
        {
            assert_eq!(MediaApiUrl::parse(text, false).unwrap().origin(), origin);
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_a_password_is_not() {
        use MediaApiUrlError::{HasQueryOrFragment, HasUser, NotAUrl, NotHttp};
        for (text, expected) in [
            ("", NotAUrl),
            ("media.twilio.com", NotAUrl),
            ("https://", NotAUrl),
            ("ftp://media.twilio.com", NotHttp),
            ("mailto:planted-password", NotHttp),
            ("https://user:planted-password@media.twilio.com", HasUser),
            ("https://planted-user@media.twilio.com", HasUser),
            ("https://:planted-password@media.twilio.com", HasUser),
            ("https://media.twilio.com/?planted-password", HasQueryOrFragment),
            ("https://media.twilio.com/#planted-password", HasQueryOrFragment),
        ] {
            let error = MediaApiUrl::parse(text, true).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("planted"), "{text}");
        }
    }

    #[test]
    fn a_path_is_a_prefix() {
        let sid = PlayerStreamerSid::parse("VJ0123456789abcdef0123456789abcdef").unwrap();
        for (text, expected) in [
            ("https://media.twilio.com", "https://media.twilio.com/v1/PlayerStreamers/VJ0123456789abcdef0123456789abcdef/PlaybackGrant"),
            ("https://h:8443/a/b/", "https://h:8443/a/b/v1/PlayerStreamers/VJ0123456789abcdef0123456789abcdef/PlaybackGrant"),
        ] {
            let base = MediaApiUrl::parse(text, false).unwrap();
            assert_eq!(base.playback_grant(&sid).as_str(), expected);
            assert!(expected.starts_with(&base.origin()));
        }
    }
}
