//! Clocks that are wrong, jump or stop, and a machine that sleeps: nothing expires for it, and a restart across it costs one call.
//!
//! The wall clock of the machine can't be set for one test, so the operator runs inside this process, with clocks of its own; all else is real.
//! What can be shown with the program is.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use playback_grant_operator::clock::{Clock, Shift};
use playback_grant_operator::controller::Controller;
use playback_grant_operator::media::dispatcher::IssueGrants;
use playback_grant_operator::media::{CallError, CallLimits, Credentials, Grant, GrantCall, MediaApiUrl, MediaClient, MediaClientConfig};
use playback_grant_operator::simulator::PlaybackToken;
use playback_grant_operator::telemetry::{Gates, Metrics};
use playback_grant_testbed::{Stopwatch, client_of, unix_millis};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::harness::{ClusterTest, Scene, test};
use crate::observe::{most_refreshes, observe};
use crate::stage::{A_WHILE, ACCOUNT, Stage, data, eventually, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("clocks::a_wall_clock_set_by_an_hour_costs_nothing", a_wall_clock_set_by_an_hour_costs_nothing),
        test("clocks::after_a_restart_a_clock_set_meanwhile_costs_one_call", after_a_restart_a_clock_set_meanwhile_costs_one_call),
        test("clocks::after_a_sleep_what_has_expired_is_refreshed_at_once", after_a_sleep_what_has_expired_is_refreshed_at_once),
        test("clocks::after_a_sleep_what_is_fresh_is_left_alone", after_a_sleep_what_is_fresh_is_left_alone),
        test("clocks::a_process_that_was_held_goes_on_with_one_call_each", a_process_that_was_held_goes_on_with_one_call_each),
        test("clocks::a_media_api_an_hour_off_is_told_of_once", a_media_api_an_hour_off_is_told_of_once),
    ]
}

const HOUR: i64 = 3600;

/// So long that nothing is due by itself while a test runs.
fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

/// A call for `long` that comes sooner than this was not waited for until it was due by the timer.
const SOON: Duration = Duration::from_secs(40);

/// The operator inside this process. It ends when it is dropped, as by a kill.
struct Inside(Option<Runtime>);

impl Inside {
    async fn start(stage: &Stage, shift: &'static Shift) -> Result<Self> {
        let (namespace, url) = (stage.namespace.clone(), stage.simulator.base_url());
        // Asked for here: a connection that the tests share must not end with this operator's runtime.
        let kubeconfig = stage.plane.service_account_kubeconfig(ACCOUNT.0, ACCOUNT.1).await?;
        let clock = Clock::shifted(shift);
        let base_url = MediaApiUrl::parse(&url, false)?;
        let config = MediaClientConfig { base_url, ca_file: None, wall_clock: Arc::new(move || clock.wall()) };
        let issuer = Arc::new(MediaApi(MediaClient::new(&config)?));
        let runtime = Runtime::new()?;
        let running = async move {
            // Its connections belong to this runtime, and end with it.
            let client = client_of(&kubeconfig).await?;
            let (gates, metrics) = (Arc::new(Gates::new(clock)), Arc::new(Metrics::new(clock, false)));
            let (namespaces, stop) = (vec![namespace], CancellationToken::new());
            Controller {
                client,
                issuer,
                namespaces,
                clock,
                max_in_flight: 16,
                status_interval: std::time::Duration::ZERO,
                gates,
                metrics,
                stop,
            }
            .run()
            .await;
            anyhow::bail!("it ended by itself")
        };
        runtime.spawn(async {
            let ended: Result<()> = running.await;
            eprintln!("the operator inside this process doesn't run: {:?}", ended.err());
        });
        Ok(Self(Some(runtime)))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct MediaApi(MediaClient);

impl IssueGrants for MediaApi {
    fn issue(&self, call: GrantCall, credentials: Arc<Credentials>) -> BoxFuture<'_, Result<Grant, CallError>> {
        let limits = CallLimits { connect: Duration::from_secs(2), total: Duration::from_secs(10) };
        async move { self.0.create_playback_grant(&call, &credentials, limits).await }.boxed()
    }
}

fn shift() -> &'static Shift {
    Box::leak(Box::default())
}

