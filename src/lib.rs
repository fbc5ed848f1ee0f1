//! Keeps a Media API playback grant in a Secret, never expired.

pub mod api;
pub mod cli;
pub mod clock;
pub mod lifecycle;
pub mod media;
pub mod simulator;
pub mod time;
