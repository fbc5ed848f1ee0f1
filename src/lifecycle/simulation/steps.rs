//! What each step does: as `controller::act` and `controller::contents` do it.

use super::objects::{Answer, Call, Failure, StoredSecret};
use super::operator::Reconcile;
use super::world::World;
use crate::api::names::key;
use crate::api::{PlaybackGrantRequestStatus, ValidSpec};
use crate::lifecycle::{Claim, HeldGrant, Memory, SecretOrder, Step};
use crate::media::Grant;
use crate::media::lane::Caller;
use crate::time::{Now, rfc3339_millis};
use secrecy::ExposeSecret as _;

impl World {
    /// Carries out what can be carried out at once; returns what the API server is asked.
    pub(super) fn take(&mut self, reconcile: &Reconcile, step: Step) -> Option<Call> {
        let caller = &reconcile.caller;
        let operator = self.operator.as_mut()?;
        let Ok(spec) = &reconcile.spec else {
            operator.dispatcher.withdraw(caller);
            operator.entries.get_mut(caller)?.memory.ordered = None;
            return None;
        };
        let target = spec.secret_name.clone();
        match step {
            Step::Look => Some(Call::Look(target)),
            Step::Read => Some(Call::Read(target)),
            Step::ReadCredentials => Some(Call::ReadCredentials(spec.credentials_secret_name.clone())),
            Step::Create(order) => Some(Call::Create(target, order)),
            Step::Patch { version, order, repair } => Some(Call::Patch { name: target, version, order, repair }),
            Step::Replace(version) => Some(Call::Delete { name: target, version }),
            Step::DeleteStray { name, version } => Some(Call::Delete { name, version }),
            Step::Order { ordered, call, waiting } => {
                let pair = operator.credentials.pair(&spec.credentials_secret_name)?;
                let tag = ordered.subject.request_hash.clone();
                operator.entries.get_mut(caller)?.memory.ordered(ordered, self.now);
                operator.dispatcher.order(caller, pair, call, tag, waiting);
                None
            }
            Step::Withdraw => {
                operator.dispatcher.withdraw(caller);
                operator.entries.get_mut(caller)?.memory.ordered = None;
                None
            }
        }
    }

    /// Takes in what the API server answered, and goes on.
    pub(super) fn answered(&mut self, request: &str, call: Call, answer: Result<Answer, Failure>) {
        let Some(reconcile) = self.resumed(request) else { return };
        self.take_in_answer(&reconcile, call, answer);
        self.proceed(reconcile);
    }

    fn take_in_answer(&mut self, reconcile: &Reconcile, call: Call, answer: Result<Answer, Failure>) {
        let now = self.now;
        let caller = &reconcile.caller;
        if let Call::Look(_) = call {
            self.remember(caller, |memory| memory.looked = Some(now));
        }
        match (call, answer) {
            (Call::Look(_), Ok(Answer::Meta(meta))) => self.present(meta),
            (Call::Read(_), Ok(Answer::Whole(secret))) => self.read(reconcile, &secret),
            (Call::ReadCredentials(name), Ok(Answer::Credentials(read))) => self.credentials_read(&name, Some(read)),
            (Call::ReadCredentials(name), Err(Failure::NotFound)) => self.credentials_read(&name, None),
            (Call::Create(_, order), Ok(Answer::Meta(meta))) => self.written(caller, meta, &order, false),
            (Call::Patch { order, repair, .. }, Ok(Answer::Meta(meta))) => self.written(caller, meta, &order, repair),
            (Call::Patch { version, .. }, Err(Failure::Unchangeable)) => {
                self.remember(caller, |memory| memory.unpatchable = Some(version));
            }
            (Call::WriteStatus { status, .. }, Ok(_)) => self.remember(caller, |memory| memory.status_written(*status, now)),
            (Call::WriteStatus { .. }, Err(failure)) => {
                let refused = matches!(failure, Failure::NotFound | Failure::Refused | Failure::Unchangeable);
                self.remember(caller, |memory| memory.status_refused(refused, now));
            }
            (Call::Look(name) | Call::Read(name) | Call::Patch { name, .. }, Err(Failure::NotFound))
            | (Call::Delete { name, .. }, Ok(_) | Err(Failure::NotFound)) => {
                if let Some(operator) = &mut self.operator {
                    operator.index.absent(&name);
                }
            }
            (Call::Create(name, _) | Call::Patch { name, .. } | Call::Delete { name, .. }, Err(Failure::Conflict)) => {
                if let Some(operator) = &mut self.operator {
                    operator.index.outdated(&name);
                }
            }
            (Call::Delete { name, .. }, Err(failure)) if reconcile.spec.as_ref().is_ok_and(|spec| spec.secret_name != name) => {
                let refused = matches!(failure, Failure::Refused | Failure::Unchangeable);
                self.remember(caller, |memory| memory.stray_refused(refused, now));
            }
            (call, Err(failure)) => {
                let refused = matches!(failure, Failure::Refused | Failure::Unchangeable);
                self.remember(caller, |memory| memory.troubled(format!("could not {}: {failure:?}", verb(&call)), refused, false, now));
            }
            (call, Ok(answer)) => panic!("{answer:?} answers {call:?}"),
        }
    }

