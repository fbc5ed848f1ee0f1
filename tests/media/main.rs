//! The Media API client against servers that answer as the Media API does, and as it never should.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail as the test does")]

mod answers;
mod catalogue;
mod environment;
mod refusals;
mod request;
mod server;
mod simulator;
mod statuses;
mod support;
mod tls;
mod transport;
