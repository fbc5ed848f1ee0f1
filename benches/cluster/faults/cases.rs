//! The faults, and what each may cost.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use playback_grant_testbed::unix_millis;

use super::measure::Measured;
use crate::stage::cast::{Group, Key, TTL_SECONDS, live};
use crate::stage::{Stage, Way};

/// A fault by its name, and what is promised of it.
pub struct Case {
    pub name: String,
    pub fault: Fault,
    /// Who is there from the start.
    pub cast: Vec<Group>,
    /// Whom it strikes: what it costs is told of these.
    pub struck: Group,
    /// For how long each 429 asks to wait, capped as the operator caps it, in milliseconds.
    pub asks_to_wait: u64,
    /// Whether nothing can be done until it ends: then what expires until then isn't the operator's.
    pub forces: bool,
    pub bars: Bars,
}

/// What goes wrong.
pub enum Fault {
    /// The Media API, as its simulator spells it (several joined by `+`), for so many seconds.
    Media(String, u64),
    /// So many calls a second and no more, for so many seconds.
    Limit {
        rate: u32,
        seconds: u64,
        is_felt: bool,
    },
    /// The same, and a group that comes all at once when it begins.
    Rush {
        rate: u32,
        seconds: u64,
        group: Group,
    },
    /// Packets on the way there.
    Lost(Way, u64),
    ApiServerPaused(u64),
    ApiServerKilled(u64),
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
    /// Whether no call may be made for a grant that wasn't due.
    pub none_early: bool,
    /// The least that a grant of those whom it doesn't strike has left when it is replaced; 5 s at leisure.
    pub others_left: u64,
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
                let ids: Vec<_> = fault.split('+').map(|fault| stage.switch_on(fault)).collect::<Result<_>>()?;
                wait(*seconds).await;
                ensure!(ids.into_iter().all(|id| stage.switch_off(id) > 0), "the fault has struck no call");
            }
            Self::Limit { rate, seconds, is_felt } => {
                let id = stage.switch_on(&format!("rate-limit={rate}"))?;
                wait(*seconds).await;
                // It strikes nobody who stays below it.
                ensure!(stage.switch_off(id) > 0 || !is_felt, "the limit has refused no call");
            }
            Self::Rush { rate, seconds, group } => {
                let id = stage.switch_on(&format!("rate-limit={rate}"))?;
                let (rushed, ()) = tokio::join!(stage.rush_in(group), wait(*seconds));
                rushed?;
                stage.switch_off(id);
                // A third of the limit is more than those who are there need: half of that is let in, at the least.
                let (served, least) =
                    (stage.look(|seen| seen.held.keys().filter(|name| group.has(name)).count()), u64::from(*rate) * seconds / 6);
                ensure!(served as u64 >= least, "of the newcomers {served} were served, of {least} that there was room for twice");
            }
            Self::Lost(_, seconds) => {
                let tunnel = stage.tunnel.as_ref().context("there is no tunnel")?;
                tunnel.lose(true)?;
                wait(*seconds).await;
                tunnel.lose(false)?;
            }
            Self::ApiServerKilled(seconds) => {
                let (prober, killed) = (stage.writer().await?, unix_millis());
                stage.plane.restart_api_server(Duration::from_secs(*seconds), async || prober.takes_a_write().await).await?;
                // It may have taken the operator's writes before the prober's. What is seen in the first second was written before.
                let came = stage.look(|seen| seen.held.values().flatten().map(|held| held.seen).filter(|seen| *seen > killed + 1000).min());
                return Ok(Inflicted { ends: came.unwrap_or(u64::MAX).min(unix_millis()) });
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
                // A refresh needs no watch, a request that comes does.
                let newcomers = Group { name: "after", ..live(10) };
                stage.rush_in(&newcomers).await?;
                stage.all_served(&newcomers, Duration::from_secs(2)).await?;
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
        at_most("first", measured.first.unwrap_or_default(), self.first);
        at_most("last", measured.last.unwrap_or_default(), self.last);
        at_most("excess", measured.worst_excess, self.excess);
        at_most("expired", measured.worst_expired, self.nothing_expires.then_some(0));
        at_most("worst of mean %", (measured.worst * measured.secrets * 100).div_ceil(measured.expired.max(1)), self.unfair);
        at_most("refused %", (measured.calls.throttled * 100).div_ceil(measured.calls.meanwhile.max(1)), self.refused);
        at_most("calls of needed %", (measured.calls.made * 100).div_ceil(measured.needed.max(1)), self.calls);
        at_most("calls that were not due", measured.early, self.none_early.then_some(0));
        at_most("calls while asked to wait", measured.hasty, Some(0));
        at_most("expired of the others", measured.others_expired, Some(0));
        if measured.others_left < self.others_left {
            broken.push(format!("the others had {} ms left", measured.others_left));
        }
        if measured.left_before < LEFT_BEFORE {
            broken.push(format!("before it began one had {} ms left", measured.left_before));
        }
        // What would hold of nothing isn't shown.
        if measured.struck_calls == 0 {
            broken.push("no call was made for those whom it strikes".to_owned());
        }
        if measured.last.is_none() && self.last.is_some() {
            broken.push("nobody's grant was due when it ended".to_owned());
        }
        if measured.expired == 0 && self.unfair.is_some() {
            broken.push("nothing expired that could be shared fairly".to_owned());
        }
        broken
    }
}

