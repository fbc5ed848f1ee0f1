//! What happens in a history, as it happens.

use std::time::Duration;

use serde_json::{Value, json};

use crate::history::{EVENTFUL, Happening, ServerFault, Wish};
use crate::judge::What;
use crate::live::{NOTICES, Stage};
use crate::media_api::{Fault, SILENCE, SLOW, Whom};
use crate::world::{credentials_name, name};
use crate::{others, requests};

/// Something begins or ends, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Begins(usize),
    Ends(usize),
    /// The garbage collector looks.
    Collects,
}

/// What a request asks for at first.
pub fn spec(wish: &Wish) -> Value {
    json!({
        "ttlSeconds": wish.ttl,
        "credentialsSecretRef": {"name": credentials_name(wish.account)},
        "secret": {"deletionPolicy": if wish.retain { "Retain" } else { "Delete" }},
        "accessToken": wish.token.then(|| json!({"identity": "kiosk"})),
    })
}

/// Lets everything happen.
pub async fn all(stage: &Stage<'_>) {
    let mut turns: Vec<(Duration, Turn)> = Vec::new();
    for (number, (at, happening)) in stage.history.events.iter().enumerate() {
        let at = Duration::from_millis((*at).into());
        turns.push((at, Turn::Begins(number)));
        if let Some(lasts) = lasts(*happening) {
            turns.push(((at + Duration::from_millis(lasts.into())).min(EVENTFUL), Turn::Ends(number)));
        }
        if let Happening::Recreate(_, lasts) | Happening::Linger(_, lasts) = *happening {
            turns.push((at + requests::COLLECTED_AFTER, Turn::Collects));
            turns.push((at + Duration::from_millis(lasts.into()) + requests::COLLECTED_AFTER, Turn::Collects));
        }
    }
    turns.sort_by_key(|(at, _)| *at);
    let start = stage.world.awake();
    for (at, turn) in turns {
        tokio::time::sleep((start + at).saturating_sub(stage.world.awake())).await;
        match turn {
            Turn::Begins(number) => begin(stage, number, stage.history.events[number].1).await,
            Turn::Ends(number) => end(stage, number, stage.history.events[number].1).await,
            Turn::Collects => requests::collect(stage).await,
        }
    }
}

/// For how many milliseconds it lasts; `None` for what is over at once.
fn lasts(happening: Happening) -> Option<u32> {
    match happening {
        Happening::Media(_, _, millis)
        | Happening::Server(_, millis)
        | Happening::Kill(millis)
        | Happening::SecondOperator(millis)
        | Happening::Suspend(_, millis)
        | Happening::Recreate(_, millis)
        | Happening::Linger(_, millis)
        | Happening::Rival(_, _, millis)
        | Happening::Hold(_, millis)
        | Happening::TakeOver(_, millis)
        | Happening::DropCredentials(_, millis) => Some(millis),
        _ => None,
    }
}

async fn begin(stage: &Stage<'_>, number: usize, happening: Happening) {
    let now = stage.world.now();
    match happening {
        Happening::Media(whom, fault, _) => {
            stage.judge().obstruct(What::Grants, &concerned(stage, whom, fault), now);
            stage.world.media.begin(number, whom, fault);
        }
        Happening::Server(fault, _) => {
            stage.judge().obstruct(what(fault), &stage.everybody(), now);
            suffer(stage, fault, true);
        }
        Happening::CutWatches => cut(stage),
        Happening::Compact => {
            stage.world.server.compact();
            cut(stage);
        }
        Happening::Unseen(n, how, forgets) => {
            // No watch is back before time passes, and here none does.
            cut(stage);
            others::tamper(stage, n, how).await;
            if forgets {
                stage.world.server.compact();
            }
        }
        Happening::Kill(_) => presence(stage, |stage| {
            stage.cast().kills += 1;
            stage.cast().operator = None;
        }),
        Happening::SecondOperator(_) => presence(stage, |stage| drop(stage.cast().others.insert(number, stage.world.operator()))),
        Happening::SetWall(hours) => {
            let seconds = i64::from(hours) * 3600;
            stage.judge().wall_set(seconds, now);
            stage.world.set_wall(seconds);
        }
        Happening::Sleep(seconds) => {
            let until = now + Duration::from_secs(seconds.into()) + NOTICES;
            stage.everybody().iter().for_each(|name| stage.judge().excuse(name, until, now));
            stage.world.sleep(seconds);
        }
        other => requests::begin(stage, number, other).await,
    }
}

