//! Watches Secrets and requests through the API server, shows them, and judges at the end.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_operator::api::names::key::PLAYBACK_URL;
use playback_grant_operator::simulator::PlaybackToken;
use playback_grant_testbed::{Judge, Life, ManagedProcess, Record, seconds, unix_millis};

use crate::arguments::Arguments;
use crate::board::Board;
use crate::interrupt::Interrupt;
use crate::screen::Screen;
use crate::simulator;
use crate::stage::{NAMESPACE, Stage};
use crate::tokens::Tokens;

/// How often the grants are drawn.
const FRAME: Duration = Duration::from_millis(200);

/// The fault is switched on so long after the start, and not before every request has a grant.
const QUIET_BEFORE_FAULT: Duration = Duration::from_secs(5);

/// Why the show ended, and whether all was well until then.
pub struct Outcome {
    /// Whether it ended by itself, as it was asked to, and nothing is to complain about.
    pub passed: bool,
    /// The summary.
    pub text: String,
}

/// Shows the requests until the time is over or somebody has had enough.
pub async fn observe(stage: &Stage, arguments: &Arguments, screen: &mut Screen, interrupt: &mut Interrupt) -> Result<Outcome> {
    let admin = stage.plane.admin();
    let mut secrets = pin!(watch(Api::<Secret>::namespaced(admin.clone(), NAMESPACE), watcher::Config::default()).default_backoff());
    let mut requests = pin!(watch(Api::<PlaybackGrantRequest>::namespaced(admin, NAMESPACE), watcher::Config::default()).default_backoff());
    let mut frames = tokio::time::interval(FRAME);
    let mut end = pin!(wait(arguments.run_for));
    let mut quiet = pin!(wait(arguments.fault.is_some().then_some(QUIET_BEFORE_FAULT)));
    let mut pending_fault = arguments.fault.as_deref();
    let (mut board, mut judge, mut tokens) = (Board::default(), Judge::default(), Tokens::default());
    let ended_by_itself = loop {
        tokio::select! {
            // A grant that has arrived is seen before the clock is read: nothing counts as expired that has been replaced.
            biased;
            () = interrupt.wait() => break false,
            Some(event) = secrets.next() => if let Ok(event) = event {
                judge.watched(&event, PLAYBACK_URL, life);
                tokens.watched(&event);
            },
            Some(event) = requests.next() => if let Ok(event) = event { see_request(&event, &mut board) },
            error = ended("playback-grant-operator", &stage.operator) => return Err(error),
            error = ended("media-api-simulator", &stage.simulator) => return Err(error),
            () = &mut end => break true,
            () = &mut quiet, if pending_fault.is_some() && board.all_have_grants(&judge) => {
                let Some(fault) = pending_fault.take() else { bail!("the fault is switched on already") };
                simulator::switch_on(&stage.simulator_url, fault).await?;
                screen.say(&format!("the fault {fault} is switched on"))?;
            }
            _ = frames.tick() => {
                let now = unix_millis();
                judge.settle(now);
                screen.draw(&board.lines(&judge, &tokens, now, screen.terminal))?;
            }
        }
    };
    judge.settle(unix_millis());
    let mut complaints = judge.complaints(board.secrets());
    complaints.extend(tokens.complaints(board.secrets_with_token()));
    if let Some(fault) = pending_fault {
        complaints.push(format!("the fault {fault} was never switched on: the run was too short for it"));
    }
    Ok(Outcome { passed: ended_by_itself && complaints.is_empty(), text: summary(&board, &judge, &tokens, &complaints) })
}

fn summary(board: &Board, judge: &Judge, tokens: &Tokens, complaints: &[String]) -> String {
    let records: Vec<_> = board.secrets().map(|secret| judge.record(secret)).collect();
    let refreshes: u32 = records.iter().map(Record::refreshes).sum();
    let expired: u64 = records.iter().map(|record| record.expired).sum();
    let signed: u32 = board.secrets_with_token().map(|secret| tokens.count(secret)).sum();
    let verdict = if complaints.is_empty() {
        "none ever stood expired; each Access Token carried the grant beside it".to_owned()
    } else {
        complaints.join("\n  ")
    };
    format!(
        "summary: {} requests, {refreshes} refreshes, {signed} Access Tokens, {:.1} expired grant-seconds by the simulator's own tokens\n  {verdict}",
        records.len(),
        seconds(expired)
    )
}

fn life(url: &[u8]) -> Option<Life> {
    let token = PlaybackToken::decode(std::str::from_utf8(url).ok()?)?;
    Some(Life { issued: token.issued_at_unix_ms, expires: token.expires_at_unix_ms() })
}

fn see_request(event: &Event<PlaybackGrantRequest>, board: &mut Board) {
    match event {
        Event::Apply(request) | Event::InitApply(request) => board.seen(request),
        Event::Delete(request) => board.gone(request),
        Event::Init | Event::InitDone => {}
    }
}

/// Waits for the end of a program that shouldn't end.
async fn ended(name: &str, process: &ManagedProcess) -> anyhow::Error {
    let code = process.wait_exited(Duration::MAX).await;
    let code = code.map_or_else(|error| error.to_string(), |code| code.to_string());
    anyhow::anyhow!("{name} ended with code {code}; the last that it said:\n{}", process.last_lines(15))
}

/// Waits for `duration`, or for ever.
async fn wait(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
