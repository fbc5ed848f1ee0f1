//! What the status says, which version of the request it may be written on, and how writing it fares.

use std::time::Duration;

use super::backoff::Backoff;
use super::ended::Ended;
use crate::api::PlaybackGrantRequestStatus;
use crate::api::condition::{ConditionType, Reason};
use crate::time::Instant;

/// What changes by itself is written at most this often.
const COARSE_INTERVAL: Duration = Duration::from_secs(30);
/// What another has gainsaid once is said again after this, and each time more after twice as long.
const GAINSAID: Duration = Duration::from_secs(1);

/// A newer version of a request is seen within that time, or its watch doesn't work.
const UNSEEN: Duration = Duration::from_secs(10);

/// Which status is written first where not all can be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It tells of more than a refresh as usual.
    Transition,
    /// It tells of a refresh as usual.
    Usual,
    /// The one before was left unanswered.
    Unanswered,
}

/// What the status says, and how it came there.
///
/// A status is written on the version of the request that is known: one that was sent earlier and was left unanswered, and that the API server
/// takes late, can't land over a newer one. (It can where the newer one says what stood there before: then nothing changes, the version neither. What
/// the watch shows then is put right as any other's word is.)
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The status as last written or, until then, as first seen.
    pub status: PlaybackGrantRequestStatus,
    /// When it was last written.
    pub written: Option<Instant>,
    /// Until when it isn't written, since the API server didn't take it.
    pub held: Option<Backoff>,
    /// Whether another that was left unanswered may stand there.
    pub unclear: bool,
    /// The request's newest version that is known.
    version: String,
    /// Whether an own write has made it of the version before, which was known: nothing else is new at it.
    own: bool,
    /// What the status says at that version instead, where another has had a word.
    gainsays: Option<Box<PlaybackGrantRequestStatus>>,
    /// The versions that own writes have put an end to.
    ended: Ended,
    /// Whether the last write met a newer version than that.
    outrun: bool,
    /// How often another has put other words in place of the same ones, in a row.
    gainsaid: u32,
    /// Why refreshing fails, where all of the lane fail so.
    shared_failure: Option<Reason>,
}

impl Told {
    /// What stands there when the request is first seen.
    #[must_use]
    pub fn at_first_sight(status: PlaybackGrantRequestStatus) -> Self {
        Self { status, ..Self::default() }
    }

    /// The request is seen at this version, with that status. What waits for a newer one than was known is tried now.
    pub fn seen(&mut self, version: &str, status: &PlaybackGrantRequestStatus) {
        if self.ended.contains(version) {
            return;
        }
        self.ended.forget();
        if self.version == version {
            return;
        }
        version.clone_into(&mut self.version);
        self.own = false;
        let stood = essence(self.stands()) == essence(&self.status);
        self.gainsays = (*status != self.status).then(|| Box::new(status.clone()));
        if stood && essence(self.stands()) != essence(&self.status) {
            self.gainsaid = self.gainsaid.saturating_add(1);
        }
        if std::mem::take(&mut self.outrun) {
            self.held = None;
        }
    }

    /// The watch shows the request at that version. Returns whether it is the one that the last own write has made: then nothing has changed that isn't known.
    #[must_use]
    pub fn comes_back(&mut self, version: &str) -> bool {
        let comes_back = self.own && self.version == version && !self.unclear;
        if comes_back {
            self.ended.shown();
        }
        comes_back
    }

    /// Whether that stands there, whoever wrote it.
    #[must_use]
    pub fn says(&self, status: &PlaybackGrantRequestStatus) -> bool {
        !self.unclear && self.stands() == status
    }

    /// How long what is no transition waits after the last write. What others gainsay for the first time is said again after a second: theirs may be
    /// the last word of one that has gone. Two that go on seeing it differently wait longer and longer, and don't write over each other without end.
    #[must_use]
    pub fn coarse(&self) -> Duration {
        match self.gainsaid {
            0 => COARSE_INTERVAL,
            times => GAINSAID.saturating_mul(1 << (times - 1).min(5)).min(COARSE_INTERVAL),
        }
    }

