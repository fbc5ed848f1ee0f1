//! One reconcile: observe, decide, act, until there is nothing but to report.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};

use super::Context;
use super::act::Actor;
use super::api::ApiFailure;
use super::registry::{ObjectName, Trigger};
use super::served::ServedRequest;
use super::turns::Turn;
use crate::api::names::annotation;
use crate::api::{PlaybackGrantRequestStatus, ValidSpec};
use crate::lifecycle::{CredentialsView, Decision, Identity, LaneClosed, Report, SecretView, Seen, Standing, Step, decide, reason_of};
use crate::media::lane::Caller;
use crate::telemetry;
use crate::time::{Instant, Now};

/// More steps than any orderly course of things takes. Whoever needs more comes back after the others.
const MOST_STEPS: usize = 16;
const AFTER_MOST_STEPS: Duration = Duration::from_millis(100);

/// Whoever waits for a turn to write looks again after this.
const WITHOUT_A_TURN: Duration = Duration::from_secs(5);

/// What a reconcile works on.
struct Request<'a> {
    context: &'a Context,
    object: &'a ServedRequest,
    identity: Identity,
    caller: Caller,
    names: Names,
}

/// Under which names its affairs are looked up: made once, since they are at each step.
struct Names {
    request: ObjectName,
    /// The grant Secret and the credentials Secret, where the spec names them.
    secrets: Option<[ObjectName; 2]>,
}

impl Names {
    fn of(identity: &Identity, spec: Option<&ValidSpec>) -> Self {
        let namespace: Arc<str> = identity.namespace.as_str().into();
        let name = |name: Arc<str>| ObjectName::new(namespace.clone(), name);
        let secrets = spec.map(|spec| [&spec.secret_name, &spec.credentials_secret_name].map(|secret| name(secret.clone())));
        // Most are called like their Secrets.
        let shared = spec.map(|spec| &spec.secret_name).filter(|secret| ***secret == *identity.name).cloned();
        Self { request: name(shared.unwrap_or_else(|| identity.name.as_str().into())), secrets }
    }
}

/// Brings one request as far as it can be brought now. Never fails: what fails is remembered, reported, and tried again when it is due.
pub(super) async fn reconcile(object: Arc<ServedRequest>, scope: usize, trigger: &Trigger, context: &Context) -> Action {
    let identity =
        Identity { namespace: object.namespace().unwrap_or_default(), name: object.name_any(), uid: object.uid().unwrap_or_default() };
    let now = context.clock.instant();
    let status = object.read_status();
    let shown = object.meta().resource_version.as_deref().zip(status.as_deref());
    let names = Names::of(&identity, object.spec.as_ref().as_ref().ok());
    let (caller, predecessor) = context.registry.enter(&identity.uid, &names.request, shown, scope, trigger, now);
    drop(status);
    if let Some(predecessor) = &predecessor {
        context.dispatcher.forget(predecessor);
        context.metrics.forget(predecessor);
        context.forget_turns(predecessor);
    }
    let request = Request { context, object: &object, identity, caller, names };
    request.follow();
    if predecessor.is_some() {
        // Its credentials may be nobody's now.
        context.credentials.sweep();
    }
    let mut awaits_turn = false;
    for _ in 0..MOST_STEPS {
        if context.stop.is_cancelled() {
            return Action::await_change();
        }
        let now = context.clock.now();
        match request.decide(now, awaits_turn) {
            None => {
                context.leave_turns(scope, &request.caller);
                return Action::await_change();
            }
            Some(Decision::Step(step)) => awaits_turn |= !request.act(step, scope).await,
            Some(Decision::Rest { report: Some(Report { status, write_at: Some(write_at) }), look_at }) if write_at <= now.instant => {
                if !awaits_turn {
                    context.secret_turns.leave(scope, &request.caller);
                }
                let urgency = context.registry.with(&request.caller, |memory| memory.told.urgency(&status));
                let Some(turn) =
                    urgency.and_then(|urgency| context.status_turns.take(scope, &request.identity.namespace, &request.caller, urgency))
                else {
                    // It is woken when its turn has come; should nobody wake it, it comes by itself.
                    return rest(look_at.into_iter().chain([now.instant + WITHOUT_A_TURN]).min(), now);
                };
                request.write_status(&turn, status).await;
            }
            Some(Decision::Rest { report, look_at }) => {
                context.status_turns.leave(scope, &request.caller);
                let next = look_at.into_iter().chain(report.and_then(|report| report.write_at));
                if awaits_turn {
                    return rest(next.chain([now.instant + WITHOUT_A_TURN]).min(), now);
                }
                context.secret_turns.leave(scope, &request.caller);
                return rest(next.min(), now);
            }
        }
    }
    Action::requeue(AFTER_MOST_STEPS)
}

