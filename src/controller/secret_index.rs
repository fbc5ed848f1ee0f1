//! The freshest that is known of each grant Secret: from the watch, or from the answer to one's own write, whichever is newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::registry::ObjectName;
use crate::api::names::annotation;
use crate::lifecycle::{Identity, SecretMeta, SecretVersion, SecretView};

/// The freshest that is known of each grant Secret.
#[derive(Default)]
pub struct SecretIndex {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Shared with whoever looks at it just now: it is looked at far more often than it changes.
    secrets: BTreeMap<ObjectName, Arc<SecretView>>,
    /// The Secrets that name a request as their owner, by the request's name: but for the one that is called like it, as most are.
    by_owner: BTreeMap<ObjectName, BTreeSet<Arc<str>>>,
    /// The versions at which Secrets were last seen to go. An answer that comes late brings none of them back.
    gone: BTreeMap<ObjectName, Arc<str>>,
}

impl SecretIndex {
    /// What is known of a Secret.
    #[must_use]
    pub fn view(&self, name: &ObjectName) -> Arc<SecretView> {
        self.state().secrets.get(name).cloned().unwrap_or_else(|| Arc::new(SecretView::NotLooked))
    }

    /// Other Secrets than `target` that the request has left behind.
    #[must_use]
    pub fn strays(&self, identity: &Identity, request: &ObjectName, target: &str) -> Vec<SecretMeta> {
        let state = self.state();
        let owned = state.by_owner.get(request).into_iter().flatten().chain([&request.name]).filter(|name| ***name != *target);
        let strays = owned.filter_map(|name| match state.view(&ObjectName::new(request.namespace.clone(), name.clone())) {
            Some(SecretView::Present(meta)) if identity.has_left_behind(meta) => Some(meta.clone()),
            _ => None,
        });
        strays.collect()
    }

    /// Takes in what a GET has shown. Where it was known that the Secret isn't what it was, that is what it is now, even if its version is an
    /// earlier one: etcd was restored from a backup.
    pub fn looked(&self, namespace: &str, meta: SecretMeta) {
        let name = ObjectName::new(namespace, meta.name.clone());
        {
            let mut state = self.state();
            if let Some(SecretView::Outdated(_)) = state.view(&name) {
                state.remove(&name);
                state.gone.remove(&name);
            }
        }
        self.present(namespace, meta);
    }

    /// Takes in what the watch shows, or an answer. Returns whether it was news.
    pub fn present(&self, namespace: &str, meta: SecretMeta) -> bool {
        let name = ObjectName::new(namespace, meta.name.clone());
        let mut state = self.state();
        let version = meta.version.resource_version();
        let is_news = match state.view(&name) {
            Some(SecretView::Present(known)) => is_newer(version, known.version.resource_version()),
            Some(SecretView::Outdated(known)) => !is_newer(known.version.resource_version(), version),
            // One that has only lost its label is there at the very version at which it went.
            _ => state.gone.get(&name).is_none_or(|gone| !is_newer(gone, version)),
        };
        if is_news {
            state.gone.remove(&name);
            state.set(name, SecretView::Present(meta));
        }
        is_news
    }

    /// Takes in that the watch shows a Secret no more. It is deleted, or it lost its label. Returns whether that is how it stands: whoever has found out before,
    /// or deleted it, has told no other.
    pub fn vanished(&self, namespace: &str, meta: &SecretMeta) -> bool {
        let name = ObjectName::new(namespace, meta.name.clone());
        let mut state = self.state();
        let version = meta.version.resource_version();
        let known = match state.view(&name) {
            Some(SecretView::Present(known) | SecretView::Outdated(known)) => Some(known),
            _ => None,
        };
        let is_news =
            known.is_some_and(|known| known.version.uid() == meta.version.uid() && !is_newer(known.version.resource_version(), version));
        let is_gone = is_news || known.is_none();
        if is_news {
            state.remove(&name);
        }
        if is_gone {
            state.gone.insert(name, version.into());
        }
        is_gone
    }

