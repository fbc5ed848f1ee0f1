//! What is remembered of one request, keyed by its uid, and how it changes.

use std::sync::Arc;

use super::backoff::{Holds, Repairs, Restores};
use super::hand::{HeldGrant, Life};
use super::order::Contents;
use super::secret::{Claim, SecretVersion};
use super::told::Told;
use super::trouble::Trouble;
use crate::api::PlaybackGrantRequestStatus;
use crate::api::condition::Reason;
use crate::media::FailureClass;
use crate::media::LaneKey;
use crate::media::lane::Hold;
use crate::media::retry::{FailedAttempt, PRESSING, RECENT_SUCCESS};
use crate::time::Instant;

/// What is remembered of one request. It is lost at a restart, but for what the status says.
#[derive(Clone, Debug)]
pub struct Memory {
    /// When the request was first seen.
    pub arrival: Instant,
    /// The name of the Secret that what is remembered of the Secret is about.
    pub secret: Option<Arc<str>>,
    /// The generation of the spec for which the Secret was written, or was to be.
    pub generation: Option<i64>,
    /// The grant in hand.
    pub hand: Option<Arc<HeldGrant>>,
    /// The version of the Secret whose data is known to be what its annotations claim.
    pub verified: Option<SecretVersion>,
    /// The version of the Secret that an own write left.
    pub own_version: Option<SecretVersion>,
    /// When the grant that the Secret was last known to hold was asked for.
    pub landed: Option<Instant>,
    /// The hash over what decided it, and its life on the operator's own clock: the wall clock may have been set since.
    pub landed_life: Option<(Arc<str>, Life)>,
    /// The hash of the token that an own write last put beside a grant, if it put one.
    pub landed_token: Option<Box<str>>,
    /// The issue instant of the grant that last came into a Secret of this request, whichever the spec named then.
    pub came: Option<Instant>,
    /// Whether refreshing was suspended since: then nobody is late.
    pub paused: bool,
    /// The version of the Secret whose data is known not to be what was written.
    pub damaged: Option<SecretVersion>,
    /// The version of the Secret whose Access Token is known not to be what was written, though its grant is.
    pub damaged_token: Option<SecretVersion>,
    /// The version of the Secret that can't be patched: it is deleted and made again.
    pub unpatchable: Option<SecretVersion>,
    /// How often others have changed what was written, and until when it is left at that.
    pub repairs: Repairs,
    /// How often the Secret was made again since others had deleted it, and until when it is left at that.
    pub restores: Restores,
    /// Until when Secrets that earlier specs named are left where they are, since the API server didn't delete them.
    pub strays_held: Holds,
    /// When the Secret was last looked for.
    pub looked: Option<Instant>,
    /// Whether the API server didn't give the credentials when they were last asked for.
    pub credentials_withheld: bool,
    /// The call that waits or is in flight. Boxed, as what follows where it says so: most of the time there is none.
    pub ordered: Option<Box<Ordered>>,
    /// How the last attempt failed, if it did. Boxed.
    pub failure: Option<Box<Failure>>,
    /// How many attempts in a row have failed.
    pub consecutive_failures: u32,
    /// The last attempt that succeeded: what for, and when.
    pub last_success: Option<(Subject, Instant)>,
    /// The value of the refresh annotation that was handled last.
    pub handled_refresh: Option<String>,
    /// When a call was last forced by that annotation.
    pub last_forced: Option<Instant>,
    /// What the API server last refused or left unanswered, if it did. Boxed.
    pub trouble: Option<Box<Trouble>>,
    /// For which version of the Secret the API server last said that it is another (`None`: that there is one), how often in a row, and when. Boxed.
    pub conflicts: Option<Box<(Option<SecretVersion>, u32, Instant)>>,
    /// What the status says.
    pub told: Told,
}

/// What an attempt was made for, and with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The hash over what decides the grant.
    pub request_hash: Arc<str>,
    /// The credentials' lane.
    pub lane: LaneKey,
}

/// A call that waits in its lane or is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// What for, and with.
    pub subject: Subject,
    /// The value of the refresh annotation that its answer handles.
    pub refresh_request: Option<String>,
    /// Whether that annotation forces it.
    pub forced: bool,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the attempt was for, and with.
    pub subject: Subject,
    /// The class of the failure.
    pub class: FailureClass,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// Whether it is looked at again slowly.
    pub slow: bool,
    /// How many attempts at the same, in a row and at the same pace, have failed so.
    pub streak: u32,
    /// What holds the next attempt back.
    pub hold: Hold,
    /// Whether the spec has changed since, by which somebody may have mended it: then nothing holds the next attempt.
    pub mended: bool,
}

