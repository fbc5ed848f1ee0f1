//! An API server that refuses to store a grant: the right reason in the server's own words, no storm, and recovery by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use playback_grant_testbed::{AuditQuery, Stopwatch, service_account_user};
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, in_project, test};
use crate::leaks::search_everything;
use crate::stage::{ACCOUNT, Operator, Stage, conditions, data, described, ensure_names, eventually, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("refusals::a_quota_is_tried_less_and_less_often", a_quota_is_tried_less_and_less_often),
        test("refusals::an_admission_policy_that_denies", an_admission_policy_that_denies),
        test("refusals::a_role_that_is_taken_away_and_given_back", a_role_that_is_taken_away_and_given_back),
        test("refusals::a_binding_that_is_taken_away_and_given_back", a_binding_that_is_taken_away_and_given_back),
        test("refusals::short_grants_that_are_denied", short_grants_that_are_denied),
        test("refusals::a_secret_that_others_have_filled", a_secret_that_others_have_filled),
        test("refusals::another_spec_is_tried_at_once", another_spec_is_tried_at_once),
        test("refusals::a_namespace_that_terminates_is_asked_once", a_namespace_that_terminates_is_asked_once),
    ]
}

/// A write that is refused is tried again after 1, 2, 4 and 8 s: within this time four times, a fifth would come at 15 s.
const LOOKED_ON: Duration = Duration::from_secs(13);
/// The first write and those four; a machine that is held may have begun the next.
const MOST_TRIES: usize = 6;

pub const REFRESH: &str = "playbackgrant.dev/refresh-requested-at";
const NO_GRANT: [&str; 3] = ["Ready=False SecretWriteFailed", "RefreshFailing=True SecretWriteFailed", "Stalled=True SecretWriteFailed"];
pub const LIVE_GRANT: [&str; 3] = ["Ready=True GrantIssued", "RefreshFailing=True SecretWriteFailed", "Stalled=True SecretWriteFailed"];

fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

/// Due every 2 s: while a write is refused, too.
fn short() -> Value {
    json!({"ttlSeconds": 6, "refreshBeforeExpirySeconds": 4})
}

/// How often the operator has asked for that so far.
async fn times<const N: usize>(stage: &Stage, what: [&str; N]) -> Result<[usize; N]> {
    let all = stage.asked(None).await?;
    Ok(what.map(|what| all.iter().filter(|asked| *asked == what).count()))
}

const STATUS: &str = "patch playbackgrantrequests.status/lobby";

/// Looks on while a write is refused. Checks what is told and how often, how often the write is tried, and that its grant isn't asked for again.
pub async fn refused(stage: &Stage, told: [&str; 3], write: &str, words: &[&str]) -> Result<()> {
    let request = stage.reaches("lobby", "told of the refusal", |request| conditions(request) == told).await?;
    ensure_names(&request, "RefreshFailing", words)?;
    let (before, calls) = (times(stage, [write, STATUS]).await?, stage.calls(1));
    tokio::time::sleep(LOOKED_ON).await;
    let after = times(stage, [write, STATUS]).await?;
    let (tries, statuses) = (after[0] - before[0], after[1] - before[1]);
    ensure!((1..=MOST_TRIES).contains(&tries), "{write} was tried {tries} times in {LOOKED_ON:?}");
    // A try that fails like the last is nothing to tell.
    ensure!(statuses <= 1, "the status was written {statuses} times for {tries} tries");
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

/// The operator by the account of that name in the namespace itself, whose rights are nobody else's.
async fn operator_of_the_namespace(stage: &Stage) -> Result<Operator> {
    let kubeconfig = stage.plane.service_account_kubeconfig(&stage.namespace, ACCOUNT.1).await?;
    let launch = Operator::launch(&stage.plane, &stage.namespace).env("KUBECONFIG", kubeconfig);
    let launch = launch.args(["--namespace", &stage.namespace, "--media-api-url", &stage.simulator.base_url()]);
    Operator::start(launch).await
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
    let operator = operator_of_the_namespace(&stage).await?;
    stage.ready_request("lobby", 1, &long()).await?;

    let bindings: Api<RoleBinding> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let given = bindings.get("writes").await?;
    bindings.delete("writes", &DeleteParams::default()).await?;
    let user = service_account_user(&stage.namespace, ACCOUNT.1);
    let patches = async || {
        // An answer may be a moment ahead of its line in the log; a later request's line isn't.
        stage.last_asked().await?;
        let all = stage.plane.audit_log().requests(&AuditQuery { user: Some(&user), verb: Some("patch"), ..AuditQuery::default() })?;
        let of = |resource| all.iter().filter(|request| request.resource == resource).count();
        Ok::<_, anyhow::Error>((of("secrets"), of("playbackgrantrequests")))
    };
    stage.annotate("lobby", REFRESH, "now").await?;
    let request = stage.reaches("lobby", "told that it may not write", |request| conditions(request) == LIVE_GRANT).await?;
    ensure_names(&request, "RefreshFailing", &["is forbidden", "cannot patch resource", "secrets", "covers until"])?;
    let (before, calls) = (patches().await?, stage.calls(1));
    tokio::time::sleep(LOOKED_ON).await;
    let after = patches().await?;
    let (tries, statuses) = (after.0 - before.0, after.1 - before.1);
    ensure!((1..=MOST_TRIES).contains(&tries) && stage.calls(1) == calls, "{tries} tries, {} calls", stage.calls(1) - calls);
    ensure!(statuses <= 1, "the status was written {statuses} times for {tries} tries");
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "writes"},
        "roleRef": given.role_ref, "subjects": given.subjects});
    stage.plane.apply(&binding.to_string(), &stage.namespace).await?;
    stage.ready("lobby").await?;
    ensure!(stage.calls(1) == calls, "the grant in hand wasn't what was written");
    ensure!(operator.get("/readyz").await?.0 == 200, "it isn't ready again");
    // That it may not tell of it by Events, either, was said once.
    let refused = operator.log()?.lines().filter(|line| line.contains("is not allowed to write Events")).count();
    let (_, metrics) = operator.get("/metrics").await?;
    ensure!(refused == 1 && metrics.contains("playback_grant_events_total{result=\"failed\"}"), "{refused} lines: {metrics}");
    Ok(())
}

