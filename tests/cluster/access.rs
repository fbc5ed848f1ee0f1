//! The shipped rights: what the operator needs, and no more.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::process::Command;

use crate::harness::{ClusterTest, Scene, in_project, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("access::the_cluster_role_gives_what_is_needed_and_no_more", the_cluster_role_gives_what_is_needed_and_no_more),
        test("access::the_role_of_a_namespace_gives_the_same_there_alone", the_role_of_a_namespace_gives_the_same_there_alone),
        test("access::the_kustomizations_are_accepted", the_kustomizations_are_accepted),
    ]
}

/// Group, resource and verb of each right that the operator has.
const RIGHTS: [&str; 11] = [
    "events.k8s.io events create",
    "events.k8s.io events patch",
    "playbackgrant.dev playbackgrantrequests list",
    "playbackgrant.dev playbackgrantrequests watch",
    "playbackgrant.dev playbackgrantrequests/status patch",
    " secrets create",
    " secrets delete",
    " secrets get",
    " secrets list",
    " secrets patch",
    " secrets watch",
];

async fn the_cluster_role_gives_what_is_needed_and_no_more(scene: Scene) -> Result<()> {
    let operator = scene.plane.service_account_client("playback-grant-system", "playback-grant-operator").await?;
    ensure_rights(&scene, &operator, &scene.namespace, &RIGHTS).await
}

async fn the_role_of_a_namespace_gives_the_same_there_alone(scene: Scene) -> Result<()> {
    // The shipped account has its rights everywhere already; an account of the same name in another namespace hasn't.
    let system = scene.plane.create_namespace("system").await?;
    scene.plane.create_service_account(&system, "playback-grant-operator").await?;
    let role = std::fs::read_to_string(in_project("deploy/rbac/namespaced.yaml"))?;
    ensure!(role.contains("playback-grant-system"), "namespaced.yaml doesn't name the operator's namespace");
    scene.plane.apply(&role.replace("playback-grant-system", &system), &scene.namespace).await?;
    let operator = scene.plane.service_account_client(&system, "playback-grant-operator").await?;
    ensure_rights(&scene, &operator, &scene.namespace, &RIGHTS).await?;
    ensure_rights(&scene, &operator, "default", &[]).await
}

async fn the_kustomizations_are_accepted(scene: Scene) -> Result<()> {
    for (folder, namespace) in [("deploy/rbac", None), ("deploy/sample", Some(&scene.namespace))] {
        let output = Command::new(scene.plane.tool("kubectl"))
            .arg("--kubeconfig")
            .arg(scene.plane.admin_kubeconfig())
            .args(["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--kustomize"])
            .arg(in_project(folder))
            .args(namespace.into_iter().flat_map(|namespace| ["--namespace", namespace]))
            .stdin(Stdio::null())
            .output()
            .await
            .context("running kubectl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl apply --kustomize {folder}: {said}");
    }
    Ok(())
}

/// Checks what `account` may do in `namespace` beyond what every account may.
async fn ensure_rights(scene: &Scene, account: &Client, namespace: &str, expected: &[&str]) -> Result<()> {
    scene.plane.create_service_account(&scene.namespace, "nobody").await?;
    let nobody = scene.plane.service_account_client(&scene.namespace, "nobody").await?;
    let everybodys = rights(&nobody, namespace).await?;
    let found: BTreeSet<String> = rights(account, namespace).await?.difference(&everybodys).cloned().collect();
    let expected: BTreeSet<String> = expected.iter().copied().map(str::to_owned).collect();
    let lacking: Vec<_> = expected.difference(&found).collect();
    let beyond: Vec<_> = found.difference(&expected).collect();
    ensure!(lacking.is_empty() && beyond.is_empty(), "in {namespace} the account lacks {lacking:?} and may beyond its need {beyond:?}");
    Ok(())
}

/// Group, resource and verb of each right of `account` in `namespace`.
async fn rights(account: &Client, namespace: &str) -> Result<BTreeSet<String>> {
    let spec = SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) };
    let review = SelfSubjectRulesReview { spec, ..SelfSubjectRulesReview::default() };
    let answer = Api::all(account.clone()).create(&PostParams::default(), &review).await?;
    let status = answer.status.context("a review without status")?;
    ensure!(!status.incomplete, "the review is incomplete: {:?}", status.evaluation_error);
    let mut rights = BTreeSet::new();
    for rule in status.resource_rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| format!("{group} {resource} {verb}")));
            }
        }
    }
    Ok(rights)
}
