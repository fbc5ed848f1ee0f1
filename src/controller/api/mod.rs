//! What is asked of the API server for a request, in calls that can't leak a Secret: bodies are built and read here, never by a library
//! that would print what it can't decode.

mod ask;
mod body;
mod failure;
mod meta;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use zeroize::Zeroizing;

pub use body::{ReadSecret, SecretData, text};
pub use failure::ApiFailure;
pub(super) use meta::Metadata;

use self::ask::Ask;
use super::API_SERVER_LIMIT;
use super::reach::{News, Reach};
use crate::api::PlaybackGrantRequestStatus;
use crate::api::names::{API_VERSION, FIELD_MANAGER};
use crate::clock::Clock;
use crate::lifecycle::{Identity, SecretMeta, SecretOrder, SecretVersion};
use crate::telemetry::Metrics;
use crate::token::AccessToken;

/// That there are no fields that the API server doesn't know need not be checked each time: what is written is made from types.
const UNCHECKED: &str = "fieldValidation=Ignore";

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Whether what was deleted is gone: what others hold by a finalizer stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It is.
    Yes,
    /// It isn't, or it is another.
    No,
}

/// The API server, as far as the operator writes to it and reads single objects from it.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    limit: Duration,
    book: Option<Arc<Book>>,
}

/// Where it is counted what is asked, and how that ends.
struct Book {
    metrics: Arc<Metrics>,
    clock: Clock,
    /// By what is asked, and where: one namespace may have a webhook that fails.
    reach: Mutex<BTreeMap<(Ask, String), Reach>>,
}

impl Book {
    fn ended<T>(&self, ask: Ask, namespace: &str, answer: &Result<T, ApiFailure>) {
        self.metrics.api_server_answered(ask.label(), answer.as_ref().map_or_else(ApiFailure::label, |_| "ok"));
        let failed = answer.as_ref().err().filter(|failure| !failure.is_answer());
        let news = {
            let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
            match reach.get_mut(&(ask, namespace.to_owned())) {
                Some(reach) => reach.ended(failed.is_some(), self.clock.instant()),
                None if failed.is_some() => reach.entry((ask, namespace.to_owned())).or_default().ended(true, self.clock.instant()),
                None => None,
            }
        };
        match (news, failed) {
            (Some(News::Lost), Some(failure)) => {
                // A webhook's words may quote what was sent; each request's status tells them as far as they don't.
                let what = match failure {
                    ApiFailure::Trouble { code, .. } => format!("it answered {code}"),
                    other => other.words().to_owned(),
                };
                tracing::warn!(
                    namespace,
                    asked = ask.label(),
                    "the API server doesn't do what it is asked: {what}. Each request tries again by itself"
                );
            }
            (Some(News::Back { after, calls }), _) => {
                tracing::info!(
                    namespace,
                    asked = ask.label(),
                    seconds = after.as_secs(),
                    calls,
                    "the API server does what it is asked again, after so many calls in vain"
                );
            }
            _ => {}
        }
    }
}

