//! What is told of the way from one status to the next, in the log and as Events.

use ConditionType::{Ready, RefreshFailing, Stalled};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;

type Shown = (ConditionType, &'static str, &'static str);

fn status(conditions: &[Shown]) -> PlaybackGrantRequestStatus {
    let condition = |(type_, status, reason): &Shown| Condition {
        type_: type_.as_str().to_owned(),
        status: (*status).to_owned(),
        reason: (*reason).to_owned(),
        message: format!("words of {reason}"),
        observed_generation: Some(1),
        last_transition_time: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
    };
    PlaybackGrantRequestStatus { conditions: conditions.iter().map(condition).collect(), ..PlaybackGrantRequestStatus::default() }
}

/// A grant that lives, and isn't refreshed.
fn suspended() -> PlaybackGrantRequestStatus {
    let mut status = status(&[WELL]);
    status.conditions[0].message.push_str(REFRESHING_IS_SUSPENDED);
    status
}

fn between(before: &PlaybackGrantRequestStatus, after: &PlaybackGrantRequestStatus) -> Vec<String> {
    let mark = |is_warning| if is_warning { "! " } else { "" };
    let told = transitions(before, after).into_iter().map(|Transition { is_warning, reason, text, event, is_of_failure, .. }| {
        assert_eq!(is_of_failure, text.starts_with("refresh is"), "{text}");
        let reason = reason.map(|reason| format!("[{reason}] ")).unwrap_or_default();
        let event = event.map(|event| format!(" -> {event}")).unwrap_or_default();
        format!("{}{reason}{text}{event}", mark(is_warning))
    });
    told.collect()
}

fn told(before: &[Shown], after: &[Shown]) -> Vec<String> {
    between(&status(before), &status(after))
}

const WELL: Shown = (Ready, "True", "GrantIssued");
const CANNOT: Shown = (Stalled, "True", "CredentialsCannotSign");
const FAILING: Shown = (RefreshFailing, "True", "Unauthorized");
const REFUSED: Shown = (Stalled, "True", "Unauthorized");
const LOST: Shown = (Ready, "False", "Unauthorized");
const ISSUING: Shown = (Ready, "False", "Issuing");

#[test]
fn a_refresh_as_usual_is_no_news() {
    assert_eq!(told(&[WELL], &[WELL]), [""; 0]);
    assert_eq!(told(&[WELL, CANNOT], &[WELL, CANNOT]), [""; 0]);
    assert_eq!(told(&[WELL, FAILING, REFUSED], &[WELL, FAILING, REFUSED]), [""; 0]);
    assert_eq!(between(&suspended(), &suspended()), [""; 0]);
}

#[test]
fn the_first_grant_and_its_loss_are() {
    let issued = "[GrantIssued] ready: words of GrantIssued -> GrantIssued";
    assert_eq!(told(&[], &[WELL]), [issued]);
    assert_eq!(told(&[], &[ISSUING]), ["[Issuing] not ready: words of Issuing"], "no Event: the grant follows");
    assert_eq!(told(&[ISSUING], &[WELL]), [issued]);
    let expired = (Ready, "False", "GrantExpired");
    assert_eq!(told(&[WELL], &[expired]), ["! [GrantExpired] not ready: words of GrantExpired -> GrantExpired"]);
    let lost = "! [Unauthorized] not ready: the Secret holds no unexpired grant -> GrantExpired";
    assert_eq!(told(&[WELL, FAILING], &[LOST, FAILING]), [lost]);
    let waits = "! [MediaApiUnavailable] not ready: words of MediaApiUnavailable -> GrantExpired";
    assert_eq!(told(&[WELL], &[(Ready, "False", "MediaApiUnavailable")]), [waits], "one that waits for its lane has expired as well");
    let mut changed = status(&[LOST, FAILING]);
    changed.observed_generation = Some(2);
    let not_for_this = "! [Unauthorized] not ready: the Secret holds no unexpired grant";
    assert_eq!(between(&status(&[WELL, FAILING]), &changed), [not_for_this], "there is none for another spec");
    let gone = "! [SecretWriteFailed] not ready: words of SecretWriteFailed -> SecretWriteFailed";
    assert_eq!(told(&[WELL], &[(Ready, "False", "SecretWriteFailed")]), [gone], "it is deleted, it may be, and not expired");
}

