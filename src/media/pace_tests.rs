use proptest::prelude::*;

use super::*;

pub(super) fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

/// An account that is given so many calls a second, and so many at once, as the simulator does.
struct Account {
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Account {
    fn new(rate: f64) -> Self {
        Self { rate, tokens: rate, filled: at(0) }
    }

    fn takes(&mut self, now: Instant) -> bool {
        self.tokens = (self.tokens + now.since(self.filled).as_secs_f64() * self.rate).min(self.rate.max(1.0));
        self.filled = now;
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
        }
        takes
    }
}

pub(super) fn who(name: &str) -> Who {
    let lane = crate::media::Credentials::new("user", "password".into(), None).unwrap().fingerprint();
    (lane, Caller::from(name))
}

pub(super) fn throttled(retry_after: Option<u64>) -> Throttled {
    Throttled { retry_after: retry_after.map(Duration::from_secs), pressing: true, draw: 0.0 }
}

/// What comes of calling as fast as the pace allows from `from` to `until`: how many were granted and refused. An answer takes 10 ms.
/// At most `most` calls are granted.
fn call(pace: &mut Pace, account: &mut Account, from: u64, until: u64, most: u32) -> (u32, u32) {
    let (mut granted, mut refused, mut number) = (0, 0, 0);
    let mut out = VecDeque::<(u64, Who, bool)>::new();
    for millis in from..until {
        let now = at(millis);
        while out.front().is_some_and(|(answered, ..)| *answered <= millis) {
            let (_, who, good) = out.pop_front().unwrap();
            if good {
                granted += 1;
                pace.let_through(&who, now);
            } else {
                refused += 1;
                pace.throttled(&who, throttled(None), now);
            }
        }
        while granted < most && pace.allows(out.len(), now) {
            number += 1;
            let who = who(&format!("{number}"));
            pace.calls(|| who.clone(), now);
            out.push_back((millis + 10, who, account.takes(now)));
        }
    }
    for (_, who, _) in &out {
        pace.ended(who);
    }
    (granted, refused)
}

#[test]
fn without_a_429_it_doubles_with_each_round_trip() {
    let mut pace = Pace::default();
    let mut sizes = Vec::new();
    for _ in 0..5 {
        let size = (0..1000).find(|out| !pace.allows(*out, at(0))).unwrap();
        sizes.push(size);
        (0..size).for_each(|_| assert!(!pace.let_through(&who("a"), at(0))));
    }
    assert_eq!(sizes, [10, 20, 40, 80, 160]);
    assert!(!pace.is_limited() && pace.next(at(0)).is_none());
}

#[test]
fn a_start_in_the_dark_doubles_with_time_too_and_begins_anew_after_a_429() {
    let mut pace = Pace::default();
    let size = |pace: &Pace, now| (0..100_000).find(|out| !pace.allows(*out, at(now))).unwrap();
    assert_eq!((size(&pace, 9000), pace.next(at(9000))), (10, None), "nothing has begun");
    pace.calls(|| who("a"), at(9000));
    pace.calls(|| who("b"), at(9200));
    assert_eq!([9000, 9249, 9250, 9499, 9500, 12_000, 60_000].map(|now| size(&pace, now)), [10, 10, 20, 20, 40, 40_960, 40_960]);
    assert_eq!([9100, 9250, 11_999, 12_000].map(|now| pace.next(at(now))), [Some(at(9250)), Some(at(9500)), Some(at(12_000)), None]);
    pace.let_through(&who("a"), at(9500));
    assert_eq!(size(&pace, 9500), 44);
    pace.throttled(&who("b"), throttled(None), at(60_000));
    pace.calls(|| who("c"), pace.next(at(60_000)).unwrap());
    pace.let_through(&who("c"), at(61_000));
    assert_eq!(size(&pace, 70_000), 2, "the one that was made alone has begun nothing");
    pace.calls(|| who("a"), at(70_000));
    assert_eq!(size(&pace, 70_250), 4);
}