impl Memory {
    /// What is known of a request when it is first seen.
    #[must_use]
    pub fn at_first_sight(status: Option<&PlaybackGrantRequestStatus>, now: Instant) -> Self {
        let status = status.cloned().unwrap_or_default();
        Self {
            arrival: now,
            secret: None,
            generation: None,
            hand: None,
            verified: None,
            own_version: None,
            landed: None,
            landed_life: None,
            landed_token: None,
            came: None,
            paused: false,
            damaged: None,
            damaged_token: None,
            unpatchable: None,
            repairs: Repairs::default(),
            restores: Restores::default(),
            strays_held: Holds::default(),
            looked: None,
            credentials_withheld: false,
            ordered: None,
            failure: None,
            consecutive_failures: status.consecutive_failures,
            last_success: None,
            handled_refresh: status.last_handled_refresh_request.clone(),
            last_forced: None,
            trouble: None,
            conflicts: None,
            told: Told::at_first_sight(status),
        }
    }

    /// The spec, of that generation, names this Secret. What others did to the one that it named before is not held against this one, and
    /// nothing has landed here yet. What the API server refused of another spec it may take of this one.
    pub fn concerns(&mut self, secret: impl AsRef<str> + Into<Arc<str>>, generation: Option<i64>) {
        if self.secret.as_deref() != Some(secret.as_ref()) {
            self.secret = Some(secret.into());
            (self.landed, self.landed_life, self.landed_token) = (None, None, None);
            (self.repairs, self.restores) = (Repairs::default(), Restores::default());
        } else if self.generation == generation {
            return;
        }
        self.generation = generation;
        if let Some(failure) = &mut self.failure {
            failure.mended = true;
        }
        // Nothing can be written for any spec while the namespace terminates.
        self.trouble.take_if(|trouble| !trouble.terminating);
    }

    /// A watch shows the request at that version. Returns whether that is the status that was written last, on a spec that is known: no news, and nothing to look at.
    #[must_use]
    pub fn is_echo(&mut self, version: &str, generation: Option<i64>) -> bool {
        self.generation == generation && self.told.comes_back(version)
    }

    /// A call was put into its lane.
    pub fn ordered(&mut self, ordered: Ordered, now: Instant) {
        if ordered.forced {
            self.last_forced = Some(now);
        }
        if let Some(failure) = self.failure.as_mut().filter(|failure| failure.mended) {
            (failure.hold, failure.mended) = (Hold::Nothing, false);
        }
        self.ordered = Some(Box::new(ordered));
    }

    /// The answer to the ordered call is a grant; it is the grant in hand from here on, unless that one, another operator's that was read
    /// meanwhile, was asked for later.
    pub fn granted(&mut self, held: HeldGrant, now: Instant) {
        if let Some(ordered) = self.ordered.take() {
            let Ordered { subject, refresh_request, .. } = *ordered;
            self.last_success = Some((subject, now));
            self.handled_refresh = refresh_request.or(self.handled_refresh.take());
        }
        self.consecutive_failures = 0;
        self.failure = None;
        let newer = self.hand.as_ref().is_none_or(|hand| hand.request_hash != held.request_hash || !hand.is_later_than(&held));
        if newer {
            self.hand = Some(Arc::new(held));
        }
    }

    /// The ordered call failed. `covered_until`: the expiry of the grant that the Secret holds. `draw` spreads the next attempt.
    pub fn failed(&mut self, class: FailureClass, message: String, covered_until: Option<Instant>, now: Instant, draw: f64) {
        let Some(ordered) = self.ordered.take() else { return };
        let Ordered { subject, refresh_request, .. } = *ordered;
        self.handled_refresh = refresh_request.or(self.handled_refresh.take());
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        let recently_succeeded = match &self.last_success {
            Some((succeeded, at)) => *succeeded == subject && now.since(*at) <= RECENT_SUCCESS,
            None => self.took_over(&subject, now) && !matches!(class, FailureClass::Unauthorized | FailureClass::Forbidden),
        };
        let pressing = covered_until.is_none_or(|expiry| expiry <= now + PRESSING);
        let mut attempt = FailedAttempt { class, streak: 1, recently_succeeded, pressing };
        let slow = attempt.slow();
        // Not `consecutive_failures`: those of another spec, of a time before a restart, or of an outage say nothing of how long a refusal
        // lasts.
        let before = self.failure.as_ref().filter(|before| before.subject == subject && before.slow == slow);
        attempt.streak = before.map_or(0, |before| before.streak).saturating_add(1);
        let retry_at = now + attempt.retry_delay(draw);
        let hold = if class.is_own() { Hold::Own(retry_at) } else { Hold::WithLane(retry_at) };
        self.failure = Some(Box::new(Failure { subject, class, message, slow, streak: attempt.streak, hold, mended: false }));
    }

