//! Runs the controller until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::controller::ControllerArgs;
use super::{cluster, variables};
use crate::clock::Clock;
use crate::controller::Controller;
use crate::listen::on_all_addresses;
use crate::media::dispatcher::IssueGrants;
use crate::media::{CallError, CallLimits, Credentials, Grant, GrantCall, MediaApiUrl, MediaClient, MediaClientConfig};
use crate::telemetry::{self, Gates, Metrics};

const PORT: u16 = 8080;

/// A connection that doesn't stand by then is given up; the lane tries again with a new one.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// A call that isn't answered by then is given up.
const TOTAL_LIMIT: Duration = Duration::from_secs(10);

/// A write under way is waited for so long; it takes milliseconds, and the API server's own limit is shorter.
const FINISH_WITHIN: Duration = Duration::from_secs(15);

/// Runs the controller until SIGTERM or Ctrl-C.
pub(super) fn run(arguments: ControllerArgs) -> anyhow::Result<()> {
    // One thread does it: at a hundred refreshes a second it is idle for nine tenths of the time, and waking others would cost more than it brings.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the async runtime can't start: see the limits on threads and files")?;
    let outcome = runtime.block_on(serve(arguments));
    // Calls under way are cut: whatever they bring would come too late to be written.
    runtime.shutdown_background();
    outcome
}

async fn serve(arguments: ControllerArgs) -> anyhow::Result<()> {
    let ControllerArgs {
        media_api_url,
        allow_insecure_media_api,
        media_api_ca_file,
        namespaces,
        bind_address,
        log_format,
        log_level,
        max_in_flight,
        per_object_metrics,
        status_interval,
    } = arguments;
    let log = telemetry::init_logs(log_format.into(), &log_level).context("--log-level can't be used")?;
    for (set, meant) in variables::misspelt(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
        tracing::warn!("the environment variable {set} is not read: {meant} is");
    }
    let clock = Clock::MACHINE;
    let base_url = MediaApiUrl::parse(media_api_url.as_str(), allow_insecure_media_api).context("--media-api-url can't be used")?;
    let config = MediaClientConfig { base_url, ca_file: media_api_ca_file, wall_clock: Arc::new(move || clock.wall()) };
    let issuer = Arc::new(MediaApi(MediaClient::new(&config).context("the Media API's client can't start")?));
    let config = cluster::config().await?;
    let at = cluster::address(&config);
    let client = cluster::client(config)?;
    let listener = bind(bind_address).await?;
    let gates = Arc::new(Gates::new(clock));
    let metrics = Arc::new(Metrics::new(clock, per_object_metrics));
    metrics.dropped_lines_are_told_by(log.dropped());
    let max_in_flight = usize::try_from(max_in_flight).unwrap_or(usize::MAX);
    let serving = namespaces.join(",");
    tracing::info!(
        version = super::VERSION,
        media_api = %media_api_url,
        api_server = at,
        namespaces = if serving.is_empty() { "all" } else { &serving },
        "the controller starts"
    );
    let stop = CancellationToken::new();
    let status_interval = Duration::from_secs(status_interval.into());
    let controller = Controller {
        client,
        issuer,
        namespaces,
        clock,
        max_in_flight,
        status_interval,
        gates: gates.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
    };
    // It stays in scope, and with it its tasks go on, until what was under way has ended.
    let mut running = std::pin::pin!(controller.run());
    tokio::select! {
        () = &mut running => bail!("a part of the controller ended, which is a bug: start it again"),
        () = gates.beat() => bail!("the controller's heart stopped, which is a bug: start it again"),
        served = telemetry::serve(listener, gates.clone(), metrics) => served.context("/livez, /readyz and /metrics can't be served any more")?,
        told = told_to_end() => told?,
    }
    stop.cancel();
    if tokio::time::timeout(FINISH_WITHIN, gates.settled()).await.is_err() {
        tracing::warn!("a write to the API server is unanswered after {} s and is left at that", FINISH_WITHIN.as_secs());
    }
    Ok(())
}

async fn told_to_end() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM can't be listened for")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("Ctrl-C can't be listened for")?;
    tokio::select! {
        _ = terminated.recv() => tracing::info!("told to end by SIGTERM"),
        _ = interrupted.recv() => tracing::info!("told to end by Ctrl-C"),
    }
    Ok(())
}

async fn bind(address: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    let bound = match address {
        Some(address) => TcpListener::bind(address).await,
        None => on_all_addresses(PORT).await,
    };
    let address = address.map_or_else(|| format!("port {PORT}"), |address| address.to_string());
    bound.with_context(|| format!("can't listen on {address} for /livez, /readyz and /metrics: choose another with --bind-address"))
}

/// The Media API, as the dispatcher calls it.
struct MediaApi(MediaClient);

impl IssueGrants for MediaApi {
    fn issue(&self, call: GrantCall, credentials: Arc<Credentials>) -> BoxFuture<'_, Result<Grant, CallError>> {
        let limits = CallLimits { connect: CONNECT_LIMIT, total: TOTAL_LIMIT };
        async move { self.0.create_playback_grant(&call, &credentials, limits).await }.boxed()
    }
}
