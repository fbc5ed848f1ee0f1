//! The demo's command line.

use std::time::Duration;

use clap::Parser;
use playback_grant_operator::simulator::Fault;

/// Shows the operator at work, on a real API server and against the Media API simulator.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// How long to run, such as 40s or 2m; then exit 0 only if grants were refreshed and none ever stood expired. Absent: until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub run_for: Option<Duration>,

    /// A fault to switch on meanwhile, and for how long: 500:30s, 429:21s, hang:7s, or another that media-api-simulator knows.
    #[arg(long, value_name = "FAULT:DURATION", value_parser = fault)]
    pub fault: Option<String>,
}

/// Reads `40s` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration: write 40s or 2m");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        _ => None,
    };
    seconds.filter(|&seconds| seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// Reads what the simulator reads, before time is spent on a start.
fn fault(text: &str) -> Result<String, String> {
    text.parse::<Fault>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}
