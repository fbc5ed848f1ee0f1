//! The control plane itself: what every other test takes for granted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use kube::{Client, Error, Resource};
use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_testbed::{AuditQuery, service_account_user};
use serde_json::json;

use crate::harness::{ClusterTest, Scene, test};

/// How long the cluster may take for what it does by itself. It takes a second; a busy machine may need many times that.
const PATIENCE: Duration = Duration::from_mins(2);

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("smoke::an_account_has_no_more_rights_than_it_was_given", an_account_has_no_more_rights_than_it_was_given),
        test("smoke::the_audit_log_tells_who_asked_for_what", the_audit_log_tells_who_asked_for_what),
        test("smoke::what_a_deleted_request_owns_is_collected", what_a_deleted_request_owns_is_collected),
    ]
}

async fn an_account_has_no_more_rights_than_it_was_given(scene: Scene) -> Result<()> {
    let account = account(&scene, "nobody").await?;
    let refused = Api::<Secret>::namespaced(account, &scene.namespace).list(&ListParams::default()).await;
    ensure!(matches!(&refused, Err(Error::Api(status)) if status.code == 403), "an account without rights may list Secrets");
    Ok(())
}

async fn the_audit_log_tells_who_asked_for_what(scene: Scene) -> Result<()> {
    let created =
        ConfigMap { metadata: ObjectMeta { name: Some("asked-for".to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() };
    let admin: Api<ConfigMap> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    admin.create(&PostParams::default(), &created).await?;
    let account = account(&scene, "curious").await?;
    let refused = Api::<ConfigMap>::namespaced(account, &scene.namespace).get("asked-for").await;
    ensure!(refused.is_err(), "an account without rights read a ConfigMap");
    // An answer may be a moment ahead of its line in the log; a request of the same client afterwards isn't.
    admin.get("asked-for").await?;

    let log = scene.plane.audit_log();
    let of_the_namespace = AuditQuery { namespace: Some(&scene.namespace), resource: Some("configmaps"), ..AuditQuery::default() };
    let creations = log.requests(&AuditQuery { verb: Some("create"), ..of_the_namespace.clone() })?;
    let [creation] = creations.as_slice() else { anyhow::bail!("one creation is in the audit log as {creations:?}") };
    ensure!(creation.name == "asked-for" && creation.code == 201, "the creation is in the audit log as {creation:?}");
    let user = service_account_user(&scene.namespace, "curious");
    let refusals = log.requests(&AuditQuery { user: Some(&user), ..of_the_namespace })?;
    let [refusal] = refusals.as_slice() else { anyhow::bail!("one refusal is in the audit log as {refusals:?}") };
    ensure!(refusal.verb == "get" && refusal.code == 403, "the refusal is in the audit log as {refusal:?}");
    Ok(())
}

async fn what_a_deleted_request_owns_is_collected(scene: Scene) -> Result<()> {
    let requests: Api<PlaybackGrantRequest> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let request = serde_json::from_value(json!({
        "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest", "metadata": {"name": "owner"},
        "spec": {"playerStreamerSid": "VJ00000000000000000000000000000001", "credentialsSecretRef": {"name": "media-api"}},
    }))?;
    let request: PlaybackGrantRequest = requests.create(&PostParams::default(), &request).await?;
    let secrets: Api<Secret> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let owner_references = request.controller_owner_ref(&()).into_iter().collect();
    let metadata = ObjectMeta { name: Some("owned".to_owned()), owner_references: Some(owner_references), ..ObjectMeta::default() };
    let secret = secrets.create(&PostParams::default(), &Secret { metadata, ..Secret::default() }).await?;
    requests.delete("owner", &DeleteParams::default()).await?;
    let uid = secret.metadata.uid.context("the Secret has no uid")?;
    tokio::time::timeout(PATIENCE, await_condition(secrets, "owned", is_deleted(&uid))).await.context("it isn't collected")??;
    Ok(())
}

async fn account(scene: &Scene, name: &str) -> Result<Client> {
    scene.plane.create_service_account(&scene.namespace, name).await?;
    scene.plane.service_account_client(&scene.namespace, name).await.context("acting as a service account")
}
