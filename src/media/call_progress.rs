//! How far a call has come, and the limit on its first part.
//!
//! The HTTP client knows one connect limit for all its calls, and its errors don't tell how far a call had come when time ran out. A call
//! therefore carries a note of its own, as a task-local value around its future, into the layer that makes connections. That works because
//! a client without a pool makes the connection within the future of the call; a connection made elsewhere would have no note, and a limit
//! of [`UNNOTED_LIMIT`].

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tower::{Layer, Service};

use super::error::AnswerHead;

const UNNOTED_LIMIT: Duration = Duration::from_secs(10);

tokio::task_local! {
    static PROGRESS: Arc<CallProgress>;
}

/// The note that a call carries.
#[derive(Debug)]
pub(super) struct CallProgress {
    connect_limit: Duration,
    connected: OnceLock<()>,
    head: OnceLock<AnswerHead>,
}

impl CallProgress {
    pub(super) fn new(connect_limit: Duration) -> Arc<Self> {
        Arc::new(Self { connect_limit, connected: OnceLock::new(), head: OnceLock::new() })
    }

    /// Carries the note through `call`.
    pub(super) async fn scope<F: Future>(self: Arc<Self>, call: F) -> F::Output {
        PROGRESS.scope(self, call).await
    }

    /// Notes the answer's head.
    pub(super) fn answered(&self, head: AnswerHead) {
        let _ = self.head.set(head);
    }

    /// Whether there was a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.get().is_some()
    }

    /// The answer's head, if it has arrived.
    pub(super) fn head(&self) -> Option<AnswerHead> {
        self.head.get().copied()
    }
}

/// Limits each connection by its call's note, and notes when it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectLimitLayer;

impl<S> Layer<S> for ConnectLimitLayer {
    type Service = ConnectLimit<S>;

    fn layer(&self, connector: S) -> Self::Service {
        ConnectLimit { connector }
    }
}

/// A connector with a limit. See [`ConnectLimitLayer`].
#[derive(Clone, Debug)]
pub(super) struct ConnectLimit<S> {
    connector: S,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S, Target> Service<Target> for ConnectLimit<S>
where
    S: Service<Target, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let progress = PROGRESS.try_with(Arc::clone).ok();
        let limit = progress.as_ref().map_or(UNNOTED_LIMIT, |progress| progress.connect_limit);
        let connecting = self.connector.call(target);
        Box::pin(async move {
            let connection = tokio::time::timeout(limit, connecting).await.map_err(|_| ConnectLimitPassed(limit))??;
            if let Some(progress) = progress {
                let _ = progress.connected.set(());
            }
            Ok(connection)
        })
    }
}

/// No connection within this limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectLimitPassed(pub(super) Duration);

impl fmt::Display for ConnectLimitPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection within {:?}", self.0)
    }
}

impl std::error::Error for ConnectLimitPassed {}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A connector that is never ready.
    struct Busy;

    impl Service<()> for Busy {
        type Response = ();
        type Error = BoxError;
        type Future = std::future::Ready<Result<(), BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Pending
        }

        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }

    #[test]
    fn it_is_ready_when_what_connects_is() {
        assert!(ConnectLimitLayer.layer(Busy).poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    #[test]
    fn the_limit_is_named() {
        assert_eq!(ConnectLimitPassed(Duration::from_secs(3)).to_string(), "no connection within 3s");
    }
}
