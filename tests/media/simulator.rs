//! The client and the simulator over https.

use std::time::Duration;

use playback_grant_operator::media::error::CertificateProblem;
use playback_grant_operator::media::{CallFailure, CallLimits};
use playback_grant_operator::simulator::{CallOutcome, Simulator, SimulatorConfig, TlsFiles};
use tokio::net::TcpStream;

use crate::server::certificate_path;
use crate::support::{AMPLE, call, client, credentials};

async fn simulator(faults: &[&str]) -> Simulator {
    let tls = Some(TlsFiles { certificate: certificate_path("good.pem"), key: certificate_path("server.key") });
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Simulator::start(SimulatorConfig { tls, faults, ..SimulatorConfig::default() }).await.unwrap()
}

async fn failure(simulator: &Simulator, authority: Option<&str>, limits: CallLimits) -> CallFailure {
    let client = client(&simulator.base_url(), authority.map(certificate_path));
    client.create_playback_grant(&call(), &credentials(), limits).await.unwrap_err().failure
}

#[tokio::test]
async fn who_trusts_its_issuer_gets_a_grant() {
    let simulator = simulator(&[]).await;
    assert!(simulator.base_url().starts_with("https://127.0.0.1:"), "{}", simulator.base_url());
    let client = client(&simulator.base_url(), Some(certificate_path("authority.pem")));
    client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap();
    assert_eq!(simulator.counters().total.answered_201, 1);
}

#[tokio::test]
async fn who_does_not_trust_its_issuer_calls_nobody() {
    let simulator = simulator(&[]).await;
    let expected = CallFailure::CertificateNotTrusted { problem: CertificateProblem::UnknownIssuer };
    assert_eq!(failure(&simulator, None, AMPLE).await, expected);
    assert_eq!(simulator.counters().total.received, 0);
}

#[tokio::test]
async fn plain_http_is_not_answered() {
    let simulator = simulator(&[]).await;
    let client = client(&simulator.base_url().replace("https", "http"), None);
    let failure = client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap_err().failure;
    assert!(matches!(failure, CallFailure::NotHttp | CallFailure::ConnectionLost { .. }), "{failure:?}");
    assert_eq!(simulator.counters().total.received, 0);
}

#[tokio::test]
async fn its_faults_act_within_tls_too() {
    let simulator = simulator(&["torn:1x", "reset:1x", "500:1x"]).await;
    let expected = [CallOutcome::Reset, CallOutcome::Answered(500)];
    // Of several that are on the newest acts, and faults that answer come before those that spoil an answer.
    let mut failures = Vec::new();
    for _ in 0..3 {
        failures.push(failure(&simulator, Some("authority.pem"), AMPLE).await);
    }
    assert!(matches!(failures[0], CallFailure::Status { .. }), "{failures:?}");
    assert_eq!(failures[1], CallFailure::ConnectionLost { head: None }, "{failures:?}");
    assert!(matches!(failures[2], CallFailure::ConnectionLost { head: Some(_) }), "{failures:?}");
    let outcomes: Vec<_> = simulator.calls().into_iter().map(|call| call.outcome).collect();
    assert_eq!([&outcomes[1], &outcomes[0]], [&expected[0], &expected[1]]);
}

#[tokio::test]
async fn what_hangs_hangs_within_tls_too() {
    let simulator = simulator(&["hang"]).await;
    let limits = CallLimits { total: Duration::from_secs(3), ..AMPLE };
    assert_eq!(failure(&simulator, Some("authority.pem"), limits).await, CallFailure::NoAnswerInTime { limit: limits.total, head: None });
}

#[tokio::test]
async fn a_connection_that_shakes_no_hand_holds_up_no_other_and_not_the_end() {
    let simulator = simulator(&[]).await;
    let idle = TcpStream::connect(simulator.addr()).await.unwrap();
    let client = client(&simulator.base_url(), Some(certificate_path("authority.pem")));
    client.create_playback_grant(&call(), &credentials(), AMPLE).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), simulator.stop()).await.expect("it ends");
    drop(idle);
}
