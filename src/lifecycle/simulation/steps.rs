//! What each step does: as `controller::act` and `controller::contents` do it.

use std::sync::Arc;

use super::made_token::MadeToken;
use super::media_api::signer_of;
use super::objects::{Answer, Call, Failure, StoredSecret};
use super::operator::Reconcile;
use super::world::World;
use crate::api::ValidSpec;
use crate::api::names::{annotation, key};
use crate::lifecycle::{Attempt, Claim, Contents, HeldGrant, Memory, SecretOrder, Step};
use crate::media::Grant;
use crate::media::lane::Caller;
use crate::time::{Now, rfc3339_millis};
use k8s_openapi::jiff::Timestamp;
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
        let target = spec.secret_name.to_string();
        match step {
            Step::Look => Some(Call::Look(target)),
            Step::Read => Some(Call::Read(target)),
            Step::ReadCredentials => Some(Call::ReadCredentials(spec.credentials_secret_name.to_string())),
            Step::Create { order, restore } => {
                let Ok(token) = self.sign(spec, &order) else { return None };
                Some(Call::Create { name: target, order, token, restore })
            }
            Step::Patch { version, order, repair } => {
                let Ok(token) = self.sign(spec, &order) else { return None };
                Some(Call::Patch { name: target, version, order, token, repair })
            }
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

    /// Signs the token that the order asks for, if it asks for one; fails when the credentials have changed since the decision.
    fn sign(&mut self, spec: &ValidSpec, order: &SecretOrder) -> Result<Option<MadeToken>, CredentialsChanged> {
        let Some(Contents { grant, token: Some(wanted) }) = &order.contents else { return Ok(None) };
        let name = &spec.credentials_secret_name;
        let known = self.operator.as_ref().and_then(|operator| operator.credentials.pair(name));
        let pair = known.filter(|pair| signer_of(*pair).key.as_ref() == Some(&wanted.key)).ok_or(CredentialsChanged)?;
        let token = MadeToken::sign(wanted, &grant.grant, (name, pair), self.instants());
        self.judge.signs(&token);
        Ok(Some(token))
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
        match &call {
            Call::Look(_) => self.remember(caller, |memory| memory.looked = Some(now)),
            Call::ReadCredentials(_) => {
                let given = matches!(answer, Ok(_) | Err(Failure::NotFound));
                self.remember(caller, |memory| memory.credentials_read(given));
            }
            _ => {}
        }
        match (call, answer) {
            (Call::Look(_), Ok(Answer::Meta(meta))) => self.present(meta),
            (Call::Read(_), Ok(Answer::Whole(secret))) => self.read(reconcile, &secret),
            (Call::ReadCredentials(name), Ok(Answer::Credentials(read))) => self.credentials_read(&name, Some(read)),
            (Call::ReadCredentials(name), Err(Failure::NotFound)) => self.credentials_read(&name, None),
            (Call::Create { order, restore, .. }, Ok(Answer::Meta(meta))) => {
                if restore {
                    self.remember(caller, |memory| memory.restored(now));
                }
                self.written(caller, meta, &order, false);
            }
            (Call::Patch { order, repair, .. }, Ok(Answer::Meta(meta))) => self.written(caller, meta, &order, repair),
            (Call::Patch { version, .. }, Err(Failure::Unchangeable)) => {
                self.remember(caller, |memory| memory.unpatchable = Some(version));
            }
            (Call::WriteStatus { status, .. }, Ok(Answer::Request(version))) => {
                self.remember(caller, |memory| drop(memory.told.written(*status, version, now)));
            }
            (Call::WriteStatus { .. }, Err(Failure::Conflict)) => self.remember(caller, |memory| memory.told.outrun(now)),
            (Call::WriteStatus { .. }, Err(failure)) => {
                let refused = matches!(failure, Failure::NotFound | Failure::Refused | Failure::Unchangeable);
                self.remember(caller, |memory| memory.told.refused(refused, now));
            }
            (Call::Look(name) | Call::Read(name) | Call::Patch { name, .. }, Err(Failure::NotFound))
            | (Call::Delete { name, .. }, Ok(_) | Err(Failure::NotFound)) => {
                if let Some(operator) = &mut self.operator {
                    operator.index.absent(&name);
                }
            }
            (Call::Create { name, .. }, Err(Failure::Conflict)) => {
                if let Some(operator) = &mut self.operator {
                    operator.index.outdated(&name, None);
                }
            }
            (Call::Patch { name, version, .. } | Call::Delete { name, version, .. }, Err(Failure::Conflict)) => {
                if let Some(operator) = &mut self.operator {
                    operator.index.outdated(&name, Some(&version));
                }
            }
            (Call::Delete { name, .. }, Err(failure)) if reconcile.spec.as_ref().is_ok_and(|spec| *spec.secret_name != *name) => {
                let refused = matches!(failure, Failure::Refused | Failure::Unchangeable);
                self.remember(caller, |memory| memory.strays_held.failed(&name, refused, now));
            }
            (call, Err(failure)) => {
                let refused = matches!(failure, Failure::Refused | Failure::Unchangeable);
                let attempt = if matches!(call, Call::Create { .. } | Call::Patch { .. } | Call::Delete { .. }) {
                    Attempt::Write
                } else {
                    Attempt::Read
                };
                let message = format!("could not {}: {failure:?}", verb(&call));
                self.remember(caller, |memory| memory.troubled(attempt, message, refused, false, now));
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
                Some(held) => {
                    let token = token_is_intact(secret, &held);
                    memory.read_intact(version, held, token);
                }
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
        self.judge.credentials_read(name, read.as_ref());
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
        Call::Create { .. } => "create Secret",
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
    let grant = Grant::from_stored(text(key::GRANT).filter(|_| fits)?, text(key::ACCOUNT_SID).map(Arc::from))?;
    let is_same = |hand: &&HeldGrant| {
        hand.claim() == *claim
            && hand.grant.grant.expose_secret() == grant.grant.expose_secret()
            && hand.grant.account_sid == grant.account_sid
    };
    if let Some(hand) = in_hand.filter(is_same) {
        return Some(hand.clone());
    }
    let ours = [key::GRANT, key::PLAYER_STREAMER_SID, key::ACCOUNT_SID, key::ISSUE_TIME, key::EXPIRY_TIME];
    if ours.iter().any(|name| secret.meta.foreign_data.contains(*name)) {
        return None;
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

fn token_is_intact(secret: &StoredSecret, held: &HeldGrant) -> bool {
    if !secret.meta.annotations.contains_key(annotation::TOKEN_HASH) {
        let is_left = |name: &&str| secret.data.contains_key(*name) && !secret.meta.foreign_data.contains(*name);
        return ![key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME].iter().any(is_left);
    }
    let text = |name: &str| secret.data.get(name).map(String::as_str);
    let carries = text(key::ACCESS_TOKEN).and_then(MadeToken::read).is_some_and(|token| token.grant == held.grant.grant.expose_secret());
    let expires = text(key::ACCESS_TOKEN_EXPIRY_TIME).is_some_and(|time| time.parse::<Timestamp>().is_ok());
    let is_ours = [key::ACCESS_TOKEN, key::ACCESS_TOKEN_EXPIRY_TIME].iter().all(|name| !secret.meta.foreign_data.contains(*name));
    carries && expires && is_ours
}

/// The credentials are others than those that were decided upon.
struct CredentialsChanged;
