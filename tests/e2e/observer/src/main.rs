//! Watches over Secrets from inside a pod, by the API alone and by what the simulator wrote into the grants: `make e2e` runs it.
//!
//! `observer SECONDS NAMESPACE SECRET…` reads each Secret every 100 ms for so long. It prints a line for each, and ends with 1 if one ever held
//! an expired grant, was missing once it had been there, or was never refreshed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use playback_grant_operator::api::names::key::PLAYBACK_URL;
use playback_grant_operator::simulator::PlaybackToken;
use playback_grant_testbed::{Judge, Life, Stopwatch, seconds, unix_millis};

const READ_EVERY: Duration = Duration::from_millis(100);

/// Who has not been answered for so long can say nothing of the Secret: a third of the shortest grant's life.
const LONGEST_GAP_MILLIS: u64 = 5_000;

/// A read that takes longer says nothing of how fresh the Secret is, and is made again.
const READ_WITHIN: Duration = Duration::from_secs(1);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the report is what it is run for")]
async fn main() -> ExitCode {
    match observe().await {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            println!("complaints: {}", complaints.join("; "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report is what it is run for")]
async fn observe() -> Result<Vec<String>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [duration, namespace, names @ ..] = arguments.as_slice() else { anyhow::bail!("usage: observer SECONDS NAMESPACE SECRET…") };
    ensure!(!names.is_empty(), "usage: observer SECONDS NAMESPACE SECRET…");
    let duration = Duration::from_secs(duration.parse().context("the duration isn't a number of seconds")?);
    let client = Client::try_default().await.map_err(|_| anyhow::anyhow!("there is no cluster to ask: it runs in a pod"))?;
    let secrets = Api::<Secret>::namespaced(client, namespace);

    let (mut judge, mut failed, mut missing) = (Judge::default(), 0_u32, 0_u32);
    // For each Secret: how many reads, the least life left at one of them, and the longest that none was answered, milliseconds.
    let mut seen = vec![(0_u32, u64::MAX, 0_u64, None::<u64>); names.len()];
    let (stopwatch, mut ticks) = (Stopwatch::start(), tokio::time::interval(READ_EVERY));
    while stopwatch.elapsed() < duration {
        ticks.tick().await;
        for (name, (reads, least_left, longest_gap, last)) in names.iter().zip(&mut seen) {
            let answer = tokio::time::timeout(READ_WITHIN, secrets.get_opt(name)).await;
            let now = unix_millis();
            // What a failed read says may hold the Secret: it is only counted.
            let Ok(Ok(secret)) = answer else {
                failed += 1;
                continue;
            };
            *reads += 1;
            *longest_gap = (*longest_gap).max(now - last.replace(now).unwrap_or(now));
            let Some(secret) = secret else {
                missing += u32::from(judge.record(name).grants > 0);
                judge.gone(name, now);
                continue;
            };
            let life = secret.data.as_ref().and_then(|data| data.get(PLAYBACK_URL)).and_then(|url| life(&url.0));
            judge.seen(name, life, now);
            *least_left = (*least_left).min(life.map_or(0, |life| life.expires.saturating_sub(now)));
        }
    }
    let end = unix_millis();
    let mut complaints = judge.complaints(names.iter().map(String::as_str));
    if missing > 0 {
        complaints.push(format!("{missing} times a Secret that had been there was missing"));
    }
    for (name, (reads, least_left, longest_gap, last)) in names.iter().zip(&seen) {
        let record = judge.record(name);
        // The end of the watch counts like a read.
        let longest_gap = last.map_or(u64::MAX, |last| (*longest_gap).max(end.saturating_sub(last)));
        if longest_gap > LONGEST_GAP_MILLIS {
            complaints.push(format!("{name} could not be read for {:.1} s", seconds(longest_gap)));
        }
        if record.grants < 2 {
            complaints.push(format!("{name} was not refreshed"));
        }
        println!(
            "{name}: expired {:.1} s, {} grants, at least {:.1} s left at each of {reads} reads, none longer than {:.1} s after the last",
            seconds(record.expired),
            record.grants,
            seconds(*least_left),
            seconds(longest_gap),
        );
    }
    println!("reads that failed: {failed}");
    Ok(complaints)
}

/// The life of the grant that a playback URL of the simulator tells.
fn life(url: &[u8]) -> Option<Life> {
    let token = PlaybackToken::decode(std::str::from_utf8(url).ok()?)?;
    Some(Life { issued: token.issued_at_unix_ms, expires: token.expires_at_unix_ms() })
}
