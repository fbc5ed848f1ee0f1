//! The faults, and what each may cost.

use std::time::Duration;

use anyhow::Result;
use playback_grant_testbed::unix_millis;

use crate::measure::Measured;
use crate::stage::Stage;

/// A fault by its name, and what is promised of it.
pub struct Case {
    pub name: String,
    pub fault: Fault,
    /// For how long each 429 asks to wait, capped as the operator caps it, in milliseconds.
    pub asks_to_wait: u64,
    pub bars: Bars,
}

/// What goes wrong.
pub enum Fault {
    /// The Media API, as its simulator spells it, for so many seconds.
    Media(String, u64),
    ApiServerPaused(u64),
    EtcdPaused(u64),
    WatchesCut,
    Killed(u64),
    Terminated,
    Paused(u64),
}

/// What a fault may cost at the most, in milliseconds; `None`: nothing is promised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bars {
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Beyond what is forced, for each.
    pub excess: Option<u64>,
    /// Whether nothing may expire.
    pub nothing_expires: bool,
    /// The worst share of expired time over the mean, in percent.
    pub unfair: Option<u64>,
    /// Refused calls in a hundred.
    pub refused: Option<u64>,
    /// Calls in a hundred needed ones.
    pub calls: Option<u64>,
}

/// A fault that has been inflicted, and when it ended.
pub struct Inflicted {
    pub ends: u64,
}

impl Fault {
    /// Inflicts it, and ends it.
    pub async fn inflict(&self, stage: &mut Stage) -> Result<Inflicted> {
        let wait = async |seconds: u64| tokio::time::sleep(Duration::from_secs(seconds)).await;
        match self {
            Self::Media(fault, seconds) => {
                let id = stage.switch_on(fault)?;
                wait(*seconds).await;
                stage.simulator.remove_fault(id);
            }
            Self::ApiServerPaused(seconds) => {
                stage.plane.api_server().stop();
                wait(*seconds).await;
                stage.plane.api_server().cont();
            }
            Self::EtcdPaused(seconds) => {
                stage.plane.etcd().stop();
                wait(*seconds).await;
                stage.plane.etcd().cont();
            }
            Self::WatchesCut => {
                // The connections, and the watches with them; the observer's don't go that way.
                let _cut = stage.gate.cut();
                stage.gate.mend();
            }
            Self::Killed(seconds) => {
                stage.operator()?.kill9();
                wait(*seconds).await;
                stage.start_operator().await?;
            }
            Self::Terminated => {
                stage.operator()?.terminate(Duration::from_secs(20)).await?;
                stage.start_operator().await?;
            }
            Self::Paused(seconds) => {
                stage.operator()?.stop();
                wait(*seconds).await;
                stage.operator()?.cont();
            }
        }
        Ok(Inflicted { ends: unix_millis() })
    }
}

impl Bars {
    /// What isn't kept, a few words each.
    pub fn broken(&self, measured: &Measured) -> Vec<String> {
        let mut broken = Vec::new();
        let mut at_most = |what: &str, is: u64, bar: Option<u64>| {
            if let Some(bar) = bar.filter(|bar| is > *bar) {
                broken.push(format!("{what} {is} > {bar}"));
            }
        };
        at_most("first", measured.first, self.first);
        at_most("last", measured.last, self.last);
        at_most("excess", measured.worst_excess, self.excess);
        at_most("expired", measured.expired, self.nothing_expires.then_some(0));
        at_most("worst of mean %", measured.worst * measured.secrets * 100 / measured.expired.max(1), self.unfair);
        at_most("refused %", measured.calls.throttled * 100 / measured.calls.made.max(1), self.refused);
        at_most("calls of needed %", measured.calls.made * 100 / measured.needed().max(1), self.calls);
        broken
    }
}

/// What is promised where the end is answered at once, and where it has to be noticed.
const AT_ONCE: Bars = Bars { first: Some(500), last: Some(1500), ..NOTHING };
const NOTICED: Bars = Bars { first: Some(2000), last: Some(2000), ..NOTHING };
const NOTHING: Bars = Bars { first: None, last: None, excess: None, nothing_expires: false, unfair: None, refused: None, calls: None };
const NOTHING_EXPIRES: Bars = Bars { nothing_expires: true, ..NOTHING };

fn media(fault: &str, seconds: u64, bars: Bars) -> Case {
    let name = format!("Media API: {fault} for {seconds} s");
    Case { name, fault: Fault::Media(fault.to_owned(), seconds), asks_to_wait: 0, bars }
}

fn other(name: &str, fault: Fault, bars: Bars) -> Case {
    Case { name: name.to_owned(), fault, asks_to_wait: 0, bars }
}

/// All of them. No fault's length is a constant of the operator.
pub fn all() -> Vec<Case> {
    // 200 requests need 20 calls a second at leisure, and 13.4 at the least.
    let limits = [
        ("rate-limit=22", NOTHING_EXPIRES),
        ("rate-limit=20", NOTHING_EXPIRES),
        ("rate-limit=16", NOTHING_EXPIRES),
        ("rate-limit=10", Bars { unfair: Some(150), ..NOTHING }),
    ];
    let mut all = vec![
        media("500", 31, AT_ONCE),
        media("429", 21, NOTICED),
        Case { asks_to_wait: 5_000, ..media("429,retry-after=5", 21, NOTICED) },
        Case { asks_to_wait: 60_000, ..media("429,retry-after=300", 21, NOTICED) },
        media("reset", 21, AT_ONCE),
        media("garbage", 21, AT_ONCE),
        media("null-grant", 21, AT_ONCE),
        media("401", 17, AT_ONCE),
        media("404", 17, AT_ONCE),
        media("latency=4s", 33, NOTHING_EXPIRES),
    ];
    all.extend([3, 7, 13, 25].map(|seconds| media("hang", seconds, NOTICED)));
    all.extend(limits.map(|(fault, bars)| media(fault, 61, Bars { refused: Some(10), ..bars })));
    all.extend([
        other("API server paused for 8 s", Fault::ApiServerPaused(8), NOTICED),
        other("etcd paused for 5 s", Fault::EtcdPaused(5), NOTICED),
        other("watches cut", Fault::WatchesCut, NOTHING_EXPIRES),
        other("operator killed, started 1 s later", Fault::Killed(1), Bars { calls: Some(120), ..NOTHING_EXPIRES }),
        other("operator terminated and started", Fault::Terminated, Bars { calls: Some(120), ..NOTHING_EXPIRES }),
        other("operator paused for 8 s", Fault::Paused(8), NOTICED),
    ]);
    all
}

/// A few of them, short, with bars that a busy machine can't miss.
pub fn quick() -> Vec<Case> {
    let late = Bars { excess: Some(10_000), ..NOTHING };
    vec![
        media("500", 17, late),
        media("429", 17, late),
        media("hang", 7, late),
        media("latency=4s", 17, Bars { excess: Some(5_000), ..NOTHING }),
        media("rate-limit=4", 31, Bars { refused: Some(20), excess: Some(10_000), ..NOTHING }),
        other("operator killed, started 1 s later", Fault::Killed(1), late),
    ]
}
