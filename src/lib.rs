//! Keeps a Media API playback grant in a Secret, never expired.

pub mod api;
pub mod media;
pub mod simulator;
