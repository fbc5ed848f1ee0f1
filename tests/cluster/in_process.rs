//! The API server of the simulation is held to the real one: the same questions, put to both, have the same answers.

use std::collections::BTreeSet;
use std::pin::pin;

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use http::{Method, Request};
use kube::Client;
use kube::core::WatchEvent;
use playback_grant_testbed::InProcessApiServer;
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::sid;

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("in_process::secrets_are_made_changed_and_deleted_alike", |scene| both(scene, secrets)),
        test("in_process::what_may_not_be_is_refused_alike", |scene| both(scene, refused)),
        test("in_process::finalizers_hold_alike", |scene| both(scene, held)),
        test("in_process::requests_and_their_statuses_are_alike", |scene| both(scene, requests)),
        test("in_process::watches_tell_alike", |scene| both(scene, watches)),
        test("in_process::a_watch_from_before_a_compaction_is_too_old", a_watch_from_before_a_compaction_is_too_old),
    ]
}

/// What the real one does so is shown in `watches::a_watch_that_is_too_old_begins_anew`: its etcd has to be compacted for that.
async fn a_watch_from_before_a_compaction_is_too_old(_: Scene) -> Result<()> {
    let server = InProcessApiServer::default();
    let mut asker = Asker { client: server.client(), namespace: "web".to_owned(), told: Vec::new(), seen: Vec::new() };
    asker.create("secrets", "us", &secret("one", &json!({}))).await?;
    asker.create("secrets", "us", &secret("two", &json!({}))).await?;
    let from_the_first = || Request::get("/api/v1/secrets?resourceVersion=1&watch=true&timeoutSeconds=1").body(Vec::new());
    let first = async |client: &Client| -> Result<WatchEvent<Value>> {
        let mut events = pin!(client.request_events::<Value>(from_the_first()?).await?);
        Ok(events.next().await.context("the watch tells nothing")??)
    };
    ensure!(matches!(first(&asker.client).await?, WatchEvent::Added(_)), "it doesn't go on from a version that is known");
    server.compact();
    let told = first(&asker.client).await?;
    ensure!(matches!(&told, WatchEvent::Error(status) if status.code == 410), "it goes on from what is forgotten");
    Ok(())
}

const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const LABEL: &str = "app.kubernetes.io%2Fmanaged-by%3Dus";

async fn both(scene: Scene, questions: impl AsyncFn(&mut Asker) -> Result<()>) -> Result<()> {
    let mut told = Vec::new();
    let in_process = InProcessApiServer::default();
    for client in [scene.admin.clone(), in_process.client()] {
        let mut asker = Asker { client, namespace: scene.namespace.clone(), told: Vec::new(), seen: Vec::new() };
        questions(&mut asker).await?;
        told.push(asker.told);
    }
    let (real, in_process) = (&told[0], &told[1]);
    for (real, in_process) in real.iter().zip(in_process) {
        ensure!(real == in_process, "the real one answered\n  {real}\nand the one in process\n  {in_process}");
    }
    ensure!(real.len() == in_process.len() && real.len() > 4, "{} answers, and {}", real.len(), in_process.len());
    Ok(())
}

/// One who asks, and notes each answer without what may differ: uids and versions count only as the same as before, or others.
struct Asker {
    client: Client,
    namespace: String,
    told: Vec<String>,
    /// uids and versions so far.
    seen: Vec<String>,
}

impl Asker {
    fn path(&self, rest: &str) -> String {
        let group = if rest.starts_with("secrets") { "/api/v1" } else { "/apis/playbackgrant.dev/v1alpha1" };
        format!("{group}/namespaces/{}/{rest}", self.namespace)
    }

    /// Asks, notes the answer, and gives it where it isn't a refusal.
    async fn ask(&mut self, method: Method, rest: &str, content: &str, body: &Value) -> Result<Value> {
        self.ask_for("application/json", method, rest, content, body).await
    }

