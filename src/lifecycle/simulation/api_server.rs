//! A made-up API server: optimistic locking, uids, records of who set what, changes for the watches.

use std::collections::{BTreeMap, BTreeSet};

use super::made_token::MadeToken;
use super::objects::{Answer, Call, Change, Data, Failure, StoredCredentials, StoredSecret, data_of, is_watched};
use crate::api::PlaybackGrantRequest;
use crate::api::names::key;
use crate::lifecycle::{Fields, SecretMeta, SecretOrder, SecretVersion};

#[derive(Debug, Default)]
pub(super) struct ApiServer {
    revision: u64,
    pub(super) requests: BTreeMap<String, PlaybackGrantRequest>,
    pub(super) secrets: BTreeMap<String, StoredSecret>,
    pub(super) credentials: BTreeMap<String, StoredCredentials>,
    /// What the watches have yet to tell.
    pub(super) changes: Vec<Change>,
}

impl ApiServer {
    fn next_revision(&mut self) -> String {
        self.revision += 1;
        self.revision.to_string()
    }

    fn new_version(&mut self) -> SecretVersion {
        let resource_version = self.next_revision();
        SecretVersion::new(&format!("uid-{resource_version}"), &resource_version)
    }

    pub(super) fn answer(&mut self, call: &Call) -> Result<Answer, Failure> {
        match call {
            Call::Look(name) => self.secrets.get(name).map(|secret| Answer::Meta(secret.meta.clone())).ok_or(Failure::NotFound),
            Call::Read(name) => self.secrets.get(name).cloned().map(Answer::Whole).ok_or(Failure::NotFound),
            Call::ReadCredentials(name) => self.credentials.get(name).cloned().map(Answer::Credentials).ok_or(Failure::NotFound),
            Call::Create { name, order, token, restore: _ } => self.create(name, order, token.as_ref()),
            Call::Patch { name, version, order, token, repair: _ } => self.patch(name, version, order, token.as_ref()),
            Call::Delete { name, version } => self.delete(name, version),
            Call::WriteStatus { name, uid, version, status } => {
                let request = self.requests.get(name).ok_or(Failure::NotFound)?;
                if request.metadata.uid.as_ref() != Some(uid) {
                    return Err(Failure::NotFound);
                }
                if version.is_some() && request.metadata.resource_version != *version {
                    return Err(Failure::Conflict);
                }
                // What is stored has been through JSON: what doesn't survive that comes back different.
                let stored = serde_json::from_value(serde_json::to_value(status).unwrap()).unwrap();
                self.change_request(name, |request| request.status = Some(stored));
                Ok(Answer::Request(self.requests[name].metadata.resource_version.clone().unwrap()))
            }
        }
    }

    fn create(&mut self, name: &str, order: &SecretOrder, token: Option<&MadeToken>) -> Result<Answer, Failure> {
        if self.secrets.contains_key(name) {
            return Err(Failure::Conflict);
        }
        let mut secret = self.empty(name);
        apply(&mut secret, order, token);
        Ok(self.store(secret))
    }

    fn patch(&mut self, name: &str, version: &SecretVersion, order: &SecretOrder, token: Option<&MadeToken>) -> Result<Answer, Failure> {
        let mut secret = self.secrets.get(name).cloned().ok_or(Failure::NotFound)?;
        if secret.meta.version != *version {
            return Err(Failure::Conflict);
        }
        if secret.immutable && order.contents.as_ref().is_some_and(|contents| data_of(&contents.grant, token) != secret.data) {
            return Err(Failure::Unchangeable);
        }
        apply(&mut secret, order, token);
        Ok(self.store(secret))
    }

    fn delete(&mut self, name: &str, version: &SecretVersion) -> Result<Answer, Failure> {
        match self.secrets.get(name) {
            None => Err(Failure::NotFound),
            Some(secret) if secret.meta.version != *version => Err(Failure::Conflict),
            Some(_) => {
                self.remove(name);
                Ok(Answer::Done)
            }
        }
    }

    /// A Secret with nothing in it, not stored yet.
    pub(super) fn empty(&mut self, name: &str) -> StoredSecret {
        let meta = SecretMeta { name: name.into(), version: self.new_version(), ..SecretMeta::default() };
        StoredSecret { meta, data: Data::default(), immutable: false }
    }

