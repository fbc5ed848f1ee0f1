//! Operators before an API server that is held again and again, for longer than they wait for an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::TryStreamExt as _;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, PartialObjectMeta, WatchEvent, WatchParams};
use playback_grant_operator::api::names::annotation;
use playback_grant_testbed::{AuditQuery, AuditedRequest, Gate, service_account_user, unix_millis};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{Scene, locked};
use crate::leaks::search_everything;
use crate::stage::{ACCOUNT, Operator, PATIENCE, Stage, eventually};

pub async fn with_one(_: Scene) -> Result<()> {
    Stage::alone(async |stage| no_older_lands_over_a_newer(stage, 1).await).await
}

pub async fn with_two(_: Scene) -> Result<()> {
    Stage::alone(async |stage| no_older_lands_over_a_newer(stage, 2).await).await
}

/// Those that are always due soon.
const HASTY: u32 = 15;

/// The others, which are refreshed when they are told to.
const CROWD: u32 = 45;

const PAUSES: u32 = 4;

/// So many writes are served, at the least, that an operator has given up: half of what one operator's come to, a fifth of two's.
const RACES: usize = 20;

/// Short enough that nothing is given up.
const HELD_SHORTLY: Duration = Duration::from_secs(1);

/// A write is given up after 2 s at first, and tried again with a grant that may be newer, and 4 s of patience: by then all are due again.
const HELD: Duration = Duration::from_secs(5);

/// What was sent to a held server it serves within that after the hold.
const SOON: Duration = Duration::from_secs(1);

/// For what has piled up, and the next grant.
const BETWEEN: Duration = Duration::from_secs(3);

async fn no_older_lands_over_a_newer(stage: &Stage, operators: usize) -> Result<()> {
    let journal = Journal::begin(stage.secrets.clone()).await?;
    // Otherwise the API server would drop most of what has been given up before it comes to it.
    let gate = Gate::losing_ends(stage.plane.url()).await?;
    let mut running = Vec::<(Operator, String)>::new();
    for _ in 0..operators {
        let operator = stage.operator_at(&gate.url(), &[]).await?;
        operator.ready().await?;
        let credential = new_credential(stage, &running)?;
        running.push((operator, credential));
    }
    let names: Vec<_> = (1..=HASTY + CROWD).map(|n| format!("request-{n}")).collect();
    let (hasty, crowd) = names.split_at(usize::try_from(HASTY)?);
    for (n, name) in (1..).zip(&names) {
        let (ttl, before) = if n <= HASTY { (5, 3) } else { (60, 1) };
        stage.request(name, n, &json!({"ttlSeconds": ttl, "refreshBeforeExpirySeconds": before})).await?;
    }
    for name in &names {
        stage.ready(name).await?;
    }
    let mut holds = Vec::new();
    for pause in 0..PAUSES {
        // Nothing goes to a held server on a new connection. So first the crowd makes the operators open many, which the hasty then have.
        let now = format!("pause {pause}");
        try_join_all(crowd.iter().map(|name| stage.annotate(name, "playbackgrant.dev/refresh-requested-at", &now))).await?;
        hold(stage, HELD_SHORTLY).await;
        tokio::time::sleep(HELD_SHORTLY).await;
        holds.push(Timestamp::from_millisecond(i64::try_from(unix_millis())?)?);
        hold(stage, HELD).await;
        tokio::time::sleep(BETWEEN).await;
    }
    for name in &names {
        stage.ready(name).await?;
    }
    let given_up = given_up(&running, &patches(stage)?, &holds)?;
    for (operator, _) in running {
        ensure!(operator.process.terminate(PATIENCE).await? == 0, "it did not end with 0");
    }

    let versions = journal.end(&stage.secrets).await?;
    let patches = patches(stage)?;
    let conflicts = patches.iter().filter(|patch| patch.code == 409).count();
    let steps = steps(&versions)?;
    let (ahead, back) = (steps.iter().filter(|(from, to)| from < to).count(), steps.iter().filter(|(from, to)| to < from).count());
    eprintln!(
        "{operators} operator(s): {} versions of {} Secrets, {ahead} times with a newer grant than before, {back} times with an older; \
         {conflicts} of {} patches met another version; by operator and hold: {given_up:?}",
        versions.len(),
        names.len(),
        patches.len()
    );
    let furthest = steps.iter().map(|(from, to)| from.duration_since(*to)).max().unwrap_or_default();
    ensure!(back == 0, "{back} times an older grant landed over a newer one, asked for up to {furthest:?} earlier");
    ensure!(ahead >= hasty.len(), "grants were replaced only {ahead} times");
    ensure!(conflicts > 0, "no patch met another version: this test shows nothing");
    for (n, by_hold) in (1..).zip(&given_up) {
        // With two operators it is chance which of them had writes under way when a hold began.
        let made_to = by_hold.iter().filter(|hold| hold.told > 0).count();
        ensure!(2 * made_to > by_hold.len(), "only {made_to} holds made operator {n} give up a write: {by_hold:?}");
    }
    let served: usize = given_up.iter().flatten().map(|hold| hold.served).sum();
    ensure!(served >= RACES, "of what was given up only {served} were served: {given_up:?}");
    search_everything(&stage.plane).await.map(drop)
}

