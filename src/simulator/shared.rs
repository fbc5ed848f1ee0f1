//! What all of a simulator's requests share.

use super::accounts::Accounts;
use super::clock::Clock;
use super::fault::FaultBoard;
use super::tally::{CallOutcome, CallRecord, Tally};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) base_latency: Duration,
    pub(crate) started_unix_ms: u64,
    pub(crate) state: Mutex<State>,
}

/// What requests and the admin path change.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) accounts: Accounts,
    pub(crate) faults: FaultBoard,
    pub(crate) tally: Tally,
}

impl Shared {
    /// The state, for a moment: the lock is never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way; dropping it notes its end: unanswered, unless said otherwise before.
pub(crate) struct CallUnderWay {
    shared: Arc<Shared>,
    record: CallRecord,
    outcome: CallOutcome,
}

impl CallUnderWay {
    pub(crate) const fn new(shared: Arc<Shared>, record: CallRecord) -> Self {
        Self { shared, record, outcome: CallOutcome::Unanswered }
    }

    /// Notes how the call ended.
    pub(crate) fn ends(mut self, outcome: CallOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        self.shared.state().tally.ends(&self.record, self.outcome);
    }
}
