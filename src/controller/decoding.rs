//! Requests that can't be decoded: they were stored through a laxer definition. They are warned of, not served, and stop nobody else.

use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;

use super::Context;
use super::registry::{ObjectName, name_of};
use super::watched::WatchedRequest;
use crate::api::{PlaybackGrantRequest, PlaybackGrantRequestSpec, SecretRef};

/// The event with its object decoded. One that can't be is the deletion of what was there before, if anything was.
pub(super) fn decoded(event: Event<WatchedRequest>, context: &Context) -> Option<Event<PlaybackGrantRequest>> {
    Some(match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(WatchedRequest(object)) => Event::InitApply(object.map_err(|metadata| warn(&metadata)).ok()?),
        Event::Delete(WatchedRequest(object)) => Event::Delete(object.unwrap_or_else(|metadata| placeholder(*metadata))),
        Event::Apply(WatchedRequest(Ok(object))) => Event::Apply(object),
        Event::Apply(WatchedRequest(Err(metadata))) => {
            warn(&metadata);
            context.forget(metadata.uid.as_deref());
            Event::Delete(placeholder(*metadata))
        }
    })
}

fn warn(metadata: &ObjectMeta) {
    let ObjectName { namespace, name } = name_of(metadata);
    tracing::warn!(
        namespace = &*namespace,
        request = &*name,
        "this PlaybackGrantRequest can't be decoded and isn't served: it was stored through a laxer definition. Apply it again, and the API server will name what is wrong"
    );
}

/// Stands for an object of which only the name matters any more; its spec asks for nothing.
fn placeholder(metadata: ObjectMeta) -> PlaybackGrantRequest {
    let spec = PlaybackGrantRequestSpec {
        player_streamer_sid: String::new(),
        ttl_seconds: 0,
        access_control_allow_origin: None,
        refresh_before_expiry_seconds: None,
        credentials_secret_ref: SecretRef::default(),
        secret: None,
        access_token: None,
        suspend: true,
    };
    PlaybackGrantRequest { metadata, spec, status: None }
}
