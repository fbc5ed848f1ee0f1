//! The admission policy that is shipped with the rights: the operator's account writes no Secret that isn't the operator's.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Error, ResourceExt as _};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_testbed::{ControlPlane, Stopwatch};
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{ACCOUNT, PATIENCE, sid};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("access::the_account_makes_no_secret_without_the_label", the_account_makes_no_secret_without_the_label),
        test("access::the_account_takes_no_secret_by_labelling_it", the_account_takes_no_secret_by_labelling_it),
        test("access::the_account_restores_a_label_that_was_taken_off", the_account_restores_a_label_that_was_taken_off),
        test("access::the_account_takes_no_label_off", the_account_takes_no_label_off),
        test("access::the_account_deletes_only_what_is_its_own", the_account_deletes_only_what_is_its_own),
        test("access::the_account_makes_no_secret_that_gives_access_of_its_own", the_account_makes_no_secret_that_gives_access_of_its_own),
        test("access::others_are_not_fenced", others_are_not_fenced),
    ]
}

const LABEL: &str = "app.kubernetes.io/managed-by";
const OURS: &str = "playback-grant-operator";

/// Waits until the policy acts: the API server reads policies a moment after they are made.
pub async fn stands(plane: &ControlPlane) -> Result<()> {
    let secrets = Api::<Secret>::namespaced(operator(plane).await?, "default");
    let (stopwatch, dry) = (Stopwatch::start(), PostParams { dry_run: true, ..PostParams::default() });
    while secrets.create(&dry, &secret("fenced", &json!({}))?).await.is_ok() {
        ensure!(stopwatch.elapsed() < PATIENCE, "the admission policy doesn't act");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn operator(plane: &ControlPlane) -> Result<Client> {
    plane.service_account_client(ACCOUNT.0, ACCOUNT.1).await
}

fn secret(name: &str, metadata: &Value) -> Result<Secret> {
    let mut secret: Secret = serde_json::from_value(json!({"metadata": metadata}))?;
    secret.metadata.name = Some(name.to_owned());
    Ok(secret)
}

/// The Secrets of the test's namespace, for the operator's account and for an administrator.
async fn sides(scene: &Scene) -> Result<(Api<Secret>, Api<Secret>)> {
    let account = operator(&scene.plane).await?;
    Ok((Api::namespaced(account, &scene.namespace), Api::namespaced(scene.admin.clone(), &scene.namespace)))
}

/// A request, a ConfigMap: owners that live, or the garbage collector would take what they own.
struct Owners {
    request: Value,
    config_map: Value,
}

impl Owners {
    async fn make(scene: &Scene) -> Result<Self> {
        let spec = json!({"playerStreamerSid": sid(1), "credentialsSecretRef": {"name": "media-api"}});
        let request = json!({"metadata": {"name": "lobby"}, "spec": spec, "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest"});
        let requests = Api::<PlaybackGrantRequest>::namespaced(scene.admin.clone(), &scene.namespace);
        let request = requests.create(&PostParams::default(), &serde_json::from_value(request)?).await?;
        let config_map =
            ConfigMap { metadata: ObjectMeta { name: Some("lobby".to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() };
        let config_maps = Api::<ConfigMap>::namespaced(scene.admin.clone(), &scene.namespace);
        let config_map = config_maps.create(&PostParams::default(), &config_map).await?;
        Ok(Self {
            request: json!({"apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "name": "lobby", "uid": request.uid()}),
            config_map: json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "lobby", "uid": config_map.uid()}),
        })
    }

    /// The metadata of a Secret whose controller is the request.
    fn ours(&self) -> Value {
        controlled(self.request.clone())
    }

    /// The metadata of Secrets that are not the operator's.
    fn strangers(&self) -> [Value; 5] {
        let mut other_group = self.request.clone();
        other_group["apiVersion"] = json!("example.com/v1");
        [
            json!({}),
            json!({"labels": {LABEL: "somebody-else"}}),
            controlled(self.config_map.clone()),
            controlled(other_group),
            json!({"ownerReferences": [self.request]}),
        ]
    }
}

fn annotated() -> Value {
    json!({"annotations": {"playbackgrant.dev/owned-by": "lobby/uid"}})
}

fn controlled(mut owner: Value) -> Value {
    owner["controller"] = json!(true);
    json!({"ownerReferences": [owner]})
}

/// Checks that the policy forbade it, in words that tell what is missing.
fn ensure_fenced<T>(what: &str, outcome: Result<T, Error>) -> Result<()> {
    match outcome {
        Ok(_) => bail!("{what} was allowed"),
        Err(Error::Api(status)) => {
            let by_policy = status.message.contains("ValidatingAdmissionPolicy 'playback-grant-operator-secrets'");
            let told = status.message.contains(&format!("{LABEL}={OURS}"));
            ensure!(status.code == 403 && by_policy && told, "{what}: {}", status.message);
            Ok(())
        }
        Err(error) => Err(error).context(what.to_owned()),
    }
}

fn label(value: Option<&str>) -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"labels": {LABEL: value}}}))
}

async fn the_account_makes_no_secret_without_the_label(scene: Scene) -> Result<()> {
    let (account, _) = sides(&scene).await?;
    for metadata in Owners::make(&scene).await?.strangers() {
        ensure_fenced(&format!("making {metadata}"), account.create(&PostParams::default(), &secret("made", &metadata)?).await)?;
    }
    account.create(&PostParams::default(), &secret("made", &json!({"labels": {LABEL: OURS}}))?).await?;
    Ok(())
}

