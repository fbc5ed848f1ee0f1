//! The rules of the door once more, in Rust: what is stored is checked before it is used.
//!
//! A request can have been stored through an older or laxer schema. Each rule here is one of [`super::rules`] or of the schema, and says
//! the same words. What `#[serde]` can't read at all (a text where a number belongs) never gets here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;

use super::names::{GROUP, MANAGED_BY_LABEL};
use super::request_hash::request_hash;
use super::{DeletionPolicy, GrantSecret, PlaybackGrantRequest, PlaybackGrantRequestSpec, RequestedAccessToken, rules, syntax};
use crate::media::{GrantCall, Origin, PlayerStreamerSid, Ttl};
use crate::token::{AccessTokenIdentity, AccessTokenSpec, AccessTokenTtl};

/// A spec that keeps every rule, in types that can't break one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidSpec {
    /// What is asked of the Media API.
    pub call: GrantCall,
    /// The hash over what decides the grant. Here, since it is asked for at each look.
    pub request_hash: Arc<str>,
    /// How long before its expiry a grant is replaced: at least 1 s. For a TTL of 1 s that is all of its life.
    pub refresh_before: Duration,
    /// The name of the Secret that holds the credentials.
    pub credentials_secret_name: Arc<str>,
    /// The name of the Secret that the grant is written to.
    pub secret_name: Arc<str>,
    /// Labels to put on that Secret.
    pub labels: BTreeMap<String, String>,
    /// Annotations to put on that Secret.
    pub annotations: BTreeMap<String, String>,
    /// What becomes of that Secret when the request is deleted.
    pub deletion_policy: DeletionPolicy,
    /// The Access Token to keep beside the grant, if one is.
    pub access_token: Option<AccessTokenSpec>,
    /// Whether refreshing is suspended.
    pub suspend: bool,
}

/// A spec that breaks rules: every one of them, in the order of the fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidSpec {
    /// What is wrong; never empty.
    pub violations: Vec<Violation>,
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, `spec.` included.
    pub field: &'static str,
    /// What is wrong with it, and what to do.
    pub remedy: String,
}