async fn a_wall_clock_set_by_an_hour_costs_nothing(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let shift = shift();
    let _operator = Inside::start(&stage, shift).await?;
    // Refreshed after 3 s of 6.
    let short = json!({"ttlSeconds": 6, "refreshBeforeExpirySeconds": 3});
    stage.ready_request("lobby", 1, &short).await?;
    stage.ready_request("kiosk", 2, &long()).await?;
    let stopwatch = Stopwatch::start();
    let set_and_look_on = async {
        for set in [HOUR, -HOUR, -HOUR, HOUR] {
            shift.set_wall(set);
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        Ok(())
    };
    let observed = observe(&stage, set_and_look_on).await?;
    observed.ensure_told(["lobby", "kiosk"], &[(&["Ready=True GrantIssued"], 0)])?;
    let complaints = observed.judge.complaints(["lobby"]);
    ensure!(complaints.is_empty(), "{}", complaints.join("; "));
    // In 28 s every 3 s at the least: a clock that is set forward brings no refresh, and one set back delays none.
    let (refreshes, most) = (u64::from(observed.judge.record("lobby").refreshes()), most_refreshes(6, 3, stopwatch.elapsed())?);
    ensure!((7..=most).contains(&refreshes), "refreshed {refreshes} times, at most {most}");
    ensure!(stage.calls(2) == 1, "what is fresh was asked for {} times", stage.calls(2));
    Ok(())
}

async fn after_a_restart_a_clock_set_meanwhile_costs_one_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let shift = shift();
    let mut operator = Inside::start(&stage, shift).await?;
    stage.ready_request("lobby", 1, &long()).await?;
    for (calls, set) in (2..).zip([HOUR, -HOUR]) {
        let before = stage.secrets.get("lobby").await?;
        drop(operator);
        shift.set_wall(set);
        operator = Inside::start(&stage, shift).await?;
        let stopwatch = Stopwatch::start();
        // Set forward, the grant seems to be of the past; set back, of the future. What can't be believed is replaced, once.
        stage.holds("lobby", "refreshed", |secret| data(secret, "grant") != data(&before, "grant")).await?;
        ensure!(stopwatch.elapsed() < SOON, "what can't be believed was believed for a life");
        let request = stage.ready("lobby").await?;
        let written = stage.secrets.get("lobby").await?;
        ensure!(status(&request).grant.map(|grant| grant.expiry_time) == data(&written, "expiryTime"), "two expiries");
        tokio::time::sleep(A_WHILE).await;
        ensure!(stage.calls(1) == calls, "set by {set} s: {} calls instead of {calls}", stage.calls(1));
    }
    // And none, where the clock is as it was.
    drop(operator);
    let _operator = Inside::start(&stage, shift).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.calls(1) == 3, "a restart alone brought {} calls", stage.calls(1) - 3);
    stage.ready("lobby").await.map(drop)
}

async fn after_a_sleep_what_has_expired_is_refreshed_at_once(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let shift = shift();
    let operator = Inside::start(&stage, shift).await?;
    for (n, name) in [(1, "lobby"), (2, "kiosk")] {
        stage.ready_request(name, n, &long()).await?;
    }
    let stopwatch = Stopwatch::start();
    let refreshed = async |calls: u64| {
        let both = async || Ok((stage.calls(1), stage.calls(2)));
        eventually("both were refreshed", both, |both| *both == (calls, calls), |both| *both).await
    };
    shift.sleep(70);
    refreshed(2).await?;
    ensure!(stopwatch.elapsed() < SOON, "only when the timer, which slept too, had run out");
    for name in ["lobby", "kiosk"] {
        stage.ready(name).await?;
    }
    // The same across a restart: the Secrets tell that their grants are past.
    drop(operator);
    shift.sleep(70);
    let _operator = Inside::start(&stage, shift).await?;
    refreshed(3).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!((stage.calls(1), stage.calls(2)) == (3, 3), "{} and {} calls in the end", stage.calls(1), stage.calls(2));
    stage.ready("lobby").await.map(drop)
}

