//! Reports from hand-made observations: each reason, what kstatus is told, and when it is written.

use std::time::Duration;

use super::super::testing::{Scene, at, backoff, conditions, failing, hand, rest, shown, step};
use super::*;
use crate::api::condition::ConditionType::{Ready, Reconciling, RefreshFailing, Stalled};
use crate::lifecycle::{Attempt, Trouble};
use crate::lifecycle::{CredentialsView, Decision, Ordered, Step, Told};
use crate::media::FailureClass;

#[test]
fn a_fresh_grant_is_all_that_is_wanted() {
    let scene = Scene::fresh();
    let (report, look_at) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued")]));
    let earliest = Instant::after_start(Duration::from_millis(1_009_600));
    assert!((earliest..=at(1010)).contains(&look_at.unwrap()), "when it is due: {look_at:?}");
    assert_eq!(report.status.secret_name.as_deref(), Some("keynote"));
    assert!(report.status.next_refresh_time.is_some());
}

#[test]
fn each_failure_has_its_reason_and_says_whether_help_is_needed() {
    let throttled = FailureClass::Throttled { retry_after: None };
    for (class, slow, reason, progress) in [
        (FailureClass::Unavailable, false, "MediaApiUnavailable", Reconciling),
        (throttled, false, "MediaApiThrottled", Reconciling),
        (FailureClass::InvalidResponse, false, "InvalidResponse", Reconciling),
        (FailureClass::InvalidResponse, true, "InvalidResponse", Reconciling),
        (FailureClass::Unauthorized, false, "Unauthorized", Reconciling),
        (FailureClass::Unauthorized, true, "Unauthorized", Stalled),
        (FailureClass::Forbidden, true, "Unauthorized", Stalled),
        (FailureClass::NotFound, false, "PlayerStreamerNotFound", Reconciling),
        (FailureClass::NotFound, true, "PlayerStreamerNotFound", Stalled),
        (FailureClass::Rejected, false, "MediaApiRejected", Reconciling),
        (FailureClass::Rejected, true, "MediaApiRejected", Stalled),
    ] {
        let mut scene = Scene::absent();
        failing(&mut scene, class, slow);
        let (report, _) = rest(&scene);
        let wanted = shown(&[(Ready, "False", reason), (RefreshFailing, "True", reason), (progress, "True", reason)]);
        assert_eq!(conditions(&report), wanted, "{class:?} {slow}");
        assert!(report.status.conditions[1].message.ends_with("; Secret web/keynote holds no unexpired grant"), "{report:?}");
    }
}

#[test]
fn a_failing_refresh_under_a_live_grant_leaves_ready_true_and_says_until_when() {
    let mut scene = Scene::fresh();
    scene.now = at(1011);
    failing(&mut scene, FailureClass::Unavailable, false);
    let (report, look_at) = rest(&scene);
    let reason = "MediaApiUnavailable";
    assert_eq!(
        conditions(&report),
        shown(&[(Ready, "True", "GrantIssued"), (RefreshFailing, "True", reason), (Reconciling, "True", reason)])
    );
    let message = &report.status.conditions[1].message;
    assert!(message.ends_with("; the grant in Secret web/keynote covers until 2026-11-24T12:00:15.000Z"), "{message}");
    assert_eq!(look_at, Some(at(1015)), "when it expires");
    assert_eq!(without_coverage(message), report.status.conditions[2].message);
    // A coarse status says so, too: while refreshing fails it is true for as long as it stands there.
    scene.status_interval = Duration::from_mins(1);
    assert_eq!(rest(&scene).0.status.conditions[1].message, *message);
}

#[test]
fn of_a_message_that_lacks_what_is_covered_nothing_is_left_out() {
    let why = "revoked; make another";
    for coverage in ["; the grant in Secret web/lobby covers until 12:00:15", "; Secret web/lobby holds no unexpired grant", ""] {
        assert_eq!(without_coverage(&format!("{why}{coverage}")), why);
    }
}