    /// Whether a grant for the same was made before a restart, so recently that a refusal looks like a passing fault. With which credentials
    /// it was made is not known any more.
    fn took_over(&self, subject: &Subject, now: Instant) -> bool {
        self.hand.as_ref().is_some_and(|hand| hand.request_hash == subject.request_hash && now.since(hand.issue) <= RECENT_SUCCESS)
    }

    /// The Secret's data was read and is what `held` says; `held` is the grant in hand from here on unless that one was asked for later. `token`: whether the
    /// Access Token is what its annotation says, too.
    pub fn read_intact(&mut self, version: SecretVersion, mut held: HeldGrant, token: bool) {
        // Its times may be of a wall clock that has been set since; of what has landed is known when it was asked for.
        if let Some(life) = self.known_life(&held.claim()) {
            held.issue = life.issue;
        }
        let newer = self.hand.as_ref().is_none_or(|hand| {
            // The same times, and another grant: two operators have asked at the same millisecond. What stands there stays.
            hand.request_hash != held.request_hash || !hand.is_later_than(&held) || hand.claim() == held.claim()
        });
        if newer {
            self.landed(&held);
            self.hand = Some(Arc::new(held));
        }
        self.damaged = None;
        self.damaged_token = (!token).then(|| version.clone());
        self.verified = Some(version);
    }

    fn landed(&mut self, grant: &HeldGrant) {
        (self.landed, self.came, self.paused) = (Some(grant.issue), Some(grant.issue), false);
        self.landed_life = Some((grant.request_hash.clone(), Life::of(grant)));
    }

    /// The life of the grant that the Secret is known to hold, if it is the one that says so of itself.
    #[must_use]
    pub fn known_life(&self, claim: &Claim) -> Option<Life> {
        let (request_hash, life) = self.landed_life.as_ref()?;
        let says_so = *claim.request_hash == **request_hash && life.issue_time == claim.issue_time && life.expiry_time == claim.expiry_time;
        says_so.then_some(*life)
    }

    /// The Secret's data was read and isn't what was written.
    pub fn read_damaged(&mut self, version: SecretVersion) {
        self.verified = None;
        self.damaged = Some(version);
    }

    /// The Secret was written, with those contents, if with any: a newer grant may have come into hand while the write was under way. `repair`: not
    /// for a new grant, but since others had changed the Secret. `undone`: the answer shows that somebody, an admission webhook say, has
    /// undone part of it on its way in; to try it again is a repair.
    pub fn written(&mut self, version: SecretVersion, contents: Option<&Contents>, repair: bool, undone: bool, now: Instant) {
        if repair || undone {
            self.repairs = self.repairs.made(now);
        }
        if let Some(Contents { grant, token }) = contents {
            self.landed(grant);
            self.landed_token = token.as_ref().map(|token| token.hash().into());
        }
        (self.trouble, self.conflicts) = (None, None);
        self.damaged = None;
        // A write of labels alone leaves a spoilt token as it is.
        self.damaged_token = self.damaged_token.take().filter(|_| contents.is_none()).map(|_| version.clone());
        self.unpatchable = None;
        self.own_version = (!undone).then(|| version.clone());
        self.verified = Some(version);
    }

    /// Whether those contents, about to be taken for written, bring another token around a grant that the Secret has had already.
    #[must_use]
    pub fn signs_anew(&self, contents: Option<&Contents>) -> bool {
        contents.is_some_and(|Contents { grant, token }| token.is_some() && self.landed == Some(grant.issue))
    }

    /// The Secret was made again, since others had deleted it or made it what can't be changed.
    pub fn restored(&mut self, now: Instant) {
        self.restores = self.restores.made(now);
    }

    /// The API server has given the credentials, or not.
    pub fn credentials_read(&mut self, given: bool) {
        self.credentials_withheld = !given;
    }
}

/// The reason that a class of failure stands for in the status.
#[must_use]
pub const fn reason_of(class: FailureClass) -> Reason {
    match class {
        FailureClass::Unavailable => Reason::MediaApiUnavailable,
        FailureClass::Throttled { .. } => Reason::MediaApiThrottled,
        FailureClass::InvalidResponse => Reason::InvalidResponse,
        FailureClass::Unauthorized | FailureClass::Forbidden => Reason::Unauthorized,
        FailureClass::NotFound => Reason::PlayerStreamerNotFound,
        FailureClass::Rejected => Reason::MediaApiRejected,
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
