//! The shipped rights are these and no more.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::harness::{ClusterTest, Scene, in_project, test};
use crate::stage::eventually;

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("access::the_cluster_role_gives_what_is_needed_and_no_more", the_cluster_role_gives_what_is_needed_and_no_more),
        test("access::the_role_of_a_namespace_gives_the_same_there_alone", the_role_of_a_namespace_gives_the_same_there_alone),
        test("access::the_account_can_not_do_what_is_not_its_business", the_account_can_not_do_what_is_not_its_business),
        test("access::users_may_do_with_requests_what_their_role_says", users_may_do_with_requests_what_their_role_says),
    ]
}

/// Group, resource and verb of each right that the operator has.
const RIGHTS: [&str; 11] = [
    "playbackgrant.dev playbackgrantrequests list",
    "playbackgrant.dev playbackgrantrequests watch",
    "playbackgrant.dev playbackgrantrequests/status patch",
    " secrets create",
    " secrets delete",
    " secrets get",
    " secrets list",
    " secrets patch",
    " secrets watch",
    "events.k8s.io events create",
    "events.k8s.io events patch",
];

async fn the_cluster_role_gives_what_is_needed_and_no_more(scene: Scene) -> Result<()> {
    let operator = scene.plane.service_account_client("playback-grant-system", "playback-grant-operator").await?;
    ensure_rights(&scene, &operator, &scene.namespace, &RIGHTS).await
}

async fn the_role_of_a_namespace_gives_the_same_there_alone(scene: Scene) -> Result<()> {
    // The shipped account has its rights everywhere already; an account of the same name in another namespace hasn't.
    let system = scene.plane.create_namespace("system").await?;
    scene.plane.create_service_account(&system, "playback-grant-operator").await?;
    let role = std::fs::read_to_string(in_project("deploy/manifests/role/role.yaml"))?;
    ensure!(role.contains("playback-grant-system"), "namespaced.yaml doesn't name the operator's namespace");
    scene.plane.apply(&role.replace("playback-grant-system", &system), &scene.namespace).await?;
    let operator = scene.plane.service_account_client(&system, "playback-grant-operator").await?;
    ensure_rights(&scene, &operator, &scene.namespace, &RIGHTS).await?;
    ensure_rights(&scene, &operator, "default", &[]).await
}

/// What an operator's account could be misused for, as verb, group, resource, subresource. Neither by the cluster role nor by a namespace's.
const WITHHELD: [(&str, &str, &str, &str); 25] = [
    ("update", "", "secrets", ""),
    ("deletecollection", "", "secrets", ""),
    ("get", "playbackgrant.dev", "playbackgrantrequests", ""),
    ("create", "playbackgrant.dev", "playbackgrantrequests", ""),
    ("update", "playbackgrant.dev", "playbackgrantrequests", ""),
    ("patch", "playbackgrant.dev", "playbackgrantrequests", ""),
    ("delete", "playbackgrant.dev", "playbackgrantrequests", ""),
    ("update", "playbackgrant.dev", "playbackgrantrequests", "status"),
    ("get", "", "configmaps", ""),
    ("create", "", "configmaps", ""),
    ("list", "", "pods", ""),
    ("create", "", "pods", ""),
    ("create", "", "pods", "exec"),
    ("create", "", "serviceaccounts", "token"),
    ("list", "", "namespaces", ""),
    ("list", "", "nodes", ""),
    ("get", "", "nodes", "proxy"),
    ("create", "apps", "deployments", ""),
    ("get", "coordination.k8s.io", "leases", ""),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("bind", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", ""),
    ("impersonate", "", "users", ""),
    ("patch", "admissionregistration.k8s.io", "validatingadmissionpolicies", ""),
    ("patch", "apiextensions.k8s.io", "customresourcedefinitions", ""),
];

async fn the_account_can_not_do_what_is_not_its_business(scene: Scene) -> Result<()> {
    let everywhere = scene.plane.service_account_client("playback-grant-system", "playback-grant-operator").await?;
    let system = scene.plane.create_namespace("system").await?;
    scene.plane.create_service_account(&system, "playback-grant-operator").await?;
    let role = std::fs::read_to_string(in_project("deploy/manifests/role/role.yaml"))?;
    scene.plane.apply(&role.replace("playback-grant-system", &system), &scene.namespace).await?;
    let here = scene.plane.service_account_client(&system, "playback-grant-operator").await?;

    for (verb, group, resource, subresource) in WITHHELD {
        for (whose, account) in [("the cluster role", &everywhere), ("the role", &here)] {
            for namespace in [&scene.namespace, ""] {
                let may = may(account, namespace, verb, group, resource, subresource).await?;
                ensure!(!may, "{whose} allows to {verb} {resource}/{subresource} in \"{namespace}\"");
            }
        }
    }
    // The question can be answered with yes; the role of a namespace says no elsewhere and for the whole cluster.
    ensure!(may(&everywhere, "", "list", "", "secrets", "").await?, "the cluster role doesn't reach everywhere");
    ensure!(may(&here, &scene.namespace, "list", "", "secrets", "").await?, "the role doesn't reach its namespace");
    for (verb, group, resource) in [("list", "", "secrets"), ("get", "", "secrets"), ("list", "playbackgrant.dev", "playbackgrantrequests")]
    {
        for namespace in ["", "default", &system] {
            ensure!(!may(&here, namespace, verb, group, resource, "").await?, "the role allows to {verb} {resource} in \"{namespace}\"");
        }
    }
    Ok(())
}

/// Whether an account may do that in a namespace, or without one in the whole cluster: by the API server's own word.
async fn may(account: &Client, namespace: &str, verb: &str, group: &str, resource: &str, subresource: &str) -> Result<bool> {
    let review = serde_json::from_value::<SelfSubjectAccessReview>(json!({"metadata": {}, "spec": {"resourceAttributes": {
        "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource,
    }}}))?;
    let answer = Api::all(account.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.context("a review without status")?.allowed)
}

async fn users_may_do_with_requests_what_their_role_says(scene: Scene) -> Result<()> {
    let all = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    for (role, count) in [("view", 3), ("edit", 8), ("admin", 8)] {
        scene.plane.create_service_account(&scene.namespace, role).await?;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": role, "namespace": scene.namespace}],
        });
        scene.plane.apply(&binding.to_string(), &scene.namespace).await?;
        let user = scene.plane.service_account_client(&scene.namespace, role).await?;
        // The controller that adds the rules to the standing roles takes a moment.
        let rights = async || {
            let mut rights = Vec::new();
            for verb in all {
                rights.push(may(&user, &scene.namespace, verb, "playbackgrant.dev", "playbackgrantrequests", "").await?);
            }
            Ok(rights)
        };
        let expected: Vec<bool> = (0..all.len()).map(|n| n < count).collect();
        eventually(&format!("{role} has its rights"), rights, |found| *found == expected, Clone::clone).await?;
        let status = may(&user, &scene.namespace, "patch", "playbackgrant.dev", "playbackgrantrequests", "status").await?;
        ensure!(!status, "{role} may write the status");
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
                let names = rule.resource_names.iter().flatten().fold(String::new(), |names, name| format!("{names} {name}"));
                rights.extend(rule.verbs.iter().map(|verb| format!("{group} {resource} {verb}{names}")));
            }
        }
    }
    for rule in status.non_resource_rules {
        for url in rule.non_resource_urls.iter().flatten() {
            rights.extend(rule.verbs.iter().map(|verb| format!("{url} {verb}")));
        }
    }
    Ok(rights)
}
