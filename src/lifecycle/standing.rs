//! What the Secret of a request holds, as far as the operator knows, and how it came there: what the figures are made of.

use std::sync::Arc;
use std::time::Duration;

use super::hand::Life;
use super::memory::Memory;
use super::order::Contents;
use super::situation::{Seen, Situation, Target};
use crate::api::ValidSpec;
use crate::media::Ttl;
use crate::time::{Instant, Now};

/// What the Secret of a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No grant: none was issued yet, the Secret is another's, or there is none.
    Absent,
    /// A grant that lives, or has lived, until then.
    Holds {
        /// Its expiry.
        expiry: Instant,
    },
    /// Whatever it holds, refreshing is suspended: that it expires is as it is wanted.
    Suspended,
}

impl Standing {
    /// What stands in the Secret, from what is seen at the instant now; `None` for a request that is being deleted.
    #[must_use]
    pub fn of(seen: &Seen<'_>, now: Now) -> Option<Self> {
        if seen.deleting {
            return None;
        }
        let Ok(spec) = seen.spec else { return Some(Self::Absent) };
        if spec.suspend {
            return Some(Self::Suspended);
        }
        let situation = Situation::of(*seen, spec, now);
        let (Target::Ours(meta) | Target::Outdated(meta)) = situation.target else { return Some(Self::Absent) };
        if seen.memory.damaged.as_ref() == Some(&meta.version) {
            // Whatever its annotations say, what stands there is of no use.
            return Some(Self::Holds { expiry: now.instant });
        }
        let Some(claim) = meta.claim() else { return Some(Self::Absent) };
        // A grant for what the spec asked for before is one that expires, too. Of one that this process hasn't written its own word is all that is known: what
        // can't be true is not believed, and a grant of which nothing can be believed is as good as expired.
        let by_its_word = || {
            let seconds = u8::try_from(claim.expiry_time.duration_since(claim.issue_time).as_secs()).ok()?;
            Life::claimed(&claim, Ttl::from_seconds(seconds)?, now)
        };
        let is_of_another_spec = claim.request_hash != spec.request_hash;
        let of_another_spec = || if is_of_another_spec { seen.memory.known_life(&claim).or_else(by_its_word) } else { None };
        let life = situation.held_life.or_else(of_another_spec);
        Some(Self::Holds { expiry: life.map_or(now.instant, |life| life.expiry) })
    }
}

/// A grant that has come into its Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// From when it was asked for until it was there.
    pub took: Duration,
    /// What the one before it had left to live; `None` for the first, for another spec, and after a suspension.
    pub left: Option<Duration>,
    /// How long ago it was due; `None` as there.
    pub late: Option<Duration>,
}

impl Refreshed {
    /// What comes of the write of these contents, which is taken in only after this; `None` where they bring no other grant.
    #[must_use]
    pub fn by(contents: &Contents, memory: &Memory, uid: &str, spec: &ValidSpec, now: Instant) -> Option<Self> {
        let grant = &contents.grant;
        if memory.came == Some(grant.issue) {
            return None;
        }
        // What was asked for before, or was let expire on purpose, was due to nobody.
        let is_due = |request_hash: &Arc<str>| *request_hash == grant.request_hash && !memory.paused;
        let before = memory.landed_life.as_ref().filter(|(request_hash, _)| is_due(request_hash)).map(|(_, life)| life);
        Some(Self {
            took: now.since(grant.issue),
            left: before.map(|life| life.expiry.since(now)),
            late: before.map(|life| now.since(life.due(uid, spec.call.ttl, spec.refresh_before))),
        })
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
