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
mod trouble;
mod watching;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use kube::Client;
use kube::client::Body;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::answer::answered;
use self::operation::Operation;
use self::refusal::Refusal;
pub use self::store::Change;
use self::store::Store;
pub use self::trouble::Trouble;
use self::trouble::{Forecast, Weather};

/// As long as the API server gives a webhook that says nothing of it.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct InProcessApiServer {
    store: Arc<Store>,
    asked: Arc<Mutex<Vec<Asked>>>,
    weather: watch::Sender<Weather>,
    began: Instant,
}

impl Default for InProcessApiServer {
    #[expect(clippy::disallowed_methods, reason = "it is the test's own clock, which may stand")]
    fn default() -> Self {
        Self { store: Arc::default(), asked: Arc::default(), weather: watch::Sender::default(), began: Instant::now() }
    }
}

/// One request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// `GET`, `PATCH`, …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The answer's status code.
    pub code: u16,
    /// When, since the server began.
    pub at: Duration,
}

impl InProcessApiServer {
    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            // What was sent is carried out, whether or not anybody waits for the answer.
            let answer = tokio::spawn(async move { server.serve(request).await });
            async move { answer.await.map_err(io::Error::other)? }
        });
        Client::new(service, "default")
    }

    /// Another way to the same objects, which has troubles of its own, or none, and its own record of what is asked there.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self { store: self.store.clone(), ..Self::default() }
    }

    /// Forgets what has been: a watch from before now is too old.
    pub fn compact(&self) {
        self.store.compact();
    }

    /// Changes how the server fares.
    pub fn suffer(&self, change: impl FnOnce(&mut Trouble)) {
        self.weather.send_modify(|weather| change(&mut weather.trouble));
    }

    /// Ends all watches, as a connection that breaks.
    pub fn cut_watches(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Tells each change to an object from now on, whatever the server suffers.
    #[must_use]
    pub fn follow(&self) -> mpsc::UnboundedReceiver<Change> {
        self.store.follow()
    }

    /// What it has been asked so far, in the order of the answers.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve(&self, request: Request<Body>) -> io::Result<Response<AnswerBody>> {
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
        let mut forecast = Forecast::of(&self.weather);
        tokio::time::sleep(forecast.now().latency / 2).await;
        forecast.released().await;
        let Trouble { unavailable, refuses_secrets, refuses_deletions, hangs_in, loses_answers, latency, .. } = forecast.now();
        let is_write = method != "GET";
        let refuses = if method == "DELETE" { refuses_secrets || refuses_deletions } else { refuses_secrets && is_write };
        let hangs = is_write && hangs_in.is_some_and(|namespace| path.contains(&format!("/namespaces/{namespace}/secrets")));
        let answer = if unavailable {
            answered(Err(Refusal::new(503, "ServiceUnavailable", "the server is currently unable to handle the request")))
        } else if refuses && path.contains("/secrets") {
            answered(Err(Refusal::new(403, "Forbidden", "secrets are forbidden: no changes before the weekend")))
        } else if hangs {
            tokio::time::sleep(WEBHOOK_TIMEOUT).await;
            let words = "Internal error occurred: failed calling webhook \"hangs.example.com\": context deadline exceeded";
            answered(Err(Refusal::new(500, "InternalError", words)))
        } else {
            self.answer(head, body, forecast).await
        };
        let asked = Asked { method, path, code: answer.status().as_u16(), at: self.began.elapsed() };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        tokio::time::sleep(latency / 2).await;
        if loses_answers && is_write { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(answer) }
    }

    async fn answer(&self, head: http::request::Parts, body: Body, forecast: Forecast) -> Response<AnswerBody> {
        let Ok(body) = body.collect().await else { return answered(Err(Refusal::malformed("the body broke off"))) };
        match Operation::parse(&head, &body.to_bytes()) {
            Ok(operation) => operation.carry_out(&self.store, forecast),
            Err(refusal) => answered(Err(refusal)),
        }
    }
}

/// A body that doesn't break off.
fn whole(body: impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static) -> AnswerBody {
    body.map_err(|never| match never {}).boxed_unsync()
}