async fn hold(stage: &Stage, time: Duration) {
    stage.plane.api_server().stop();
    tokio::time::sleep(time).await;
    stage.plane.api_server().cont();
}

/// What was patched by the operators.
fn patches(stage: &Stage) -> Result<Vec<AuditedRequest>> {
    let user = service_account_user(ACCOUNT.0, ACCOUNT.1);
    let query = AuditQuery { user: Some(&user), verb: Some("patch"), resource: Some("secrets"), ..AuditQuery::default() };
    stage.plane.audit_log().requests(&query)
}

/// Writes that an operator says it has given up, and those of them that the API server served all the same: then that one or the one after it met
/// another version than it was for.
#[derive(Clone, Copy, Debug, Default)]
struct GivenUp {
    told: usize,
    served: usize,
}

/// Of each operator in each hold.
fn given_up(running: &[(Operator, String)], patches: &[AuditedRequest], holds: &[Timestamp]) -> Result<Vec<Vec<GivenUp>>> {
    let mut by_operator = Vec::new();
    for (operator, credential) in running {
        let mut by_hold = vec![GivenUp::default(); holds.len()];
        for line in operator.log()?.lines().filter(|line| line.contains(" DEBUG ") && line.contains("could not update Secret ")) {
            let Some((before, _)) = line.split_once(": no complete answer in time") else { continue };
            let name = before.rsplit('/').next().unwrap_or_default();
            let told: Timestamp = before.split_whitespace().next().unwrap_or_default().parse()?;
            let Some(hold) = holds.iter().filter(|begin| **begin <= told).count().checked_sub(1) else { continue };
            // A held server takes nothing in. What it serves just after is what was sent meanwhile: the one given up, and the one after it.
            let soon = holds[hold].checked_add(HELD)?.checked_add(SOON)?;
            let is_of_hold =
                |patch: &&AuditedRequest| patch.credential == *credential && patch.name == name && (told..soon).contains(&patch.received.0);
            by_hold[hold].told += 1;
            by_hold[hold].served += usize::from(patches.iter().filter(is_of_hold).any(|patch| patch.code == 409));
        }
        by_operator.push(by_hold);
    }
    Ok(by_operator)
}

/// What the token is known by of the operator that was started last.
fn new_credential(stage: &Stage, others: &[(Operator, String)]) -> Result<String> {
    let user = service_account_user(ACCOUNT.0, ACCOUNT.1);
    let asked = stage.plane.audit_log().requests(&AuditQuery { user: Some(&user), ..AuditQuery::default() })?;
    let new = asked.into_iter().filter(|asked| others.iter().all(|(_, other)| *other != asked.credential));
    new.max_by_key(|asked| asked.received.0).map(|asked| asked.credential).context("the audit log doesn't tell the operators apart")
}

