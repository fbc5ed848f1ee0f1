//! What others do: people, controllers, the machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api_server::apply;
use super::histories::token_of;
use super::made_token::MadeToken;
use super::media_api::{Given, PAIRS};
use super::objects::{StoredSecret, refresh_request};
use super::tokens::Belonging;
use super::world::{Event, World, credentials_name};
use crate::api::names::{MANAGED_BY_LABEL, annotation, key};
use crate::api::{GrantSecret, PlaybackGrantRequestSpec, ValidSpec, validate};
use crate::lifecycle::{Contents, HeldGrant, Identity, SecretOrder, whole_millis};

/// What others do. The number is a request's or a pair of credentials'.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Act {
    DeleteSecret(usize),
    StripLabel(usize),
    ChangeData(usize),
    /// The token, if there is one, becomes another, in one of several ways.
    SpoilToken(usize, u8),
    StripTokenHash(usize),
    ChangeLabel(usize),
    StripAnnotations(usize),
    MakeImmutable(usize),
    /// Something on the Secret changes that is nobody's business here.
    Touch(usize),
    /// The Secret becomes another's.
    TakeOver(usize),
    /// Another operator has the same idea.
    RefreshElsewhere(usize),
    SetLifetime(usize, u8),
    SetOrigin(usize, u8),
    SetLabels(usize, u8),
    SetToken(usize, Option<u8>),
    /// The request names another Secret: its own, another, or one that others may name too.
    Rename(usize, u8),
    UseCredentials(usize, usize),
    Suspend(usize, bool),
    RequestRefresh(usize, u8),
    BreakSpec(usize),
    MendSpec(usize),
    DeleteRequest(usize),
    RemoveRequest(usize),
    Recreate(usize),
    RotateCredentials(usize, usize),
    DeleteCredentials(usize),
    BreakCredentials(usize),
    /// The operator ends, and another starts after so many milliseconds.
    Restart(u64),
    /// The wall clock jumps by so many seconds.
    JumpClock(i64),
    /// All that others broke is mended.
    Heal,
}

impl World {
    pub(super) fn act(&mut self, act: Act) {
        let before: Vec<_> = (0..self.judge.requests()).map(|n| self.asked_now(n)).collect();
        let credentials = self.server.credentials.clone();
        self.judge.acts(act, self.now);
        self.carry_out_act(act);
        self.judge.credentials_changed(&credentials, &self.server.credentials, self.now);
        for (n, before) in before.into_iter().enumerate() {
            let now = self.asked_now(n);
            if now != before {
                let subject = |asked: Option<(Arc<str>, Option<usize>, Option<String>)>| asked.map(|(hash, pair, _)| (hash, pair));
                self.judge.asks_anew(n, subject(now) != subject(before), self.now);
            }
        }
    }

    /// What a call would now be made for, and with, and whether a refresh is asked for.
    fn asked_now(&self, n: usize) -> Option<(Arc<str>, Option<usize>, Option<String>)> {
        let request = self.server.requests.get(&name(n))?;
        let spec = validate(request).ok()?;
        let pair = self.server.credentials.get(&*spec.credentials_secret_name).and_then(|credentials| credentials.pair);
        Some((spec.request_hash.clone(), pair, refresh_request(request).map(str::to_owned)))
    }

