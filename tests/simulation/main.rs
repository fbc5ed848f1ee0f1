//! The whole controller on an API server and a Media API inside this process, on time that passes when everybody waits: an hour in seconds.
//!
//! `cargo test --test simulation` tells the stories and lives through a fixed set of random histories; `make simulate SEEDS=…` through as many as
//! asked. Each history has a process of its own, in which all that is drawn follows from one seed: what fails fails again.

#![expect(clippy::print_stdout, reason = "it tells what came of the histories")]
#![expect(clippy::unwrap_used, reason = "a world that cannot be made is a test that fails")]

mod cast;
mod ending;
mod facts;
mod happenings;
mod history;
mod judge;
mod live;
mod media_api;
mod observer;
mod others;
mod requests;
mod seeds;
mod stories;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// So many histories belong to the tests.
const FIXED_SEEDS: u64 = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["history"] => seeds::child(),
        ["seeds", first, count] => seeds::all(first, count),
        ["told", seed] => seeds::told(seed),
        ["until-one-fails", most] => seeds::until_one_fails(most),
        _ => libtest_mimic::run(&Arguments::from_args(), tests()).exit_code(),
    }
}

fn tests() -> Vec<Trial> {
    let told = |name: &str, story: fn()| {
        Trial::test(name, move || {
            story();
            Ok(())
        })
    };
    vec![
        told("ten_minutes_of_quiet_cost_no_expired_second_and_two_writes_a_refresh", || {
            stories::ten_minutes_of_quiet_cost_no_expired_second_and_two_writes_a_refresh();
        }),
        told("a_restart_makes_no_call_that_was_not_due", stories::a_restart_makes_no_call_that_was_not_due),
        told("two_operators_cost_no_expired_second_and_at_most_twice_the_calls", || {
            stories::two_operators_cost_no_expired_second_and_at_most_twice_the_calls();
        }),
        told("a_media_api_that_refuses_costs_what_it_must_and_a_few_calls_a_second", || {
            stories::a_media_api_that_refuses_costs_what_it_must_and_a_few_calls_a_second();
        }),
        told("an_api_server_that_is_held_costs_what_it_must", stories::an_api_server_that_is_held_costs_what_it_must),
        told("writes_that_hang_in_one_namespace_cost_the_others_nothing", || {
            stories::writes_that_hang_in_one_namespace_cost_the_others_nothing();
        }),
        told("a_secret_that_holds_an_expired_grant_for_seven_seconds_is_told_so", observer::seven_seconds),
        told("the_judge_blames_what_nothing_excuses", judge::self_test),
        told("a_status_about_an_older_spec_is_blamed", facts::self_test),
        Trial::test("random_histories", || seeds::fixed(FIXED_SEEDS).map_err(Into::into)),
    ]
}
