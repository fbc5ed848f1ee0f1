//! Logs: one line for a transition, none for a refresh as usual.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::api::PlaybackGrantRequestStatus;
use crate::api::condition::ConditionType;
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
/// tells once. `--log-level` may ask for them by these names.
const QUIETER: &str = "kube_runtime=warn,kube_runtime::watcher=error";

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

/// Logs what changed from one status to the next, if a person would want to know.
pub fn transition(identity: &Identity, before: &PlaybackGrantRequestStatus, after: &PlaybackGrantRequestStatus) {
    let condition = |status: &PlaybackGrantRequestStatus, type_: ConditionType| {
        let found = status.conditions.iter().find(|condition| condition.type_ == type_.as_str());
        found.map(|condition| (condition.status == "True", condition.reason.clone(), condition.message.clone()))
    };
    let Identity { namespace, name, .. } = identity;
    let essence = |status, type_| condition(status, type_).map(|(is_true, reason, _)| (is_true, reason));
    let (ready_before, ready_after) = (essence(before, ConditionType::Ready), essence(after, ConditionType::Ready));
    let (failing_before, failing_after) = (essence(before, ConditionType::RefreshFailing), essence(after, ConditionType::RefreshFailing));
    match condition(after, ConditionType::RefreshFailing) {
        Some((_, reason, message)) if failing_before != failing_after => {
            tracing::warn!(namespace, request = name, reason, "refresh is failing: {message}");
        }
        None if failing_before.is_some() => tracing::info!(namespace, request = name, "refresh is no longer failing"),
        _ => {}
    }
    // What stands in the way of something else than the grant is told by this condition alone.
    let aside = |status, failing: &Option<_>| essence(status, ConditionType::Stalled).filter(|_| failing.is_none());
    let (aside_before, aside_after) = (aside(before, &failing_before), aside(after, &failing_after));
    if ready_after.as_ref().is_some_and(|(is_true, _)| *is_true) && aside_before != aside_after {
        match condition(after, ConditionType::Stalled).filter(|_| aside_after.is_some()) {
            Some((_, reason, message)) => tracing::warn!(namespace, request = name, reason, "stalled: {message}"),
            None if ready_before == ready_after && essence(after, ConditionType::Stalled).is_none() => {
                tracing::info!(namespace, request = name, "no longer stalled");
            }
            None => {}
        }
    }
    if ready_before == ready_after {
        return;
    }
    match condition(after, ConditionType::Ready) {
        Some((true, reason, message)) => tracing::info!(namespace, request = name, reason, "ready: {message}"),
        Some((false, reason, message)) if failing_after.is_none() => {
            tracing::info!(namespace, request = name, reason, "not ready: {message}");
        }
        Some((false, reason, _)) => tracing::warn!(namespace, request = name, reason, "not ready: the Secret holds no unexpired grant"),
        None => {}
    }
}
