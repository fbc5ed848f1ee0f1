//! Tests of the simulator over HTTP.

mod admin;
mod connections;
mod grants;
mod spoiled;

use super::{Clock, Moment, Simulator, SimulatorConfig};
use serde_json::Value;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

const STREAMER: &str = "VJ0123456789abcdef0123456789abcdef";
const OTHER_STREAMER: &str = "VJffffffffffffffffffffffffffffffff";

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct HandClock(Mutex<Moment>);

impl HandClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Moment { unix_ms: 1_700_000_000_000, uptime: Duration::ZERO })))
    }

    fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        now.uptime += by;
        now.unix_ms += u64::try_from(by.as_millis()).unwrap();
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn start(faults: &[&str]) -> Simulator {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Simulator::start(SimulatorConfig { faults, ..SimulatorConfig::default() }).await.unwrap()
}

async fn start_at(clock: &Arc<HandClock>, faults: &[&str]) -> Simulator {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(clock);
    Simulator::start(SimulatorConfig { faults, clock, ..SimulatorConfig::default() }).await.unwrap()
}

/// One for all tests, since making one takes long; it keeps no connection, since each test has a runtime of its own.
fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        builder.pool_max_idle_per_host(0).build().unwrap()
    });
    &CLIENT
}

fn grant_url(simulator: &Simulator, streamer: &str) -> String {
    format!("{}/v1/PlayerStreamers/{streamer}/PlaybackGrant", simulator.base_url())
}

async fn call(simulator: &Simulator) -> reqwest::Result<reqwest::Response> {
    call_as(simulator, STREAMER, "SK1").await
}

async fn call_as(simulator: &Simulator, streamer: &str, user: &str) -> reqwest::Result<reqwest::Response> {
    client().post(grant_url(simulator, streamer)).basic_auth(user, Some("secret")).form(&[("Ttl", "60")]).send().await
}

async fn status(simulator: &Simulator) -> u16 {
    call(simulator).await.unwrap().status().as_u16()
}

async fn json(response: reqwest::Response) -> Value {
    response.json().await.unwrap()
}

/// Waits until the simulator has come to a state that it must come to; ten seconds without it fail the test.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never seen: {what}");
}
