//! What can go wrong with a call, and which class of failure it is.

use std::time::Duration;

/// What a failed call means for the calls to come. The table of `docs/media-api.md`, as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Network, TLS, 5xx, no answer.
    Unavailable,
    /// 429. `retry_after` as asked for by the answer, uncapped; an HTTP date is taken against the answer's own `Date`, else the wall clock.
    Throttled {
        /// The time asked for.
        retry_after: Option<Duration>,
    },
    /// A 201 that isn't what it should be, or another 2xx.
    InvalidResponse,
    /// 401: these credentials are wrong.
    Unauthorized,
    /// 403: these credentials may not.
    Forbidden,
    /// 404 or 410: no such PlayerStreamer, or a wrong base URL.
    NotFound,
    /// Any other 3xx or 4xx.
    Rejected,
}
