//! What is decided and reported of tokens.

mod edges;

use std::sync::Arc;

use super::super::testing::{Scene, at, conditions, hand, lane, rest, shown, step, usable};
use super::*;
use crate::api::condition::ConditionType::{Ready, RefreshFailing, Stalled};
use crate::lifecycle::{Attempt, Backoff, Contents, SecretView, Step, Trouble};
use crate::time::Instant;
use crate::token::{AccessTokenIdentity, AccessTokenTtl, SigningKey};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

fn asked(identity: &str) -> Option<AccessTokenSpec> {
    let identity = AccessTokenIdentity::parse(identity)?;
    Some(AccessTokenSpec { identity, ttl: AccessTokenTtl::from_seconds(3600)? })
}

fn key(secret: &str) -> KeyTag {
    SigningKey::new(&format!("SK{}", "a".repeat(32)), secret.to_owned().into()).tag()
}

/// The credentials of those secret texts.
fn signing(secret: &str, account_sid: Option<&str>) -> CredentialsView {
    CredentialsView::Usable { lane: lane("media-api"), signer: Signer { key: Some(key(secret)), account_sid: account_sid.map(Into::into) } }
}

/// The API server has refused something at that instant.
fn trouble(at: Instant) -> Trouble {
    Trouble {
        message: "could not read Secret web/media-api: forbidden".into(),
        refused: true,
        attempt: Attempt::Read,
        terminating: false,
        backoff: Backoff::after(None, true, at),
    }
}

type Change = fn(&mut Scene);

/// The Secret holds a fresh grant, without a token, and one is asked for.
fn wanting() -> Scene {
    let mut scene = Scene::fresh();
    scene.spec.access_token = asked("kiosk");
    scene.credentials = signing("secret", Some(ACCOUNT));
    scene
}

/// The Secret holds a fresh grant and the token that is asked for.
fn served() -> Scene {
    let mut scene = wanting();
    write(&mut scene);
    scene
}

/// Lets the step that is due be done, and returns what it brings into the Secret.
#[track_caller]
fn write(scene: &mut Scene) -> Option<Contents> {
    let order = match step(scene) {
        Step::Patch { order, .. } => order,
        other => panic!("{other:?}"),
    };
    for (name, value) in &order.annotations {
        match value {
            Some(value) => scene.meta().annotations.set(name, value, true),
            None => scene.meta().annotations.remove(name),
        }
    }
    scene.change();
    let version = scene.meta().version.clone();
    let now = scene.now;
    scene.memory.written(version, order.contents.as_ref(), false, false, now);
    order.contents
}

#[track_caller]
fn rests(scene: &Scene) {
    let (report, _) = rest(scene);
    assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued")]));
}

#[test]
fn a_token_is_written_beside_the_grant_in_hand_without_a_call() {
    let mut scene = wanting();
    let Contents { grant, token } = write(&mut scene).unwrap();
    assert_eq!(grant.issue, at(1000), "the grant that was there");
    let expected = TokenOrder { spec: asked("kiosk").unwrap(), account_sid: ACCOUNT.into(), key: key("secret") };
    assert_eq!(scene.meta().annotations.get("playbackgrant.dev/token-hash"), Some(expected.hash().as_str()));
    assert_eq!(token, Some(expected));
    rests(&scene);
}

#[test]
fn the_next_grant_and_its_token_come_in_one_write() {
    let mut scene = served();
    scene.memory.hand = Some(hand(1001));
    let contents = write(&mut scene).unwrap();
    assert_eq!((contents.grant.issue, contents.token.is_some()), (at(1001), true));
    rests(&scene);
}

#[test]
fn a_new_secret_has_the_token_from_the_beginning() {
    let mut scene = wanting();
    scene.secret = SecretView::Absent;
    scene.memory.looked = Some(scene.now);
    let order = match step(&scene) {
        Step::Create { order, .. } => order,
        other => panic!("{other:?}"),
    };
    let token = order.contents.unwrap().token.unwrap();
    assert_eq!(order.annotations["playbackgrant.dev/token-hash"], Some(token.hash()));
}

