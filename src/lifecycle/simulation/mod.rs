//! The pure core on simulated time: the real `decide`, `Memory`, `SecretOrder` and `Lane`, between a made-up API server and a made-up Media
//! API, through random histories.
//!
//! ```text
//! histories ──▶ World (time, events) ──▶ ApiServer ──changes──▶ Operator (as src/controller and the dispatcher do it)
//!                                    └─▶ MediaApi ◀───calls────────┘
//!                       Judge looks on, and fails the test at the first thing that must not be
//! ```
//!
//! [`operator`], [`steps`] and [`dispatcher`] do what the shells do; what they do differently from those would be found by nobody, so keep
//! them in step.

mod acts;
mod api_server;
mod coverage;
mod dispatcher;
mod histories;
mod index;
mod judge;
mod made_token;
mod media_api;
mod objects;
mod operator;
mod properties;
mod questions;
mod statuses;
mod steps;
mod tokens;
mod world;
