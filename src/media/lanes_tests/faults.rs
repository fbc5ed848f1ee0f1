use std::time::Duration;

use super::model::{DOWN, Fate, GOOD, HANGS, Model, THROTTLED, USUAL};
use crate::media::FailureClass;
use crate::media::lane::Outcome;

const ALL: std::ops::Range<usize> = 0..200;

/// 200 requests after half a minute of quiet.
fn two_hundred() -> Model {
    quiet(200)
}

/// So many.
pub fn quiet(count: usize) -> Model {
    let mut model = Model::with_live(count, "key", "AC");
    model.pass(30_000, |_, _| GOOD);
    assert!(model.expired(0..count).iter().all(|expired| *expired == 0));
    model.begins();
    model
}

/// A fault of so many seconds, and a minute after it. Returns what the first and the last were late by beyond what was forced, in milliseconds:
/// from the later of the fault's end and the expiry of what each held, `None` where all outlived it; and how many calls were made during the fault.
fn suffer(seconds: u64, fault: Fate) -> (Option<u64>, u64, usize) {
    suffered(200, seconds, fault)
}

/// The same of so many.
fn suffered(count: usize, seconds: u64, fault: Fate) -> (Option<u64>, u64, usize) {
    suffered_before(count, seconds, fault, GOOD)
}

/// The same, and then all goes so.
pub fn suffered_before(count: usize, seconds: u64, fault: Fate, then: Fate) -> (Option<u64>, u64, usize) {
    let mut model = quiet(count);
    let (begins, ends) = (model.now, model.now + seconds * 1000);
    let held: Vec<u64> = model.requests.iter().map(|request| request.expiry.unwrap()).collect();
    model.pass(ends, |_, _| fault);
    let calls = model.calls.len();
    // What was refreshed just before the end of a fault that is no more than slow has another expiry.
    let forced: Vec<u64> = held.iter().map(|expiry| ends.saturating_sub((*expiry).max(begins))).collect();
    model.pass(ends + 60_000, |_, _| then);
    let late: Vec<u64> = model.expired(0..count).iter().zip(&forced).map(|(expired, forced)| expired.saturating_sub(*forced)).collect();
    let affected = late.iter().zip(&forced).filter(|(_, forced)| **forced > 0).map(|(late, _)| *late);
    (affected.min(), late.iter().max().copied().unwrap_or_default(), calls)
}

#[test]
fn what_refuses_costs_what_it_must_and_half_a_second() {
    let own = |class| (USUAL, Outcome::Failed(class));
    for (seconds, fault, most_first, most_last) in [
        (31, (USUAL, DOWN), 400, 600),
        (21, (USUAL, THROTTLED), 400, 1000),
        (21, own(FailureClass::InvalidResponse), 400, 1300),
        (17, own(FailureClass::Unauthorized), 400, 600),
        (17, own(FailureClass::NotFound), 400, 1300),
    ] {
        let (first, last, calls) = suffer(seconds, fault);
        assert!(first.is_some_and(|first| first <= most_first) && last <= most_last, "{fault:?}: {first:?} and {last} ms late");
        let is_own = matches!(fault.1, Outcome::Failed(FailureClass::InvalidResponse | FailureClass::NotFound));
        let most = if is_own { 250 * seconds } else { 20 + 5 * seconds };
        assert!(calls as u64 <= most, "{fault:?}: {calls} calls in {seconds} s");
    }
}

#[test]
fn where_a_429_asks_to_wait_all_is_well_soon_after_that() {
    for (asked, waited) in [(1, 1000), (5, 5000), (9, 9000), (15, 15_000), (300, 60_000)] {
        let mut model = two_hundred();
        let (ends, mut refused) = (model.now + 21_000, 0);
        let class = FailureClass::Throttled { retry_after: Some(Duration::from_secs(asked)) };
        model.pass(ends, |_, now| {
            refused = now;
            (USUAL, Outcome::Failed(class))
        });
        let held: Vec<u64> = model.requests.iter().map(|request| request.expiry.unwrap()).collect();
        let over = ends.max(refused + USUAL + waited);
        model.pass(over + 60_000, |_, _| GOOD);
        let late = model.expired(ALL).into_iter().zip(held).map(|(expired, held)| expired.saturating_sub(over.saturating_sub(held)));
        let worst = late.max().unwrap();
        assert!(worst <= 1500, "{asked} s: {worst} ms late");
    }
}

#[test]
fn what_hangs_costs_no_more_than_what_refuses() {
    for seconds in [1, 3, 7, 13, 25, 61] {
        let (first, last, calls) = suffer(seconds, HANGS);
        assert!(first.is_none_or(|first| first <= 700) && last <= 1000, "{seconds} s of silence: {first:?} and {last} ms late");
        // At refresh 5 s are left.
        assert_eq!(first.is_some(), seconds > 5, "{seconds} s of silence outlive a grant");
        assert!(calls as u64 <= 60 + 25 * seconds, "{calls} calls in {seconds} s of silence");
    }
}

