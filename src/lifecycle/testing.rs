//! Hand-made observations for tests.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use super::{
    Backoff, Contents, CredentialsView, Decision, Failure, Fields, HeldGrant, Identity, LaneClosed, Memory, Ordered, Report, SecretMeta,
    SecretOrder, SecretView, Seen, Signer, Step, Subject, TokenOrder, decide,
};
use crate::api::condition::ConditionType;
use crate::api::{DeletionPolicy, InvalidSpec, ValidSpec, Violation, request_hash};
use crate::media::lane::Hold;
use crate::media::{Credentials, FailureClass, Grant, GrantCall, LaneKey, PlayerStreamerSid, Ttl};
use crate::time::{Instant, Now};
use crate::token::{AccessTokenIdentity, AccessTokenSpec, AccessTokenTtl, SigningKey};

/// So many seconds after the clock's start. A scene is at 1000, by the wall clock at noon.
pub(super) fn at(seconds: u64) -> Instant {
    Instant::after_start(Duration::from_secs(seconds))
}

/// Everything that is observed of one request, to be changed and decided upon.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Scene {
    pub(super) spec: ValidSpec,
    pub(super) invalid: bool,
    pub(super) deleting: bool,
    pub(super) refresh_request: Option<String>,
    pub(super) secret: SecretView,
    pub(super) strays: Vec<SecretMeta>,
    pub(super) credentials: CredentialsView,
    pub(super) lane_closed: Option<FailureClass>,
    pub(super) status_interval: Duration,
    pub(super) awaits_turn: bool,
    pub(super) lane_slow: bool,
    pub(super) memory: Memory,
    pub(super) now: Instant,
    /// By how many seconds the wall clock was set forward.
    pub(super) wall_set: i64,
}

impl Scene {
    /// There is no Secret, and no grant.
    pub(super) fn absent() -> Self {
        let mut memory = Memory::at_first_sight(None, at(1000));
        memory.looked = Some(at(1000));
        Self {
            spec: spec(),
            invalid: false,
            deleting: false,
            refresh_request: None,
            secret: SecretView::Absent,
            strays: Vec::new(),
            credentials: usable("media-api"),
            lane_closed: None,
            status_interval: Duration::ZERO,
            awaits_turn: false,
            lane_slow: false,
            memory,
            now: at(1000),
            wall_set: 0,
        }
    }

    /// The Secret holds a grant that has just been asked for, which is in hand.
    pub(super) fn fresh() -> Self {
        let mut scene = Self { secret: SecretView::Present(claimed("keynote", 1000)), ..Self::absent() };
        scene.memory.hand = Some(hand(1000));
        let version = scene.meta().version.clone();
        scene.memory.written(version, Some(&bare(hand(1000))), false, false, at(1000));
        scene
    }

    pub(super) fn meta(&mut self) -> &mut SecretMeta {
        match &mut self.secret {
            SecretView::Present(meta) => meta,
            other => panic!("{other:?}"),
        }
    }

    /// The Secret is at another version now.
    pub(super) fn change(&mut self) {
        let version = &mut self.meta().version;
        *version = version.at(&format!("{}1", version.resource_version()));
    }

    pub(super) fn subject(&self) -> Subject {
        Subject { request_hash: self.spec.request_hash.clone(), lane: lane("media-api") }
    }

    pub(super) fn decide(&self) -> Decision {
        self.observed(decide)
    }

