//! How a history must end: all is well, nothing is left behind, and what is quiet costs what quiet costs.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::ListParams;
use kube::{Resource as _, ResourceExt as _};
use playback_grant_operator::api::names::{MANAGED_BY, MANAGED_BY_LABEL, annotation, key};

use crate::facts::{SecretFacts, conditions};
use crate::live::{QUIET, Stage};
use crate::world::{World, name};

/// How much has been asked for up to an instant.
pub struct Figures {
    asked: usize,
    calls: usize,
}

impl Figures {
    pub fn of(world: &World) -> Self {
        Self { asked: world.server.asked().len(), calls: world.media.calls() }
    }
}

/// Looks at what there is, and at what was asked for since `before`.
pub async fn look(stage: &Stage<'_>, before: &Figures) {
    let mut problems = Vec::new();
    cost(stage, before, &mut problems);
    haste(stage, &mut problems);
    for n in 0..stage.history.requests.len() {
        well(stage, n, &mut problems).await;
        whole(stage, n, &mut problems).await;
    }
    left_behind(stage, &mut problems).await;
    for problem in problems {
        stage.judge().complain(format!("in the end, {problem}"));
    }
}

/// In no second is more asked of the API server than a start of all takes, each with all its steps.
fn haste(stage: &Stage<'_>, problems: &mut Vec<String>) {
    let most = 40 + 30 * stage.history.requests.len();
    let asked = stage.world.server.asked();
    let in_a_second = |first: &playback_grant_testbed::Asked| {
        asked.iter().filter(|other| other.at >= first.at && other.at < first.at + Duration::from_secs(1)).count()
    };
    // Of the Media API, than two operators may ask for when each call fails: each has a lane for each account.
    let most_calls = 20 + 3 * stage.history.requests.len();
    let calls: Vec<Duration> = stage.world.media.told().into_iter().map(|(at, _)| at).collect();
    let calls_from = |first: Duration| calls.iter().filter(|at| (first..first + Duration::from_secs(1)).contains(*at)).count();
    if let Some(first) = calls.iter().find(|first| calls_from(**first) > most_calls) {
        problems.push(format!("from {first:.1?} on the Media API was called {} times in a second", calls_from(*first)));
    }
    if let Some(first) = asked.iter().find(|first| in_a_second(first) > most) {
        problems.push(format!("from {:.1?} on the API server was asked {} times in a second", first.at, in_a_second(first)));
    }
}

fn cost(stage: &Stage<'_>, before: &Figures, problems: &mut Vec<String>) {
    let Stage { world, .. } = stage;
    let asked = world.server.asked().split_off(before.asked);
    let count = |is: &dyn Fn(&playback_grant_testbed::Asked) -> bool| asked.iter().filter(|asked| is(asked)).count();
    let calls = world.media.calls() - before.calls;
    let secrets = count(&|asked| asked.method != "GET" && asked.path.contains("/secrets"));
    let statuses = count(&|asked| asked.path.ends_with("/status"));
    let looks = count(&|asked| asked.method == "GET" && asked.path.contains("/secrets/"));
    let refused: Vec<_> = asked.iter().filter(|asked| asked.code >= 400).collect();
    let requests = stage.history.requests.len();
    if secrets.abs_diff(calls) > requests || statuses.abs_diff(calls) > requests {
        problems.push(format!("{calls} calls came with {secrets} writes of Secrets and {statuses} of statuses"));
    }
    if looks > 0 || !refused.is_empty() {
        problems.push(format!("{looks} Secrets were read in quiet, and these were refused: {refused:?}"));
    }
    // At most 4 % earlier, and the first and the last may be just in or just out.
    let due = |earlier: u32| -> usize {
        let times = |interval: Duration| QUIET.as_millis() / (interval * (100 - earlier) / 100).as_millis();
        stage.judge().intervals().into_iter().map(|interval| usize::try_from(times(interval)).unwrap()).sum()
    };
    let (least, most) = (due(0).saturating_sub(requests), due(4) + requests);
    if !(least..=most).contains(&calls) {
        problems.push(format!("{calls} calls in quiet, where {least} to {most} are due"));
    }
}

async fn well(stage: &Stage<'_>, n: usize, problems: &mut Vec<String>) {
    let name = name(n);
    let request = stage.world.requests().get(&name).await.unwrap();
    let told = conditions(&serde_json::to_value(&request).unwrap());
    let status = request.status.clone().unwrap_or_default();
    if told != ["Ready=True GrantIssued"] || status.observed_generation != request.meta().generation {
        problems.push(format!("{name} says {told:?}"));
    }
    let refresh = stage.cast().refreshes.get(&n).cloned();
    if refresh.is_some() && refresh != status.last_handled_refresh_request {
        problems.push(format!("{name} was to be refreshed, {refresh:?}, and handled {:?}", status.last_handled_refresh_request));
    }
}