    /// A GET has just shown that the Secret isn't there.
    pub fn absent(&self, name: ObjectName) {
        self.state().set(name, SecretView::Absent);
    }

    /// The Secret isn't what it was at `version` any more: it has changed, or is another. What is known of it that is newer stands.
    /// `None`: nothing was known to be there.
    pub fn outdated(&self, name: &ObjectName, version: Option<&SecretVersion>) {
        if let Some(view) = self.state().secrets.get_mut(name) {
            let outdated = match &**view {
                SecretView::Present(meta) if version == Some(&meta.version) => SecretView::Outdated(meta.clone()),
                SecretView::Present(_) | SecretView::Outdated(_) => return,
                SecretView::Absent | SecretView::NotLooked => SecretView::NotLooked,
            };
            *view = Arc::new(outdated);
        }
    }

    /// Nobody asks for the Secret any more: it is forgotten, unless the watch tells when it goes.
    pub fn abandon(&self, name: &ObjectName) {
        let mut state = self.state();
        let is_watched = matches!(state.view(name), Some(SecretView::Present(meta)) if meta.is_watched());
        if !is_watched {
            state.remove(name);
            state.gone.remove(name);
        }
    }

    /// After a relist, which reports no deletions: forgets what isn't in it. Returns the names.
    #[must_use]
    pub fn sweep(&self, namespace: Option<&str>, listed: &BTreeSet<ObjectName>) -> Vec<ObjectName> {
        let mut state = self.state();
        let in_scope = |name: &ObjectName| namespace.is_none_or(|namespace| &*name.namespace == namespace);
        let gone: Vec<ObjectName> = state.secrets.keys().filter(|name| in_scope(name) && !listed.contains(*name)).cloned().collect();
        for name in &gone {
            state.remove(name);
        }
        state.gone.retain(|name, _| !in_scope(name));
        gone
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn view(&self, name: &ObjectName) -> Option<&SecretView> {
        self.secrets.get(name).map(|view| &**view)
    }

    /// In place of what was known before, which each refresh changes: where nobody looks at that, in its very room.
    fn set(&mut self, name: ObjectName, view: SecretView) {
        let owner = view.owner_apart().map(|owner| ObjectName::new(name.namespace.clone(), owner));
        self.disown(&name, owner.as_ref());
        if let Some(owner) = owner {
            self.by_owner.entry(owner).or_default().insert(name.name.clone());
        }
        let known = self.secrets.get_key_value(&name).map_or(&name, |(known, _)| known);
        let view = view.sharing(&known.name);
        match self.secrets.get_mut(&name) {
            Some(known) => match Arc::get_mut(known) {
                Some(known) => *known = view,
                None => *known = Arc::new(view),
            },
            None => drop(self.secrets.insert(name, Arc::new(view))),
        }
    }

    fn remove(&mut self, name: &ObjectName) {
        self.disown(name, None);
        self.secrets.remove(name);
    }

    /// Takes the Secret from whom it is known to belong to, unless that is still whose it is.
    fn disown(&mut self, name: &ObjectName, still: Option<&ObjectName>) {
        let owner = self.view(name).and_then(SecretView::owner_apart).map(|owner| ObjectName::new(name.namespace.clone(), owner));
        let Some(owner) = owner.filter(|owner| Some(owner) != still) else { return };
        if let Some(owned) = self.by_owner.get_mut(&owner) {
            owned.remove(&name.name);
            if owned.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
    }
}

/// The name of the request that the Secret says it belongs to.
pub(super) fn owner(meta: &SecretMeta) -> Option<&str> {
    meta.annotations.get(annotation::OWNED_BY)?.split_once('/').map(|(owner, _)| owner)
}

impl SecretView {
    fn sharing(self, name: &Arc<str>) -> Self {
        match self {
            Self::Present(meta) => Self::Present(meta.sharing(name)),
            Self::Outdated(meta) => Self::Outdated(meta.sharing(name)),
            nothing => nothing,
        }
    }

    /// The name of the request that the Secret says it belongs to, unless it is called like it.
    fn owner_apart(&self) -> Option<&str> {
        let (Self::Present(meta) | Self::Outdated(meta)) = self else { return None };
        owner(meta).filter(|owner| **owner != *meta.name)
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
    use crate::api::names::{MANAGED_BY, MANAGED_BY_LABEL};
    use crate::lifecycle::{Fields, SecretVersion};

    fn meta(uid: &str, resource_version: &str) -> SecretMeta {
        let version = SecretVersion::new(uid, resource_version);
        SecretMeta { name: "keynote".into(), version, ..SecretMeta::default() }
    }

    fn name() -> ObjectName {
        ObjectName::new("web", "keynote")
    }

    #[test]
    fn what_a_look_has_not_found_is_absent() {
        let index = SecretIndex::default();
        index.absent(name());
        assert_eq!(*index.view(&name()), SecretView::Absent);
        assert!(index.present("web", meta("a", "1")));
    }

    #[test]
    fn a_secret_of_which_there_is_news_has_the_name_that_it_is_known_by() {
        let index = SecretIndex::default();
        let first = meta("a", "1");
        let known = first.name.clone();
        assert!(index.present("web", first) && index.present("web", meta("a", "2")));
        let view = index.view(&name());
        let SecretView::Present(meta) = &*view else { panic!("{view:?}") };
        assert!(meta.version.resource_version() == "2" && Arc::ptr_eq(&meta.name, &known));
    }

    #[test]
    fn versions_are_numbers_and_others_are_news_when_they_differ() {
        assert!(is_newer("10", "9") && !is_newer("9", "10") && !is_newer("9", "9"));
        assert!(is_newer("a", "b") && is_newer("b", "a") && !is_newer("a", "a") && is_newer("a", "1"));
    }

    #[test]
    fn an_older_event_is_no_news() {
        let index = SecretIndex::default();
        assert!(index.present("web", meta("a", "10")));
        assert!(!index.present("web", meta("a", "9")));
        assert!(!index.present("web", meta("a", "10")), "our own write, back through the watch");
        assert_eq!(*index.view(&name()), SecretView::Present(meta("a", "10")));
    }

    #[test]
    fn a_deletion_of_what_was_made_again_is_no_news() {
        let index = SecretIndex::default();
        index.present("web", meta("b", "12"));
        assert!(!index.vanished("web", &meta("a", "11")));
        assert!(!index.vanished("web", &meta("b", "11")), "a label that was put back since");
        assert!(index.vanished("web", &meta("b", "13")));
        assert_eq!(*index.view(&name()), SecretView::NotLooked);
    }

    #[test]
    fn a_deletion_that_one_has_found_out_before_is_news_to_the_others() {
        let index = SecretIndex::default();
        index.present("web", meta("a", "10"));
        index.absent(name());
        assert!(index.vanished("web", &meta("a", "11")));
        assert_eq!(*index.view(&name()), SecretView::Absent, "and needs no look");
    }

    #[test]
    fn an_answer_that_comes_after_the_deletion_brings_nothing_back() {
        for seen in [true, false] {
            let index = SecretIndex::default();
            if seen {
                index.present("web", meta("a", "10"));
            }
            assert!(index.vanished("web", &meta("a", "11")));
            assert!(!index.present("web", meta("a", "10")), "our own write, answered late");
            assert_eq!(*index.view(&name()), SecretView::NotLooked);
            assert!(index.present("web", meta("a", "11")), "a look has shown that it has only lost its label");
            assert!(index.present("web", meta("b", "12")), "made again");
        }
    }

    #[test]
    fn a_relist_ends_what_was_remembered_of_the_gone_where_it_listed() {
        let index = SecretIndex::default();
        for namespace in ["web", "other"] {
            index.vanished(namespace, &meta("a", "11"));
        }
        drop(index.sweep(Some("web"), &BTreeSet::new()));
        assert!(index.present("web", meta("a", "10")), "what comes after a list is as new as the list");
        assert!(!index.present("other", meta("a", "10")));
    }

    #[test]
    fn what_a_look_shows_of_one_that_is_outdated_stands_though_it_is_older() {
        let index = SecretIndex::default();
        index.looked("web", meta("a", "10"));
        index.looked("web", meta("a", "9"));
        assert_eq!(*index.view(&name()), SecretView::Present(meta("a", "10")), "a look that was overtaken");
        index.outdated(&name(), Some(&meta("a", "10").version));
        index.looked("web", meta("a", "5"));
        assert_eq!(*index.view(&name()), SecretView::Present(meta("a", "5")), "etcd was restored");
    }

    #[test]
    fn what_is_outdated_is_known_until_it_is_looked_at() {
        let index = SecretIndex::default();
        index.present("web", meta("a", "10"));
        index.outdated(&name(), Some(&meta("a", "10").version));
        assert_eq!(*index.view(&name()), SecretView::Outdated(meta("a", "10")));
        assert!(!index.present("web", meta("a", "9")));
        assert!(index.present("web", meta("a", "10")), "a look has shown that it is as it was");
        index.outdated(&name(), Some(&meta("a", "10").version));
        assert!(index.vanished("web", &meta("a", "11")));
        index.present("web", meta("a", "12"));
        index.outdated(&name(), Some(&meta("a", "10").version));
        assert_eq!(*index.view(&name()), SecretView::Present(meta("a", "12")), "what the watch has shown meanwhile is newer");
        index.absent(name());
        index.outdated(&name(), None);
        assert_eq!(*index.view(&name()), SecretView::NotLooked);
    }

    #[test]
    fn strays_are_what_a_request_owns_elsewhere() {
        let identity = Identity { namespace: "web".into(), name: "keynote".into(), uid: "uid-1".into() };
        let owned = |name: &str, resource_version: &str, owned_by: &str| {
            let annotations = Fields::new([(annotation::OWNED_BY.to_owned(), owned_by.to_owned())], |_| true);
            SecretMeta { name: name.into(), annotations, ..meta(name, resource_version) }
        };
        let index = SecretIndex::default();
        for (name, owned_by) in
            [("keynote", "keynote/uid-1"), ("old", "keynote/uid-1"), ("dead", "keynote/uid-0"), ("other", "lobby/uid-1")]
        {
            index.present("web", owned(name, "1", owned_by));
        }
        index.present("elsewhere", owned("old", "1", "keynote/uid-1"));
        let names = |index: &SecretIndex| {
            index.strays(&identity, &name(), "keynote").into_iter().map(|meta| meta.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&index), ["old"]);
        index.present("web", owned("old", "2", "lobby/uid-1"));
        assert_eq!(names(&index), Vec::<String>::new(), "it has changed hands");
        index.present("web", owned("old", "3", "keynote/uid-1"));
        assert!(index.vanished("web", &SecretMeta { name: "old".into(), ..meta("old", "4") }));
        assert_eq!(names(&index), Vec::<String>::new());
        assert_eq!(index.state().by_owner.len(), 3, "owners of what is gone are forgotten");
    }

    #[test]
    fn what_nobody_asks_for_is_kept_only_while_the_watch_shows_it() {
        let index = SecretIndex::default();
        index.absent(name());
        index.abandon(&name());
        assert_eq!(*index.view(&name()), SecretView::NotLooked);
        index.present("web", meta("foreign", "1"));
        index.abandon(&name());
        assert_eq!(*index.view(&name()), SecretView::NotLooked);
        let labels = Fields::new([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())], |_| true);
        let watched = SecretMeta { labels, ..meta("ours", "2") };
        index.present("web", watched.clone());
        index.abandon(&name());
        assert_eq!(*index.view(&name()), SecretView::Present(watched));
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
