//! A request as it is kept: of what the watch has read, the spec as it was checked, and the status until somebody has read it.

use std::sync::{Arc, Mutex, PoisonError};

use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{Deserialize, Deserializer, Error};

use super::watched::WatchedRequest;
use crate::api::{InvalidSpec, PlaybackGrantRequest, PlaybackGrantRequestStatus, ValidSpec, validate};

/// What a request asks for, or what is wrong with that. One for as long as it stays the same, whatever becomes of its status.
pub type CheckedSpec = Arc<Result<ValidSpec, InvalidSpec>>;

/// A request that is served.
#[derive(Debug, Resource)]
#[resource(inherit = PlaybackGrantRequest)]
pub struct ServedRequest {
    metadata: ObjectMeta,
    /// What it asks for, or what is wrong with that.
    pub spec: CheckedSpec,
    /// Whoever reads it remembers it, and knows what it has written itself.
    unread: Mutex<Option<Box<PlaybackGrantRequestStatus>>>,
}

impl ServedRequest {
    /// A request as a watch shows it.
    #[must_use]
    pub fn new(request: PlaybackGrantRequest) -> Self {
        let spec = Arc::new(validate(&request));
        let PlaybackGrantRequest { metadata, spec: _, status } = request;
        Self { metadata, spec, unread: Mutex::new(Some(Box::new(status.unwrap_or_default()))) }
    }

    /// A request with the status that whoever serves it has just written, and the spec that it had before.
    #[must_use]
    pub fn echo(metadata: ObjectMeta, spec: CheckedSpec) -> Self {
        Self { metadata, spec, unread: Mutex::default() }
    }

    /// Of a request that can't be decoded no more is known than its metadata. It isn't served: this takes out what was there before.
    #[must_use]
    pub fn placeholder(metadata: ObjectMeta) -> Self {
        Self { metadata, spec: Arc::new(Err(InvalidSpec { violations: Vec::new() })), unread: Mutex::default() }
    }

    /// Whether its status is known to whoever serves it.
    pub fn is_read(&self) -> bool {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Its status, unless that was read before, or is the one that was written last.
    pub fn read_status(&self) -> Option<Box<PlaybackGrantRequestStatus>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Clone for ServedRequest {
    fn clone(&self) -> Self {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { metadata: self.metadata.clone(), spec: self.spec.clone(), unread: Mutex::new(unread) }
    }
}

/// What the controller asks of the objects that it is given, though none comes to it undecoded.
impl<'de> Deserialize<'de> for ServedRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WatchedRequest(request) = WatchedRequest::deserialize(deserializer)?;
        request.map(Self::new).map_err(|_| D::Error::custom("this PlaybackGrantRequest can't be decoded"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(sid: &str) -> serde_json::Value {
        json!({
            "metadata": {"name": "lobby", "namespace": "web", "uid": "u1", "resourceVersion": "7"},
            "spec": {"playerStreamerSid": sid, "credentialsSecretRef": {"name": "media-api"}},
            "status": {"consecutiveFailures": 2},
        })
    }

    #[test]
    fn a_status_is_read_once_and_what_was_written_last_needs_no_reading() {
        let request: PlaybackGrantRequest = serde_json::from_value(object("VJ1")).unwrap();
        let served = ServedRequest::new(request.clone());
        let stored = served.clone();
        assert!(!stored.is_read());
        assert_eq!(stored.read_status().unwrap().consecutive_failures, 2);
        assert!(stored.is_read() && stored.read_status().is_none());
        assert!(!served.is_read(), "a copy is read by itself");
        let echo = ServedRequest::echo(request.metadata.clone(), served.spec.clone());
        assert!(echo.is_read() && Arc::ptr_eq(&echo.spec, &stored.spec));
        let never = ServedRequest::new(PlaybackGrantRequest { status: None, ..request });
        assert_eq!(
            never.read_status().as_deref(),
            Some(&PlaybackGrantRequestStatus::default()),
            "that nothing stands there is something to know"
        );
    }

    #[test]
    fn what_is_asked_for_is_checked_and_what_cannot_be_decoded_is_none() {
        let decoded = |object: serde_json::Value| serde_json::from_value::<ServedRequest>(object);
        assert!(decoded(object(&format!("VJ{}", "0".repeat(32)))).unwrap().spec.is_ok());
        let wrong = decoded(object("VJ1")).unwrap();
        assert_eq!(wrong.meta().name.as_deref(), Some("lobby"));
        assert_eq!(wrong.spec.as_ref().as_ref().unwrap_err().violations.len(), 1);
        assert!(decoded(json!({"metadata": {"name": "lobby"}, "spec": 7})).is_err());
    }
}