#[test]
fn whatever_decides_a_token_makes_a_new_one_from_the_grant_in_hand() {
    let changes: [(&str, Change); 5] = [
        ("the identity", |scene| scene.spec.access_token = asked("another")),
        ("the lifetime", |scene| {
            scene.spec.access_token.as_mut().unwrap().ttl = AccessTokenTtl::from_seconds(60).unwrap();
        }),
        ("the key", |scene| scene.credentials = signing("another", Some(ACCOUNT))),
        ("the account", |scene| scene.credentials = signing("secret", Some("AC99999999999999999999999999999999"))),
        ("its hash, in others' hands", |scene| {
            scene.meta().annotations.remove("playbackgrant.dev/token-hash");
        }),
    ];
    for (what, change) in changes {
        let mut scene = served();
        let before = scene.meta().annotations.get("playbackgrant.dev/token-hash").map(str::to_owned);
        rests(&scene);
        change(&mut scene);
        let contents = write(&mut scene).unwrap();
        assert_eq!((contents.grant.issue, contents.token.is_some()), (at(1000), true), "{what}");
        let after = scene.meta().annotations.get("playbackgrant.dev/token-hash").map(str::to_owned);
        assert_eq!(after == before, what.starts_with("its hash"), "{what}");
        rests(&scene);
    }
}

#[test]
fn the_media_apis_account_wins_over_the_one_beside_the_key() {
    let mut scene = wanting();
    let mut grant = (*hand(1000)).clone();
    grant.grant.account_sid = Some("AC99999999999999999999999999999999".into());
    scene.memory.hand = Some(Arc::new(grant));
    assert_eq!(&*write(&mut scene).unwrap().token.unwrap().account_sid, "AC99999999999999999999999999999999");
}

#[test]
fn a_token_that_is_asked_for_no_more_goes() {
    let mut scene = served();
    scene.spec.access_token = None;
    let contents = write(&mut scene).unwrap();
    assert_eq!((contents.grant.issue, contents.token), (at(1000), None));
    assert!(!scene.meta().annotations.contains_key("playbackgrant.dev/token-hash"));
    rests(&scene);
}

#[test]
fn a_token_that_others_have_spoilt_is_made_again_and_the_grant_stays() {
    let mut scene = served();
    let version = scene.meta().version.clone();
    scene.memory.read_intact(version, (*hand(1000)).clone(), false);
    let contents = write(&mut scene).unwrap();
    assert_eq!((contents.grant.issue, contents.token.is_some()), (at(1000), true));
    rests(&scene);
}

#[test]
fn the_key_is_looked_for_before_the_grant_is_written_but_not_for_ever() {
    let mut scene = served();
    scene.memory.hand = Some(hand(1001));
    scene.credentials = CredentialsView::NotRead;
    assert!(matches!(step(&scene), Step::ReadCredentials));
    scene.memory.trouble = Some(Box::new(trouble(at(990))));
    assert!(matches!(step(&scene), Step::ReadCredentials), "trouble of another kind says nothing of them");
    scene.memory.credentials_read(false);
    let contents = write(&mut scene).unwrap();
    assert_eq!((contents.grant.issue, contents.token), (at(1001), None), "a fresh grant without a token, rather than an expired one");
    assert!(!scene.meta().annotations.contains_key("playbackgrant.dev/token-hash"), "a token that carries another grant is gone");
    assert!(matches!(step(&scene), Step::ReadCredentials));
}

#[test]
fn a_new_secret_waits_for_the_key_too() {
    let mut scene = wanting();
    scene.secret = SecretView::Absent;
    scene.memory.looked = Some(scene.now);
    scene.credentials = CredentialsView::NotRead;
    assert!(matches!(step(&scene), Step::ReadCredentials));
    scene.spec.access_token = None;
    assert!(matches!(step(&scene), Step::Create { .. }), "without a token no key is needed");
}

