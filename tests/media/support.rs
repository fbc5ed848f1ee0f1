//! What the tests call with, and values planted to be looked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use k8s_openapi::jiff::Timestamp;
use playback_grant_operator::media::{
    CallError, CallLimits, Credentials, Grant, GrantCall, MediaApiUrl, MediaClient, MediaClientConfig, Origin, PlayerStreamerSid, Ttl,
};

pub const SID: &str = "VJ0123456789abcdef0123456789abcdef";
pub const USER: &str = "SK0123456789abcdef0123456789abcdef";
/// Stands in the credentials.
pub const PLANTED_PASSWORD: &str = "planted-password";
/// Stands in each body that a server sends, and in no text of an error.
pub const PLANTED_VALUE: &str = "planted-value";

/// Limits that no test of anything else runs into.
pub const AMPLE: CallLimits = CallLimits { connect: Duration::from_mins(1), total: Duration::from_mins(1) };

pub fn call() -> GrantCall {
    GrantCall {
        player_streamer_sid: PlayerStreamerSid::parse(SID).unwrap(),
        ttl: Ttl::from_seconds(60).unwrap(),
        access_control_allow_origin: Origin::parse("https://www.example.com:8443"),
    }
}

pub fn credentials() -> Credentials {
    Credentials::new(USER, PLANTED_PASSWORD.into(), None).unwrap()
}

pub fn client(base_url: &str, ca_file: Option<PathBuf>) -> MediaClient {
    let base_url = MediaApiUrl::parse(base_url, true).unwrap();
    let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
    MediaClient::new(&MediaClientConfig { base_url, ca_file, wall_clock: Arc::new(move || now) }).unwrap()
}

/// One call to `base_url` with ample limits.
pub async fn ask(base_url: &str) -> Result<Grant, CallError> {
    client(base_url, None).create_playback_grant(&call(), &credentials(), AMPLE).await
}

/// An answer with a body of the length that it says.
pub fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Words\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A 201 as the Media API sends it.
pub fn grant_answer() -> String {
    answer(201, "Content-Type: application/json\r\n", &grant_body())
}

/// The body of a 201 as the Media API sends it.
pub fn grant_body() -> String {
    format!(
        r#"{{"sid": "{SID}", "url": "https://media.example.com/v1/PlayerStreamers/{SID}/PlaybackGrant", "account_sid": "AC0123456789abcdef0123456789abcdef", "date_created": "2026-11-24T10:00:00Z", "grant": {{"playbackUrl": "https://play.example.com/master.m3u8?token={PLANTED_VALUE}", "playerStreamerSid": "{SID}", "requestCredentials": null}}}}"#
    )
}

/// Whether a planted value, plain or as HTTP Basic encodes it, is in `text`.
pub fn shows_something_planted(text: &str) -> bool {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PLANTED_PASSWORD}"));
    [PLANTED_PASSWORD, PLANTED_VALUE, basic.as_str()].iter().any(|planted| text.contains(planted))
}
