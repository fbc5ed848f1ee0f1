//! The HTTP client of the Media API.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use reqwest::header::{ACCEPT, CONNECTION, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, StatusCode, redirect, retry};
use secrecy::ExposeSecret;
use thiserror::Error;

use super::answer::{Grant, parse_error_code, parse_grant};
use super::base_url::MediaApiUrl;
use super::body::{self, BodyError};
use super::call::{CallLimits, GrantCall};
use super::call_progress::{CallProgress, ConnectLimitLayer};
use super::credentials::Credentials;
use super::error::{AnswerHead, CallError, CallFailure};
use super::proxies::{self, ProxyProblem};
use super::retry_after::parse_retry_after;
use super::transport_error::failure_of;
use crate::names::Names;

const USER_AGENT: &str = concat!("playback-grant-operator/", env!("CARGO_PKG_VERSION"));

/// Calls the Media API. A clone is the same client.
///
/// HTTP/1.1, one new connection a call, closed after it; no redirect is followed and no call is repeated. Proxies come from the environment
/// (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in capitals or not), except for a loopback host, which is never reached through one.
#[derive(Clone)]
pub struct MediaClient {
    http: Client,
    base_url: MediaApiUrl,
    origin: Arc<str>,
    wall_clock: WallClock,
}

/// Tells the wall-clock time. Only asked when a 429 has a `Retry-After`, and only of use where that is a date and the answer has no `Date`.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a [`MediaClient`] is made of.
#[derive(Clone)]
pub struct MediaClientConfig {
    /// Where the Media API is.
    pub base_url: MediaApiUrl,
    /// A PEM file of certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The wall clock.
    pub wall_clock: WallClock,
}

impl MediaClient {
    /// Makes a client. Reads the CA file and the system's certificates, once.
    pub fn new(config: &MediaClientConfig) -> Result<Self, ClientConfigError> {
        let MediaClientConfig { base_url, ca_file, wall_clock } = config;
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .http1_only()
            .pool_max_idle_per_host(0)
            .referer(false)
            .connection_verbose(false)
            .dns_resolver(Names::default())
            .connector_layer(ConnectLimitLayer);
        if let Some(path) = ca_file {
            builder = builder.tls_certs_merge(read_certificates(path)?);
        }
        if base_url.is_loopback() {
            // Plain http is allowed to this machine because nobody listens on the way; a proxy would.
            builder = builder.no_proxy();
        } else {
            proxies::check(|name| std::env::var(name).ok())?;
        }
        let http = builder.build().map_err(|_| match ca_file {
            // The machine's own authorities are fine without it.
            Some(path) if Client::builder().build().is_ok() => ClientConfigError::CaFileUnusable { path: path.clone() },
            _ => ClientConfigError::NoTrust,
        })?;
        Ok(Self { http, base_url: base_url.clone(), origin: base_url.origin().into(), wall_clock: Arc::clone(wall_clock) })
    }

    /// Asks for one playback grant. Dropping the future closes the connection and leaves nothing behind.
    pub async fn create_playback_grant(&self, call: &GrantCall, credentials: &Credentials, limits: CallLimits) -> Result<Grant, CallError> {
        let progress = CallProgress::new(limits.connect);
        let exchange = Arc::clone(&progress).scope(self.exchange(call, credentials, &progress));
        let outcome = tokio::time::timeout(limits.total, exchange).await.unwrap_or_else(|_| {
            let limit = limits.total;
            Err(if progress.is_connected() {
                CallFailure::NoAnswerInTime { limit, head: progress.head() }
            } else {
                CallFailure::ConnectTimedOut { limit }
            })
        });
        outcome.map_err(|failure| CallError { origin: Arc::clone(&self.origin), failure })
    }

