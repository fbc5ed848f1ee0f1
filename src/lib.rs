//! Keeps a Media API playback grant in a Secret, and refreshes it before it expires.

pub mod api;
pub mod cli;
pub mod clock;
pub mod controller;
pub(crate) mod error_chain;
pub mod lifecycle;
pub mod listen;
pub mod media;
pub mod names;
pub mod parts_hash;
pub mod simulator;
pub mod telemetry;
pub mod time;
pub mod token;