    fn carry_out_act(&mut self, act: Act) {
        match act {
            Act::DeleteSecret(n) => {
                if let Some(name) = self.target(n) {
                    self.server.remove(&name);
                }
            }
            Act::StripLabel(n) => self.disturb(n, |secret| {
                secret.meta.labels.remove(MANAGED_BY_LABEL);
            }),
            Act::ChangeData(n) => self.disturb(n, |secret| {
                secret.data.insert(key::GRANT.to_owned(), String::new());
                secret.meta.foreign_data.insert(key::GRANT.to_owned());
            }),
            Act::SpoilToken(n, how) => self.disturb(n, |secret| spoil_token(secret, how)),
            Act::StripTokenHash(n) => self.disturb(n, |secret| {
                secret.meta.annotations.remove(annotation::TOKEN_HASH);
            }),
            Act::ChangeLabel(n) => self.disturb(n, |secret| {
                secret.meta.labels.set("tier", "changed", false);
            }),
            Act::StripAnnotations(n) => self.disturb(n, |secret| {
                for name in [annotation::ISSUE_TIME, annotation::EXPIRY_TIME, annotation::REQUEST_HASH] {
                    secret.meta.annotations.remove(name);
                }
            }),
            Act::MakeImmutable(n) => self.disturb(n, |secret| secret.immutable = true),
            Act::Touch(n) => {
                let now = format!("{:?}", self.now);
                self.disturb(n, |secret| secret.meta.annotations.set("touched", &now, false));
            }
            Act::TakeOver(n) => self.disturb(n, |secret| {
                secret.meta.annotations.set(annotation::OWNED_BY, "somebody/else", false);
            }),
            Act::RefreshElsewhere(n) => self.refresh_elsewhere(n),
            Act::SetLifetime(n, ttl) => self.change_spec(n, |spec| {
                spec.ttl_seconds = i64::from(ttl);
                spec.refresh_before_expiry_seconds = None;
            }),
            Act::SetOrigin(n, origin) => self.change_spec(n, |spec| {
                spec.access_control_allow_origin = Some(format!("https://origin-{origin}.example"));
            }),
            Act::SetLabels(n, label) => self.change_spec(n, |spec| {
                secret_of(spec).labels =
                    if label == 0 { BTreeMap::new() } else { BTreeMap::from([("tier".to_owned(), format!("t{label}"))]) };
            }),
            Act::SetToken(n, token) => self.change_spec(n, |spec| spec.access_token = token.map(token_of)),
            Act::Rename(n, name) => self.change_spec(n, |spec| {
                secret_of(spec).name = match name {
                    0 => None,
                    1 => Some(format!("other-of-{n}")),
                    _ => Some("shared".to_owned()),
                };
            }),
            Act::UseCredentials(n, pair) => self.change_spec(n, |spec| spec.credentials_secret_ref.name = credentials_name(pair)),
            Act::Suspend(n, suspend) => self.change_spec(n, |spec| spec.suspend = suspend),
            Act::RequestRefresh(n, value) => self.server.change_request(&name(n), |request| {
                let annotations = request.metadata.annotations.get_or_insert_default();
                annotations.insert(annotation::REFRESH_REQUESTED_AT.to_owned(), format!("v{value}"));
            }),
            Act::BreakSpec(n) => self.change_spec(n, |spec| spec.player_streamer_sid.push('x')),
            Act::MendSpec(n) => self.change_spec(n, |spec| spec.player_streamer_sid.truncate(34)),
            Act::DeleteRequest(n) => {
                let time = Time(self.wall());
                self.server.change_request(&name(n), |request| request.metadata.deletion_timestamp = Some(time));
                self.schedule(self.now + Duration::from_secs(3), Event::Outside(Act::RemoveRequest(n)));
            }
            Act::RemoveRequest(n) => {
                if self.server.requests.get(&name(n)).is_some_and(|request| request.metadata.deletion_timestamp.is_some()) {
                    self.server.remove_request(&name(n));
                    self.schedule(self.now + Duration::from_secs(1), Event::Collect);
                }
            }
            Act::Recreate(n) => {
                let Some(asked) = self.judge.asked_for(n) else { return };
                self.server.remove_request(&name(n));
                self.server.add_request(asked.object());
                self.schedule(self.now + Duration::from_secs(1), Event::Collect);
            }
            Act::RotateCredentials(n, pair) => self.server.set_credentials(&credentials_name(n), Some(pair)),
            Act::DeleteCredentials(n) => self.server.remove_credentials(&credentials_name(n)),
            Act::BreakCredentials(n) => self.server.set_credentials(&credentials_name(n), None),
            Act::Restart(millis) => {
                self.operator = None;
                self.schedule(self.now + Duration::from_millis(millis), Event::Start);
            }
            Act::JumpClock(seconds) => self.wall_offset += seconds,
            Act::Heal => self.heal(),
        }
    }

    fn heal(&mut self) {
        self.rival = None;
        for pair in 0..PAIRS {
            if self.server.credentials.get(&credentials_name(pair)).is_none_or(|credentials| credentials.pair.is_none()) {
                self.server.set_credentials(&credentials_name(pair), Some(pair));
            }
        }
        for n in 0..self.judge.requests() {
            self.change_spec(n, |spec| {
                spec.player_streamer_sid.truncate(34);
                spec.suspend = false;
                secret_of(spec).name = None;
            });
            let foreign = self.target(n).filter(|target| {
                let annotations = &self.server.secrets[target].meta.annotations;
                annotations.get(annotation::OWNED_BY).is_none_or(|owned_by| !owned_by.starts_with(&format!("{}/", name(n))))
            });
            if let Some(foreign) = foreign {
                self.server.remove(&foreign);
            }
        }
    }

