//! Carries out one step, and lets the memory know what came of it.

use std::time::Duration;

use super::Context;
use super::api::{ApiFailure, ApiServer, Gone, ReadSecret};
use super::contents::{held_grant, token_is_intact};
use super::registry::ObjectName;
use super::signing::{NotSigned, signed};
use super::withhold::withhold;
use crate::api::ValidSpec;
use crate::lifecycle::{Attempt, Identity, Ordered, Refreshed, SecretMeta, SecretOrder, SecretVersion, SecretView, Step};
use crate::media::dispatcher::Order;
use crate::media::lane::{Caller, Waiting};
use crate::media::{Grant, GrantCall};
use crate::token::{AccessToken, Nonce};

/// One request, as its steps need it.
#[derive(Clone, Copy)]
pub(super) struct Actor<'a> {
    pub(super) context: &'a Context,
    pub(super) caller: &'a Caller,
    pub(super) identity: &'a Identity,
    pub(super) spec: &'a ValidSpec,
}

impl Actor<'_> {
    /// Returns, of what changes a Secret, whether the API server was asked and did its work, whatever came of it.
    pub(super) async fn act(&self, step: Step) -> Option<bool> {
        match step {
            Step::Look => self.look().await,
            Step::Read => self.read().await,
            Step::ReadCredentials => self.read_credentials().await,
            Step::Create { order, restore } => return self.create(&order, restore).await,
            Step::Patch { version, order, repair } => return self.patch(&version, &order, repair).await,
            Step::Replace(version) => return Some(self.replace(&version).await),
            Step::DeleteStray { name, version } => return Some(self.delete_stray(&name, &version).await),
            Step::Order { ordered, call, waiting } => self.order(ordered, call, waiting),
            Step::Withdraw => self.withdraw(),
        }
        None
    }

    fn limit(&self) -> Duration {
        self.context.registry.with(self.caller, |memory| memory.server_limit()).unwrap_or(super::API_SERVER_LIMIT)
    }

    fn server(&self) -> ApiServer {
        self.context.server.within(self.limit())
    }

    async fn look(&self) {
        let Self { context, identity, spec, .. } = self;
        let found = self.server().look(&identity.namespace, &spec.secret_name).await;
        let now = context.clock.instant();
        context.registry.with(self.caller, |memory| memory.looked = Some(now));
        match found {
            Ok(meta) => context.secrets.looked(&identity.namespace, meta),
            Err(ApiFailure::NotFound) => context.secrets.absent(self.target()),
            Err(failure) => self.troubled(LOOK_AT, &spec.secret_name, &failure),
        }
    }

    async fn read(&self) {
        let Self { context, identity, spec, caller } = self;
        match self.server().read(&identity.namespace, &spec.secret_name).await {
            Ok(ReadSecret { meta, data }) => {
                let now = context.clock.now();
                let version = meta.version.clone();
                context.registry.with(caller, |memory| {
                    let in_hand = memory.hand.clone();
                    match held_grant(&data, &meta, spec, in_hand.as_deref(), now) {
                        Some(held) => {
                            let token = token_is_intact(&data, &meta, &held);
                            memory.read_intact(version, held, token);
                        }
                        None => memory.read_damaged(version),
                    }
                });
                context.secrets.looked(&identity.namespace, meta);
            }
            Err(ApiFailure::NotFound) => context.secrets.absent(self.target()),
            Err(failure) => self.troubled(READ, &spec.secret_name, &failure),
        }
    }

    async fn read_credentials(&self) {
        let name = self.credentials_name();
        let read = self.context.credentials.read(&name, self.limit()).await;
        self.context.registry.with(self.caller, |memory| memory.credentials_read(read.is_ok()));
        if let Err(failure) = read {
            self.troubled(READ, &name.name, &failure);
        }
    }

    async fn create(&self, order: &SecretOrder, restore: bool) -> Option<bool> {
        let Ok(token) = self.signed(order) else { return None };
        let answer = self.server().create(&self.identity.namespace, &self.spec.secret_name, order, token.as_ref()).await;
        if restore && answer.is_ok() {
            let now = self.context.clock.instant();
            self.context.registry.with(self.caller, |memory| memory.restored(now));
        }
        Some(self.written(answer, None, (order, token.as_ref()), false))
    }

    async fn patch(&self, version: &SecretVersion, order: &SecretOrder, repair: bool) -> Option<bool> {
        let Ok(token) = self.signed(order) else { return None };
        let answer = self.server().patch(&self.identity.namespace, &self.spec.secret_name, version, order, token.as_ref()).await;
        if let Err(ApiFailure::Unchangeable(_)) = answer {
            self.context.registry.with(self.caller, |memory| memory.unpatchable = Some(version.clone()));
            return Some(true);
        }
        Some(self.written(answer, Some(version), (order, token.as_ref()), repair))
    }

    /// The token that the order asks for, if it asks for one and it can be signed.
    fn signed(&self, order: &SecretOrder) -> Result<Option<AccessToken>, NotSigned> {
        let Self { context, spec, .. } = self;
        let credentials = context.credentials.usable(&self.credentials_name());
        let signed = signed(order, credentials.as_deref(), context.clock.wall(), Nonce(rand::random()));
        if signed.as_ref().is_err_and(|why| *why == NotSigned::Impossible) {
            self.troubled(SIGN, &spec.secret_name, &ApiFailure::Impossible);
        }
        signed
    }

    /// `version`: the one that was to be changed; `None`: the Secret was to be made. Returns whether the API server did its work.
    fn written(
        &self,
        answer: Result<SecretMeta, ApiFailure>,
        version: Option<&SecretVersion>,
        (order, token): Written<'_>,
        repair: bool,
    ) -> bool {
        let is_answered = answer.as_ref().err().is_none_or(ApiFailure::is_answer);
        match answer {
            Ok(meta) => {
                let now = self.context.clock.instant();
                let version = meta.version.clone();
                let undone = !order.is_fulfilled_by(&meta);
                self.present(meta);
                let contents = order.contents.as_ref();
                let came = self.context.registry.with(self.caller, |memory| {
                    let anew = memory.signs_anew(contents);
                    let refreshed = contents.and_then(|contents| Refreshed::by(contents, memory, &self.identity.uid, self.spec, now));
                    memory.written(version, contents, repair, undone, now);
                    (anew, refreshed)
                });
                let (anew, refreshed) = came.unwrap_or_default();
                if let Some(refreshed) = refreshed {
                    self.context.metrics.refreshed(&refreshed);
                }
                if anew {
                    let Identity { namespace, name, .. } = self.identity;
                    tracing::info!(namespace, request = name, secret = &*self.spec.secret_name, "the Access Token is signed anew");
                }
            }
            Err(ApiFailure::NotFound) if version.is_some() => self.context.secrets.absent(self.target()),
            Err(ApiFailure::Conflict) => {
                self.context.secrets.outdated(&self.target(), version);
                let now = self.context.clock.instant();
                if self.context.registry.with(self.caller, |memory| memory.conflicted(version, now)).unwrap_or_default() {
                    let attempted = if version.is_some() { UPDATE } else { CREATE };
                    self.troubled(attempted, &self.spec.secret_name, &ApiFailure::Refused(CONTRADICTION.to_owned()));
                }
            }
            Err(failure) => {
                let attempted = if version.is_some() { UPDATE } else { CREATE };
                self.troubled_over(attempted, &self.spec.secret_name, &failure, token);
                self.overtaken(version);
            }
        }
        is_answered
    }

    /// What was refused may have been judged by a Secret that others have changed since: they said so before the refusal came.
    fn overtaken(&self, version: Option<&SecretVersion>) {
        let view = self.context.secrets.view(&self.target());
        let present = if let SecretView::Present(meta) = &*view { Some(&meta.version) } else { None };
        if present != version {
            let now = self.context.clock.instant();
            self.context.registry.with(self.caller, |memory| memory.secret_changed(now));
        }
    }

    async fn replace(&self, version: &SecretVersion) -> bool {
        let Err(failure) = self.delete(&self.spec.secret_name, version).await else { return true };
        self.troubled(DELETE, &self.spec.secret_name, &failure);
        self.overtaken(Some(version));
        failure.is_answer()
    }

    async fn delete_stray(&self, name: &str, version: &SecretVersion) -> bool {
        let failure = match self.delete(name, version).await {
            Ok(Gone::Yes) => {
                // Whoever waits for it is told by the watch.
                let left = ObjectName::new(self.identity.namespace.as_str(), name);
                if !self.context.registry.is_followed(&left) {
                    self.context.secrets.abandon(&left);
                }
                return true;
            }
            // The watch tells what became of it.
            Ok(Gone::No) => return true,
            Err(failure) => failure,
        };
        let now = self.context.clock.instant();
        let held = self.context.registry.with(self.caller, |memory| {
            memory.strays_held.failed(name, failure.is_refusal(), now);
            memory.strays_held.of(name)
        });
        if held.flatten().is_some_and(|held| held.is_first()) {
            tracing::warn!(
                namespace = self.identity.namespace,
                request = self.identity.name,
                secret = name,
                "could not delete the Secret that an earlier spec named: {}; trying again",
                // Without the server's words: they may quote the Secret, and nobody here knows what is in it.
                if failure.is_refusal() { "the API server refused" } else { "the API server is in trouble" }
            );
        }
        failure.is_answer()
    }

    /// Writes are left unanswered, in the namespace or for this request, and others have all the turns that such may have.
    pub(super) fn held_up(&self) {
        let Self { context, identity, spec, .. } = self;
        let now = context.clock.instant();
        let message = || {
            format!(
                "could not write Secret {}/{}: the API server leaves writes of some Secrets unanswered (an admission webhook that hangs?), and not all of them are tried at once. The operator tries again by itself",
                identity.namespace, spec.secret_name
            )
        };
        context.registry.with(self.caller, |memory| memory.held_up(message, now));
    }

    async fn delete(&self, name: &str, version: &SecretVersion) -> Result<Gone, ApiFailure> {
        let Self { context, identity, .. } = self;
        let object = ObjectName::new(identity.namespace.as_str(), name);
        match self.server().delete(&identity.namespace, name, version).await {
            Ok(Gone::Yes) | Err(ApiFailure::NotFound) => {
                context.secrets.absent(object);
                Ok(Gone::Yes)
            }
            Ok(Gone::No) | Err(ApiFailure::Conflict) => {
                context.secrets.outdated(&object, Some(version));
                Ok(Gone::No)
            }
            Err(failure) => Err(failure),
        }
    }

    fn order(&self, ordered: Ordered, call: GrantCall, waiting: Waiting) {
        let Self { context, caller, .. } = self;
        let name = self.credentials_name();
        // They may have changed since the decision: then the next decision is another.
        let Some(credentials) = context.credentials.usable(&name).filter(|credentials| credentials.fingerprint() == ordered.subject.lane)
        else {
            return;
        };
        let tag = ordered.subject.request_hash.clone();
        let now = context.clock.instant();
        // Remembered first: the answer may be there before `order` returns.
        if context.registry.with(caller, |memory| memory.ordered(ordered, now)).is_some() {
            context.dispatcher.order(Order { caller: (*caller).clone(), tag, call, credentials, waiting });
        }
    }

    fn withdraw(&self) {
        self.context.dispatcher.withdraw(self.caller);
        self.context.registry.with(self.caller, |memory| memory.ordered = None);
    }

    fn present(&self, meta: SecretMeta) {
        self.context.secrets.present(&self.identity.namespace, meta);
    }

    fn credentials_name(&self) -> ObjectName {
        ObjectName::new(self.identity.namespace.as_str(), self.spec.credentials_secret_name.clone())
    }

    fn target(&self) -> ObjectName {
        ObjectName::new(self.identity.namespace.as_str(), self.spec.secret_name.clone())
    }

    fn troubled(&self, attempted: Attempted, name: &str, failure: &ApiFailure) {
        self.troubled_over(attempted, name, failure, None);
    }

    /// `token`: the one that the server was told.
    fn troubled_over(&self, (attempt, attempted): Attempted, name: &str, failure: &ApiFailure, token: Option<&AccessToken>) {
        let now = self.context.clock.instant();
        let remedy = match failure {
            ApiFailure::Refused(_) | ApiFailure::Unchangeable(_) => "Mend what the server names; the operator tries again by itself",
            ApiFailure::Terminating(_) => "Nothing can be created in a namespace that terminates",
            _ => "The operator tries again by itself",
        };
        let Identity { namespace, name: request, .. } = self.identity;
        self.context.registry.with(self.caller, |memory| {
            let grant = memory.hand.as_ref().map(|hand| &hand.grant);
            let url = grant.and_then(Grant::playback_url);
            let words =
                withhold(failure.words(), grant.map(|grant| &grant.grant).into_iter().chain(&url).chain(token.map(|token| &token.token)));
            let message = format!("could not {attempted} Secret {namespace}/{name}: {words}. {remedy}");
            // The status tells of what lasts.
            tracing::debug!(namespace, request, "{message}");
            memory.troubled(attempt, message, failure.is_refusal(), matches!(failure, ApiFailure::Terminating(_)), now);
        });
    }
}

/// The API server contradicts itself.
const CONTRADICTION: &str = "the API server says again and again that it was changed meanwhile, and shows it unchanged (409)";

/// What was attempted, and in which words that is told.
type Attempted = (Attempt, &'static str);

const LOOK_AT: Attempted = (Attempt::Read, "look at");
const READ: Attempted = (Attempt::Read, "read");
const SIGN: Attempted = (Attempt::Write, "sign an Access Token for");
const CREATE: Attempted = (Attempt::Write, "create");
const UPDATE: Attempted = (Attempt::Write, "update");
const DELETE: Attempted = (Attempt::Write, "delete");

/// What was to be written: the order, and the token that was signed for it.
type Written<'a> = (&'a SecretOrder, Option<&'a AccessToken>);
