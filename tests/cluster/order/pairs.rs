//! Two patches of one Secret in a held API server, the older sent first: which is the last to land?

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use playback_grant_operator::api::names::annotation;
use playback_grant_operator::api::{PlaybackGrantRequest, validate};
use playback_grant_operator::controller::api::{ApiFailure, ApiServer};
use playback_grant_operator::controller::watched::WatchedSecret;
use playback_grant_operator::lifecycle::{Contents, HeldGrant, Identity, SecretMeta, SecretOrder};
use playback_grant_operator::media::Grant;
use playback_grant_operator::time::{Instant, rfc3339_millis};
use serde_json::json;

use crate::harness::Scene;
use crate::stage::{ACCOUNT, PATIENCE, Stage, sid};

const PAUSES: usize = 6;
const PAIRS_IN_A_PAUSE: usize = 50;

/// Long enough that what is sent is in the sockets of the held API server before more is sent, or the server goes on.
const SENDING: Duration = Duration::from_millis(300);

const OLDER: &str = "2026-01-01T00:00:00.000Z";
const NEWER: &str = "2026-01-01T00:00:05.000Z";

pub async fn by_uid_and_by_version(_: Scene) -> Result<()> {
    Stage::alone(both_ways).await
}

async fn both_ways(stage: &Stage) -> Result<()> {
    let by_uid = Landed::of(stage, "uid", by_uid).await?;
    let by_version = Landed::of(stage, "version", by_version).await?;
    eprintln!(
        "of {} pairs each, the older patch landed last {} times by uid alone, {} times by uid and version ({} conflicts)",
        PAUSES * PAIRS_IN_A_PAUSE,
        by_uid.older_last,
        by_version.older_last,
        by_version.conflicts
    );
    ensure!(by_uid.older_last > 0, "the API server takes patches in the order in which they were sent: this test shows nothing");
    ensure!(by_version.older_last == 0, "{} older patches landed over newer ones", by_version.older_last);
    // Both of a pair know the same version, so that one of them must lose it.
    ensure!(by_version.conflicts >= PAUSES * PAIRS_IN_A_PAUSE, "only {} patches met another version", by_version.conflicts);
    Ok(())
}

/// How it came out.
#[derive(Default)]
struct Landed {
    older_last: usize,
    conflicts: usize,
}

/// One write of one Secret: from where it is known, what is to be in it.
struct Write {
    namespace: String,
    meta: SecretMeta,
    order: SecretOrder,
    issue_time: Timestamp,
}

impl Landed {
    /// Sends pairs by `send`, which gives how many conflicts it met.
    async fn of<F: Future<Output = Result<usize>>>(stage: &Stage, way: &str, send: impl Fn(Client, Write) -> F) -> Result<Self> {
        // A client each: the second patch isn't sent behind the first, but on another connection.
        let first = stage.plane.service_account_client(ACCOUNT.0, ACCOUNT.1).await?;
        let second = stage.plane.service_account_client(ACCOUNT.0, ACCOUNT.1).await?;
        let mut landed = Self::default();
        for pause in 0..PAUSES {
            let made = (0..PAIRS_IN_A_PAUSE).map(|pair| make(&stage.secrets, format!("{way}-{pause}-{pair}")));
            let made = try_join_all(made).await?;
            let writes = |client: &Client, issue_time: &'static str| {
                let write = |meta: &SecretMeta| Ok(send(client.clone(), Write::new(&stage.namespace, meta, issue_time)?));
                made.iter().map(write).collect::<Result<Vec<_>>>()
            };
            let (older, newer) = (writes(&first, OLDER)?, writes(&second, NEWER)?);
            stage.plane.api_server().stop();
            let newer = async {
                tokio::time::sleep(SENDING).await;
                try_join_all(newer).await
            };
            let goes_on = async {
                tokio::time::sleep(SENDING * 2).await;
                stage.plane.api_server().cont();
                Ok(())
            };
            let (older, newer, ()) = tokio::try_join!(try_join_all(older), newer, goes_on)?;
            landed.conflicts += older.into_iter().chain(newer).sum::<usize>();
        }
        let secrets = Api::<WatchedSecret>::namespaced(first, &stage.namespace);
        let secrets = secrets.list(&ListParams::default()).await?.items;
        let issue_times = secrets.into_iter().map(|secret| secret.meta).filter(|meta| meta.name.starts_with(way));
        let issue_times: Vec<_> = issue_times.map(|meta| meta.annotations.get(annotation::ISSUE_TIME).map(str::to_owned)).collect();
        ensure!(issue_times.len() == PAUSES * PAIRS_IN_A_PAUSE, "there are {} Secrets", issue_times.len());
        for issue_time in issue_times {
            match issue_time.as_deref() {
                Some(OLDER) => landed.older_last += 1,
                Some(NEWER) => {}
                other => bail!("a Secret holds neither grant, but that of {other:?}"),
            }
        }
        Ok(landed)
    }
}