#[test]
fn whose_lane_is_looked_at_slowly_has_stalled_whatever_the_pace_of_its_own_attempts_was() {
    let class = FailureClass::Unauthorized;
    for (lane_closed, lane_slow, progress) in [
        (None, false, Reconciling),
        (Some(class), false, Reconciling),
        (Some(class), true, Stalled),
        (Some(FailureClass::Forbidden), true, Reconciling),
    ] {
        let mut scene = Scene::absent();
        failing(&mut scene, class, false);
        (scene.lane_closed, scene.lane_slow) = (lane_closed, lane_slow);
        let reason = "Unauthorized";
        let expected = shown(&[(Ready, "False", reason), (RefreshFailing, "True", reason), (progress, "True", reason)]);
        assert_eq!(conditions(&rest(&scene).0), expected, "{lane_closed:?}");
    }
}

#[test]
fn who_waits_in_a_closed_lane_says_why_it_is_closed() {
    for (class, reason, words) in [
        (FailureClass::Unavailable, "MediaApiUnavailable", "does not answer as it should"),
        (FailureClass::Throttled { retry_after: None }, "MediaApiThrottled", "(429)"),
        (FailureClass::Unauthorized, "Unauthorized", "refuses the credentials (401)"),
        (FailureClass::Forbidden, "Unauthorized", "forbids the call to these credentials (403)"),
    ] {
        let mut scene = Scene::absent();
        scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
        scene.lane_closed = Some(class);
        let (report, _) = rest(&scene);
        assert_eq!(report.status.conditions[0].reason, reason);
        let message = &report.status.conditions[0].message;
        assert!(message.contains(words) && message.contains("the credentials in Secret web/media-api wait"), "{message}");
        let remedy = if reason == "Unauthorized" { "Check them" } else { "goes on by itself" };
        assert!(message.contains(remedy), "{message}");
        assert_eq!(
            conditions(&report),
            shown(&[(Ready, "False", reason), (Reconciling, "True", reason)]),
            "its own attempt has not failed"
        );
        scene.lane_slow = true;
        assert_eq!(conditions(&rest(&scene).0), shown(&[(Ready, "False", reason), (Stalled, "True", reason)]));
        let mut covered = Scene::fresh();
        (covered.now, covered.lane_closed) = (at(1012), Some(class));
        covered.memory.ordered = Some(Box::new(Ordered { subject: covered.subject(), refresh_request: None, forced: false }));
        assert_eq!(conditions(&rest(&covered).0), shown(&[(Ready, "True", "GrantIssued")]), "a live grant is as well off as before");
        scene.memory.ordered = None;
        assert!(matches!(step(&scene), Step::Order { .. }), "without a call in the lane it is nobody's business");
    }
}

#[test]
fn the_first_grant_is_being_issued_and_a_missed_one_has_expired() {
    let mut scene = Scene::absent();
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    let (report, _) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "False", "Issuing"), (Reconciling, "True", "Issuing")]));

    let mut scene = Scene::fresh();
    scene.now = at(1020);
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    let (report, _) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "False", "GrantExpired"), (Reconciling, "True", "GrantExpired")]));
    let message = &report.status.conditions[0].message;
    assert!(message.contains("web/keynote expired at 2026-11-24T12:00:15.000Z"), "{message}");
    assert!(!message.contains("no operator"), "{message}");
}

