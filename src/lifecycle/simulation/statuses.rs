//! What must hold of every status.

use super::acts::Act;
use super::judge::Judge;
use crate::api::PlaybackGrantRequestStatus;

impl Judge {
    /// A report, on its way to the status.
    pub(super) fn status_is_in_shape(&self, request: &str, status: &PlaybackGrantRequestStatus, generation: Option<i64>) {
        let shown = || format!("{request}: {status:?}");
        let types: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        self.require(types.first() == Some(&"Ready"), || format!("no Ready: {}", shown()));
        self.require(!(types.contains(&"Reconciling") && types.contains(&"Stalled")), || format!("both: {}", shown()));
        let mut distinct = types.clone();
        distinct.sort_unstable();
        distinct.dedup();
        self.require(distinct.len() == types.len(), || format!("a type twice: {}", shown()));
        self.require(status.observed_generation == generation, || format!("not of generation {generation:?}: {}", shown()));
        for condition in &status.conditions {
            let whole = condition.last_transition_time.0.subsec_nanosecond() == 0;
            self.require(condition.observed_generation == generation && whole, || format!("{condition:?} of {}", shown()));
            self.require(condition.type_ == "Ready" || condition.status == "True", || format!("there, and not True: {}", shown()));
            self.require(!condition.reason.is_empty() && !condition.message.is_empty(), shown);
        }
        let ready = &status.conditions[0];
        self.require((ready.status == "True") == (ready.reason == "GrantIssued"), shown);
        self.require(ready.status == "False" || status.grant.is_some() && status.secret_name.is_some(), shown);
    }

    /// A status that was written over another.
    pub(super) fn status_written(&self, request: &str, was: &PlaybackGrantRequestStatus, is: &PlaybackGrantRequestStatus) {
        self.status_is_in_shape(request, is, is.observed_generation);
        // Another operator, or a write whose answer was lost, may have written between.
        if !self.history.server_faults.is_empty() || self.has(|act| matches!(act, Act::Restart(_))) {
            return;
        }
        self.require(was != is, || format!("{request}: a status is written over the same: {is:?}"));
        for after in &is.conditions {
            let before = was.conditions.iter().find(|before| before.type_ == after.type_ && before.status == after.status);
            self.require(before.is_none_or(|before| before.last_transition_time == after.last_transition_time), || {
                format!("{request}: lastTransitionTime of {} moved, its status did not", after.type_)
            });
        }
    }
}