/// Checks the stored `request` against every rule of the door.
pub fn validate(request: &PlaybackGrantRequest) -> Result<ValidSpec, InvalidSpec> {
    let PlaybackGrantRequestSpec {
        player_streamer_sid,
        ttl_seconds,
        access_control_allow_origin,
        refresh_before_expiry_seconds,
        credentials_secret_ref,
        secret,
        access_token,
        suspend,
    } = &request.spec;
    let absent = GrantSecret::default();
    let GrantSecret { name, labels, annotations, deletion_policy } = secret.as_ref().unwrap_or(&absent);
    let own_name = request.name_any();
    let secret_name = name.as_ref().unwrap_or(&own_name);
    let credentials_secret_name = &credentials_secret_ref.name;

    let mut violations = Violations::default();
    let sid = violations.unless_some("spec.playerStreamerSid", PlayerStreamerSid::parse(player_streamer_sid), rules::PLAYER_STREAMER_SID);
    let ttl = u8::try_from(*ttl_seconds).ok().and_then(Ttl::from_seconds);
    let ttl = violations.unless_some("spec.ttlSeconds", ttl, rules::TTL);
    let origin = match access_control_allow_origin.as_deref() {
        None => Some(None),
        Some("*") => violations.unless_some("spec.accessControlAllowOrigin", None, rules::ORIGIN_STAR),
        Some(text) => violations.unless_some("spec.accessControlAllowOrigin", Origin::parse(text), rules::ORIGIN).map(Some),
    };
    let refresh_before = ttl.and_then(|ttl| {
        let found = refresh_before(ttl, *refresh_before_expiry_seconds);
        violations.unless_some(
            "spec.refreshBeforeExpirySeconds",
            found,
            if ttl.seconds() == 1 { rules::REFRESH_NOTHING_FITS } else { rules::REFRESH_BEFORE },
        )
    });
    violations.unless("spec.credentialsSecretRef.name", syntax::is_dns_subdomain(credentials_secret_name), rules::SECRET_NAME);
    violations.unless("spec.secret.name", syntax::is_dns_subdomain(secret_name), rules::SECRET_NAME);
    violations.unless("spec.secret.name", secret_name != credentials_secret_name, rules::SECRET_IS_CREDENTIALS);

    violations.unless("spec.secret.labels", labels.len() <= rules::MAX_KEYS, rules::TOO_MANY);
    violations.unless_no_key("spec.secret.labels", labels, |key, _| !syntax::is_qualified_name(key), rules::LABEL_KEYS);
    violations.unless_no_key("spec.secret.labels", labels, |_, value| !syntax::is_label_value(value), rules::LABEL_VALUES);
    violations.unless_no_key("spec.secret.labels", labels, |key, _| is_reserved(key), rules::RESERVED_KEYS);

    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    violations.unless("spec.secret.annotations", annotations.len() <= rules::MAX_KEYS, rules::TOO_MANY);
    violations.unless_no_key("spec.secret.annotations", annotations, |key, _| !syntax::is_annotation_key(key), rules::ANNOTATION_KEYS);
    violations.unless("spec.secret.annotations", size <= rules::MAX_ANNOTATIONS_SIZE, rules::ANNOTATIONS_SIZE);
    violations.unless_no_key("spec.secret.annotations", annotations, |key, _| is_reserved(key), rules::RESERVED_KEYS);

    let policy = violations.unless_some("spec.secret.deletionPolicy", DeletionPolicy::parse(deletion_policy), rules::DELETION_POLICY);

    let access_token = access_token.as_ref().map(|asked| access_token_spec(asked, &mut violations));

    match (sid, ttl, origin, refresh_before, policy) {
        (Some(player_streamer_sid), Some(ttl), Some(access_control_allow_origin), Some(refresh_before), Some(deletion_policy))
            if violations.0.is_empty() =>
        {
            let call = GrantCall { player_streamer_sid, ttl, access_control_allow_origin };
            Ok(ValidSpec {
                request_hash: request_hash(&call, credentials_secret_name),
                call,
                refresh_before,
                credentials_secret_name: credentials_secret_name.as_str().into(),
                secret_name: secret_name.as_str().into(),
                labels: labels.clone(),
                annotations: annotations.clone(),
                deletion_policy,
                access_token: access_token.flatten(),
                suspend: *suspend,
            })
        }
        _ => Err(InvalidSpec { violations: violations.0 }),
    }
}

fn access_token_spec(asked: &RequestedAccessToken, violations: &mut Violations) -> Option<AccessTokenSpec> {
    let RequestedAccessToken { identity, ttl_seconds } = asked;
    let identity = violations.unless_some("spec.accessToken.identity", AccessTokenIdentity::parse(identity), rules::IDENTITY);
    let ttl = u32::try_from(*ttl_seconds).ok().and_then(AccessTokenTtl::from_seconds);
    let ttl = violations.unless_some("spec.accessToken.ttlSeconds", ttl, rules::TOKEN_TTL);
    Some(AccessTokenSpec { identity: identity?, ttl: ttl? })
}

fn refresh_before(ttl: Ttl, asked: Option<i64>) -> Option<Duration> {
    let ttl = u64::from(ttl.seconds());
    let seconds = match asked {
        None => ttl.div_ceil(3),
        Some(asked) => u64::try_from(asked).ok().filter(|asked| (1..=ttl * 3 / 4).contains(asked))?,
    };
    Some(Duration::from_secs(seconds))
}

fn is_reserved(key: &str) -> bool {
    key == MANAGED_BY_LABEL || key.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/'))
}

#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn unless(&mut self, field: &'static str, kept: bool, remedy: &str) {
        if !kept {
            self.0.push(Violation { field, remedy: remedy.to_owned() });
        }
    }

    fn unless_some<T>(&mut self, field: &'static str, parsed: Option<T>, remedy: &str) -> Option<T> {
        self.unless(field, parsed.is_some(), remedy);
        parsed
    }

    fn unless_no_key(&mut self, field: &'static str, map: &BTreeMap<String, String>, unwanted: impl Fn(&str, &str) -> bool, remedy: &str) {
        if let Some((key, _)) = map.iter().find(|(key, value)| unwanted(key, value)) {
            // Quoted, and cut: what is stored can be anything, and this goes into a condition's message.
            let shown: String = key.chars().take(100).collect();
            self.0.push(Violation { field, remedy: format!("{shown:?} {remedy}") });
        }
    }
}

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.violations.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.remedy)
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
