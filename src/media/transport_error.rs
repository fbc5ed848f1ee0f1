//! What an error of the HTTP client means.
//!
//! It is read for the types in its chain and then dropped: its text may quote what a server sent.

use std::io;

use rustls::CertificateError;

use super::call_progress::{CallProgress, ConnectLimitPassed};
use super::error::{CallFailure, CertificateProblem};
use crate::error_chain::find;
use crate::names::NameProblem;

/// What became of a call that failed below HTTP.
pub(super) fn failure_of(error: &reqwest::Error, progress: &CallProgress) -> CallFailure {
    if let Some(ConnectLimitPassed(limit)) = find(error) {
        return CallFailure::ConnectTimedOut { limit: *limit };
    }
    if let Some(problem) = find::<NameProblem>(error) {
        return CallFailure::NameNotResolved { problem: *problem };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return match tls {
            rustls::Error::InvalidCertificate(problem) => CallFailure::CertificateNotTrusted { problem: certificate_problem(problem) },
            _ => CallFailure::Tls,
        };
    }
    if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
        return CallFailure::NotHttp;
    }
    let kind = find::<io::Error>(error).map(io::Error::kind);
    if progress.is_connected() {
        // A chunk that doesn't parse comes as an I/O error of this kind.
        if let Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) = kind {
            return CallFailure::NotHttp;
        }
        return CallFailure::ConnectionLost { head: progress.head() };
    }
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => CallFailure::ConnectionRefused,
        // The other side hung up in the midst of a TLS handshake or a proxy's tunnel.
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof) => {
            CallFailure::ConnectionLost { head: None }
        }
        kind => CallFailure::ConnectFailed { kind },
    }
}

fn certificate_problem(problem: &CertificateError) -> CertificateProblem {
    match problem {
        CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => CertificateProblem::OtherName,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => CertificateProblem::NotYetValid,
        _ => CertificateProblem::Unusable,
    }
}
