//! What faults cost: many requests on a real API server and the release binary, one fault after the other, and a table of what was seen.
//!
//! `make faults` prints the table and holds it against what is promised; exit code 1 where something isn't kept.

#![expect(clippy::print_stdout, reason = "it prints a table")]

mod cases;
mod cast;
mod measure;
mod scripted;
mod stage;
mod table;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use playback_grant_testbed::{seconds, unix_millis};

use cases::{Case, Inflicted};
use measure::{Measured, measure};
use stage::Stage;

/// What faults cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// The operator's program.
    operator: PathBuf,
    /// Fewer requests and short faults: what a test has time for.
    #[arg(long)]
    quick: bool,
    /// How often each fault is inflicted; the table has the medians. Absent: 5 times, once with --quick.
    #[arg(long)]
    runs: Option<u32>,
    /// Only the faults whose names have this in them.
    #[arg(long)]
    only: Option<String>,
    /// How many requests. Absent: 200, with --quick 50.
    #[arg(long)]
    requests: Option<u32>,
}

/// After a fault, everything is as it was within this, or it is told so.
const PATIENCE: Duration = Duration::from_mins(2);
/// What comes after that is looked at for a little while.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// By how much the observer may be off, in milliseconds: with nothing beside, and on a machine that may be busy.
const EXACT: u64 = 100;
const BUSY: u64 = 1000;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether everything promised was kept.
async fn run(arguments: Arguments) -> Result<bool> {
    let (cases, runs, requests) = if arguments.quick { (cases::quick as fn(u32) -> Vec<Case>, 1, 50) } else { (cases::all as _, 5, 200) };
    let (runs, requests) = (arguments.runs.unwrap_or(runs).max(1), arguments.requests.unwrap_or(requests).max(1));
    let is_chosen = |case: &Case| arguments.only.as_ref().is_none_or(|only| case.name.contains(only.as_str()));
    let cases: Vec<Case> = cases(requests).into_iter().filter(is_chosen).collect();
    measure::self_test();
    let read = scripted::seven_seconds(if arguments.quick { BUSY } else { EXACT }).await.context("the observer's self-test")?;
    println!("of a Secret that held an expired grant for 7.0 s the observer reads {:.2} s\n", seconds(read));
    println!("{}", table::head(requests, &stage::version(&arguments.operator)?));
    let mut kept = true;
    for case in &cases {
        let mut measured = Vec::new();
        for _ in 0..runs {
            // What a fault has brought into step stays so for many refreshes: each begins with requests that are spread out.
            let mut stage = Stage::set(&arguments.operator, case.cast.clone(), case.way()).await?;
            let outcome = inflict(&mut stage, case).await.with_context(|| case.name.clone());
            stage.clear().await?;
            measured.push(outcome?);
        }
        let median = Measured::median(&measured);
        let broken = case.bars.broken(&median);
        println!("{}", table::row(case, &median, &broken));
        kept &= broken.is_empty();
    }
    Ok(kept)
}

/// One fault, from quiet to quiet.
async fn inflict(stage: &mut Stage, case: &Case) -> Result<Measured> {
    stage.all_fresh(PATIENCE).await.context("before the fault")?;
    let calls = stage.calls();
    let begins = unix_millis();
    let Inflicted { ends } = case.fault.inflict(stage).await?;
    // What was asked for by Retry-After may end later than the fault.
    let asked_until = stage.last_throttled(begins).map_or(ends, |refused| refused + case.asks_to_wait);
    let forced_until = ends.max(asked_until);
    stage.all_fresh(PATIENCE).await.context("after the fault")?;
    tokio::time::sleep(AFTERWARDS).await;
    let now = unix_millis();
    let called = stage.calls().since(&calls);
    Ok(measure(&stage.seen(), (&case.cast, &case.struck), begins..forced_until, now, called))
}