#[test]
fn a_failing_refresh_and_its_end_are() {
    let failing = "! [Unauthorized] refresh is failing: words of Unauthorized -> Unauthorized";
    assert_eq!(told(&[WELL], &[WELL, FAILING, REFUSED]), [failing]);
    let never = "! [Unauthorized] not ready: the Secret holds no unexpired grant";
    assert_eq!(told(&[ISSUING], &[LOST, FAILING]), [failing, never], "one that has never held a grant has lost none");
    assert_eq!(told(&[WELL, FAILING, REFUSED], &[WELL]), ["refresh is no longer failing -> RefreshRecovered"]);
    assert_eq!(
        told(&[LOST, FAILING, REFUSED], &[WELL]),
        ["refresh is no longer failing -> RefreshRecovered", "[GrantIssued] ready: words of GrantIssued"]
    );
    let other = (RefreshFailing, "True", "MediaApiUnavailable");
    let other_told = "! [MediaApiUnavailable] refresh is failing: words of MediaApiUnavailable -> MediaApiUnavailable";
    assert_eq!(told(&[WELL, FAILING], &[WELL, other]), [other_told]);
}

/// The same again minutes later counts the Event up, and leaves its words as they are.
#[test]
fn an_event_tells_nothing_that_is_true_for_seconds_only() {
    let mut failing = status(&[WELL, FAILING]);
    failing.conditions[1].message = "revoked; make another; the grant in Secret web/lobby covers until 12:00:15".to_owned();
    let told = transitions(&status(&[WELL]), &failing);
    let [Transition { text, lasting_text, .. }] = &*told else { panic!("{told:?}") };
    assert_eq!(text, "refresh is failing: revoked; make another; the grant in Secret web/lobby covers until 12:00:15");
    assert_eq!(lasting_text.as_deref(), Some("refresh is failing: revoked; make another"));
    assert!(transitions(&failing, &status(&[WELL])).iter().all(|told| told.lasting_text.is_none()));
}

#[test]
fn what_stalls_beside_a_fresh_grant_is_and_its_end_only_when_it_has_ended() {
    let cannot = "! [CredentialsCannotSign] stalled: words of CredentialsCannotSign -> CredentialsCannotSign";
    assert_eq!(told(&[WELL], &[WELL, CANNOT]), [cannot]);
    assert_eq!(told(&[WELL, CANNOT], &[WELL]), ["no longer stalled -> StallCleared"]);
    assert_eq!(
        told(&[WELL, CANNOT], &[WELL, FAILING, REFUSED]),
        ["! [Unauthorized] refresh is failing: words of Unauthorized -> Unauthorized"]
    );
    assert_eq!(told(&[WELL, FAILING, REFUSED], &[WELL, CANNOT]), ["refresh is no longer failing -> RefreshRecovered", cannot]);
    assert_eq!(told(&[ISSUING, CANNOT], &[WELL]), ["[GrantIssued] ready: words of GrantIssued -> GrantIssued"]);
    let conflict = [(Ready, "False", "SecretConflict"), (Stalled, "True", "SecretConflict")];
    assert_eq!(told(&[WELL], &conflict), ["! [SecretConflict] not ready: words of SecretConflict -> SecretConflict"]);
}

#[test]
fn to_suspend_and_to_resume_is() {
    let ended = [(Ready, "False", "Suspended")];
    let told_so = "[Suspended] words of GrantIssued; refreshing is suspended -> Suspended";
    assert_eq!(between(&status(&[WELL]), &suspended()), [told_so]);
    assert_eq!(between(&suspended(), &status(&[WELL])), ["refreshing is resumed -> Resumed"]);
    assert_eq!(between(&suspended(), &status(&ended)), ["[Suspended] not ready: words of Suspended -> Suspended"], "it has expired");
    assert_eq!(told(&[], &ended), ["[Suspended] words of Suspended -> Suspended"], "once");
    assert_eq!(told(&[WELL], &ended), ["[Suspended] words of Suspended -> Suspended"]);
    assert_eq!(told(&ended, &[ISSUING]), ["refreshing is resumed -> Resumed", "[Issuing] not ready: words of Issuing"]);
    assert_eq!(told(&ended, &[WELL]), ["refreshing is resumed -> Resumed", "[GrantIssued] ready: words of GrantIssued -> GrantIssued"]);
    let conflict = [(Ready, "False", "SecretConflict")];
    assert_eq!(
        told(&ended, &conflict),
        ["! [SecretConflict] not ready: words of SecretConflict -> SecretConflict"],
        "whether it is suspended still isn't known from that"
    );
}
