use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::clock::Shift;
use crate::time::Instant;

fn metrics() -> (Metrics, Instant) {
    let clock = clock();
    (Metrics::new(clock, true), clock.instant())
}

fn clock() -> Clock {
    Clock::simulated(Box::leak(Box::<Shift>::default()))
}

fn identity(name: &str) -> Identity {
    Identity { namespace: "web".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") }
}

/// The lines of that metric, without its name.
fn told(metrics: &Metrics, name: &str) -> Vec<String> {
    let encoded = metrics.encode();
    let lines = encoded.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(['{', ' ']).map(str::to_owned));
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn calls_are_counted_by_what_they_mean_and_their_status() {
    let (metrics, _) = metrics();
    let took = Duration::from_millis(30);
    metrics.media_api_answered(Ok(()), Some(201), took);
    metrics.media_api_answered(Ok(()), Some(201), took);
    metrics.media_api_answered(Err(FailureClass::Throttled { retry_after: None }), Some(429), took);
    metrics.media_api_answered(Err(FailureClass::Unavailable), Some(503), took);
    metrics.media_api_answered(Err(FailureClass::Unavailable), None, Duration::from_secs(10));
    let calls = told(&metrics, "playback_grant_media_api_requests_total");
    let expected = [
        r#"result="Granted",code="201"} 2"#,
        r#"result="Throttled",code="429"} 1"#,
        r#"result="Unavailable",code="503"} 1"#,
        r#"result="Unavailable",code="none"} 1"#,
    ];
    assert_eq!(calls, expected);
    assert_eq!(told(&metrics, "playback_grant_media_api_request_duration_seconds_count"), ["5"]);
    let slow = told(&metrics, "playback_grant_media_api_request_duration_seconds_bucket");
    assert!(slow.contains(&r#"le="0.05"} 4"#.to_owned()) && slow.contains(&r#"le="0.025"} 0"#.to_owned()), "{slow:?}");
}

#[test]
fn refreshes_are_counted_by_reason_and_measured() {
    let (metrics, _) = metrics();
    metrics.refreshed(&Refreshed { took: Duration::from_millis(20), left: None, late: None });
    let late = Duration::from_millis(40);
    metrics.refreshed(&Refreshed { took: Duration::from_millis(50), left: Some(Duration::from_millis(4960)), late: Some(late) });
    metrics.refresh_failed(FailureClass::Forbidden);
    let refreshes = told(&metrics, "playback_grant_refreshes_total");
    assert_eq!(refreshes, [r#"result="failure",reason="Unauthorized"} 1"#, r#"result="success",reason="GrantIssued"} 2"#]);
    assert_eq!(told(&metrics, "playback_grant_refresh_duration_seconds_count"), ["2"]);
    assert_eq!(told(&metrics, "playback_grant_refresh_duration_seconds_sum"), ["0.07"]);
    assert_eq!(told(&metrics, "playback_grant_refresh_lateness_seconds_sum"), ["0.04"]);
    assert_eq!(told(&metrics, "playback_grant_remaining_life_seconds_sum"), ["4.96"]);
    assert_eq!(told(&metrics, "playback_grant_refresh_lateness_seconds_count"), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn expired_seconds_pass_without_anybody_telling() {
    let clock = clock();
    let (metrics, start) = (Metrics::new(clock, true), clock.instant());
    let seconds = Duration::from_secs;
    let [lobby, kiosk, stage, hall] = ["lobby", "kiosk", "stage", "hall"].map(Caller::from);
    metrics.stands(&lobby, &identity("lobby"), Some(Standing::Holds { expiry: start + seconds(15) }));
    metrics.stands(&kiosk, &identity("kiosk"), Some(Standing::Holds { expiry: start + seconds(60) }));
    metrics.stands(&stage, &identity("stage"), Some(Standing::Absent));
    metrics.stands(&hall, &identity("hall"), Some(Standing::Suspended));
    let states = |metrics: &Metrics| told(metrics, "playback_grants");
    let expected = [r#"state="absent"} 1"#, r#"state="expired"} 0"#, r#"state="fresh"} 2"#, r#"state="suspended"} 1"#];
    assert_eq!(
        (told(&metrics, "playback_grant_expired_seconds_total"), states(&metrics)),
        (vec!["0.0".to_owned()], expected.map(str::to_owned).to_vec())
    );
    tokio::time::sleep(seconds(22)).await;
    assert_eq!(told(&metrics, "playback_grant_expired_seconds_total"), ["7.0"]);
    let expected = [r#"state="absent"} 1"#, r#"state="expired"} 1"#, r#"state="fresh"} 1"#, r#"state="suspended"} 1"#];
    assert_eq!(states(&metrics), expected);
    let expiries = || told(&metrics, "playback_grant_expiry_timestamp_seconds");
    let [kiosk_expires, lobby_expired] = <[String; 2]>::try_from(expiries()).unwrap();
    let wall = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
    assert!(kiosk_expires.starts_with(r#"namespace="web",name="kiosk"} "#), "{kiosk_expires}");
    assert!(lobby_expired.starts_with(r#"namespace="web",name="lobby"} "#), "{lobby_expired}");
    assert!((wall(&kiosk_expires) - wall(&lobby_expired) - 45.0).abs() < 1e-3, "{kiosk_expires} {lobby_expired}");
    let in_38_s = clock.now().wall_at(clock.instant() + seconds(38)).duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
    assert!((wall(&kiosk_expires) - in_38_s).abs() < 0.1, "{kiosk_expires}, and is due at {in_38_s}");
    metrics.stands(&kiosk, &identity("kiosk"), Some(Standing::Suspended));
    metrics.forget(&lobby);
    assert_eq!(expiries(), [""; 0]);
    tokio::time::sleep(seconds(9)).await;
    assert_eq!(told(&metrics, "playback_grant_expired_seconds_total"), ["7.0"], "it is gone");
}

#[test]
fn a_series_for_each_request_is_told_only_where_it_is_asked_for() {
    let clock = Clock::simulated(Box::leak(Box::<Shift>::default()));
    let metrics = Metrics::new(clock, false);
    metrics.stands(&Caller::from("lobby"), &identity("lobby"), Some(Standing::Holds { expiry: clock.instant() }));
    assert!(!metrics.encode().contains("lobby"));
    assert_eq!(told(&metrics, "playback_grants").len(), 4, "and the states are");
}

#[test]
fn the_expiry_that_is_told_is_that_of_the_grant_that_came_last() {
    let (metrics, start) = metrics();
    let kiosk = Caller::from("kiosk");
    let told = |seconds| {
        metrics.stands(&kiosk, &identity("kiosk"), Some(Standing::Holds { expiry: start + Duration::from_secs(seconds) }));
        let lines = told(&metrics, "playback_grant_expiry_timestamp_seconds");
        let [line] = &lines[..] else { panic!("it is told once: {lines:?}") };
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let (first, second) = (told(60), told(120));
    assert!((second - first - 60.0).abs() < 1.0, "{first}, and then {second}");
}

#[test]
fn a_clock_is_told_by_how_much_it_is_ahead() {
    let (metrics, _) = metrics();
    metrics.media_api_clock_differs(SignedDuration::from_millis(-1500));
    assert_eq!(told(&metrics, "playback_grant_media_api_clock_difference_seconds"), ["-1.5"]);
}

/// Of all that is told the page says what it is, and it names nothing else.
#[test]
fn the_page_on_metrics_is_of_just_these() {
    let page = include_str!("../../../docs/metrics.md");
    let (metrics, start) = metrics();
    // What has labels is told once it has a value.
    metrics.media_api_answered(Ok(()), Some(201), Duration::ZERO);
    metrics.refresh_failed(FailureClass::Forbidden);
    metrics.api_server_answered("patch_secret", "ok");
    metrics.watch_failed("requests");
    metrics.event_told("published");
    metrics.stands(&Caller::from("lobby"), &identity("lobby"), Some(Standing::Holds { expiry: start }));
    metrics.lanes_are_told_by(|| Some(Figures::default()));
    let encoded = metrics.encode();
    let units = |name: &str, type_: &str| match type_ {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    };
    let types = encoded.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let told: BTreeMap<String, &str> = types.map(|(name, type_)| (units(name, type_), type_)).collect();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows = rows.filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once(" |")?.0)));
    let is_of_prometheus = |name: &String| name.starts_with("process_");
    let told: BTreeMap<_, _> = told.into_iter().filter(|(name, _)| !is_of_prometheus(name)).collect();
    assert_eq!(told, rows.filter(|(name, _)| !is_of_prometheus(name)).collect::<BTreeMap<_, _>>());
    // The labels that a row names are those of the series.
    for row in page.lines().filter_map(|line| line.strip_prefix("| `playback_grant")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = format!("playback_grant{}", cells[0].trim_end_matches('`'));
        let series = encoded.lines().filter_map(|line| line.strip_prefix(&*name)?.strip_prefix('{'));
        let labels: BTreeSet<&str> = series
            .flat_map(|series| series.split('"').step_by(2))
            .filter_map(|piece| piece.trim_start_matches(',').strip_suffix('='))
            .collect();
        // A label's name stands before its values, or alone.
        let named: BTreeSet<&str> = cells[2]
            .split("; ")
            .filter_map(|label| label.split(':').next())
            .flat_map(|names| names.split(", "))
            .map(|name| name.trim_matches('`'))
            .filter(|name| !name.is_empty())
            .collect();
        assert_eq!(labels, named, "{name}");
    }
}

#[test]
fn events_are_counted_by_what_became_of_them() {
    let (metrics, _) = metrics();
    metrics.event_told("published");
    metrics.event_told("dropped");
    assert_eq!(told(&metrics, "playback_grant_events_total"), [r#"result="dropped"} 1"#, r#"result="published"} 1"#]);
}

#[test]
fn errors_of_watches_are_counted_and_the_build_is_told() {
    let (metrics, _) = metrics();
    metrics.watch_failed("requests");
    assert_eq!(told(&metrics, "playback_grant_watch_errors_total"), [r#"watched="requests"} 1"#]);
    let build = told(&metrics, "playback_grant_build_info");
    assert!(build[0].starts_with(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\",commit=\"")), "{build:?}");
    assert!(metrics.encode().ends_with("# EOF\n"));
}

#[test]
fn the_lanes_are_told_as_they_stand() {
    let (metrics, _) = metrics();
    let silent = Figures { in_flight: 7, waiting: 3, silent: 1, joined: 2, ..Figures::default() };
    let told_figures = std::sync::Arc::new(Mutex::new(Some(silent)));
    let figures = told_figures.clone();
    metrics.lanes_are_told_by(move || *figures.lock().unwrap());
    metrics.lanes_are_told_by(|| None);
    assert_eq!(told(&metrics, "playback_grant_lanes"), [r#"state="closed"} 0"#, r#"state="open"} 0"#, r#"state="silent"} 1"#]);
    let plain = |name: &str| told(&metrics, &format!("playback_grant_media_api_{name}")).concat();
    assert_eq!([plain("in_flight"), plain("waiting"), plain("joined_calls_total")], ["7", "3", "2"]);
    *told_figures.lock().unwrap() =
        Some(Figures { open: 1, closed: 2, limited: 1, own_rate: 18.5, shortfall: 4, joined: 5, ..Figures::default() });
    assert_eq!(told(&metrics, "playback_grant_lanes"), [r#"state="closed"} 2"#, r#"state="open"} 1"#, r#"state="silent"} 0"#]);
    assert_eq!([plain("limited_accounts"), plain("own_rate"), plain("shortfall"), plain("joined_calls_total")], ["1", "18.5", "4", "5"]);
    *told_figures.lock().unwrap() = None;
    assert_eq!(plain("in_flight"), "0", "as last told");
}

#[test]
fn dropped_lines_of_the_log_are_told_as_they_stand() {
    let (metrics, _) = metrics();
    let dropped = || told(&metrics, "playback_grant_log_lines_dropped_total").concat();
    assert_eq!(dropped(), "0");
    let lines = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(3));
    let counted = lines.clone();
    metrics.dropped_lines_are_told_by(move || counted.load(std::sync::atomic::Ordering::Relaxed));
    metrics.dropped_lines_are_told_by(|| 99);
    assert_eq!(dropped(), "3");
    lines.store(5, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(dropped(), "5");
}

#[test]
fn the_process_is_told_of() {
    let (metrics, _) = metrics();
    let value = |name: &str| told(&metrics, name).concat().parse::<f64>().unwrap();
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") > value("process_open_fds"));
    assert!(value("process_threads") >= 1.0);
    // The clock of the test is no witness: the process started after 2020 and before it is asked.
    assert!(value("process_start_time_seconds") > 1.5e9);
    let before = value("process_cpu_seconds_total");
    // Tests beside count too, so that not a single round may be needed.
    let rounds = (0..100_000_u32).find(|_| {
        std::hint::black_box((0..1_000_000_u64).fold(0, |sum: u64, n| sum.wrapping_mul(31).wrapping_add(n)));
        value("process_cpu_seconds_total") > before
    });
    assert!(rounds.is_some(), "processor time goes by");
}

#[tokio::test]
async fn the_tasks_that_have_not_ended_are_told() {
    let (metrics, _) = metrics();
    let tasks = || told(&metrics, "tokio_alive_tasks").concat();
    assert_eq!(tasks(), "0");
    let waits = [(); 2].map(|()| tokio::spawn(std::future::pending::<()>()));
    assert_eq!(tasks(), "2");
    for task in waits {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(tasks(), "0");
}

#[test]
fn the_api_servers_answers_are_counted_by_kind_and_result() {
    let (metrics, _) = metrics();
    metrics.api_server_answered("patch_secret", "ok");
    metrics.api_server_answered("patch_secret", "ok");
    metrics.api_server_answered("patch_secret", "conflict");
    let requests = told(&metrics, "playback_grant_api_server_requests_total");
    assert_eq!(requests, [r#"request="patch_secret",result="conflict"} 1"#, r#"request="patch_secret",result="ok"} 2"#]);
}

#[test]
fn of_scrapes_at_once_each_is_whole() {
    const SERIES: usize = 50;
    let (metrics, start) = metrics();
    for n in 0..SERIES {
        let (name, expiry) = (format!("lobby-{n}"), start + Duration::from_secs(15));
        metrics.stands(&Caller::from(name.as_str()), &identity(&name), Some(Standing::Holds { expiry }));
    }
    let told_of = || told(&metrics, "playback_grant_expiry_timestamp_seconds").len();
    let least = std::thread::scope(|scope| {
        let scrapers: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..50).map(|_| told_of()).min())).collect();
        scrapers.into_iter().filter_map(|scraper| scraper.join().unwrap()).min()
    });
    assert_eq!(least, Some(SERIES));
}
