//! What can go wrong.

use std::time::Duration;

/// What a fault does to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// `500`, `429`, …: answers with this status, whoever calls.
    Status(StatusFault),
    /// `hang`: takes the request and never answers.
    Hang,
    /// `reset`: ends the connection with a TCP RST instead of an answer.
    Reset,
    /// `latency=DURATION`: answers that much later.
    Latency(Duration),
    /// `rate-limit=CALLS_PER_SECOND`: a token bucket for each account, with a burst of one second; 429 for the rest.
    RateLimit {
        /// Calls a second, above 0.
        calls_per_second: f64,
        /// The `Retry-After` of the 429.
        retry_after: Option<RetryAfter>,
    },
    /// `ended[=STATUS]`: the PlayerStreamer has ended. What the Media API then answers is documented nowhere; 409 unless given.
    Ended {
        /// The answer's status.
        status: u16,
    },
    /// A 201 that isn't what it should be.
    Answer(AnswerFault),
}

/// An answer with a chosen status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusFault {
    /// 200 to 599, but 201. With 3xx the answer has a `Location`: the request's own path.
    pub status: u16,
    /// `code=NUMBER`: the vendor's code in the body, where it isn't the status' usual one.
    pub code: Option<u32>,
    /// `retry-after=SECONDS` or `retry-after-date=SECONDS`.
    pub retry_after: Option<RetryAfter>,
    /// `body=json|empty|html`.
    pub body: ErrorBody,
}

/// How an answer asks for patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds(u32),
    /// An HTTP date that many seconds after the answer's `Date`.
    Date(u32),
}

/// An error's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorBody {
    /// The vendor's: `{code, message, more_info, status}`.
    #[default]
    Json,
    /// None, as one of the vendor's own fixtures for 500 has it.
    Empty,
    /// A proxy's page.
    Html,
}

/// What is wrong with a 201.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// `garbage`: not JSON.
    Garbage,
    /// `null-grant`: the grant is null, as the schema allows.
    NullGrant,
    /// `null-fields`: every field but the grant is null, as the schema allows. Not wrong, but sparse.
    NullFields,
    /// `wrong-types`: every field has another type than it should; each holds the playback URL, so that a leak of it shows.
    WrongTypes,
    /// `other-streamer`: the answer is for another PlayerStreamer.
    OtherStreamer,
    /// `string-grant`: the grant is a string of JSON, as early releases answered. Not wrong, but different.
    StringGrant,
    /// `date-skew=[-]DURATION`: `date_created` is that many milliseconds off; the token stays true.
    DateSkew(i64),
    /// `trickle[=INTERVAL]`: the body comes one byte an interval (200 ms unless given).
    Trickle(Duration),
    /// `oversized[=BYTES]`: valid JSON, padded to this many bytes (1 MiB unless given).
    Oversized(usize),
    /// `torn`: the connection ends in the middle of the body.
    Torn,
}