    fn read(&mut self, reconcile: &Reconcile, secret: &StoredSecret) {
        let Ok(spec) = &reconcile.spec else { return };
        let now = self.instants();
        let version = secret.meta.version.clone();
        let claim = secret.meta.claim();
        self.present(secret.meta.clone());
        self.remember(&reconcile.caller, |memory| {
            let in_hand = memory.hand.clone();
            match claim.and_then(|claim| held_grant(secret, &claim, spec, in_hand.as_deref(), now)) {
                Some(held) => memory.read_intact(version, held, true),
                None => memory.read_damaged(version),
            }
        });
    }

    fn written(&mut self, caller: &Caller, meta: crate::lifecycle::SecretMeta, order: &SecretOrder, repair: bool) {
        let now = self.now;
        let version = meta.version.clone();
        let undone = !order.is_fulfilled_by(&meta);
        self.present(meta);
        self.remember(caller, |memory| memory.written(version, order.contents.as_ref(), repair, undone, now));
    }

    fn credentials_read(&mut self, name: &str, read: Option<super::objects::StoredCredentials>) {
        if let Some(operator) = &mut self.operator {
            operator.credentials.read(name, read);
        }
    }

    fn present(&mut self, meta: crate::lifecycle::SecretMeta) {
        if let Some(operator) = &mut self.operator {
            operator.index.present(meta);
        }
    }

    fn remember(&mut self, caller: &Caller, action: impl FnOnce(&mut Memory)) {
        if let Some(entry) = self.operator.as_mut().and_then(|operator| operator.entries.get_mut(caller)) {
            action(&mut entry.memory);
        }
    }
}

const fn verb(call: &Call) -> &'static str {
    match call {
        Call::Look(_) => "look at Secret",
        Call::Read(_) => "read Secret",
        Call::ReadCredentials(_) => "read credentials",
        Call::Create(..) => "create Secret",
        Call::Patch { .. } => "update Secret",
        Call::Delete { .. } => "delete Secret",
        Call::WriteStatus { .. } => "write the status",
    }
}

fn held_grant(secret: &StoredSecret, claim: &Claim, spec: &ValidSpec, in_hand: Option<&HeldGrant>, now: Now) -> Option<HeldGrant> {
    let text = |name: &str| secret.data.get(name).map(String::as_str);
    let sid = &spec.call.player_streamer_sid;
    let fits = text(key::PLAYER_STREAMER_SID) == Some(sid.as_str())
        && text(key::ISSUE_TIME) == Some(&rfc3339_millis(claim.issue_time))
        && text(key::EXPIRY_TIME) == Some(&rfc3339_millis(claim.expiry_time));
    let grant = Grant::from_stored(text(key::GRANT).filter(|_| fits)?, text(key::ACCOUNT_SID).map(str::to_owned))?;
    if let Some(hand) = in_hand.filter(|hand| hand.claim() == *claim) {
        let equal = hand.grant.grant.expose_secret() == grant.grant.expose_secret() && hand.grant.account_sid == grant.account_sid;
        return equal.then(|| hand.clone());
    }
    Some(HeldGrant {
        grant,
        player_streamer_sid: sid.clone(),
        issue: now.instant_at(claim.issue_time).min(now.instant),
        issue_time: claim.issue_time,
        ttl: spec.call.ttl,
        request_hash: claim.request_hash.clone(),
    })
}

/// Whether a status says that all is well.
pub(super) fn is_well(status: &PlaybackGrantRequestStatus) -> bool {
    status.conditions.len() == 1 && status.conditions[0].type_ == "Ready" && status.conditions[0].status == "True"
}
