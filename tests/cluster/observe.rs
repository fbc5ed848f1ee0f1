//! The observer: it watches Secrets, and lets a judge know.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use playback_grant_operator::api::names::key::PLAYBACK_URL;
use playback_grant_operator::simulator::PlaybackToken;
use playback_grant_testbed::{Judge, Life, unix_millis};

/// Watches the Secrets until `run` has ended.
pub async fn observe(secrets: Api<Secret>, run: impl Future<Output = Result<()>>) -> Result<Judge> {
    let mut events = pin!(watcher(secrets, watcher::Config::default()).default_backoff());
    let mut run = pin!(run);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut judge = Judge::default();
    loop {
        tokio::select! {
            // A grant that has arrived is seen before the clock is read: nothing counts as expired that has been replaced.
            biased;
            event = events.next() => judge.watched(&event.context("the watch ended")??, PLAYBACK_URL, life),
            ended = &mut run => return ended.map(|()| judge),
            _ = ticks.tick() => judge.settle(unix_millis()),
        }
    }
}

fn life(url: &[u8]) -> Option<Life> {
    let token = PlaybackToken::decode(std::str::from_utf8(url).ok()?)?;
    Some(Life { issued: token.issued_at_unix_ms, expires: token.expires_at_unix_ms() })
}