async fn after_a_sleep_what_is_fresh_is_left_alone(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let shift = shift();
    let _operator = Inside::start(&stage, shift).await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let (before, last) = (stage.secrets.get("lobby").await?, stage.last_asked().await?);
    shift.sleep(20);
    tokio::time::sleep(A_WHILE).await;
    let asked = stage.asked(last.as_ref()).await?;
    ensure!(asked.is_empty() && stage.secrets.get("lobby").await? == before, "for a sleep of 20 s it asked {asked:?}");
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn a_process_that_was_held_goes_on_with_one_call_each(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    for n in 1..=5 {
        stage.ready_request(&format!("request-{n}"), n, &json!({"ttlSeconds": 10, "refreshBeforeExpirySeconds": 5})).await?;
    }
    operator.process.stop();
    let before: Vec<u64> = (1..=5).map(|n| stage.calls(n)).collect();
    tokio::time::sleep(Duration::from_secs(12)).await;
    operator.process.cont();
    let is_fresh = |secret: &Secret| {
        let token = data(secret, "playbackUrl").and_then(|url| PlaybackToken::decode(&url));
        token.is_some_and(|token| unix_millis() < token.expires_at_unix_ms())
    };
    let fresh = async || Ok(stage.secrets.list(&ListParams::default()).await?.items.iter().filter(|secret| is_fresh(secret)).count());
    eventually("all are fresh again", fresh, |fresh| *fresh == 5, |fresh| *fresh).await?;
    for (n, before) in (1..=5).zip(&before) {
        // A call that was under way when it was held may have been answered, and come too late.
        let calls = stage.calls(n) - before;
        ensure!((1..=2).contains(&calls), "request-{n}: {calls} calls to catch up with two missed refreshes");
    }
    for n in 1..=5 {
        stage.ready(&format!("request-{n}")).await?;
    }
    ensure!(operator.log()?.contains("this process has stood still"), "the log doesn't tell of it");
    Ok(())
}

async fn a_media_api_an_hour_off_is_told_of_once(scene: Scene) -> Result<()> {
    for skew in ["1h", "-1h"] {
        let namespace = scene.plane.create_namespace("skewed").await?;
        let stage = Stage::set(&Scene { namespace, ..scene.clone() }).await?;
        stage.fault(&format!("date-skew={skew}"))?;
        let operator = stage.operator().await?;
        stage.ready_request("lobby", 1, &json!({"ttlSeconds": 6, "refreshBeforeExpirySeconds": 3})).await?;
        stage.ready_request("kiosk", 2, &long()).await?;
        let look_on = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(())
        };
        let observed = observe(&stage, look_on).await?;
        observed.ensure_fresh(["lobby"])?;
        observed.ensure_told(["lobby", "kiosk"], &[(&["Ready=True GrantIssued"], 0)])?;
        ensure!(observed.judge.record("lobby").refreshes() >= 2, "{} refreshes", observed.judge.record("lobby").refreshes());
        let secret = stage.secrets.get("kiosk").await?;
        let token = data(&secret, "playbackUrl").and_then(|url| PlaybackToken::decode(&url)).context("no grant")?;
        let expiry: k8s_openapi::jiff::Timestamp = data(&secret, "expiryTime").context("no expiryTime")?.parse()?;
        let claimed = u64::try_from(expiry.as_millisecond())?;
        ensure!(claimed <= token.expires_at_unix_ms(), "the Secret claims a longer life than the grant has");
        let log = operator.log()?;
        let told: Vec<&str> = log.lines().filter(|line| line.contains("the Media API's clock differs from this machine's")).collect();
        let [told] = told[..] else { bail!("{skew}: told of {} times in {} calls", told.len(), stage.calls(1) + stage.calls(2)) };
        let (_, metrics) = operator.get("/metrics").await?;
        let ahead = metrics.lines().find_map(|line| line.strip_prefix("playback_grant_media_api_clock_difference_seconds "));
        let logged = told.split_once("seconds=").map(|(_, seconds)| seconds);
        let expected = if skew == "1h" { 3600.0 } else { -3600.0 };
        for told in [ahead, logged] {
            let told: f64 = told.context("no difference is told")?.trim().parse()?;
            ensure!((told - expected).abs() < 5.0, "{skew}: the difference is told as {told}");
        }
        // A restart believes the operator's own times, not the Media API's.
        operator.kill9().await?;
        let _operator = stage.operator().await?;
        tokio::time::sleep(A_WHILE).await;
        ensure!(stage.calls(2) == 1, "{skew}: what is fresh was asked for {} times", stage.calls(2));
    }
    Ok(())
}