impl Request<'_> {
    /// Names the Secrets whose changes concern this request.
    fn follow(&self) {
        self.context.registry.with(&self.caller, |memory| {
            if let Ok(spec) = &*self.object.spec {
                memory.concerns(spec.secret_name.clone(), self.object.meta().generation);
                memory.paused |= spec.suspend;
            }
        });
        let secrets = self.names.secrets.as_ref().map(<[ObjectName; 2]>::as_slice).unwrap_or_default();
        self.context.abandon(self.context.registry.follow(&self.caller, &self.object.spec, secrets));
    }

    fn decide(&self, now: Now, awaits_turn: bool) -> Option<Decision> {
        let Self { context, object, identity, caller, names } = self;
        let (secret, strays, credentials) = match &names.secrets {
            Some([target, credentials]) => (
                context.secrets.view(target),
                context.secrets.strays(identity, &names.request, &target.name),
                context.credentials.view(credentials),
            ),
            None => (Arc::new(SecretView::NotLooked), Vec::new(), CredentialsView::NotRead),
        };
        let lane_closed = context.dispatcher.closure(caller).map(|(class, slow)| LaneClosed { class, slow });
        let refresh_request =
            [annotation::REFRESH_REQUESTED_AT, annotation::FLUX_REQUESTED_AT].into_iter().find_map(|name| object.annotations().get(name));
        context.registry.with(caller, |memory| {
            let seen = Seen {
                identity,
                generation: object.meta().generation,
                deleting: object.meta().deletion_timestamp.is_some(),
                spec: object.spec.as_ref().as_ref(),
                refresh_request: refresh_request.map(String::as_str),
                secret: &secret,
                strays: &strays,
                credentials: &credentials,
                lane_closed,
                status_interval: context.status_interval,
                awaits_turn,
                memory,
            };
            let decision = decide(&seen, now);
            if let Decision::Rest { .. } = decision {
                // Within: a request that goes just now is forgotten after this.
                context.metrics.stands(caller, identity, Standing::of(&seen, now));
            }
            decision
        })
    }

    /// Returns whether it could be done, or tried: what changes a Secret may have to await its turn.
    async fn act(&self, step: Step, scope: usize) -> bool {
        let Self { context, object, identity, caller, .. } = self;
        let Ok(spec) = &*object.spec else {
            // The only step without a valid spec is to withdraw.
            context.dispatcher.withdraw(caller);
            context.registry.with(caller, |memory| memory.ordered = None);
            return true;
        };
        let actor = Actor { context, caller, identity, spec };
        if !step.is_write() {
            actor.act(step).await;
            return true;
        }
        let now = context.clock.instant();
        let Some(urgency) = context.registry.with(caller, |memory| memory.write_urgency(now)) else { return true };
        let Some(turn) = context.secret_turns.take(scope, &identity.namespace, caller, urgency) else {
            if !matches!(step, Step::DeleteStray { .. }) {
                actor.held_up();
            }
            return false;
        };
        if let Some(is_answered) = actor.act(step).await {
            turn.ended(is_answered);
        }
        true
    }

    async fn write_status(&self, turn: &Turn<'_>, status: PlaybackGrantRequestStatus) {
        let Self { context, identity, caller, .. } = self;
        let closed_by = context.dispatcher.closure(caller).map(|(class, _)| reason_of(class));
        let known = context.registry.with(caller, |memory| (memory.server_limit(), memory.told.version().map(str::to_owned)));
        let Some((limit, version)) = known else { return };
        let written = context.server.within(limit).write_status(identity, version.as_deref(), &status).await;
        turn.ended(written.as_ref().err().is_none_or(ApiFailure::is_answer));
        let now = context.clock.instant();
        match written {
            Ok(version) => {
                let before = context.registry.with(caller, |memory| {
                    let before = memory.told.written(status.clone(), version, now);
                    (before, memory.told.shares_failure(closed_by))
                });
                let (before, shared) = before.unwrap_or_default();
                for transition in telemetry::transitions(&before, &status) {
                    telemetry::log(identity, &transition, shared);
                    context.events.tell(caller, identity, transition);
                }
            }
            // The request is gone, or is another of the same name: the watch says so soon.
            Err(ApiFailure::NotFound) => drop(context.registry.with(caller, |memory| memory.told.refused(true, now))),
            Err(ApiFailure::Conflict) => drop(context.registry.with(caller, |memory| memory.told.outrun(now))),
            Err(failure) => {
                let held = context.registry.with(caller, |memory| {
                    memory.told.refused(failure.is_refusal(), now);
                    memory.told.held
                });
                // Of an API server that is in trouble itself one line tells for all.
                if failure.is_refusal() && held.flatten().is_some_and(|held| held.is_first()) {
                    let unsaid =
                        status.conditions.first().map(|ready| format!("Ready={} {}: {}", ready.status, ready.reason, ready.message));
                    tracing::warn!(
                        namespace = identity.namespace,
                        request = identity.name,
                        unsaid,
                        "could not write the status: {}; trying again",
                        failure.words()
                    );
                }
            }
        }
    }
}

/// Comes back at that instant without being woken.
fn rest(until: Option<Instant>, now: Now) -> Action {
    match until {
        Some(instant) => Action::requeue(instant.since(now.instant).max(Duration::from_millis(1))),
        None => Action::await_change(),
    }
}
