//! Metadata in the API server's form.
//!
//! Most of them is the API server's record of who set which field. It comes with every answer and every event, and only some of its keys are read:
//! nothing is made of the rest.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ApiFailure;
use crate::api::names::{FIELD_MANAGER, kept};
use crate::lifecycle::{self, Owner, SecretMeta, SecretVersion};

/// An object's metadata, as far as they are read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::controller) struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<Managed>>,
}

/// What one manager was the last to set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Managed {
    manager: Option<String>,
    fields_v1: Option<Fields>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "f:metadata")]
    metadata: MetadataFields,
    #[serde(rename = "f:data")]
    data: Keys,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct MetadataFields {
    #[serde(rename = "f:labels")]
    labels: Keys,
    #[serde(rename = "f:annotations")]
    annotations: Keys,
}

/// The names of the fields in a map, without what is in them.
#[derive(Clone, Debug, Default)]
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a map of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some((mut key, IgnoredAny)) = map.next_entry::<String, _>()? {
            // Others than fields are the map itself, and items of lists.
            if key.starts_with("f:") {
                key.drain(..2);
                keys.push(key);
            }
        }
        Ok(Keys(keys))
    }
}

#[derive(Deserialize)]
struct MetadataAnswer {
    metadata: Metadata,
}

pub(super) fn parse(answer: &[u8]) -> Result<SecretMeta, ApiFailure> {
    let answer: MetadataAnswer = serde_json::from_slice(answer).map_err(|error| super::body::unreadable(&error))?;
    Ok(answer.metadata.into_secret())
}

impl Metadata {
    /// As a Secret's.
    pub(in crate::controller) fn into_secret(self) -> SecretMeta {
        let (mut own_labels, mut own_annotations) = (BTreeSet::<String>::new(), BTreeSet::<String>::new());
        let (mut own_data, mut foreign_data) = (BTreeSet::<String>::new(), BTreeSet::new());
        for managed in self.managed_fields.into_iter().flatten() {
            let is_ours = managed.is_ours();
            let Some(Fields { metadata, data }) = managed.fields_v1 else { continue };
            if is_ours {
                own_labels.extend(metadata.labels.0);
                own_annotations.extend(metadata.annotations.0);
                own_data.extend(data.0);
            } else {
                foreign_data.extend(data.0);
            }
        }
        foreign_data.retain(|key| !own_data.contains(key));
        let mut owners: Vec<Owner> = self.owner_references.into_iter().flatten().map(owner).collect();
        owners.shrink_to_fit();
        SecretMeta {
            name: self.name.unwrap_or_default(),
            version: SecretVersion {
                uid: self.uid.unwrap_or_default().into(),
                resource_version: self.resource_version.unwrap_or_default().into(),
            },
            deleting: self.deletion_timestamp.is_some(),
            labels: lifecycle::Fields::new(self.labels.into_iter().flatten(), |key| own_labels.contains(key)),
            annotations: lifecycle::Fields::new(self.annotations.into_iter().flatten(), |key| own_annotations.contains(key)),
            owners,
            foreign_data,
        }
    }

    /// What a watch goes by.
    pub(in crate::controller) fn object(&self) -> ObjectMeta {
        ObjectMeta {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            resource_version: self.resource_version.clone(),
            ..ObjectMeta::default()
        }
    }
}

impl Managed {
    fn is_ours(&self) -> bool {
        self.manager.as_deref() == Some(FIELD_MANAGER)
    }
}

fn owner(reference: OwnerReference) -> Owner {
    Owner {
        api_version: kept(reference.api_version),
        kind: kept(reference.kind),
        name: reference.name,
        uid: reference.uid,
        controller: reference.controller.unwrap_or_default(),
        block_owner_deletion: reference.block_owner_deletion.unwrap_or_default(),
    }
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
            api_version: format!("{name}/v1").into(),
            kind: name.to_uppercase().into(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            controller: is,
            block_owner_deletion: is,
        };
        let map = |key: &str, value: &str| lifecycle::Fields::new([(key.to_owned(), value.to_owned())], |_| false);
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
        let there = ["nobodys", "ours", "theirs", "a.b/c"].map(|key| (key, "1"));
        let there = std::collections::HashMap::from(there);
        let metadata: Metadata = serde_json::from_value(json!({"labels": there, "annotations": there, "managedFields": [
            {"manager": FIELD_MANAGER, "fieldsV1": {"f:data": {".": {}, "f:grant": {}, "f:both": {}}, "f:type": {}}},
            {"manager": "kubectl", "fieldsV1": {"f:data": {"f:theirs": {}, "f:both": {}}}},
            {"fieldsV1": {"f:metadata": {"f:ownerReferences": {".": {}, "k:{\"uid\":\"u1\"}": {}}, "f:labels": {"f:nobodys": {}}}}, "manager": FIELD_MANAGER,
             "operation": "Update", "time": "2026-11-24T12:00:00Z"},
            {"manager": FIELD_MANAGER, "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:ours": {}}, "f:annotations": {"f:a.b/c": {}}}}},
            {"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}, "f:annotations": {"f:theirs": {}}}}},
            {"manager": FIELD_MANAGER, "fieldsV1": null},
            {"operation": "Apply"},
        ]}))
        .unwrap();
        let meta = metadata.into_secret();
        assert_eq!(meta.labels.own_keys().collect::<Vec<_>>(), ["nobodys", "ours"]);
        assert_eq!(meta.foreign_data, BTreeSet::from(["theirs".to_owned()]));
        assert_eq!(meta.annotations.own_keys().collect::<Vec<_>>(), ["a.b/c"]);
        assert_eq!(
            serde_json::from_value::<Metadata>(json!({"managedFields": null, "labels": null})).unwrap().into_secret(),
            SecretMeta::default()
        );
    }
}
