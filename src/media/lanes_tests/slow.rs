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
    for millis in [10, 1900, 2500, 4000] {
        let mut model = Model::new();
        model.add_newcomers(20, "key", "AC");
        let refused = (millis, Outcome::Failed(FailureClass::Unauthorized));
        model.pass(300_000, |_, _| refused);
        model.begins();
        model.pass(900_000, |_, _| refused);
        let calls = model.calls.len();
        assert!((10..=25).contains(&calls), "{calls} looks in ten minutes at answers after {millis} ms");
    }
}