async fn the_account_takes_no_secret_by_labelling_it(scene: Scene) -> Result<()> {
    let (account, admin) = sides(&scene).await?;
    let owners = Owners::make(&scene).await?;
    for (n, metadata) in owners.strangers().into_iter().enumerate() {
        let name = format!("foreign-{n}");
        admin.create(&PostParams::default(), &secret(&name, &metadata)?).await?;
        let params = PatchParams::default();
        ensure_fenced(&format!("labelling {metadata}"), account.patch(&name, &params, &label(Some(OURS))).await)?;
        let both = json!({"metadata": {"labels": {LABEL: OURS}, "ownerReferences": owners.ours()["ownerReferences"]}});
        ensure_fenced(&format!("owning {metadata}"), account.patch(&name, &params, &Patch::Merge(both)).await)?;
        let applied = PatchParams::apply("thief").force();
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"labels": {LABEL: OURS}}});
        ensure_fenced(&format!("applying onto {metadata}"), account.patch(&name, &applied, &Patch::Apply(object)).await)?;
    }
    Ok(())
}

async fn the_account_restores_a_label_that_was_taken_off(scene: Scene) -> Result<()> {
    let (account, admin) = sides(&scene).await?;
    // Under `Retain` there is no owner, and the annotation alone is left.
    for (name, metadata) in [("owned", Owners::make(&scene).await?.ours()), ("retained", annotated())] {
        admin.create(&PostParams::default(), &secret(name, &metadata)?).await?;
        let unlabelled = Patch::Merge(json!({"metadata": {"annotations": {"written": "without the label"}}}));
        ensure_fenced("writing it without the label", account.patch(name, &PatchParams::default(), &unlabelled).await)?;
        account.patch(name, &PatchParams::default(), &label(Some(OURS))).await?;
    }
    Ok(())
}

async fn the_account_takes_no_label_off(scene: Scene) -> Result<()> {
    let (account, _) = sides(&scene).await?;
    account.create(&PostParams::default(), &secret("ours", &json!({"labels": {LABEL: OURS}}))?).await?;
    for taken in [None, Some("somebody-else")] {
        ensure_fenced("taking the label off", account.patch("ours", &PatchParams::default(), &label(taken)).await)?;
    }
    Ok(())
}

async fn the_account_deletes_only_what_is_its_own(scene: Scene) -> Result<()> {
    let (account, admin) = sides(&scene).await?;
    let owners = Owners::make(&scene).await?;
    for metadata in owners.strangers() {
        admin.create(&PostParams::default(), &secret("foreign", &metadata)?).await?;
        ensure_fenced(&format!("deleting {metadata}"), account.delete("foreign", &DeleteParams::default()).await)?;
        admin.delete("foreign", &DeleteParams::default()).await?;
    }
    for metadata in [json!({"labels": {LABEL: OURS}}), owners.ours(), annotated()] {
        admin.create(&PostParams::default(), &secret("ours", &metadata)?).await?;
        account.delete("ours", &DeleteParams::default()).await?;
    }
    Ok(())
}

async fn the_account_makes_no_secret_that_gives_access_of_its_own(scene: Scene) -> Result<()> {
    let (account, admin) = sides(&scene).await?;
    scene.plane.create_service_account(&scene.namespace, "boss").await?;
    let annotations = json!({"kubernetes.io/service-account.name": "boss"});
    for type_ in ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "example.com/any"] {
        let mut wanted = secret("token", &json!({"labels": {LABEL: OURS}, "annotations": annotations}))?;
        wanted.type_ = Some(type_.to_owned());
        let Err(Error::Api(status)) = account.create(&PostParams::default(), &wanted).await else {
            bail!("a Secret of type {type_} was made")
        };
        ensure!(status.code == 403 && status.message.contains(&format!("type {type_}")), "{type_}: {}", status.message);
        // One that somebody else made can't be written either, only deleted: so the operator replaces one of another type.
        admin.create(&PostParams::default(), &wanted).await?;
        let params = PatchParams::default();
        ensure!(account.patch("token", &params, &label(Some(OURS))).await.is_err(), "a Secret of type {type_} was written");
        account.delete("token", &DeleteParams::default()).await?;
    }
    Ok(())
}

async fn others_are_not_fenced(scene: Scene) -> Result<()> {
    // An account of the same name elsewhere is another's.
    scene.plane.create_service_account(&scene.namespace, ACCOUNT.1).await?;
    let role = std::fs::read_to_string(crate::harness::in_project("deploy/manifests/role/role.yaml"))?;
    scene.plane.apply(&role.replace(ACCOUNT.0, &scene.namespace), &scene.namespace).await?;
    let other = scene.plane.service_account_client(&scene.namespace, ACCOUNT.1).await?;
    let secrets = Api::<Secret>::namespaced(other, &scene.namespace);
    secrets.create(&PostParams::default(), &secret("others", &json!({}))?).await?;
    secrets.patch("others", &PatchParams::default(), &label(Some(OURS))).await?;
    secrets.patch("others", &PatchParams::default(), &label(None)).await?;
    secrets.delete("others", &DeleteParams::default()).await?;
    Ok(())
}
