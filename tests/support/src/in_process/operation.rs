//! What a request asks for, and its being done.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::AnswerBody;
use super::answer::{Form, answered};
use super::patch::Patch;
use super::refusal::Refusal;
use super::store::{Deletion, Key, Kind, Selector, Store};
use super::trouble::Forecast;
use super::watching;

/// One request, understood.
pub(super) struct Operation {
    kind: Kind,
    namespace: Option<String>,
    form: Form,
    ask: Ask,
}

enum Ask {
    Get(Key),
    List(Selector),
    Watch { selector: Selector, since: Option<u64>, seconds: u64 },
    Create { object: Value, manager: String },
    Patch { key: Key, patch: Patch, status: bool, manager: String },
    Delete { key: Key, deletion: Deletion },
}

impl Operation {
    pub(super) fn parse(head: &Parts, body: &Bytes) -> Result<Self, Refusal> {
        let Path { kind, namespace, name, status } = Path::parse(head.uri.path())?;
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let header = |name: http::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let manager = query.get("fieldManager").cloned().unwrap_or_else(|| "unknown".to_owned());
        let json = || serde_json::from_slice::<Value>(body).map_err(|_| Refusal::malformed("the body is no JSON"));
        let key = |name: String| Ok(Key { kind, namespace: namespace.clone().ok_or_else(|| Refusal::malformed("no namespace"))?, name });
        let ask = match (&head.method, name) {
            (&Method::GET, Some(name)) => Ask::Get(key(name)?),
            (&Method::GET, None) => {
                let selector = Selector::parse(query.get("labelSelector"), query.get("fieldSelector"))?;
                if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
                    let since = query.get("resourceVersion").filter(|version| !version.is_empty() && *version != "0");
                    let since = since.map(|version| version.parse().map_err(|_| Refusal::malformed("no resourceVersion"))).transpose()?;
                    let seconds = query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
                    Ask::Watch { selector, since, seconds }
                } else {
                    Ask::List(selector)
                }
            }
            (&Method::POST, None) => Ask::Create { object: json()?, manager },
            (&Method::PATCH, Some(name)) => {
                let patch = Patch::parse(header(http::header::CONTENT_TYPE), json()?)?;
                Ask::Patch { key: key(name)?, patch, status, manager }
            }
            (&Method::DELETE, Some(name)) => {
                let options = if body.is_empty() { json!({}) } else { json()? };
                Ask::Delete { key: key(name)?, deletion: Deletion::parse(&options, &query) }
            }
            _ => return Err(Refusal::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")),
        };
        Ok(Self { kind, namespace, form: Form::of(header(http::header::ACCEPT)), ask })
    }

    pub(super) fn carry_out(self, store: &Arc<Store>, forecast: Forecast) -> Response<AnswerBody> {
        let Self { kind, namespace, form, ask } = self;
        let shown = |object: Value| (StatusCode::OK, form.object(&object));
        answered(match ask {
            Ask::Get(key) => store.get(&key).map(shown),
            Ask::List(selector) => {
                let (items, revision) = store.list(kind, namespace.as_deref(), &selector);
                Ok((StatusCode::OK, form.list(kind.name(), kind.api_version(), &items, revision)))
            }
            Ask::Watch { selector, since, seconds } => {
                return watching::watch(store.clone(), watching::Watched { kind, namespace, selector, form, forecast }, since, seconds);
            }
            Ask::Create { object, manager } => {
                let namespace = namespace.unwrap_or_default();
                store.create(kind, &namespace, object, &manager).map(|object| (StatusCode::CREATED, form.object(&object)))
            }
            Ask::Patch { key, patch, status, manager } => store.patch(&key, &patch, status, &manager).map(shown),
            Ask::Delete { key, deletion } => store.delete(&key, &deletion).map(|held| match held {
                Some(object) => shown(object),
                None => (
                    StatusCode::OK,
                    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {"name": key.name}}),
                ),
            }),
        })
    }
}

/// What a path names.
struct Path {
    kind: Kind,
    namespace: Option<String>,
    name: Option<String>,
    status: bool,
}

impl Path {
    fn parse(path: &str) -> Result<Self, Refusal> {
        let unknown = || Refusal::new(404, "NotFound", "the server could not find the requested resource");
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (["api", "v1", rest @ ..] | ["apis", "playbackgrant.dev", "v1alpha1", rest @ ..]) = parts.as_slice() else {
            return Err(unknown());
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (plural, None, false),
            [plural, name] => (plural, Some((*name).to_owned()), false),
            [plural, name, "status"] => (plural, Some((*name).to_owned()), true),
            _ => return Err(unknown()),
        };
        let kind = Kind::of(plural).ok_or_else(unknown)?;
        Ok(Self { kind, namespace, name, status })
    }
}