    async fn ask_for(&mut self, accept: &str, method: Method, rest: &str, content: &str, body: &Value) -> Result<Value> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request =
            Request::builder().method(method.clone()).uri(self.path(rest)).header("content-type", content).header("accept", accept);
        let (answer, told) = match self.client.request::<Value>(request.body(bytes)?).await {
            Ok(answer) => {
                let told = self.described(&answer);
                (answer, told)
            }
            Err(kube::Error::Api(status)) => {
                let fields: BTreeSet<String> =
                    status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.field.clone()).collect();
                (Value::Null, format!("{} {} {fields:?}", status.code, status.reason))
            }
            Err(error) => bail!("{method} {rest}: {error}"),
        };
        let path = rest.split('?').next().unwrap_or_default();
        self.told.push(format!("{}: {method} {path}: {told}", self.told.len()));
        Ok(answer)
    }

    async fn create(&mut self, plural: &str, manager: &str, object: &Value) -> Result<Value> {
        self.ask(Method::POST, &format!("{plural}?fieldManager={manager}"), "application/json", object).await
    }

    async fn merge(&mut self, rest: &str, manager: &str, patch: &Value) -> Result<Value> {
        self.ask(Method::PATCH, &format!("{rest}?fieldManager={manager}"), MERGE, patch).await
    }

    async fn get(&mut self, rest: &str) -> Result<Value> {
        self.ask(Method::GET, rest, "application/json", &Value::Null).await
    }

    async fn delete(&mut self, rest: &str, options: &Value) -> Result<Value> {
        self.ask(Method::DELETE, rest, "application/json", options).await
    }

    fn described(&mut self, object: &Value) -> String {
        if object["items"].is_array() {
            let items: Vec<String> = object["items"].as_array().into_iter().flatten().map(|item| self.described(item)).collect();
            return format!("{} of {items:?}", object["kind"]);
        }
        if object["kind"] == "Status" {
            return format!("Status {}", object["status"]);
        }
        let metadata = &object["metadata"];
        let known = [&metadata["uid"], &metadata["resourceVersion"]].map(|text| self.number(text.as_str().unwrap_or_default()));
        let spec = object["spec"].as_object().map(|spec| spec.get("ttlSeconds").cloned());
        // The real one counts no generations of Secrets.
        let generation = object["spec"].is_object().then(|| metadata["generation"].clone());
        let parts = [
            json!([metadata["name"], metadata["labels"], metadata["annotations"], metadata["ownerReferences"], metadata["finalizers"]]),
            json!([object["type"], object["data"], object["immutable"], generation, spec, object["status"]]),
        ];
        let deleting = metadata["deletionTimestamp"].is_string();
        format!("{known:?} {parts:?} deleting={deleting} {:?}", managed(metadata))
    }

    /// Which of the uids and versions so far it is.
    fn number(&mut self, text: &str) -> usize {
        self.seen.iter().position(|seen| seen == text).unwrap_or_else(|| {
            self.seen.push(text.to_owned());
            self.seen.len() - 1
        })
    }
}

/// Who was the last to set which label, annotation and key of data.
fn managed(metadata: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for entry in metadata["managedFields"].as_array().into_iter().flatten() {
        let fields = &entry["fieldsV1"];
        for (what, map) in [
            ("label", &fields["f:metadata"]["f:labels"]),
            ("annotation", &fields["f:metadata"]["f:annotations"]),
            ("data", &fields["f:data"]),
        ] {
            let keys = map.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| *key != ".");
            all.extend(keys.map(|key| format!("{} {what} {key}", entry["manager"])));
        }
    }
    all
}

fn secret(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "stringData": {"a": "1", "b": "2"}})
}

fn version(object: &Value) -> Value {
    object["metadata"]["resourceVersion"].clone()
}

