//! Answers of the Media API, into the memory of who asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::jiff::SignedDuration;

use super::lane_log::LaneLog;
use super::registry::Registry;
use crate::clock::Clock;
use crate::lifecycle::{HeldGrant, Memory, whole_millis};
use crate::media::dispatcher::{Event, Order};
use crate::media::{CallError, Grant, LaneKey};
use crate::telemetry::Metrics;
use crate::time::{Instant, Now};

/// A Media API whose clock differs by more than this is warned of, once.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// What a grant is answered with; the source is the vendor's API description.
const GRANTED: u16 = 201;

/// Takes in what the dispatcher tells.
pub(super) fn receiver(clock: Clock, registry: Arc<Registry>, metrics: Arc<Metrics>) -> impl Fn(Event) + Send + Sync + 'static {
    let warned = AtomicBool::new(false);
    let log = LaneLog::default();
    move |event| match event {
        Event::Answered { order, lane, issue, result } => {
            let now = clock.instant();
            let status = result.as_ref().map_or_else(CallError::status, |_| Some(GRANTED));
            metrics.media_api_answered(result.as_ref().map(|_| ()).map_err(CallError::class), status, now.since(issue.instant));
            let difference = result.as_ref().ok().and_then(|grant| Some(grant.date_created?.duration_since(issue.wall)));
            if let Some(difference) = difference {
                metrics.media_api_clock_differs(difference);
            }
            if let Some(difference) = difference.filter(|difference| difference.abs() > CLOCK_TOLERANCE)
                && !warned.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(
                    seconds = difference.as_secs(),
                    "the Media API's clock differs from this machine's. Grants are not affected: their expiry is counted from when they were asked for"
                );
            }
            let failed = result.as_ref().err().map(CallError::class);
            let taken = registry.with(&order.caller, |memory| take_in(memory, &order, lane, issue, result, now));
            if let Some(class) = failed {
                log.failed(lane, class, now);
                if taken == Some(true) {
                    metrics.refresh_failed(class);
                }
            }
            registry.wake(&order.caller);
        }
        Event::AttemptFailed { error, took } => metrics.media_api_answered(Err(error.class()), error.status(), took),
        Event::LanesOpened { opened, number } => log.opened(&opened, number, clock.instant()),
        Event::LaneForgotten(lane) => log.forgotten(lane),
        Event::LanesClosed { closed, class, number } => {
            log.closed(&closed, class, number, clock.instant());
            registry.wake_each(&closed.waiting);
        }
        // They say so, and wait for somebody to mend it.
        Event::LaneSlowed { waiting } => registry.wake_each(&waiting),
    }
}

/// Takes in an answer, if it is awaited still; returns whether it is.
fn take_in(memory: &mut Memory, order: &Order, lane: LaneKey, issue: Now, result: Result<Grant, CallError>, now: Instant) -> bool {
    let is_awaited =
        memory.ordered.as_ref().is_some_and(|ordered| ordered.subject.request_hash == order.tag && ordered.subject.lane == lane);
    if !is_awaited {
        return false;
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
    true
}
