//! From what is observed and the instant now: what to do next, and what to report. Pure: no I/O, no clock of its own.
//!
//! [`decide`] is the whole of it. It is asked again after each step, and whenever anything observed changes:
//!
//! ```text
//! Seen (request, Secret, credentials, lane, Memory) ── decide ──▶ Step    an effect; what it brought goes into Memory
//!                                                          └────▶ Rest    a report, and when time alone may change the decision
//! ```

mod backoff;
mod cause;
mod decide;
mod ended;
mod fields;
mod fight;
mod hand;
#[cfg(test)]
mod hold_tests;
#[cfg(test)]
mod kstatus_tests;
mod memory;
mod order;
mod ownership;
mod report;
pub mod schedule;
mod secret;
#[cfg(test)]
mod simulation;
mod situation;
mod standing;
#[cfg(test)]
mod testing;
mod token;
mod told;
mod trouble;

pub use backoff::{Backoff, Holds, Repairs, Restores};
pub use decide::{Decision, Step, decide};
pub use fields::Fields;
pub use hand::{HeldGrant, whole_millis};
pub use memory::{Failure, Memory, Ordered, Subject, reason_of};
pub use order::{Contents, SecretOrder};
pub use ownership::{Identity, Whose};
pub use report::{REFRESHING_IS_SUSPENDED, Report, without_coverage};
pub use secret::{Claim, Owner, SecretMeta, SecretVersion, SecretView};
pub use situation::{CredentialsView, LaneClosed, Seen};
pub use standing::{Refreshed, Standing};
pub use token::{Signer, TokenOrder};
pub use told::{Told, Urgency};
pub use trouble::{Attempt, Trouble};
