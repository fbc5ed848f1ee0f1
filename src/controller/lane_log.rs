//! What the log tells of lanes: that one has closed, and that it is open again, whatever its requests meet one by one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::reach::{News, Reach};
use crate::api::condition::Reason;
use crate::lifecycle::reason_of;
use crate::media::lanes::{Closed, Opened};
use crate::media::{FailureClass, LaneKey};
use crate::time::Instant;

/// That it is another failure by now is told no sooner than so long after the last was.
const TOLD_EACH: Duration = Duration::from_secs(30);

/// What has been told of lanes.
#[derive(Default)]
pub(super) struct LaneLog {
    lanes: Mutex<BTreeMap<LaneKey, Told>>,
}

#[derive(Default)]
struct Told {
    reach: Reach,
    /// The number of the last change that was taken in: an earlier one that comes later is none.
    number: u64,
    /// How many waited in it when it closed.
    waiting: usize,
    /// Why it is closed, by the last that was told, and when that was.
    last: Option<(Reason, Instant)>,
}

impl LaneLog {
    /// These have closed: told once for all of them.
    pub(super) fn closed(&self, closed: &Closed, class: FailureClass, number: u64, now: Instant) {
        let (mut lanes, waiting) = (self.lanes(), closed.waiting.len());
        let mut is_news = false;
        for lane in &closed.lanes {
            if let Some(told) = newer(&mut lanes, *lane, number) {
                told.waiting = waiting;
                is_news |= told.is_news(class, now);
            }
        }
        if is_news {
            say_closed(class, waiting);
        }
    }

    /// A call in the lane has failed. Of one that is open that says nothing, nor does what is one request's own.
    pub(super) fn failed(&self, lane: LaneKey, class: FailureClass, now: Instant) {
        if let Some(told) = self.lanes().get_mut(&lane).filter(|told| told.reach.is_failing() && !class.is_own())
            && told.is_news(class, now)
        {
            say_closed(class, told.waiting);
        }
    }

    /// These are open: told once for all of them.
    pub(super) fn opened(&self, opened: &Opened, number: u64, now: Instant) {
        let mut lanes = self.lanes();
        let mut is_news = false;
        for lane in &opened.lanes {
            if let Some(told) = newer(&mut lanes, *lane, number) {
                told.last = None;
                is_news |= told.reach.ended(false, now).is_some();
            }
        }
        if is_news {
            tracing::info!(
                waiting = opened.waiting,
                "the Media API takes calls with the same credentials again: whoever waits is called in turn"
            );
        }
    }

