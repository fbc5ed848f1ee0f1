//! Many requests that are alike: made, brought to rest, and measured.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use playback_grant_testbed::{Stopwatch, unix_millis};

use super::api_requests::ApiRequests;
use super::figures::{Bars, Figures, Window};
use super::floor;
use super::processes::Usage;
use super::readiness::Readiness;
use crate::stage::cast::{Group, live};
use crate::stage::{Stage, Way};

/// What the Media API takes for an answer.
const LATENCY: &str = "latency=20ms";
/// All are ready within this, or it is told how many are.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// So often its memory, files and threads are looked at and its metrics are fetched, evenly spread: each 15 s of 90.
const PARTS: u32 = 6;

/// Requests that are alike.
pub struct Fleet {
    pub count: u32,
    /// Where this machine doesn't bear so many, fewer are measured, until it does: still more than that.
    pub more_than: Option<u32>,
    pub ttl_seconds: u32,
    pub suspend: bool,
    pub bars: Bars,
}

impl Fleet {
    pub fn name(&self) -> String {
        if self.suspend { format!("{} suspended", self.count) } else { format!("{} at {} s", self.count, self.ttl_seconds) }
    }

    /// Three quarters of it, if that is worth a measurement. What is promised of so many isn't of fewer.
    pub fn smaller(&self) -> Option<Self> {
        let count = self.count / 4 * 3;
        self.more_than.is_some_and(|more_than| count > more_than).then_some(Self { count, bars: Bars::default(), ..*self })
    }

    /// What they cost over so many seconds, once they have come to rest.
    pub async fn measured(&self, operator: &Path, arguments: &[String], seconds: u64) -> Result<Figures> {
        let mut stage = Stage::raise(operator, arguments, Way::Straight).await?;
        let measured = self.measured_on(&mut stage, Duration::from_secs(seconds)).await;
        stage.clear().await?;
        measured
    }

    async fn measured_on(&self, stage: &mut Stage, time: Duration) -> Result<Figures> {
        stage.switch_on(LATENCY)?;
        let two_writes_micros = floor::two_writes(stage).await?;
        let group = Group { ttl_seconds: self.ttl_seconds, suspend: self.suspend, ..live(self.count) };
        let mut readiness = Readiness::of_all(stage.plane.admin()).await?;
        stage.rush_in(&group).await?;
        let made = Stopwatch::start();
        let all = |readiness: &Readiness| readiness.settled(self.suspend) >= self.count as usize;
        let all_ready = readiness.until(all, PATIENCE).await?.then(|| made.elapsed());
        let ready = readiness.settled(self.suspend);
        // To watch them all costs the API server something, which isn't the operator's account.
        drop(readiness);
        // Those that had to wait for their first grant are in step until they have been refreshed.
        tokio::time::sleep(Duration::from_millis(group.interval_millis())).await;

        let (begins, before) = (unix_millis(), Taken::now(stage).await?);
        let (mut newcomer, mut meanwhile, mut own_count) = (None, Vec::new(), 0.0);
        for part in 1..=PARTS {
            let passed = Duration::from_millis(unix_millis() - begins);
            tokio::time::sleep((time * part / PARTS).saturating_sub(passed)).await;
            if part == PARTS / 2 && !self.suspend {
                newcomer = self.newcomer(stage).await?;
            }
            let page = stage.ask_operator("metrics").await?;
            meanwhile.push((Usage::of(stage.operator()?.pid())?, told(&page, "tokio_alive_tasks")?));
            own_count = told(&page, "playback_grant_expired_seconds_total")?;
        }
        let (ends, after) = (unix_millis(), Taken::now(stage).await?);

        let calls = after.calls - before.calls;
        let window = Window { begins, ends, needs: (!self.suspend).then_some(&group) };
        Ok(Figures {
            ready: ready.try_into()?,
            all_ready_millis: all_ready.map(|time| time.as_millis().try_into()).transpose()?,
            newcomer_millis: newcomer,
            meanwhile,
            expired_by_own_count: Duration::from_secs_f64(own_count).as_millis().try_into()?,
            two_writes_micros,
            operator: after.operator.since(before.operator),
            api_server: after.api_server.since(before.api_server),
            etcd: after.etcd.since(before.etcd),
            requests: after.requests.since(&before.requests),
            ..stage.look(|seen| window.figures(seen, &group, calls))
        })
    }

    /// How long one that comes now waits until it is ready, in milliseconds, if it is within patience.
    async fn newcomer(&self, stage: &Stage) -> Result<Option<u64>> {
        let newcomer = newcomer(self.ttl_seconds);
        let mut readiness = Readiness::of_one(stage.plane.admin(), &newcomer.request_name(1)).await?;
        let sent = Stopwatch::start();
        stage.rush_in(&newcomer).await?;
        let is_ready = readiness.until(|readiness| readiness.settled(false) == 1, PATIENCE).await?;
        Ok(is_ready.then(|| sent.elapsed().as_millis().try_into()).transpose()?)
    }
}

/// A known course of what isn't borne.
pub fn self_test() {
    let of = |count, more_than| Fleet {
        count,
        more_than,
        ttl_seconds: 60,
        suspend: false,
        bars: Bars { resident_mib: Some(80), ..Bars::default() },
    };
    let tried = std::iter::successors(Some(of(10_000, Some(5000))), Fleet::smaller);
    let tried: Vec<_> = tried.map(|fleet| (fleet.name(), fleet.bars.resident_mib)).collect();
    let expected = [("10000 at 60 s", Some(80)), ("7500 at 60 s", None), ("5625 at 60 s", None)];
    assert_eq!(tried, expected.map(|(name, mib)| (name.to_owned(), mib)));
    assert!(of(10_000, None).smaller().is_none());
}

/// One that comes in the middle of it.
const fn newcomer(ttl_seconds: u32) -> Group {
    Group { name: "newcomer", ttl_seconds, ..live(1) }
}

/// A figure of the operator's own.
fn told<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(metrics: &str, name: &str) -> Result<T> {
    let told = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(told.with_context(|| format!("the metrics don't tell of {name}"))?.parse()?)
}

/// What has been used up to now.
struct Taken {
    operator: Usage,
    api_server: Usage,
    etcd: Usage,
    requests: ApiRequests,
    /// Calls of the Media API, without the newcomer's.
    calls: u64,
}

impl Taken {
    async fn now(stage: &Stage) -> Result<Self> {
        let requests = ApiRequests::so_far(&stage.plane.admin()).await?;
        let operator = Usage::of(stage.operator()?.pid())?;
        let counters = stage.simulator.counters();
        let newcomers = counters.streamers.get(&newcomer(1).streamer_sid(1)).map_or(0, |counters| counters.received);
        let calls = counters.total.received - newcomers;
        Ok(Self {
            calls,
            operator,
            api_server: Usage::of(stage.plane.api_server().pid())?,
            etcd: Usage::of(stage.plane.etcd().pid())?,
            requests,
        })
    }
}