    /// What comes of looking at it.
    pub(super) fn observed<T>(&self, look: impl FnOnce(&Seen<'_>, Now) -> T) -> T {
        let violation = Violation { field: "spec.ttlSeconds", remedy: "must be from 1 to 60".into() };
        let invalid = InvalidSpec { violations: vec![violation] };
        let seen = Seen {
            identity: &identity(),
            generation: Some(3),
            deleting: self.deleting,
            spec: if self.invalid { Err(&invalid) } else { Ok(&self.spec) },
            refresh_request: self.refresh_request.as_deref(),
            secret: &self.secret,
            strays: &self.strays,
            credentials: &self.credentials,
            lane_closed: self.lane_closed.map(|class| LaneClosed { class, slow: self.lane_slow }),
            status_interval: self.status_interval,
            awaits_turn: self.awaits_turn,
            memory: &self.memory,
        };
        let now = now(self.now);
        look(&seen, Now { wall: now.wall + SignedDuration::from_secs(self.wall_set), ..now })
    }
}

/// What a wall clock that is right shows.
pub(super) fn now(instant: Instant) -> Now {
    let noon = Now { instant: at(1000), wall: "2026-11-24T12:00:00Z".parse().unwrap() };
    Now { instant, wall: noon.wall_at(instant) }
}

pub(super) fn identity() -> Identity {
    Identity { namespace: "web".into(), name: "keynote".into(), uid: "uid-2".into() }
}

pub(super) fn spec() -> ValidSpec {
    let call = GrantCall {
        player_streamer_sid: PlayerStreamerSid::parse(&format!("VJ{}", "a".repeat(32))).unwrap(),
        ttl: Ttl::from_seconds(15).unwrap(),
        access_control_allow_origin: None,
    };
    ValidSpec {
        request_hash: request_hash(&call, "media-api"),
        call,
        refresh_before: Duration::from_secs(5),
        credentials_secret_name: "media-api".into(),
        secret_name: "keynote".into(),
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        annotations: [("note".to_owned(), "n".to_owned())].into(),
        deletion_policy: DeletionPolicy::Delete,
        access_token: None,
        suspend: false,
    }
}

/// A grant without a token.
pub(super) fn bare(grant: Arc<HeldGrant>) -> Contents {
    Contents { grant, token: None }
}

/// A token to be signed.
pub(super) fn token_order() -> TokenOrder {
    let spec = AccessTokenSpec { identity: AccessTokenIdentity::parse("kiosk").unwrap(), ttl: AccessTokenTtl::from_seconds(3600).unwrap() };
    let key = SigningKey::new(&format!("SK{}", "a".repeat(32)), "secret".into()).tag();
    TokenOrder { spec, account_sid: format!("AC{}", "a".repeat(32)).into(), key }
}

/// Credentials that can't sign.
pub(super) fn usable(user: &str) -> CredentialsView {
    CredentialsView::Usable { lane: lane(user), signer: Signer { key: None, account_sid: None } }
}

pub(super) fn lane(user: &str) -> LaneKey {
    Credentials::new(user, "password".into(), None).unwrap().fingerprint()
}

/// A grant for the spec, asked for at so many seconds.
pub(super) fn hand(seconds: u64) -> Arc<HeldGrant> {
    let spec = spec();
    Arc::new(HeldGrant {
        grant: Grant::from_stored(&format!(r#"{{"issue":{seconds}}}"#), None).unwrap(),
        player_streamer_sid: spec.call.player_streamer_sid.clone(),
        issue: at(seconds),
        issue_time: now(at(seconds)).wall,
        ttl: spec.call.ttl,
        request_hash: spec.request_hash.clone(),
    })
}

/// A Secret as the operator writes it, with that grant in it.
pub(super) fn claimed(name: &str, seconds: u64) -> SecretMeta {
    let order = SecretOrder::new(&identity(), &spec(), None, Some(bare(hand(seconds))));
    let set = |wanted: std::collections::BTreeMap<String, Option<String>>| {
        Fields::new(wanted.into_iter().filter_map(|(key, value)| Some((key, value?))), |_| true)
    };
    SecretMeta {
        name: name.into(),
        version: super::SecretVersion::new("secret-1", "7"),
        deleting: false,
        foreign_data: std::collections::BTreeSet::new(),
        labels: set(order.labels),
        annotations: set(order.annotations),
        owners: order.owners.unwrap_or_default(),
    }
}

pub(super) fn step(scene: &Scene) -> Step {
    match scene.decide() {
        Decision::Step(step) => step,
        Decision::Rest { .. } => panic!("a step was due"),
    }
}

pub(super) fn rest(scene: &Scene) -> (Report, Option<Instant>) {
    match scene.decide() {
        Decision::Rest { report: Some(report), look_at } => (report, look_at),
        other => panic!("{other:?}"),
    }
}

/// The conditions' types, statuses and reasons.
pub(super) fn conditions(report: &Report) -> Vec<(String, String, String)> {
    report.status.conditions.iter().map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone())).collect()
}

pub(super) fn shown(list: &[(ConditionType, &str, &str)]) -> Vec<(String, String, String)> {
    list.iter().map(|(type_, status, reason)| (type_.as_str().into(), (*status).into(), (*reason).into())).collect()
}

pub(super) fn backoff(until: Instant, refused: bool) -> Backoff {
    let mut backoff = Backoff::after(None, refused, at(1000));
    backoff.until = until;
    backoff
}

/// A failed attempt whose repetition waits in the lane.
pub(super) fn failing(scene: &mut Scene, class: FailureClass, slow: bool) {
    let subject = scene.subject();
    scene.memory.ordered = Some(Box::new(Ordered { subject: subject.clone(), refresh_request: None, forced: false }));
    let message = "POST https://media.example: what is wrong, and what to do".to_owned();
    let failure = Failure { subject, class, message, slow, streak: 1, hold: Hold::Own(at(1001)), mended: false };
    scene.memory.failure = Some(Box::new(failure));
}
