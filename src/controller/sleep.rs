//! Notices that the machine, or the process, has slept: timers stand still meanwhile, and grants age.

use std::sync::Arc;
use std::time::Duration;

use super::Context;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// More than a busy machine is late by.
const SLEPT_AFTER: Duration = Duration::from_secs(3);

/// Wakes all requests after a sleep, for as long as it is polled.
pub(super) async fn watch(context: Arc<Context>) {
    loop {
        let before = context.clock.instant();
        tokio::time::sleep(LOOK_EVERY).await;
        let passed = context.clock.instant().since(before);
        if passed > SLEPT_AFTER {
            tracing::warn!(seconds = passed.as_secs(), "this process has stood still: every request is looked at anew");
            context.registry.wake_all();
            context.dispatcher.wake();
        }
    }
}
