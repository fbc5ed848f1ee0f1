//! Why all is not well, if it isn't.

use super::fight::Fight;
use super::memory::reason_of;
use super::situation::{CredentialsView, LaneClosed, Situation, Target};
use super::token::CannotSign;
use super::trouble::{Attempt, Trouble};
use crate::api::condition::Reason;
use crate::api::names::annotation;
use crate::media::FailureClass;
use crate::time::rfc3339_millis;

/// What stands in the way of a fresh grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) progress: Progress,
    /// Whether an attempt failed, rather than none having been made yet.
    pub(super) failed: bool,
}

/// What kstatus is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The operator is at it.
    Reconciling,
    /// The operator can't get on without help.
    Stalled,
    /// Nothing is to be done.
    None,
}

fn write_failed(trouble: &Trouble) -> Cause {
    Cause {
        reason: Reason::SecretWriteFailed,
        message: trouble.message.clone(),
        progress: if trouble.refused { Progress::Stalled } else { Progress::Reconciling },
        failed: true,
    }
}

impl Situation<'_> {
    /// What stands in the way of a fresh grant; `None` when all is well or simply not due.
    pub(super) fn cause(&self) -> Option<Cause> {
        let obstacle = self.conflict().or_else(|| self.suspension()).or_else(|| self.held()).or_else(|| self.trouble());
        let attempt = obstacle.or_else(|| self.bad_credentials()).or_else(|| self.failure()).or_else(|| self.closed_lane());
        attempt.or_else(|| self.fight()).or_else(|| self.lost_grant()).or_else(|| self.beginning()).or_else(|| self.unsigned())
    }

    fn conflict(&self) -> Option<Cause> {
        let Target::Foreign(meta) = self.target else { return None };
        let owner = meta.annotations.get(annotation::OWNED_BY).and_then(|owned_by| owned_by.split_once('/')).map(|(owner, _)| owner);
        let whose = match owner {
            Some(owner) if owner != self.seen.identity.name => {
                format!(
                    "belongs to the PlaybackGrantRequest {owner}; it is left untouched. Choose another name in spec.secret.name, or delete it if there is no such request any more"
                )
            }
            _ => format!(
                "does not belong to this request, for it lacks the annotation {} or has another controller; it is left untouched. Delete it, or choose another name in spec.secret.name",
                annotation::OWNED_BY
            ),
        };
        Some(Cause {
            reason: Reason::SecretConflict,
            message: format!("Secret {}/{} exists and {whose}", self.seen.identity.namespace, meta.name),
            progress: Progress::Stalled,
            failed: false,
        })
    }

    fn suspension(&self) -> Option<Cause> {
        self.spec.suspend.then(|| Cause {
            reason: Reason::Suspended,
            message: format!(
                "refreshing is suspended, and Secret {} holds no unexpired grant. Set spec.suspend to false to resume",
                self.secret_path()
            ),
            progress: Progress::None,
            failed: false,
        })
    }

    /// The Secret can't be changed, and can't be made again: it is deleted, and others hold it.
    fn held(&self) -> Option<Cause> {
        self.is_held().then(|| Cause {
            reason: Reason::SecretWriteFailed,
            message: format!(
                "Secret {} can't be changed, for others made it immutable or of another type; it is being deleted, to be made again, and stays until its finalizers are gone (metadata.finalizers). Take them off, or choose another name in spec.secret.name",
                self.secret_path()
            ),
            progress: Progress::Stalled,
            failed: true,
        })
    }

    fn trouble(&self) -> Option<Cause> {
        let trouble = self.seen.memory.trouble.as_ref().filter(|_| self.needs_api_server() || self.awaits_api_server())?;
        // While a good grant is there, whoever has only waited has failed at nothing.
        (trouble.backoff.has_failed() || self.covered_until().is_none()).then(|| write_failed(trouble))
    }

    /// Others change the Secret, or delete it, again and again.
    fn fight(&self) -> Option<Cause> {
        let (fight, goes_on) = self.fight_told()?;
        let (done, mended, tell) = match fight {
            Fight::Deleted => ("deleted", "makes it again", "the API server's audit log tells"),
            Fight::Changed => ("changed", "puts it right", "its metadata.managedFields tell"),
        };
        Some(Cause {
            reason: Reason::SecretConflict,
            message: format!(
                "Secret {} is {done} by others again and again; the operator {mended}, and waits longer each time, up to a minute. Find out who else does it ({tell}), or choose another name in spec.secret.name",
                self.secret_path()
            ),
            progress: if goes_on { Progress::Stalled } else { Progress::Reconciling },
            failed: false,
        })
    }

    /// A grant was received, could not be written, and expired in hand; or the server refused another write, and the grant has expired since.
    /// That is why there is none, until a write succeeds.
    fn lost_grant(&self) -> Option<Cause> {
        let trouble = self.seen.memory.trouble.as_ref().filter(|_| self.covered_until().is_none())?;
        let is_refused_write = trouble.refused && trouble.attempt == Attempt::Write;
        (is_refused_write || self.holds_unwritten_grant()).then(|| write_failed(trouble))
    }

    fn bad_credentials(&self) -> Option<Cause> {
        let path = self.credentials_path();
        let (reason, message) = match self.seen.credentials {
            CredentialsView::NotRead | CredentialsView::Usable { .. } => return None,
            CredentialsView::NotFound => (
                Reason::CredentialsNotFound,
                format!(
                    "Secret {path}, named in spec.credentialsSecretRef, does not exist. Create it with the keys apiKeySid and apiKeySecret, or accountSid and authToken"
                ),
            ),
            CredentialsView::Invalid(why) => {
                (Reason::CredentialsInvalid, format!("Secret {path}, named in spec.credentialsSecretRef, can't be used: {why}"))
            }
        };
        Some(Cause { reason, message, progress: Progress::Stalled, failed: true })
    }

    fn failure(&self) -> Option<Cause> {
        let failure = self.seen.memory.failure.as_ref().filter(|failure| Some(&failure.subject) == self.subject().as_ref())?;
        // The lane's pace is that of all who wait in it.
        let is_slow = failure.slow || self.seen.lane_closed == Some(LaneClosed { class: failure.class, slow: true });
        let stalls = is_slow && failure.class != FailureClass::InvalidResponse;
        Some(Cause {
            reason: reason_of(failure.class),
            message: format!(
                "{} (for PlayerStreamer {}, with the credentials in Secret {})",
                failure.message,
                self.spec.call.player_streamer_sid,
                self.credentials_path()
            ),
            progress: if stalls { Progress::Stalled } else { Progress::Reconciling },
            failed: true,
        })
    }

    /// Others with the same credentials have failed, which is why there is no grant. This request itself has not: a live grant is as well off
    /// as before.
    fn closed_lane(&self) -> Option<Cause> {
        let waits = self.seen.memory.ordered.is_some() && self.covered_until().is_none();
        let LaneClosed { class, slow } = self.seen.lane_closed.filter(|_| waits)?;
        let found = match class {
            FailureClass::Unavailable => "does not answer as it should",
            FailureClass::Throttled { .. } => "throttles the account (429)",
            FailureClass::Unauthorized => "refuses the credentials (401)",
            FailureClass::Forbidden => "forbids the call to these credentials (403)",
            FailureClass::InvalidResponse | FailureClass::NotFound | FailureClass::Rejected => "refuses the calls",
        };
        let remedy = match class {
            FailureClass::Unauthorized | FailureClass::Forbidden => "Check them, and the account's state",
            _ => "The operator goes on by itself once it does",
        };
        Some(Cause {
            reason: reason_of(class),
            message: format!(
                "the Media API {found}: calls with the credentials in Secret {} wait while one at a time probes it. {remedy}",
                self.credentials_path()
            ),
            progress: if slow { Progress::Stalled } else { Progress::Reconciling },
            failed: false,
        })
    }

    /// No attempt has failed: a grant isn't there yet, or no more.
    fn beginning(&self) -> Option<Cause> {
        if self.covered_until().is_some() {
            return None;
        }
        let (reason, message) = match self.held_life {
            Some(life) => (
                Reason::GrantExpired,
                format!(
                    "the grant in Secret {} expired at {}, before a new one was there; a new one is being asked for",
                    self.secret_path(),
                    rfc3339_millis(life.expiry_time)
                ),
            ),
            None => (
                Reason::Issuing,
                format!(
                    "a grant for PlayerStreamer {} is being asked for, to be written into Secret {}",
                    self.spec.call.player_streamer_sid,
                    self.secret_path()
                ),
            ),
        };
        Some(Cause { reason, message, progress: Progress::Reconciling, failed: false })
    }

    /// The grant is kept fresh, without the token that is asked for.
    fn unsigned(&self) -> Option<Cause> {
        let why = self.cannot_sign()?;
        let path = self.credentials_path();
        let (missing, remedy) = match why {
            CannotSign::NoApiKey => (
                format!("only an API key can sign one, and Secret {path} has an account's SID and auth token"),
                "Add the keys apiKeySid and apiKeySecret to it",
            ),
            CannotSign::NoAccount => (
                format!("neither the Media API's answer nor Secret {path} says which account the API key belongs to"),
                "Add the key accountSid to it",
            ),
        };
        Some(Cause {
            reason: Reason::CredentialsCannotSign,
            message: format!(
                "spec.accessToken asks for an Access Token, but {missing}. {remedy}; the grant in Secret {} is kept fresh all the same",
                self.secret_path()
            ),
            progress: Progress::Stalled,
            failed: false,
        })
    }

    fn credentials_path(&self) -> String {
        format!("{}/{}", self.seen.identity.namespace, self.spec.credentials_secret_name)
    }

    pub(super) fn secret_path(&self) -> String {
        format!("{}/{}", self.seen.identity.namespace, self.spec.secret_name)
    }
}
