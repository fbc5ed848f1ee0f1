//! An observer beside the operator, by an administrator's watches: what each Secret held, and what each request was told.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::api::names::key::{ISSUE_TIME, PLAYBACK_URL};
use playback_grant_operator::simulator::PlaybackToken;
use playback_grant_testbed::{Judge, Life, unix_millis};
use tokio::sync::oneshot;

use crate::stage::{Stage, conditions, data, status};

/// What an observer has seen.
#[derive(Default)]
pub struct Observed {
    /// For how long which Secret has held an expired grant.
    pub judge: Judge,
    /// By Secret: each version that held a grant, and when that was issued, as the Secret itself says.
    ///
    /// Two operators' calls may overtake each other on the way: the simulator's own times can go back by as much.
    versions: BTreeMap<String, Vec<(String, String)>>,
    /// By request: what it was told, as its conditions and the number of failures, each time that it was told something else.
    told: BTreeMap<String, Vec<Told>>,
}

type Told = (Vec<String>, u32);

/// Watches the Secrets and the requests of the namespace until `run` has ended, which begins when what is there has been seen.
///
/// `run` is no part of the observer's own task: however long it holds its thread, what comes meanwhile is seen when it comes.
pub async fn observe(stage: &Stage, run: impl Future<Output = Result<()>>) -> Result<Observed> {
    let (begin, start) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let observer = tokio::spawn(watch(stage.admin.clone(), stage.namespace.clone(), begin, ended));
    // Where the observer has failed, it says so itself.
    if start.await.is_ok() {
        run.await?;
    }
    drop(end);
    observer.await?
}

async fn watch(admin: Client, namespace: String, begin: oneshot::Sender<()>, mut end: oneshot::Receiver<()>) -> Result<Observed> {
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), &namespace);
    let requests: Api<PlaybackGrantRequest> = Api::namespaced(admin, &namespace);
    let mut secrets = pin!(watcher(secrets, watcher::Config::default()));
    let mut requests = pin!(watcher(requests, watcher::Config::default()));
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let (mut begin, mut lists) = (Some(begin), 0);
    let mut observed = Observed::default();
    loop {
        tokio::select! {
            // A grant that has arrived is seen before the clock is read: nothing counts as expired that has been replaced.
            biased;
            event = secrets.next() => {
                let event = event.context("the watch of the Secrets ended")??;
                lists += u32::from(matches!(event, Event::InitDone));
                observed.secret(&event);
            }
            event = requests.next() => {
                let event = event.context("the watch of the requests ended")??;
                lists += u32::from(matches!(event, Event::InitDone));
                observed.request(&event);
            }
            _ = &mut end => return Ok(observed),
            _ = ticks.tick() => observed.judge.settle(unix_millis()),
        }
        if lists == 2
            && let Some(begin) = begin.take()
        {
            // Whoever waited may have given up.
            let _ = begin.send(());
        }
    }
}

impl Observed {
    fn secret(&mut self, event: &Event<Secret>) {
        self.judge.watched(event, PLAYBACK_URL, life);
        let (Event::Apply(secret) | Event::InitApply(secret)) = event else { return };
        let Some(issued) = data(secret, ISSUE_TIME) else { return };
        let versions = self.versions.entry(secret.name_any()).or_default();
        let version = secret.resource_version().unwrap_or_default();
        // A list after a watch that was cut shows again what was seen.
        if versions.last().is_none_or(|(last, _)| *last != version) {
            versions.push((version, issued));
        }
    }

    fn request(&mut self, event: &Event<PlaybackGrantRequest>) {
        let (Event::Apply(request) | Event::InitApply(request)) = event else { return };
        let told = self.told.entry(request.name_any()).or_default();
        let now = (conditions(request), status(request).consecutive_failures);
        if told.last() != Some(&now) {
            told.push(now);
        }
    }

    /// How often the Secret was seen written with a grant, the version aside that was there at first.
    pub fn writes(&self, secret: &str) -> u64 {
        self.versions.get(secret).map_or(0, |versions| versions.len().saturating_sub(1) as u64)
    }

    /// Checks that each Secret was refreshed and never held an expired grant, nor an earlier one after a later.
    pub fn ensure_fresh<'a>(&self, secrets: impl IntoIterator<Item = &'a str> + Clone) -> Result<()> {
        let complaints = self.judge.complaints(secrets.clone());
        ensure!(complaints.is_empty(), "{}", complaints.join("; "));
        for secret in secrets {
            // RFC 3339 in UTC with milliseconds: in the order of time as they stand.
            let issued: Vec<&String> = self.versions.get(secret).into_iter().flatten().map(|(_, issued)| issued).collect();
            let back: Vec<_> = issued.windows(2).filter(|two| two[0] > two[1]).collect();
            ensure!(back.is_empty(), "{secret} held an earlier grant after a later one {} times: issued at {:?}", back.len(), back[0]);
            ensure!(self.judge.record(secret).refreshes() > 0, "{secret} was never refreshed");
        }
        Ok(())
    }

    /// Checks that each request was told at each time one of `allowed`, as its conditions and the number of failures.
    pub fn ensure_told<'a>(&self, requests: impl IntoIterator<Item = &'a str>, allowed: &[(&[&str], u32)]) -> Result<()> {
        for request in requests {
            let told = self.told.get(request).with_context(|| format!("{request} was never seen"))?;
            let is_allowed =
                |(conditions, failures): &Told| allowed.iter().any(|allowed| conditions == allowed.0 && *failures <= allowed.1);
            let wrong = told.iter().find(|told| !is_allowed(told));
            ensure!(wrong.is_none(), "{request} was told {wrong:?}; all that it was told: {told:?}");
        }
        Ok(())
    }
}

fn life(url: &[u8]) -> Option<Life> {
    let token = PlaybackToken::decode(std::str::from_utf8(url).ok()?)?;
    Some(Life { issued: token.issued_at_unix_ms, expires: token.expires_at_unix_ms() })
}

/// How often an operator refreshes one grant in that time at the most: never earlier than 4 % of the interval, the first perhaps at once.
pub fn most_refreshes(ttl: u32, before: u32, ran_for: Duration) -> Result<u64> {
    Ok(2 + u64::try_from(ran_for.as_millis())? / (u64::from(ttl - before) * 960))
}
