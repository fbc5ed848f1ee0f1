//! Certificates, good and bad.

use playback_grant_operator::media::error::CertificateProblem;
use playback_grant_operator::media::{CallError, CallFailure, FailureClass};

use crate::server::{Server, Step, certificate_path};
use crate::support::{AMPLE, call, client, credentials, grant_answer};

const PROBLEMS: [(&str, CertificateProblem); 4] = [
    ("other-name", CertificateProblem::OtherName),
    ("expired", CertificateProblem::Expired),
    ("not-yet-valid", CertificateProblem::NotYetValid),
    ("client-only", CertificateProblem::Unusable),
];

fn answering() -> Vec<Step> {
    vec![Step::ReadRequest, Step::Write(grant_answer().into_bytes())]
}

async fn error_of(certificate: &str, authority: Option<&str>) -> CallError {
    let server = Server::playing_tls(answering(), certificate).await;
    let client = client(&format!("https://{}", server.address), authority.map(certificate_path));
    let error = client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Unavailable, "{error}");
    assert_eq!(server.seen().requests.len(), 0, "credentials reach nobody who isn't trusted");
    error
}

/// TLS is spoken to a port that doesn't.
async fn no_tls() -> CallError {
    let server = Server::playing(vec![Step::Write(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), Step::AwaitClose]).await;
    let client = client(&format!("https://{}", server.address), None);
    client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap_err()
}

/// One error for each way in which TLS fails.
pub async fn provoked() -> Vec<CallError> {
    let mut errors = vec![no_tls().await, error_of("good", None).await];
    for (certificate, _) in PROBLEMS {
        errors.push(error_of(certificate, Some("authority.pem")).await);
    }
    errors
}

#[tokio::test]
async fn a_certificate_of_the_ca_file_is_trusted_by_name_and_by_address() {
    let server = Server::playing_tls(answering(), "good").await;
    for base_url in [format!("https://{}", server.address), format!("https://localhost:{}", server.address.port())] {
        let client = client(&base_url, Some(certificate_path("authority.pem")));
        client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_issuer_is_not_trusted() {
    let expected = CallFailure::CertificateNotTrusted { problem: CertificateProblem::UnknownIssuer };
    assert_eq!(error_of("good", None).await.failure, expected);
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named() {
    for (certificate, problem) in PROBLEMS {
        let error = error_of(certificate, Some("authority.pem")).await;
        assert_eq!(error.failure, CallFailure::CertificateNotTrusted { problem }, "{certificate}");
    }
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_named() {
    assert_eq!(no_tls().await.failure, CallFailure::Tls);
}

#[tokio::test]
async fn a_handshake_that_is_hung_up_on_is_a_lost_connection() {
    let server = Server::playing(vec![]).await;
    let client = client(&format!("https://{}", server.address), None);
    let error = client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap_err();
    assert_eq!(error.failure, CallFailure::ConnectionLost { head: None });
}

#[tokio::test]
async fn an_answer_torn_within_tls_is_a_lost_connection() {
    let half = grant_answer()[..grant_answer().len() - 20].to_owned();
    let server = Server::playing_tls(vec![Step::ReadRequest, Step::Write(half.into_bytes())], "good").await;
    let client = client(&format!("https://{}", server.address), Some(certificate_path("authority.pem")));
    let error = client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap_err();
    assert!(matches!(error.failure, CallFailure::ConnectionLost { head: Some(_) }), "{error}");
}
