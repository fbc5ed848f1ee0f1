//! What objects show, as far as it is judged.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use k8s_openapi::jiff::Timestamp;
use playback_grant_operator::api::names::{MANAGED_BY, MANAGED_BY_LABEL};
use playback_grant_testbed::Change;
use serde_json::{Value, json};

use crate::media_api::Wanted;

/// A grant, by what the Media API of the simulation put into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFacts {
    /// Since the start.
    pub expires: Duration,
    streamer: String,
    ttl: u64,
    origin: Option<String>,
}

impl GrantFacts {
    fn of(grant: &Value) -> Option<Self> {
        Some(Self {
            expires: Duration::from_millis(grant["expires"].as_u64()?),
            streamer: grant["streamer"].as_str()?.to_owned(),
            ttl: grant["ttl"].as_u64()?,
            origin: grant["origin"].as_str().map(str::to_owned),
        })
    }

    /// When its call came in at the Media API, since the start.
    pub fn issue(&self) -> Duration {
        self.expires.saturating_sub(Duration::from_secs(self.ttl))
    }

    /// Whether it is what the request asks for.
    pub fn is_for(&self, asked: &RequestFacts) -> bool {
        (&self.streamer, self.ttl, &self.origin) == (&asked.streamer, asked.ttl, &asked.origin)
    }

    /// Whether both are for the same.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.streamer, self.ttl, &self.origin) == (&other.streamer, other.ttl, &other.origin)
    }
}

/// A Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    pub uid: String,
    /// Whose it is, by its own word.
    pub owned_by: Option<String>,
    /// Whether the operators' watches tell of it.
    pub is_watched: bool,
    /// `None` where there is no grant, or not one of this Media API.
    pub grant: Option<GrantFacts>,
    /// The Access Token, and the grant that it carries.
    pub token: Option<(String, Option<GrantFacts>)>,
    /// When the grant expires, by the Secret's own word.
    pub claims: Option<Timestamp>,
}

impl SecretFacts {
    pub fn of(secret: &Value) -> Self {
        let grant = secret["data"]["grant"].as_str().and_then(|grant| STANDARD.decode(grant).ok());
        let grant = grant.and_then(|grant| serde_json::from_slice(&grant).ok()).and_then(|grant| GrantFacts::of(&grant));
        let metadata = &secret["metadata"];
        let claims = metadata["annotations"]["playbackgrant.dev/expiry-time"].as_str().and_then(|time| time.parse().ok());
        let token = secret["data"]["accessToken"].as_str().map(|token| (token.to_owned(), carried(token)));
        let owned_by = metadata["annotations"]["playbackgrant.dev/owned-by"].as_str().map(str::to_owned);
        let is_watched = metadata["labels"][MANAGED_BY_LABEL] == MANAGED_BY;
        Self { uid: metadata["uid"].as_str().unwrap_or_default().to_owned(), owned_by, is_watched, grant, token, claims }
    }
}

impl SecretFacts {
    /// The name of the request whose it is, by its own word.
    pub fn owner(&self) -> Option<&str> {
        self.owned_by.as_deref()?.split_once('/').map(|(name, _)| name)
    }
}

/// The grant in an Access Token, as it stands in a Secret's data.
fn carried(data: &str) -> Option<GrantFacts> {
    let token = String::from_utf8(STANDARD.decode(data).ok()?).ok()?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    GrantFacts::of(&claims["grants"]["player"])
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    pub uid: String,
    pub secret: String,
    streamer: String,
    ttl: u64,
    refresh_before: u64,
    origin: Option<String>,
}

impl RequestFacts {
    /// `None` for one that is being deleted or is suspended.
    pub fn of(request: &Value) -> Option<Self> {
        let (metadata, spec) = (&request["metadata"], &request["spec"]);
        if metadata["deletionTimestamp"].is_string() || spec["suspend"] == true {
            return None;
        }
        Some(Self {
            uid: metadata["uid"].as_str()?.to_owned(),
            secret: spec["secret"]["name"].as_str().or(metadata["name"].as_str())?.to_owned(),
            streamer: spec["playerStreamerSid"].as_str()?.to_owned(),
            ttl: spec["ttlSeconds"].as_u64()?,
            // A third of the life, rounded up.
            refresh_before: spec["refreshBeforeExpirySeconds"].as_u64().unwrap_or(spec["ttlSeconds"].as_u64()?.div_ceil(3)),
            origin: spec["accessControlAllowOrigin"].as_str().map(str::to_owned),
        })
    }
}

impl RequestFacts {
    /// What a grant for it is for.
    pub fn wanted(&self) -> Wanted {
        (self.streamer.clone(), self.ttl, self.origin.clone())
    }

    /// How long it is from one refresh to the next, without what spreads them.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.ttl - self.refresh_before)
    }
}

/// A request's conditions: `Ready=True GrantIssued`.
pub fn conditions(request: &Value) -> Vec<String> {
    let conditions = request["status"]["conditions"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    conditions.map(|one| format!("{}={} {}", text(&one["type"]), text(&one["status"]), text(&one["reason"]))).collect()
}

/// What is wrong with a status that has just been written: one that is about an older spec than it stands beside.
///
/// A status is written on the version that it is about. (Only one that has met another, of which no watch has told for ten seconds, is written on whatever
/// stands there; in a history watches are back before.)
pub fn written_late(before: &Value, after: &Value) -> Option<String> {
    let (is, says) = (&after["metadata"]["generation"], &after["status"]["observedGeneration"]);
    let name = &after["metadata"]["name"];
    (before["status"] != after["status"] && says != is).then(|| format!("{name} is at generation {is}, and was told of {says}"))
}

/// A status is blamed that is about an older spec, where it is written and not where the spec changes under it.
pub fn self_test() {
    let request =
        |generation, says| json!({"metadata": {"name": "lobby", "generation": generation}, "status": {"observedGeneration": says}});
    let is_late = |before, after| written_late(&before, &after).is_some();
    assert!(is_late(request(2, json!(null)), request(2, json!(1))), "written beside a newer spec");
    assert!(!is_late(request(1, json!(null)), request(1, json!(1))), "of its own");
    assert!(!is_late(request(1, json!(1)), request(2, json!(1))), "nobody has written");
}

/// A change, in a line.
pub fn change(change: &Change) -> String {
    let (kind, name) = (change.kind(), change.name());
    let Some(after) = &change.after else { return format!("{kind} {name} is gone") };
    if kind == "Secret" {
        let SecretFacts { grant, .. } = SecretFacts::of(after);
        return format!("{kind} {name} holds a grant until {:?}", grant.map(|grant| grant.expires));
    }
    format!("{kind} {name} says {:?}", conditions(after))
}
