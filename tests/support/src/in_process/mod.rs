//! An API server inside the test's own process, as far as the operator asks one: Secrets and PlaybackGrantRequests, on the test's own clock.
//!
//! It is no model of what the operator needs, but of what kube-apiserver answers: `tests/cluster/in_process.rs` puts the same questions to both
//! and compares the answers.

mod answer;
mod managed;
mod operation;
mod patch;
mod refusal;
mod store;
mod watching;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;

use self::answer::answered;
use self::operation::Operation;
use self::refusal::Refusal;
use self::store::Store;

/// Tells whether the server is held.
type Held = watch::Receiver<bool>;

type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct InProcessApiServer {
    store: Arc<Store>,
    asked: Arc<Mutex<Vec<Asked>>>,
    held: watch::Sender<bool>,
}

impl Default for InProcessApiServer {
    fn default() -> Self {
        Self { store: Arc::default(), asked: Arc::default(), held: watch::Sender::new(false) }
    }
}

/// One request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET`, `PATCH`, …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The answer's status code.
    pub code: u16,
}

impl InProcessApiServer {
    /// A client of it. Its calls take no time.
    #[must_use]
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.serve(request).await) }
        });
        Client::new(service, "default")
    }

    /// Forgets what has been: a watch from before now is too old.
    pub fn compact(&self) {
        self.store.compact();
    }

    /// Stops it: nothing is answered, and no watch tells anything, until it is released. What comes meanwhile is answered then.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// What it has been asked so far, in the order of the answers.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve(&self, request: Request<Body>) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
        let goes_on = self.held.subscribe();
        released(goes_on.clone()).await;
        let answer = self.answer(head, body, goes_on).await;
        let asked = Asked { method, path, code: answer.status().as_u16() };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        answer
    }

    async fn answer(&self, head: http::request::Parts, body: Body, goes_on: Held) -> Response<AnswerBody> {
        let Ok(body) = body.collect().await else { return answered(Err(Refusal::malformed("the body broke off"))) };
        match Operation::parse(&head, &body.to_bytes()) {
            Ok(operation) => operation.carry_out(&self.store, goes_on),
            Err(refusal) => answered(Err(refusal)),
        }
    }
}

/// Waits until the server isn't held.
async fn released(mut held: Held) {
    // The server itself lives as long as it is asked.
    let _ = held.wait_for(|held| !held).await;
}