async fn end(stage: &Stage<'_>, number: usize, happening: Happening) {
    let now = stage.world.now();
    match happening {
        Happening::Media(whom, fault, _) => {
            stage.world.media.end(number);
            for n in 0..stage.history.requests.len() {
                let name = name(n);
                if concerned(stage, whom, fault).contains(&name) {
                    // After a hang there is no probe: the lane is open, or silent, and there one is tried after the other.
                    let probe = if fault != Fault::Hangs && is_beside_a_hang(stage, n) { SILENCE } else { Duration::ZERO };
                    let felt = now + felt_after(stage, fault, n) + probe;
                    stage.judge().release(What::Grants, [&name], felt, now);
                }
            }
        }
        Happening::Server(fault, _) => {
            suffer(stage, fault, false);
            // A refusal is looked at again after up to half a minute.
            let is_refusal = matches!(fault, ServerFault::RefusesSecrets | ServerFault::RefusesDeletions);
            let felt = if is_refusal { Duration::from_secs(30) } else { NOTICES };
            stage.judge().release(what(fault), &stage.everybody(), now + felt, now);
        }
        Happening::Kill(_) => {
            stage.cast().kills -= 1;
            if stage.cast().kills == 0 {
                start_operator(stage);
            }
        }
        Happening::SecondOperator(_) => presence(stage, |stage| drop(stage.cast().others.remove(&number))),
        other => others::end(stage, number, other).await,
    }
}

/// Starts the operator.
pub fn start_operator(stage: &Stage<'_>) {
    presence(stage, |stage| stage.cast().operator = Some(stage.world.operator()));
}

/// Lets operators come or go.
fn presence(stage: &Stage<'_>, change: impl FnOnce(&Stage<'_>)) {
    let (now, everybody) = (stage.world.now(), stage.everybody());
    let operators = stage.cast().operators();
    let before = operators > 0;
    change(stage);
    let now_there = stage.cast().operators();
    let after = now_there > 0;
    if now_there > operators {
        stage.judge().operator_comes(now);
    }
    let mut judge = stage.judge();
    match (before, after) {
        (true, false) => judge.obstruct(What::GrantsAndStatuses, &everybody, now),
        (false, true) => judge.release(What::GrantsAndStatuses, &everybody, now + NOTICES, now),
        (true, true) => everybody.iter().for_each(|name| judge.excuse(name, now + NOTICES, now)),
        (false, false) => {}
    }
    let mut cast = stage.cast();
    for n in 0..stage.history.requests.len() {
        cast.unproven_since.insert(n, now);
    }
}

fn concerned(stage: &Stage<'_>, whom: Whom, fault: Fault) -> Vec<String> {
    match whom {
        Whom::Everyone => stage.everybody(),
        Whom::Account(account) => stage.of_account(account),
        // A 429 is its account's, whatever it was asked for.
        Whom::Streamer(n) if matches!(fault, Fault::Throttled(_)) => stage.of_account(stage.history.requests[n].account),
        Whom::Streamer(n) => vec![name(n)],
    }
}

/// Whether a probe of its lane may be for another request, and hang.
fn is_beside_a_hang(stage: &Stage<'_>, n: usize) -> bool {
    let account = |n: usize| stage.history.requests[n].account;
    let is_beside = |whom: Whom| matches!(whom, Whom::Streamer(other) if other != n && account(other) == account(n));
    stage.world.media.hanging().into_iter().any(is_beside)
}

/// How long after the fault's end an operator may still wait.
fn felt_after(stage: &Stage<'_>, fault: Fault, n: usize) -> Duration {
    let unproven_since = stage.cast().unproven_since.get(&n).copied().unwrap_or_default();
    let wanted = stage.judge().wanted(&name(n));
    let is_proven = wanted.and_then(|wanted| stage.world.media.last_given(&wanted)).is_some_and(|given| given > unproven_since);
    match fault {
        Fault::Refused | Fault::Unavailable | Fault::Reset | Fault::Hangs => Duration::ZERO,
        // What was sent before the end takes as long all the same; an API that takes its time is given it.
        Fault::Slow => SLOW,
        Fault::Throttled(asked) => Duration::from_secs(asked.unwrap_or_default().into()),
        Fault::Garbage | Fault::NotFound | Fault::Unauthorized | Fault::Forbidden if is_proven => Duration::ZERO,
        Fault::Garbage | Fault::NotFound | Fault::Unauthorized | Fault::Forbidden => Duration::from_mins(1),
    }
}

const fn what(fault: ServerFault) -> What {
    match fault {
        ServerFault::RefusesSecrets | ServerFault::RefusesDeletions => What::Grants,
        ServerFault::Held | ServerFault::Unavailable | ServerFault::LosesAnswers | ServerFault::Slow => What::GrantsAndStatuses,
    }
}

fn suffer(stage: &Stage<'_>, fault: ServerFault, begins: bool) {
    let latency = Duration::from_millis(stage.history.latency.0.into());
    stage.world.server.suffer(|trouble| match fault {
        ServerFault::Held => trouble.held = begins,
        ServerFault::Unavailable => trouble.unavailable = begins,
        ServerFault::RefusesSecrets => trouble.refuses_secrets = begins,
        ServerFault::RefusesDeletions => trouble.refuses_deletions = begins,
        ServerFault::LosesAnswers => trouble.loses_answers = begins,
        ServerFault::Slow => trouble.latency = if begins { Duration::from_millis(700) } else { latency },
    });
}

fn cut(stage: &Stage<'_>) {
    stage.world.server.cut_watches();
    let now = stage.world.now();
    for name in stage.everybody() {
        stage.judge().excuse(&name, now + NOTICES, now);
    }
}
