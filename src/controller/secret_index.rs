//! The freshest that is known of each grant Secret: from the watch, or from the answer to one's own write, whichever is newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::registry::ObjectName;
use crate::lifecycle::{Identity, SecretMeta, SecretView, Whose};

/// The freshest that is known of each grant Secret.
#[derive(Default)]
pub struct SecretIndex {
    secrets: Mutex<BTreeMap<ObjectName, SecretView>>,
}

impl SecretIndex {
    /// What is known of a Secret.
    #[must_use]
    pub fn view(&self, name: &ObjectName) -> SecretView {
        self.secrets().get(name).cloned().unwrap_or(SecretView::NotLooked)
    }

    /// Other Secrets than `target` that prove themselves the request's.
    #[must_use]
    pub fn strays(&self, identity: &Identity, target: &str) -> Vec<SecretMeta> {
        let secrets = self.secrets();
        let from = ObjectName::new(&identity.namespace, "");
        let there = secrets.range(from..).take_while(|(name, _)| name.namespace == identity.namespace);
        let strays = there.filter_map(|(name, view)| match view {
            SecretView::Present(meta) if name.name != target && identity.whose(meta) == Whose::Ours => Some(meta.clone()),
            _ => None,
        });
        strays.collect()
    }

    /// Takes in what the watch shows, or an answer. Returns whether it was news.
    pub fn present(&self, namespace: &str, meta: SecretMeta) -> bool {
        let name = ObjectName::new(namespace, &meta.name);
        let mut secrets = self.secrets();
        let is_news = match secrets.get(&name) {
            Some(SecretView::Present(known)) => is_newer(&meta.version.resource_version, &known.version.resource_version),
            _ => true,
        };
        if is_news {
            secrets.insert(name, SecretView::Present(meta));
        }
        is_news
    }

    /// Takes in that the watch shows a Secret no more. It is deleted, or it lost its label. Returns whether it was news.
    pub fn vanished(&self, namespace: &str, meta: &SecretMeta) -> bool {
        let name = ObjectName::new(namespace, &meta.name);
        let mut secrets = self.secrets();
        let is_news = match secrets.get(&name) {
            Some(SecretView::Present(known)) => {
                known.version.uid == meta.version.uid && !is_newer(&known.version.resource_version, &meta.version.resource_version)
            }
            _ => false,
        };
        if is_news {
            secrets.remove(&name);
        }
        is_news
    }

    /// A GET has just shown that the Secret isn't there.
    pub fn absent(&self, name: ObjectName) {
        self.secrets().insert(name, SecretView::Absent);
    }

    /// What is known of the Secret isn't so any more.
    pub fn forget(&self, name: &ObjectName) {
        self.secrets().remove(name);
    }

    /// After a relist, which reports no deletions: forgets what isn't in it. Returns the names.
    #[must_use]
    pub fn sweep(&self, namespace: Option<&str>, listed: &BTreeSet<ObjectName>) -> Vec<ObjectName> {
        let mut secrets = self.secrets();
        let in_scope = |name: &ObjectName| namespace.is_none_or(|namespace| name.namespace == namespace);
        let gone: Vec<ObjectName> = secrets.keys().filter(|name| in_scope(name) && !listed.contains(*name)).cloned().collect();
        for name in &gone {
            secrets.remove(name);
        }
        gone
    }

    fn secrets(&self) -> MutexGuard<'_, BTreeMap<ObjectName, SecretView>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one resource version is newer than another. Kubernetes made them comparable in 1.35, and those of etcd always were; what can't be
/// compared is taken as news when it differs.
#[must_use]
pub fn is_newer(version: &str, known: &str) -> bool {
    match (version.parse::<u128>(), known.parse::<u128>()) {
        (Ok(version), Ok(known)) => version > known,
        _ => version != known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::SecretVersion;

    fn meta(uid: &str, resource_version: &str) -> SecretMeta {
        let version = SecretVersion { uid: uid.into(), resource_version: resource_version.into() };
        SecretMeta { name: "keynote".into(), version, ..SecretMeta::default() }
    }

    fn name() -> ObjectName {
        ObjectName::new("web", "keynote")
    }

    #[test]
    fn an_older_event_is_no_news() {
        let index = SecretIndex::default();
        assert!(index.present("web", meta("a", "10")));
        assert!(!index.present("web", meta("a", "9")));
        assert!(!index.present("web", meta("a", "10")), "our own write, back through the watch");
        assert_eq!(index.view(&name()), SecretView::Present(meta("a", "10")));
    }

    #[test]
    fn a_deletion_of_what_was_made_again_is_no_news() {
        let index = SecretIndex::default();
        index.present("web", meta("b", "12"));
        assert!(!index.vanished("web", &meta("a", "11")));
        assert!(!index.vanished("web", &meta("b", "11")), "a label that was put back since");
        assert!(index.vanished("web", &meta("b", "13")));
        assert_eq!(index.view(&name()), SecretView::NotLooked);
    }

    #[test]
    fn a_relist_reports_what_is_gone() {
        let index = SecretIndex::default();
        index.present("web", meta("a", "1"));
        index.present("other", meta("b", "2"));
        assert_eq!(index.sweep(Some("web"), &BTreeSet::new()), [name()]);
        assert_eq!(index.sweep(None, &BTreeSet::from([ObjectName::new("other", "keynote")])), []);
        assert_eq!(index.sweep(None, &BTreeSet::new()), [ObjectName::new("other", "keynote")]);
    }
}
