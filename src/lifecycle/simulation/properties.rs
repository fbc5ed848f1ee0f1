//! What holds through every history.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::acts::{Act, name};
use super::histories::{self, EVENTFUL, History};
use super::judge::Tally;
use super::world::{World, start};

/// A slow look, a back-off and a second after everything is mended, all is well again.
const SETTLING: Duration = Duration::from_secs(60 + 60 + 30 + 5);

/// The same histories in each run of the tests; `PROPTEST_CASES` asks for so many others.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases: 48, rng_seed: RngSeed::Fixed(7), ..config } }
}

fn live_through(mut history: History) -> World {
    let end = start() + EVENTFUL;
    history.acts.push((end, Act::Heal));
    let mut world = World::new(&history);
    world.run_until(end + SETTLING);
    for n in 0..world.judge.requests() {
        world
            .judge
            .require(world.is_well(n), || format!("{} isn't well in the end: {:?}", name(n), world.server.requests[&name(n)].status));
    }
    world
}

/// What has begun when a history is over may end.
fn let_end(world: &mut World, has_ended: impl Fn(&Tally) -> bool) {
    for _ in 0..20 {
        if world.judge.tallies.iter().all(&has_ended) {
            break;
        }
        world.run_until(world.now + Duration::from_millis(50));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn in_quiet_no_second_is_expired_and_a_refresh_is_one_call_and_two_writes(history in histories::quiet()) {
        let mut world = live_through(history);
        let_end(&mut world, |tally| tally.status_writes == tally.calls + 1);
        for tally in &world.judge.tallies {
            prop_assert_eq!(tally.bad, Duration::ZERO);
            prop_assert!(tally.calls >= 3);
            prop_assert_eq!(tally.secret_writes, tally.calls);
            // One says that the first grant is being asked for.
            prop_assert_eq!(tally.status_writes, tally.calls + 1);
            // The credentials are read, and the Secret is looked for.
            prop_assert_eq!(tally.looks, 2);
        }
    }

    /// Each Secret is read once, as are its credentials; what is fresh is asked for by nobody, and no status is written for it.
    #[test]
    fn another_operator_takes_over_what_is_fresh(history in histories::handed_over()) {
        let mut world = live_through(history);
        let_end(&mut world, |tally| tally.calls <= tally.secret_writes + 1);
        for tally in &world.judge.tallies {
            prop_assert_eq!(tally.bad, Duration::ZERO);
            prop_assert_eq!(tally.looks, 4);
            // A call or a write under way when the first operator ended may be made once more.
            prop_assert!(tally.secret_writes <= tally.calls && tally.calls <= tally.secret_writes + 1);
            prop_assert!(tally.status_writes <= tally.secret_writes + 1);
        }
    }

    #[test]
    fn a_failing_media_api_costs_what_it_must_and_no_more(history in histories::media_failing()) {
        live_through(history);
    }

    #[test]
    fn one_poisoned_request_harms_only_itself(history in histories::poisoned()) {
        live_through(history);
    }

    #[test]
    fn a_failing_api_server_costs_what_it_must_and_no_more(history in histories::server_failing()) {
        live_through(history);
    }

    #[test]
    fn what_others_do_to_secrets_is_mended(history in histories::meddled_with()) {
        live_through(history);
    }

    /// Repairs come at once, then after 1, 2, 4 … 60 s: seven in two minutes. Restores do so after the third: nine. New grants wait for nobody.
    #[test]
    fn two_controllers_never_fight(history in histories::rivalled()) {
        let mut world = World::new(&history);
        world.run_until(start() + EVENTFUL);
        let (tally, most) = (&world.judge.tallies[0], if matches!(history.rival, Some(Act::DeleteSecret(_))) { 9 } else { 7 });
        prop_assert!(tally.secret_writes >= 8 && tally.secret_writes <= tally.calls + most, "{} writes, {} calls", tally.secret_writes, tally.calls);
        let status = world.server.requests[&name(0)].status.clone().unwrap();
        prop_assert!(status.conditions.iter().any(|condition| condition.type_ == "Stalled" && condition.reason == "SecretConflict"));
        live_through(history);
    }

    /// The grant in hand is signed anew, and nothing is asked for that isn't due.
    #[test]
    fn a_token_follows_what_decides_it(history in histories::tokens_change()) {
        live_through(history);
    }

    #[test]
    fn every_change_of_mind_is_followed(history in histories::used()) {
        live_through(history);
    }

    #[test]
    fn restarts_and_jumps_of_the_wall_clock_lose_nothing(history in histories::restarted()) {
        live_through(history);
    }

    #[test]
    fn everything_at_once_ends_well(history in histories::everything()) {
        live_through(history);
    }
}
