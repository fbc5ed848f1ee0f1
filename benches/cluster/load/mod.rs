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

use anyhow::Result;
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
    let is_chosen =
        |fleet: &Fleet| arguments.only.is_empty() || arguments.only.iter().any(|only| fleet.name.split(' ').any(|word| word == only));
    let mut columns = Vec::new();
    let (fleets, seconds) = if arguments.quick { (vec![QUICK], 25) } else { (all(), 90) };
    for fleet in fleets.into_iter().filter(is_chosen) {
        eprintln!("{}", fleet.name);
        let figures = fleet.measured(operator, &arguments.operator_arg, arguments.seconds.unwrap_or(seconds)).await?;
        let broken = fleet.bars.broken(&figures);
        columns.push((fleet.name, figures, broken));
    }
    println!("{}\n", stage::version(operator)?);
    print!("{}", table::table(&columns));
    Ok(columns.iter().all(|(_, _, broken)| broken.is_empty()))
}

/// One that takes half a minute.
const QUICK: Fleet = Fleet {
    name: "100 at 15 s",
    count: 100,
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
        Fleet { name: "1000 at 15 s", count: 1000, ttl_seconds: 15, suspend: false, bars: thousand },
        Fleet { name: "5000 at 60 s", count: 5000, ttl_seconds: 60, suspend: false, bars: nothing_expires },
        Fleet {
            name: "10000 at 60 s",
            count: 10_000,
            ttl_seconds: 60,
            suspend: false,
            bars: Bars { resident_mib: Some(80), ..nothing_expires },
        },
        Fleet {
            name: "1000 suspended",
            count: 1000,
            ttl_seconds: 15,
            suspend: true,
            bars: Bars { resident_mib: Some(20), ..nothing_expires },
        },
    ]
}
