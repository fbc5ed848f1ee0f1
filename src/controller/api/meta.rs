//! Metadata in the API server's form.
//!
//! Most of them is the API server's record of who set which field. It comes with every answer and every event, and only some of its keys are read:
//! nothing is made of the rest.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
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
    labels: Option<Map<Text, String>>,
    annotations: Option<Map<Text, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<Managed>>,
}

/// What one manager was the last to set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Managed {
    manager: Option<Text>,
    fields_v1: Option<Fields>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OwnerReference {
    api_version: Option<Text>,
    kind: Option<Text>,
    name: Option<String>,
    uid: Option<String>,
    controller: Option<bool>,
    block_owner_deletion: Option<bool>,
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
type Keys = Map<FieldKey, IgnoredAny>;

/// A map's entries, as they come.
#[derive(Clone, Debug)]
struct Map<K, V>(Vec<(K, V)>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Map<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

struct MapVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for MapVisitor<K, V> {
    type Value = Map<K, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Map<K, V>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Map(entries))
    }
}

/// A text as it stands in what is read: a copy only where it is escaped there.
#[derive(Deserialize)]
struct Read<'a>(#[serde(borrow)] Cow<'a, str>);

/// A text. Of those of the operator's own no copy is made.
#[derive(Clone, Debug, Default)]
struct Text(Cow<'static, str>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Read::deserialize(deserializer).map(|Read(text)| Self(kept(text)))
    }
}

/// A field's name; `None`: it is the map itself, or an item of a list.
#[derive(Clone, Debug)]
struct FieldKey(Option<Cow<'static, str>>);

impl<'de> Deserialize<'de> for FieldKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Read::deserialize(deserializer).map(|Read(key)| Self(key.strip_prefix("f:").map(|name| kept(Cow::Borrowed(name)))))
    }
}

impl Keys {
    fn names(self) -> impl Iterator<Item = Cow<'static, str>> {
        self.0.into_iter().filter_map(|(FieldKey(name), IgnoredAny)| name)
    }
}

#[derive(Deserialize)]
struct Answer<M> {
    metadata: M,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VersionOnly {
    resource_version: Option<String>,
}

/// What matters of a Secret.
pub(super) fn parse(answer: &[u8]) -> Result<SecretMeta, ApiFailure> {
    metadata(answer).map(Metadata::into_secret)
}

/// An object's version.
pub(super) fn version(answer: &[u8]) -> Result<String, ApiFailure> {
    metadata(answer).map(|VersionOnly { resource_version }| resource_version.unwrap_or_default())
}

fn metadata<M: DeserializeOwned>(answer: &[u8]) -> Result<M, ApiFailure> {
    let answer: Answer<M> = serde_json::from_slice(answer).map_err(|error| super::body::unreadable(&error))?;
    Ok(answer.metadata)
}

impl Metadata {
    /// As a Secret's.
    pub(in crate::controller) fn into_secret(self) -> SecretMeta {
        let (mut own_labels, mut own_annotations, mut own_data, mut foreign_data) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::<Cow<'static, str>>::new());
        for managed in self.managed_fields.into_iter().flatten() {
            let is_ours = managed.is_ours();
            let Some(Fields { metadata, data }) = managed.fields_v1 else { continue };
            if is_ours {
                own_labels.extend(metadata.labels.names());
                own_annotations.extend(metadata.annotations.names());
                own_data.extend(data.names());
            } else {
                foreign_data.extend(data.names());
            }
        }
        // There may be thousands, of others' making.
        for own in [&mut own_labels, &mut own_annotations, &mut own_data] {
            own.sort_unstable();
        }
        let foreign_data = foreign_data.into_iter().filter(|key| own_data.binary_search(key).is_err());
        let foreign_data = foreign_data.map(Cow::into_owned).collect();
        let mut owners: Vec<Owner> = self.owner_references.into_iter().flatten().map(owner).collect();
        owners.shrink_to_fit();
        SecretMeta {
            name: self.name.unwrap_or_default().into(),
            version: SecretVersion::new(self.uid.as_deref().unwrap_or_default(), self.resource_version.as_deref().unwrap_or_default()),
            deleting: self.deletion_timestamp.is_some(),
            labels: fields(self.labels, &own_labels),
            annotations: fields(self.annotations, &own_annotations),
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
        self.manager.as_ref().is_some_and(|Text(manager)| manager == FIELD_MANAGER)
    }
}

/// `own`: the keys of the operator's, sorted.
fn fields(all: Option<Map<Text, String>>, own: &[Cow<'static, str>]) -> lifecycle::Fields {
    let all = all.into_iter().flat_map(|Map(all)| all).map(|(Text(key), value)| (key, value));
    lifecycle::Fields::new(all, |key| own.binary_search_by(|own| (**own).cmp(key)).is_ok())
}

fn owner(reference: OwnerReference) -> Owner {
    Owner {
        api_version: reference.api_version.unwrap_or_default().0,
        kind: reference.kind.unwrap_or_default().0,
        name: reference.name.unwrap_or_default().into(),
        uid: reference.uid.unwrap_or_default(),
        controller: reference.controller.unwrap_or_default(),
        block_owner_deletion: reference.block_owner_deletion.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
            name: name.into(),
            uid: uid.to_owned(),
            controller: is,
            block_owner_deletion: is,
        };
        let map = |key: &str, value: &str| lifecycle::Fields::new([(key.to_owned(), value.to_owned())], |_| false);
        let expected = SecretMeta {
            name: "lobby".into(),
            version: SecretVersion::new("u1", "7"),
            deleting: true,
            labels: map("tier", "one"),
            annotations: map("note", "two"),
            owners: vec![owner("a", "u2", true), owner("b", "u3", false)],
            ..SecretMeta::default()
        };
        let answer = answer.to_string();
        assert_eq!((parse(answer.as_bytes()), version(answer.as_bytes())), (Ok(expected), Ok("7".to_owned())));
        for unreadable in [parse(b"{\"planted\"").unwrap_err(), version(b"{\"planted\"").unwrap_err()] {
            let words = unreadable.words();
            assert!(words.contains("line 1, column 10") && !words.contains("planted"), "{words}");
        }
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