/// A third of its life is left to a grant when it is replaced, and so much to each at any time.
const LEFT_BEFORE: u64 = 3000;

/// What is promised where the end is answered at once, and where it has to be noticed.
const AT_ONCE: Bars = Bars { first: Some(500), last: Some(1500), excess: Some(1500), ..NOTHING };
/// One request alone tries again a second later at most.
const AT_ONE: Bars = Bars { first: Some(1500), ..AT_ONCE };
const NOTICED: Bars = Bars { first: Some(2000), last: Some(2000), excess: Some(2000), ..NOTHING };
const NOTHING: Bars = Bars {
    first: None,
    last: None,
    excess: None,
    nothing_expires: false,
    unfair: None,
    refused: None,
    calls: None,
    none_early: false,
    others_left: 3000,
};
const NOTHING_EXPIRES: Bars = Bars { nothing_expires: true, ..NOTHING };

/// A fault that strikes all, who are alike.
fn case(requests: u32, name: String, fault: Fault, bars: Bars) -> Case {
    Case { name, fault, cast: vec![live(requests)], struck: live(requests), asks_to_wait: 0, forces: true, bars }
}

fn media(requests: u32, fault: &str, seconds: u64, bars: Bars) -> Case {
    case(requests, format!("{fault} for {seconds} s"), Fault::Media(fault.to_owned(), seconds), bars)
}

/// A fault that strikes one group alone, beside others.
fn beside(others: u32, struck: Group, name: &str, (fault, seconds): (String, u64), bars: Bars) -> Case {
    Case { cast: vec![live(others), struck], struck, ..case(others, name.to_owned(), Fault::Media(fault, seconds), bars) }
}

impl Case {
    /// What is reached in a way of its own.
    pub const fn way(&self) -> Way {
        if let Fault::Lost(way, _) = self.fault { way } else { Way::Straight }
    }
}

/// All of them. No fault's length is a constant of the operator.
pub fn all(requests: u32) -> Vec<Case> {
    let media = |fault: &str, seconds, bars| media(requests, fault, seconds, bars);
    // Requests that are refreshed every 10 s need a tenth of their number in calls a second at leisure, and two thirds of that at the least.
    let limits = [(110, NOTHING_EXPIRES), (100, NOTHING_EXPIRES), (80, NOTHING_EXPIRES), (50, Bars { unfair: Some(150), ..NOTHING })];
    let limit = |percent: u32| requests * percent / 1000;
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
        Case { forces: false, ..media("latency=4s", 33, NOTHING_EXPIRES) },
    ];
    all.extend([3, 7, 13, 25].map(|seconds| media("hang", seconds, NOTICED)));
    // A proxy that gives up.
    all.push(media("504+latency=5s", 23, NOTICED));
    all.push(case(requests, "packets lost for 13 s, under TLS".to_owned(), Fault::Lost(Way::ToMediaApi, 13), NOTICED));
    all.extend(limits.map(|(percent, bars)| {
        let name = format!("a limit of {percent} % of the need, for 61 s");
        let fault = Fault::Limit { rate: limit(percent), seconds: 61, is_felt: percent < 100 };
        Case { forces: false, ..case(requests, name, fault, Bars { refused: Some(10), ..bars }) }
    }));
    all.extend(some_of_many(requests, limit(150)));
    all.extend(cluster(requests));
    all
}