#[test]
fn a_429_sets_the_rate_just_below_what_was_granted_and_it_comes_back() {
    let mut pace = Pace::default();
    for n in 0..40 {
        pace.let_through(&who("a"), at(n * 50));
    }
    assert!(pace.throttled(&who("a"), throttled(None), at(2000)) && pace.is_limited());
    assert!(pace.let_through(&who("b"), at(2200)));
    let limit = pace.limit.unwrap();
    assert!((limit.measured - 19.0).abs() < 0.1, "{limit:?}");
    let rates = [0, 7500, 15_000, 16_000, 22_300].map(|later| format!("{:.2}", limit.rate(at(2000 + later)) / limit.measured));
    assert_eq!(rates, ["0.90", "0.95", "1.00", "1.10", "2.01"]);
    assert!(pace.allows(1000, at(2200)), "how many are out is of no matter");
    pace.calls(|| who("a"), at(2200));
    pace.calls(|| who("a"), at(2200));
    pace.calls(|| who("a"), at(2200));
    assert!(!pace.allows(0, at(2200)) && pace.allows(0, pace.next(at(0)).unwrap()));
    // What the timer was late by is made up for, but not an idle while.
    let due = std::iter::from_fn(|| pace.allows(0, at(9000)).then(|| pace.calls(|| who("a"), at(9000)))).count();
    assert_eq!(due, 2, "in 100 ms at 18 a second");
    pace.let_through(&who("a"), at(38_000));
    assert!(pace.is_limited());
    pace.let_through(&who("a"), at(39_000));
    assert!(!pace.is_limited(), "eight times what there was: there is no limit");
}

#[test]
fn a_429_closes_for_the_time_asked_for_but_no_longer_than_a_minute() {
    for (asked, closed_for) in [(Some(5), 5000), (Some(300), 60_000), (Some(0), 200), (None, 200)] {
        let mut pace = Pace::default();
        assert!(pace.allows(0, at(0)) && pace.may_probe(at(0)));
        assert!(pace.throttled(&who("a"), throttled(asked), at(0)));
        let before = at(closed_for - 1);
        assert!(!pace.allows(0, before) && !pace.may_probe(before), "{asked:?}");
        assert_eq!(pace.next(at(0)), Some(at(closed_for)));
        assert!(pace.allows(99, at(closed_for)) && pace.may_probe(at(closed_for)));
    }
}

#[test]
fn where_a_429_asks_for_a_long_time_the_rate_says_nothing_either() {
    for (first, second, is_limited) in
        [(None, None, true), (Some(9), None, true), (Some(10), None, false), (Some(1), Some(9), true), (Some(1), Some(10), false)]
    {
        let mut pace = Pace::default();
        (0..20).for_each(|n| assert!(!pace.let_through(&who("a"), at(n * 50))));
        pace.throttled(&who("a"), throttled(first), at(1000));
        if second.is_some() {
            assert!(!pace.throttled(&who("b"), throttled(second), at(1001)), "it was under way");
        }
        assert_eq!(pace.limit.is_some(), is_limited, "{first:?}, {second:?}");
        assert!(is_limited || pace.window == 1);
    }
}

#[test]
fn a_429_is_the_first_again_more_than_a_minute_after_the_last_was_over() {
    let learns = |after: u64| {
        let mut pace = Pace::default();
        pace.throttled(&who("a"), throttled(Some(1)), at(0));
        assert!(pace.let_through(&who("a"), at(1000)));
        let then = 1000 + after;
        for n in 0..20 {
            pace.let_through(&who("a"), at(then - 500 + n));
        }
        pace.throttled(&who("a"), throttled(Some(10)), at(then));
        assert!(pace.let_through(&who("a"), at(then + 10_000)));
        pace.rate(at(then + 10_000)).is_some()
    };
    assert_eq!([59_999, 60_000, 60_001].map(learns), [true, true, false]);
}