/// One Secret as it stood.
#[derive(Clone, Debug)]
struct Standing {
    uid: String,
    resource_version: String,
    issue_time: Timestamp,
}

/// From each version of each Secret to the next: when the grants in them were asked for.
fn steps(versions: &[Standing]) -> Result<Vec<(Timestamp, Timestamp)>> {
    let mut last = BTreeMap::new();
    let steps: Vec<_> =
        versions.iter().filter_map(|version| Some((last.insert(&version.uid, version.issue_time)?, version.issue_time))).collect();
    ensure!(last.len() == usize::try_from(HASTY + CROWD)?, "{} Secrets were there", last.len());
    Ok(steps)
}

/// All versions of all grant Secrets, in their order.
struct Journal {
    versions: Arc<Mutex<Vec<Standing>>>,
    writer: AbortOnDropHandle<Result<()>>,
}

impl Journal {
    /// Begins with what will be made.
    async fn begin(secrets: Api<Secret>) -> Result<Self> {
        let from = secrets.list_metadata(&ListParams::default()).await?.metadata.resource_version.context("a list without a version")?;
        let versions = Arc::<Mutex<Vec<Standing>>>::default();
        let writer = AbortOnDropHandle::new(tokio::spawn(write(secrets, from, versions.clone())));
        Ok(Self { versions, writer })
    }

    /// Ends once it has what is there now.
    async fn end(self, secrets: &Api<Secret>) -> Result<Vec<Standing>> {
        let grants = ListParams::default().labels("app.kubernetes.io/managed-by=playback-grant-operator");
        let present = secrets.list_metadata(&grants).await?.items;
        let present: BTreeSet<_> = present.iter().filter_map(|secret| secret.metadata.resource_version.clone()).collect();
        let lacking = async || {
            ensure!(!self.writer.is_finished(), "the watch of the Secrets ended");
            let versions = locked(&self.versions);
            let known: BTreeSet<_> = versions.iter().map(|version| &version.resource_version).collect();
            Ok(present.iter().filter(|version| !known.contains(version)).count())
        };
        let seen = eventually("the watch has shown all Secrets as they are", lacking, |lacking| *lacking == 0, |lacking| *lacking).await;
        self.writer.abort();
        if let Ok(Err(error)) = self.writer.await {
            return Err(error);
        }
        seen?;
        Ok(locked(&self.versions).clone())
    }
}

/// Goes on from the last version whenever the watch ends: a list in between would hide what was replaced before it.
async fn write(secrets: Api<Secret>, mut from: String, versions: Arc<Mutex<Vec<Standing>>>) -> Result<()> {
    let grants = WatchParams::default().labels("app.kubernetes.io/managed-by=playback-grant-operator");
    loop {
        let Ok(events) = secrets.watch_metadata(&grants, &from).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mut events = pin!(events);
        while let Ok(Some(event)) = events.try_next().await {
            match event {
                WatchEvent::Added(secret) | WatchEvent::Modified(secret) => {
                    let standing = standing(&secret)?;
                    from.clone_from(&standing.resource_version);
                    locked(&versions).push(standing);
                }
                WatchEvent::Bookmark(bookmark) => from = bookmark.metadata.resource_version,
                WatchEvent::Deleted(secret) => bail!("Secret {} was deleted", secret.name_any()),
                WatchEvent::Error(status) => bail!("the watch can't go on: {}", status.message),
            }
        }
    }
}

fn standing(secret: &PartialObjectMeta<Secret>) -> Result<Standing> {
    let issue_time = secret.annotations().get(annotation::ISSUE_TIME).context("a Secret without the time of its grant")?;
    Ok(Standing {
        uid: secret.uid().context("a Secret without a uid")?,
        resource_version: secret.resource_version().context("a Secret without a version")?,
        issue_time: issue_time.parse()?,
    })
}
