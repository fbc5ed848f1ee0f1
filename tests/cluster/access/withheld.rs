//! Each right is needed: without it, something of the promise breaks, and the log or the status says what.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use playback_grant_testbed::{AuditQuery, service_account_user};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, in_project, test};
use crate::stage::{A_WHILE, ACCOUNT, Operator, Stage, conditions, eventually, message, status};

pub fn tests() -> Vec<ClusterTest> {
    let mut tests: Vec<ClusterTest> = cases().into_iter().map(|(_, test)| test).collect();
    tests.push(test("access::the_role_has_no_right_that_no_test_takes_away", every_right_has_its_test));
    tests
}

/// A right, and the test that takes it away.
type Case = ((&'static str, &'static str), ClusterTest);

fn cases() -> Vec<Case> {
    vec![
        case("access::without_list_of_requests_none_is_served", ("playbackgrantrequests", "list"), async |stage, operator| {
            not_ready(operator, "[-] requests\n[+] secrets\n").await?;
            says(operator, "not allowed to list (403)").await?;
            unserved(stage, "lobby").await
        }),
        case("access::without_watch_of_requests_no_later_one_is_served", ("playbackgrantrequests", "watch"), async |stage, operator| {
            says(operator, "not allowed to watch (403)").await?;
            stage.request("later", 2, &json!({})).await?;
            unserved(stage, "later").await
        }),
        case("access::without_patch_of_status_nothing_is_reported", ("playbackgrantrequests/status", "patch"), async |stage, operator| {
            stage.holds("lobby", "there", |secret| secret.data.is_some()).await?;
            says(operator, "playbackgrantrequests/status").await?;
            let request = stage.requests.get("lobby").await?;
            ensure!(request.status.is_none(), "there is a status: {:?}", request.status);
            Ok(())
        }),
        case("access::without_get_of_secrets_there_are_no_credentials", ("secrets", "get"), async |stage, _| {
            refused(stage, "lobby", "get").await?;
            ensure!(stage.calls(1) == 0, "the Media API was called");
            Ok(())
        }),
        case("access::without_list_of_secrets_none_is_known", ("secrets", "list"), async |_, operator| {
            // Requests are looked at only once the Secrets are known.
            not_ready(operator, "[-] requests\n[-] secrets\n").await?;
            says(operator, "not allowed to list (403)").await
        }),
        case("access::without_watch_of_secrets_a_deleted_one_is_not_restored", ("secrets", "watch"), async |stage, operator| {
            says(operator, "not allowed to watch (403)").await?;
            let secret = stage.holds("lobby", "there", |secret| secret.data.is_some()).await?;
            stage.delete_secret("lobby").await?;
            tokio::time::sleep(A_WHILE).await;
            let restored = stage.secrets.get_opt("lobby").await?.filter(|found| found.data == secret.data);
            ensure!(restored.is_none(), "it was restored without a watch");
            Ok(())
        }),
        case("access::without_create_of_secrets_there_is_no_grant", ("secrets", "create"), async |stage, _| {
            refused(stage, "lobby", "create").await
        }),
        case("access::without_patch_of_secrets_none_is_refreshed", ("secrets", "patch"), async |stage, _| {
            stage.reaches("lobby", "RefreshFailing", |request| failing(request, "patch")).await.map(drop)
        }),
        case("access::without_delete_of_secrets_a_renamed_one_stays", ("secrets", "delete"), async |stage, operator| {
            stage.ready("lobby").await?;
            stage.change("lobby", &json!({"secret": {"name": "renamed"}})).await?;
            stage.holds("renamed", "there", |secret| secret.data.is_some()).await?;
            says(operator, "could not delete the Secret that an earlier spec named: the API server refused").await?;
            ensure!(stage.secrets.get_opt("lobby").await?.is_some(), "the old one is gone");
            Ok(())
        }),
        case("access::without_create_of_events_the_log_alone_tells", ("events", "create"), async |stage, operator| {
            stage.ready("lobby").await?;
            says(operator, "not allowed to write Events").await?;
            ensure!(events(stage).await?.is_empty(), "there are Events");
            Ok(())
        }),
        case("access::without_patch_of_events_what_comes_again_is_not_counted", ("events", "patch"), async |stage, operator| {
            for _ in 0..2 {
                stage.ready("lobby").await?;
                stage.fault("500")?;
                stage.reaches("lobby", "failing", |request| !message(request, "RefreshFailing").is_empty()).await?;
                stage.simulator.clear_faults();
            }
            stage.ready("lobby").await?;
            says(operator, "not allowed to write Events").await?;
            let events = events(stage).await?;
            ensure!(!events.is_empty() && events.iter().all(|event| event.series.is_none()), "{events:?}");
            Ok(())
        }),
    ]
}

fn case(
    name: &'static str,
    right: (&'static str, &'static str),
    breaks: impl AsyncFnOnce(&Stage, &Operator) -> Result<()> + Send + 'static,
) -> Case {
    (right, test(name, move |scene| broken(scene, right, breaks)))
}

