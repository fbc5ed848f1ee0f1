//! What happens in a history, as it happens.

use std::time::Duration;

use serde_json::{Value, json};

use crate::history::{EVENTFUL, Happening, ServerFault, Tamper, Wish};
use crate::judge::What;
use crate::live::{NOTICES, Stage};
use crate::media_api::{Fault, SLOW, Whom};
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
        "refreshBeforeExpirySeconds": wish.early.map(|percent| (u32::from(wish.ttl) * u32::from(percent) / 100).max(1)),
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
pub fn lasts(happening: Happening) -> Option<u32> {
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
            stage.judge().obstruct(what(fault), &hindered(stage, fault), now);
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
                    let felt = now + felt_after(stage, fault, n);
                    stage.judge().release(What::Grants, [&name], felt, now);
                }
            }
        }
        Happening::Server(fault, _) => {
            suffer(stage, fault, false);
            let felt = if is_refusal(fault) { looked_at_again(failed_for(stage), Duration::from_secs(30)) } else { NOTICES };
            stage.judge().release(what(fault), &hindered(stage, fault), now + felt, now);
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

/// Who can't be given a grant by an API server that suffers that. For want of deletions alone: where a Secret may have to be made anew, or to be left to another.
fn hindered(stage: &Stage<'_>, fault: ServerFault) -> Vec<String> {
    let makes_anew = |happening: &Happening| {
        let how = Tamper::MakeImmutable;
        matches!(happening, Happening::Tamper(_, tamper) | Happening::Unseen(_, tamper, _) if *tamper == how)
            || matches!(happening, Happening::Hold(..) | Happening::Rival(..))
    };
    let is_hindered = !matches!(fault, ServerFault::RefusesDeletions) || stage.history.events.iter().any(|(_, one)| makes_anew(one));
    if is_hindered { stage.everybody() } else { Vec::new() }
}

const fn is_refusal(fault: ServerFault) -> bool {
    matches!(fault, ServerFault::RefusesSecrets | ServerFault::RefusesDeletions)
}

/// For how long the API server has failed in any way, all together: what it refuses waits the longer for what it has left unanswered before.
fn failed_for(stage: &Stage<'_>) -> Duration {
    stage.lasted(|happening| matches!(happening, Happening::Server(..)))
}

/// After which time, at the most, what has failed on and off since so long ago is tried again: each wait is twice the one before, from a second or two on.
fn looked_at_again(failed_for: Duration, longest: Duration) -> Duration {
    (Duration::from_secs(2) + failed_for * 2).min(longest)
}

/// Whether a 429 was met that says something of the request's account, at most half a minute ago.
fn was_throttled(stage: &Stage<'_>, n: usize) -> bool {
    let now = stage.world.now();
    stage.history.events.iter().any(|(at, happening)| match *happening {
        Happening::Media(whom, fault @ Fault::Throttled(_), millis) => {
            let ends = Duration::from_millis(u64::from(*at) + u64::from(millis));
            concerned(stage, whom, fault).contains(&name(n)) && now <= ends + Duration::from_secs(30)
        }
        _ => false,
    })
}

/// How long after the fault's end an operator may still wait.
fn felt_after(stage: &Stage<'_>, fault: Fault, n: usize) -> Duration {
    let unproven_since = stage.cast().unproven_since.get(&n).copied().unwrap_or_default();
    let wanted = stage.judge().wanted(&name(n));
    let is_proven = wanted.and_then(|wanted| stage.world.media.last_given(&wanted)).is_some_and(|given| given > unproven_since);
    match fault {
        // For a while after a 429 no call is joined by another before it counts for lost.
        Fault::Hangs | Fault::TimesOut if was_throttled(stage, n) => Duration::from_secs(2),
        // Called once more after half a second, and then not before it counts for lost: after two.
        Fault::Hangs | Fault::TimesOut => Duration::from_millis(500),
        Fault::Refused | Fault::Unavailable | Fault::Reset => Duration::ZERO,
        // What was sent before the end takes as long all the same; an API that takes its time is given it.
        Fault::Slow => SLOW,
        Fault::Throttled(asked) => Duration::from_secs(asked.unwrap_or_default().into()),
        Fault::Garbage | Fault::NotFound | Fault::Unauthorized | Fault::Forbidden if is_proven => Duration::ZERO,
        Fault::Garbage | Fault::NotFound | Fault::Unauthorized | Fault::Forbidden => {
            let is_slow = |fault| matches!(fault, Fault::Garbage | Fault::NotFound | Fault::Unauthorized | Fault::Forbidden);
            let first = stage.history.events.iter().find(|(_, one)| matches!(one, Happening::Media(_, fault, _) if is_slow(*fault)));
            let since = first.map(|(at, _)| Duration::from_millis((*at).into())).unwrap_or_default();
            looked_at_again(stage.world.now().saturating_sub(since), Duration::from_mins(1))
        }
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
