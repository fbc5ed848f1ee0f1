//! What the server can be made to suffer.

use std::time::Duration;

use tokio::sync::watch;

/// How the server fares. By default, well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Trouble {
    /// Nothing is answered, and no watch tells anything. What comes meanwhile is answered afterwards.
    pub held: bool,
    /// All that is asked for is answered by 503. Watches that stand go on.
    pub unavailable: bool,
    /// Writes of Secrets are answered by 403.
    pub refuses_secrets: bool,
    /// Deletions of Secrets are.
    pub refuses_deletions: bool,
    /// Writes of Secrets in that namespace end as with a webhook that hangs.
    pub hangs_in: Option<&'static str>,
    /// Writes are done, and their connections end before the answer.
    pub loses_answers: bool,
    /// How long the way there and back takes, together.
    pub latency: Duration,
    /// How long after a change a watch tells of it.
    pub watch_lag: Duration,
}

/// How the server fares, and how often its watches were cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub(super) trouble: Trouble,
    pub(super) cuts: u64,
}

/// Tells how the server fares, as it changes.
#[derive(Clone, Debug)]
pub(super) struct Forecast {
    weather: watch::Receiver<Weather>,
    cuts: u64,
}

impl Forecast {
    pub(super) fn of(weather: &watch::Sender<Weather>) -> Self {
        let weather = weather.subscribe();
        let cuts = weather.borrow().cuts;
        Self { weather, cuts }
    }

    pub(super) fn now(&self) -> Trouble {
        self.weather.borrow().trouble
    }

    /// Waits until the server isn't held.
    pub(super) async fn released(&mut self) {
        // The server itself lives as long as it is asked.
        let _ = self.weather.wait_for(|weather| !weather.trouble.held).await;
    }

    /// Waits until the watches are cut, once more than when it was asked for.
    pub(super) async fn cut(&mut self) {
        let cuts = self.cuts;
        let _ = self.weather.wait_for(|weather| weather.cuts > cuts).await;
    }
}