async fn secrets(asker: &mut Asker) -> Result<()> {
    asker.get("secrets/one").await?;
    let made = asker.create("secrets", "us", &secret("one", &json!({"team": "web"}))).await?;
    asker.create("secrets", "us", &secret("one", &json!({}))).await?;
    asker.get("secrets/one").await?;
    let patch = json!({"metadata": {"labels": {"tier": "gold"}, "annotations": {"note": "n"}}, "data": {"b": "Mw=="}});
    let patched = asker.merge("secrets/one", "them", &patch).await?;
    asker.merge("secrets/one", "us", &patch).await?;
    asker.merge("secrets/one", "us", &json!({"metadata": {"resourceVersion": version(&made), "labels": {"tier": "silver"}}})).await?;
    asker.merge("secrets/one", "us", &json!({"metadata": {"resourceVersion": version(&patched), "labels": {"tier": "silver"}}})).await?;
    asker.merge("secrets/one", "us", &json!({"metadata": {"labels": {"tier": null, "team": null}}, "data": {"a": null}})).await?;
    // Of a kind that nobody knows: what belongs to one that isn't there is collected.
    let owner = json!([{"apiVersion": "example.com/v1", "kind": "Channel", "name": "c", "uid": "u", "controller": true}]);
    asker.merge("secrets/one", "us", &json!({"metadata": {"ownerReferences": owner}, "stringData": {"c": "text"}})).await?;
    let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let again = asker.ask_for(partial, Method::GET, "secrets/one", "application/json", &Value::Null).await?;
    ensure!(again["data"].is_null() && again["kind"] == "PartialObjectMetadata", "the data came with the metadata");
    asker.merge("secrets/absent", "us", &json!({"metadata": {"labels": {"a": "b"}}})).await?;

    asker.create("secrets", "us", &secret("two", &json!({"app.kubernetes.io/managed-by": "us"}))).await?;
    asker.get(&format!("secrets?labelSelector={LABEL}")).await?;
    asker.get("secrets?fieldSelector=metadata.name%3Done").await?;
    let uid = made["metadata"]["uid"].clone();
    asker.delete("secrets/one", &json!({"preconditions": {"uid": "another"}})).await?;
    asker.delete("secrets/one", &json!({"preconditions": {"uid": uid, "resourceVersion": version(&made)}})).await?;
    let last = asker.get("secrets/one").await?;
    asker.delete("secrets/one", &json!({"preconditions": {"uid": uid, "resourceVersion": version(&last)}})).await?;
    asker.delete("secrets/one", &json!({})).await?;
    asker.create("secrets", "us", &secret("one", &json!({}))).await.map(drop)
}

async fn refused(asker: &mut Asker) -> Result<()> {
    asker.create("secrets", "us", &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}})).await?;
    asker.create("secrets", "us", &secret("one", &json!({}))).await?;
    asker.merge("secrets/one", "us", &json!({"metadata": {"uid": "another", "labels": {"a": "b"}}})).await?;
    asker.merge("secrets/one", "us", &json!({"type": "example.com/other"})).await?;
    asker.merge("secrets/one", "us", &json!({"immutable": true})).await?;
    asker.merge("secrets/one", "us", &json!({"data": {"a": "Mw=="}})).await?;
    asker.merge("secrets/one", "us", &json!({"stringData": {"z": "new"}})).await?;
    asker.merge("secrets/one", "us", &json!({"immutable": null})).await?;
    asker.merge("secrets/one", "us", &json!({"metadata": {"labels": {"a": "b"}}})).await.map(drop)
}

async fn held(asker: &mut Asker) -> Result<()> {
    let mut one = secret("one", &json!({}));
    one["metadata"]["finalizers"] = json!(["example.com/hold"]);
    asker.create("secrets", "us", &one).await?;
    asker.delete("secrets/one", &json!({})).await?;
    asker.delete("secrets/one", &json!({})).await?;
    asker.merge("secrets/one", "us", &json!({"metadata": {"labels": {"a": "b"}}})).await?;
    asker.create("secrets", "us", &one).await?;
    asker.merge("secrets/one", "us", &json!({"metadata": {"finalizers": null}})).await?;
    asker.get("secrets/one").await.map(drop)
}