/// Whatever others did to it, the Secret says again whose it is and what is in it.
async fn whole(stage: &Stage<'_>, n: usize, problems: &mut Vec<String>) {
    let request = stage.world.requests().get(&name(n)).await.unwrap();
    let target = stage.cast().target(n);
    let Some(secret) = stage.world.secrets().get_opt(&target).await.unwrap() else {
        return problems.push(format!("there is no Secret {target}"));
    };
    let owner = format!("{}/{}", request.name_any(), request.uid().unwrap());
    let text = |key: &str| {
        let value = secret.data.as_ref().and_then(|data| data.get(key));
        value.map(|value| String::from_utf8_lossy(&value.0).into_owned())
    };
    let annotation = |key: &str| secret.annotations().get(key).cloned();
    let owners: Vec<_> = secret.owner_references().iter().map(|owner| (owner.uid.clone(), owner.controller)).collect();
    let retains = request.spec.secret.as_ref().is_some_and(|secret| secret.deletion_policy == "Retain");
    let expected = if retains { vec![] } else { vec![(request.uid().unwrap(), Some(true))] };
    let signed = SecretFacts::of(&serde_json::to_value(&secret).unwrap());
    let carries_it = signed.token.is_some_and(|(_, carried)| carried.is_some() && carried == signed.grant);
    let wants_token = stage.history.requests[n].token;
    let tier = |labels: Option<&BTreeMap<String, String>>| labels.and_then(|labels| labels.get("tier")).cloned();
    let wanted_tier = tier(request.spec.secret.as_ref().map(|secret| &secret.labels));
    let is_so = [
        ("is managed", secret.labels().get(MANAGED_BY_LABEL).is_some_and(|by| by == MANAGED_BY)),
        ("has the labels that are asked for, and no others", tier(secret.metadata.labels.as_ref()) == wanted_tier),
        ("names its owner", annotation(annotation::OWNED_BY) == Some(owner)),
        ("is owned", owners == expected),
        ("holds a grant", text(key::GRANT).is_some_and(|grant| !grant.is_empty())),
        ("names the streamer", text(key::PLAYER_STREAMER_SID).as_deref() == Some(&request.spec.player_streamer_sid)),
        ("tells the issue", text(key::ISSUE_TIME).is_some() && text(key::ISSUE_TIME) == annotation(annotation::ISSUE_TIME)),
        ("holds a token, or none, as it is asked for", text(key::ACCESS_TOKEN).is_some() == wants_token),
        ("holds a token that carries the grant", !wants_token || carries_it),
        ("tells the expiry", text(key::EXPIRY_TIME).is_some() && text(key::EXPIRY_TIME) == annotation(annotation::EXPIRY_TIME)),
    ];
    let not_so: Vec<&str> = is_so.into_iter().filter(|(_, is_so)| !is_so).map(|(what, _)| what).collect();
    if !not_so.is_empty() {
        problems.push(format!("of Secret {target} it isn't so that it {}", not_so.join(", ")));
    }
}

async fn left_behind(stage: &Stage<'_>, problems: &mut Vec<String>) {
    let Stage { world, history, .. } = stage;
    let targets: Vec<String> = (0..history.requests.len()).map(|n| stage.cast().target(n)).collect();
    for secret in world.secrets().list(&ListParams::default()).await.unwrap() {
        // One that lost its label while nobody was there, and its name in the spec, too, is in no watch; it goes with its request.
        let is_watched = secret.labels().contains_key(MANAGED_BY_LABEL);
        let owned_by = secret.annotations().get("playbackgrant.dev/owned-by").cloned().filter(|_| is_watched);
        if let Some(owner) = owned_by.filter(|_| !targets.contains(&secret.name_any())) {
            // A predecessor's that was retained under another name than the heir's stays.
            let mut alive = world.requests().list(&ListParams::default()).await.unwrap().items.into_iter();
            if alive.any(|request| owner == format!("{}/{}", request.name_any(), request.uid().unwrap())) {
                problems.push(format!("Secret {} was left behind", secret.name_any()));
            }
        }
    }
    let bystander = world.secrets().get("bystander").await.unwrap();
    if bystander.metadata.managed_fields.iter().flatten().count() != 1 || bystander.data.is_some() {
        problems.push("another's Secret was changed".to_owned());
    }
}
