//! Host names, looked up without the C library: its way to the name service needs shared objects at run time, which a static program
//! in an image of its own doesn't have.
//!
//! As everywhere on Linux `/etc/hosts` and `/etc/resolv.conf` decide; both are read anew for each look-up. A failure is never remembered:
//! a Service that has just been made is found by the next call.

mod look_up;
mod problem;
mod search;

#[cfg(test)]
mod tests;

pub use problem::NameProblem;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hyper_util::client::legacy::connect::dns::Name;
use reqwest::dns::{Addrs, Resolve, Resolving};
use tokio::time::timeout;
use tower::Service;

use look_up::{Found, look_up};

use crate::clock::Clock;
use crate::time::Instant;

/// The port that name servers listen on.
const PORT: u16 = 53;

/// How long an address is used without asking again, whatever its record says: who moves a host waits no longer than this.
const LONGEST_KEPT: Duration = Duration::from_secs(5);

/// For how long an address that was found still serves where no name server answers: their outage need not be ours.
const LONGEST_STALE: Duration = Duration::from_mins(1);

/// How long a new answer is waited for while such an address is at hand: the call needs the rest of its time for the connection.
const STALE_AFTER: Duration = Duration::from_millis(300);

/// Looks host names up. A clone shares what is known.
///
/// However many ask for a name at once, it is looked up once.
#[derive(Clone, Debug)]
pub struct Names(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    places: Places,
    known: Mutex<HashMap<String, Known>>,
}

/// Where the configuration is, and how long what was found is used.
#[derive(Clone, Debug)]
struct Places {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    port: u16,
    longest_kept: Duration,
    longest_stale: Duration,
}

type LookUp = Shared<BoxFuture<'static, Result<Found, NameProblem>>>;

#[derive(Debug, Default)]
struct Known {
    last: Option<LookUp>,
    /// What was found last, and when.
    found: Option<(Instant, Arc<[IpAddr]>)>,
}

impl Default for Names {
    fn default() -> Self {
        Self::at(Places {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            port: PORT,
            longest_kept: LONGEST_KEPT,
            longest_stale: LONGEST_STALE,
        })
    }
}

impl Names {
    fn at(places: Places) -> Self {
        Self(Arc::new(Shelf { places, known: Mutex::default() }))
    }

    /// The addresses of a host, in the order in which to try them.
    pub async fn addresses(&self, host: &str) -> Result<Arc<[IpAddr]>, NameProblem> {
        let host = host.to_ascii_lowercase();
        let (look_up, stale) = (self.look_up(&host), self.stale(&host));
        let found = match &stale {
            Some(addresses) => match timeout(STALE_AFTER, look_up).await {
                Ok(found) => found,
                Err(_) => return Ok(Arc::clone(addresses)),
            },
            None => look_up.await,
        };
        match found {
            Ok(found) => Ok(found.addresses),
            Err(problem) if problem.is_of_the_servers() => stale.ok_or(problem),
            Err(problem) => Err(problem),
        }
    }

    /// The look-up to wait for: one that is under way or still holds, or else a new one.
    fn look_up(&self, host: &str) -> LookUp {
        let mut known = self.known();
        let known = known.entry(host.to_owned()).or_default();
        let fresh = |found: &Found| Clock::MACHINE.instant() < found.until.min(found.at + self.0.places.longest_kept);
        let usable = |last: &&LookUp| last.peek().is_none_or(|last| last.as_ref().is_ok_and(fresh));
        if let Some(last) = known.last.as_ref().filter(usable) {
            return last.clone();
        }
        // In a task of its own, and driven to its end by another: it goes on when who asked is gone, and is then known to have ended.
        let (names, host) = (self.clone(), host.to_owned());
        let task = tokio::spawn(async move {
            let found = look_up(names.0.places.clone(), host.clone()).await;
            // Also when nobody waits for it any more.
            if let Ok(found) = &found {
                names.known().entry(host).or_default().found = Some((found.at, Arc::clone(&found.addresses)));
            }
            found
        });
        let new = task.map(|found| found.unwrap_or(Err(NameProblem::NoAnswer))).boxed().shared();
        tokio::spawn(new.clone());
        known.last = Some(new.clone());
        new
    }

    fn stale(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        let known = self.known();
        let (at, addresses) = known.get(host)?.found.as_ref()?;
        (Clock::MACHINE.instant().since(*at) < self.0.places.longest_stale).then(|| Arc::clone(addresses))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // Each change is whole in itself.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sockets(addresses: &[IpAddr]) -> std::vec::IntoIter<SocketAddr> {
    // The port is the client's business: it puts its own in place of 0.
    addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect::<Vec<_>>().into_iter()
}

impl Resolve for Names {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move { Ok(Box::new(sockets(&names.addresses(name.as_str()).await?)) as Addrs) })
    }
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NameProblem;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NameProblem>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NameProblem>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.clone();
        Box::pin(async move { Ok(sockets(&names.addresses(name.as_str()).await?)) })
    }
}
