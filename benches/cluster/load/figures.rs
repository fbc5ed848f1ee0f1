//! What a load costs, from what was seen.

use super::api_requests::{ApiRequests, EVENT, REFRESH};
use super::processes::Usage;
use crate::stage::cast::{Group, live};
use crate::stage::watch::{Held, Seen};

/// Refreshes are spread over the last 4 % of an interval: so much of it they wait, on average, in thousandths.
const SPREAD_PERMILLE: u64 = 980;

/// What a load cost while it was measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// For how long, in milliseconds, and of how many requests.
    pub time: u64,
    pub count: u64,
    /// How many were ready before it was measured, and how long that took from when the last request was made, if they all were.
    pub ready: u64,
    pub all_ready_millis: Option<u64>,
    /// From when one was sent in the middle of it until it was ready; none where nothing is served.
    pub newcomer_millis: Option<u64>,
    /// How many grants came into the Secrets.
    pub refreshes: u64,
    /// For how long Secrets held expired ones, all together, in milliseconds; and the calls made, and needed.
    pub expired: u64,
    /// The same from the first request on, and by the operator's own count.
    pub expired_in_all: u64,
    pub expired_by_own_count: u64,
    pub calls: u64,
    pub needed: u64,
    /// What was left of a grant when the next came, in milliseconds, in ascending order; and how late that was.
    pub left: Vec<u64>,
    pub late: Vec<u64>,
    pub operator: Usage,
    /// The same at several times in between, and the tasks of its runtime.
    pub meanwhile: Vec<(Usage, u64)>,
    pub api_server: Usage,
    /// What two writes cost it when nothing else happens, in microseconds.
    pub two_writes_micros: u64,
    pub etcd: Usage,
    pub requests: ApiRequests,
}

/// What is promised of them; `None`: nothing. That no grant expires is promised of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bars {
    pub own_micros: Option<u64>,
    pub resident_mib: Option<u64>,
    pub api_server_micros: Option<u64>,
    pub calls_permille: Option<u64>,
    pub all_ready_millis: Option<u64>,
    pub newcomer_millis: Option<u64>,
}

impl Figures {
    /// Whether this machine bears so many.
    pub const fn is_borne(&self) -> bool {
        self.all_ready_millis.is_some() && self.expired_in_all == 0
    }

    /// So much of it for each refresh.
    pub const fn each(&self, of: u64) -> u64 {
        of / if self.refreshes == 0 { 1 } else { self.refreshes }
    }

    /// The calls made, in thousandths of those needed.
    pub const fn calls_permille(&self) -> u64 {
        self.calls * 1000 / if self.needed == 0 { 1 } else { self.needed }
    }
}

impl Bars {
    /// What isn't kept, a few words each.
    pub fn broken(&self, figures: &Figures) -> Vec<String> {
        let serves = figures.needed > 0;
        let mut broken = Vec::new();
        let mut at_most = |what: &str, is: u64, bar: Option<u64>| {
            if let Some(bar) = bar.filter(|bar| is > *bar) {
                broken.push(format!("{what}: {is} > {bar}"));
            }
        };
        at_most("expired ms", figures.expired, Some(0));
        at_most("expired ms from the first request on", figures.expired_in_all, Some(0));
        at_most("ms between that and the operator's own count", figures.expired_in_all.abs_diff(figures.expired_by_own_count), Some(200));
        // What began before the time, or ends after it, is one wave at the most.
        let usual = serves.then_some(figures.refreshes * 1050 / 1000 + figures.count);
        for kind in REFRESH {
            at_most(kind, figures.requests.of(kind), usual);
        }
        at_most("calls", figures.calls, usual);
        at_most("other requests, in thousandths of refreshes", figures.each(figures.requests.others() * 1000), serves.then_some(50));
        at_most("Events", figures.requests.of(EVENT), Some(20 + 10 * figures.time.div_ceil(1000)));
        // What goes up and down has no leak: of one the least that there is goes up, too.
        let grown = |of: fn(&(Usage, u64)) -> u64| {
            let (earlier, later) = figures.meanwhile.split_at(figures.meanwhile.len() / 2);
            let least = |half: &[(Usage, u64)]| half.iter().map(of).min().unwrap_or_default();
            (least(later) * 1000).checked_div(least(earlier)).unwrap_or_default()
        };
        at_most("the operator's memory, in thousandths of the first half's", grown(|(usage, _)| usage.resident_kib), Some(1100));
        at_most("its open files, likewise", grown(|(usage, _)| usage.files), Some(1400));
        at_most("its tasks, likewise", grown(|(_, tasks)| *tasks), Some(1400));
        at_most("own µs a refresh", figures.each(figures.operator.cpu_micros), self.own_micros);
        at_most("resident KiB", figures.operator.resident_kib, self.resident_mib.map(|mib| mib * 1024));
        at_most("API server's µs a refresh", figures.each(figures.api_server.cpu_micros), self.api_server_micros);
        at_most("calls over needed, in thousandths", figures.calls_permille(), self.calls_permille);
        at_most("ms until all were ready", figures.all_ready_millis.unwrap_or_default(), self.all_ready_millis);
        at_most("ms until a newcomer was ready", figures.newcomer_millis.unwrap_or_default(), self.newcomer_millis);
        if figures.all_ready_millis.is_none() {
            broken.push(format!("{} of {} ready", figures.ready, figures.count));
        }
        if serves && figures.newcomer_millis.is_none() {
            broken.push("a newcomer isn't ready".to_owned());
        }
        // That they are suspended is told by Events, of which no more than ten a second are.
        let requests: Vec<_> = figures.requests.0.iter().filter(|(kind, _)| !kind.ends_with(" events")).collect();
        if !serves && (figures.calls > 0 || !requests.is_empty()) {
            broken.push(format!("{} calls and {requests:?} of those that are suspended", figures.calls));
        }
        // Those that came all at once are refreshed in waves, of which the time sees one more or less.
        if serves && figures.refreshes * 4 < figures.needed * 3 {
            broken.push(format!("{} refreshes of {}", figures.refreshes, figures.needed));
        }
        broken
    }
}

