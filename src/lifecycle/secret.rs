//! What is known of a Secret without its data.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::fields::Fields;
use crate::api::names::{MANAGED_BY, MANAGED_BY_LABEL, annotation};

/// A Secret as last seen, in the watch or in the answer to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretView {
    /// The watch shows none, which proves nothing: one without the operator's label isn't in it.
    NotLooked,
    /// It was looked for and isn't there.
    Absent,
    /// It is there.
    Present(SecretMeta),
    /// It was there, and an own write has met another version: it has to be looked at before it is touched.
    Outdated(SecretMeta),
}

/// A Secret's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretMeta {
    /// The name.
    pub name: Arc<str>,
    /// Which Secret of that name, and which version of it.
    pub version: SecretVersion,
    /// Whether it is being deleted, and stays until others take their finalizers off.
    pub deleting: bool,
    /// All labels.
    pub labels: Fields,
    /// All annotations.
    pub annotations: Fields,
    /// All owners.
    pub owners: Vec<Owner>,
    /// The keys of data that others were the last to set, by the API server's own record.
    pub foreign_data: BTreeSet<String>,
}

/// One version of one Secret. Whatever remembers it shares its text: the uid, which has no space in it, a space, and the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVersion(Arc<str>);

/// An owner reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The owner's group and version.
    pub api_version: Cow<'static, str>,
    /// The owner's kind.
    pub kind: Cow<'static, str>,
    /// The owner's name.
    pub name: Arc<str>,
    /// The owner's uid.
    pub uid: String,
    /// Whether it is the one controller among the owners.
    pub controller: bool,
    /// Whether the owner's foreground deletion waits for the Secret.
    pub block_owner_deletion: bool,
}

/// What a Secret's annotations say of the grant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When the grant was asked for, by the wall clock of that time.
    pub issue_time: Timestamp,
    /// When it expires.
    pub expiry_time: Timestamp,
    /// The hash over what decided it.
    pub request_hash: Arc<str>,
}

/// That of a Secret of which neither is known.
impl Default for SecretVersion {
    fn default() -> Self {
        Self::new("", "")
    }
}

impl SecretVersion {
    /// The Secret of that uid, at that version.
    #[must_use]
    pub fn new(uid: &str, resource_version: &str) -> Self {
        Self([uid, resource_version].join(" ").into())
    }

    /// The same Secret at another version.
    #[must_use]
    pub fn at(&self, resource_version: &str) -> Self {
        Self::new(self.uid(), resource_version)
    }

    /// The Secret's uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.0.split_once(' ').map_or("", |(uid, _)| uid)
    }

    /// The version.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        self.0.split_once(' ').map_or("", |(_, version)| version)
    }
}

impl SecretMeta {
    /// Whatever in it is called like that takes no text of its own for it.
    #[must_use]
    pub fn sharing(mut self, name: &Arc<str>) -> Self {
        let names = self.owners.iter_mut().map(|owner| &mut owner.name).chain([&mut self.name]);
        for same in names.filter(|own| *own == name) {
            *same = name.clone();
        }
        self
    }

    /// What the annotations say of the grant, if they say all of it.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let text = |name| self.annotations.get(name);
        Some(Claim {
            issue_time: text(annotation::ISSUE_TIME)?.parse().ok()?,
            expiry_time: text(annotation::EXPIRY_TIME)?.parse().ok()?,
            request_hash: text(annotation::REQUEST_HASH)?.into(),
        })
    }

    /// Whether the watch, which goes by the label, tells of it.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.labels.get(MANAGED_BY_LABEL) == Some(MANAGED_BY)
    }

    /// The owner that is the controller, if there is one.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_of_one_secret_and_a_uid_has_no_space_in_it() {
        let version = SecretVersion::new("u1", "7 of 9");
        assert_eq!((version.uid(), version.resource_version()), ("u1", "7 of 9"));
        let later = version.at("8");
        assert_eq!((later.uid(), later.resource_version()), ("u1", "8"));
        assert!(later != version && later != SecretVersion::new("u2", "8") && later == SecretVersion::new("u1", "8"));
        let unknown = SecretVersion::default();
        assert_eq!((unknown.uid(), unknown.resource_version()), ("", ""));
    }

    #[test]
    fn of_one_name_there_is_one_text() {
        let owner = |name: &str| Owner { name: name.into(), ..Owner::default() };
        let name: Arc<str> = "lobby".into();
        let meta = SecretMeta { name: "lobby".into(), owners: vec![owner("lobby"), owner("foyer")], ..SecretMeta::default() };
        let shared = meta.clone().sharing(&name);
        assert_eq!(shared, meta);
        assert!(Arc::ptr_eq(&shared.name, &name) && Arc::ptr_eq(&shared.owners[0].name, &name));
        assert_eq!(Arc::strong_count(&name), 3);
        assert_eq!(meta.clone().sharing(&"foyer".into()).name, meta.name);
    }
}
