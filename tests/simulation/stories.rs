//! Single faults, told by hand, with figures for what they may cost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::api::ListParams;
use playback_grant_testbed::Asked;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::media_api::{Fault, Whom};
use crate::observer::{Held, Ledger, observe};
use crate::world::{self, Operator, World};

const REQUESTS: usize = 20;
const TTL: u32 = 15;
const LATENCY: Duration = Duration::from_millis(20);
const MINUTE: Duration = Duration::from_mins(1);

/// A world with requests, and an eye on their Secrets.
struct Story<'a> {
    world: &'a World,
    ledger: Arc<Mutex<Ledger>>,
    _observer: AbortOnDropHandle<()>,
}

fn live(story: impl AsyncFnOnce(&Story<'_>)) {
    world::live(LATENCY, async |world| {
        let ledger = Arc::<Mutex<Ledger>>::default();
        let observer = observe(world.server.aside().client(), world.clock, world.start, ledger.clone());
        let observer = AbortOnDropHandle::new(tokio::spawn(observer));
        world.make_credentials(0, 0).await;
        for n in 0..REQUESTS {
            world.make_request(n, &json!({"ttlSeconds": TTL})).await;
        }
        story(&Story { world, ledger, _observer: observer }).await;
    });
}

impl Story<'_> {
    /// What each Secret held so far.
    fn held(&self) -> BTreeMap<String, Held> {
        self.ledger.lock().unwrap().settle(self.world.now()).clone()
    }

    fn ensure_nothing_expired(&self) {
        let held = self.held();
        assert!(held.len() == REQUESTS && held.values().all(|held| held.expired.is_zero()), "{held:?}");
    }

    /// Checks that the operator counts what stood there.
    fn ensure_counted(&self, operator: &Operator) {
        let seen: Duration = self.held().values().map(|held| held.expired).sum();
        let counted = operator.counts_expired();
        assert!(seen.abs_diff(counted) <= AGREES * u32::try_from(REQUESTS).unwrap(), "{seen:?} were seen, and {counted:?} counted");
    }

    /// Checks that no Secret has held an expired grant for longer than until `until`, and a second more; `before` is what they held when
    /// grants became impossible to get or to write.
    fn ensure_no_more_than_forced(&self, before: &BTreeMap<String, Held>, until: Duration) {
        let held = self.held();
        assert_eq!(held.len(), before.len());
        for (name, held) in held {
            let forced = until.saturating_sub(before[&name].expiry);
            let expired = held.expired.saturating_sub(before[&name].expired);
            assert!(
                expired <= forced + Duration::from_secs(1),
                "{name} held an expired grant for {expired:?}, of which {forced:?} were forced"
            );
        }
    }
}

/// By how much, for each request, the operator's own count may differ: it knows of what it has written a moment later.
const AGREES: Duration = Duration::from_millis(50);

/// Those of another namespace have numbers from here on.
const ELSEWHERE: usize = 1000;

pub fn writes_that_hang_in_one_namespace_cost_the_others_nothing() {
    live(async |story| {
        let Story { world, .. } = story;
        world.make_credentials_in("stuck", 0, 0).await;
        for n in ELSEWHERE..ELSEWHERE + 10 * REQUESTS {
            world.make_request_in("stuck", n, &json!({"ttlSeconds": TTL})).await;
        }
        let _operator = world.operator();
        tokio::time::sleep(MINUTE).await;
        let (before, begins) = (story.held(), world.now());
        let is_elsewhere = |name: &str| name.rsplit_once('-').and_then(|(_, n)| n.parse::<usize>().ok()).unwrap() >= ELSEWHERE;
        assert_eq!(before.keys().filter(|name| is_elsewhere(name)).count(), 10 * REQUESTS);
        world.server.suffer(|trouble| trouble.hangs_in = Some("stuck"));
        tokio::time::sleep(MINUTE / 2).await;
        // What fails by chance doesn't wait behind what hangs.
        world.server.suffer(|trouble| trouble.unavailable = true);
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.server.suffer(|trouble| trouble.unavailable = false);
        tokio::time::sleep(MINUTE / 2).await;
        world.server.suffer(|trouble| trouble.hangs_in = None);
        let until = world.now();
        let (stuck, healthy): (BTreeMap<_, _>, BTreeMap<_, _>) = story.held().into_iter().partition(|(name, _)| is_elsewhere(name));
        assert!(healthy.values().all(|held| held.expired.is_zero()), "{healthy:?}");
        assert!(healthy.iter().all(|(name, held)| held.grants >= before[name].grants + 5), "{healthy:?}");
        assert!(stuck.values().all(|held| !held.expired.is_zero()), "nothing has hung");
        // All of them are told so, though few are tried at once.
        let told = world.requests_in("stuck").list(&ListParams::default()).await.unwrap();
        let unready = told.iter().filter(|request| {
            let conditions = &request.status.as_ref().unwrap().conditions;
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == "SecretWriteFailed")
        });
        assert_eq!(unready.count(), 10 * REQUESTS);
        let asked = world.server.asked();
        let hung = asked.iter().filter(|asked| asked.code == 500 && begins <= asked.at && asked.at < until).count();
        // Half of all that is at work, each given up after 2 s at the soonest; all, until the first is.
        assert!(hung <= 16 * 31 + 32, "{hung} writes that hung in a minute");
        tokio::time::sleep(MINUTE).await;
        story.ensure_no_more_than_forced(&before, until + Duration::from_secs(10));
    });
}

