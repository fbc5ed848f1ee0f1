//! What faults cost: many requests on a real API server and the release binary, one fault after the other, and a table of what was seen.
//!
//! `make faults` prints the table and holds it against what is promised.

mod calls;
mod cases;
mod measure;
mod scripted;
mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use playback_grant_testbed::{seconds, unix_millis};

use self::cases::{Case, Inflicted};
use self::measure::{Looked, Measured, measure};
use crate::stage::{self, Stage};

/// Which faults, and how often.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Fewer requests and short faults: what a test has time for.
    #[arg(long)]
    quick: bool,
    /// How often each fault is inflicted; the table has the medians. Absent: 5 times, once with --quick.
    #[arg(long)]
    runs: Option<u32>,
    /// Only the faults whose names have this in them, or one of these: `hang;latency`.
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,
    /// How many requests. Absent: 200, with --quick 50.
    #[arg(long)]
    requests: Option<u32>,
}

/// After a fault, everything is as it was within this, or it is told so.
const PATIENCE: Duration = Duration::from_mins(2);

/// By how much the observer may be off, in milliseconds: with nothing beside, and on a machine that may be busy.
const EXACT: u64 = 100;
const BUSY: u64 = 1000;

/// Gives whether everything promised was kept.
pub async fn run(operator: &Path, arguments: Arguments) -> Result<bool> {
    let (cases, runs, requests) = if arguments.quick { (cases::quick as fn(u32) -> Vec<Case>, 1, 50) } else { (cases::all as _, 5, 200) };
    let (runs, requests) = (arguments.runs.unwrap_or(runs).max(1), arguments.requests.unwrap_or(requests).max(1));
    let is_chosen = |case: &Case| arguments.only.is_empty() || arguments.only.iter().any(|only| case.name.contains(only.as_str()));
    let cases: Vec<Case> = cases(requests).into_iter().filter(is_chosen).collect();
    ensure!(!cases.is_empty(), "no fault's name has any of these in it: {}", arguments.only.join(", "));
    measure::self_test();
    calls::self_test();
    let read = scripted::seven_seconds(if arguments.quick { BUSY } else { EXACT }).await.context("the observer's self-test")?;
    println!("of a Secret that held an expired grant for 7.0 s the observer reads {:.2} s\n", seconds(read));
    println!("{}", table::head(requests, &stage::version(operator)?));
    let mut kept = true;
    for case in &cases {
        let mut measured = Vec::new();
        for _ in 0..runs {
            // What a fault has brought into step stays so for many refreshes: each begins with requests that are spread out.
            let mut stage = Stage::raise(operator, &[], case.way()).await?;
            stage.count_writes();
            stage.admit(&case.cast).await?;
            measured.push(inflict(&mut stage, case).await);
            stage.clear().await?;
        }
        let measured: Result<Vec<Measured>> = measured.into_iter().collect();
        let (row, is_kept) = match measured {
            Ok(runs) => {
                let median = Measured::median(&runs);
                let broken = case.bars.broken(&median);
                (table::row(case, &median, &broken), broken.is_empty())
            }
            // The others are still of interest.
            Err(error) => (table::failed(case, &error), false),
        };
        println!("{row}");
        kept &= is_kept;
    }
    Ok(kept)
}

/// One fault, from quiet to quiet: until each Secret has been given a grant after it.
async fn inflict(stage: &mut Stage, case: &Case) -> Result<Measured> {
    stage.all_fresh(0, PATIENCE).await.context("before the fault")?;
    let begins = unix_millis();
    let Inflicted { ends } = case.fault.inflict(stage).await?;
    stage.all_fresh(ends, PATIENCE).await.context("after the fault")?;
    let now = unix_millis();
    let calls = stage.calls_since(begins);
    // What was asked for by Retry-After may end later than the fault.
    let asked = calls::asked(&calls, case.asks_to_wait);
    let forced_until = if case.forces { ends.max(asked.until) } else { begins };
    let looked = Looked { forced: begins..forced_until, ends, now, hasty: asked.hasty, calls };
    Ok(stage.look(|seen| measure(seen, (&case.cast, &case.struck), &looked)))
}