#[test]
fn what_says_late_that_nothing_answers_costs_no_more_than_silence() {
    for count in [1, 2, 200] {
        for (after, seconds) in [(900, 13), (1900, 13), (1900, 31), (2500, 13), (5000, 13), (5000, 26), (9000, 25), (9000, 61)] {
            let (first, last, calls) = suffered(count, seconds, (after, DOWN));
            assert!(
                first.is_none_or(|first| first <= 700) && last <= 1000,
                "{count} requests, {seconds} s of failures after {after} ms: {first:?} and {last} ms late"
            );
            assert!(calls as u64 <= 60 + 25 * seconds, "{calls} calls in {seconds} s of failures after {after} ms");
        }
    }
}

#[test]
fn of_an_outage_that_goes_on_for_most_the_others_hear_within_as_long_as_a_call_may_take() {
    for fault in [HANGS, (5000, DOWN), (2100, DOWN)] {
        let mut model = quiet(30);
        let ends = model.now + 41_000;
        model.pass(ends, |_, _| fault);
        model.pass(ends + 60_000, |request, _| if request < 25 { fault } else { GOOD });
        let fresh: Vec<_> = model.requests.iter().map(|request| request.fresh.filter(|fresh| *fresh >= ends)).collect();
        assert!(fresh[..25].iter().all(Option::is_none), "{fault:?}: {fresh:?}");
        let first = model.calls.iter().find(|(request, at)| *request >= 25 && *at >= ends).map(|(_, at)| at - ends);
        assert!(first.is_some_and(|first| first <= 10_500), "{fault:?}: {first:?}");
        assert!(fresh[25..].iter().all(Option::is_some), "{fault:?}: {fresh:?}");
    }
}

#[test]
fn what_takes_four_seconds_still_serves() {
    for millis in [500, 1500, 2500, 4000] {
        let mut model = two_hundred();
        let until = model.now + 33_000;
        model.pass(until, |_, _| (millis, Outcome::Granted));
        let calls = model.calls.len();
        model.pass(until + 60_000, |_, _| GOOD);
        let expired = model.expired(ALL);
        assert!(
            expired.iter().all(|expired| *expired == 0),
            "{millis} ms: {} of 200 expired, for {:?} ms at the most",
            expired.iter().filter(|expired| **expired > 0).count(),
            expired.iter().max()
        );
        assert!(calls <= 33 * 20 * 13 / 10 + 60, "{calls} calls in 33 s, where 660 are due");
    }
}

#[test]
fn an_operator_that_starts_while_it_takes_four_seconds_still_serves() {
    for millis in [20, 500, 1500, 2500, 4000] {
        let mut model = Model::with_live(200, "key", "AC");
        model.pass(33_000, |_, _| (millis, Outcome::Granted));
        let expired = model.expired(ALL);
        assert_eq!(expired.iter().filter(|expired| **expired > 0).count(), 0, "{millis} ms: for {:?} ms at the most", expired.iter().max());
    }
}

#[test]
fn one_that_always_fails_or_hangs_harms_nobody_else() {
    for fault in [(USUAL, DOWN), HANGS] {
        let mut model = two_hundred();
        model.pass(150_000, |request, _| if request == 7 { fault } else { GOOD });
        let expired = model.expired(ALL);
        assert_eq!(expired.iter().filter(|expired| **expired > 0).count(), 1, "{fault:?}: {expired:?}");
        let others = model.calls.iter().filter(|(request, _)| *request != 7).count();
        assert!(others <= 199 * 12 + 199, "{others} calls of the others in two minutes");
        let own = model.calls.len() - others;
        assert!(own <= 120 * 4, "{own} of the one that fails");
    }
}

#[test]
fn a_call_that_is_lost_is_joined_before_its_grant_expires() {
    let mut model = two_hundred();
    let mut number = 0_u32;
    // Every hundredth call is heard of no more.
    model.pass(150_000, |_, _| {
        number += 1;
        if number.is_multiple_of(100) { HANGS } else { GOOD }
    });
    assert_eq!(model.expired(ALL), [0; 200]);
    assert!(model.calls.len() <= 200 * 13 * 11 / 10, "{} calls", model.calls.len());
}

#[test]
fn what_waits_for_an_answer_is_not_looked_at_again_and_again() {
    let mut model = Model::new();
    model.add_newcomers(11, "key", "AC");
    // The model itself fails where it would be.
    model.pass(1900, |_, _| HANGS);
    let called: Vec<u64> = model.calls.iter().map(|(_, at)| *at).collect();
    assert_eq!(called[..11], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 250], "no more may be out at first");
    assert_eq!(called.len(), 13, "and two calls are joined");
}
