//! All failures together: none is left out, and no two read the same.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use playback_grant_operator::media::{CallError, CallFailure};

use crate::support::shows_something_planted;
use crate::{answers, environment, statuses, tls, transport};

const ALL: [&str; 16] = [
    "NameNotResolved",
    "ConnectionRefused",
    "ConnectTimedOut",
    "ConnectFailed",
    "CertificateNotTrusted",
    "Tls",
    "NotHttp",
    "ConnectionLost",
    "NoAnswerInTime",
    "BodyTooLarge",
    "NotJson",
    "UnexpectedSuccess",
    "GrantMissing",
    "WrongType",
    "OtherPlayerStreamer",
    "Status",
];

/// A variant that is new doesn't compile here, and then belongs into [`ALL`]; but for the one that no client makes: the dispatcher does.
fn name(failure: &CallFailure) -> &'static str {
    let place = match failure {
        CallFailure::NameNotResolved { .. } => 0,
        CallFailure::ConnectionRefused => 1,
        CallFailure::ConnectTimedOut { .. } => 2,
        CallFailure::ConnectFailed { .. } => 3,
        CallFailure::CertificateNotTrusted { .. } => 4,
        CallFailure::Tls => 5,
        CallFailure::NotHttp => 6,
        CallFailure::ConnectionLost { .. } => 7,
        CallFailure::NoAnswerInTime { .. } => 8,
        CallFailure::BodyTooLarge { .. } => 9,
        CallFailure::NotJson { .. } => 10,
        CallFailure::UnexpectedSuccess { .. } => 11,
        CallFailure::GrantMissing => 12,
        CallFailure::WrongType { .. } => 13,
        CallFailure::OtherPlayerStreamer => 14,
        CallFailure::Status { .. } => 15,
        CallFailure::Broken => return "Broken",
    };
    ALL[place]
}

#[tokio::test]
async fn every_failure_is_provoked_and_no_two_read_the_same() {
    let (elsewhere, mut errors) = tokio::join!(environment::provoked(), async {
        [statuses::provoked().await, answers::provoked().await, transport::provoked().await, tls::provoked().await].concat()
    });
    errors.iter().for_each(check);
    errors.sort_by_key(|error| format!("{:?}", error.failure));
    errors.dedup_by_key(|error| error.failure.clone());

    let mut provoked: BTreeSet<_> = errors.iter().map(|error| name(&error.failure).to_owned()).collect();
    let mut texts: BTreeMap<_, _> = BTreeMap::new();
    let here = errors.iter().map(|error| (format!("{:?}", error.failure), error.failure.to_string()));
    for (failure, text) in here.chain(elsewhere.into_iter().map(|outcome| (outcome.failure, outcome.text))) {
        provoked.insert(failure.split([' ', '(']).next().unwrap().to_owned());
        assert_eq!(texts.insert(text.clone(), failure.clone()), None, "{failure} reads as another does: {text}");
    }
    assert_eq!(provoked, ALL.iter().map(|name| (*name).to_owned()).collect());
}

fn check(error: &CallError) {
    let text = error.to_string();
    assert!(text.starts_with("POST http") && text.contains("://127.0.0.1:"), "where: {text}");
    assert_eq!(error.status().is_some(), text.contains("answered ") || text.contains("status "), "the status, if there is one: {text}");
    assert!(text.matches(": ").count() >= 2, "what to do: {text}");
    assert!(error.source().is_none() && !shows_something_planted(&format!("{text} {error:?}")), "{text}");
}