    /// Whether what the status has just been made to say of failing is told already of all that fail together, and so of their recovery, too.
    /// `closed_by`: why the request's lane is closed, if it is.
    pub fn shares_failure(&mut self, closed_by: Option<Reason>) -> bool {
        let failing = self.status.conditions.iter().find(|condition| condition.type_ == ConditionType::RefreshFailing.as_str());
        let before = self.shared_failure.take();
        let Some(reason) = failing.map(|failing| failing.reason.as_str()) else { return before.is_some() };
        self.shared_failure = before.into_iter().chain(closed_by).find(|shared| shared.as_str() == reason);
        self.shared_failure.is_some()
    }

    /// Whether this status has to wait for others', where not all can be written at once.
    #[must_use]
    pub fn urgency(&self, status: &PlaybackGrantRequestStatus) -> Urgency {
        if self.unclear {
            Urgency::Unanswered
        } else if transition(status) == transition(&self.status) {
            Urgency::Usual
        } else {
            Urgency::Transition
        }
    }

    /// What the status says at the version that is known, whoever wrote it.
    #[must_use]
    pub fn stands(&self) -> &PlaybackGrantRequestStatus {
        self.gainsays.as_deref().unwrap_or(&self.status)
    }

    /// The version of the request to write on. `None`: on any, since it has met another, and no watch has shown that.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        Some(self.version.as_str()).filter(|version| !self.outrun && !version.is_empty())
    }

    /// The status was written, which made the request that version. Returns what it said before.
    pub fn written(&mut self, status: PlaybackGrantRequestStatus, version: String, now: Instant) -> PlaybackGrantRequestStatus {
        if version != self.version {
            self.own = self.version().is_some();
            self.ended.add(std::mem::replace(&mut self.version, version));
        }
        self.gainsays = None;
        if essence(&status) != essence(&self.status) {
            self.gainsaid = 0;
        }
        self.written = Some(now);
        (self.held, self.unclear, self.outrun) = (None, false, false);
        std::mem::replace(&mut self.status, status)
    }

    /// The status wasn't taken; `refused`: the API server said no, rather than being in trouble itself or giving no answer.
    pub fn refused(&mut self, refused: bool, now: Instant) {
        let earlier = self.held.filter(|_| !std::mem::take(&mut self.outrun));
        self.held = Some(Backoff::after(earlier, refused, now));
        self.unclear |= !refused;
    }

    /// The API server takes calls again that it didn't take: the status is tried now, unless it waits for a newer version of the request, of which
    /// that says nothing.
    pub fn relieved(&mut self, now: Instant) {
        if let Some(held) = self.held.as_mut().filter(|_| !self.outrun) {
            held.until = held.until.min(now);
        }
    }

    /// The status wasn't taken, since there is a newer version of the request: it is tried when that is seen. Before, it would be refused again; after a
    /// while it is written whatever the version.
    pub fn outrun(&mut self, now: Instant) {
        self.held = Some(Backoff { failures: 1, until: now + UNSEEN });
        self.outrun = true;
    }
}

/// What is written at once when it changes.
pub(super) fn essence(status: &PlaybackGrantRequestStatus) -> impl PartialEq {
    (transition(status), &status.grant)
}

