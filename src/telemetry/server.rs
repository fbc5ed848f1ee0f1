//! The administrative routes: `/livez`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::{Gates, Metrics};

/// Serves the routes for as long as it is polled.
pub async fn serve(listener: TcpListener, gates: Arc<Gates>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let router =
        Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/metrics", get(expose)).with_state((gates, metrics));
    axum::serve(listener, router).await
}

type Shared = State<(Arc<Gates>, Arc<Metrics>)>;

async fn livez(State((gates, _)): Shared) -> impl IntoResponse {
    if gates.is_alive() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "the operator's loop is stuck\n") }
}

async fn readyz(State((gates, _)): Shared) -> impl IntoResponse {
    let readiness = gates.readiness();
    let lines = readiness.iter().map(|(gate, open)| format!("[{}] {gate}\n", if *open { '+' } else { '-' }));
    let is_ready = !readiness.is_empty() && readiness.iter().all(|(_, open)| *open);
    (if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, lines.collect::<String>())
}

async fn expose(State((_, metrics)): Shared) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    /// The answer to a GET of `path` of an operator with these gates.
    async fn get(gates: Gates, path: &str) -> (u16, String) {
        let (status, _, text) = get_typed(gates, path).await;
        (status, text)
    }

    /// The same, with its type.
    async fn get_typed(gates: Gates, path: &str) -> (u16, String, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, Arc::new(gates), Arc::new(Metrics::new(Clock::MACHINE, false))));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        let type_ = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let answer = (answer.status().as_u16(), type_, answer.text().await.unwrap());
        serving.abort();
        answer
    }

    /// Prometheus reads a page as what its type says.
    #[tokio::test]
    async fn the_metrics_are_told_as_open_metrics() {
        let (status, type_, text) = get_typed(Gates::new(Clock::MACHINE), "/metrics").await;
        assert_eq!((status, type_.as_str()), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"));
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn a_stuck_loop_is_told_to_the_kubelet() {
        assert_eq!(get(Gates::new(Clock::MACHINE), "/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(get(Gates::stuck(), "/livez").await, (503, "the operator's loop is stuck\n".to_owned()));
    }

    #[tokio::test]
    async fn every_gate_is_named_and_all_must_be_open() {
        let gates = || {
            let gates = Gates::new(Clock::MACHINE);
            gates.expect("requests", 1);
            gates.expect("secrets", 1);
            gates.open("secrets", 0);
            gates
        };
        assert_eq!(get(Gates::new(Clock::MACHINE), "/readyz").await.0, 503, "before anything is expected");
        assert_eq!(get(gates(), "/readyz").await, (503, "[-] requests\n[+] secrets\n".to_owned()));
        let open = gates();
        open.open("requests", 0);
        assert_eq!(get(open, "/readyz").await, (200, "[+] requests\n[+] secrets\n".to_owned()));
    }
}
