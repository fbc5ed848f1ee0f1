//! Looks at the Access Tokens: whether each carries the grant beside it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Event;
use playback_grant_operator::api::names::key;
use playback_grant_operator::token::form_carried;

/// What has been seen of the tokens, by their Secrets' names.
#[derive(Debug, Default)]
pub struct Tokens {
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    last: Option<String>,
    count: u32,
    strange: u32,
}

impl Tokens {
    /// A Secret has been seen, or is gone.
    pub fn watched(&mut self, event: &Event<Secret>) {
        let (Event::Apply(secret) | Event::InitApply(secret)) = event else { return };
        let text = |name: &str| secret.data.as_ref()?.get(name).and_then(|value| String::from_utf8(value.0.clone()).ok());
        let (Some(name), Some(token)) = (secret.metadata.name.clone(), text(key::ACCESS_TOKEN)) else { return };
        let seen = self.seen.entry(name).or_default();
        if seen.last.as_ref() == Some(&token) {
            return;
        }
        let carries = text(key::GRANT).is_some_and(|grant| form_carried(&token, &grant).is_some());
        seen.count += 1;
        seen.strange += u32::from(!carries);
        seen.last = Some(token);
    }

    /// How many different tokens the Secret has held, one after the other.
    pub fn count(&self, secret: &str) -> u32 {
        self.seen.get(secret).map_or(0, |seen| seen.count)
    }

    /// What is wrong with the tokens of these Secrets, a sentence each.
    pub fn complaints<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let complaint = |secret: &str| match self.seen.get(secret) {
            None => Some(format!("{secret} never held an Access Token")),
            Some(Seen { strange: 0, .. }) => None,
            Some(Seen { strange, .. }) => {
                Some(format!("{secret} held {strange} times an Access Token with another grant than the one beside it"))
            }
        };
        secrets.into_iter().filter_map(complaint).collect()
    }
}
