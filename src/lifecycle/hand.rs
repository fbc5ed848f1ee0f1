//! The grant in hand.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::schedule;
use super::secret::Claim;
use crate::media::{Grant, PlayerStreamerSid, Ttl};
use crate::time::{Instant, Now};

/// A grant that the controller holds in memory, to write it, and to write it again should the Secret be lost.
#[derive(Clone, Debug)]
pub struct HeldGrant {
    /// The grant as received.
    pub grant: Grant,
    /// The PlayerStreamer that it is for.
    pub player_streamer_sid: PlayerStreamerSid,
    /// Just before its request was sent.
    pub issue: Instant,
    /// The same instant, by the wall clock of that time, in whole milliseconds.
    pub issue_time: Timestamp,
    /// Its lifetime.
    pub ttl: Ttl,
    /// The hash over what decided it.
    pub request_hash: Arc<str>,
}

impl HeldGrant {
    /// When it expires; never later than the truth, since the Media API's clock for it starts after its request is sent.
    #[must_use]
    pub fn expiry(&self) -> Instant {
        self.issue + self.ttl.duration()
    }

    /// Whether it was asked for later than another for the same.
    ///
    /// Of two that are so near, one may be another operator's: the way through the Secret has cost its instant what is less than a millisecond,
    /// and what passed between the readings of two clocks. There the times decide as they stand in the Secret, which both operators see alike.
    #[must_use]
    pub fn is_later_than(&self, other: &Self) -> bool {
        let apart = self.issue.since(other.issue).max(other.issue.since(self.issue));
        if apart < NEAR { self.issue_time > other.issue_time } else { self.issue > other.issue }
    }

    /// What the annotations of a Secret that holds it say.
    #[must_use]
    pub fn claim(&self) -> Claim {
        let ttl = SignedDuration::from_secs(i64::from(self.ttl.seconds()));
        Claim {
            issue_time: self.issue_time,
            expiry_time: self.issue_time.checked_add(ttl).unwrap_or(Timestamp::MAX),
            request_hash: self.request_hash.clone(),
        }
    }
}

/// Two clocks that are read one after the other are never as far apart, nor do refreshes follow one another as fast without a wish.
const NEAR: Duration = Duration::from_millis(500);

/// `time` in whole milliseconds, rounded down: what survives the way through a Secret.
#[must_use]
pub fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// The life of a grant on the operator's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it was asked for.
    pub issue: Instant,
    /// When it expires.
    pub expiry: Instant,
    /// The same by the wall clock, as it stands in the Secret.
    pub expiry_time: Timestamp,
    /// When it was asked for, by the wall clock, as it stands in the Secret.
    pub issue_time: Timestamp,
}

/// By so much may a plausible issue lie in the future: two machines' clocks are never quite the same.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

impl Life {
    /// The life of the grant in hand.
    #[must_use]
    pub fn of(held: &HeldGrant) -> Self {
        let claim = held.claim();
        Self { issue: held.issue, expiry: held.expiry(), issue_time: claim.issue_time, expiry_time: claim.expiry_time }
    }

    /// The life that a Secret's annotations claim, if it is plausible: issued not later than now, and expiring a TTL after that.
    #[must_use]
    pub fn claimed(claim: &Claim, ttl: Ttl, now: Now) -> Option<Self> {
        let lived = now.wall.duration_since(claim.issue_time);
        let life = claim.expiry_time.duration_since(claim.issue_time);
        if lived < -CLOCK_TOLERANCE || life != SignedDuration::from_secs(i64::from(ttl.seconds())) {
            return None;
        }
        let issue = now.instant_at(claim.issue_time).min(now.instant);
        // Not `issue + TTL`: an issue before the machine's start is cut off at the start.
        let expiry = now.instant_at(claim.expiry_time).min(now.instant + ttl.duration());
        Some(Self { issue, expiry, issue_time: claim.issue_time, expiry_time: claim.expiry_time })
    }

    /// When the grant is replaced.
    #[must_use]
    pub fn due(&self, uid: &str, ttl: Ttl, refresh_before: Duration) -> Instant {
        let draw = schedule::draw(uid, self.issue_time.as_millisecond());
        schedule::due(self.issue, ttl, refresh_before, draw)
    }
}

#[cfg(test)]
#[path = "hand_tests.rs"]
mod tests;