#[test]
fn credentials_that_cannot_be_used_stall_and_take_the_call_out() {
    for (credentials, reason, remedy) in [
        (CredentialsView::NotFound, "CredentialsNotFound", "Create it with the keys apiKeySid and apiKeySecret"),
        (CredentialsView::Invalid("apiKeySecret is missing".into()), "CredentialsInvalid", "apiKeySecret is missing"),
    ] {
        let mut scene = Scene::absent();
        scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
        scene.credentials = credentials;
        assert!(matches!(step(&scene), Step::Withdraw));
        scene.memory.ordered = None;
        let (report, look_at) = rest(&scene);
        let wanted = shown(&[(Ready, "False", reason), (RefreshFailing, "True", reason), (Stalled, "True", reason)]);
        assert_eq!(conditions(&report), wanted);
        let message = &report.status.conditions[0].message;
        assert!(message.contains("Secret web/media-api, named in spec.credentialsSecretRef") && message.contains(remedy), "{message}");
        assert_eq!(look_at, None, "the watch tells when they change");
    }
    let mut unread = Scene { credentials: CredentialsView::NotRead, ..Scene::absent() };
    assert!(matches!(step(&unread), Step::ReadCredentials));
    // What stands in the way is told only while something waits for it.
    let trouble = Trouble {
        message: "could not read".into(),
        refused: false,
        attempt: Attempt::Write,
        terminating: false,
        backoff: backoff(at(1005), false),
    };
    unread.memory.trouble = Some(Box::new(trouble.clone()));
    let failed = shown(&[
        (Ready, "False", "SecretWriteFailed"),
        (RefreshFailing, "True", "SecretWriteFailed"),
        (Reconciling, "True", "SecretWriteFailed"),
    ]);
    assert_eq!(conditions(&rest(&unread).0), failed);
    let mut fresh = Scene::fresh();
    fresh.memory.trouble = Some(Box::new(trouble));
    assert_eq!(conditions(&rest(&fresh).0), shown(&[(Ready, "True", "GrantIssued")]));
}

#[test]
fn trouble_that_cost_no_grant_is_not_why_there_is_none() {
    let mut scene = Scene::fresh();
    scene.memory.trouble = Some(Box::new(Trouble {
        message: "could not look".into(),
        refused: false,
        attempt: Attempt::Write,
        terminating: false,
        backoff: backoff(at(1005), false),
    }));
    scene.now = at(1020);
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    assert_eq!(rest(&scene).0.status.conditions[0].reason, "GrantExpired");
    scene.memory.hand = Some(hand(1004));
    assert_eq!(rest(&scene).0.status.conditions[0].reason, "SecretWriteFailed", "one was received, and expired before it could be written");
}

#[test]
fn what_the_secret_was_given_lives_as_long_whatever_the_wall_clock_shows() {
    for hours in [-1, 1] {
        let mut scene = Scene::fresh();
        scene.now = at(1011);
        scene.wall_set = hours * 3600;
        // The next is in hand, and isn't taken.
        scene.memory.hand = Some(hand(1010));
        let backoff = backoff(at(1018), true);
        scene.memory.trouble =
            Some(Box::new(Trouble { message: "no changes".into(), refused: true, attempt: Attempt::Write, terminating: false, backoff }));
        let failing = [(RefreshFailing, "True", "SecretWriteFailed"), (Stalled, "True", "SecretWriteFailed")];
        let told = |ready| shown(&[ready, failing[0], failing[1]]);
        assert_eq!(conditions(&rest(&scene).0), told((Ready, "True", "GrantIssued")), "{hours} hours");
        scene.now = at(1015);
        assert_eq!(conditions(&rest(&scene).0), told((Ready, "False", "SecretWriteFailed")), "{hours} hours, and it is over");
    }
}

#[test]
fn what_the_server_refused_stays_the_cause_while_the_next_call_is_under_way() {
    let mut scene = Scene::fresh();
    let backoff = backoff(at(1018), true);
    scene.memory.trouble = Some(Box::new(Trouble {
        message: "leave the label on".into(),
        refused: true,
        attempt: Attempt::Write,
        terminating: false,
        backoff,
    }));
    scene.now = at(1020);
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    assert_eq!(rest(&scene).0.status.conditions[0].reason, "SecretWriteFailed", "nothing has been mended");
    scene.memory.trouble.as_mut().unwrap().attempt = Attempt::Read;
    assert_eq!(rest(&scene).0.status.conditions[0].reason, "GrantExpired", "what could not be read stands in the way of nothing any more");
}

