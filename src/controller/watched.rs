//! Objects as the watches show them, made of no more than what is read.
//!
//! The library's own types for the same keep a whole object in two forms while they decode it, and all that the API server records of its fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::api::Metadata;
use super::registry::{ObjectName, name_of};
use crate::api::names::annotation;
use crate::api::{PlaybackGrantRequest, PlaybackGrantRequestStatus};
use crate::lifecycle::SecretMeta;

/// A Secret's metadata.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "SecretObject")]
pub struct WatchedSecret {
    /// The metadata.
    pub meta: SecretMeta,
    object: ObjectMeta,
}

#[derive(Deserialize)]
struct SecretObject {
    #[serde(default)]
    metadata: Metadata,
}

impl From<SecretObject> for WatchedSecret {
    fn from(SecretObject { metadata }: SecretObject) -> Self {
        Self { object: metadata.object(), meta: metadata.into_secret() }
    }
}

impl WatchedSecret {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> ObjectName {
        name_of(&self.object)
    }
}

impl Resource for WatchedSecret {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Secret::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Secret::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Secret::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Secret::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.object
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.object
    }

    fn metadata_api() -> bool {
        true
    }
}

/// A request, or, of one that can't be decoded, the metadata.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RequestObject")]
pub struct WatchedRequest(pub Result<PlaybackGrantRequest, Box<ObjectMeta>>);

/// What can't be decoded must still be read to its end.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestObject {
    metadata: RequestMetadata,
    spec: Value,
    status: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    deletion_timestamp: Option<Time>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Of a request's annotations, those that say something to the operator. Others may be long.
const READ: [&str; 2] = [annotation::REFRESH_REQUESTED_AT, annotation::FLUX_REQUESTED_AT];

impl From<RequestObject> for WatchedRequest {
    fn from(RequestObject { metadata, spec, status }: RequestObject) -> Self {
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|name, _| READ.contains(&name.as_str()));
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            deletion_timestamp: metadata.deletion_timestamp,
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        };
        let status = Option::<PlaybackGrantRequestStatus>::deserialize(status);
        Self(match (serde_json::from_value(spec), status) {
            (Ok(spec), Ok(status)) => Ok(PlaybackGrantRequest { metadata, spec, status }),
            _ => Err(Box::new(metadata)),
        })
    }
}

impl Resource for WatchedRequest {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        PlaybackGrantRequest::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        PlaybackGrantRequest::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        PlaybackGrantRequest::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        PlaybackGrantRequest::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|metadata| &**metadata, |request| &request.metadata)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|metadata| &mut **metadata, |request| &mut request.metadata)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_request_that_cannot_be_decoded_the_metadata_are_known() {
        let metadata = json!({"name": "lobby", "namespace": "web", "uid": "u1", "resourceVersion": "7"});
        for broken in [
            json!({"metadata": metadata, "spec": {"playerStreamerSid": 7}}),
            json!({"metadata": metadata}),
            json!({"metadata": metadata, "spec": {"playerStreamerSid": "VJ1", "credentialsSecretRef": {"name": "a"}}, "status": 7}),
        ] {
            let request: WatchedRequest = serde_json::from_value(broken.clone()).unwrap();
            let metadata = request.0.unwrap_err();
            assert_eq!(name_of(&metadata), ObjectName::new("web", "lobby"), "{broken}");
            assert_eq!((metadata.uid.as_deref(), metadata.resource_version.as_deref()), (Some("u1"), Some("7")));
        }
    }

    #[test]
    fn a_request_keeps_what_is_read_of_it() {
        let request: WatchedRequest = serde_json::from_value(json!({
            "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest",
            "metadata": {
                "name": "lobby", "namespace": "web", "uid": "u1", "resourceVersion": "7", "generation": 2, "deletionTimestamp": "2026-11-24T12:00:00Z",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", annotation::REFRESH_REQUESTED_AT: "a", annotation::FLUX_REQUESTED_AT: "b"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:playerStreamerSid": {}}}}],
            },
            "spec": {"playerStreamerSid": "VJ1", "credentialsSecretRef": {"name": "media-api"}},
            "status": {"observedGeneration": 2},
        }))
        .unwrap();
        assert_eq!(request.meta().generation, Some(2));
        let request = request.0.unwrap();
        let metadata = &request.metadata;
        assert!(metadata.deletion_timestamp.is_some() && metadata.managed_fields.is_none());
        assert_eq!(
            metadata.annotations.as_ref().unwrap().keys().collect::<Vec<_>>(),
            [annotation::REFRESH_REQUESTED_AT, annotation::FLUX_REQUESTED_AT]
        );
        assert_eq!(request.spec.credentials_secret_ref.name, "media-api");
        assert_eq!(request.status.unwrap().observed_generation, Some(2));
    }

    #[test]
    fn a_request_that_was_never_served_has_no_status() {
        let spec = json!({"playerStreamerSid": "VJ1", "credentialsSecretRef": {"name": "media-api"}});
        for object in [json!({"metadata": {}, "spec": spec}), json!({"metadata": {}, "spec": spec, "status": null})] {
            assert!(serde_json::from_value::<WatchedRequest>(object).unwrap().0.unwrap().status.is_none());
        }
    }

    #[test]
    fn a_secret_is_asked_for_by_its_metadata_alone() {
        assert!(WatchedSecret::metadata_api() && !WatchedRequest::metadata_api());
        let secret: WatchedSecret = serde_json::from_value(
            json!({"metadata": {"name": "lobby", "namespace": "web", "resourceVersion": "7"}, "data": {"grant": "cGxhbnRlZA=="}}),
        )
        .unwrap();
        assert_eq!((secret.name(), secret.meta().resource_version.as_deref()), (ObjectName::new("web", "lobby"), Some("7")));
        assert_eq!(secret.meta.version.resource_version(), "7");
    }
}
