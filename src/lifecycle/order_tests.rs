use super::super::testing::{bare, claimed, hand, identity, spec, token_order};
use super::*;

fn changes(map: &BTreeMap<String, Option<String>>, there: &Fields) -> Vec<(String, Option<String>)> {
    map.iter().filter(|(key, value)| there.get(key) != value.as_deref()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[test]
fn a_new_secret_says_whose_it_is_and_what_it_holds() {
    let order = SecretOrder::new(&identity(), &spec(), None, Some(bare(hand(1000))));
    assert_eq!(order.labels["app.kubernetes.io/managed-by"].as_deref(), Some("playback-grant-operator"));
    assert_eq!(order.labels["tier"].as_deref(), Some("gold"));
    for (name, value) in [
        ("note", "n"),
        ("playbackgrant.dev/owned-by", "keynote/uid-2"),
        ("playbackgrant.dev/issue-time", "2026-11-24T12:00:00.000Z"),
        ("playbackgrant.dev/expiry-time", "2026-11-24T12:00:15.000Z"),
        ("playbackgrant.dev/request-hash", &*hand(1000).request_hash),
    ] {
        assert_eq!(order.annotations[name].as_deref(), Some(value), "{name}");
    }
    assert_eq!(order.owners, Some(vec![identity().as_owner()]));
}

#[test]
fn others_keys_where_a_token_would_be_stay_until_one_is_asked_for() {
    let mut present = claimed("keynote", 1000);
    let spared = |present: &SecretMeta, contents| SecretOrder::new(&identity(), &spec(), Some(present), Some(contents)).spared;
    assert_eq!(spared(&present, bare(hand(1001))), [""; 0], "the operator's own goes");
    present.foreign_data = ["accessToken", "accessTokenExpiryTime", "grant"].map(str::to_owned).into();
    assert_eq!(spared(&present, bare(hand(1001))), ["accessToken", "accessTokenExpiryTime"]);
    assert_eq!(spared(&present, Contents { token: Some(token_order()), ..bare(hand(1001)) }), [""; 0], "it is put in their place");
    present.annotations.set(annotation::TOKEN_HASH, "hash", false);
    assert_eq!(spared(&present, bare(hand(1001))), [""; 0], "the operator's own that others have spoilt goes");
}

#[test]
fn what_is_as_it_should_be_is_fulfilled() {
    let present = claimed("keynote", 1000);
    assert!(SecretOrder::new(&identity(), &spec(), Some(&present), None).is_fulfilled_by(&present));
    assert!(!SecretOrder::new(&identity(), &spec(), Some(&present), Some(bare(hand(1001)))).is_fulfilled_by(&present));
}

#[test]
fn an_order_is_fulfilled_once_its_owners_are_there() {
    let mut present = claimed("keynote", 1000);
    present.owners.clear();
    let order = SecretOrder::new(&identity(), &spec(), Some(&present), None);
    assert!(!order.is_fulfilled_by(&present));
    present.owners = vec![identity().as_owner()];
    assert!(order.is_fulfilled_by(&present));
}

#[test]
fn owners_that_are_right_stay_in_whatever_order_they_are() {
    let mut present = claimed("keynote", 1000);
    let other =
        Owner { kind: "Deployment".into(), api_version: "apps/v1".into(), controller: false, uid: "uid-9".into(), ..identity().as_owner() };
    for owners in [vec![identity().as_owner(), other.clone()], vec![other, identity().as_owner()]] {
        present.owners = owners;
        assert!(SecretOrder::new(&identity(), &spec(), Some(&present), None).is_fulfilled_by(&present));
    }
}

#[test]
fn labels_and_annotations_that_leave_the_spec_leave_the_secret_and_foreign_ones_stay() {
    let mut present = claimed("keynote", 1000);
    present.labels.set("theirs", "l", false);
    present.annotations.set("theirs", "a", false);
    let mut spec = spec();
    spec.labels.clear();
    spec.annotations = [("other".to_owned(), "o".to_owned())].into();
    let order = SecretOrder::new(&identity(), &spec, Some(&present), None);
    assert_eq!(changes(&order.labels, &present.labels), [("tier".to_owned(), None)]);
    assert_eq!(changes(&order.annotations, &present.annotations), [("note".to_owned(), None), ("other".to_owned(), Some("o".to_owned()))]);
    assert!(!order.is_fulfilled_by(&present));
}

#[test]
fn what_others_have_taken_off_already_is_not_taken_off_again() {
    let mut present = claimed("keynote", 1000);
    present.labels.remove("tier");
    let mut spec = spec();
    spec.labels.clear();
    let order = SecretOrder::new(&identity(), &spec, Some(&present), None);
    assert!(order.is_fulfilled_by(&present));
}

#[test]
fn what_others_changed_is_changed_back() {
    let mut present = claimed("keynote", 1000);
    present.labels.set("tier", "lead", false);
    let order = SecretOrder::new(&identity(), &spec(), Some(&present), None);
    assert_eq!(changes(&order.labels, &present.labels), [("tier".to_owned(), Some("gold".to_owned()))]);
}

#[test]
fn the_request_is_the_controller_under_delete_and_no_owner_under_retain() {
    let other =
        Owner { kind: "Deployment".into(), api_version: "apps/v1".into(), uid: "uid-7".into(), controller: false, ..identity().as_owner() };
    let predecessor = Owner { uid: "uid-1".into(), ..identity().as_owner() };
    let ours = identity().as_owner();
    let mere = Owner { controller: false, ..ours.clone() };
    for (policy, present, wanted) in [
        (DeletionPolicy::Delete, vec![], Some(vec![ours.clone()])),
        (DeletionPolicy::Delete, vec![ours.clone()], None),
        (DeletionPolicy::Delete, vec![other.clone()], Some(vec![other.clone(), ours.clone()])),
        (DeletionPolicy::Delete, vec![mere.clone(), other.clone()], Some(vec![other.clone(), ours.clone()])),
        (DeletionPolicy::Delete, vec![other.clone(), ours.clone()], None),
        (DeletionPolicy::Delete, vec![predecessor.clone()], Some(vec![ours.clone()])),
        (DeletionPolicy::Retain, vec![], None),
        (DeletionPolicy::Retain, vec![other.clone()], None),
        (DeletionPolicy::Retain, vec![other.clone(), ours.clone()], Some(vec![other.clone()])),
        (DeletionPolicy::Retain, vec![predecessor], Some(vec![])),
    ] {
        let mut secret = claimed("keynote", 1000);
        secret.owners.clone_from(&present);
        let mut spec = spec();
        spec.deletion_policy = policy;
        assert_eq!(SecretOrder::new(&identity(), &spec, Some(&secret), None).owners, wanted, "{policy:?} {present:?}");
    }
}

/// The same, put there by others.
fn of_others(fields: &Fields) -> Fields {
    Fields::new(fields.iter().map(|(key, value)| (key.to_owned(), value.to_owned())), |_| false)
}

#[test]
fn an_order_is_needless_just_where_it_would_change_nothing() {
    type Change = fn(&mut crate::api::ValidSpec, &mut SecretMeta);
    let changes: &[Change] = &[
        |_, _| {},
        |_, present| present.labels.remove("tier"),
        |_, present| present.labels.set("tier", "lead", false),
        |_, present| present.labels.set("theirs", "l", false),
        |_, present| present.labels.remove(MANAGED_BY_LABEL),
        |_, present| present.labels.set(MANAGED_BY_LABEL, "another", false),
        |_, present| present.annotations.remove("note"),
        |_, present| present.annotations.set("note", "other", false),
        |_, present| present.annotations.set("theirs", "a", false),
        |_, present| present.annotations.remove(annotation::OWNED_BY),
        |_, present| present.annotations.set(annotation::OWNED_BY, "keynote/uid-1", false),
        |_, present| present.annotations.set(annotation::OWNED_BY, "lobby/uid-2", false),
        |_, present| present.annotations.set(annotation::OWNED_BY, "keynote/uid-2/", false),
        |_, present| present.annotations.set(annotation::TOKEN_HASH, "hash", false),
        |_, present| present.owners.clear(),
        |_, present| present.owners.push(Owner { uid: "uid-1".into(), controller: false, ..identity().as_owner() }),
        |_, present| present.labels = of_others(&present.labels),
        |_, present| present.annotations = of_others(&present.annotations),
        |spec, _| spec.labels.clear(),
        |spec, _| spec.annotations.clear(),
        |spec, _| spec.deletion_policy = DeletionPolicy::Retain,
        |spec, _| spec.access_token = Some(token_order().spec),
    ];
    let mut needless = 0;
    for (first, change) in changes.iter().enumerate() {
        for (second, another) in changes.iter().enumerate() {
            let (mut spec, mut present) = (spec(), claimed("keynote", 1000));
            change(&mut spec, &mut present);
            another(&mut spec, &mut present);
            let is_needless = SecretOrder::is_needless(&identity(), &spec, &present);
            let changes_nothing = SecretOrder::new(&identity(), &spec, Some(&present), None).is_fulfilled_by(&present);
            assert_eq!(is_needless, changes_nothing, "changes {first} and {second}");
            needless += usize::from(is_needless);
        }
    }
    assert!(needless > changes.len() && needless < changes.len() * changes.len() / 2, "{needless} are");
}