#[test]
fn a_call_that_is_due_and_held_back_by_a_refusal_has_that_as_its_cause() {
    let mut scene = Scene::absent();
    let trouble = Trouble {
        message: "exceeded quota".into(),
        refused: true,
        attempt: Attempt::Write,
        terminating: false,
        backoff: backoff(at(1005), true),
    };
    scene.memory.trouble = Some(Box::new(trouble));
    let failed = shown(&[
        (Ready, "False", "SecretWriteFailed"),
        (RefreshFailing, "True", "SecretWriteFailed"),
        (Stalled, "True", "SecretWriteFailed"),
    ]);
    for attempt in [Attempt::Write, Attempt::Read] {
        scene.memory.trouble.as_mut().unwrap().attempt = attempt;
        assert_eq!(conditions(&rest(&scene).0), failed, "{attempt:?}");
    }
}

#[test]
fn what_the_api_server_does_not_take_is_told_in_its_own_words() {
    for (refused, terminating, progress, look_at) in
        [(false, false, Reconciling, Some(at(1003))), (true, false, Stalled, Some(at(1003))), (true, true, Stalled, None)]
    {
        let mut scene = Scene::absent();
        scene.memory.hand = Some(hand(1000));
        let backoff = backoff(at(1003), refused);
        scene.memory.trouble = Some(Box::new(Trouble {
            message: "exceeded quota: secrets (403)".into(),
            refused,
            attempt: Attempt::Write,
            terminating,
            backoff,
        }));
        scene.now = at(1002);
        let (report, look) = rest(&scene);
        let reason = "SecretWriteFailed";
        assert_eq!(conditions(&report), shown(&[(Ready, "False", reason), (RefreshFailing, "True", reason), (progress, "True", reason)]));
        assert_eq!(report.status.conditions[0].message, "exceeded quota: secrets (403)");
        assert_eq!(look.filter(|look| *look < at(1009)), look_at);
        scene.now = at(1003);
        match scene.decide() {
            Decision::Step(Step::Create { .. }) => assert!(!terminating),
            Decision::Rest { .. } => assert!(terminating, "never in a terminating namespace"),
            Decision::Step(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_grant_that_expired_in_hand_is_the_api_servers_failure_until_the_next_attempt_ends() {
    let mut scene = Scene::absent();
    scene.memory.hand = Some(hand(1000));
    let backoff = backoff(at(1030), true);
    scene.memory.trouble =
        Some(Box::new(Trouble { message: "exceeded quota".into(), refused: true, attempt: Attempt::Write, terminating: false, backoff }));
    scene.now = at(1020);
    let (report, _) = rest(&scene);
    assert_eq!(report.status.conditions[0].reason, "SecretWriteFailed");
    scene.now = at(1030);
    scene.memory.looked = Some(at(1030));
    assert!(matches!(step(&scene), Step::Order { .. }), "what may be tried again is fetched again");
    let ordered = Ordered { subject: scene.subject(), refresh_request: None, forced: false };
    scene.memory.ordered = Some(Box::new(ordered));
    assert_eq!(rest(&scene).0.status.conditions[0].reason, "SecretWriteFailed", "its answer isn't there yet");
    failing(&mut scene, FailureClass::Unavailable, false);
    assert_eq!(rest(&scene).0.status.conditions[0].reason, "MediaApiUnavailable");
}

#[test]
fn a_suspended_request_is_ready_as_long_as_its_grant_lives() {
    let mut scene = Scene::fresh();
    scene.spec.suspend = true;
    let (report, look_at) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued")]));
    assert!(report.status.conditions[0].message.contains("refreshing is suspended"));
    assert_eq!((look_at, report.status.next_refresh_time), (Some(at(1015)), None));
    scene.now = at(1015);
    let (report, look_at) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "False", "Suspended")]));
    assert!(report.status.conditions[0].message.contains("Set spec.suspend to false"));
    assert_eq!(look_at, None);
}

