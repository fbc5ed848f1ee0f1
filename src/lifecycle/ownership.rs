//! Whose a Secret is. The live Secret alone proves it.

use super::secret::{Owner, SecretMeta};
use crate::api::names::{API_VERSION, GROUP, KIND, annotation};

/// A request, as its Secrets name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The request's namespace, which is its Secrets' too.
    pub namespace: String,
    /// The request's name.
    pub name: String,
    /// The request's uid.
    pub uid: String,
}

/// Whose a Secret is, seen from one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This request's.
    Ours,
    /// An earlier request's of the same name, which lives no more: it is adopted with the next write.
    Predecessors,
    /// Another's: never touched.
    Foreign,
}

impl Identity {
    /// The value of the `owned-by` annotation.
    #[must_use]
    pub fn owned_by(&self) -> String {
        format!("{}/{}", self.name, self.uid)
    }

    /// Whose `secret` is.
    ///
    /// An annotation that names this request proves it, unless another object is the Secret's controller. One that names this request's
    /// name with another uid is a predecessor's: two requests of one name don't live at the same time.
    #[must_use]
    pub fn whose(&self, secret: &SecretMeta) -> Whose {
        let Some((name, uid)) = secret.annotations.get(annotation::OWNED_BY).and_then(|owned_by| owned_by.split_once('/')) else {
            return Whose::Foreign;
        };
        let foreign_controller = secret.controller().is_some_and(|controller| !is_request(controller) || *controller.name != *self.name);
        if name != self.name || foreign_controller {
            return Whose::Foreign;
        }
        if uid == self.uid { Whose::Ours } else { Whose::Predecessors }
    }

    /// Whether `secret`, under a name that the spec doesn't give, is one that this request has left behind, and so may delete.
    ///
    /// Others copy Secrets, annotations and all, and anybody may write the annotation. That the operator wrote it, the API server's record proves.
    /// Where others have taken the annotation off and put it back, the record is theirs: such a Secret stays until its owner goes.
    #[must_use]
    pub fn has_left_behind(&self, secret: &SecretMeta) -> bool {
        !secret.deleting && self.whose(secret) == Whose::Ours && secret.annotations.is_own(annotation::OWNED_BY)
    }

    /// The owner reference that makes this request the Secret's controller.
    ///
    /// It doesn't block the owner's deletion: nothing has to be done with the Secret before the request may go.
    #[must_use]
    pub fn as_owner(&self) -> Owner {
        Owner {
            api_version: API_VERSION.into(),
            kind: KIND.into(),
            name: self.name.as_str().into(),
            uid: self.uid.clone(),
            controller: true,
            block_owner_deletion: false,
        }
    }
}

/// Whether the owner is a request, of any version of the API.
pub(super) fn is_request(owner: &Owner) -> bool {
    owner.kind == KIND && owner.api_version.split_once('/').is_some_and(|(group, _)| group == GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Fields;

    fn identity() -> Identity {
        Identity { namespace: "web".into(), name: "keynote".into(), uid: "uid-2".into() }
    }

    fn secret(owned_by: Option<&str>, owner: Option<Owner>) -> SecretMeta {
        SecretMeta {
            annotations: Fields::new(owned_by.map(|value| (annotation::OWNED_BY.to_owned(), value.to_owned())), |_| false),
            owners: owner.into_iter().collect(),
            ..SecretMeta::default()
        }
    }

    #[test]
    fn the_annotation_proves_it() {
        assert_eq!(identity().whose(&secret(Some("keynote/uid-2"), Some(identity().as_owner()))), Whose::Ours);
        assert_eq!(identity().whose(&secret(Some("keynote/uid-2"), None)), Whose::Ours);
        assert_eq!(identity().whose(&secret(Some("keynote/uid-1"), None)), Whose::Predecessors);
    }

    #[test]
    fn an_owner_reference_alone_proves_nothing() {
        assert_eq!(identity().whose(&secret(None, Some(identity().as_owner()))), Whose::Foreign);
        assert_eq!(identity().whose(&secret(Some("other/uid-2"), Some(identity().as_owner()))), Whose::Foreign);
        assert_eq!(identity().whose(&secret(Some("keynote"), None)), Whose::Foreign);
    }

    #[test]
    fn only_what_the_operator_wrote_was_left_behind() {
        let put_there_by = |operator: bool, owned_by: &str| SecretMeta {
            annotations: Fields::new([(annotation::OWNED_BY.to_owned(), owned_by.to_owned())], |_| operator),
            ..secret(None, Some(identity().as_owner()))
        };
        let own = |owned_by: &str| put_there_by(true, owned_by);
        assert!(identity().has_left_behind(&own("keynote/uid-2")));
        assert!(!identity().has_left_behind(&own("keynote/uid-1")) && !identity().has_left_behind(&own("other/uid-2")));
        assert!(!identity().has_left_behind(&SecretMeta { deleting: true, ..own("keynote/uid-2") }), "it goes already");
        assert!(
            !identity().has_left_behind(&put_there_by(false, "keynote/uid-2")),
            "a copy that others made, or a Secret that they put our name on"
        );
    }

    #[test]
    fn another_controller_makes_it_foreign() {
        let others = [
            Owner { kind: "Deployment".into(), api_version: "apps/v1".into(), ..identity().as_owner() },
            Owner { api_version: "other.dev/v1".into(), ..identity().as_owner() },
            Owner { name: "other".into(), ..identity().as_owner() },
        ];
        for other in others {
            assert_eq!(identity().whose(&secret(Some("keynote/uid-2"), Some(other.clone()))), Whose::Foreign, "{other:?}");
            let mere_owner = Owner { controller: false, ..other };
            assert_eq!(identity().whose(&secret(Some("keynote/uid-2"), Some(mere_owner))), Whose::Ours);
        }
    }

    #[test]
    fn a_predecessor_as_controller_is_adopted() {
        let predecessor = Owner { uid: "uid-1".into(), ..identity().as_owner() };
        assert_eq!(identity().whose(&secret(Some("keynote/uid-1"), Some(predecessor))), Whose::Predecessors);
    }
}
