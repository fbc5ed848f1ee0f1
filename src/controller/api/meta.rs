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
        deleting: metadata.deletion_timestamp.is_some(),
        labels: metadata.labels.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        owners: metadata.owner_references.iter().flatten().map(owner).collect(),
        own_labels: keys(metadata, is_ours, &["f:metadata", "f:labels"]),
        own_annotations: keys(metadata, is_ours, &["f:metadata", "f:annotations"]),
        foreign_data: &keys(metadata, |entry| !is_ours(entry), &["f:data"]) - &keys(metadata, is_ours, &["f:data"]),
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

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
}

/// The keys at `path` that those managers were the last to set, by the API server's own record.
fn keys(metadata: &ObjectMeta, managers: impl Fn(&ManagedFieldsEntry) -> bool, path: &[&str]) -> BTreeSet<String> {
    let managed = metadata.managed_fields.iter().flatten().filter(|entry| managers(entry));
    let maps = managed.filter_map(|entry| path.iter().try_fold(&entry.fields_v1.as_ref()?.0, |fields, name| fields.get(name))?.as_object());
    maps.flat_map(|map| map.keys().filter_map(|key| key.strip_prefix("f:")).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_matters_of_a_secret_is_read_and_what_cannot_be_read_is_told_by_its_place() {
        let answer = json!({"metadata": {
            "name": "lobby", "uid": "u1", "resourceVersion": "7", "deletionTimestamp": "2026-11-24T12:00:00Z",
            "labels": {"tier": "one"}, "annotations": {"note": "two"},
            "ownerReferences": [
                {"apiVersion": "a/v1", "kind": "A", "name": "a", "uid": "u2", "controller": true, "blockOwnerDeletion": true},
                {"apiVersion": "b/v1", "kind": "B", "name": "b", "uid": "u3"},
            ],
        }});
        let owner = |name: &str, uid: &str, is: bool| Owner {
            api_version: format!("{name}/v1"),
            kind: name.to_uppercase(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            controller: is,
            block_owner_deletion: is,
        };
        let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
        let expected = SecretMeta {
            name: "lobby".into(),
            version: SecretVersion { uid: "u1".into(), resource_version: "7".into() },
            deleting: true,
            labels: map("tier", "one"),
            annotations: map("note", "two"),
            owners: vec![owner("a", "u2", true), owner("b", "u3", false)],
            ..SecretMeta::default()
        };
        assert_eq!(parse(answer.to_string().as_bytes()), Ok(expected));
        let words = parse(b"{\"planted\"").unwrap_err().words().to_owned();
        assert!(words.contains("line 1, column 10") && !words.contains("planted"), "{words}");
    }

    #[test]
    fn own_keys_are_those_of_our_manager() {
        let metadata: ObjectMeta = serde_json::from_value(json!({"managedFields": [
            {"manager": FIELD_MANAGER, "fieldsV1": {"f:data": {".": {}, "f:grant": {}, "f:both": {}}}},
            {"manager": "kubectl", "fieldsV1": {"f:data": {"f:theirs": {}, "f:both": {}}}},
            {"manager": FIELD_MANAGER, "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:ours": {}}, "f:annotations": {"f:a.b/c": {}}}}},
            {"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}}}},
        ]}))
        .unwrap();
        let meta = secret_meta(&metadata);
        assert_eq!(meta.own_labels, BTreeSet::from(["ours".to_owned()]));
        assert_eq!(meta.foreign_data, BTreeSet::from(["theirs".to_owned()]));
        assert_eq!(meta.own_annotations, BTreeSet::from(["a.b/c".to_owned()]));
    }
}
