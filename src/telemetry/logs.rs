//! Logs: one line for a transition, none for a refresh as usual.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::transition::Transition;
use crate::lifecycle::Identity;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// kube's client logs the whole of an answer that it can't decode, and an answer may be a Secret: that module is kept silent at every level.
const NEVER_LOGGED: &str = "kube_client::client=off";

/// kube's runtime would put its own words around each line, and logs each reconcile; its watches warn at each attempt, of which the operator
/// tells once. The look-up of names warns at each about a line of /etc/resolv.conf that it doesn't know. `--log-level` may ask for them by
/// these names.
const QUIETER: &str = "kube_runtime=warn,kube_runtime::watcher=error,hickory_resolver=error,hickory_net=error";

/// Starts logging to standard error.
pub fn init(format: LogFormat, level: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(format!("{QUIETER},{level}"))?.add_directive(NEVER_LOGGED.parse()?);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.with_ansi(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

/// Logs what has come about. `shared`: it is told already of all that the Media API fails together.
pub fn log(identity: &Identity, transition: &Transition, shared: bool) {
    let (Identity { namespace, name, .. }, Transition { is_warning, reason, text, is_of_failure, .. }) = (identity, transition);
    if *is_of_failure && shared {
        tracing::debug!(namespace, request = name, reason, "{text}");
    } else if *is_warning {
        tracing::warn!(namespace, request = name, reason, "{text}");
    } else {
        tracing::info!(namespace, request = name, reason, "{text}");
    }
}
