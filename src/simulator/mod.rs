//! The Media API simulator: for trying out, tests and benchmarks, with faults to switch on.
//!
//! Requests come in through `connection` and `routes`, `decide` says purely what happens to them, `deliver` does it, `tally` counts.
//! The admin path and [`Simulator`]'s methods change the same state.

mod accounts;
mod admin;
mod answer;
mod clock;
mod connection;
mod decide;
mod deliver;
mod fault;
mod grant_answer;
mod rate_bucket;
mod routes;
mod shared;
mod tally;
mod tls;
mod token;
mod vendor_error;

#[cfg(test)]
mod http_tests;

pub use accounts::{CredentialsError, KnownCredentials, account_sid_of, parse_credentials_lines};
pub use clock::{Clock, Moment, SystemClock};
pub use fault::{
    AnswerFault, ErrorBody, Fault, FaultError, FaultId, FaultKind, FaultReport, RetryAfter, Scope, StatusFault, parse_duration,
};
pub use tally::{CallCounters, CallOutcome, CallRecord, Counters};
pub use tls::{TlsFiles, TlsFilesError};
pub use token::PlaybackToken;

use crate::listen::on_all_addresses;
use accounts::Accounts;
use connection::{Connections, ResetSwitch};
use fault::FaultBoard;
use shared::{Shared, State};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tally::Tally;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A running simulator. Dropping it ends it, with all its connections, at once.
pub struct Simulator {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    stop: CancellationToken,
    open: TaskTracker,
    server: tokio::task::JoinHandle<()>,
}

/// How a simulator starts.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// Where it listens; port 0: any free port.
    pub listen: SocketAddr,
    /// The certificate to serve https with; none: http.
    pub tls: Option<TlsFiles>,
    /// How much later it answers each call.
    pub latency: Duration,
    /// The credentials that are accepted; none: any.
    pub credentials: Vec<KnownCredentials>,
    /// Faults that are on from the start.
    pub faults: Vec<Fault>,
    /// How many of the last calls are remembered one by one.
    pub remembered_calls: usize,
    /// Its time.
    pub clock: Arc<dyn Clock>,
}

impl Default for SimulatorConfig {
    /// Any free loopback port, any credentials, no latency, no faults, the last 10,000 calls.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            latency: Duration::ZERO,
            credentials: Vec::new(),
            faults: Vec::new(),
            remembered_calls: 10_000,
            clock: Arc::new(SystemClock::start()),
        }
    }
}

/// Why a simulator didn't start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address can't be listened on.
    #[error("can't listen on {listen}: choose another address, or port 0 for any free one")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
}

impl Simulator {
    /// Starts a simulator; it answers from the moment this returns.
    pub async fn start(config: SimulatorConfig) -> Result<Self, SimulatorError> {
        let SimulatorConfig { listen, tls, latency, credentials, faults, remembered_calls, clock } = config;
        let failed = |source| SimulatorError::Listen { listen, source };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let tls = tls.as_ref().map(tls::acceptor).transpose()?;
        let everywhere = listen.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let listener = if everywhere { on_all_addresses(listen.port()).await } else { TcpListener::bind(listen).await }.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let now = clock.now();
        let mut board = FaultBoard::default();
        for fault in faults {
            board.add(fault, now.uptime);
        }
        let state = State { accounts: Accounts::new(credentials), faults: board, tally: Tally::new(remembered_calls) };
        let shared = Arc::new(Shared { clock, base_latency: latency, started_unix_ms: now.unix_ms, state: Mutex::new(state) });
        let (stop, open) = (CancellationToken::new(), TaskTracker::new());
        let connections = Connections { listener, tls, stop: stop.clone(), open: open.clone() };
        let service = routes::router(Arc::clone(&shared)).into_make_service_with_connect_info::<ResetSwitch>();
        let server = tokio::spawn(async move {
            // It serves until it is aborted and has no error to return.
            let _ = axum::serve(connections, service).await;
        });
        Ok(Self { address, scheme, shared, stop, open, server })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for a client: `http://` or `https://`, and the address.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Switches a fault on, from now.
    #[expect(clippy::must_use_candidate, reason = "done either way")]
    pub fn add_fault(&self, fault: Fault) -> FaultId {
        let now = self.shared.clock.now().uptime;
        self.shared.state().faults.add(fault, now)
    }

    /// Switches a fault off; false if it wasn't on any more.
    #[expect(clippy::must_use_candidate, reason = "done either way")]
    pub fn remove_fault(&self, id: FaultId) -> bool {
        let now = self.shared.clock.now().uptime;
        self.shared.state().faults.remove(id, now)
    }

    /// Switches all faults off.
    pub fn clear_faults(&self) {
        let now = self.shared.clock.now().uptime;
        self.shared.state().faults.clear(now);
    }

    /// The faults that are on.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultReport> {
        let now = self.shared.clock.now().uptime;
        self.shared.state().faults.report(now)
    }

    /// Accepts these credentials from now on, and no others; none: any.
    pub fn set_credentials(&self, credentials: Vec<KnownCredentials>) {
        self.shared.state().accounts = Accounts::new(credentials);
    }

    /// The counters now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.state().tally.counters()
    }

    /// Starts counting anew, and empties the log of calls.
    pub fn reset_counters(&self) {
        self.shared.state().tally.reset();
    }

    /// The last calls, the oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.shared.state().tally.calls(usize::MAX)
    }

    /// Ends it; when this returns, the port is free and all connections are closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.server.abort();
        let _ = (&mut self.server).await;
        self.open.close();
        self.open.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for SimulatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorConfig").field("listen", &self.listen).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_listens_where_it_is_told_to() {
        let one = Simulator::start(SimulatorConfig::default()).await.unwrap();
        assert_eq!(one.addr().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST), "and nowhere else");
        let everywhere: SocketAddr = (Ipv6Addr::UNSPECIFIED, 0).into();
        let all = Simulator::start(SimulatorConfig { listen: everywhere, ..SimulatorConfig::default() }).await.unwrap();
        assert!(all.addr().ip().is_unspecified());
    }
}