async fn every_right_has_its_test(_: Scene) -> Result<()> {
    for file in ["deploy/manifests/role/role.yaml", "deploy/manifests/base/cluster-role.yaml"] {
        let mut found = Vec::new();
        for rule in role(file, |_, _| true)?.0["rules"].as_array().context("no rules")? {
            ensure!(
                rule["nonResourceURLs"].is_null() && rule["resourceNames"].is_null(),
                "{file} has a rule that no test knows of: {rule}"
            );
            for resource in texts(&rule["resources"]) {
                found.extend(texts(&rule["verbs"]).map(|verb| (resource.to_owned(), verb.to_owned())));
            }
        }
        found.sort();
        let mut taken: Vec<_> = cases().into_iter().map(|((resource, verb), _)| (resource.to_owned(), verb.to_owned())).collect();
        taken.sort();
        ensure!(found == taken, "{file} gives {found:?}, and the tests take away {taken:?}");
    }
    Ok(())
}

/// Runs an operator that lacks one right in its one namespace, with one request of TTL 4 s, and checks what `breaks`.
async fn broken(scene: Scene, right: (&str, &str), breaks: impl AsyncFnOnce(&Stage, &Operator) -> Result<()>) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let (namespace, account) = (stage.namespace.clone(), ACCOUNT.1);
    stage.plane.create_service_account(&namespace, account).await?;
    let (lessened, binding) = role("deploy/manifests/role/role.yaml", |resource, verb| (resource, verb) != right)?;
    for object in [lessened, binding] {
        stage.plane.apply(&object.to_string().replace(ACCOUNT.0, &namespace), &namespace).await?;
    }
    let kubeconfig = stage.plane.service_account_kubeconfig(&namespace, account).await?;
    let launch = Operator::launch(&stage.plane, &namespace).env("KUBECONFIG", kubeconfig);
    let launch = launch.args(["--namespace", &namespace, "--media-api-url", &stage.simulator.base_url()]);
    stage.request("lobby", 1, &json!({"ttlSeconds": 4})).await?;
    let operator = Operator::start(launch).await?;
    breaks(&stage, &operator).await?;

    // It broke for want of this right, and of no other.
    let user = service_account_user(&namespace, account);
    let asked = stage.plane.audit_log().requests(&AuditQuery { user: Some(&user), ..AuditQuery::default() })?;
    let refusals: Vec<_> = asked.iter().filter(|request| request.code == 403).collect();
    let (resource, subresource) = right.0.split_once('/').unwrap_or((right.0, ""));
    let expected = |verb: &str| verb == right.1;
    ensure!(!refusals.is_empty(), "the API server refused nothing");
    for refusal in refusals {
        let is_this = refusal.resource == resource && refusal.subresource == subresource && expected(&refusal.verb);
        ensure!(is_this, "refused for want of another right: {refusal:?}");
    }
    Ok(())
}

/// The role in a file, with those rights that `stay`; and its binding.
fn role(file: &str, stay: impl Fn(&str, &str) -> bool) -> Result<(Value, Value)> {
    let text = std::fs::read_to_string(in_project(file))?;
    let documents: Result<Vec<Value>, _> = serde_yaml_ng::Deserializer::from_str(&text).map(Value::deserialize).collect();
    let [mut role, binding] = <[Value; 2]>::try_from(documents?).ok().with_context(|| format!("{file} isn't a role and a binding"))?;
    for rule in role["rules"].as_array_mut().context("no rules")? {
        let resources: Vec<String> = texts(&rule["resources"]).map(str::to_owned).collect();
        if let Some(verbs) = rule["verbs"].as_array_mut() {
            verbs.retain(|verb| resources.iter().all(|resource| stay(resource, verb.as_str().unwrap_or_default())));
        }
    }
    if let Some(rules) = role["rules"].as_array_mut() {
        rules.retain(|rule| rule["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty()));
    }
    Ok((role, binding))
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

async fn says(operator: &Operator, words: &str) -> Result<()> {
    let log = async || operator.log();
    eventually(&format!("the log has \"{words}\""), log, |log| log.contains(words), |_| ()).await.map(drop)
}

async fn not_ready(operator: &Operator, expected: &str) -> Result<()> {
    let get = async || operator.get("/readyz").await;
    eventually("it says what it lacks", get, |answer| *answer == (503, expected.to_owned()), Clone::clone).await.map(drop)
}

/// Nothing is done for the request.
async fn unserved(stage: &Stage, name: &str) -> Result<()> {
    tokio::time::sleep(A_WHILE).await;
    let request = stage.requests.get(name).await?;
    ensure!(request.status.is_none() && stage.secrets.get_opt(name).await?.is_none(), "{name} is served: {:?}", request.status);
    Ok(())
}

async fn events(stage: &Stage) -> Result<Vec<Event>> {
    Ok(Api::namespaced(stage.admin.clone(), &stage.namespace).list(&ListParams::default()).await?.items)
}

/// The request is not Ready, and its status has the API server's words for the verb.
async fn refused(stage: &Stage, name: &str, verb: &str) -> Result<()> {
    let words = format!("cannot {verb} resource \"secrets\"");
    stage.reaches(name, &format!("refused: {words}"), |request| message(request, "Ready").contains(&words)).await.map(drop)
}

fn failing(request: &playback_grant_operator::api::PlaybackGrantRequest, verb: &str) -> bool {
    let told = message(request, "RefreshFailing").contains(&format!("cannot {verb} resource \"secrets\""));
    told && status(request).grant.is_some()
        && conditions(request).iter().any(|found| found.starts_with("RefreshFailing=True SecretWriteFailed"))
}