impl Write {
    fn new(namespace: &str, meta: &SecretMeta, issue_time: &str) -> Result<Self> {
        let request: PlaybackGrantRequest = serde_json::from_value(json!({
            "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "metadata": {"name": meta.name},
            // No owner is to be written: there is no such request.
            "spec": {"playerStreamerSid": sid(1), "credentialsSecretRef": {"name": "media-api"}, "secret": {"deletionPolicy": "Retain"}},
        }))?;
        let spec = validate(&request).map_err(|_| anyhow::anyhow!("the spec isn't valid"))?;
        let identity = Identity { namespace: namespace.to_owned(), name: meta.name.to_string(), uid: "no-request".to_owned() };
        let issue_time = issue_time.parse()?;
        let grant = HeldGrant {
            grant: Grant::from_stored("{}", None).context("no grant")?,
            player_streamer_sid: spec.call.player_streamer_sid.clone(),
            issue: Instant::after_start(Duration::ZERO),
            issue_time,
            ttl: spec.call.ttl,
            request_hash: spec.request_hash.clone(),
        };
        let contents = Contents { grant: Arc::new(grant), token: None };
        let order = SecretOrder::new(&identity, &spec, Some(meta), Some(contents));
        Ok(Self { namespace: namespace.to_owned(), meta: meta.clone(), order, issue_time })
    }
}

async fn make(secrets: &Api<Secret>, name: String) -> Result<SecretMeta> {
    let labels = [("app.kubernetes.io/managed-by".to_owned(), "playback-grant-operator".to_owned())].into();
    let metadata = ObjectMeta { name: Some(name), labels: Some(labels), ..ObjectMeta::default() };
    let made = secrets.create(&PostParams::default(), &Secret { metadata, type_: Some("Opaque".to_owned()), ..Secret::default() }).await?;
    Ok(serde_json::from_value::<WatchedSecret>(serde_json::to_value(&made)?)?.meta)
}

/// As it would be without a thought for the order: whatever stands there is written over, if it is only the same Secret.
async fn by_uid(client: Client, write: Write) -> Result<usize> {
    let SecretMeta { name, version, .. } = &write.meta;
    let patch = json!({"metadata": {"uid": version.uid(), "annotations": {annotation::ISSUE_TIME: rfc3339_millis(write.issue_time)}}});
    Api::<Secret>::namespaced(client, &write.namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(0)
}

/// By the operator's own patch, and the rule that goes with it: who meets another version looks, and writes over an earlier grant only.
///
/// The rule is this test's own copy: it shows that such a rule is enough, not that the operator keeps it. The operator's own is run by the tests of
/// whole operators, `order::with_…`.
async fn by_version(client: Client, write: Write) -> Result<usize> {
    let Write { namespace, meta, order, issue_time } = write;
    let server = ApiServer::new(client).within(PATIENCE);
    let (mut version, mut conflicts) = (meta.version, 0);
    loop {
        match server.patch(&namespace, &meta.name, &version, &order, None).await {
            Ok(_) => return Ok(conflicts),
            Err(ApiFailure::Conflict) => {
                conflicts += 1;
                let found = server.look(&namespace, &meta.name).await.map_err(|failure| anyhow::anyhow!("{}", failure.words()))?;
                if found.claim().is_some_and(|claim| issue_time <= claim.issue_time) {
                    return Ok(conflicts);
                }
                version = found.version;
            }
            Err(failure) => bail!("{}", failure.words()),
        }
    }
}
