//! The Media API: its request, its answer, the classes of its errors, and the pacing of calls per credentials.
//!
//! Nothing in here knows Kubernetes.

pub mod answer;
pub mod call;
pub mod client;
pub mod credentials;
pub mod error;
pub mod lane;
pub mod retry;

pub use answer::Grant;
pub use call::{CallLimits, GrantCall, Origin, PlayerStreamerSid, Ttl};

pub use credentials::Credentials;
pub use error::FailureClass;
