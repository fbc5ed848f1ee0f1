//! How long it takes to sign an Access Token, beside the vendor's two helper libraries on the same inputs: `make bench-token`.

#[path = "../tests/interop/asked.rs"]
mod asked;
#[path = "token/helper.rs"]
mod helper;

use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use asked::Asked;
use helper::Helper;
use playback_grant_operator::token::ReadToken;
use secrecy::ExposeSecret as _;

const INPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/token/input.json");

/// They take turns, so that what else the machine does meets all of them alike.
const ROUNDS: usize = 40;
const TOKENS_A_ROUND: usize = 250;
/// Enough for Node to have compiled what it runs.
const WARM_UP: usize = 5000;

/// What signing may cost.
const LIMIT: Duration = Duration::from_micros(10);

fn main() -> Result<ExitCode> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).context("run `make bench-token`")?;
    let asked = Asked::parse(&std::fs::read_to_string(INPUT)?)?;
    let token = asked.sign()?.token;
    let read = ReadToken::parse(token.expose_secret())?;

    let at = |path: &str| format!("{}/benches/token/{path}", env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node");
    node.arg(at("sign.js")).env("NODE_PATH", format!("{folder}/node/node_modules"));
    let mut python = Command::new(format!("{folder}/python/bin/python"));
    python.arg("-B").arg(at("sign.py"));
    let mut helpers = [Helper::start(node, INPUT)?, Helper::start(python, INPUT)?];
    for helper in &helpers {
        let theirs = ReadToken::parse(helper.token.expose_secret())?;
        ensure!(theirs.is_signed_by(&asked.key), "{}: signs with another key", helper.who);
        ensure!(theirs.claims["grants"] == read.claims["grants"], "{}: signs other grants", helper.who);
    }

    ours(&asked, WARM_UP)?;
    helpers.iter_mut().try_for_each(|helper| helper.sign(WARM_UP).map(drop))?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].extend(ours(&asked, TOKENS_A_ROUND)?);
        for (helper, times) in helpers.iter_mut().zip(&mut times[1..]) {
            times.extend(helper.sign(TOKENS_A_ROUND)?);
        }
    }
    let names = ["this operator, token::sign", &helpers[0].who, &helpers[1].who];
    let median = table(token.expose_secret().len(), names, &mut times)?;
    if median > LIMIT {
        eprintln!("error: signing costs more than {LIMIT:?}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::disallowed_methods, reason = "this is what is measured")]
fn ours(asked: &Asked, tokens: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(tokens);
    for _ in 0..tokens {
        let start = Instant::now();
        black_box(black_box(asked).sign()?);
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Prints it; gives our median.
fn table(token_length: usize, names: [&str; 3], times: &mut [Vec<Duration>; 3]) -> Result<Duration> {
    let mut out = std::io::stdout().lock();
    let count = ROUNDS * TOKENS_A_ROUND;
    writeln!(out, "time to sign one token (ours has {token_length} bytes), of {count} each, in {ROUNDS} rounds by turns\n")?;
    writeln!(out, "{:<54} {:>10} {:>10} {:>8}", "", "median", "p95", "ratio")?;
    let mut medians = Vec::new();
    for (name, times) in names.into_iter().zip(times) {
        times.sort_unstable();
        let [median, p95] = [50, 95].map(|percent| times[times.len() * percent / 100]);
        medians.push(median);
        let [shown_median, shown_p95] = [median, p95].map(|time| format!("{:.1} µs", time.as_secs_f64() * 1e6));
        let ratio = median.div_duration_f64(medians[0]);
        writeln!(out, "{name:<54} {shown_median:>10} {shown_p95:>10} {ratio:>8.1}")?;
    }
    Ok(medians[0])
}
