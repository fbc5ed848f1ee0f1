//! The table, as it is printed and as it stands in `benches/RESULTS.md`.

use playback_grant_testbed::seconds;

use super::figures::{Figures, percentile};
use super::fleet::PATIENCE;
use super::processes::Usage;

type Column = (String, Figures, Vec<String>);

/// A line for each figure, a column for each load.
pub fn table(columns: &[Column]) -> String {
    let mut lines = Vec::new();
    let mut line = |title: &str, cells: &dyn Fn(&Column) -> String| {
        let cells: Vec<String> = columns.iter().map(cells).collect();
        lines.push(format!("| {title} | {} |\n", cells.join(" | ")));
    };
    let of = |cell: fn(&Figures) -> String| move |(_, figures, _): &Column| cell(figures);
    line("", &|(name, _, _)| name.clone());
    line("---", &|_| "---".to_owned());
    line("expired, all together", &of(|figures| format!("{:.1} s", seconds(figures.expired))));
    line(
        "the same from the first request on, and by the operator's own count",
        &of(|figures| format!("{:.1} s, {:.1} s", seconds(figures.expired_in_all), seconds(figures.expired_by_own_count))),
    );
    line("refreshes, in so long", &of(|figures| format!("{}, {:.0} s", figures.refreshes, seconds(figures.time))));
    line("left of the grant at refresh, p1", &of(|figures| left(figures, 1)));
    line("the same, p50", &of(|figures| left(figures, 50)));
    line("lateness of a refresh, p50", &of(|figures| late(figures, 50)));
    line("the same, p99 and at most", &of(|figures| format!("{}, {}", late(figures, 99), late(figures, 100))));
    line("the operator's processor time a refresh", &of(|figures| cpu(figures, figures.operator.cpu_micros)));
    line("the API server's", &of(|figures| cpu(figures, figures.api_server.cpu_micros)));
    line("what two writes cost it when nothing else happens", &of(|figures| format!("{:.2} ms", seconds(figures.two_writes_micros))));
    line("etcd's", &of(|figures| cpu(figures, figures.etcd.cpu_micros)));
    line(
        "the operator's memory, now and at most",
        &of(|figures| format!("{:.1}, {:.1} MiB", mib(figures.operator.resident_kib), mib(figures.operator.peak_kib))),
    );
    line("its memory meanwhile", &of(|figures| meanwhile(figures, |(usage, _)| format!("{:.1}", mib(usage.resident_kib)))));
    line("its open files meanwhile", &of(|figures| meanwhile(figures, |(usage, _)| usage.files.to_string())));
    line("its threads meanwhile", &of(|figures| meanwhile(figures, |(usage, _)| usage.threads.to_string())));
    line("its tasks meanwhile", &of(|figures| meanwhile(figures, |(_, tasks)| tasks.to_string())));
    line(
        "calls of the Media API, over needed",
        &of(|figures| match figures {
            Figures { needed: 0, calls, .. } => calls.to_string(),
            // Calls are for first grants, too.
            Figures { all_ready_millis: None, .. } => String::new(),
            _ => format!("{:.3}", seconds(figures.calls_permille())),
        }),
    );
    line("requests to the API server a refresh", &of(requests));
    line("from the last made until all are ready", &of(all_ready));
    line(
        "until a newcomer is",
        &of(|figures| match figures {
            Figures { needed: 0, .. } => String::new(),
            Figures { newcomer_millis: Some(millis), .. } => format!("{:.2} s", seconds(*millis)),
            _ => format!("not within {} s", PATIENCE.as_secs()),
        }),
    );
    line("kept", &|(_, _, broken)| if broken.is_empty() { "yes".to_owned() } else { format!("NO: {}", broken.join(", ")) });
    lines.concat()
}

fn all_ready(figures: &Figures) -> String {
    match figures.all_ready_millis {
        Some(millis) => format!("{:.1} s", seconds(millis)),
        None => format!("{} of {} after {} s", figures.ready, figures.count, PATIENCE.as_secs()),
    }
}

fn left(figures: &Figures, percent: usize) -> String {
    percentile(&figures.left, percent).map_or_else(String::new, |millis| format!("{:.2} s", seconds(millis)))
}

fn late(figures: &Figures, percent: usize) -> String {
    percentile(&figures.late, percent).map_or_else(String::new, |millis| format!("{millis} ms"))
}

fn meanwhile(figures: &Figures, shown: fn(&(Usage, u64)) -> String) -> String {
    figures.meanwhile.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// For each refresh; where there are none, for each second; where many still wait for their first grant, that costs the same, and isn't told.
fn cpu(figures: &Figures, micros: u64) -> String {
    if figures.all_ready_millis.is_none() {
        return String::new();
    }
    if figures.refreshes == 0 {
        return format!("{:.2} ms a second", seconds(micros * 1000 / figures.time.max(1)));
    }
    format!("{:.2} ms", seconds(figures.each(micros)))
}

fn requests(figures: &Figures) -> String {
    if figures.all_ready_millis.is_none() {
        return String::new();
    }
    let of = |count: u64| match figures.refreshes {
        0 => format!("{count} in all"),
        _ => format!("{:.3}", seconds(figures.each(count * 1000))),
    };
    let kinds: Vec<String> = figures.requests.0.iter().map(|(kind, count)| format!("{kind} {}", of(*count))).collect();
    if kinds.is_empty() { "none".to_owned() } else { kinds.join("<br>") }
}

fn mib(kib: u64) -> f64 {
    seconds(kib * 1000 / 1024)
}
