//! Which requests say that they are ready.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::{Stream, StreamExt as _};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use playback_grant_operator::api::PlaybackGrantRequest;

use crate::stage::NAMESPACE;

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<PlaybackGrantRequest>>> + Send>>;

/// Which of the requests that are watched say that they are ready.
pub struct Readiness {
    events: Events,
    /// By the request's name: what its condition `Ready` says.
    ready: BTreeMap<String, bool>,
}

impl Readiness {
    /// Of all; from when this returns on, nothing is missed.
    pub async fn of_all(client: Client) -> Result<Self> {
        Self::begun(client, watcher::Config::default()).await
    }

    /// Of the one of that name alone.
    pub async fn of_one(client: Client, name: &str) -> Result<Self> {
        Self::begun(client, watcher::Config::default().fields(&format!("metadata.name={name}"))).await
    }

    async fn begun(client: Client, config: watcher::Config) -> Result<Self> {
        let requests = Api::<PlaybackGrantRequest>::namespaced(client, NAMESPACE);
        let mut events: Events = Box::pin(watcher(requests, config));
        loop {
            match events.next().await {
                Some(Ok(Event::InitDone)) => return Ok(Self { events, ready: BTreeMap::new() }),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the watch of requests has ended"),
            }
        }
    }

    /// How many are ready; `suspended`: how many say at all how they are, which those do that have been taken notice of.
    pub fn settled(&self, suspended: bool) -> usize {
        self.ready.values().filter(|ready| suspended || **ready).count()
    }

    /// Follows them until that is so, for `patience` at most. Returns whether it is.
    pub async fn until(&mut self, is_so: impl Fn(&Self) -> bool, patience: Duration) -> Result<bool> {
        let follow = async {
            while !is_so(self) {
                match self.events.next().await {
                    Some(Ok(Event::Apply(request) | Event::InitApply(request))) => self.see(&request),
                    Some(_) => {}
                    None => bail!("the watch of requests has ended"),
                }
            }
            Ok(true)
        };
        tokio::time::timeout(patience, follow).await.unwrap_or(Ok(false))
    }

    fn see(&mut self, request: &PlaybackGrantRequest) {
        let conditions = request.status.iter().flat_map(|status| &status.conditions);
        if let Some(ready) = conditions.into_iter().find(|condition| condition.type_ == "Ready") {
            self.ready.insert(request.name_any(), ready.status == "True");
        }
    }
}