#[test]
fn a_token_stays_while_the_credentials_are_away() {
    for view in [CredentialsView::NotFound, CredentialsView::Invalid("apiKeySecret is missing".into())] {
        let mut scene = served();
        scene.credentials = view;
        let (report, _) = rest(&scene);
        assert_eq!(report.status.conditions[0].reason, "GrantIssued");
        // A grant that was asked for before goes in alone.
        scene.memory.hand = Some(hand(1001));
        assert_eq!(write(&mut scene).unwrap().token, None);
        assert!(!scene.meta().annotations.contains_key("playbackgrant.dev/token-hash"));
        scene.credentials = signing("secret", Some(ACCOUNT));
        assert!(write(&mut scene).unwrap().token.is_some(), "and its token comes with them");
    }
}

#[test]
fn a_token_stays_while_the_credentials_can_not_be_read() {
    let mut scene = served();
    scene.credentials = CredentialsView::NotRead;
    scene.memory.trouble = Some(Box::new(trouble(at(990))));
    assert!(matches!(step(&scene), Step::ReadCredentials), "what is there may be right");
    scene.memory.trouble = Some(Box::new(trouble(at(1000))));
    rest(&scene);
}

#[test]
fn a_token_that_can_not_be_written_brings_no_call() {
    let mut scene = served();
    scene.credentials = signing("another", Some(ACCOUNT));
    scene.memory.trouble = Some(Box::new(Trouble { refused: false, ..trouble(at(1000)) }));
    rest(&scene);
}

#[test]
fn no_token_is_signed_around_an_expired_grant() {
    let mut scene = served();
    scene.credentials = signing("another", Some(ACCOUNT));
    scene.now = at(1015);
    assert!(matches!(step(&scene), Step::Order { .. }), "the next grant brings the next token");
}

#[test]
fn credentials_that_cannot_sign_are_told_of_and_the_grant_stays_fresh() {
    for (credentials, missing, remedy) in [
        (usable("media-api"), "only an API key can sign one", "Add the keys apiKeySid and apiKeySecret to it"),
        (signing("secret", None), "says which account the API key belongs to", "Add the key accountSid to it"),
    ] {
        let mut scene = served();
        scene.credentials = credentials;
        assert_eq!(write(&mut scene).unwrap().token, None, "a token of another key is gone");
        let (report, _) = rest(&scene);
        assert_eq!(conditions(&report), shown(&[(Ready, "True", "GrantIssued"), (Stalled, "True", "CredentialsCannotSign")]));
        assert_eq!(report.status.conditions[0].message, "Secret web/keynote holds an unexpired grant, but no Access Token");
        let message = &report.status.conditions[1].message;
        assert!(message.contains(missing) && message.contains(remedy) && message.contains("web/media-api"), "{message}");
        scene.now = at(1010);
        assert!(matches!(step(&scene), Step::Order { .. }), "and the next grant is asked for when it is due");
    }
}

#[test]
fn what_is_worse_than_a_missing_token_is_told_first() {
    let mut scene = wanting();
    scene.credentials = CredentialsView::NotFound;
    assert_eq!(
        conditions(&rest(&scene).0),
        shown(&[(Ready, "True", "GrantIssued"), (RefreshFailing, "True", "CredentialsNotFound"), (Stalled, "True", "CredentialsNotFound")])
    );
    let mut scene = Scene::absent();
    scene.spec.access_token = asked("kiosk");
    scene.memory.ordered = Some(Box::new(crate::lifecycle::Ordered { subject: scene.subject(), refresh_request: None, forced: false }));
    assert_eq!(rest(&scene).0.status.conditions[0].reason, "Issuing");
}

#[test]
fn a_suspended_request_keeps_its_token() {
    let mut scene = served();
    scene.spec.suspend = true;
    scene.credentials = signing("another", Some(ACCOUNT));
    rests(&scene);
    scene.spec.access_token = None;
    rests(&scene);
}