#[test]
fn nothing_is_measured_where_little_is_called() {
    let mut pace = Pace::default();
    pace.let_through(&who("a"), at(0));
    pace.throttled(&who("a"), throttled(None), at(500));
    assert!(pace.limit.is_none() && pace.is_limited());
    pace.let_through(&who("a"), at(9000));
    assert!(pace.allows(1, at(9000)) && !pace.allows(2, at(9000)), "it starts in the dark");
}

#[test]
fn where_few_are_called_a_longer_time_tells_the_rate() {
    let measured = |interval: u64, calls: u64| {
        let mut pace = Pace::default();
        (0..calls).for_each(|n| assert!(!pace.let_through(&who("a"), at(n * interval))));
        pace.throttled(&who("a"), throttled(None), at(calls * interval));
        pace.limit.map(|limit| format!("{:.2}", limit.measured))
    };
    assert_eq!(measured(2000, 4), None, "too few");
    assert_eq!(measured(1999, 50).as_deref(), Some("0.50"));
    assert_eq!(measured(500, 50).as_deref(), Some("2.00"), "the last five took 2.5 s");
    assert_eq!(measured(300, 50).as_deref(), Some("3.33"));
    assert_eq!(measured(100, 50).as_deref(), Some("9.67"), "29 in 3 s");
    assert_eq!(measured(10, 5).as_deref(), Some("5.00"), "they began only lately");
    assert_eq!(measured(10, 4), None);
}

#[test]
fn a_pause_before_the_429_is_no_limit() {
    let mut pace = Pace::default();
    // Five a second, ten at a time, and none for two seconds.
    for burst in 0..5 {
        (0..10).for_each(|_| assert!(!pace.let_through(&who("a"), at(burst * 2000))));
    }
    pace.throttled(&who("a"), throttled(None), at(9999));
    assert!(pace.limit.is_some_and(|limit| (limit.measured - 5.0).abs() < 0.1), "{:?}", pace.limit);
}

#[test]
fn of_two_that_are_one_what_is_held_back_goes_for_both() {
    let free = |granted: u64| {
        let mut pace = Pace::default();
        (0..granted).for_each(|n| assert!(!pace.let_through(&who("a"), at(n))));
        pace
    };
    let closed = |asked| {
        let mut pace = free(0);
        pace.throttled(&who("a"), throttled(Some(asked)), at(0));
        pace
    };
    let limited = |granted, since: u64| {
        let mut pace = free(granted);
        pace.throttled(&who("a"), throttled(None), at(since));
        pace.let_through(&who("b"), at(since + 200));
        pace
    };
    // A key that is new finds what the account has been given.
    for merged in [free(1).merged(free(90)), free(90).merged(free(1))] {
        assert!(!merged.is_limited() && merged.allows(99, at(0)) && !merged.allows(100, at(0)));
        assert_eq!(merged.passed.len(), 91);
        assert!(merged.passed.iter().is_sorted());
    }
    for merged in [closed(7).merged(free(90)), free(90).merged(closed(7)), closed(3).merged(closed(7)), closed(7).merged(closed(3))] {
        assert_eq!((merged.next(at(0)), merged.window), (Some(at(7000)), 1));
    }
    let begun = |at: Instant| {
        let mut pace = free(0);
        pace.calls(|| who("a"), at);
        pace
    };
    for merged in [begun(at(7)).merged(begun(at(500))), begun(at(500)).merged(begun(at(7))), begun(at(7)).merged(free(1))] {
        assert_eq!(merged.in_the_dark_since, Some(at(7)));
    }
    for merged in [limited(20, 500).merged(limited(40, 900)), limited(40, 900).merged(limited(20, 500))] {
        assert!(merged.limit.is_some_and(|limit| limit.since == at(900)), "{:?}", merged.limit);
        assert_eq!(merged.next(at(0)), Some(at(900)));
    }
}

