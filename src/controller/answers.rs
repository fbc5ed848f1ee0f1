//! Answers of the Media API, into the memory of who asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::jiff::SignedDuration;

use super::registry::Registry;
use crate::clock::Clock;
use crate::lifecycle::{HeldGrant, Memory, reason_of, whole_millis};
use crate::media::dispatcher::{Event, Order};
use crate::media::{CallError, Grant, LaneKey};
use crate::telemetry::Metrics;
use crate::time::{Instant, Now};

/// A Media API whose clock differs by more than this is warned of, once.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// Takes in what the dispatcher tells.
pub(super) fn receiver(clock: Clock, registry: Arc<Registry>, metrics: Arc<Metrics>) -> impl Fn(Event) + Send + Sync + 'static {
    let warned = AtomicBool::new(false);
    move |event| match event {
        Event::Answered { order, lane, issue, result } => {
            metrics.media_api_answered(result.as_ref().map(|_| ()).map_err(CallError::class));
            if let Ok(grant) = &result
                && let Some(difference) = clock_difference(grant, issue)
                && !warned.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(
                    seconds = difference.as_secs(),
                    "the Media API's clock differs from this machine's. Grants are not affected: their expiry is counted from when they were asked for"
                );
            }
            let now = clock.instant();
            registry.with(&order.caller, |memory| take_in(memory, &order, lane, issue, result, now));
            registry.wake(&order.caller);
        }
        Event::AttemptFailed { class } => metrics.media_api_answered(Err(class)),
        Event::LaneClosed { class, waiting } => {
            tracing::warn!(
                reason = reason_of(class).as_str(),
                waiting = waiting.len(),
                "the Media API fails calls with the same credentials: they wait, and one at a time probes it"
            );
            for caller in waiting {
                registry.wake(&caller);
            }
        }
    }
}

fn take_in(memory: &mut Memory, order: &Order, lane: LaneKey, issue: Now, result: Result<Grant, CallError>, now: Instant) {
    let is_awaited =
        memory.ordered.as_ref().is_some_and(|ordered| ordered.subject.request_hash == order.tag && ordered.subject.lane == lane);
    if !is_awaited {
        return;
    }
    match result {
        Ok(grant) => {
            let held = HeldGrant {
                grant,
                player_streamer_sid: order.call.player_streamer_sid.clone(),
                issue: issue.instant,
                issue_time: whole_millis(issue.wall),
                ttl: order.call.ttl,
                request_hash: order.tag.clone(),
            };
            memory.granted(held, now);
        }
        Err(error) => {
            let covered_until = memory.hand.as_ref().map(|hand| hand.expiry());
            memory.failed(error.class(), error.to_string(), covered_until, now, rand::random());
        }
    }
}

fn clock_difference(grant: &Grant, issue: Now) -> Option<SignedDuration> {
    let difference = grant.date_created?.duration_since(issue.wall);
    (difference.abs() > CLOCK_TOLERANCE).then_some(difference)
}
