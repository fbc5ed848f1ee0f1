//! An API server that refuses to store a grant: the right reason in the server's own words, no storm, and recovery by itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use playback_grant_testbed::{AuditQuery, service_account_user};
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::search_everything;
use crate::stage::{ACCOUNT, Operator, Stage, conditions, data, ensure_names, eventually, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("refusals::a_quota_is_tried_less_and_less_often", a_quota_is_tried_less_and_less_often),
        test("refusals::an_admission_policy_that_denies", an_admission_policy_that_denies),
        test("refusals::a_role_that_is_taken_away_and_given_back", a_role_that_is_taken_away_and_given_back),
        test("refusals::a_secret_that_others_have_filled", a_secret_that_others_have_filled),
        test("refusals::a_namespace_that_terminates_is_asked_once", a_namespace_that_terminates_is_asked_once),
    ]
}

/// A write that is refused is tried again after 1, 2, 4 and 8 s: within this time four times, a fifth would come at 15 s.
const LOOKED_ON: Duration = Duration::from_secs(13);
/// The first write and those four; a machine that is held may have begun the next.
const MOST_TRIES: usize = 6;

const REFRESH: &str = "playbackgrant.dev/refresh-requested-at";
const NO_GRANT: [&str; 3] = ["Ready=False SecretWriteFailed", "RefreshFailing=True SecretWriteFailed", "Stalled=True SecretWriteFailed"];
const LIVE_GRANT: [&str; 3] = ["Ready=True GrantIssued", "RefreshFailing=True SecretWriteFailed", "Stalled=True SecretWriteFailed"];

fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

/// Looks on while a write is refused. Checks what is told, how often the write is tried, and that its grant isn't asked for again.
async fn refused(stage: &Stage, told: [&str; 3], write: &str, words: &[&str]) -> Result<()> {
    let request = stage.reaches("lobby", "told of the refusal", |request| conditions(request) == told).await?;
    ensure_names(&request, "RefreshFailing", words)?;
    let tries = async || Ok::<_, anyhow::Error>(stage.asked(None).await?.iter().filter(|asked| *asked == write).count());
    let (before, calls) = (tries().await?, stage.calls(1));
    tokio::time::sleep(LOOKED_ON).await;
    let tries = tries().await? - before;
    ensure!((1..=MOST_TRIES).contains(&tries), "{write} was tried {tries} times in {LOOKED_ON:?}");
    ensure!(stage.calls(1) == calls, "a grant that could not be written was asked for {} times", stage.calls(1) - calls);
    let request = stage.requests.get("lobby").await?;
    ensure!(conditions(&request) == told, "it was told otherwise meanwhile: {:?}", conditions(&request));
    Ok(())
}

/// From here on the namespace has room for no other Secret: the quota `no-more` is used up.
pub async fn no_more_secrets(stage: &Stage) -> Result<Api<ResourceQuota>> {
    let quotas: Api<ResourceQuota> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let quota = serde_json::from_value(json!({"metadata": {"name": "no-more"}, "spec": {"hard": {"secrets": "1"}}}))?;
    quotas.create(&PostParams::default(), &quota).await?;
    // No controller counts here what is used: it is told.
    let used = Patch::Merge(json!({"status": {"hard": {"secrets": "1"}, "used": {"secrets": "1"}}}));
    quotas.patch_status("no-more", &PatchParams::default(), &used).await?;
    Ok(quotas)
}

/// Binds a policy of that validation to the updates of Secrets in the namespace, under the namespace's name. Whoever needs it waits until it is in
/// force.
pub async fn deny_updates(stage: &Stage, validation: Value) -> Result<Api<ValidatingAdmissionPolicyBinding>> {
    let name = &stage.namespace;
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["secrets"]}],
            },
            "validations": [validation],
        },
    }))?;
    let binding: ValidatingAdmissionPolicyBinding =
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}))?;
    Api::<ValidatingAdmissionPolicy>::all(stage.admin.clone()).create(&PostParams::default(), &policy).await?;
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(stage.admin.clone());
    bindings.create(&PostParams::default(), &binding).await?;
    Ok(bindings)
}

