//! Whether anything is heard of the Media API in a lane.

use std::time::Duration;

use super::in_flight::InFlight;
use crate::time::Instant;

/// Calls that are unanswered for so long, with no answer to any other since they were sent, make a lane silent.
pub(super) const SILENCE: Duration = Duration::from_secs(2);
/// A call that an answer may still come to isn't given up for silent later than this: it ends by itself soon.
const LONGEST_SILENCE: Duration = Duration::from_secs(9);
/// What is known of how long answers take is forgotten so fast: one slow answer must not make a lane patient that is seldom called.
const HALF_FORGOTTEN: Duration = Duration::from_secs(10);
/// A silent lane is tried this often.
pub(super) const TRY_INTERVAL: Duration = Duration::from_millis(500);

/// What has been heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Hearing {
    last_answer: Option<Instant>,
    /// How long answers took when the last came: the longest, forgotten as others come.
    latency: Duration,
    silent: bool,
}

impl Hearing {
    pub(super) const fn last_answer(&self) -> Option<Instant> {
        self.last_answer
    }

    /// How long answers take, by what is known of it at that instant: half of it is forgotten each [`HALF_FORGOTTEN`] in which none comes.
    pub(super) fn latency(&self, at: Instant) -> Duration {
        let since = self.last_answer.map_or(Duration::ZERO, |last| at.since(last));
        self.latency.mul_f64(0.5_f64.powf(since.as_secs_f64() / HALF_FORGOTTEN.as_secs_f64()))
    }

    /// How long a probe is waited for before another is sent: twice what answers take, but no longer than for a silence, and at the pace of its tries.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        (self.latency(now) * 2).clamp(TRY_INTERVAL, SILENCE)
    }

    /// The same where calls are rare: what is known of how long answers take is as old as the last, and no less true.
    pub(super) fn long_patience(&self) -> Duration {
        (self.latency * 2).clamp(SILENCE, LONGEST_SILENCE)
    }

    pub(super) const fn is_silent(&self) -> bool {
        self.silent
    }

    /// An attempt that was sent at `sent` is answered, well or not. Returns whether that broke a silence.
    pub(super) fn answered(&mut self, sent: Instant, now: Instant) -> bool {
        let took = now.since(sent).min(LONGEST_SILENCE);
        self.latency = took.max((self.latency(now) * 7 + took) / 8);
        self.heard(now)
    }

    /// An attempt has failed for want of the Media API: how long that took says nothing of how long its answers take. Returns whether that broke a silence.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.latency = self.latency(now);
        self.heard(now)
    }

    fn heard(&mut self, now: Instant) -> bool {
        self.last_answer = Some(now);
        std::mem::take(&mut self.silent)
    }

    /// When it becomes silent, if nothing is heard until then.
    pub(super) fn silent_at(&self, in_flight: &InFlight, is_rare: bool) -> Option<Instant> {
        let sent = in_flight.earliest_after(self.last_answer).filter(|_| !self.silent)?;
        Some(sent + if is_rare { self.long_patience() } else { (self.latency(sent) * 2).clamp(SILENCE, LONGEST_SILENCE) })
    }

    /// Listens; returns whether it has just become silent. `is_rare`: calls are made so seldom that how long answers take isn't forgotten between two.
    pub(super) fn listen(&mut self, in_flight: &InFlight, is_rare: bool, now: Instant) -> bool {
        let becomes = self.silent_at(in_flight, is_rare).is_some_and(|at| at <= now);
        self.silent |= becomes;
        becomes
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Caller, Kind};
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    fn one_sent(sent: u64) -> InFlight {
        let mut in_flight = InFlight::default();
        in_flight.begin(&Caller::from("a"), (Kind::Refresh, at(60_000)), at(sent), at(sent));
        in_flight
    }

    #[test]
    fn nothing_heard_for_two_seconds_is_a_silence_that_any_answer_breaks() {
        let (mut hearing, in_flight) = (Hearing::default(), one_sent(1000));
        assert!(!hearing.listen(&in_flight, false, at(2999)) && !hearing.is_silent());
        assert_eq!(hearing.silent_at(&in_flight, false), Some(at(3000)));
        assert!(hearing.listen(&in_flight, false, at(3000)) && hearing.is_silent());
        assert!(!hearing.listen(&in_flight, false, at(3001)), "that is no news");
        assert_eq!(hearing.silent_at(&in_flight, false), None);
        assert!(hearing.answered(at(2900), at(3002)));
        assert!(!hearing.is_silent() && !hearing.answered(at(2900), at(3003)));
    }

    #[test]
    fn a_call_that_others_have_overtaken_says_nothing() {
        let (mut hearing, in_flight) = (Hearing::default(), one_sent(1000));
        hearing.answered(at(1990), at(2000));
        assert_eq!(hearing.silent_at(&in_flight, false), None);
        assert!(!hearing.listen(&in_flight, false, at(60_000)));
        assert_eq!(hearing.silent_at(&one_sent(2001), false), Some(at(4001)));
    }

    #[test]
    fn an_api_that_takes_its_time_is_given_it() {
        let mut hearing = Hearing::default();
        hearing.answered(at(0), at(4000));
        assert_eq!(hearing.latency(at(4000)), Duration::from_secs(4));
        assert!(hearing.silent_at(&one_sent(4001), false).is_some_and(|silent| (at(12_000)..at(12_001)).contains(&silent)));
        assert_eq!([14_000, 24_000].map(|later| hearing.latency(at(later))), [Duration::from_secs(2), Duration::from_secs(1)]);
        assert_eq!([14_000, 34_000, 54_000].map(|later| hearing.patience(at(later)).as_millis()), [2000, 1000, 500], "a probe's");
        assert_eq!(
            [hearing.silent_at(&one_sent(64_000), false), hearing.silent_at(&one_sent(64_000), true)],
            [Some(at(66_000)), Some(at(72_000))]
        );
        hearing.answered(at(0), at(8000));
        assert_eq!(hearing.silent_at(&one_sent(8001), false), Some(at(17_001)));
        hearing.answered(at(8000), at(8000));
        assert_eq!(hearing.latency(at(8000)), Duration::from_secs(7), "a quick one takes an eighth off");
        for _ in 0..40 {
            hearing.answered(at(8000), at(8010));
        }
        assert!(hearing.latency(at(8010)) < Duration::from_millis(60), "{:?}", hearing.latency(at(8010)));
        assert_eq!(hearing.silent_at(&one_sent(8011), false), Some(at(10_011)));
    }
}
