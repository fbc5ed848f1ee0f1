//! The faults that can be switched on.

mod board;
mod duration_text;
mod kind;
mod parse;
mod show;

pub(crate) use board::{Caller, FaultBoard, Outage, Spoiler};
pub use board::{FaultId, FaultReport};
pub use duration_text::parse_duration;
pub(crate) use duration_text::show_duration;
pub use kind::{AnswerFault, ErrorBody, FaultKind, RetryAfter, StatusFault};
pub use parse::FaultError;

use std::time::Duration;

/// A fault: what goes wrong, for whom, and for how long.
///
/// Its text, which [`FromStr`](std::str::FromStr) reads and `Display` writes, is
/// `KIND[=ARGUMENT][,OPTION…][:DURATION][:COUNTx][@SCOPE]`, for example `500:30s`, `429,retry-after=5:21s`, `latency=4s:33s`,
/// `hang:3x@VJ0123456789abcdef0123456789abcdef`. Without duration and count it stays until it is removed; with both, until the first
/// of them is used up.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// For how long, from the instant it is switched on.
    pub duration: Option<Duration>,
    /// For how many calls. Only calls that it acted on are counted.
    pub calls: Option<u64>,
    /// For whom.
    pub scope: Scope,
}

/// Whom a fault strikes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every call.
    #[default]
    All,
    /// The calls of one account: `@AC…`.
    Account(String),
    /// The calls of one user: `@` and any text that isn't a SID of an account or a PlayerStreamer.
    User(String),
    /// The calls for one PlayerStreamer: `@VJ…`.
    Streamer(String),
}
