//! What is shipped is accepted by a real API server whose namespaces enforce Pod Security `restricted`, and nothing of it could be left out.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::harness::{ClusterTest, Scene, in_project, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("admitted::the_base_for_all_namespaces", |scene| kustomization(scene, "deploy/manifests/base")),
        test("admitted::the_overlay_for_some_namespaces", |scene| kustomization(scene, "deploy/manifests/overlays/namespaced")),
        test("admitted::the_overlay_with_the_simulator", |scene| kustomization(scene, "deploy/manifests/overlays/simulator")),
        test("admitted::the_role_of_one_namespace", |scene| kustomization(scene, "deploy/manifests/role")),
        test("admitted::the_sample", |scene| kustomization(scene, "deploy/sample")),
    ]
}

/// What Pod Security `restricted` asks of a pod: with any of these taken away, the pod must be refused. Of the seccomp profile and the user,
/// what the pod says holds for its containers.
const ASKED_FOR: [&str; 4] = [
    "/spec/securityContext/runAsNonRoot",
    "/spec/securityContext/seccompProfile",
    "/spec/containers/0/securityContext/allowPrivilegeEscalation",
    "/spec/containers/0/securityContext/capabilities",
];

async fn kustomization(scene: Scene, folder: &str) -> Result<()> {
    let built = kubectl(&scene, &["kustomize", &in_project(folder).display().to_string()], "").await?;
    ensure!(built.0, "kubectl kustomize {folder}: {}", built.2);
    admitted(&scene, folder, &built.1).await
}

/// Checks that an API server takes the manifests, without a warning, and each pod that they would make.
async fn admitted(scene: &Scene, what: &str, yaml: &str) -> Result<()> {
    let documents = serde_yaml_ng::Deserializer::from_str(yaml).map(Value::deserialize);
    let mut objects = documents.collect::<Result<Vec<Value>, _>>().with_context(|| format!("{what} isn't YAML"))?;
    ensure!(!objects.is_empty(), "{what} has no objects");
    // Namespaces of the test's own take the place of those that the manifests name, which other tests use.
    let restricted = format!("{}-restricted", scene.namespace);
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": restricted, "labels": labels}});
    scene.plane.apply(&namespace.to_string(), "default").await?;
    for object in &mut objects {
        let place = if object["kind"] == "Namespace" { &mut object["metadata"]["name"] } else { &mut object["metadata"]["namespace"] };
        if place.is_string() {
            *place = json!(restricted);
        }
    }
    scene.plane.create_service_account(&restricted, "default").await?;
    for account in objects.iter().filter(|object| object["kind"] == "ServiceAccount") {
        scene.plane.create_service_account(&restricted, account["metadata"]["name"].as_str().unwrap_or_default()).await?;
    }
    let namespace = ["--namespace", restricted.as_str()];
    let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-"];
    let apply = [&apply[..], &namespace].concat();
    for object in &objects {
        let (fine, _, said) = kubectl(scene, &apply, &object.to_string()).await?;
        ensure!(fine, "{what}: {} {}: {said}", object["kind"], object["metadata"]["name"]);
    }
    for object in &objects {
        let template = &object["spec"]["template"];
        if template.is_null() {
            continue;
        }
        let mut pod = template.clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = object["metadata"]["name"].clone();
        let create = [&["create", "--dry-run=server", "--validate=strict", "-f", "-"], &namespace[..]].concat();
        let (fine, _, said) = kubectl(scene, &create, &pod.to_string()).await?;
        ensure!(fine, "{what}: the pod of {} is refused: {said}", object["metadata"]["name"]);
        for pointer in ASKED_FOR {
            let (parent, field) = pointer.rsplit_once('/').context("a pointer")?;
            let mut lacking = pod.clone();
            let removed = lacking.pointer_mut(parent).and_then(Value::as_object_mut).and_then(|parent| parent.remove(field));
            ensure!(removed.is_some(), "{what}: the pod of {} has no {pointer}", object["metadata"]["name"]);
            let (fine, _, said) = kubectl(scene, &create, &lacking.to_string()).await?;
            ensure!(!fine && said.contains("violates PodSecurity"), "{what}: without {pointer} the pod isn't refused: {said}");
            // What makes such pods is taken with a warning, which counts as an error here.
            let mut maker = object.clone();
            maker["spec"]["template"]["spec"] = lacking["spec"].clone();
            let (fine, _, said) = kubectl(scene, &apply, &maker.to_string()).await?;
            ensure!(!fine && said.contains("would violate PodSecurity"), "{what}: without {pointer} there is no warning: {said}");
        }
    }
    Ok(())
}

/// Runs kubectl as an administrator: whether it succeeded, and what it printed to standard output and error.
async fn kubectl(scene: &Scene, arguments: &[&str], input: &str) -> Result<(bool, String, String)> {
    let mut child = Command::new(scene.plane.tool("kubectl"))
        .arg("--kubeconfig")
        .arg(scene.plane.admin_kubeconfig())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("running kubectl")?;
    child.stdin.take().context("kubectl's input")?.write_all(input.as_bytes()).await?;
    let output = child.wait_with_output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}
