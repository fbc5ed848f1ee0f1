//! Clients that aren't made.

use std::io::Write;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use playback_grant_operator::media::{ClientConfigError, MediaApiUrl, MediaClient, MediaClientConfig};

use crate::server::certificate_path;

fn with_ca_file(path: impl Into<std::path::PathBuf>) -> Result<MediaClient, ClientConfigError> {
    let base_url = MediaApiUrl::parse("https://media.example.com", false).unwrap();
    MediaClient::new(&MediaClientConfig { base_url, ca_file: Some(path.into()), wall_clock: Arc::new(|| Timestamp::UNIX_EPOCH) })
}

#[test]
fn a_ca_file_that_is_not_there_is_named() {
    let error = with_ca_file("/nonexistent/ca.pem").unwrap_err();
    assert!(matches!(error, ClientConfigError::CaFileUnreadable { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
}

#[test]
fn a_ca_file_without_certificates_is_named_and_not_shown() {
    let half = "-----BEGIN CERTIFICATE-----\nplanted-value\n";
    let key = std::fs::read_to_string(certificate_path("server.key")).unwrap();
    for content in ["", "planted-value", half, key.as_str()] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let error = with_ca_file(file.path()).unwrap_err();
        assert!(matches!(error, ClientConfigError::CaFileWithoutCertificates { .. }), "{content:?}: {error}");
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
    }
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let error = with_ca_file(file.path()).unwrap_err();
    assert!(
        matches!(error, ClientConfigError::CaFileUnusable { .. }) && error.to_string().contains(&file.path().display().to_string()),
        "{error}"
    );
}
