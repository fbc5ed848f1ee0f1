//! The objects, each change to them in order, and what may be changed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::managed::record;
use super::patch::Patch;
use super::refusal::Refusal;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Secret,
    PlaybackGrantRequest,
}

impl Kind {
    pub(super) fn of(plural: &str) -> Option<Self> {
        [Self::Secret, Self::PlaybackGrantRequest].into_iter().find(|kind| kind.plural() == plural)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::PlaybackGrantRequest => "PlaybackGrantRequest",
        }
    }

    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::PlaybackGrantRequest => "playbackgrantrequests",
        }
    }

    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::Secret => "v1",
            Self::PlaybackGrantRequest => "playbackgrant.dev/v1alpha1",
        }
    }
}

/// One object's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Which objects are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    label: Option<(String, String)>,
    name: Option<String>,
}

impl Selector {
    pub(super) fn parse(labels: Option<&String>, fields: Option<&String>) -> Result<Self, Refusal> {
        let pair = |selector: &String| {
            let (key, value) = selector.split_once('=').ok_or_else(|| Refusal::malformed("a selector that isn't understood here"))?;
            Ok::<_, Refusal>((key.to_owned(), value.trim_start_matches('=').to_owned()))
        };
        let name = match fields.filter(|fields| !fields.is_empty()).map(pair).transpose()? {
            None => None,
            Some((field, name)) if field == "metadata.name" => Some(name),
            Some(_) => return Err(Refusal::malformed("a selector that isn't understood here")),
        };
        Ok(Self { label: labels.filter(|labels| !labels.is_empty()).map(pair).transpose()?, name })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.label.as_ref().is_none_or(|(key, value)| metadata["labels"][key] == value.as_str())
            && self.name.as_ref().is_none_or(|name| metadata["name"] == name.as_str())
    }
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Deletion {
    uid: Option<String>,
    resource_version: Option<String>,
    /// What the garbage collector has to do first, as a finalizer.
    finalizer: Option<&'static str>,
}

impl Deletion {
    pub(super) fn parse(options: &Value, query: &BTreeMap<String, String>) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let policy = text(&options["propagationPolicy"]).or_else(|| query.get("propagationPolicy").cloned());
        let finalizer = match policy.as_deref() {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        let preconditions = &options["preconditions"];
        Self { uid: text(&preconditions["uid"]), resource_version: text(&preconditions["resourceVersion"]), finalizer }
    }
}

/// What an object was before a change and after it; either may be nothing.
#[derive(Clone, Debug)]
pub struct Change {
    pub(super) revision: u64,
    pub(super) key: Key,
    /// The object before.
    pub before: Option<Value>,
    /// The object after.
    pub after: Option<Value>,
}

impl Change {
    /// `Secret` or `PlaybackGrantRequest`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.key.kind.name()
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.name
    }
}

/// The store.
pub(super) struct Store {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    revision: u64,
    made: u64,
    objects: BTreeMap<Key, Value>,
    changes: Vec<Change>,
    compacted: u64,
    followers: Vec<mpsc::UnboundedSender<Change>>,
}

impl Default for Store {
    fn default() -> Self {
        Self { state: Mutex::default(), revision: watch::Sender::new(0) }
    }
}

impl Store {
    pub(super) fn get(&self, key: &Key) -> Result<Value, Refusal> {
        self.state().get(key)
    }