/// The time in which it is measured.
pub struct Window<'a> {
    pub begins: u64,
    pub ends: u64,
    /// Whose refreshes are needed.
    pub needs: Option<&'a Group>,
}

impl Window<'_> {
    /// What was seen of the Secrets of a group. What isn't seen there is left as nothing.
    pub fn figures(&self, seen: &Seen, group: &Group, calls: u64) -> Figures {
        let Self { begins, ends, needs } = *self;
        let mut figures = Figures { time: ends - begins, count: group.count.into(), calls, ..Figures::default() };
        figures.expired_in_all = seen.held.values().map(|held| expired(held, 0, ends)).sum();
        figures.needed =
            needs.map_or(0, |group| u64::from(group.count) * (ends - begins) * 1000 / (group.interval_millis() * SPREAD_PERMILLE));
        for (_, held) in seen.held.iter().filter(|(name, _)| group.has(name)) {
            figures.expired += expired(held, begins, ends);
            for pair in held.windows(2).filter(|pair| (begins..ends).contains(&pair[1].seen)) {
                figures.refreshes += 1;
                figures.left.push(pair[0].expires.saturating_sub(pair[1].seen));
                figures.late.extend(pair[0].due.map(|due| pair[1].seen.saturating_sub(due)));
            }
        }
        figures.left.sort_unstable();
        figures.late.sort_unstable();
        figures
    }
}

/// For how long of that time an expired grant was held.
fn expired(held: &[Held], begins: u64, ends: u64) -> u64 {
    let replaced = held.iter().skip(1).map(|next| next.seen).chain([ends]);
    held.iter().zip(replaced).map(|(held, replaced)| replaced.min(ends).saturating_sub(held.expires.max(held.seen).max(begins))).sum()
}

/// The value below which so many percent of them are.
pub fn percentile(ascending: &[u64], percent: usize) -> Option<u64> {
    let last = ascending.len().checked_sub(1)?;
    ascending.get((ascending.len() * percent / 100).min(last)).copied()
}

/// Known figures of a known course of things.
pub fn self_test() {
    let grant = |seen, due| Held { seen, expires: due + 5_000, due: Some(due) };
    let held = vec![grant(0, 10_000), grant(10_040, 20_000), grant(26_000, 36_000)];
    // One that came and went before.
    let before = vec![grant(0, 2_000), grant(7_500, 90_000)];
    let seen = Seen { held: [("live-1".to_owned(), held), ("newcomer-1".to_owned(), before)].into(), ..Seen::default() };
    let group = live(1);
    let figures = Window { begins: 10_000, ends: 30_000, needs: Some(&group) }.figures(&seen, &group, 3);
    assert_eq!((figures.refreshes, figures.expired, figures.expired_in_all, figures.needed), (2, 1_000, 1_500, 2));
    assert_eq!((&figures.left[..], &figures.late[..], figures.calls_permille()), (&[0, 4_960][..], &[40, 6_000][..], 1500));
    let hundred: Vec<u64> = (0..100).collect();
    assert_eq!(
        (percentile(&hundred, 1), percentile(&hundred, 50), percentile(&hundred, 99), percentile(&[], 50)),
        (Some(1), Some(50), Some(99), None)
    );
    let bars = Bars { calls_permille: Some(1030), newcomer_millis: Some(1000), ..Bars::default() };
    let expected = [
        "expired ms: 1000 > 0",
        "expired ms from the first request on: 1500 > 0",
        "ms between that and the operator's own count: 1500 > 200",
        "PATCH secrets: 4 > 3",
        "other requests, in thousandths of refreshes: 500 > 50",
        "Events: 300 > 220",
        "its tasks, likewise: 1500 > 1400",
        "calls over needed, in thousandths: 1500 > 1030",
        "0 of 1 ready",
        "a newcomer isn't ready",
    ];
    let asked = [("PATCH secrets", 4_u64), ("GET secrets", 1), ("POST events", 300)].map(|(kind, count)| (kind.to_owned(), count));
    let meanwhile = [40_u64, 60, 90].map(|tasks| (Usage { resident_kib: 1000, files: 50, ..Usage::default() }, tasks)).into();
    let figures = Figures { requests: ApiRequests(asked.into()), meanwhile, ..figures };
    assert_eq!(bars.broken(&figures), expected);
    let borne = Figures { all_ready_millis: Some(1), ..Figures::default() };
    assert!(borne.is_borne() && !Figures::default().is_borne() && !Figures { expired_in_all: 1, ..borne }.is_borne());
    let slow = Figures { needed: 1, refreshes: 1, all_ready_millis: Some(2), newcomer_millis: Some(1001), ..Figures::default() };
    let bars = Bars { all_ready_millis: Some(1), newcomer_millis: Some(1000), ..Bars::default() };
    assert_eq!(bars.broken(&slow), ["ms until all were ready: 2 > 1", "ms until a newcomer was ready: 1001 > 1000"]);
}
