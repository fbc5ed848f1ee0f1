//! The Media API: its request, its answer, the classes of its errors, and the pacing of calls per credentials.
//!
//! Nothing in here knows Kubernetes.

pub mod answer;
pub mod base_url;
pub mod call;
pub mod client;
pub mod credentials;
pub mod dispatcher;
pub mod error;
pub mod figures;
pub mod lane;
pub mod lanes;
pub mod pace;
pub mod retry;
pub mod retry_after;

mod body;
mod call_progress;
mod credentials_data;
mod fingerprint;
pub mod proxies;
mod share;
mod sid;
mod transport_error;
mod vendor_errors;

pub use answer::{Grant, GrantForm};
pub use base_url::{MediaApiUrl, MediaApiUrlError};
pub use call::{CallLimits, GrantCall, Origin, PlayerStreamerSid, Ttl};
pub use client::{ClientConfigError, MediaClient, MediaClientConfig};
pub use credentials::{Credentials, CredentialsError};
pub use error::{CallError, CallFailure, FailureClass};
pub use fingerprint::LaneKey;
pub use sid::{is_account_sid, is_api_key_sid};
