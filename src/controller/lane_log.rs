//! What the log tells of lanes: that one has closed, and that it is open again, whatever its requests meet one by one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::reach::{News, Reach};
use crate::lifecycle::reason_of;
use crate::media::{FailureClass, LaneKey};
use crate::time::Instant;

/// A lane that isn't heard of for so long is none any more: one that is closed is called now and then.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

/// What has been told of lanes.
#[derive(Default)]
pub(super) struct LaneLog {
    lanes: Mutex<BTreeMap<LaneKey, Told>>,
}

struct Told {
    reach: Reach,
    /// How many waited in it when it closed.
    waiting: usize,
    /// When it was last heard of.
    heard: Instant,
}

impl LaneLog {
    /// The lane has closed; `waiting`: how many wait in it.
    pub(super) fn closed(&self, lane: LaneKey, class: FailureClass, waiting: usize, now: Instant) {
        let mut lanes = self.lanes();
        lanes.retain(|_, told| now.since(told.heard) < FORGOTTEN_AFTER);
        let told = lanes.entry(lane).or_insert_with(|| Told { reach: Reach::default(), waiting, heard: now });
        told.waiting = waiting;
        told.ended(Some(class), now);
    }

    /// A call in the lane has failed. Of one that is open that says nothing.
    pub(super) fn failed(&self, lane: LaneKey, class: FailureClass, now: Instant) {
        if let Some(told) = self.lanes().get_mut(&lane).filter(|told| told.reach.is_failing()) {
            told.ended(Some(class), now);
        }
    }

    /// The lane is open; `waiting`: how many wait in it.
    pub(super) fn opened(&self, lane: LaneKey, waiting: usize, now: Instant) {
        if let Some(told) = self.lanes().get_mut(&lane) {
            told.waiting = waiting;
            told.ended(None, now);
        }
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<LaneKey, Told>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Says what there is to tell. `failed`: how, if it did.
    fn ended(&mut self, failed: Option<FailureClass>, now: Instant) {
        self.heard = now;
        let waiting = self.waiting;
        match (self.reach.ended(failed.is_some(), now), failed) {
            (Some(News::Lost), Some(class)) => tracing::warn!(
                reason = reason_of(class).as_str(),
                waiting,
                "the Media API fails calls with the same credentials: they wait, and one at a time probes it"
            ),
            (Some(News::Back { .. }), _) => {
                tracing::info!(waiting, "the Media API takes calls with the same credentials again: whoever waits is called in turn");
            }
            _ => {}
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
        assert_eq!(told(|| log.opened(one, 5, at(4))), ["INFO - 5"]);
        assert_eq!(told(|| log.opened(one, 5, at(5))), [""; 0]);
        assert_eq!(told(|| log.opened(two, 0, at(6))), ["INFO - 0"]);
    }

    #[test]
    fn one_that_opens_and_closes_again_and_again_is_told_of_every_half_minute() {
        let log = LaneLog::default();
        let flapping = |from: u64, to: u64| {
            told(|| {
                for second in (from..to).step_by(2) {
                    log.closed(lane("one"), FailureClass::Unavailable, 3, at(second));
                    log.opened(lane("one"), 3, at(second + 1));
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
        for n in 0..100 {
            log.closed(lane(&n.to_string()), FailureClass::Unavailable, 1, at(n * 60));
        }
        assert_eq!(log.lanes().len(), 60);
    }
}