    async fn exchange(&self, call: &GrantCall, credentials: &Credentials, progress: &CallProgress) -> Result<Grant, CallFailure> {
        let response = self
            .http
            .post(self.base_url.playback_grant(&call.player_streamer_sid))
            .basic_auth(credentials.user(), Some(credentials.password().expose_secret()))
            .header(ACCEPT, "application/json")
            // The connection is of no further use, and who closes first keeps the port for a minute: let it be the server.
            .header(CONNECTION, "close")
            .form(&form_fields(call))
            .send()
            .await
            .map_err(|error| failure_of(&error, progress))?;
        let head = self.head_of(&response);
        progress.answered(head);
        if response.status() != StatusCode::CREATED && response.status().is_success() {
            return Err(CallFailure::UnexpectedSuccess { status: head.status });
        }
        let body = body::read(response).await.map_err(|error| match error {
            BodyError::TooLong => CallFailure::BodyTooLarge { head },
            BodyError::Transport(error) => failure_of(&error, progress),
        })?;
        if head.status == StatusCode::CREATED {
            parse_grant(&body, &call.player_streamer_sid)
        } else {
            Err(CallFailure::Status { head, code: parse_error_code(&body) })
        }
    }

    fn head_of(&self, response: &Response) -> AnswerHead {
        let header = |name| header_text(response.headers(), name);
        let is_throttled = response.status() == StatusCode::TOO_MANY_REQUESTS;
        let retry_after = is_throttled.then(|| header(RETRY_AFTER)).flatten();
        let retry_after = retry_after.and_then(|wait| parse_retry_after(wait, header(DATE), Some((self.wall_clock)())));
        AnswerHead { status: response.status().as_u16(), retry_after }
    }
}

fn form_fields(call: &GrantCall) -> Vec<(&'static str, String)> {
    let GrantCall { player_streamer_sid: _, ttl, access_control_allow_origin } = call;
    let mut fields = vec![("Ttl", ttl.seconds().to_string())];
    fields.extend(access_control_allow_origin.as_ref().map(|origin| ("AccessControlAllowOrigin", origin.as_str().to_owned())));
    fields
}

fn header_text(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn read_certificates(path: &PathBuf) -> Result<Vec<Certificate>, ClientConfigError> {
    let pem = std::fs::read(path).map_err(|source| ClientConfigError::CaFileUnreadable { path: path.clone(), source })?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(ClientConfigError::CaFileWithoutCertificates { path: path.clone() });
    }
    Ok(certificates)
}

impl fmt::Debug for MediaClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaClient").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl fmt::Debug for MediaClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base_url, ca_file, wall_clock: _ } = self;
        f.debug_struct("MediaClientConfig").field("base_url", base_url).field("ca_file", ca_file).finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientConfigError {
    /// The CA file can't be read.
    #[error("the Media API's CA file {} can't be read: check the path, and that the file is mounted and readable", path.display())]
    CaFileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The CA file holds no certificate.
    #[error("the Media API's CA file {} holds no certificate: it must hold at least one in PEM (BEGIN CERTIFICATE)", path.display())]
    CaFileWithoutCertificates {
        /// The file.
        path: PathBuf,
    },
    /// The CA file holds what looks like a certificate, and is none.
    #[error("the Media API's CA file {} holds a certificate that can't be read: check what is between BEGIN CERTIFICATE and END CERTIFICATE", path.display())]
    CaFileUnusable {
        /// The file.
        path: PathBuf,
    },
    /// A proxy that the environment names can't be used.
    #[error(transparent)]
    Proxy(#[from] ProxyProblem),
    /// There is nothing to check a server's certificate with.
    #[error("no certificate authorities to trust: install the system's CA certificates, or name the Media API's with --media-api-ca-file")]
    NoTrust,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_a_client_says_where_it_calls() {
        let base_url: MediaApiUrl = MediaApiUrl::parse("http://127.0.0.1:8181", false).unwrap();
        let config = MediaClientConfig { base_url, ca_file: None, wall_clock: Arc::new(|| Timestamp::UNIX_EPOCH) };
        let client = MediaClient::new(&config).unwrap();
        for printed in [format!("{config:?}"), format!("{client:?}")] {
            assert!(printed.starts_with("MediaClient") && printed.contains("8181"), "{printed}");
        }
    }
}
