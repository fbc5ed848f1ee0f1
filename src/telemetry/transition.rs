//! What a person would want to know of the way from one status to the next. Pure.

use crate::api::PlaybackGrantRequestStatus;
use crate::api::condition::ConditionType;

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Whether somebody may have to do something.
    pub(super) is_warning: bool,
    /// The reason of the condition that it tells of.
    pub(super) reason: Option<String>,
    /// What is told.
    pub(super) text: String,
}

/// The lines for the way from `before` to `after`; none for a refresh as usual.
pub(super) fn lines(before: &PlaybackGrantRequestStatus, after: &PlaybackGrantRequestStatus) -> Vec<Line> {
    let condition = |status: &PlaybackGrantRequestStatus, type_: ConditionType| {
        let found = status.conditions.iter().find(|condition| condition.type_ == type_.as_str());
        found.map(|condition| (condition.status == "True", condition.reason.clone(), condition.message.clone()))
    };
    let essence = |status, type_| condition(status, type_).map(|(is_true, reason, _)| (is_true, reason));
    let changed = |type_| essence(before, type_) != essence(after, type_);
    let mut lines = Vec::new();
    let mut tell = |is_warning, reason: Option<&String>, text: String| lines.push(Line { is_warning, reason: reason.cloned(), text });

    let failing = condition(after, ConditionType::RefreshFailing);
    match &failing {
        Some((_, reason, message)) if changed(ConditionType::RefreshFailing) => {
            tell(true, Some(reason), format!("refresh is failing: {message}"));
        }
        None if changed(ConditionType::RefreshFailing) => tell(false, None, "refresh is no longer failing".to_owned()),
        _ => {}
    }
    let ready = condition(after, ConditionType::Ready);
    let is_ready = ready.as_ref().is_some_and(|(is_true, ..)| *is_true);
    // What stands in the way of something else than the grant is told by this condition alone.
    if is_ready && failing.is_none() && changed(ConditionType::Stalled) {
        match condition(after, ConditionType::Stalled) {
            Some((_, reason, message)) => tell(true, Some(&reason), format!("stalled: {message}")),
            None if !changed(ConditionType::Ready) && !changed(ConditionType::RefreshFailing) => {
                tell(false, None, "no longer stalled".to_owned());
            }
            None => {}
        }
    }
    if changed(ConditionType::Ready) {
        match &ready {
            Some((true, reason, message)) => tell(false, Some(reason), format!("ready: {message}")),
            Some((false, reason, message)) if failing.is_none() => tell(false, Some(reason), format!("not ready: {message}")),
            Some((false, reason, _)) => tell(true, Some(reason), "not ready: the Secret holds no unexpired grant".to_owned()),
            None => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use ConditionType::{Ready, RefreshFailing, Stalled};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;

    fn status(conditions: &[(ConditionType, &str, &str)]) -> PlaybackGrantRequestStatus {
        let condition = |(type_, status, reason): &(ConditionType, &str, &str)| Condition {
            type_: type_.as_str().to_owned(),
            status: (*status).to_owned(),
            reason: (*reason).to_owned(),
            message: format!("words of {reason}"),
            observed_generation: Some(1),
            last_transition_time: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
        };
        PlaybackGrantRequestStatus { conditions: conditions.iter().map(condition).collect(), ..PlaybackGrantRequestStatus::default() }
    }

    fn told(before: &[(ConditionType, &str, &str)], after: &[(ConditionType, &str, &str)]) -> Vec<String> {
        let lines = lines(&status(before), &status(after)).into_iter();
        lines
            .map(|Line { is_warning, reason, text }| {
                format!("{}{}{text}", if is_warning { "! " } else { "" }, reason.map(|reason| format!("[{reason}] ")).unwrap_or_default())
            })
            .collect()
    }

    const WELL: (ConditionType, &str, &str) = (Ready, "True", "GrantIssued");
    const CANNOT: (ConditionType, &str, &str) = (Stalled, "True", "CredentialsCannotSign");
    const FAILING: (ConditionType, &str, &str) = (RefreshFailing, "True", "Unauthorized");
    const REFUSED: (ConditionType, &str, &str) = (Stalled, "True", "Unauthorized");

    #[test]
    fn a_refresh_as_usual_is_no_news() {
        assert_eq!(told(&[WELL], &[WELL]), [""; 0]);
        assert_eq!(told(&[WELL, CANNOT], &[WELL, CANNOT]), [""; 0]);
        assert_eq!(told(&[WELL, FAILING, REFUSED], &[WELL, FAILING, REFUSED]), [""; 0]);
    }

    #[test]
    fn the_first_grant_and_its_loss_are() {
        assert_eq!(told(&[], &[WELL]), ["[GrantIssued] ready: words of GrantIssued"]);
        assert_eq!(told(&[(Ready, "False", "Issuing")], &[WELL]), ["[GrantIssued] ready: words of GrantIssued"]);
        assert_eq!(told(&[WELL], &[(Ready, "False", "GrantExpired")]), ["[GrantExpired] not ready: words of GrantExpired"]);
        assert_eq!(
            told(&[WELL, FAILING], &[(Ready, "False", "Unauthorized"), FAILING]),
            ["! [Unauthorized] not ready: the Secret holds no unexpired grant"]
        );
    }

    #[test]
    fn a_failing_refresh_and_its_end_are() {
        assert_eq!(told(&[WELL], &[WELL, FAILING, REFUSED]), ["! [Unauthorized] refresh is failing: words of Unauthorized"]);
        assert_eq!(told(&[WELL, FAILING, REFUSED], &[WELL]), ["refresh is no longer failing"]);
        let other = (RefreshFailing, "True", "MediaApiUnavailable");
        assert_eq!(told(&[WELL, FAILING], &[WELL, other]), ["! [MediaApiUnavailable] refresh is failing: words of MediaApiUnavailable"]);
    }

    #[test]
    fn what_stalls_beside_a_fresh_grant_is_and_its_end_only_when_it_has_ended() {
        assert_eq!(told(&[WELL], &[WELL, CANNOT]), ["! [CredentialsCannotSign] stalled: words of CredentialsCannotSign"]);
        assert_eq!(told(&[WELL, CANNOT], &[WELL]), ["no longer stalled"]);
        assert_eq!(told(&[WELL, CANNOT], &[WELL, FAILING, REFUSED]), ["! [Unauthorized] refresh is failing: words of Unauthorized"]);
        assert_eq!(
            told(&[WELL, FAILING, REFUSED], &[WELL, CANNOT]),
            ["refresh is no longer failing", "! [CredentialsCannotSign] stalled: words of CredentialsCannotSign"]
        );
        assert_eq!(told(&[(Ready, "False", "Issuing"), CANNOT], &[WELL]), ["[GrantIssued] ready: words of GrantIssued"]);
        assert_eq!(
            told(&[WELL], &[(Ready, "False", "SecretConflict"), (Stalled, "True", "SecretConflict")]),
            ["[SecretConflict] not ready: words of SecretConflict"]
        );
    }
}
