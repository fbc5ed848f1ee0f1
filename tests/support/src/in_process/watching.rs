//! Watches: what changes, as it changes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};

use super::AnswerBody;
use super::answer::{Form, response};
use super::refusal::Refusal;
use super::store::{Change, Kind, Selector, Store};
use super::trouble::Forecast;

/// What is watched, and in which form it is told.
pub(super) struct Watched {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    pub(super) form: Form,
    pub(super) forecast: Forecast,
}

impl Watched {
    fn event(&self, type_: &str, object: &Value) -> Bytes {
        line(&json!({"type": type_, "object": self.form.object(object)}))
    }

    /// What a change is to this watch: an object that doesn't match any more is gone for it, at the version of the change.
    fn told(&self, change: &Change) -> Option<Bytes> {
        if change.key.kind != self.kind || self.namespace.as_ref().is_some_and(|namespace| *namespace != change.key.namespace) {
            return None;
        }
        let matches = |object: &Option<Value>| object.as_ref().is_some_and(|object| self.selector.matches(object));
        match (matches(&change.before), matches(&change.after), &change.after) {
            (false, true, Some(after)) => Some(self.event("ADDED", after)),
            (true, true, Some(after)) => Some(self.event("MODIFIED", after)),
            (true, false, _) => {
                let mut last = change.before.clone()?;
                last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                Some(self.event("DELETED", &last))
            }
            _ => None,
        }
    }
}

/// A watch from `since` on (`None`: from what is there now, which it tells first), that ends after so many seconds.
pub(super) fn watch(store: Arc<Store>, watched: Watched, since: Option<u64>, seconds: u64) -> Response<AnswerBody> {
    let (first, since) = if let Some(since) = since {
        (Vec::new(), since)
    } else {
        let (there, revision) = store.list(watched.kind, watched.namespace.as_deref(), &watched.selector);
        (there.iter().map(|object| Ok(watched.event("ADDED", object))).collect(), revision)
    };
    let changes = store.subscribe();
    let going_on = futures::stream::unfold((store, watched, changes, Some(since)), |(store, watched, mut changes, since)| async move {
        let mut since = since?;
        let mut watched = watched;
        loop {
            watched.forecast.released().await;
            tokio::time::sleep(watched.forecast.now().watch_lag).await;
            changes.mark_unchanged();
            match store.changes_since(since) {
                Err(refusal) => return Some((vec![Ok(failure(&refusal))], (store, watched, changes, None))),
                Ok((new, revision)) => {
                    since = revision;
                    let told: Vec<io::Result<Bytes>> = new.iter().filter_map(|change| watched.told(change)).map(Ok).collect();
                    if !told.is_empty() {
                        return Some((told, (store, watched, changes, Some(since))));
                    }
                }
            }
            tokio::select! {
                biased;
                () = watched.forecast.cut() => {
                    return Some((vec![Err(io::ErrorKind::ConnectionReset.into())], (store, watched, changes, None)));
                }
                news = changes.changed() => news.ok()?,
            }
        }
    });
    let all = futures::stream::iter([first]).chain(going_on).flat_map(futures::stream::iter);
    let limited = all.take_until(tokio::time::sleep(Duration::from_secs(seconds)));
    let frames = limited.map(|line: io::Result<Bytes>| line.map(http_body::Frame::data));
    response(StatusCode::OK, StreamBody::new(frames).boxed_unsync())
}

fn failure(refusal: &Refusal) -> Bytes {
    line(&json!({"type": "ERROR", "object": refusal.status()}))
}

fn line(event: &Value) -> Bytes {
    let mut line = event.to_string();
    line.push('\n');
    Bytes::from(line)
}
