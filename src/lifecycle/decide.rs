//! The decision: the one next step, or what to report and when to look again.

use std::sync::Arc;
use std::time::Duration;

use super::hand::HeldGrant;
use super::memory::{Memory, Ordered};
use super::order::{Contents, SecretOrder, has_unwanted_token};
use super::report::{Report, report};
use super::secret::{SecretMeta, SecretVersion};
use super::situation::{CredentialsView, Seen, Situation, Target};
use super::token::Token;
use crate::media::GrantCall;
use crate::media::lane::{Hold, Kind, Waiting};
use crate::time::{Instant, Now};

/// A Secret that can't be written, and of which the watch doesn't tell, is looked at again this often.
const IDLE_LOOK: Duration = Duration::from_secs(10);

/// At most one forced call in this time.
const FORCED_INTERVAL: Duration = Duration::from_secs(2);

/// What to do now.
#[derive(Clone, Debug)]
pub enum Decision {
    /// A step; after it, decide again.
    Step(Step),
    /// Nothing but to report, and to look again at that instant at the latest.
    Rest {
        /// What to report; `None` for a request that is being deleted.
        report: Option<Report>,
        /// When time alone may change the decision.
        look_at: Option<Instant>,
    },
}

impl Step {
    /// Whether it asks the API server to change a Secret.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Patch { .. } | Self::Replace(_) | Self::DeleteStray { .. })
    }
}

/// One step towards the spec.
#[derive(Clone, Debug)]
pub enum Step {
    /// Get the metadata of the Secret that the spec names.
    Look,
    /// Read that Secret whole, and compare it.
    Read,
    /// Read the credentials.
    ReadCredentials,
    /// Make the Secret; `restore`: again, with the grant that it held.
    Create {
        /// What to make.
        order: SecretOrder,
        /// Whether others have deleted it, or made it what can't be changed.
        restore: bool,
    },
    /// Change the Secret, if it is still this version; `repair`: since others changed it.
    Patch {
        /// The version to change.
        version: SecretVersion,
        /// What to change.
        order: SecretOrder,
        /// Whether it is done since others changed it, not for a new grant.
        repair: bool,
    },
    /// Delete the Secret that the spec names, if it is still this version, since it can't be changed.
    Replace(SecretVersion),
    /// Delete a Secret that an earlier spec named, if it is still this version.
    DeleteStray {
        /// Its name.
        name: String,
        /// The version to delete.
        version: SecretVersion,
    },
    /// Put a call into its lane, in place of the one that is there.
    Order {
        /// What the answer is for.
        ordered: Ordered,
        /// What is asked for.
        call: GrantCall,
        /// How it waits.
        waiting: Waiting,
    },
    /// Take the call out of its lane.
    Withdraw,
}

/// Decides from what is seen, at the instant now.
#[must_use]
pub fn decide(seen: &Seen<'_>, now: Now) -> Decision {
    if seen.deleting {
        return withdrawn(seen.memory).unwrap_or(Decision::Rest { report: None, look_at: None });
    }
    match seen.spec {
        Err(invalid) => {
            withdrawn(seen.memory).unwrap_or_else(|| Decision::Rest { report: Some(Report::invalid(seen, invalid, now)), look_at: None })
        }
        Ok(spec) => {
            let situation = Situation::of(*seen, spec, now);
            match situation.step() {
                Some(step) => Decision::Step(step),
                None => Decision::Rest { look_at: situation.look_at(), report: Some(report(&situation)) },
            }
        }
    }
}

fn withdrawn(memory: &Memory) -> Option<Decision> {
    memory.ordered.is_some().then_some(Decision::Step(Step::Withdraw))
}