async fn a_binding_that_is_taken_away_and_given_back(scene: Scene) -> Result<()> {
    /// After 1, 2, 4, 8, 16 s and each 30 s: 8 in a minute and a half, and one when the watch is back.
    const MOST_WRITES: usize = 9;
    let stage = Stage::set(&scene).await?;
    stage.plane.create_service_account(&stage.namespace, ACCOUNT.1).await?;
    let role = std::fs::read_to_string(in_project("deploy/manifests/role/role.yaml"))?.replace(ACCOUNT.0, &stage.namespace);
    stage.plane.apply(&role, &stage.namespace).await?;
    let operator = operator_of_the_namespace(&stage).await?;
    stage.ready_request("lobby", 1, &short()).await?;

    let bindings: Api<RoleBinding> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    bindings.delete(ACCOUNT.1, &DeleteParams::default()).await?;
    let (stopwatch, calls) = (Stopwatch::start(), stage.calls(1));
    // A watch that has begun goes on to its end.
    let lacking = async || {
        let log = operator.log()?;
        let told = |watched: &str| log.lines().any(|line| line.contains("(403)") && line.contains(&format!("watched=\"{watched}\"")));
        Ok(["requests", "secrets"].into_iter().filter(|watched| !told(watched)).collect::<Vec<_>>())
    };
    eventually("the log tells of each watch that it is forbidden", lacking, Vec::is_empty, Clone::clone).await?;
    stage.request("kiosk", 2, &long()).await?;
    tokio::time::sleep(LOOKED_ON).await;
    let (forbidden_for, calls) = (stopwatch.elapsed(), stage.calls(1) - calls);
    ensure!(stage.calls(2) == 0, "it was told of a request that it may not see");

    stage.plane.apply(&role, &stage.namespace).await?;
    for name in ["lobby", "kiosk"] {
        stage.ready(name).await?;
    }
    let ready = async || Ok(operator.get("/readyz").await?.0);
    eventually("it is ready again", ready, |status| *status == 200, |status| *status).await?;
    // That it went is told by nothing but the watch of the Secrets.
    let uid = stage.secrets.get("kiosk").await?.metadata.uid;
    stage.delete_secret("kiosk").await?;
    stage.holds("kiosk", "made again", |secret| secret.metadata.uid != uid).await?;
    ensure!(stage.calls(2) == 1, "{} calls for a request that came meanwhile", stage.calls(2));
    let user = service_account_user(&stage.namespace, ACCOUNT.1);
    let asked = stage.plane.audit_log().requests(&AuditQuery { user: Some(&user), ..AuditQuery::default() })?;
    let mut refused = BTreeMap::<String, usize>::new();
    for asked in asked.iter().filter(|asked| asked.code == 403) {
        *refused.entry(described(asked)).or_default() += 1;
    }
    eprintln!("in {forbidden_for:.1?} there were {calls} calls, and were refused: {refused:?}");
    // At least half a second apart, but for the first few.
    let most_watches = usize::try_from(forbidden_for.as_secs())? * 2 + 10;
    for (what, times) in &refused {
        let most = if what.starts_with("watch ") || what.starts_with("list ") { most_watches } else { MOST_WRITES };
        ensure!(*times <= most, "{what} was refused {times} times in {forbidden_for:.1?}, at most {most} are borne");
    }
    for what in ["watch playbackgrantrequests/", "watch secrets/", "patch secrets/lobby", STATUS] {
        ensure!(refused.contains_key(what), "{what} was never refused: {refused:?}");
    }
    ensure!(calls <= refused["patch secrets/lobby"] as u64 + 1, "{calls} calls for grants that could not be written: {refused:?}");
    Ok(())
}