/// Faults that strike some of many.
fn some_of_many(requests: u32, tight: u32) -> Vec<Case> {
    let other = Group { name: "other", credentials: Key::Other, ..live(requests / 2) };
    let one = Group { name: "one", ..live(1) };
    let stranger = Group { name: "stranger", credentials: Key::Wrong, ..live(1) };
    let newcomers = Group { name: "newcomer", ttl_seconds: 4 * TTL_SECONDS, ..live(5 * requests) };
    let rush = Fault::Rush { rate: tight, seconds: 61, group: newcomers };
    // Whoever is there gives way while it has more than 2 s.
    let refused = Bars { refused: Some(10), others_left: 1000, ..NOTHING_EXPIRES };
    vec![
        beside(requests / 2, other, "500 for 21 s, for one account of two", (format!("500@{}", Key::Other.account_sid()), 21), AT_ONCE),
        beside(requests - 1, one, "500 for 61 s, for one streamer of many", (format!("500@{}", one.streamer_sid(1)), 61), AT_ONE),
        beside(requests, stranger, "a wrong password for the same user, for 21 s", ("latency=1ms".to_owned(), 21), NOTHING),
        Case {
            forces: false,
            struck: newcomers,
            ..case(requests, "five times as many newcomers, at a limit of 150 % of the need, for 61 s".to_owned(), rush, refused)
        },
    ]
}

/// Faults of the cluster, and the operator's own.
fn cluster(requests: u32) -> Vec<Case> {
    let few_calls = Bars { calls: Some(120), none_early: true, ..NOTHING_EXPIRES };
    let cases = [
        ("API server paused for 8 s", Fault::ApiServerPaused(8), NOTICED),
        ("packets to the API server lost for 13 s", Fault::Lost(Way::ToApiServer, 13), NOTICED),
        ("API server killed, started 7 s later", Fault::ApiServerKilled(7), NOTICED),
        ("etcd paused for 5 s", Fault::EtcdPaused(5), NOTICED),
        ("watches cut", Fault::WatchesCut, NOTHING_EXPIRES),
        ("operator killed, started 1 s later", Fault::Killed(1), few_calls),
        ("operator terminated and started", Fault::Terminated, few_calls),
        ("operator paused for 8 s", Fault::Paused(8), NOTICED),
    ];
    cases.into_iter().map(|(name, fault, bars)| case(requests, name.to_owned(), fault, bars)).collect()
}

/// A few of them, short, with bars that a busy machine can't miss.
pub fn quick(requests: u32) -> Vec<Case> {
    let media = |fault: &str, seconds, bars| media(requests, fault, seconds, bars);
    let late = Bars { excess: Some(5_000), calls: Some(200), others_left: 0, ..NOTHING };
    let limited = Bars { refused: Some(20), ..late };
    let one = Group { name: "one", ..live(1) };
    vec![
        media("500", 17, late),
        media("429", 17, late),
        Case { asks_to_wait: 5_000, ..media("429,retry-after=5", 17, late) },
        // What hangs is tried twice a second, and called again when it is over.
        media("hang", 7, Bars { calls: Some(300), ..late }),
        Case { forces: false, ..media("latency=4s", 17, late) },
        Case {
            forces: false,
            ..case(
                requests,
                "a limit of 80 % of the need, for 31 s".to_owned(),
                Fault::Limit { rate: requests * 80 / 1000, seconds: 31, is_felt: true },
                limited,
            )
        },
        beside(requests - 1, one, "500 for 17 s, for one streamer of many", (format!("500@{}", one.streamer_sid(1)), 17), late),
        case(requests, "operator killed, started 1 s later".to_owned(), Fault::Killed(1), Bars { none_early: true, ..late }),
    ]
}
