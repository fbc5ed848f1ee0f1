//! Carries out one step, and lets the memory know what came of it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::Context;
use super::api::{ApiFailure, ApiServer, ReadSecret};
use super::contents::held_grant;
use super::registry::ObjectName;
use crate::api::ValidSpec;
use crate::lifecycle::{HeldGrant, Identity, Ordered, SecretMeta, SecretOrder, SecretVersion, Step};
use crate::media::GrantCall;
use crate::media::dispatcher::Order;
use crate::media::lane::{Caller, Waiting};

/// One request, as its steps need it.
#[derive(Clone, Copy)]
pub(super) struct Actor<'a> {
    pub(super) context: &'a Context,
    pub(super) caller: &'a Caller,
    pub(super) identity: &'a Identity,
    pub(super) spec: &'a ValidSpec,
}

impl Actor<'_> {
    pub(super) async fn act(&self, step: Step) {
        match step {
            Step::Look => self.look().await,
            Step::Read => self.read().await,
            Step::ReadCredentials => self.read_credentials().await,
            Step::Create(order) => self.create(&order).await,
            Step::Patch { version, order, repair } => self.patch(&version, &order, repair).await,
            Step::Replace(version) => self.replace(&version).await,
            Step::DeleteStray { name, version } => self.delete_stray(&name, &version).await,
            Step::Order { ordered, call, waiting } => self.order(ordered, call, waiting),
            Step::Withdraw => self.withdraw(),
        }
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
            Ok(meta) => self.present(meta),
            Err(ApiFailure::NotFound) => context.secrets.absent(self.target()),
            Err(failure) => self.troubled("look at", &spec.secret_name, &failure),
        }
    }

    async fn read(&self) {
        let Self { context, identity, spec, caller } = self;
        match self.server().read(&identity.namespace, &spec.secret_name).await {
            Ok(ReadSecret { meta, data }) => {
                let now = context.clock.now();
                let version = meta.version.clone();
                let (claim, foreign) = (meta.claim(), meta.foreign_data.clone());
                self.present(meta);
                context.registry.with(caller, |memory| {
                    let in_hand = memory.hand.clone();
                    match claim.and_then(|claim| held_grant(&data, &foreign, &claim, spec, in_hand.as_deref(), now)) {
                        Some(held) => memory.read_intact(version, held),
                        None => memory.read_damaged(version),
                    }
                });
            }
            Err(ApiFailure::NotFound) => context.secrets.absent(self.target()),
            Err(failure) => self.troubled("read", &spec.secret_name, &failure),
        }
    }

    async fn read_credentials(&self) {
        let name = ObjectName::new(&self.identity.namespace, &self.spec.credentials_secret_name);
        if let Err(failure) = self.context.credentials.read(&name, self.limit()).await {
            self.troubled("read", &name.name, &failure);
        }
    }

    async fn create(&self, order: &SecretOrder) {
        let answer = self.server().create(&self.identity.namespace, &self.spec.secret_name, order).await;
        self.written("create", answer, order, false);
    }

    async fn patch(&self, version: &SecretVersion, order: &SecretOrder, repair: bool) {
        let answer = self.server().patch(&self.identity.namespace, &self.spec.secret_name, version, order).await;
        if let Err(ApiFailure::Unchangeable(_)) = answer {
            self.context.registry.with(self.caller, |memory| memory.unpatchable = Some(version.clone()));
            return;
        }
        self.written("update", answer, order, repair);
    }

    fn written(&self, attempted: &str, answer: Result<SecretMeta, ApiFailure>, order: &SecretOrder, repair: bool) {
        match answer {
            Ok(meta) => {
                let now = self.context.clock.instant();
                let version = meta.version.clone();
                self.present(meta);
                let carried = order.grant.as_ref().map(|grant| grant.issue);
                self.context.registry.with(self.caller, |memory| memory.written(version, carried, repair, now));
            }
            Err(ApiFailure::NotFound) if attempted == "update" => self.context.secrets.absent(self.target()),
            Err(ApiFailure::Conflict) => self.context.secrets.outdated(&self.target()),
            Err(failure) => self.troubled(attempted, &self.spec.secret_name, &failure),
        }
    }

    async fn replace(&self, version: &SecretVersion) {
        if let Err(failure) = self.delete(&self.spec.secret_name, version).await {
            self.troubled("delete", &self.spec.secret_name, &failure);
        }
    }

    async fn delete_stray(&self, name: &str, version: &SecretVersion) {
        let Err(failure) = self.delete(name, version).await else {
            // Nobody asks for it any more.
            return self.context.secrets.abandon(&ObjectName::new(&self.identity.namespace, name));
        };
        let now = self.context.clock.instant();
        let held = self.context.registry.with(self.caller, |memory| {
            memory.stray_refused(failure.is_refusal(), now);
            memory.stray_held
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
    }

    async fn delete(&self, name: &str, version: &SecretVersion) -> Result<(), ApiFailure> {
        let Self { context, identity, .. } = self;
        let object = ObjectName::new(&identity.namespace, name);
        match self.server().delete(&identity.namespace, name, version).await {
            Ok(()) | Err(ApiFailure::NotFound) => context.secrets.absent(object),
            Err(ApiFailure::Conflict) => context.secrets.outdated(&object),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn order(&self, ordered: Ordered, call: GrantCall, waiting: Waiting) {
        let Self { context, identity, spec, caller } = self;
        let name = ObjectName::new(&identity.namespace, &spec.credentials_secret_name);
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

    fn target(&self) -> ObjectName {
        ObjectName::new(&self.identity.namespace, &self.spec.secret_name)
    }

    fn troubled(&self, attempted: &str, name: &str, failure: &ApiFailure) {
        let now = self.context.clock.instant();
        let remedy = match failure {
            ApiFailure::Refused(_) | ApiFailure::Unchangeable(_) => "Mend what the server names; the operator tries again by itself",
            ApiFailure::Terminating(_) => "Nothing can be created in a namespace that terminates",
            _ => "The operator tries again by itself",
        };
        self.context.registry.with(self.caller, |memory| {
            let words = withhold(failure.words(), memory.hand.as_ref());
            let message = format!("could not {attempted} Secret {}/{name}: {words}. {remedy}", self.identity.namespace);
            memory.troubled(message, failure.is_refusal(), matches!(failure, ApiFailure::Terminating(_)), now);
        });
    }
}

/// The server's words, unless they quote the grant: a webhook may say anything.
fn withhold<'a>(words: &'a str, hand: Option<&Arc<HeldGrant>>) -> &'a str {
    const TELLING: usize = 12;
    let Some(hand) = hand else { return words };
    let secrets = [Some(&hand.grant.grant), hand.grant.playback_url.as_ref()];
    let quotes = |secret: &str| {
        use base64::Engine as _;
        let encoded = zeroize::Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(secret));
        [secret, &encoded]
            .into_iter()
            .any(|text| text.as_bytes().windows(TELLING).any(|part| words.as_bytes().windows(TELLING).any(|said| said == part)))
    };
    if secrets.into_iter().flatten().any(|secret| quotes(secret.expose_secret())) {
        "its words quote the Secret and are withheld"
    } else {
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Grant, PlayerStreamerSid, Ttl};
    use crate::time::Instant;

    #[test]
    fn words_that_quote_the_grant_are_withheld() {
        let hand = Arc::new(HeldGrant {
            grant: Grant::from_stored(r#"{"playbackUrl":"https://play.example/?token=abcdefghijklmnop"}"#, None).unwrap(),
            player_streamer_sid: PlayerStreamerSid::parse(&format!("VJ{}", "a".repeat(32))).unwrap(),
            issue: Instant::after_start(std::time::Duration::ZERO),
            issue_time: k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            ttl: Ttl::from_seconds(15).unwrap(),
            request_hash: String::new(),
        });
        assert_eq!(withhold("exceeded quota: secrets", Some(&hand)), "exceeded quota: secrets");
        for quoting in ["denied: token=abcdefghijkl", "denied: aHR0cHM6Ly9wbGF5LmV4YW1wbGUv"] {
            assert_eq!(withhold(quoting, Some(&hand)), "its words quote the Secret and are withheld", "{quoting}");
        }
    }
}