#[test]
fn an_invalid_spec_stalls_with_every_violation() {
    let mut scene = Scene::fresh();
    scene.memory.ordered = Some(Box::new(Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    scene.invalid = true;
    assert!(matches!(step(&scene), Step::Withdraw));
    scene.memory.ordered = None;
    let (report, look_at) = rest(&scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "False", "InvalidSpec"), (Stalled, "True", "InvalidSpec")]));
    assert_eq!(report.status.conditions[0].message, "spec.ttlSeconds: must be from 1 to 60");
    assert_eq!((look_at, report.status.grant), (None, None));
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let mut scene = Scene::absent();
    failing(&mut scene, FailureClass::Unavailable, false);
    scene.memory.failure.as_mut().unwrap().message = "ü".repeat(5000);
    for condition in rest(&scene).0.status.conditions {
        assert_eq!(condition.message.chars().count(), 1025);
        assert!(condition.message.ends_with("ü…"));
    }
}

#[test]
fn an_invalid_spec_leaves_nothing_said_of_the_grant_before() {
    let mut scene = Scene::fresh();
    let mut before = rest(&scene).0.status;
    before.observed_generation = Some(2);
    (scene.memory.consecutive_failures, scene.memory.handled_refresh) = (3, Some("v1".into()));
    assert!(before.secret_name.is_some() && before.grant.is_some() && before.next_refresh_time.is_some());
    scene.memory.told = Told::at_first_sight(before);
    scene.invalid = true;
    let status = rest(&scene).0.status;
    assert_eq!((status.secret_name, status.grant, status.next_refresh_time), (None, None, None));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!((status.consecutive_failures, status.last_handled_refresh_request.as_deref()), (3, Some("v1")));
}

#[test]
fn what_annotations_do_not_say_of_a_grant_comes_from_the_hand_or_from_the_status_before_a_restart() {
    let account = format!("AC{}", "b".repeat(32));
    let mut held = (*hand(1000)).clone();
    held.grant.account_sid = Some(account.as_str().into());
    held.grant.url = Some("https://media.example/grant".into());
    held.grant.date_created = Some("2026-11-24T12:00:00Z".parse().unwrap());
    let mut scene = Scene::fresh();
    scene.memory.hand = Some(std::sync::Arc::new(held));
    let status = rest(&scene).0.status;
    let grant = status.grant.clone().unwrap();
    assert_eq!(&*grant.player_streamer_sid, scene.spec.call.player_streamer_sid.as_str());
    assert_eq!((grant.issue_time.as_str(), grant.expiry_time.as_str()), ("2026-11-24T12:00:00.000Z", "2026-11-24T12:00:15.000Z"));
    assert_eq!((grant.account_sid.as_deref(), grant.url.as_deref()), (Some(&*account), Some("https://media.example/grant")));
    assert_eq!(grant.date_created.as_deref(), Some("2026-11-24T12:00:00Z"));

    // What is in hand after a restart came from the Secret, which doesn't hold all of it.
    let version = scene.meta().version.clone();
    scene.memory = crate::lifecycle::Memory::at_first_sight(Some(&status), at(1000));
    scene.memory.looked = Some(at(1000));
    scene.memory.read_intact(version, (*hand(1000)).clone(), true);
    assert_eq!(rest(&scene).0.status.grant, status.grant);
    let mut another = status;
    another.grant.as_mut().unwrap().issue_time = "2026-11-24T11:00:00.000Z".into();
    scene.memory.told = Told::at_first_sight(another);
    assert_eq!(rest(&scene).0.status.grant.unwrap().url, None, "that was another grant");
}