impl ApiServer {
    /// Goes through `client`.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client, limit: API_SERVER_LIMIT, book: None }
    }

    /// The same, with what is asked and how it is answered counted there, and told where the API server no longer answers.
    #[must_use]
    pub fn counted_by(self, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { book: Some(Arc::new(Book { metrics, clock, reach: Mutex::default() })), ..self }
    }

    /// The same, with answers that may take no longer than `limit`.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// A Secret's metadata.
    pub async fn look(&self, namespace: &str, name: &str) -> Result<SecretMeta, ApiFailure> {
        let answer = self.call(Ask::LookSecret, namespace, &secret_path(namespace, name), Bytes::new()).await?;
        meta::parse(&answer)
    }

    /// A Secret whole.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<ReadSecret, ApiFailure> {
        let answer = self.call(Ask::ReadSecret, namespace, &secret_path(namespace, name), Bytes::new()).await?;
        ReadSecret::parse(&answer)
    }

    /// Makes a Secret, with `token` beside the grant.
    pub async fn create(
        &self,
        namespace: &str,
        name: &str,
        order: &SecretOrder,
        token: Option<&AccessToken>,
    ) -> Result<SecretMeta, ApiFailure> {
        let path = format!("/api/v1/namespaces/{namespace}/secrets?fieldManager={FIELD_MANAGER}&{UNCHECKED}");
        let answer = self.call(Ask::CreateSecret, namespace, &path, body::create(name, order, token)?).await?;
        meta::parse(&answer)
    }

    /// Changes a Secret, if it is still this version; where the order has contents, with `token` beside the grant, or with none.
    pub async fn patch(
        &self,
        namespace: &str,
        name: &str,
        version: &SecretVersion,
        order: &SecretOrder,
        token: Option<&AccessToken>,
    ) -> Result<SecretMeta, ApiFailure> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}&{UNCHECKED}", secret_path(namespace, name));
        let answer = self.call(Ask::PatchSecret, namespace, &path, body::patch(version, order, token)?).await?;
        meta::parse(&answer)
    }

    /// Deletes a Secret, if it is still this version.
    pub async fn delete(&self, namespace: &str, name: &str, version: &SecretVersion) -> Result<Gone, ApiFailure> {
        let preconditions = json!({"uid": version.uid(), "resourceVersion": version.resource_version()});
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions});
        let body = Bytes::from(options.to_string());
        let answer = self.call(Ask::DeleteSecret, namespace, &secret_path(namespace, name), body).await?;
        // What is gone is answered by a Status, whose metadata say nothing, or are left out.
        Ok(if meta::parse(&answer).is_ok_and(|meta| meta.deleting) { Gone::No } else { Gone::Yes })
    }

    /// Writes a request's status, if the request is still this one and, where one is given, this version. Returns the version that it has then.
    ///
    /// A uid in a merge patch of a status is ignored, and the status would land on a namesake: it is tested. A version can't be tested so that
    /// the answer tells it from another uid: it is set, which a request that has another version by then doesn't take.
    pub async fn write_status(
        &self,
        identity: &Identity,
        version: Option<&str>,
        status: &PlaybackGrantRequestStatus,
    ) -> Result<String, ApiFailure> {
        let Identity { namespace, name, uid } = identity;
        let path = format!(
            "/apis/{API_VERSION}/namespaces/{namespace}/playbackgrantrequests/{name}/status?fieldManager={FIELD_MANAGER}&{UNCHECKED}"
        );
        let answer = self.call(Ask::PatchStatus, namespace, &path, body::status(uid, version, status)?).await?;
        meta::version(&answer)
    }

    /// One call, from its request to the end of its answer.
    async fn call(&self, ask: Ask, namespace: &str, path: &str, body: Bytes) -> Result<Zeroizing<Vec<u8>>, ApiFailure> {
        let exchange = self.exchange(ask, path, body);
        let no_answer = || ApiFailure::Unreachable("no complete answer in time".to_owned());
        let answer = tokio::time::timeout(self.limit, exchange).await.unwrap_or_else(|_| Err(no_answer()));
        if let Some(book) = &self.book {
            book.ended(ask, namespace, &answer);
        }
        answer
    }

    async fn exchange(&self, ask: Ask, path: &str, body: Bytes) -> Result<Zeroizing<Vec<u8>>, ApiFailure> {
        let request = Request::builder()
            .method(ask.method())
            .uri(path)
            .header(http::header::CONTENT_TYPE, ask.content())
            .header(http::header::ACCEPT, ask.accept())
            .body(Body::from(body))
            .map_err(|_| ApiFailure::Impossible)?;
        let response = self.client.send(request).await.map_err(|error| ApiFailure::unreachable(&error))?;
        let status = response.status();
        let limited = http_body_util::Limited::new(response.into_body(), LONGEST_ANSWER);
        let answer = limited.collect().await.map_err(|_| ApiFailure::Unreachable("the answer broke off".to_owned()))?;
        let answer = Zeroizing::new(answer.to_bytes().to_vec());
        if status.is_success() { Ok(answer) } else { Err(ApiFailure::refused(status, &answer)) }
    }
}

fn secret_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{name}")
}
