//! Requests that can't be decoded: they were stored through a laxer definition. They are warned of, not served, and stop nobody else.

use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;

use super::Context;
use super::registry::{ObjectName, name_of};
use super::served::ServedRequest;
use super::watched::WatchedRequest;
use crate::api::PlaybackGrantRequest;

/// The event with its object decoded. One that can't be is the deletion of what was there before, if anything was.
pub(super) fn decoded(event: Event<WatchedRequest>, context: &Context) -> Option<Event<ServedRequest>> {
    let served = |request: PlaybackGrantRequest| match context.registry.echoed(&request.metadata) {
        Some(spec) => ServedRequest::echo(request.metadata, spec),
        None => ServedRequest::new(request),
    };
    // What a list shows stands in the store only when all of it does: until then what came before is looked at.
    let listed = ServedRequest::new;
    Some(match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(WatchedRequest(object)) => Event::InitApply(listed(object.map_err(|metadata| warn(&metadata)).ok()?)),
        Event::Delete(WatchedRequest(object)) => {
            Event::Delete(ServedRequest::placeholder(object.map_or_else(|metadata| *metadata, |request| request.metadata)))
        }
        Event::Apply(WatchedRequest(Ok(object))) => Event::Apply(served(object)),
        Event::Apply(WatchedRequest(Err(metadata))) => {
            warn(&metadata);
            context.forget(metadata.uid.as_deref());
            Event::Delete(ServedRequest::placeholder(*metadata))
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
