//! The table, as it is printed and as it stands in `benches/RESULTS.md`.

use playback_grant_testbed::seconds;

use super::cases::Case;
use super::measure::Measured;

/// Its head.
pub fn head(requests: u32, version: &str) -> String {
    let titles = "| fault | expired, of so many | expired in all | forced of it | worst beyond | first fresh | last fresh (of the worst run) | expired of others | calls of needed | refused | left at refresh | writes a refresh | kept |";
    format!("{requests} requests with grants of 15 s; {version}\n\n{titles}\n|---|---|---|---|---|---|---|---|---|---|---|---|---|")
}

/// The row of one that could not be measured, or after which all wasn't well again.
pub fn failed(case: &Case, error: &anyhow::Error) -> String {
    format!("| {} | | | | | | | | | | | | NO: {error:#} |", case.name)
}

/// A fault's row.
pub fn row(case: &Case, measured: &Measured, broken: &[String]) -> String {
    let Measured {
        secrets,
        affected,
        expired,
        forced,
        worst_excess,
        worst: _,
        first,
        last,
        worst_last,
        others_expired,
        calls,
        needed,
        left,
        writes,
        ..
    } = measured;
    let since = |time: Option<u64>| time.filter(|_| case.forces).map(|time| format!("{:.2} s", seconds(time)));
    let last = since(*last).into_iter().chain(since(*worst_last).map(|worst| format!("({worst})"))).collect::<Vec<_>>().join(" ");
    let kept = if broken.is_empty() { "yes".to_owned() } else { format!("NO: {}", broken.join(", ")) };
    format!(
        "| {} | {affected} of {secrets} | {:.1} s | {:.1} s | {:.2} s | {} | {} | {:.1} s | {} of {} | {} | {:.1} s | {}.{:02} | {kept} |",
        case.name,
        seconds(*expired),
        seconds(*forced),
        seconds(*worst_excess),
        since(*first).unwrap_or_default(),
        last,
        seconds(*others_expired),
        calls.made,
        needed,
        calls.throttled,
        seconds(*left),
        writes / 100,
        writes % 100,
    )
}