async fn a_quota_is_tried_less_and_less_often(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let quotas = no_more_secrets(&stage).await?;
    let before = stage.secrets.get("lobby").await?;
    stage.delete_secret("lobby").await?;
    refused(&stage, NO_GRANT, "create secrets/lobby", &["exceeded quota: no-more", "could not create"]).await?;
    quotas.delete("no-more", &DeleteParams::default()).await?;
    stage.ready("lobby").await?;
    ensure!(stage.secrets.get("lobby").await?.data == before.data && stage.calls(1) == 1, "another grant is in it");
    Ok(())
}

async fn an_admission_policy_that_denies(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let bindings = deny_updates(&stage, json!({"expression": "false", "message": "no changes before the weekend"})).await?;
    let try_out = PatchParams { dry_run: true, ..PatchParams::default() };
    let touch = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
    let denied = async || Ok(stage.secrets.patch("lobby", &try_out, &touch).await.is_err());
    eventually("the policy is in force", denied, |denied| *denied, |denied| *denied).await?;
    let before = stage.secrets.get("lobby").await?;
    stage.annotate("lobby", REFRESH, "now").await?;
    refused(&stage, LIVE_GRANT, "patch secrets/lobby", &["no changes before the weekend", "could not update", "covers until"]).await?;
    ensure!(stage.secrets.get("lobby").await? == before, "it was written all the same");
    let calls = stage.calls(1);
    bindings.delete(&stage.namespace, &DeleteParams::default()).await?;
    stage.ready("lobby").await?;
    let after = stage.secrets.get("lobby").await?;
    ensure!(data(&after, "grant") != data(&before, "grant") && stage.calls(1) == calls, "the grant in hand isn't what was written");
    Ok(())
}

async fn a_role_that_is_taken_away_and_given_back(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    // An account of its own, whose rights to write Secrets stand in a Role of their own.
    stage.plane.create_service_account(&stage.namespace, ACCOUNT.1).await?;
    for (role, rules) in [
        (
            "requests",
            json!([
                {"apiGroups": ["playbackgrant.dev"], "resources": ["playbackgrantrequests"], "verbs": ["list", "watch"]},
                {"apiGroups": ["playbackgrant.dev"], "resources": ["playbackgrantrequests/status"], "verbs": ["patch"]},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
            ]),
        ),
        ("writes", json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]}])),
    ] {
        let (group, account) =
            ("rbac.authorization.k8s.io", json!({"kind": "ServiceAccount", "name": ACCOUNT.1, "namespace": stage.namespace}));
        let made = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": role}, "rules": rules});
        let bound = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": role}, "subjects": [account],
        });
        stage.plane.apply(&format!("{made}\n---\n{bound}"), &stage.namespace).await?;
    }
    let kubeconfig = stage.plane.service_account_kubeconfig(&stage.namespace, ACCOUNT.1).await?;
    let launch = Operator::launch(&stage.plane, &stage.namespace).env("KUBECONFIG", kubeconfig);
    let launch = launch.args(["--namespace", &stage.namespace, "--media-api-url", &stage.simulator.base_url()]);
    let operator = Operator::start(launch).await?;
    stage.ready_request("lobby", 1, &long()).await?;

    let bindings: Api<RoleBinding> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let given = bindings.get("writes").await?;
    bindings.delete("writes", &DeleteParams::default()).await?;
    let user = service_account_user(&stage.namespace, ACCOUNT.1);
    let patches = async || {
        let all = stage.plane.audit_log().requests(&AuditQuery { user: Some(&user), ..AuditQuery::default() })?;
        Ok::<_, anyhow::Error>(all.iter().filter(|request| request.verb == "patch" && request.resource == "secrets").count())
    };
    stage.annotate("lobby", REFRESH, "now").await?;
    let request = stage.reaches("lobby", "told that it may not write", |request| conditions(request) == LIVE_GRANT).await?;
    ensure_names(&request, "RefreshFailing", &["is forbidden", "cannot patch resource", "secrets", "covers until"])?;
    let (before, calls) = (patches().await?, stage.calls(1));
    tokio::time::sleep(LOOKED_ON).await;
    let tries = patches().await? - before;
    ensure!((1..=MOST_TRIES).contains(&tries) && stage.calls(1) == calls, "{tries} tries, {} calls", stage.calls(1) - calls);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "writes"},
        "roleRef": given.role_ref, "subjects": given.subjects});
    stage.plane.apply(&binding.to_string(), &stage.namespace).await?;
    stage.ready("lobby").await?;
    ensure!(stage.calls(1) == calls, "the grant in hand wasn't what was written");
    ensure!(operator.get("/readyz").await?.0 == 200, "it isn't ready again");
    Ok(())
}

