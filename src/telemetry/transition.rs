//! What a person would want to know of the way from one status to the next. Pure.

use crate::api::PlaybackGrantRequestStatus;
use crate::api::condition::{ConditionType, Reason};
use crate::lifecycle::{REFRESHING_IS_SUSPENDED, without_coverage};

/// What has come about: a line for the log, and maybe an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whether somebody may have to do something.
    pub is_warning: bool,
    /// The reason of the condition that it tells of.
    pub reason: Option<String>,
    /// What is told.
    pub text: String,
    /// The reason of the Event that tells it; `None`: the log alone does.
    pub event: Option<String>,
    /// What the Event tells instead: the same again minutes later counts up what is there, with the words of the first time.
    pub lasting_text: Option<String>,
    /// Whether it tells that refreshing fails, or no longer does: of many that fail together one line is enough.
    pub is_of_failure: bool,
}

/// An Event's reason: a refresh that failed works again.
const RECOVERED: &str = "RefreshRecovered";
/// An Event's reason: what stood in the way of something else than the grant is gone.
const CLEARED: &str = "StallCleared";
/// An Event's reason: refreshing goes on.
const RESUMED: &str = "Resumed";

/// What has come about between `before` and `after`; nothing where a grant was refreshed as usual.
#[must_use]
pub fn transitions(before: &PlaybackGrantRequestStatus, after: &PlaybackGrantRequestStatus) -> Vec<Transition> {
    let (before, after) = (Conditions(before), Conditions(after));
    let changed = |type_| before.essence(type_) != after.essence(type_);
    let same_spec = before.0.observed_generation == after.0.observed_generation;
    let mut told = Vec::new();
    if let Some(failure) = failure(&before, &after) {
        told.push(failure);
    }
    let mut tell = |is_warning, reason: Option<&str>, text: String, event: Option<&str>| {
        let (reason, event) = (reason.map(str::to_owned), event.map(str::to_owned));
        told.push(Transition { is_warning, reason, text, event, lasting_text: None, is_of_failure: false });
    };

    if after.is_suspended() && !before.is_suspended() {
        let message = after.find(ConditionType::Ready).map_or("", |(_, _, message)| message);
        tell(false, Some(SUSPENDED), message.to_owned(), Some(SUSPENDED));
    }
    // What stands in the way says nothing of it.
    if before.is_suspended() && !after.is_suspended() && after.is_served() {
        tell(false, None, "refreshing is resumed".to_owned(), Some(RESUMED));
    }
    let failing = after.find(ConditionType::RefreshFailing);
    let ready = after.find(ConditionType::Ready);
    // What stands in the way of something else than the grant is told by this condition alone.
    if after.is_ready() && failing.is_none() && changed(ConditionType::Stalled) {
        match after.find(ConditionType::Stalled) {
            Some((_, reason, message)) => tell(true, Some(reason), format!("stalled: {message}"), Some(reason)),
            None if !changed(ConditionType::Ready) && !changed(ConditionType::RefreshFailing) => {
                tell(false, None, "no longer stalled".to_owned(), Some(CLEARED));
            }
            None => {}
        }
    }
    if changed(ConditionType::Ready) {
        match ready {
            Some((true, reason, message)) => {
                // Of one that has recovered the Event above has told.
                let event = before.find(ConditionType::RefreshFailing).is_none().then_some(reason);
                tell(false, Some(reason), format!("ready: {message}"), event);
            }
            // That it is suspended has been told.
            Some((false, SUSPENDED, _)) if !before.is_suspended() => {}
            Some((false, reason, message)) => {
                let text = if failing.is_some() { "the Secret holds no unexpired grant" } else { message };
                // Of one that has never held a grant, the failure's Event has told; one that has is told to have lost it, unless that was asked for.
                let event = match (before.is_ready(), failing.is_some()) {
                    (true, _) if same_spec && is_for_want_of_a_call(reason) => Some(Reason::GrantExpired.as_str()),
                    (_, true) => None,
                    (_, false) => Some(reason).filter(|reason| *reason != ISSUING),
                };
                tell(!matches!(reason, ISSUING | SUSPENDED), Some(reason), format!("not ready: {text}"), event);
            }
            None => {}
        }
    }
    told
}

/// That refreshing fails, or no longer does.
fn failure(before: &Conditions<'_>, after: &Conditions<'_>) -> Option<Transition> {
    let type_ = ConditionType::RefreshFailing;
    if before.essence(type_) == after.essence(type_) {
        return None;
    }
    let failing = |message: &str| format!("refresh is failing: {message}");
    let (reason, text, lasting_text) = match after.find(type_) {
        Some((_, reason, message)) => (Some(reason.to_owned()), failing(message), Some(failing(without_coverage(message)))),
        None => (None, "refresh is no longer failing".to_owned(), None),
    };
    let event = Some(reason.clone().unwrap_or_else(|| RECOVERED.to_owned()));
    Some(Transition { is_warning: reason.is_some(), reason, text, event, lasting_text, is_of_failure: true })
}

const SUSPENDED: &str = Reason::Suspended.as_str();
const ISSUING: &str = Reason::Issuing.as_str();

/// Whether a grant that was there is there no more because none came in its place: whoever has it in a Secret has an expired one.
fn is_for_want_of_a_call(reason: &str) -> bool {
    const REASONS: [Reason; 9] = [
        Reason::MediaApiUnavailable,
        Reason::MediaApiThrottled,
        Reason::InvalidResponse,
        Reason::Unauthorized,
        Reason::PlayerStreamerNotFound,
        Reason::MediaApiRejected,
        Reason::CredentialsNotFound,
        Reason::CredentialsInvalid,
        Reason::GrantExpired,
    ];
    REASONS.iter().any(|known| known.as_str() == reason)
}

struct Conditions<'a>(&'a PlaybackGrantRequestStatus);

impl<'a> Conditions<'a> {
    /// Whether it is true, its reason and its message.
    fn find(&self, type_: ConditionType) -> Option<(bool, &'a str, &'a str)> {
        let found = self.0.conditions.iter().find(|condition| condition.type_ == type_.as_str())?;
        Some((found.status == "True", &found.reason, &found.message))
    }

    fn essence(&self, type_: ConditionType) -> Option<(bool, &'a str)> {
        self.find(type_).map(|(is_true, reason, _)| (is_true, reason))
    }

    fn is_ready(&self) -> bool {
        self.find(ConditionType::Ready).is_some_and(|(is_true, ..)| is_true)
    }

    /// Whether there is a grant, or one is asked for.
    fn is_served(&self) -> bool {
        let attempted = self.find(ConditionType::RefreshFailing).is_some();
        attempted || self.find(ConditionType::Ready).is_some_and(|(is_true, reason, _)| is_true || reason == ISSUING)
    }

    /// Whether refreshing is suspended. Of a grant that lives the message alone tells.
    fn is_suspended(&self) -> bool {
        match self.find(ConditionType::Ready) {
            Some((true, _, message)) => message.ends_with(REFRESHING_IS_SUSPENDED),
            Some((false, reason, _)) => reason == SUSPENDED,
            None => false,
        }
    }
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;
