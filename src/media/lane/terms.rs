//! What a lane is told, and what it tells.

use std::sync::Arc;

use crate::media::FailureClass;
use crate::time::Instant;

/// Who calls: the uid of a request.
pub type Caller = Arc<str>;

/// A call that waits in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it is for.
    pub kind: Kind,
    /// The expiry that the call would miss; for a newcomer, the instant of its arrival. The earliest goes first.
    pub deadline: Instant,
    /// What holds the call back besides its turn.
    pub hold: Hold,
    /// Whether somebody may just have mended what a closed lane looks at slowly: then it is looked at now.
    pub urgent: bool,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A grant that there is, or was, is to be followed by the next.
    Refresh,
    /// There has been none yet.
    Newcomer,
}

/// What holds a call back besides its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    Nothing,
    /// An attempt failed for a reason that the lane shares: until then, or until the lane opens.
    WithLane(Instant),
    /// An attempt failed for a reason of its own: until then.
    Own(Instant),
}

impl Hold {
    /// Until when, if until any time.
    #[must_use]
    pub const fn until(self) -> Option<Instant> {
        match self {
            Self::Nothing => None,
            Self::WithLane(until) | Self::Own(until) => Some(until),
        }
    }
}

/// An attempt to be made now: it counts as out from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whose call it is.
    pub caller: Caller,
    /// Its number; the lane gives no other the same.
    pub number: u64,
    /// Whether it is in place of all others that are out for the call: they are given up.
    pub instead: bool,
    /// Whether it is for a call that others have been made for already.
    pub beside: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a grant.
    Granted,
    /// With an answer, or an error, that brought none.
    Failed(FailureClass),
    /// Without an answer, in the time that attempts have.
    Unanswered,
}

impl Outcome {
    /// Whether the account's limit let the call through.
    #[must_use]
    pub const fn passes_the_limit(self) -> bool {
        match self {
            Self::Granted => true,
            Self::Failed(class) => class.is_own(),
            Self::Unanswered => false,
        }
    }
}

/// What an answer did to the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateChange {
    /// The gate is as it was.
    Unchanged,
    /// The gate closed: one probe at a time from now on.
    Closed,
    /// The gate is closed still, and looked at slowly from now on. That is told once.
    Slowed,
    /// The gate opened: all who wait are called in order.
    Opened,
}

/// What the end of an attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Whether it ends the call, too. If not, others are out for it that may still bring a grant.
    pub ends_call: bool,
    /// What it did to the lane.
    pub change: GateChange,
}