/// How often so many requests are refreshed in a minute: due 10 s after the last time, at most 4 % earlier.
fn calls_in(minutes: usize) -> std::ops::RangeInclusive<usize> {
    REQUESTS * minutes * 6..=REQUESTS * (1 + minutes * 60_000 / 9600)
}

fn writes(asked: &[Asked], what: &str) -> usize {
    asked.iter().filter(|asked| ["POST", "PATCH"].contains(&asked.method.as_str()) && asked.path.contains(what)).count()
}

pub fn ten_minutes_of_quiet_cost_no_expired_second_and_two_writes_a_refresh() {
    live(async |story| {
        let operator = story.world.operator();
        tokio::time::sleep(MINUTE * 10).await;
        let (calls, asked) = (story.world.media.calls(), story.world.server.asked());
        assert!(calls_in(10).contains(&calls), "{calls} calls");
        let (secrets, statuses) = (writes(&asked, "/secrets"), writes(&asked, "/status"));
        assert!((calls - 5..=calls).contains(&secrets), "{secrets} writes of Secrets, {calls} calls");
        // One more each tells that the first grant is being asked for.
        assert!(statuses <= calls + REQUESTS && statuses + 5 >= calls, "{statuses} statuses, {calls} calls");
        story.ensure_nothing_expired();
        assert!(operator.counts_expired().is_zero());
        assert!(story.held().values().all(|held| held.grants >= 60), "{:?}", story.held());
    });
}

pub fn a_restart_makes_no_call_that_was_not_due() {
    live(async |story| {
        let mut operator = story.world.operator();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(29)).await;
            drop(operator);
            tokio::time::sleep(Duration::from_secs(1)).await;
            operator = story.world.operator();
        }
        tokio::time::sleep(MINUTE * 5).await;
        let calls = story.world.media.calls();
        assert!(calls <= *calls_in(10).end(), "{calls} calls");
        story.ensure_nothing_expired();
    });
}

pub fn two_operators_cost_no_expired_second_and_at_most_twice_the_calls() {
    live(async |story| {
        let _operators = [story.world.operator(), story.world.operator()];
        tokio::time::sleep(MINUTE * 5).await;
        let calls = story.world.media.calls();
        assert!(calls <= 2 * calls_in(5).end(), "{calls} calls");
        story.ensure_nothing_expired();
    });
}

pub fn a_media_api_that_refuses_costs_what_it_must_and_a_few_calls_a_second() {
    for seconds in [1, 4, 7, 11, 17, 31, 61] {
        live(async |story| {
            let Story { world, .. } = story;
            let operator = world.operator();
            tokio::time::sleep(MINUTE).await;
            let (before, calls) = (story.held(), world.media.calls());
            world.media.begin(0, Whom::Everyone, Fault::Refused);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            world.media.end(0);
            let (until, tried) = (world.now(), world.media.calls() - calls);
            assert!(tried <= 10 + 5 * usize::try_from(seconds).unwrap(), "{tried} calls in {seconds} s");
            tokio::time::sleep(MINUTE).await;
            story.ensure_no_more_than_forced(&before, until);
            story.ensure_counted(&operator);
        });
    }
}

pub fn an_api_server_that_is_held_costs_what_it_must() {
    for seconds in [1, 4, 8, 13, 29] {
        live(async |story| {
            let Story { world, .. } = story;
            let operator = world.operator();
            tokio::time::sleep(MINUTE).await;
            let before = story.held();
            world.server.suffer(|trouble| trouble.held = true);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            world.server.suffer(|trouble| trouble.held = false);
            let until = world.now();
            tokio::time::sleep(MINUTE).await;
            story.ensure_no_more_than_forced(&before, until);
            story.ensure_counted(&operator);
        });
    }
}
