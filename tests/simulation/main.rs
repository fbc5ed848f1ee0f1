//! The whole controller on an API server and a Media API inside this process, on time that passes when everybody waits: an hour in seconds.

#![expect(clippy::unwrap_used, reason = "a world that cannot be made is a test that fails")]

mod media_api;
mod observer;
mod world;

use std::time::Duration;

use playback_grant_testbed::Asked;
use world::live;

const REQUESTS: u32 = 20;
const TTL: u32 = 15;
const MINUTE: Duration = Duration::from_mins(1);

/// How often so many requests are refreshed in a minute: due 10 s after the last time, at most 4 % earlier.
fn calls_in(minutes: usize) -> std::ops::RangeInclusive<usize> {
    let requests = REQUESTS as usize;
    requests * minutes * 6..=requests * (1 + minutes * 60_000 / 9600)
}

fn writes(asked: &[Asked], what: &str) -> usize {
    asked.iter().filter(|asked| ["POST", "PATCH"].contains(&asked.method.as_str()) && asked.path.contains(what)).count()
}

#[test]
fn ten_minutes_of_quiet_cost_no_expired_second_and_two_writes_a_refresh() {
    live(REQUESTS, TTL, async |world| {
        let _operator = world.operator();
        tokio::time::sleep(MINUTE * 10).await;
        let (calls, asked) = (world.media.calls(), world.server.asked());
        assert!(calls_in(10).contains(&calls), "{calls} calls");
        let (secrets, statuses) = (writes(&asked, "/secrets"), writes(&asked, "/status"));
        // Those of the furnishing aside: the credentials.
        assert!((calls - 5..=calls).contains(&(secrets - 1)), "{secrets} writes of Secrets, {calls} calls");
        // One more each tells that the first grant is being asked for.
        assert!(statuses <= calls + REQUESTS as usize && statuses + 5 >= calls, "{statuses} statuses, {calls} calls");
        assert!(world.held().values().all(|held| held.expired.is_zero() && held.grants >= 60), "{:?}", world.held());
    });
}

#[test]
fn a_restart_makes_no_call_that_was_not_due() {
    live(REQUESTS, TTL, async |world| {
        let mut operator = world.operator();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(29)).await;
            drop(operator);
            tokio::time::sleep(Duration::from_secs(1)).await;
            operator = world.operator();
        }
        tokio::time::sleep(MINUTE * 5).await;
        let calls = world.media.calls();
        assert!(calls <= *calls_in(10).end(), "{calls} calls");
        assert!(world.held().values().all(|held| held.expired.is_zero()), "{:?}", world.held());
    });
}

#[test]
fn two_operators_cost_no_expired_second_and_at_most_twice_the_calls() {
    live(REQUESTS, TTL, async |world| {
        let _operators = [world.operator(), world.operator()];
        tokio::time::sleep(MINUTE * 5).await;
        let calls = world.media.calls();
        assert!(calls <= 2 * calls_in(5).end(), "{calls} calls");
        assert!(world.held().values().all(|held| held.expired.is_zero()), "{:?}", world.held());
    });
}

#[test]
fn a_media_api_that_refuses_costs_what_it_must_and_a_few_calls_a_second() {
    for seconds in [1, 4, 7, 11, 17, 31, 61] {
        live(REQUESTS, TTL, async |world| {
            let _operator = world.operator();
            tokio::time::sleep(MINUTE).await;
            let (before, calls) = (world.held(), world.media.calls());
            world.media.refuse(true);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            world.media.refuse(false);
            let (until, tried) = (world.now(), world.media.calls() - calls);
            assert!(tried <= 10 + 5 * usize::try_from(seconds).unwrap(), "{tried} calls in {seconds} s");
            tokio::time::sleep(MINUTE).await;
            world.ensure_no_more_than_forced(&before, until);
        });
    }
}

#[test]
fn an_api_server_that_is_held_costs_what_it_must() {
    for seconds in [1, 4, 8, 13, 29] {
        live(REQUESTS, TTL, async |world| {
            let _operator = world.operator();
            tokio::time::sleep(MINUTE).await;
            let before = world.held();
            world.server.hold();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            world.server.release();
            let until = world.now();
            tokio::time::sleep(MINUTE).await;
            world.ensure_no_more_than_forced(&before, until);
        });
    }
}
