//! What the operator knows of Secrets and credentials: as `controller::secret_index` and `controller::credentials` do it.

use std::collections::BTreeMap;

use super::media_api;
use super::objects::StoredCredentials;
use crate::lifecycle::{CredentialsView, Identity, SecretMeta, SecretVersion, SecretView};

#[derive(Debug, Default)]
pub(super) struct Index {
    secrets: BTreeMap<String, SecretView>,
    gone: BTreeMap<String, SecretVersion>,
}

impl Index {
    pub(super) fn view(&self, name: &str) -> SecretView {
        self.secrets.get(name).cloned().unwrap_or(SecretView::NotLooked)
    }

    pub(super) fn strays(&self, identity: &Identity, target: &str) -> Vec<SecretMeta> {
        let present = self.secrets.values().filter_map(|view| match view {
            SecretView::Present(meta) => Some(meta),
            _ => None,
        });
        present.filter(|meta| *meta.name != *target && identity.has_left_behind(meta)).cloned().collect()
    }

    pub(super) fn present(&mut self, meta: SecretMeta) -> bool {
        let is_news = match self.secrets.get(&*meta.name) {
            Some(SecretView::Present(known)) => is_newer(&meta.version, &known.version),
            Some(SecretView::Outdated(known)) => !is_newer(&known.version, &meta.version),
            _ => self.gone.get(&*meta.name).is_none_or(|gone| !is_newer(gone, &meta.version)),
        };
        if is_news {
            self.gone.remove(&*meta.name);
            self.secrets.insert(meta.name.to_string(), SecretView::Present(meta));
        }
        is_news
    }

    pub(super) fn vanished(&mut self, meta: &SecretMeta) -> bool {
        let (knew, is_news) = match self.secrets.get(&*meta.name) {
            Some(SecretView::Present(known) | SecretView::Outdated(known)) => {
                (true, known.version.uid() == meta.version.uid() && !is_newer(&known.version, &meta.version))
            }
            _ => (false, false),
        };
        if is_news {
            self.secrets.remove(&*meta.name);
        }
        let is_gone = is_news || !knew;
        if is_gone {
            self.gone.insert(meta.name.to_string(), meta.version.clone());
        }
        is_gone
    }

    pub(super) fn absent(&mut self, name: &str) {
        self.secrets.insert(name.to_owned(), SecretView::Absent);
    }

    pub(super) fn outdated(&mut self, name: &str, version: Option<&SecretVersion>) {
        let view = match self.secrets.remove(name) {
            Some(SecretView::Present(meta)) if version != Some(&meta.version) => SecretView::Present(meta),
            Some(SecretView::Present(meta) | SecretView::Outdated(meta)) => SecretView::Outdated(meta),
            _ => return,
        };
        self.secrets.insert(name.to_owned(), view);
    }
}

fn is_newer(version: &SecretVersion, known: &SecretVersion) -> bool {
    let number = |version: &SecretVersion| version.resource_version().parse::<u64>().unwrap();
    number(version) > number(known)
}

#[derive(Clone, Debug)]
enum Known {
    Absent,
    Read(StoredCredentials),
}

#[derive(Debug, Default)]
pub(super) struct CredentialsIndex {
    known: BTreeMap<String, Known>,
    watched: BTreeMap<String, SecretVersion>,
}

impl CredentialsIndex {
    pub(super) fn view(&self, name: &str) -> CredentialsView {
        match self.known.get(name) {
            None => CredentialsView::NotRead,
            Some(Known::Absent) => CredentialsView::NotFound,
            Some(Known::Read(StoredCredentials { pair: Some(pair), .. })) => media_api::usable(*pair),
            Some(Known::Read(_)) => CredentialsView::Invalid("the key apiKeySecret is missing".to_owned()),
        }
    }

    pub(super) fn pair(&self, name: &str) -> Option<usize> {
        match self.known.get(name) {
            Some(Known::Read(read)) => read.pair,
            _ => None,
        }
    }

    /// `None`: a GET has shown that there are none.
    pub(super) fn read(&mut self, name: &str, read: Option<StoredCredentials>) {
        let watched = self.watched.get(name);
        let is_outdated = match (&read, watched) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(read), Some(there)) => is_newer(there, &read.version),
        };
        if !is_outdated {
            self.known.insert(name.to_owned(), read.map_or(Known::Absent, Known::Read));
        }
    }

    pub(super) fn seen(&mut self, name: &str, version: Option<SecretVersion>) -> bool {
        let is_news = match (self.known.get(name), &version) {
            (None, _) | (Some(Known::Absent), None) => false,
            (Some(Known::Absent), Some(_)) | (Some(Known::Read(_)), None) => true,
            (Some(Known::Read(read)), Some(there)) => read.version.uid() != there.uid() || is_newer(there, &read.version),
        };
        if let Some(version) = version {
            self.watched.insert(name.to_owned(), version);
            if is_news {
                self.known.remove(name);
            }
        } else {
            self.watched.remove(name);
            if is_news {
                self.known.insert(name.to_owned(), Known::Absent);
            }
        }
        is_news
    }
}
