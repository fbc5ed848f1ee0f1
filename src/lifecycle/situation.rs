//! What one request's affairs are now: everything observed, put in relation.

use std::time::Duration;

use super::hand::{HeldGrant, Life};
use super::memory::{Memory, Subject};
use super::ownership::{Identity, Whose};
use super::secret::{SecretMeta, SecretView};
use super::token::Signer;
use super::trouble::Trouble;
use crate::api::{InvalidSpec, ValidSpec};
use crate::media::FailureClass;
use crate::media::LaneKey;
use crate::time::{Instant, Now};

/// Everything that is observed of one request.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The request.
    pub identity: &'a Identity,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its spec, checked.
    pub spec: Result<&'a ValidSpec, &'a InvalidSpec>,
    /// The value of its refresh annotation.
    pub refresh_request: Option<&'a str>,
    /// The Secret that the spec names.
    pub secret: &'a SecretView,
    /// Other Secrets in the namespace that this request has left behind.
    pub strays: &'a [SecretMeta],
    /// The credentials.
    pub credentials: &'a CredentialsView,
    /// Why the lane of the ordered call is closed, if it is.
    pub lane_closed: Option<LaneClosed>,
    /// Of a request that is refreshed more often than this, the status leaves out what each refresh changes.
    pub status_interval: Duration,
    /// Whether the API server is to be asked for nothing now: writes in the namespace, or its own, are left unanswered, and too many such are out.
    pub awaits_turn: bool,
    /// What is remembered.
    pub memory: &'a Memory,
}

/// Why a lane is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneClosed {
    /// The failure that closed it, or the last failure of a probe.
    pub class: FailureClass,
    /// Whether it is looked at slowly.
    pub slow: bool,
}

/// The credentials as last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsView {
    /// They changed, or were never read.
    NotRead,
    /// There is no such Secret.
    NotFound,
    /// They can't be used; the text says what is missing or malformed, and the remedy.
    Invalid(String),
    /// They can be used.
    Usable {
        /// Their calls go through this lane.
        lane: LaneKey,
        /// What they sign tokens with.
        signer: Signer,
    },
}

/// The Secret that the spec names, seen from its request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    NotLooked,
    Absent,
    Foreign(&'a SecretMeta),
    Ours(&'a SecretMeta),
    /// Ours when last looked at; it has changed since.
    Outdated(&'a SecretMeta),
}

/// A request's affairs, with a spec that is valid.
pub(super) struct Situation<'a> {
    pub(super) seen: Seen<'a>,
    pub(super) spec: &'a ValidSpec,
    pub(super) now: Now,
    pub(super) target: Target<'a>,
    /// The grant in hand, if it was made for this spec and is unexpired.
    pub(super) hand: Option<&'a HeldGrant>,
    /// Whether the Secret is known to hold the grant in hand.
    pub(super) holds_hand: bool,
    /// The life of the grant that the Secret holds for this spec, expired or not; plausible, but perhaps not read yet.
    pub(super) held_life: Option<Life>,
}

impl<'a> Situation<'a> {
    pub(super) fn of(seen: Seen<'a>, spec: &'a ValidSpec, now: Now) -> Self {
        let Seen { identity, secret, memory, .. } = seen;
        let target = match secret {
            SecretView::NotLooked => Target::NotLooked,
            SecretView::Absent => Target::Absent,
            SecretView::Present(meta) => match identity.whose(meta) {
                Whose::Ours | Whose::Predecessors => Target::Ours(meta),
                Whose::Foreign => Target::Foreign(meta),
            },
            SecretView::Outdated(meta) => match identity.whose(meta) {
                Whose::Ours | Whose::Predecessors => Target::Outdated(meta),
                Whose::Foreign => Target::NotLooked,
            },
        };
        let hand = memory.hand.as_deref().filter(|hand| hand.request_hash == spec.request_hash && now.instant < hand.expiry());
        let mut situation = Self { seen, spec, now, target, hand, holds_hand: false, held_life: None };
        if let Target::Ours(meta) | Target::Outdated(meta) = target
            && let Some(claim) = meta.claim()
            && claim.request_hash == spec.request_hash
            && memory.damaged.as_ref() != Some(&meta.version)
        {
            let in_hand = memory.hand.as_deref().filter(|hand| hand.claim() == claim);
            // Of one that is held no version is read any more: what is known of an earlier one stands.
            let was_damaged = memory.damaged.as_ref().is_some_and(|version| version.uid() == meta.version.uid());
            situation.holds_hand = in_hand.is_some() && memory.verified.as_ref() == Some(&meta.version);
            if !(was_damaged && situation.is_held()) {
                let known = in_hand.map(Life::of).or_else(|| memory.known_life(&claim));
                situation.held_life = known.or_else(|| Life::claimed(&claim, spec.call.ttl, now));
            }
        }
        situation
    }

    /// Whether the grant last received for this spec, expired or not, isn't what the Secret says that it holds.
    pub(super) fn holds_unwritten_grant(&self) -> bool {
        let received = self.seen.memory.hand.as_deref().filter(|hand| hand.request_hash == self.spec.request_hash);
        let claim = match self.target {
            Target::Ours(meta) | Target::Outdated(meta) => meta.claim(),
            _ => None,
        };
        received.is_some_and(|received| claim != Some(received.claim()))
    }

    /// The expiry of the grant that the Secret holds for this spec, while it is unexpired.
    pub(super) fn covered_until(&self) -> Option<Instant> {
        self.held_life.map(|life| life.expiry).filter(|expiry| self.now.instant < *expiry)
    }

    /// When the next grant is due: of the one in hand, which may not be written yet, or of the one in the Secret.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.refreshed_life()?.1)
    }

    /// The life that the next refresh goes by, and when that is due.
    pub(super) fn refreshed_life(&self) -> Option<(Life, Instant)> {
        let life = self.hand.map(Life::of).or(self.held_life)?;
        Some((life, life.due(&self.seen.identity.uid, self.spec.call.ttl, self.spec.refresh_before)))
    }

    /// What a call now would be made for, and with; `None` while the credentials can't be used.
    pub(super) fn subject(&self) -> Option<Subject> {
        match self.seen.credentials {
            CredentialsView::Usable { lane, .. } => Some(Subject { request_hash: self.spec.request_hash.clone(), lane: *lane }),
            _ => None,
        }
    }

    /// Whether the Secret can't be changed, and can't be made again either: it is deleted, and others hold it.
    pub(super) fn is_held(&self) -> bool {
        // Neither can be undone on the same object, whatever else is changed of it.
        let is_unpatchable =
            |meta: &SecretMeta| self.seen.memory.unpatchable.as_ref().is_some_and(|version| version.uid() == meta.version.uid());
        matches!(self.target, Target::Ours(meta) if meta.deleting && is_unpatchable(meta))
    }

    /// The value of the refresh annotation, while it isn't handled.
    pub(super) fn unhandled_refresh(&self) -> Option<&'a str> {
        self.seen.refresh_request.filter(|value| self.seen.memory.handled_refresh.as_deref() != Some(*value))
    }

    /// Whether the API server may be asked for something now.
    pub(super) fn may_ask_api_server(&self) -> bool {
        let may = |trouble: &Trouble| !trouble.terminating && trouble.backoff.until <= self.now.instant;
        !self.seen.awaits_turn && self.seen.memory.trouble.as_deref().is_none_or(may)
    }
}