    /// Stores a Secret, in place of what is there. A change that changes nothing is none, as in the real one.
    pub(super) fn store(&mut self, mut secret: StoredSecret) -> Answer {
        let before = self.secrets.get(&*secret.meta.name);
        if before != Some(&secret) {
            let was_watched = before.is_some_and(|before| is_watched(&before.meta));
            secret.meta.version = secret.meta.version.at(&self.next_revision());
            if is_watched(&secret.meta) {
                self.changes.push(Change::Secret(secret.meta.clone()));
            } else if was_watched {
                self.changes.push(Change::SecretGone(secret.meta.clone()));
            }
            self.secrets.insert(secret.meta.name.to_string(), secret.clone());
        }
        Answer::Meta(secret.meta)
    }

    pub(super) fn remove(&mut self, name: &str) {
        let Some(mut secret) = self.secrets.remove(name) else { return };
        secret.meta.version = secret.meta.version.at(&self.next_revision());
        if is_watched(&secret.meta) {
            self.changes.push(Change::SecretGone(secret.meta));
        }
    }

    /// Stores credentials: one of the pairs, or what can't be used.
    pub(super) fn set_credentials(&mut self, name: &str, pair: Option<usize>) {
        let version = match self.credentials.get(name).map(|there| there.version.clone()) {
            Some(before) => before.at(&self.next_revision()),
            None => self.new_version(),
        };
        self.credentials.insert(name.to_owned(), StoredCredentials { version: version.clone(), pair });
        self.changes.push(Change::Credentials(name.to_owned(), Some(version)));
    }

    pub(super) fn remove_credentials(&mut self, name: &str) {
        self.credentials.remove(name);
        self.changes.push(Change::Credentials(name.to_owned(), None));
    }

    pub(super) fn add_request(&mut self, mut request: PlaybackGrantRequest) {
        let version = self.new_version();
        request.metadata.uid = Some(version.uid().to_owned());
        request.metadata.generation = Some(1);
        request.metadata.resource_version = Some(version.resource_version().to_owned());
        let name = request.metadata.name.clone().unwrap();
        self.changes.push(Change::Request(Box::new(request.clone())));
        self.requests.insert(name, request);
    }

    pub(super) fn change_request(&mut self, name: &str, change: impl FnOnce(&mut PlaybackGrantRequest)) {
        let revision = self.next_revision();
        let Some(request) = self.requests.get_mut(name) else { return };
        let before = request.clone();
        change(request);
        if request.spec != before.spec {
            request.metadata.generation = before.metadata.generation.map(|generation| generation + 1);
        }
        let same = request.spec == before.spec && request.status == before.status && request.metadata == before.metadata;
        if !same {
            request.metadata.resource_version = Some(revision);
            self.changes.push(Change::Request(Box::new(request.clone())));
        }
    }

    pub(super) fn remove_request(&mut self, name: &str) {
        if let Some(request) = self.requests.remove(name) {
            let uid = request.metadata.uid.unwrap();
            self.changes.push(Change::RequestGone { name: name.to_owned(), uid });
        }
    }

    /// The garbage collector's turn: what all owners have left goes.
    pub(super) fn collect(&mut self) {
        let alive: BTreeSet<String> = self.requests.values().filter_map(|request| request.metadata.uid.clone()).collect();
        let is_orphan =
            |secret: &StoredSecret| !secret.meta.owners.is_empty() && !secret.meta.owners.iter().any(|owner| alive.contains(&owner.uid));
        let orphans: Vec<String> = self.secrets.iter().filter(|(_, secret)| is_orphan(secret)).map(|(name, _)| name.clone()).collect();
        for name in orphans {
            self.remove(&name);
        }
    }
}

/// A merge patch, or what a new Secret is made of.
pub(super) fn apply(secret: &mut StoredSecret, order: &SecretOrder, token: Option<&MadeToken>) {
    let StoredSecret { meta, data, .. } = secret;
    apply_to(&mut meta.labels, &order.labels);
    apply_to(&mut meta.annotations, &order.annotations);
    if let Some(owners) = &order.owners {
        meta.owners.clone_from(owners);
    }
    if let Some(contents) = &order.contents {
        *data = data_of(&contents.grant, token);
        meta.foreign_data.clear();
    } else if order.drops_token {
        for name in [key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME] {
            data.remove(name);
            meta.foreign_data.remove(name);
        }
    }
}

fn apply_to(there: &mut Fields, wanted: &BTreeMap<String, Option<String>>) {
    for (key, value) in wanted {
        match value {
            Some(value) => there.set(key, value, true),
            None => there.remove(key),
        }
    }
}