    fn change_spec(&mut self, n: usize, change: impl FnOnce(&mut PlaybackGrantRequestSpec)) {
        self.server.change_request(&name(n), |request| change(&mut request.spec));
    }

    /// The name of the Secret that the request names, if it is there.
    fn target(&self, n: usize) -> Option<String> {
        let request = self.server.requests.get(&name(n))?;
        let target = request.spec.secret.as_ref().and_then(|secret| secret.name.clone()).unwrap_or_else(|| name(n));
        self.server.secrets.contains_key(&target).then_some(target)
    }

    fn disturb(&mut self, n: usize, change: impl FnOnce(&mut StoredSecret)) {
        if let Some(mut secret) = self.target(n).and_then(|target| self.server.secrets.get(&target).cloned()) {
            change(&mut secret);
            self.server.store(secret);
        }
    }

    fn refresh_elsewhere(&mut self, n: usize) {
        let Some(target) = self.target(n) else { return };
        let Some(request) = self.server.requests.get(&name(n)) else { return };
        let Ok(spec) = validate(request) else { return };
        let identity = Identity { namespace: "web".into(), name: name(n), uid: request.metadata.uid.clone().unwrap() };
        if identity.whose(&self.server.secrets[&target].meta) != crate::lifecycle::Whose::Ours || spec.suspend {
            return;
        }
        let grant = std::sync::Arc::new(self.elsewhere(n, &spec));
        let credentials = &spec.credentials_secret_name;
        let pair = self.server.credentials.get(&**credentials).and_then(|credentials| credentials.pair);
        let belonging = Belonging::of(&spec, pair, grant.grant.account_sid.as_deref());
        let wanted = belonging.and_then(|belonging| belonging.order(&spec));
        let token =
            wanted.as_ref().zip(pair).map(|(wanted, pair)| MadeToken::sign(wanted, &grant.grant, (credentials, pair), self.instants()));
        self.disturb(n, |secret| {
            let order = SecretOrder::new(&identity, &spec, Some(&secret.meta), Some(Contents { grant, token: wanted }));
            // What the spec asks for besides is not that operator's present idea.
            let order = SecretOrder { labels: BTreeMap::new(), owners: None, ..order };
            apply(secret, &order, token.as_ref());
            secret.immutable = false;
        });
    }

    fn elsewhere(&mut self, n: usize, spec: &ValidSpec) -> HeldGrant {
        let ValidSpec { call, request_hash, .. } = spec;
        let now = self.instants();
        let expiry = now.instant + call.ttl.duration();
        let given = Given { expiry, issue: now.instant, ttl: call.ttl, request_hash: request_hash.clone(), wall_offset: self.wall_offset };
        HeldGrant {
            grant: self.media.give(n, given),
            player_streamer_sid: call.player_streamer_sid.clone(),
            issue: now.instant,
            issue_time: whole_millis(now.wall),
            ttl: call.ttl,
            request_hash: request_hash.clone(),
        }
    }
}

fn spoil_token(secret: &mut StoredSecret, how: u8) {
    let Some(text) = secret.data.get(key::ACCESS_TOKEN).cloned() else { return };
    let (name, value) = match how {
        0 => (key::ACCESS_TOKEN, Some("nonsense".to_owned())),
        1 => (key::ACCESS_TOKEN, MadeToken::read(&text).map(|token| MadeToken { key: 2, ..token }.text())),
        2 => (key::ACCESS_TOKEN_EXPIRY_TIME, Some("soon".to_owned())),
        _ => (key::ACCESS_TOKEN, None),
    };
    match value {
        Some(value) => {
            secret.data.insert(name.to_owned(), value);
            secret.meta.foreign_data.insert(name.to_owned());
        }
        None => drop(secret.data.remove(name)),
    }
}

pub(super) fn name(n: usize) -> String {
    format!("request-{n}")
}

fn secret_of(spec: &mut PlaybackGrantRequestSpec) -> &mut GrantSecret {
    spec.secret.get_or_insert_default()
}