    pub(super) fn list(&self, kind: Kind, namespace: Option<&str>, selector: &Selector) -> (Vec<Value>, u64) {
        let state = self.state();
        let here = state.objects.iter().filter(|(key, _)| key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace));
        (here.map(|(_, object)| object).filter(|object| selector.matches(object)).cloned().collect(), state.revision)
    }

    /// What has changed since that revision, and the revision now.
    pub(super) fn changes_since(&self, revision: u64) -> Result<(Vec<Change>, u64), Refusal> {
        let state = self.state();
        if revision < state.compacted {
            return Err(Refusal::too_old());
        }
        let first = state.changes.partition_point(|change| change.revision <= revision);
        Ok((state.changes[first..].to_vec(), state.revision))
    }

    pub(super) fn follow(&self) -> mpsc::UnboundedReceiver<Change> {
        let (tell, told) = mpsc::unbounded_channel();
        self.state().followers.push(tell);
        told
    }

    /// Tells of each new revision.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(super) fn compact(&self) {
        let mut state = self.state();
        state.compacted = state.revision;
        state.changes.clear();
    }

    pub(super) fn create(&self, kind: Kind, namespace: &str, mut object: Value, manager: &str) -> Result<Value, Refusal> {
        let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else {
            return Err(Refusal::invalid("", "metadata.name", "Required value: name or generateName is required"));
        };
        let key = Key { kind, namespace: namespace.to_owned(), name };
        let mut state = self.state();
        if state.objects.contains_key(&key) {
            return Err(Refusal::exists(kind.plural(), &key.name));
        }
        state.made += 1;
        let uid = format!("00000000-0000-4000-8000-{:012x}", state.made);
        let metadata = &mut object["metadata"];
        metadata["namespace"] = json!(namespace);
        metadata["uid"] = json!(uid);
        metadata["generation"] = json!(1);
        (object["kind"], object["apiVersion"]) = (json!(kind.name()), json!(kind.api_version()));
        normalize(kind, &mut object);
        if let (Kind::PlaybackGrantRequest, Some(object)) = (kind, object.as_object_mut()) {
            object.remove("status");
        }
        record(&Value::Null, &mut object, manager, kind.api_version());
        Ok(self.put(&mut state, key, object))
    }

    pub(super) fn patch(&self, key: &Key, patch: &Patch, status: bool, manager: &str) -> Result<Value, Refusal> {
        let mut state = self.state();
        let before = state.get(key)?;
        let mut after = patch.applied(&before)?;
        let (was, is) = (&before["metadata"], &after["metadata"]);
        if is["resourceVersion"] != was["resourceVersion"] {
            return Err(Refusal::conflict(
                key.kind.plural(),
                &key.name,
                "the object has been modified; please apply your changes to the latest version and try again",
            ));
        }
        if status {
            // Only the status is taken from it; a foreign uid goes unnoticed.
            let written = after["status"].take();
            after = before.clone();
            after["status"] = written;
        } else {
            if is["uid"] != was["uid"] {
                return Err(Refusal::invalid(&key.name, "metadata.uid", "field is immutable"));
            }
            may_change(key, &before, &after)?;
            if key.kind == Kind::PlaybackGrantRequest {
                after["status"] = before["status"].clone();
            }
        }
        normalize(key.kind, &mut after);
        if after == before {
            return Ok(before);
        }
        if key.kind == Kind::PlaybackGrantRequest && after["spec"] != before["spec"] {
            after["metadata"]["generation"] = json!(before["metadata"]["generation"].as_u64().unwrap_or_default() + 1);
        }
        record(&before, &mut after, manager, key.kind.api_version());
        let is_released = is_deleting(&after) && finalizers(&after).is_empty();
        if is_released {
            // What it answers is at the version before.
            self.remove(&mut state, key, after.clone());
            return Ok(after);
        }
        Ok(self.put(&mut state, key.clone(), after))
    }

    /// Deletes an object. Returns it where finalizers hold it.
    pub(super) fn delete(&self, key: &Key, deletion: &Deletion) -> Result<Option<Value>, Refusal> {
        let mut state = self.state();
        let mut object = state.get(key)?;
        for (wanted, field) in [(&deletion.uid, "uid"), (&deletion.resource_version, "resourceVersion")] {
            if wanted.as_ref().is_some_and(|wanted| object["metadata"][field] != wanted.as_str()) {
                return Err(Refusal::conflict(key.kind.plural(), &key.name, &format!("Precondition failed: {field}")));
            }
        }
        let mut holding = finalizers(&object);
        if let Some(finalizer) = deletion.finalizer.filter(|finalizer| !holding.iter().any(|holding| holding == finalizer)) {
            holding.push(json!(finalizer));
        }
        if holding.is_empty() {
            self.remove(&mut state, key, object);
            return Ok(None);
        }
        if is_deleting(&object) {
            return Ok(Some(object));
        }
        object["metadata"]["finalizers"] = Value::Array(holding);
        // Nobody asks when: only whether.
        object["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
        Ok(Some(self.put(&mut state, key.clone(), object)))
    }

    fn put(&self, state: &mut State, key: Key, mut object: Value) -> Value {
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        let before = state.objects.insert(key.clone(), object.clone());
        self.tell(state, Change { revision: state.revision, key, before, after: Some(object.clone()) });
        object
    }

    fn remove(&self, state: &mut State, key: &Key, mut last: Value) {
        state.revision += 1;
        last["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        state.objects.remove(key);
        self.tell(state, Change { revision: state.revision, key: key.clone(), before: Some(last), after: None });
    }

    fn tell(&self, state: &mut State, change: Change) {
        state.followers.retain(|follower| follower.send(change.clone()).is_ok());
        state.changes.push(change);
        self.revision.send_replace(state.revision);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn get(&self, key: &Key) -> Result<Value, Refusal> {
        self.objects.get(key).cloned().ok_or_else(|| Refusal::not_found(key.kind.plural(), &key.name))
    }
}

fn finalizers(object: &Value) -> Vec<Value> {
    object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default()
}

fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// What a Secret doesn't allow, once it is immutable or at all.
fn may_change(key: &Key, before: &Value, after: &Value) -> Result<(), Refusal> {
    if key.kind != Kind::Secret {
        return Ok(());
    }
    if before["type"] != after["type"] {
        return Err(Refusal::invalid(&key.name, "type", "field is immutable"));
    }
    if before["immutable"] == true {
        let data = |object: &Value| object["data"].clone();
        for (field, changes) in
            [("immutable", after["immutable"] != true), ("data", data(before) != data(after) || after["stringData"].is_object())]
        {
            if changes {
                return Err(Refusal::invalid(&key.name, field, "field is immutable when `immutable` is set"));
            }
        }
    }
    Ok(())
}

/// The form in which the server keeps an object.
fn normalize(kind: Kind, object: &mut Value) {
    use base64::Engine as _;
    let Some(object) = object.as_object_mut() else { return };
    if kind == Kind::Secret {
        object.entry("type").or_insert_with(|| json!("Opaque"));
        if let Some(Value::Object(texts)) = object.remove("stringData") {
            let data = object.entry("data").or_insert_with(|| json!({}));
            for (name, text) in texts {
                data[name] = json!(base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default()));
            }
        }
    }
    // Nothing and an empty map are the same to it.
    object.retain(|_, value| !value.is_null());
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| {
            !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) && value.as_object().is_none_or(|map| !map.is_empty())
        });
    }
}