async fn a_secret_that_others_have_filled(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    // A Secret's data may be 1 MiB in all. What others have put there leaves room for this grant, and for none that is longer by a byte.
    let ours: usize = stage.secrets.get("lobby").await?.data.iter().flatten().map(|(_, value)| value.0.len()).sum();
    let theirs = ByteString(vec![b'x'; 1024 * 1024 - ours]);
    let fill = Patch::Merge(json!({"data": {"theirs": theirs}}));
    stage.secrets.patch("lobby", &PatchParams::apply("somebody-else"), &fill).await?;
    // With a token beside it the grant needs more.
    stage.change("lobby", &json!({"accessToken": {"identity": "kiosk-1"}})).await?;
    refused(&stage, LIVE_GRANT, "patch secrets/lobby", &["Too long", "could not update", "covers until"]).await?;
    let empty = Patch::Merge(json!({"data": {"theirs": null}}));
    stage.secrets.patch("lobby", &PatchParams::apply("somebody-else"), &empty).await?;
    stage.ready("lobby").await?;
    let secret = stage.secrets.get("lobby").await?;
    ensure!(data(&secret, "accessToken").is_some() && stage.calls(1) == 1, "no token, or {} calls", stage.calls(1));
    Ok(())
}

async fn a_namespace_that_terminates_is_asked_once(_: Scene) -> Result<()> {
    // Without the controller that empties it, a namespace terminates for as long as one likes to look on.
    Stage::alone(terminating).await
}

async fn terminating(stage: &Stage) -> Result<()> {
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    stage.ready_request("kiosk", 2, &json!({"ttlSeconds": 6})).await?;
    Api::<Namespace>::all(stage.admin.clone()).delete("web", &DeleteParams::default()).await?;
    stage.delete_secret("lobby").await?;
    let told = |request: &_| conditions(request).first().is_some_and(|ready| ready == "Ready=False SecretWriteFailed");
    let request = stage.reaches("lobby", "told that its namespace terminates", told).await?;
    ensure_names(&request, "Ready", &["being terminated", "could not create", "Nothing can be created in a namespace that terminates"])?;
    let tries = async || Ok::<_, anyhow::Error>(stage.asked(None).await?.iter().filter(|asked| *asked == "create secrets/lobby").count());
    let before = (tries().await?, stage.calls(1));
    tokio::time::sleep(LOOKED_ON).await;
    ensure!((tries().await?, stage.calls(1)) == before, "it was tried again: {} times, {} calls", tries().await?, stage.calls(1));
    // What is there may still be changed, and is kept fresh to the end.
    let refreshed = status(&stage.requests.get("kiosk").await?).grant;
    stage.reaches("kiosk", "refreshed", |request| status(request).grant != refreshed).await?;
    search_everything(&stage.plane).await.map(drop)
}