/// Of that, what a refresh as usual doesn't change.
fn transition(status: &PlaybackGrantRequestStatus) -> impl PartialEq {
    let conditions: Vec<_> = status.conditions.iter().map(|condition| (&condition.type_, &condition.status, &condition.reason)).collect();
    (status.observed_generation, conditions, &status.secret_name, &status.last_handled_refresh_request)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;
    use crate::api::GrantStatus;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    fn says(failures: u32) -> PlaybackGrantRequestStatus {
        PlaybackGrantRequestStatus { consecutive_failures: failures, ..PlaybackGrantRequestStatus::default() }
    }

    fn nothing() -> PlaybackGrantRequestStatus {
        PlaybackGrantRequestStatus::default()
    }

    fn told(version: &str) -> Told {
        let mut told = Told::at_first_sight(says(1));
        told.seen(version, &says(1));
        told
    }

    #[test]
    fn a_failure_that_a_lane_shared_is_shared_until_it_is_over_and_one_alone_is_not() {
        let failing = |reason: Reason| Condition {
            type_: ConditionType::RefreshFailing.as_str().to_owned(),
            status: "True".to_owned(),
            reason: reason.as_str().to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
        };
        let away = Some(Reason::MediaApiUnavailable);
        let mut told = Told::default();
        assert!(!told.shares_failure(away), "it is well");
        told.status.conditions = vec![failing(Reason::MediaApiUnavailable)];
        assert!(!told.shares_failure(None));
        told.status.conditions.clear();
        assert!(!told.shares_failure(None));
        told.status.conditions = vec![failing(Reason::MediaApiUnavailable)];
        assert!(told.shares_failure(away) && told.shares_failure(None));
        told.status.conditions.clear();
        assert!(told.shares_failure(None), "that it is over was told of all");
        assert!(!told.shares_failure(None));
        told.status.conditions = vec![failing(Reason::MediaApiUnavailable)];
        assert!(told.shares_failure(away));
        told.status.conditions = vec![failing(Reason::PlayerStreamerNotFound)];
        assert!(!told.shares_failure(away) && !told.shares_failure(None), "another reason is its own");
        told.status.conditions.clear();
        assert!(!told.shares_failure(None), "and so is its end");
    }

    #[test]
    fn it_is_written_on_the_version_that_own_writes_have_made_until_another_is_seen() {
        let mut told = told("5");
        assert_eq!((told.version(), told.status.consecutive_failures, told.written), (Some("5"), 1, None));
        told.written(says(2), "6".into(), at(0));
        told.written(says(3), "7".into(), at(1));
        assert_eq!((told.status.consecutive_failures, told.written), (3, Some(at(1))));
        for late in ["5", "6", "5"] {
            told.seen(late, &nothing());
            assert_eq!(told.version(), Some("7"), "{late} is over");
        }
        told.seen("7", &nothing());
        told.seen("9", &nothing());
        assert_eq!(told.version(), Some("9"), "somebody else's");
    }

    #[test]
    fn a_transition_is_more_urgent_than_a_refresh_and_what_was_left_unanswered_less() {
        let mut told = told("5");
        assert_eq!(told.urgency(&says(2)), Urgency::Usual, "a count");
        let refreshed = PlaybackGrantRequestStatus { grant: Some(GrantStatus::default()), ..says(1) };
        assert_eq!(told.urgency(&refreshed), Urgency::Usual, "another grant");
        let renamed = PlaybackGrantRequestStatus { secret_name: Some("lobby".into()), ..says(1) };
        assert_eq!(told.urgency(&renamed), Urgency::Transition);
        told.refused(false, at(0));
        assert_eq!(told.urgency(&renamed), Urgency::Unanswered);
    }

    #[test]
    fn what_comes_back_is_the_last_own_write_and_nothing_else() {
        let mut told = told("5");
        assert!(!told.comes_back("5"), "it was another's");
        told.written(says(2), "6".into(), at(0));
        assert!(!told.comes_back("5") && told.comes_back("6"));
        told.seen("5", &nothing());
        assert_eq!(told.version(), Some("6"), "an older one may still be looked at");
        assert!(told.comes_back("6"));
        told.written(says(3), "8".into(), at(1));
        told.seen("6", &nothing());
        assert_eq!((told.version(), told.ended.count()), (Some("8"), 1), "of what is over no more is kept than may be looked at");
        told.written(says(2), "9".into(), at(1));
        told.seen("6", &nothing());
        told.seen("8", &nothing());
        assert_eq!(told.version(), Some("9"), "the watch hasn't caught up with either");
        told.refused(false, at(2));
        assert!(!told.comes_back("9"), "another may stand there");
        told.seen("10", &says(1));
        told.written(says(1), "10".into(), at(3));
        assert!(!told.comes_back("10"), "a write that changed nothing made no version");
        told.outrun(at(4));
        told.written(says(1), "12".into(), at(5));
        assert!(!told.comes_back("12"), "written on whatever stood there, which may be another's");
    }

    #[test]
    fn what_is_over_is_forgotten_once_the_watch_has_caught_up() {
        let mut told = told("5");
        told.written(says(2), "6".into(), at(0));
        told.seen("6", &nothing());
        told.seen("5", &nothing());
        assert_eq!(told.version(), Some("5"), "a version means nothing but itself");
        told.written(says(2), "5".into(), at(1));
        told.seen("6", &nothing());
        assert_eq!(told.version(), Some("6"), "a write that changes nothing ends no version");
    }

    #[test]
    fn what_is_outrun_is_tried_when_the_newer_version_is_seen() {
        let mut told = told("5");
        told.outrun(at(0));
        told.relieved(at(1));
        assert_eq!(told.held.unwrap().until, at(10_000), "that the API server takes calls says nothing of the watch");
        told.seen("5", &nothing());
        assert!(told.held.is_some(), "that is no news");
        assert_eq!(told.version(), None, "if it comes to that");
        told.seen("6", &nothing());
        assert!(told.held.is_none() && !told.unclear);
        assert_eq!(told.version(), Some("6"));
        told.outrun(at(1));
        told.refused(true, at(1));
        assert!(told.held.unwrap().is_first() && told.version() == Some("6"), "the first that is refused");
        told.relieved(at(2));
        assert_eq!(told.held.unwrap().until, at(2));
        told.outrun(at(1));
        told.written(says(2), "7".into(), at(2));
        told.refused(true, at(3));
        told.seen("8", &nothing());
        assert_eq!(told.held.unwrap().until, at(1003), "a refusal doesn't wait for another version");
    }

    #[test]
    fn what_another_has_said_needs_no_saying() {
        let mut told = told("5");
        assert!(told.says(&says(1)) && !told.says(&says(2)));
        told.seen("6", &says(2));
        assert!(!told.says(&says(1)) && told.says(&says(2)));
        told.written(says(3), "7".into(), at(0));
        assert!(!told.says(&says(1)) && !told.says(&says(2)) && told.says(&says(3)));
        told.seen("6", &says(2));
        assert!(!told.says(&says(2)), "that is over");
        told.refused(false, at(1));
        assert!(!told.says(&says(3)), "that may be over");
    }

    #[test]
    fn what_another_gainsays_is_said_again_after_longer_and_longer() {
        let other = PlaybackGrantRequestStatus { observed_generation: Some(7), ..says(1) };
        let mut told = told("5");
        let mut waits = vec![told.coarse().as_secs()];
        for round in 0..7 {
            told.seen(&format!("other-{round}"), &other);
            told.seen(&format!("another-{round}"), &PlaybackGrantRequestStatus { observed_generation: Some(8), ..says(1) });
            waits.push(told.coarse().as_secs());
            told.written(says(1), format!("own-{round}"), at(round));
        }
        assert_eq!(waits, [30, 1, 2, 4, 8, 16, 30, 30]);
        told.seen("99", &says(2));
        assert_eq!(told.coarse().as_secs(), 30, "a count that has changed isn't another's word");
        told.written(other, "100".into(), at(9));
        told.seen("101", &says(1));
        assert_eq!(told.coarse().as_secs(), 1, "it has something else to say");
    }

    #[test]
    fn what_is_left_unanswered_may_stand_there_and_what_is_refused_doesnt() {
        let mut told = told("5");
        told.refused(true, at(0));
        assert!(!told.unclear);
        told.refused(false, at(1));
        told.refused(true, at(2));
        assert!(told.unclear);
        told.written(says(2), "6".into(), at(3));
        assert!(!told.unclear && told.held.is_none());
    }
}
