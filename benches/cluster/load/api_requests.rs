//! What has been asked of the API server, by its own count.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::Client;

/// How many requests there have been of each kind: the verb, and the resource.
#[derive(Clone, Debug, Default)]
pub struct ApiRequests(pub BTreeMap<String, u64>);

/// What the operator has to do with. What others ask for, leases say, isn't its account.
const RESOURCES: [&str; 3] = ["secrets", "playbackgrantrequests", "events"];

/// What a refresh asks for.
pub const REFRESH: [&str; 2] = ["PATCH secrets", "PATCH playbackgrantrequests/status"];

/// What tells of a transition.
pub const EVENT: &str = "POST events";

impl ApiRequests {
    /// Up to now. Watches aren't among them: one lasts for minutes.
    pub async fn so_far(admin: &Client) -> Result<Self> {
        let metrics = admin.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
        let mut requests = BTreeMap::new();
        for line in metrics.lines() {
            let Some((labels, count)) = line.strip_prefix("apiserver_request_total{").and_then(|line| line.rsplit_once("} ")) else {
                continue;
            };
            let label = |name: &str| {
                let found = labels.split("\",").find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
                found.unwrap_or_default().trim_end_matches('"')
            };
            let (verb, resource, subresource) = (label("verb"), label("resource"), label("subresource"));
            if !RESOURCES.contains(&resource) || verb == "WATCH" {
                continue;
            }
            let kind = if subresource.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}/{subresource}") };
            *requests.entry(kind).or_default() += count.parse::<u64>()?;
        }
        Ok(Self(requests))
    }

    /// How many of that kind.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or_default()
    }

    /// How many of none of the kinds that a refresh has, or a transition.
    pub fn others(&self) -> u64 {
        let usual = |kind: &str| REFRESH.contains(&kind) || kind == EVENT;
        self.0.iter().filter(|(kind, _)| !usual(kind)).map(|(_, count)| count).sum()
    }

    /// Those since then.
    pub fn since(&self, before: &Self) -> Self {
        let since = self.0.iter().map(|(kind, count)| (kind.clone(), count - before.0.get(kind).copied().unwrap_or_default()));
        Self(since.filter(|(_, count)| *count > 0).collect())
    }
}
