//! An API server inside the test's own process, as far as the operator asks one: Secrets and PlaybackGrantRequests, on the test's own clock.
//!
//! It is no model of what the operator needs, but of what kube-apiserver answers: `tests/cluster/agreement.rs` puts the same questions to both
//! and compares the answers.

mod answer;
mod managed;
mod operation;
mod patch;
mod refusal;
mod store;
mod watching;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use kube::Client;
use kube::client::Body;

use self::answer::answered;
use self::operation::Operation;
use self::refusal::Refusal;
use self::store::Store;

type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// The server. Clones are the same server.
#[derive(Clone, Default)]
pub struct InProcessApiServer {
    store: Arc<Store>,
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

    async fn serve(&self, request: Request<Body>) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return answered(Err(Refusal::malformed("the body broke off"))) };
        match Operation::parse(&head, &body.to_bytes()) {
            Ok(operation) => operation.carry_out(&self.store),
            Err(refusal) => answered(Err(refusal)),
        }
    }
}
