//! Applies manifests, as `kubectl apply --server-side --validate=strict` does.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::{self, Scope};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use serde::Deserialize;
use serde_json::Value;

use crate::control_plane::ControlPlane;

/// How long the API server may take to serve a new resource.
const SERVED_WITHIN: Duration = Duration::from_mins(1);

impl ControlPlane {
    /// Applies the manifests in the files `paths`, in their order, waiting until each CustomResourceDefinition is served.
    ///
    /// # Errors
    /// When a file can't be read, or the API server refuses one of its objects.
    pub async fn install(&self, paths: &[&Path]) -> Result<()> {
        for path in paths {
            let yaml = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            self.apply(&yaml, "default").await.with_context(|| format!("applying {}", path.display()))?;
        }
        Ok(())
    }

    /// Applies the objects of a YAML text; those that name no namespace, and need one, go into `namespace`.
    ///
    /// # Errors
    /// When the text isn't a list of manifests, or the API server refuses one of them.
    pub async fn apply(&self, yaml: &str, namespace: &str) -> Result<()> {
        for object in objects(yaml)? {
            self.apply_object(&object, namespace).await?;
        }
        Ok(())
    }

    async fn apply_object(&self, object: &DynamicObject, namespace: &str) -> Result<()> {
        let types = object.types.as_ref().context("a manifest without apiVersion and kind")?;
        let name = object.metadata.name.as_deref().context("a manifest without metadata.name")?;
        let kind = GroupVersionKind::try_from(types)?;
        let (resource, capabilities) = discovery::pinned_kind(&self.admin(), &kind).await.with_context(|| described(types, name))?;
        let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.admin(), &resource),
            Scope::Namespaced => Api::namespaced_with(self.admin(), namespace, &resource),
        };
        let params = PatchParams::apply("playback-grant-testbed").force().validation_strict();
        api.patch(name, &params, &Patch::Apply(object)).await.with_context(|| described(types, name))?;
        if types.kind == "CustomResourceDefinition" {
            let served = self.served(object, name);
            tokio::time::timeout(SERVED_WITHIN, served).await.with_context(|| format!("{name} isn't served after {SERVED_WITHIN:?}"))??;
        }
        Ok(())
    }

    /// Waits until the resource of a CustomResourceDefinition is there to be used: established alone it still answers 429 for a while.
    async fn served(&self, definition: &DynamicObject, name: &str) -> Result<()> {
        await_condition(Api::all(self.admin()), name, is_crd_established()).await?;
        let spec = &definition.data["spec"];
        let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("{name} isn't complete"));
        let (group, plural) = (text(&spec["group"])?, text(&spec["names"]["plural"])?);
        for version in spec["versions"].as_array().into_iter().flatten() {
            let path = format!("/apis/{group}/{}/{plural}?limit=1", text(&version["name"])?);
            loop {
                let request = http::Request::get(&path).body(Vec::new())?;
                match self.admin().request_text(request).await {
                    Ok(_) => break,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
        Ok(())
    }
}

fn objects(yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents = serde_yaml_ng::Deserializer::from_str(yaml).map(serde_yaml_ng::Value::deserialize);
    let mut objects = Vec::new();
    for document in documents {
        let document = document.context("the text isn't YAML")?;
        if !document.is_null() {
            objects.push(serde_yaml_ng::from_value(document).context("the document isn't a manifest")?);
        }
    }
    Ok(objects)
}

fn described(types: &TypeMeta, name: &str) -> String {
    format!("applying {} {name} ({})", types.kind, types.api_version)
}