async fn requests(asker: &mut Asker) -> Result<()> {
    let spec = json!({"playerStreamerSid": sid(1), "credentialsSecretRef": {"name": "media-api"}, "ttlSeconds": 30});
    let kind = ("playbackgrant.dev/v1alpha1", "PlaybackGrantRequest");
    let object = json!({
        "apiVersion": kind.0, "kind": kind.1, "metadata": {"name": "lobby"}, "spec": spec, "status": {"consecutiveFailures": 3},
    });
    let plural = "playbackgrantrequests";
    let made = asker.create(plural, "us", &object).await?;
    asker.merge("playbackgrantrequests/lobby", "us", &json!({"spec": {"ttlSeconds": 45}})).await?;
    asker.merge("playbackgrantrequests/lobby", "us", &json!({"status": {"consecutiveFailures": 4}})).await?;
    asker.merge("playbackgrantrequests/lobby", "us", &json!({"metadata": {"annotations": {"wish": "now"}}})).await?;
    // A foreign uid goes unnoticed here, which is why the operator doesn't write so.
    let naive = json!({"metadata": {"uid": "another"}, "status": {"consecutiveFailures": 5}});
    asker.merge("playbackgrantrequests/lobby/status", "us", &naive).await?;
    let by_uid = |uid: Value, failures: u32| {
        json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": {"consecutiveFailures": failures}},
        ])
    };
    let status = "playbackgrantrequests/lobby/status?fieldManager=us";
    for uid in [json!("another"), made["metadata"]["uid"].clone()] {
        asker.ask(Method::PATCH, status, JSON_PATCH, &by_uid(uid, 6)).await?;
    }
    let newest = asker.get("playbackgrantrequests/lobby").await?;
    // The one that is outdated, the newest that says what stands there, the newest, and that once more.
    for (version, failures) in [(&made, 7), (&newest, 6), (&newest, 8), (&newest, 9)] {
        let mut patch = by_uid(made["metadata"]["uid"].clone(), failures);
        let operations = patch.as_array_mut().context("no patch")?;
        operations.push(json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version["metadata"]["resourceVersion"]}));
        asker.ask(Method::PATCH, status, JSON_PATCH, &patch).await?;
    }
    asker.ask(Method::PATCH, "playbackgrantrequests/absent/status?fieldManager=us", JSON_PATCH, &by_uid(json!("another"), 6)).await?;
    asker.delete("playbackgrantrequests/lobby", &json!({"propagationPolicy": "Background"})).await?;
    asker.get("playbackgrantrequests/lobby").await.map(drop)
}

async fn watches(asker: &mut Asker) -> Result<()> {
    let ours = json!({"app.kubernetes.io/managed-by": "us"});
    asker.create("secrets", "us", &secret("before", &ours)).await?;
    let listed = asker.get(&format!("secrets?labelSelector={LABEL}")).await?;
    let since = listed["metadata"]["resourceVersion"].as_str().context("a list without a version")?.to_owned();
    let label = |value: Value| json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": value}}});
    asker.create("secrets", "us", &secret("one", &ours)).await?;
    asker.create("secrets", "us", &secret("other", &json!({}))).await?;
    asker.merge("secrets/one", "us", &json!({"data": {"a": "Mw=="}})).await?;
    asker.merge("secrets/one", "them", &label(Value::Null)).await?;
    asker.merge("secrets/other", "them", &label(json!("us"))).await?;
    asker.merge("secrets/one", "us", &label(json!("us"))).await?;
    asker.delete("secrets/one", &json!({})).await?;
    asker.delete("secrets/before", &json!({})).await?;
    let of_ours = format!("secrets?labelSelector={LABEL}");
    asker.watch(&format!("{of_ours}&resourceVersion={since}"), 7).await?;
    asker.watch("secrets?fieldSelector=metadata.name%3Done&resourceVersion=", 0).await?;
    asker.watch(&format!("{of_ours}&resourceVersion="), 1).await
}

impl Asker {
    /// Watches until so many events have come, or the watch has ended by itself.
    async fn watch(&mut self, rest: &str, events: usize) -> Result<()> {
        let request = Request::get(format!("{}&watch=true&timeoutSeconds=1", self.path(rest))).body(Vec::new())?;
        let mut stream = pin!(self.client.request_events::<Value>(request).await?);
        let mut seen = Vec::new();
        while seen.len() < events.max(1)
            && let Some(event) = stream.next().await
        {
            seen.push(event?);
        }
        ensure!(seen.len() == events, "{rest}: {} events", seen.len());
        for event in seen {
            let (what, object) = match event {
                WatchEvent::Added(object) => ("added", object),
                WatchEvent::Modified(object) => ("modified", object),
                WatchEvent::Deleted(object) => ("deleted", object),
                WatchEvent::Bookmark(_) => bail!("a bookmark that nobody asked for"),
                WatchEvent::Error(status) => bail!("an error: {}", status.code),
            };
            let told = self.described(&object);
            self.told.push(format!("{what} {told}"));
        }
        Ok(())
    }
}