#[test]
fn refreshes_and_newcomers_take_turns_and_what_is_urgent_goes_first() {
    for (deadline, expected) in [(60_000, 50), (2000, 100)] {
        let mut pace = Pace::default();
        let mut refreshes = 0;
        for _ in 0..100 {
            let kind = pace.turn(at(deadline), 100, at(0));
            refreshes += u32::from(kind == Kind::Refresh);
            pace.takes_turn(kind);
        }
        assert!(refreshes.abs_diff(expected) <= 1, "{refreshes} of 100 with the deadline {deadline}");
    }
}

#[test]
fn refreshes_that_could_not_all_be_made_in_time_go_first() {
    let mut pace = Pace::default();
    (0..10).for_each(|n| assert!(!pace.let_through(&who("a"), at(n * 100))));
    pace.throttled(&who("a"), throttled(None), at(999));
    pace.takes_turn(Kind::Refresh);
    // At nine a second, 27 of them take 3 s.
    let turn = |deadline: u64, refreshes| pace.turn(at(999 + deadline), refreshes, at(999));
    assert_eq!(
        [turn(5001, 27), turn(5000, 27), turn(5001, 28), turn(2000, 0)],
        [Kind::Newcomer, Kind::Refresh, Kind::Refresh, Kind::Refresh]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever the limit, nearly all of it is used and few calls are refused, from the first second on.
    #[test]
    fn a_standing_limit_is_used_and_seldom_met(rate in 3.0_f64..200.0) {
        let (mut pace, mut account) = (Pace::default(), Account::new(rate));
        let (granted, refused) = call(&mut pace, &mut account, 0, 120_000, u32::MAX);
        let share = f64::from(granted) / (rate * 120.0);
        prop_assert!(share > 0.86, "{share} of {rate} a second: {granted} granted, {refused} refused");
        prop_assert!(f64::from(refused) < 0.1 * f64::from(granted + refused), "{refused} refused, {granted} granted");
    }

    /// An outage that answers everything by 429 is over at once when it is over.
    #[test]
    fn the_end_of_an_outage_is_felt_at_once(seconds in 2_u64..60) {
        let (mut pace, mut nothing) = (Pace::default(), Account { rate: 0.0, tokens: 0.0, filled: at(0) });
        (0..20).for_each(|n| assert!(!pace.let_through(&who("a"), at(n * 50))));
        call(&mut pace, &mut nothing, 1000, 1000 + seconds * 1000, u32::MAX);
        let mut plenty = Account::new(10_000.0);
        let from = 1000 + seconds * 1000;
        let (granted, refused) = call(&mut pace, &mut plenty, from, from + 500, 200);
        prop_assert!(granted >= 200 && refused == 0, "{granted} granted in half a second");
    }
}

#[test]
fn what_a_429_asks_for_is_told_and_the_rate_is_none_meanwhile() {
    let mut pace = Pace::default();
    assert_eq!((pace.asked_until(), pace.closed_until(), pace.rate(at(0))), (None, None, None));
    assert!(pace.throttled(&who("a"), throttled(Some(20)), at(1000)));
    assert_eq!((pace.asked_until(), pace.closed_until(), pace.rate(at(1000))), (Some(at(21_000)), Some(at(21_000)), Some(0.0)));
    assert!(pace.let_through(&who("b"), at(21_000)));
    assert_eq!((pace.asked_until(), pace.closed_until()), (None, None));
}

#[test]
fn two_single_calls_may_be_refused_before_the_rate_is_forgotten_and_what_passed_long_ago_is() {
    let mut pace = Pace::default();
    for n in 0..300 {
        pace.let_through(&who("a"), at(n * 100));
    }
    assert_eq!(pace.passed.len(), 100, "of the last ten seconds alone");
    let now = at(30_000);
    assert!(pace.throttled(&who("a"), throttled(None), now));
    let is_known: Vec<bool> = (0..2)
        .map(|_| {
            pace.probes(|| who("a"), now);
            assert!(!pace.throttled(&who("a"), throttled(None), now));
            pace.limit.is_some()
        })
        .collect();
    assert_eq!(is_known, [true, false]);
}
