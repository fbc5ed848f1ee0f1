//! That a fault's end is felt at once, wherever the fault has left the lanes.

use std::time::Duration;

use super::accounts::limited;
use super::model::{DOWN, Fate, GOOD, HANGS, Model, THROTTLED, USUAL};
use crate::media::FailureClass;
use crate::media::lane::Outcome;

/// For how long the worst of these held no good grant, in milliseconds. Of newcomers that is until when.
fn worst(model: &Model, of: std::ops::Range<usize>) -> u64 {
    model.expired(of).into_iter().max().unwrap()
}

/// The same, beyond what each had to until `ends`, by what it held at the start.
fn worst_beyond(model: &Model, held: &[u64], ends: u64) -> u64 {
    let expired = model.expired(0..held.len());
    expired.iter().zip(held).map(|(expired, held)| expired.saturating_sub(ends.saturating_sub(*held))).max().unwrap()
}

fn held(model: &Model) -> Vec<u64> {
    model.requests.iter().map(|request| request.expiry.unwrap()).collect()
}

#[test]
fn a_standing_limit_that_asks_to_wait_is_learnt_all_the_same() {
    for asked in [1, 5, 10, 60] {
        let mut model = Model::with_live(200, "key", "AC");
        model.pass(30_000, |_, _| GOOD);
        let mut limited = limited(25.0);
        let class = FailureClass::Throttled { retry_after: Some(Duration::from_secs(asked)) };
        let begins = model.now;
        let mut api = |request, now: u64| match limited(request, now) {
            _ if now < begins + 5000 => (USUAL, DOWN),
            (took, THROTTLED) => (took, Outcome::Failed(class)),
            fate => fate,
        };
        // It is met once with the backlog, and once more by a start in the dark.
        model.pass(begins + 20_000 + 2000 * asked, &mut api);
        model.begins();
        model.pass(model.now + 60_000, &mut api);
        assert!(model.throttled <= 60, "{asked} s: {} calls were refused in the minute after", model.throttled);
        let fresh = model.requests.iter().filter(|request| request.expiry.unwrap() > model.now).count();
        assert!(fresh >= 190, "{asked} s: {fresh} of 200 are fresh in the end");
    }
}

#[test]
fn a_hang_that_meets_a_thousand_newcomers_leaves_room_to_notice_its_end() {
    let mut model = Model::new();
    model.add_newcomers(1000, "key", "AC");
    model.pass(30_000, |_, now| if now < 2500 { HANGS } else { GOOD });
    let served = worst(&model, 0..1000);
    assert!(served <= 3500, "the last is served at {served} ms, 2500 ms of which it hung");
}

#[test]
fn a_hang_that_meets_many_expiring_grants_does_so_too() {
    let mut model = Model::with_live(1000, "key", "AC");
    model.pass(30_000, |_, _| GOOD);
    model.begins();
    let (down, hangs, held) = (model.now + 25_000, model.now + 29_300, held(&model));
    model.pass(hangs + 60_000, |_, now| match now {
        _ if now < down => (USUAL, DOWN),
        _ if now < hangs => HANGS,
        _ => GOOD,
    });
    let late = worst_beyond(&model, &held, hangs);
    assert!(late <= 1500, "{late} ms late");
}

#[test]
fn one_that_always_fails_hides_no_call_that_a_hang_has_swallowed() {
    for ends in (1900..7000).step_by(100) {
        let mut model = Model::new();
        model.add_newcomers(2, "key", "AC");
        model.pass(30_000, |request, now| match request {
            _ if now < ends => HANGS,
            0 => (USUAL, DOWN),
            _ => GOOD,
        });
        let served = worst(&model, 1..2);
        assert!(served <= ends + 1100, "at {served} ms, {ends} ms of which it hung");
    }
}

#[test]
fn a_hang_after_a_429_ends_as_any_other() {
    for ends in [1500_u64, 3000, 4250, 7100, 8400] {
        let mut model = Model::new();
        model.add_newcomers(3, "key", "AC");
        model.pass(30_000, |_, now| match now {
            0 => (USUAL, THROTTLED),
            _ if now < ends => HANGS,
            _ => GOOD,
        });
        let served = worst(&model, 0..3);
        assert!(served <= ends + 1000, "at {served} ms, {ends} ms of which it hung");
    }
}

#[test]
fn one_slow_answer_is_forgotten_in_time() {
    let mut model = Model::with_live(1, "key", "AC");
    let mut calls = 0;
    model.pass(69_000, |_, _| {
        calls += 1;
        if calls == 1 { (8000, Outcome::Granted) } else { GOOD }
    });
    model.begins();
    // The next hangs for three seconds, of the five that its grant has left.
    let (mut first, mut until) = (None, 0);
    model.pass(90_000, |_, now| {
        until = *first.get_or_insert(now) + 3000;
        if now < until { HANGS } else { GOOD }
    });
    assert!(until > 0, "it was called");
    assert_eq!(model.expired(0..1), [0]);
}

#[test]
fn the_end_of_a_hang_of_some_is_felt_though_others_are_answered_all_along() {
    let hangs = |of: std::ops::Range<usize>, until: u64| {
        move |request: usize, now: u64| -> Fate { if of.contains(&request) && now < until { HANGS } else { GOOD } }
    };
    for (count, hanging) in [(2, 1), (20, 1), (20, 10), (200, 100)] {
        for seconds in [4, 9, 13, 25] {
            let mut model = Model::with_live(count, "key", "AC");
            model.pass(30_000, |_, _| GOOD);
            let ends = model.now + seconds * 1000;
            let held = held(&model);
            model.begins();
            model.pass(ends + 30_000, hangs(0..hanging, ends));
            let late =
                model.expired(0..count).into_iter().zip(held).map(|(expired, held)| expired.saturating_sub(ends.saturating_sub(held)));
            let worst = late.max().unwrap();
            assert!(worst <= 1200, "{hanging} of {count} hung for {seconds} s: {worst} ms late");
            let most = 2 * seconds + 100 + (count * 12) as u64;
            assert!(model.calls.len() as u64 <= most, "{} calls of {count} in {seconds} s and 30 s more", model.calls.len());
        }
    }
}
