//! What has been asked of the API server, by whom, and how it was answered.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;

/// The audit log of an API server. A request is in it once it has been answered; a watch, once its answer has started.
///
/// A client may have its answer a moment before the log has the line.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

/// One request, as the API server saw it.
#[derive(Clone, Debug)]
pub struct AuditedRequest {
    /// What the API server knows the request by.
    pub audit_id: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// The user; of a service account as [`service_account_user`](crate::service_account_user) spells it.
    pub user: String,
    /// What tells one token of the user from another; empty where the user has shown none.
    pub credential: String,
    /// Path and query.
    pub uri: String,
    /// The client's name for itself.
    pub user_agent: String,
    /// The plural of the resource; empty for paths such as `/readyz`.
    pub resource: String,
    /// The subresource; empty where there is none.
    pub subresource: String,
    /// The namespace; empty for the whole cluster.
    pub namespace: String,
    /// The object's name; empty for a collection.
    pub name: String,
    /// The HTTP status code of the answer, 0 where there was none.
    pub code: i32,
    /// When the request arrived.
    pub received: MicroTime,
    /// When it was answered; of a watch, when its answer started.
    pub answered: MicroTime,
}

/// Which requests to look at; absent fields match everything.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery<'a> {
    /// The user.
    pub user: Option<&'a str>,
    /// The verb.
    pub verb: Option<&'a str>,
    /// The plural of the resource.
    pub resource: Option<&'a str>,
    /// The subresource; `Some("")` for the object itself.
    pub subresource: Option<&'a str>,
    /// The namespace.
    pub namespace: Option<&'a str>,
    /// The object's name.
    pub name: Option<&'a str>,
    /// Requests that arrived at this instant or later.
    pub since: Option<MicroTime>,
}

impl AuditLog {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The file itself: a JSON event a line.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The requests that match, each once, in the order in which they were answered.
    ///
    /// # Errors
    /// When the log can't be read or understood.
    pub fn requests(&self, query: &AuditQuery<'_>) -> Result<Vec<AuditedRequest>> {
        let file = std::fs::File::open(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        let mut seen = std::collections::HashSet::new();
        let mut requests = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.with_context(|| format!("reading {}", self.path.display()))?;
            // To understand each line of all tests takes seconds, in which others wait.
            if !query.may_match(&line) {
                continue;
            }
            let event: Event = match serde_json::from_str(&line) {
                Ok(event) => event,
                // The last line may still be on its way into the file.
                Err(error) if error.is_eof() => break,
                Err(error) => return Err(error).context("an audit event that can't be understood"),
            };
            // A watch is logged when it starts and when it ends.
            if seen.insert(event.audit_id.clone()) {
                let request = event.into_request();
                if query.matches(&request) {
                    requests.push(request);
                }
            }
        }
        Ok(requests)
    }
}

impl AuditQuery<'_> {
    /// Whether an event whose text this is may be of a request that is asked for.
    fn may_match(&self, event: &str) -> bool {
        [self.user, self.namespace].into_iter().flatten().all(|word| event.contains(word))
    }

    /// Whether `request` is one of those asked for.
    #[must_use]
    pub fn matches(&self, request: &AuditedRequest) -> bool {
        let Self { user, verb, resource, subresource, namespace, name, since } = self;
        let same = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
        same(*user, &request.user)
            && same(*verb, &request.verb)
            && same(*resource, &request.resource)
            && same(*subresource, &request.subresource)
            && same(*namespace, &request.namespace)
            && same(*name, &request.name)
            && since.as_ref().is_none_or(|since| request.received.0 >= since.0)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectReference,
    #[serde(default)]
    response_status: ResponseStatus,
    request_received_timestamp: MicroTime,
    stage_timestamp: MicroTime,
}

#[derive(Deserialize)]
struct User {
    username: String,
    #[serde(default)]
    extra: Extra,
}

#[derive(Default, Deserialize)]
struct Extra {
    #[serde(default, rename = "authentication.kubernetes.io/credential-id")]
    credential: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectReference {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: i32,
}

impl Event {
    fn into_request(self) -> AuditedRequest {
        let ObjectReference { resource, subresource, namespace, name } = self.object_ref;
        AuditedRequest {
            audit_id: self.audit_id,
            verb: self.verb,
            user: self.user.username,
            credential: self.user.extra.credential.concat(),
            uri: self.request_uri,
            user_agent: self.user_agent,
            resource,
            subresource,
            namespace,
            name,
            code: self.response_status.code,
            received: self.request_received_timestamp,
            answered: self.stage_timestamp,
        }
    }
}