impl Situation<'_> {
    fn step(&self) -> Option<Step> {
        if self.idle() {
            let looks = self.idle_look_at().is_some_and(|look_at| look_at <= self.now.instant) && self.may_ask_api_server();
            // First the call: it would be made while the look is under way.
            return self.seen.memory.ordered.as_ref().map(|_| Step::Withdraw).or(looks.then_some(Step::Look));
        }
        if self.may_ask_api_server()
            && let Some(step) = self.secret_step()
        {
            return Some(step);
        }
        self.call_step().or_else(|| self.stray_step())
    }

    /// Whether something waits for the API server.
    pub(super) fn needs_api_server(&self) -> bool {
        *self.seen.credentials == CredentialsView::NotRead || self.secret_step().is_some()
    }

    /// Whether nothing is to be done for the Secret, whatever its state.
    fn idle(&self) -> bool {
        self.spec.suspend || self.is_held() || matches!(self.target, Target::Foreign(_))
    }

    fn secret_step(&self) -> Option<Step> {
        let grant = || self.hand.and(self.seen.memory.hand.clone());
        match self.target {
            Target::NotLooked | Target::Outdated(_) => Some(Step::Look),
            Target::Foreign(_) => None,
            Target::Absent => {
                let grant = grant().filter(|_| !self.awaits_restore())?;
                let token = self.token(&grant);
                if self.awaits_credentials(&token) {
                    return Some(Step::ReadCredentials);
                }
                let contents = Contents { grant, token: token.order() };
                let order = SecretOrder::new(self.seen.identity, self.spec, None, Some(contents));
                Some(Step::Create { order, restore: self.grant_has_landed() })
            }
            Target::Ours(meta) if self.needs_read(meta) => Some(Step::Read),
            Target::Ours(meta) => match grant() {
                Some(_) if self.awaits_repair() => None,
                Some(grant) => self.wanted_write(meta, &grant),
                None => self.unwanted_token(meta),
            },
        }
    }

    /// Whether somebody else may have written the Secret's data, or nobody here knows it yet.
    pub(super) fn needs_read(&self, meta: &SecretMeta) -> bool {
        let memory = self.seen.memory;
        let known = [&memory.verified, &memory.damaged, &memory.unpatchable].into_iter().any(|known| known.as_ref() == Some(&meta.version));
        !known && self.covered_until().is_some()
    }

    pub(super) fn wanted_write(&self, meta: &SecretMeta, grant: &Arc<HeldGrant>) -> Option<Step> {
        let memory = self.seen.memory;
        let version = meta.version.clone();
        if memory.unpatchable.as_ref() == Some(&version) {
            return (!self.awaits_restore()).then_some(Step::Replace(version));
        }
        let token = self.token(grant);
        let right = self.holds_hand && self.has_beside_it(&token, meta);
        if !right && self.awaits_credentials(&token) {
            return Some(Step::ReadCredentials);
        }
        if right && SecretOrder::is_needless(self.seen.identity, self.spec, meta) {
            return None;
        }
        let repair = self.repairs(meta) && (right || self.has_landed(&token));
        let contents = (!right).then(|| Contents { grant: grant.clone(), token: token.order() });
        let order = SecretOrder::new(self.seen.identity, self.spec, Some(meta), contents);
        Some(Step::Patch { version, order, repair })
    }

    /// Takes out a token that is asked for no more, also where there is no unexpired grant that could be written with it.
    fn unwanted_token(&self, meta: &SecretMeta) -> Option<Step> {
        let memory = self.seen.memory;
        // What is known to be of no use is replaced as a whole, with the next grant.
        let is_lost = [&memory.damaged, &memory.unpatchable].into_iter().any(|lost| lost.as_ref() == Some(&meta.version));
        let waits = self.repair_at().is_some_and(|at| self.now.instant < at);
        let goes = has_unwanted_token(self.spec, meta) && !is_lost && !waits;
        let order = || SecretOrder::new(self.seen.identity, self.spec, Some(meta), None);
        goes.then(|| Step::Patch { version: meta.version.clone(), order: order(), repair: false })
    }

    /// Whether the key that signs is looked for before the grant is written. Only once: while the API server doesn't give the credentials, the
    /// grant is written without a token.
    fn awaits_credentials(&self, token: &Token) -> bool {
        *token == Token::Unread && !self.seen.memory.credentials_withheld
    }

    /// What an earlier spec named goes only once the grant is where the present one wants it. Nothing waits for it.
    fn stray_step(&self) -> Option<Step> {
        let may = self.holds_hand && self.may_ask_api_server();
        let stray = self.seen.strays.iter().find(|stray| may && self.held_until(stray).is_none_or(|until| until <= self.now.instant))?;
        Some(Step::DeleteStray { name: stray.name.to_string(), version: stray.version.clone() })
    }

    fn held_until(&self, stray: &SecretMeta) -> Option<Instant> {
        self.seen.memory.strays_held.of(&stray.name).map(|held| held.until)
    }

    fn call_step(&self) -> Option<Step> {
        let ordered = self.seen.memory.ordered.as_ref();
        let withdraw = || ordered.map(|_| Step::Withdraw);
        if *self.seen.credentials == CredentialsView::NotRead && self.may_ask_api_server() {
            return Some(Step::ReadCredentials);
        }
        let Some(subject) = self.subject() else { return withdraw() };
        let refresh_request = self.unhandled_refresh();
        let forced = refresh_request.is_some() && self.forced_at().is_none_or(|at| at <= self.now.instant);
        let failure = self.seen.memory.failure.as_ref();
        let is_changed = failure.is_some_and(|failure| failure.mended);
        let hold = failure.filter(|failure| failure.subject == subject).map_or(Hold::Nothing, |failure| failure.hold);
        if let Some(ordered) = ordered.filter(|ordered| ordered.subject == subject) {
            let is_held = self.seen.lane_closed.is_some() || hold.until().is_some_and(|until| self.now.instant < until);
            let is_overtaken = is_held && (forced && !ordered.forced || is_changed);
            // Another wish meanwhile is handled after this one.
            let is_wished = ordered.refresh_request.is_some() && refresh_request.is_some();
            if !is_overtaken {
                return if is_wished || self.is_due() { None } else { withdraw() };
            }
        }
        if self.held_back_by_refusal() || !(forced || self.is_due()) {
            return withdraw();
        }
        if self.absence_is_old() && self.may_ask_api_server() {
            return Some(Step::Look);
        }
        let hold = if forced || is_changed { Hold::Nothing } else { hold };
        // Somebody has changed something since it failed, or since it began to wait.
        let before = failure.map(|failure| &failure.subject).or(ordered.map(|ordered| &ordered.subject));
        let is_mended = is_changed || before.is_some_and(|before| before.request_hash != subject.request_hash);
        let deadline = self.hand.map(HeldGrant::expiry).or(self.held_life.map(|life| life.expiry)).unwrap_or(self.seen.memory.arrival);
        let kind = if self.hand.is_none() && self.held_life.is_none() { Kind::Newcomer } else { Kind::Refresh };
        Some(Step::Order {
            ordered: Ordered { subject, refresh_request: refresh_request.map(str::to_owned), forced },
            call: self.spec.call.clone(),
            waiting: Waiting { kind, deadline, hold, urgent: forced || is_mended },
        })
    }

    /// Whether it was found so long ago that there is no Secret that another may have made one since, which the watch doesn't show.
    fn absence_is_old(&self) -> bool {
        let looked = self.seen.memory.looked;
        matches!(self.target, Target::Absent) && looked.is_none_or(|looked| self.now.instant.since(looked) >= IDLE_LOOK)
    }

    fn is_due(&self) -> bool {
        let unexpired = self.hand.is_some() || self.covered_until().is_some();
        !unexpired || self.due().is_none_or(|due| due <= self.now.instant)
    }

    /// Nothing is asked for that the API server has just refused to store, nor before it is known whose the Secret is.
    fn held_back_by_refusal(&self) -> bool {
        let refused = self.seen.memory.trouble.as_ref().is_some_and(|trouble| trouble.refused);
        matches!(self.target, Target::NotLooked) || (refused && !self.may_ask_api_server())
    }

    /// Whether a call that is due isn't made since the API server has to answer first.
    pub(super) fn awaits_api_server(&self) -> bool {
        self.held_back_by_refusal() && self.is_due()
    }

    fn forced_at(&self) -> Option<Instant> {
        self.seen.memory.last_forced.map(|last| last + FORCED_INTERVAL)
    }

    fn idle_look_at(&self) -> Option<Instant> {
        let looks = match self.target {
            Target::Foreign(_) => true,
            Target::Ours(meta) => self.is_held() && !meta.is_watched(),
            _ => false,
        };
        looks.then(|| self.seen.memory.looked.map_or(self.now.instant, |looked| looked + IDLE_LOOK))
    }

    fn look_at(&self) -> Option<Instant> {
        let waits_for_due = self.seen.memory.ordered.is_none() && !self.idle() && self.subject().is_some();
        [
            self.due().filter(|_| waits_for_due),
            self.forced_at().filter(|_| !self.idle() && self.unhandled_refresh().is_some()),
            self.covered_until(),
            // Until then it may be waiting to be written.
            self.hand.map(HeldGrant::expiry),
            self.idle_look_at(),
            self.repair_at().filter(|_| !self.idle()),
            self.restore_at().filter(|_| !self.idle()),
            self.seen.memory.repairs.forgotten_at().filter(|_| !self.idle()),
            self.seen.memory.restores.forgotten_at().filter(|_| !self.idle()),
            self.seen.memory.trouble.as_ref().filter(|trouble| !trouble.terminating).map(|trouble| trouble.backoff.until),
        ]
        .into_iter()
        .flatten()
        .chain(self.seen.strays.iter().filter_map(|stray| self.held_until(stray)))
        .filter(|instant| self.now.instant < *instant)
        .min()
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
