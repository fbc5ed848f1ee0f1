use super::model::{DOWN, Fate, GOOD, HANGS, Model, THROTTLED, USUAL};
use crate::media::FailureClass;
use crate::media::lane::Outcome;

/// A Media API that grants so many calls a second, with a burst of a second's.
pub fn limited(rate: f64) -> impl FnMut(usize, u64) -> Fate {
    let (mut tokens, mut filled) = (rate, 0);
    move |_, now| {
        tokens = (tokens + (now - filled) as f64 / 1000.0 * rate).min(rate);
        filled = now;
        if tokens < 1.0 {
            return (USUAL, THROTTLED);
        }
        tokens -= 1.0;
        GOOD
    }
}

#[test]
fn a_limit_is_kept_to_and_shared_out() {
    // 200 requests need 20 calls a second at leisure and 13.4 at the least.
    for (rate, most_mean) in [(21.0, 0.0), (20.0, 0.0), (16.0, 0.0), (10.0, 45_000.0)] {
        let mut model = Model::with_live(200, "key", "AC");
        model.pass(30_000, |_, _| GOOD);
        model.begins();
        model.pass(150_000, limited(rate));
        let expired = model.expired(0..200);
        let mean = expired.iter().sum::<u64>() as f64 / 200.0;
        let worst = *expired.iter().max().unwrap() as f64;
        let calls = model.calls.len();
        assert!(mean <= most_mean, "{rate} a second: {mean} ms expired in the mean");
        assert!(worst <= 1.5 * mean, "{rate} a second: {worst} ms at worst, {mean} in the mean");
        assert!(model.throttled * 10 < calls, "{rate} a second: {} of {calls} calls were refused", model.throttled);
    }
}

#[test]
fn newcomers_do_not_cost_those_who_are_there_their_grants() {
    for (rate, least) in [(20.0, 20), (30.0, 100)] {
        let mut model = Model::with_live(200, "key", "AC");
        model.pass(30_000, |_, _| GOOD);
        model.begins();
        model.add_newcomers(1000, "key", "AC");
        model.pass(150_000, limited(rate));
        let expired = model.expired(0..200);
        assert!(expired.iter().all(|expired| *expired == 0), "{rate} a second: {:?} ms", expired.iter().max());
        let served = model.requests[200..].iter().filter(|request| request.fresh.is_some()).count();
        assert!(served >= least, "{rate} a second: {served} newcomers served");
    }
}

#[test]
fn what_is_refused_for_its_own_reason_costs_nobody_a_grant() {
    let own = (USUAL, Outcome::Failed(FailureClass::NotFound));
    let mut model = Model::with_live(200, "key", "AC");
    model.pass(30_000, |_, _| GOOD);
    model.begins();
    model.add_newcomers(50, "key", "AC");
    let mut limited = limited(20.0);
    // They stream no more; asked again and again, they would need twice the limit alone.
    model.pass(150_000, |request, now| match limited(request, now) {
        GOOD if request % 5 == 0 && request < 200 => own,
        fate => fate,
    });
    let live: Vec<u64> = model.expired(0..200).into_iter().enumerate().filter(|(n, _)| n % 5 != 0).map(|(_, expired)| expired).collect();
    assert_eq!(live, [0; 160]);
    let served = model.requests[200..].iter().filter(|request| request.fresh.is_some()).count();
    assert_eq!(served, 50, "newcomers among them");
}

#[test]
fn an_account_that_fails_is_of_no_matter_to_another() {
    for fault in [(USUAL, DOWN), (USUAL, THROTTLED), HANGS] {
        let mut model = Model::with_live(100, "broken", "AC1");
        model.add_live(100, "healthy", "AC2");
        model.pass(30_000, |_, _| GOOD);
        model.begins();
        model.pass(150_000, |request, _| if request < 100 { fault } else { GOOD });
        assert!(model.expired(0..100).iter().all(|expired| *expired > 60_000), "the broken one is broken");
        assert_eq!(model.expired(100..200), [0; 100], "{fault:?}");
    }
}

#[test]
fn lanes_of_one_account_share_its_limit_fairly() {
    let mut model = Model::with_live(100, "one key", "AC");
    model.add_live(100, "another", "AC");
    model.pass(30_000, |_, _| GOOD);
    model.begins();
    model.pass(150_000, limited(10.0));
    let [one, other] = [0..100, 100..200].map(|of| model.expired(of).iter().sum::<u64>() as f64 / 100.0);
    assert!(one > 0.0 && (one / other - 1.0).abs() < 0.1, "{one} and {other} ms expired in the mean");
    assert!(model.throttled * 10 < model.calls.len(), "{} of {} refused", model.throttled, model.calls.len());
}
