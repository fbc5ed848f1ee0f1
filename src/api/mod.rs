//! The resource: spec, status, conditions, and the names of labels, annotations and keys.

pub mod condition;
pub mod names;
mod request;
mod status;
mod validate;

pub use request::{
    DEFAULT_TTL_SECONDS, DeletionPolicy, GrantSecret, MAX_TTL_SECONDS, PlaybackGrantRequest, PlaybackGrantRequestSpec, SecretRef,
};
pub use status::{GrantStatus, PlaybackGrantRequestStatus};
pub use validate::{InvalidSpec, ValidSpec, validate};
