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
