//! The resource: spec, status, conditions, and the names of labels, annotations and keys.

pub mod condition;
pub mod crd;
pub mod names;
mod request;
mod request_hash;
mod rules;
mod status;
pub mod syntax;
pub mod validate;

pub use request::{
    DEFAULT_TTL_SECONDS, DeletionPolicy, GrantSecret, MAX_TTL_SECONDS, PlaybackGrantRequest, PlaybackGrantRequestSpec,
    RequestedAccessToken, SecretRef,
};
pub use request_hash::request_hash;
pub use status::{GrantStatus, PlaybackGrantRequestStatus};
pub use validate::{InvalidSpec, ValidSpec, Violation, validate};
