//! Whether each Secret has the Access Token that belongs into it, and by which key it is signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::acts::name;
use super::api_server::ApiServer;
use super::coverage::{identity, is_served};
use super::judge::{Before, Judge};
use super::made_token::MadeToken;
use super::media_api::{key_of, signer_of};
use super::objects::{Call, Data, StoredCredentials, StoredSecret};
use super::world::World;
use crate::api::names::{annotation, key};
use crate::api::{PlaybackGrantRequest, ValidSpec, validate};
use crate::lifecycle::{TokenOrder, Whose};
use crate::time::Instant;

/// The promised second, after which a key that was replaced signs nothing any more.
const REPLACED_FOR: Duration = Duration::from_secs(1);

/// What belongs beside the grant in a Secret.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Belonging {
    /// No token, since none is asked for.
    Nothing,
    /// No token, since it can't be signed.
    Impossible,
    /// A token.
    Token { identity: String, ttl: u32, account_sid: Arc<str>, key: usize },
}

impl Belonging {
    /// What belongs beside a grant from that account. `None` while there are no credentials: what is there stays.
    pub(super) fn of(spec: &ValidSpec, pair: Option<usize>, account_sid: Option<&str>) -> Option<Self> {
        let Some(asked) = &spec.access_token else { return Some(Self::Nothing) };
        let pair = pair?;
        let signer = signer_of(pair);
        let account_sid = account_sid.map(Arc::from).or(signer.account_sid).filter(|_| signer.key.is_some());
        let token =
            |account_sid| Self::Token { identity: asked.identity.to_string(), ttl: asked.ttl.seconds(), account_sid, key: key_of(pair) };
        Some(account_sid.map_or(Self::Impossible, token))
    }

    /// What is to be signed for it, when it belongs to a request with that spec.
    pub(super) fn order(self, spec: &ValidSpec) -> Option<TokenOrder> {
        let Self::Token { account_sid, key, .. } = self else { return None };
        Some(TokenOrder { spec: spec.access_token.clone()?, account_sid, key: signer_of(key).key? })
    }

    fn is_in(&self, data: &Data) -> bool {
        let text = data.get(key::ACCESS_TOKEN);
        let Self::Token { identity, ttl, account_sid, key: signed_by } = self else { return text.is_none() };
        text.and_then(|text| MadeToken::read(text)).is_some_and(|token| {
            Some(&token.grant) == data.get(key::GRANT)
                && Some(&token.expiry_time) == data.get(key::ACCESS_TOKEN_EXPIRY_TIME)
                && (&token.identity, &token.ttl, &token.account_sid, &token.key) == (identity, ttl, account_sid, signed_by)
        })
    }
}

/// How long a Secret with a good grant hasn't what belongs beside it.
#[derive(Debug, Default)]
pub(super) struct TokenTally {
    belonging: Option<Belonging>,
    wrong_since: Option<Instant>,
    pub(super) excused_until: Option<Instant>,
}

/// The keys that sign, by the Secret and the key's number.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// What the present operator has read.
    pub(super) read: BTreeSet<(String, usize)>,
    /// Since when a key isn't in its Secret any more.
    replaced: BTreeMap<(String, usize), Instant>,
}

impl World {
    /// What belongs beside the good grant in the request's Secret, and whether it is there. `None` when nobody can know, or nobody cares.
    pub(super) fn token_of(&self, request: &PlaybackGrantRequest, spec: &ValidSpec) -> Option<(Belonging, bool)> {
        let StoredSecret { meta, data, .. } = self.server.secrets.get(&*spec.secret_name)?;
        // Without its annotations nobody can know what a Secret holds.
        let told = [annotation::ISSUE_TIME, annotation::EXPIRY_TIME, annotation::REQUEST_HASH];
        let is_told = told.iter().all(|name| meta.annotations.contains_key(name)) && identity(request).whose(meta) != Whose::Foreign;
        let pair = self.server.credentials.get(&*spec.credentials_secret_name).and_then(|credentials| credentials.pair);
        let belonging = Belonging::of(spec, pair, data.get(key::ACCOUNT_SID).map(String::as_str)).filter(|_| is_told)?;
        let is_there = belonging.is_in(data);
        Some((belonging, is_there))
    }

