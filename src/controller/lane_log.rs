//! What the log tells of lanes: that one has closed, and that it is open again, whatever its requests meet one by one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::reach::{News, Reach};
use crate::api::condition::Reason;
use crate::lifecycle::reason_of;
use crate::media::lanes::Opened;
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
    /// How many waited in it when it closed.
    waiting: usize,
    /// Why it is closed, by the last that was told, and when that was.
    last: Option<(Reason, Instant)>,
}

impl LaneLog {
    /// The lane has closed; `waiting`: how many wait in it.
    pub(super) fn closed(&self, lane: LaneKey, class: FailureClass, waiting: usize, now: Instant) {
        let mut lanes = self.lanes();
        let told = lanes.entry(lane).or_default();
        told.waiting = waiting;
        told.failed(class, now);
    }

    /// A call in the lane has failed. Of one that is open that says nothing, nor does what is one request's own.
    pub(super) fn failed(&self, lane: LaneKey, class: FailureClass, now: Instant) {
        if let Some(told) = self.lanes().get_mut(&lane).filter(|told| told.reach.is_failing() && !class.is_own()) {
            told.failed(class, now);
        }
    }

    /// These are open: told once for all of them.
    pub(super) fn opened(&self, opened: &Opened, now: Instant) {
        let mut lanes = self.lanes();
        let mut is_news = false;
        for lane in &opened.lanes {
            if let Some(told) = lanes.get_mut(lane) {
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

impl Told {
    /// Says that it is closed, or what closes it now, if that is news.
    fn failed(&mut self, class: FailureClass, now: Instant) {
        let (reason, waiting) = (reason_of(class), self.waiting);
        let is_lost = self.reach.ended(true, now) == Some(News::Lost);
        let is_another = self.last.is_some_and(|(last, at)| last != reason && now.since(at) > TOLD_EACH);
        if is_lost || is_another {
            self.last = Some((reason, now));
            tracing::warn!(
                reason = reason.as_str(),
                waiting,
                "the Media API fails calls with the same credentials: they wait, and one at a time probes it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Credentials;
    use crate::telemetry::logged;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn lane(user: &str) -> LaneKey {
        Credentials::new(user, "password".into(), None).unwrap().fingerprint()
    }

    fn open(lanes: &[LaneKey], waiting: usize) -> Opened {
        Opened { lanes: lanes.to_vec(), waiting }
    }

    /// Level, reason and how many wait, of each line.
    fn told(action: impl FnOnce()) -> Vec<String> {
        let shown = |line: serde_json::Value| {
            let fields = &line["fields"];
            format!("{} {} {}", line["level"].as_str().unwrap(), fields["reason"].as_str().unwrap_or("-"), fields["waiting"])
        };
        logged(action).into_iter().map(shown).collect()
    }

    #[test]
    fn each_lane_is_told_to_close_and_to_open() {
        let log = LaneLog::default();
        let (one, two) = (lane("one"), lane("two"));
        assert_eq!(told(|| log.failed(one, FailureClass::Unavailable, at(0))), [""; 0], "one that is open");
        assert_eq!(told(|| log.closed(one, FailureClass::Unavailable, 7, at(1))), ["WARN MediaApiUnavailable 7"]);
        assert_eq!(told(|| log.closed(two, FailureClass::Unauthorized, 2, at(2))), ["WARN Unauthorized 2"]);
        assert_eq!(told(|| log.failed(one, FailureClass::Unavailable, at(3))), [""; 0]);
        assert_eq!(told(|| log.opened(&open(&[one], 5), at(4))), ["INFO - 5"]);
        assert_eq!(told(|| log.opened(&open(&[one], 5), at(5))), [""; 0]);
        assert_eq!(told(|| log.opened(&open(&[two], 0), at(6))), ["INFO - 0"]);
    }

    #[test]
    fn lanes_that_open_together_are_told_of_once() {
        let log = LaneLog::default();
        let lanes = ["one", "two", "three"].map(lane);
        let throttled = FailureClass::Throttled { retry_after: None };
        assert_eq!(told(|| lanes[..2].iter().for_each(|lane| log.closed(*lane, throttled, 7, at(0)))).len(), 2);
        assert_eq!(told(|| log.opened(&open(&lanes, 9), at(1))), ["INFO - 9"]);
        assert_eq!(told(|| log.closed(lanes[0], FailureClass::Unavailable, 7, at(40))), ["WARN MediaApiUnavailable 7"], "it was open");
    }

    #[test]
    fn what_closes_one_by_now_is_told_and_what_is_one_requests_own_is_not() {
        let log = LaneLog::default();
        let one = lane("one");
        let failed = |class, second| told(|| log.failed(one, class, at(second)));
        assert_eq!(told(|| log.closed(one, FailureClass::Unavailable, 7, at(0))), ["WARN MediaApiUnavailable 7"]);
        assert_eq!(failed(FailureClass::NotFound, 31), [""; 0]);
        assert_eq!(failed(FailureClass::Unauthorized, 30), [""; 0]);
        assert_eq!(failed(FailureClass::Unauthorized, 31), ["WARN Unauthorized 7"]);
        assert_eq!(failed(FailureClass::Unavailable, 61), [""; 0]);
        assert_eq!(told(|| log.closed(one, FailureClass::Unavailable, 8, at(62))), ["WARN MediaApiUnavailable 8"]);
        assert_eq!(told(|| log.opened(&open(&[one], 1), at(100))), ["INFO - 1"]);
        // What comes again soon isn't told, whatever it is.
        assert_eq!(told(|| log.closed(one, FailureClass::Unauthorized, 7, at(101))), [""; 0]);
        assert_eq!(told(|| log.opened(&open(&[one], 1), at(102))), [""; 0]);
    }

    #[test]
    fn one_that_opens_and_closes_again_and_again_is_told_of_every_half_minute() {
        let log = LaneLog::default();
        let flapping = |from: u64, to: u64| {
            told(|| {
                for second in (from..to).step_by(2) {
                    log.closed(lane("one"), FailureClass::Unavailable, 3, at(second));
                    log.opened(&open(&[lane("one")], 3), at(second + 1));
                }
            })
        };
        assert_eq!(flapping(0, 32), ["WARN MediaApiUnavailable 3", "INFO - 3"]);
        assert_eq!(flapping(32, 64), ["WARN MediaApiUnavailable 3", "INFO - 3"]);
        // And that it stays closed, by the next call that fails.
        assert_eq!(told(|| log.closed(lane("one"), FailureClass::Unavailable, 4, at(63))), [""; 0]);
        assert_eq!(told(|| log.failed(lane("one"), FailureClass::Unavailable, at(64))), ["WARN MediaApiUnavailable 4"]);
    }

    #[test]
    fn of_lanes_that_are_gone_nothing_is_kept() {
        let log = LaneLog::default();
        let one = lane("one");
        let closes = |second| told(|| log.closed(one, FailureClass::Unavailable, 1, at(second)));
        assert_eq!(closes(0).len(), 1);
        assert_eq!(told(|| log.forgotten(one)), [""; 0]);
        assert!(log.lanes().is_empty());
        assert_eq!(closes(600).len(), 1, "it is another");
    }
}
