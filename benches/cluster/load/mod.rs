//! What many requests cost when nothing fails: the operator's processor time and memory, the API server's, its requests, and whether any grant expired.
//!
//! `make bench` prints the table and holds it against what is promised.

mod api_requests;
mod figures;
mod fleet;
mod floor;
mod processes;
mod readiness;
mod table;

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;

use self::figures::Bars;
use self::fleet::Fleet;
use crate::stage;

/// Which loads.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only the loads whose names have this word in them, or one of these: `10000;suspended`.
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,
    /// How long to measure, in seconds. Absent: 90, with --quick 25.
    #[arg(long)]
    seconds: Option<u64>,
    /// A hundred requests, held to what is asked for, and to nothing expiring or growing; not to what they cost.
    #[arg(long)]
    quick: bool,
    /// Further arguments for the operator, each by itself: `--operator-arg=--status-interval=60`.
    #[arg(long)]
    operator_arg: Vec<String>,
}

/// Gives whether everything promised was kept.
pub async fn run(operator: &Path, arguments: &Arguments) -> Result<bool> {
    figures::self_test();
    fleet::self_test();
    let is_chosen =
        |fleet: &Fleet| arguments.only.is_empty() || arguments.only.iter().any(|only| fleet.name().split(' ').any(|word| word == only));
    let mut columns = Vec::new();
    let (fleets, seconds) = if arguments.quick { (vec![QUICK], 25) } else { (all(), 90) };
    for fleet in fleets.into_iter().filter(is_chosen) {
        let mut next = Some(fleet);
        while let Some(fleet) = next {
            eprintln!("{}", fleet.name());
            let figures = fleet.measured(operator, &arguments.operator_arg, arguments.seconds.unwrap_or(seconds)).await?;
            next = if figures.is_borne() { None } else { fleet.smaller() };
            let broken = fleet.bars.broken(&figures);
            columns.push((fleet.name(), figures, broken));
        }
    }
    ensure!(!columns.is_empty(), "no load has one of these words in its name: {}", arguments.only.join(", "));
    println!("{}\n", stage::version(operator)?);
    print!("{}", table::table(&columns));
    Ok(columns.iter().all(|(_, _, broken)| broken.is_empty()))
}

/// One that takes half a minute.
const QUICK: Fleet = Fleet {
    count: 100,
    more_than: None,
    ttl_seconds: 15,
    suspend: false,
    bars: Bars {
        own_micros: None,
        resident_mib: None,
        api_server_micros: None,
        calls_permille: None,
        all_ready_millis: Some(20_000),
        newcomer_millis: Some(5000),
    },
};

/// All of them.
fn all() -> Vec<Fleet> {
    let thousand = Bars {
        own_micros: Some(300),
        resident_mib: Some(20),
        api_server_micros: Some(4500),
        calls_permille: Some(1030),
        all_ready_millis: Some(20_000),
        newcomer_millis: Some(1000),
    };
    let nothing_expires = Bars::default();
    vec![
        Fleet { count: 1000, more_than: None, ttl_seconds: 15, suspend: false, bars: thousand },
        Fleet { count: 5000, more_than: None, ttl_seconds: 60, suspend: false, bars: nothing_expires },
        Fleet {
            count: 10_000,
            more_than: Some(5000),
            ttl_seconds: 60,
            suspend: false,
            bars: Bars { resident_mib: Some(80), ..nothing_expires },
        },
        Fleet { count: 1000, more_than: None, ttl_seconds: 15, suspend: true, bars: Bars { resident_mib: Some(20), ..nothing_expires } },
    ]
}