    /// Whether the request's status says that all is well, and all is: no Secret is left under a former name, either.
    pub(super) fn is_well(&self, n: usize) -> bool {
        let Some(request) = self.server.requests.get(&name(n)).filter(|request| request.metadata.deletion_timestamp.is_none()) else {
            return true;
        };
        let spec = validate(request).ok().filter(|spec| is_served(request, spec));
        let is_stray = |secret: &StoredSecret| {
            spec.as_ref().is_some_and(|spec| *secret.meta.name != *spec.secret_name) && identity(request).has_left_behind(&secret.meta)
        };
        if self.server.secrets.values().any(is_stray) {
            return false;
        }
        let Some((belonging, true)) = spec.and_then(|spec| self.token_of(request, &spec)) else { return false };
        let conditions = request.status.iter().flat_map(|status| &status.conditions);
        let told: Vec<_> = conditions.map(|one| (one.type_.as_str(), one.status.as_str(), one.reason.as_str())).collect();
        let ready = ("Ready", "True", "GrantIssued");
        match belonging {
            Belonging::Impossible => told == [ready, ("Stalled", "True", "CredentialsCannotSign")],
            Belonging::Nothing | Belonging::Token { .. } => told == [ready],
        }
    }
}

impl Judge {
    /// Judges the time until `then`, in which the Secret holds a good grant, and `token` is so.
    pub(super) fn look_at_token(&mut self, n: usize, token: Option<(Belonging, bool)>, now: Instant, then: Instant) {
        let slack = self.slack();
        let tally = &mut self.tallies[n].token;
        let (belonging, is_there) = token.unzip();
        if tally.belonging != belonging {
            tally.wrong_since = None;
            tally.belonging = belonging;
        }
        if is_there != Some(false) {
            tally.wrong_since = None;
            return;
        }
        let since = *tally.wrong_since.get_or_insert(now);
        let allowed = tally.excused_until.map_or(since, |excused| excused.max(since)) + slack;
        let (wanted, excused) = (tally.belonging.clone(), tally.excused_until);
        self.require(then <= allowed, || {
            format!("{then:?} request-{n} has lacked {wanted:?} since {since:?}, and nothing excuses that after {excused:?}")
        });
    }

    /// What the operator has read into its hands.
    pub(super) fn credentials_read(&mut self, name: &str, read: Option<&StoredCredentials>) {
        self.keys.read.extend(read.and_then(|read| read.pair).map(|pair| (name.to_owned(), key_of(pair))));
    }

    /// Others have been at the credentials.
    pub(super) fn credentials_changed(
        &mut self,
        before: &BTreeMap<String, StoredCredentials>,
        after: &BTreeMap<String, StoredCredentials>,
        now: Instant,
    ) {
        let keys = |all: &BTreeMap<String, StoredCredentials>| -> BTreeSet<(String, usize)> {
            all.iter().filter_map(|(name, credentials)| Some((name.clone(), key_of(credentials.pair?)))).collect()
        };
        let (before, after) = (keys(before), keys(after));
        self.keys.replaced.extend(before.difference(&after).map(|key| (key.clone(), now)));
        self.keys.replaced.retain(|key, _| !after.contains(key));
    }

    /// A token is signed.
    pub(super) fn signs(&self, token: &MadeToken) {
        let key = (token.credentials.clone(), token.key);
        self.require(self.keys.read.contains(&key), || format!("{token:?} is signed with a key that nobody has read"));
    }

    /// What the operator writes is a grant and the very token that carries it; what it doesn't write may be as others have left it.
    pub(super) fn token_is_right(&self, before: &Before, server: &ApiServer, call: &Call, now: Instant) {
        let (Call::Create { name, order, token: signed, .. } | Call::Patch { name, order, token: signed, .. }) = call else { return };
        let Some(secret) = server.secrets.get(name) else { return };
        let was_right = before.secret.as_ref().is_none_or(is_consistent);
        let is_right = is_consistent(secret);
        self.require(is_right || order.contents.is_none() && !was_right, || {
            format!("Secret {name} has another token than its grant's: {secret:?}")
        });
        if let Some(token) = signed {
            let key = (token.credentials.clone(), token.key);
            let allowed = REPLACED_FOR + self.history.timing.watch;
            self.require(self.keys.replaced.get(&key).is_none_or(|at| now.since(*at) <= allowed), || {
                format!("{now:?} Secret {name} has a token of the key {key:?}, which was replaced long ago")
            });
        }
    }
}

/// Whether what a Secret says of its token is so, and the token carries the grant beside it.
fn is_consistent(secret: &StoredSecret) -> bool {
    let StoredSecret { meta, data, .. } = secret;
    let token = data.get(key::ACCESS_TOKEN);
    let hash = meta.annotations.get(annotation::TOKEN_HASH);
    match token.map(|text| MadeToken::read(text)) {
        None => hash.is_none() && !data.contains_key(key::ACCESS_TOKEN_EXPIRY_TIME),
        Some(None) => false,
        Some(Some(token)) => {
            Some(&token.grant) == data.get(key::GRANT)
                && Some(&token.expiry_time) == data.get(key::ACCESS_TOKEN_EXPIRY_TIME)
                && hash.is_some()
                && token.hash().as_deref() == hash
        }
    }
}