    /// The lane is no more, as it stood.
    pub(super) fn forgotten(&self, lane: LaneKey) {
        self.lanes().remove(&lane);
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<LaneKey, Told>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told of a lane, unless a later change of it was taken in already.
fn newer(lanes: &mut BTreeMap<LaneKey, Told>, lane: LaneKey, number: u64) -> Option<&mut Told> {
    let told = lanes.entry(lane).or_default();
    let is_newer = told.number < number;
    told.number = told.number.max(number);
    is_newer.then_some(told)
}

fn say_closed(class: FailureClass, waiting: usize) {
    tracing::warn!(
        reason = reason_of(class).as_str(),
        waiting,
        "the Media API fails calls with the same credentials: they wait, and one at a time probes it"
    );
}

impl Told {
    /// Takes a failure in. Returns whether it is to be told: that the lane is closed, or what closes it by now. A 429 in a lane that something else has closed isn't what does.
    fn is_news(&mut self, class: FailureClass, now: Instant) -> bool {
        let reason = reason_of(class);
        let is_lost = self.reach.ended(true, now) == Some(News::Lost);
        let is_another = self.last.is_some_and(|(last, at)| last != reason && now.since(at) > TOLD_EACH);
        let is_news = is_lost || (is_another && !matches!(class, FailureClass::Throttled { .. }));
        if is_news {
            self.last = Some((reason, now));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Credentials;
    use crate::media::lane::Caller;
    use crate::telemetry::logged;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn lane(user: &str) -> LaneKey {
        Credentials::new(user, "password".into(), None).unwrap().fingerprint()
    }

    /// Tells what comes in its order.
    #[derive(Default)]
    struct Teller {
        log: LaneLog,
        number: u64,
    }

    impl Teller {
        fn closed(&mut self, lanes: &[LaneKey], class: FailureClass, waiting: usize, second: u64) -> Vec<String> {
            self.number += 1;
            self.late(self.number, lanes, Some(class), waiting, second)
        }

        fn opened(&mut self, lanes: &[LaneKey], waiting: usize, second: u64) -> Vec<String> {
            self.number += 1;
            self.late(self.number, lanes, None, waiting, second)
        }

        fn late(&self, number: u64, lanes: &[LaneKey], closed_by: Option<FailureClass>, waiting: usize, second: u64) -> Vec<String> {
            let (lanes, callers) = (lanes.to_vec(), (0..waiting).map(|n| Caller::from(n.to_string().as_str())).collect());
            told(|| match closed_by {
                Some(class) => self.log.closed(&Closed { lanes, waiting: callers }, class, number, at(second)),
                None => self.log.opened(&Opened { lanes, waiting }, number, at(second)),
            })
        }

        fn failed(&self, lane: LaneKey, class: FailureClass, second: u64) -> Vec<String> {
            told(|| self.log.failed(lane, class, at(second)))
        }
    }

    /// Level, reason and how many wait, of each line.
    fn told(action: impl FnOnce()) -> Vec<String> {
        let shown = |line: serde_json::Value| {
            let fields = &line["fields"];
            format!("{} {} {}", line["level"].as_str().unwrap(), fields["reason"].as_str().unwrap_or("-"), fields["waiting"])
        };
        logged(action).into_iter().map(shown).collect()
    }

    const NOTHING: [&str; 0] = [];
    const DOWN: FailureClass = FailureClass::Unavailable;
    const THROTTLED: FailureClass = FailureClass::Throttled { retry_after: None };

    #[test]
    fn each_lane_is_told_to_close_and_to_open() {
        let mut log = Teller::default();
        let (one, two) = (lane("one"), lane("two"));
        assert_eq!(log.failed(one, DOWN, 0), NOTHING, "one that is open");
        assert_eq!(log.closed(&[one], DOWN, 7, 1), ["WARN MediaApiUnavailable 7"]);
        assert_eq!(log.closed(&[two], FailureClass::Unauthorized, 2, 2), ["WARN Unauthorized 2"]);
        assert_eq!(log.failed(one, DOWN, 3), NOTHING);
        assert_eq!(log.opened(&[one], 5, 4), ["INFO - 5"]);
        assert_eq!(log.opened(&[one], 5, 5), NOTHING);
        assert_eq!(log.opened(&[two], 0, 6), ["INFO - 0"]);
    }

    #[test]
    fn lanes_that_close_and_open_together_are_told_of_once() {
        let mut log = Teller::default();
        let lanes = ["one", "two", "three"].map(lane);
        assert_eq!(log.closed(&lanes[..2], THROTTLED, 7, 0), ["WARN MediaApiThrottled 7"]);
        assert_eq!(log.opened(&lanes, 9, 1), ["INFO - 9"]);
        for lane in &lanes[..2] {
            assert_eq!(log.closed(&[*lane], DOWN, 7, 40), ["WARN MediaApiUnavailable 7"], "it was open");
        }
        // Whichever meets a limit again and again, it is no more than once in half a minute.
        let mut meets = |lane: usize, second| {
            let closes = log.closed(&lanes[lane..=lane], THROTTLED, 1, second);
            [closes, log.opened(&lanes, 1, second + 1)].concat()
        };
        assert_eq!(meets(2, 100), ["WARN MediaApiThrottled 1", "INFO - 1"]);
        assert_eq!([meets(2, 110), meets(2, 120)].concat(), NOTHING);
    }

    #[test]
    fn what_closes_one_by_now_is_told_and_what_is_one_requests_own_is_not() {
        let mut log = Teller::default();
        let one = lane("one");
        assert_eq!(log.closed(&[one], DOWN, 7, 0), ["WARN MediaApiUnavailable 7"]);
        assert_eq!(log.failed(one, FailureClass::NotFound, 31), NOTHING);
        assert_eq!(log.failed(one, THROTTLED, 31), NOTHING);
        assert_eq!(log.failed(one, FailureClass::Unauthorized, 30), NOTHING);
        assert_eq!(log.failed(one, FailureClass::Unauthorized, 31), ["WARN Unauthorized 7"]);
        assert_eq!(log.failed(one, DOWN, 61), NOTHING);
        assert_eq!(log.closed(&[one], DOWN, 8, 62), ["WARN MediaApiUnavailable 8"]);
        assert_eq!(log.opened(&[one], 1, 100), ["INFO - 1"]);
        // What comes again soon isn't told, whatever it is.
        assert_eq!(log.closed(&[one], FailureClass::Unauthorized, 7, 101), NOTHING);
        assert_eq!(log.opened(&[one], 1, 102), NOTHING);
    }

    #[test]
    fn one_that_opens_and_closes_again_and_again_is_told_of_every_half_minute() {
        let mut log = Teller::default();
        let one = lane("one");
        let flapping = |log: &mut Teller, from: u64, to: u64| {
            let told = (from..to).step_by(2).flat_map(|second| [log.closed(&[one], DOWN, 3, second), log.opened(&[one], 3, second + 1)]);
            told.collect::<Vec<_>>().concat()
        };
        assert_eq!(flapping(&mut log, 0, 32), ["WARN MediaApiUnavailable 3", "INFO - 3"]);
        assert_eq!(flapping(&mut log, 32, 64), ["WARN MediaApiUnavailable 3", "INFO - 3"]);
        // And that it stays closed, by the next call that fails.
        assert_eq!(log.closed(&[one], DOWN, 4, 63), NOTHING);
        assert_eq!(log.failed(one, DOWN, 64), ["WARN MediaApiUnavailable 4"]);
    }

    /// Whoever tells the later first has been quicker.
    #[test]
    fn what_comes_late_is_none_any_more() {
        let mut log = Teller::default();
        let [one, two] = ["one", "two"].map(lane);
        assert_eq!(log.late(2, &[one], None, 3, 0), NOTHING);
        assert_eq!(log.late(1, &[one], Some(DOWN), 3, 0), NOTHING, "it is open again");
        assert_eq!(log.late(2, &[one], Some(DOWN), 3, 0), NOTHING, "nor is one twice");
        log.number = 2;
        assert_eq!(log.closed(&[one, two], DOWN, 3, 1), ["WARN MediaApiUnavailable 3"]);
        assert_eq!(log.late(5, &[one], Some(DOWN), 3, 2), NOTHING);
        assert_eq!(log.late(4, &[one], None, 3, 2), NOTHING, "it is closed again");
        assert_eq!(log.late(4, &[two], None, 3, 2), ["INFO - 3"]);
    }

    #[test]
    fn of_lanes_that_are_gone_nothing_is_kept() {
        let mut log = Teller::default();
        let one = lane("one");
        assert_eq!(log.closed(&[one], DOWN, 1, 0).len(), 1);
        assert_eq!(told(|| log.log.forgotten(one)), NOTHING);
        assert!(log.log.lanes().is_empty());
        assert_eq!(log.closed(&[one], DOWN, 1, 600).len(), 1, "it is another");
    }
}