async fn short_grants_that_are_denied(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &short()).await?;
    let bindings = deny_updates(&stage, json!({"expression": "false", "message": "no changes before the weekend"})).await?;
    let denied = |request: &_| conditions(request).iter().any(|condition| condition == "RefreshFailing=True SecretWriteFailed");
    stage.reaches("lobby", "told of the refusal", denied).await?;
    let write = "patch secrets/lobby";
    let (before, calls) = (times(&stage, [write, STATUS]).await?, stage.calls(1));
    tokio::time::sleep(LOOKED_ON).await;
    let after = times(&stage, [write, STATUS]).await?;
    let (tries, statuses) = (after[0] - before[0], after[1] - before[1]);
    let calls = stage.calls(1) - calls;
    eprintln!("while short grants were denied: {calls} calls, {tries} tries, {statuses} statuses");
    // That which stands there has expired.
    let request = stage.requests.get("lobby").await?;
    ensure!(conditions(&request) == NO_GRANT, "it was told: {:?}", conditions(&request));
    ensure!((1..=MOST_TRIES).contains(&tries), "{write} was tried {tries} times in {LOOKED_ON:?}");
    // None is asked for before the last may be tried again.
    ensure!((1..=tries as u64 + 1).contains(&calls), "{calls} calls for {tries} tries");
    ensure!(statuses <= 3, "the status was written {statuses} times");
    bindings.delete(&stage.namespace, &DeleteParams::default()).await?;
    stage.ready("lobby").await.map(drop)
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

/// What was refused of one spec says nothing of the next: neither does that wait, nor is it told to have failed.
async fn another_spec_is_tried_at_once(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let no_teams = "!has(object.metadata.labels) || !('team' in object.metadata.labels)";
    deny_updates(&stage, json!({"expression": no_teams, "message": "no teams here"})).await?;
    let try_out = PatchParams { dry_run: true, ..PatchParams::default() };
    let team = Patch::Merge(json!({"metadata": {"labels": {"team": "web"}}}));
    let denied = async || Ok(stage.secrets.patch("lobby", &try_out, &team).await.is_err());
    eventually("the policy is in force", denied, |denied| *denied, |denied| *denied).await?;
    for (n, next) in
        [json!({"secret": {"labels": {"team": null, "tier": "gold"}}}), json!({"secret": {"name": "kiosk"}})].iter().enumerate()
    {
        // From the fourth try on it waits 8 s.
        let before = times(&stage, ["patch secrets/lobby"]).await?[0];
        stage.change("lobby", &json!({"secret": {"labels": {"team": format!("web-{n}")}}})).await?;
        let tries = async || Ok(times(&stage, ["patch secrets/lobby"]).await?[0] - before);
        eventually("it is tried four times", tries, |tries| *tries >= 4, |tries| *tries).await?;
        stage.reaches("lobby", "told of the refusal", |request| conditions(request) == LIVE_GRANT).await?;
        let generation = stage.change("lobby", next).await?.metadata.generation;
        let wrong = std::cell::RefCell::new(Vec::new());
        let is_done = |request: &_| {
            let told = conditions(request);
            let of_it = status(request).observed_generation == generation;
            if of_it && told.iter().any(|condition| condition.starts_with("Stalled")) {
                wrong.borrow_mut().push(told.clone());
            }
            of_it && told == ["Ready=True GrantIssued"]
        };
        stage.reaches("lobby", "served by another spec", is_done).await?;
        ensure!(wrong.borrow().is_empty(), "of a spec that wasn't tried it was told: {:?}", wrong.borrow().last());
    }
    ensure!(stage.calls(1) == 1, "{} calls for one grant", stage.calls(1));
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
    let created = times(stage, ["create secrets/lobby"]).await?[0];
    Api::<Namespace>::all(stage.admin.clone()).delete("web", &DeleteParams::default()).await?;
    stage.delete_secret("lobby").await?;
    let told = |request: &_| conditions(request).first().is_some_and(|ready| ready == "Ready=False SecretWriteFailed");
    let request = stage.reaches("lobby", "told that its namespace terminates", told).await?;
    ensure_names(&request, "Ready", &["being terminated", "could not create", "Nothing can be created in a namespace that terminates"])?;
    let tries = async || Ok::<_, anyhow::Error>(times(stage, ["create secrets/lobby"]).await?[0] - created);
    let before = (tries().await?, stage.calls(1));
    ensure!(before == (1, 1), "it was tried {} times, with {} calls", before.0, before.1);
    tokio::time::sleep(LOOKED_ON).await;
    ensure!((tries().await?, stage.calls(1)) == before, "it was tried again: {} times, {} calls", tries().await?, stage.calls(1));
    // What is there may still be changed, and is kept fresh to the end.
    let refreshed = status(&stage.requests.get("kiosk").await?).grant;
    stage.reaches("kiosk", "refreshed", |request| status(request).grant != refreshed).await?;
    search_everything(&stage.plane).await.map(drop)
}
