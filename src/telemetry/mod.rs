//! Logs, metrics, health.

mod health;
mod logs;
mod metrics;
mod server;
mod transition;

pub use health::Gates;
#[cfg(test)]
pub(crate) use logs::logged;
pub use logs::{Log, LogFormat, init as init_logs, log};
pub use metrics::Metrics;
pub use server::serve;
pub use transition::{Transition, transitions};
