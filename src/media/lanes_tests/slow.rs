//! A Media API whose answers take their time, in whatever they say.

use super::faults::{quiet, suffered_before};
use super::model::{DOWN, Fate, GOOD, HANGS, Model, THROTTLED};
use crate::media::FailureClass;
use crate::media::lane::Outcome;

/// A connection that isn't made: after two seconds it is given up.
const DROPPED: Fate = (2000, Outcome::Unanswered);

#[test]
fn a_429_that_takes_its_time_still_tells_of_an_outage() {
    for (seconds, millis) in [(11, 300), (11, 600), (21, 300), (21, 600), (21, 1500)] {
        let (_, last, calls) = suffered_before(200, seconds, (millis, THROTTLED), (millis, Outcome::Granted));
        assert!(last <= 2200 + 2 * millis, "{seconds} s of answers after {millis} ms: {last} ms late");
        assert!(calls as u64 <= 30 + 4 * seconds, "{calls} calls in {seconds} s of answers after {millis} ms");
    }
}

#[test]
fn what_fails_after_a_while_ends_as_soon_as_what_fails_at_once() {
    for fault in [(250, DOWN), (700, DOWN), (1400, DOWN), (1990, DOWN), (2010, DOWN), DROPPED, HANGS] {
        let (first, last, _) = suffered_before(200, 20, fault, (300, Outcome::Granted));
        assert!(first.is_some_and(|first| first <= 1000) && last <= 1200, "{fault:?}: {first:?} and {last} ms late");
    }
}

#[test]
fn an_api_that_comes_back_by_halves_is_not_called_for_what_is_under_way() {
    let mut model = quiet(200);
    let ends = model.now + 31_000;
    model.pass(ends, |_, _| (10, DOWN));
    model.begins();
    let mut number = 0_u64;
    model.pass(ends + 5000, |_, _| {
        number += 1;
        let outcome = if number * 7 % 10 < 3 { DOWN } else { Outcome::Granted };
        (250 + number * 13 % 100, outcome)
    });
    let fresh = model.requests.iter().filter(|request| request.fresh.is_some()).count();
    let calls = model.calls.len();
    assert_eq!(fresh, 200);
    assert!(calls <= 400, "{calls} calls, of which three of ten fail, for 200 grants");
}

#[test]
fn what_others_wait_behind_a_limit_for_keeps_no_lost_call_waiting() {
    let mut model = quiet(200);
    let (begins, mut refused, mut lost) = (model.now, false, None);
    model.pass(begins + 30_000, |request, now| {
        if !std::mem::replace(&mut refused, true) {
            (10, THROTTLED)
        } else if now >= begins + 2000 && *lost.get_or_insert((request, now)) == (request, now) {
            HANGS
        } else {
            GOOD
        }
    });
    assert!(model.throttled == 1 && lost.is_some());
    let expired = model.expired(0..200);
    assert!(expired.iter().all(|expired| *expired == 0), "{lost:?}: {expired:?}");
}

#[test]
fn what_refuses_slowly_is_looked_at_no_more_often() {
    for (millis, had) in [10, 1900, 2500, 4000].into_iter().flat_map(|millis| [(millis, false), (millis, true)]) {
        let mut model = if had { quiet(20) } else { Model::new() };
        if !had {
            model.add_newcomers(20, "key", "AC");
        }
        let refused = (millis, Outcome::Failed(FailureClass::Unauthorized));
        // For as long as a success makes a refusal look passing, and five minutes more.
        model.pass(900_000, |_, _| refused);
        model.begins();
        model.pass(1_500_000, |_, _| refused);
        let calls = model.calls.len();
        assert!((10..=25).contains(&calls), "{calls} looks in ten minutes at answers after {millis} ms, a grant before: {had}");
    }
}

#[test]
fn what_fails_is_told_however_many_attempts_are_out_for_it() {
    for (count, millis) in [1, 2, 200].into_iter().flat_map(|count| [10, 900, 1500, 1900, 2500, 5000].map(|millis| (count, millis))) {
        let mut model = quiet(count);
        model.pass(model.now + 31_000, |_, _| (millis, DOWN));
        let told = model.told.first().zip(model.calls.first()).map(|((_, told), (_, called))| told - called);
        assert!(told.is_some_and(|told| told <= 12_000), "{count} requests, failures after {millis} ms: {told:?}");
    }
}

#[test]
fn what_hangs_beside_others_that_are_seldom_answered_is_told() {
    for (fate, count) in [HANGS, (5000, DOWN), DROPPED].into_iter().flat_map(|fate| (2..6).map(move |count| (fate, count))) {
        let mut model = quiet(count);
        model.pass(model.now + 120_000, |request, _| if request == 0 { fate } else { GOOD });
        let told = model.told.iter().filter(|(request, _)| *request == 0).count();
        assert!(told >= 4, "{count} requests, {fate:?}: {told} times in two minutes");
        assert!(model.expired(1..count).iter().all(|expired| *expired == 0), "{count} requests, {fate:?}");
    }
}

#[test]
fn what_hung_for_a_while_and_is_answered_says_that_the_others_may_be_lost() {
    let mut model = quiet(30);
    let begins = model.now;
    let mut first = None;
    model.pass(begins + 3400, |_, now| match now {
        _ if *first.get_or_insert(now) == now => (2950, Outcome::Granted),
        now if now < begins + 3200 => HANGS,
        _ => GOOD,
    });
    let hung: Vec<_> = model.calls.iter().filter(|(_, at)| *at < begins + 2700).map(|(request, _)| *request).collect();
    let still: Vec<_> = hung.iter().filter(|request| model.requests[**request].fresh.is_none()).collect();
    assert!(hung.len() >= 8 && still.is_empty(), "of {hung:?} {still:?} have no grant still");
}
