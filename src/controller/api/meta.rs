//! A Secret's metadata, from the API server's form.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference};
use serde::Deserialize;

use super::ApiFailure;
use crate::api::names::FIELD_MANAGER;
use crate::lifecycle::{Owner, SecretMeta, SecretVersion};

#[derive(Deserialize)]
struct MetadataAnswer {
    metadata: ObjectMeta,
}

pub(super) fn parse(answer: &[u8]) -> Result<SecretMeta, ApiFailure> {
    let answer: MetadataAnswer = serde_json::from_slice(answer).map_err(|error| super::body::unreadable(&error))?;
    Ok(secret_meta(&answer.metadata))
}

/// A Secret's metadata, as far as it matters.
#[must_use]
pub fn secret_meta(metadata: &ObjectMeta) -> SecretMeta {
    SecretMeta {
        name: metadata.name.clone().unwrap_or_default(),
        version: SecretVersion {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        },
        labels: metadata.labels.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        owners: metadata.owner_references.iter().flatten().map(owner).collect(),
        own_labels: own_keys(metadata.managed_fields.as_deref(), "f:labels"),
        own_annotations: own_keys(metadata.managed_fields.as_deref(), "f:annotations"),
    }
}

fn owner(reference: &OwnerReference) -> Owner {
    Owner {
        api_version: reference.api_version.clone(),
        kind: reference.kind.clone(),
        name: reference.name.clone(),
        uid: reference.uid.clone(),
        controller: reference.controller.unwrap_or_default(),
        block_owner_deletion: reference.block_owner_deletion.unwrap_or_default(),
    }
}

/// The keys under `metadata.<field>` that the operator was the last to set, by the API server's own record.
fn own_keys(managed: Option<&[ManagedFieldsEntry]>, field: &str) -> BTreeSet<String> {
    let ours = managed.unwrap_or_default().iter().filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    let maps = ours.filter_map(|entry| entry.fields_v1.as_ref()?.0.get("f:metadata")?.get(field)?.as_object());
    maps.flat_map(|map| map.keys().filter_map(|key| key.strip_prefix("f:")).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn own_keys_are_those_of_our_manager() {
        let metadata: ObjectMeta = serde_json::from_value(json!({"managedFields": [
            {"manager": FIELD_MANAGER, "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:ours": {}}, "f:annotations": {"f:a.b/c": {}}}}},
            {"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}}}},
        ]}))
        .unwrap();
        let meta = secret_meta(&metadata);
        assert_eq!(meta.own_labels, BTreeSet::from(["ours".to_owned()]));
        assert_eq!(meta.own_annotations, BTreeSet::from(["a.b/c".to_owned()]));
    }
}
