//! What an operator does for each refresh, one thing at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::core::WatchEvent;
use playback_grant_operator::api::names::{FIELD_MANAGER, annotation};
use playback_grant_operator::api::{PlaybackGrantRequest, PlaybackGrantRequestStatus, ValidSpec, validate};
use playback_grant_operator::controller::served::ServedRequest;
use playback_grant_operator::controller::watched::{WatchedRequest, WatchedSecret};
use playback_grant_operator::lifecycle::{
    Contents, CredentialsView, Decision, Fields, HeldGrant, Identity, Memory, Report, SecretMeta, SecretOrder, SecretVersion, SecretView,
    Seen, Signer, decide,
};
use playback_grant_operator::media::lane::{Caller, Hold, Kind, Outcome, Waiting};
use playback_grant_operator::media::lanes::Lanes;
use playback_grant_operator::media::{Credentials, Grant, LaneKey};
use playback_grant_operator::time::{Instant, Now};
use serde_json::{Value, json};

const TTL: Duration = Duration::from_secs(15);

/// A request whose Secret holds a fresh grant and is as the spec asks for, and whose status says so.
pub struct Quiet {
    identity: Identity,
    spec: ValidSpec,
    request: PlaybackGrantRequest,
    secret: SecretView,
    credentials: CredentialsView,
    memory: Memory,
    now: Now,
}

impl Quiet {
    pub fn new() -> Self {
        let now = Now { instant: at(1), wall: "2026-11-24T12:00:01Z".parse().unwrap() };
        let request: PlaybackGrantRequest = serde_json::from_value(request_object(&json!(null))).unwrap();
        let spec = validate(&request).unwrap();
        let identity = Identity { namespace: "web".into(), name: "lobby".into(), uid: UID.into() };
        let grant = Arc::new(HeldGrant {
            grant: Grant::from_stored(r#"{"playbackUrl":"https://play.example/"}"#, None).unwrap(),
            player_streamer_sid: spec.call.player_streamer_sid.clone(),
            issue: at(0),
            issue_time: "2026-11-24T12:00:00Z".parse().unwrap(),
            ttl: spec.call.ttl,
            request_hash: spec.request_hash.clone(),
        });
        let contents = Contents { grant: grant.clone(), token: None };
        let order = SecretOrder::new(&identity, &spec, None, Some(contents.clone()));
        let meta = as_ordered(order);
        let mut memory = Memory::at_first_sight(None, at(0));
        memory.told.seen("7", &PlaybackGrantRequestStatus::default());
        memory.concerns(spec.secret_name.clone(), Some(1));
        memory.granted((*grant).clone(), now.instant);
        memory.written(meta.version.clone(), Some(&contents), false, false, now.instant);
        let credentials = CredentialsView::Usable { lane: lane(), signer: Signer { key: None, account_sid: None } };
        let mut quiet = Self { identity, spec, request, secret: SecretView::Present(meta), credentials, memory, now };
        let Decision::Rest { report: Some(Report { status, .. }), .. } = quiet.decide() else { panic!("a step is due") };
        quiet.memory.told.written(status, "8".into(), now.instant);
        quiet
    }

    /// What most looks come to: nothing but when to look again.
    pub fn decide(&self) -> Decision {
        let seen = Seen {
            identity: &self.identity,
            generation: Some(1),
            deleting: false,
            spec: Ok(&self.spec),
            refresh_request: None,
            secret: &self.secret,
            strays: &[],
            credentials: &self.credentials,
            lane_closed: None,
            status_interval: Duration::ZERO,
            awaits_turn: false,
            memory: &self.memory,
        };
        decide(&seen, self.now)
    }

    /// What a new grant is to make of the Secret.
    pub fn order(&self) -> SecretOrder {
        let SecretView::Present(meta) = &self.secret else { panic!("there is no Secret") };
        let contents = Contents { grant: self.memory.hand.clone().unwrap(), token: None };
        SecretOrder::new(&self.identity, &self.spec, Some(meta), Some(contents))
    }

    /// What is kept of it from one refresh to the next: the memory, the Secret without its data, and the request, when its status has been read.
    /// `is_alone`: of a memory that has its names for itself; the grant is left out of either.
    #[must_use]
    pub fn kept(&self, is_alone: bool) -> (Box<Memory>, Box<SecretMeta>, Box<ServedRequest>) {
        let WatchEvent::Modified(secret) = decode_secret(&self.secret_event()) else { panic!("another event") };
        let WatchEvent::Modified(WatchedRequest(Ok(request))) = decode_request(&self.request_event()) else { panic!("another event") };
        let mut memory = if is_alone { Self::new().memory } else { self.memory.clone() };
        if is_alone {
            memory.hand = None;
        }
        let request = ServedRequest::new(request);
        drop(request.read_status());
        (Box::new(memory), Box::new(secret.meta), Box::new(request))
    }

    /// What the watch of the Secrets shows after a refresh.
    pub fn secret_event(&self) -> String {
        let SecretView::Present(meta) = &self.secret else { panic!("there is no Secret") };
        let all = |fields: &Fields| -> Value { fields.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect() };
        let fields = |fields: &Fields| -> Value { fields.iter().map(|(key, _)| (format!("f:{key}"), json!({}))).collect() };
        let data = ["accountSid", "expiryTime", "grant", "issueTime", "playbackUrl", "playerStreamerSid"];
        let data: Value = data.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
        let owner = self.identity.as_owner();
        let object = json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {
                "name": "lobby", "namespace": "web", "uid": meta.version.uid(), "resourceVersion": "1234567",
                "creationTimestamp": "2026-11-24T11:00:00Z", "labels": all(&meta.labels), "annotations": all(&meta.annotations),
                "ownerReferences": [{
                    "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid, "controller": true,
                }],
                "managedFields": [{
                    "manager": FIELD_MANAGER, "operation": "Update", "apiVersion": "v1", "time": "2026-11-24T12:00:00Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {
                        "f:data": data,
                        "f:metadata": {
                            "f:annotations": fields(&meta.annotations), "f:labels": fields(&meta.labels),
                            "f:ownerReferences": {".": {}, format!("k:{{\"uid\":\"{UID}\"}}"): {}},
                        },
                        "f:type": {},
                    },
                }],
            },
        });
        format!(r#"{{"type":"MODIFIED","object":{object}}}"#)
    }

    /// What the watch of the requests shows after a refresh.
    pub fn request_event(&self) -> String {
        let mut object = request_object(&serde_json::to_value(&self.memory.told.status).unwrap());
        object["spec"] = serde_json::to_value(&self.request.spec).unwrap();
        format!(r#"{{"type":"MODIFIED","object":{object}}}"#)
    }
}

pub fn decode_secret(event: &str) -> WatchEvent<WatchedSecret> {
    serde_json::from_str(event).unwrap()
}

pub fn decode_request(event: &str) -> WatchEvent<WatchedRequest> {
    serde_json::from_str(event).unwrap()
}

/// So many callers in one lane, of which one after the other is due, and the others wait for what holds them back.
pub struct Fleet {
    lanes: Lanes,
    callers: Vec<Caller>,
    turn: usize,
    now: Instant,
}

impl Fleet {
    /// The first call has been answered.
    pub fn new(size: usize) -> Self {
        let callers: Vec<_> = (0..size).map(|caller| Caller::from(format!("uid-{caller}"))).collect();
        let mut lanes = Lanes::new(1024);
        for caller in &callers {
            lanes.enqueue(lane(), caller, held());
        }
        let mut fleet = Self { lanes, callers, turn: 0, now: at(0) };
        fleet.refresh();
        fleet
    }

    /// One call, from its place in the lane to its answer, with what the dispatcher asks in between.
    pub fn refresh(&mut self) {
        let Self { lanes, callers, turn, now } = self;
        *turn = (*turn + 1) % callers.len();
        *now = *now + TTL / 2 / u32::try_from(callers.len()).unwrap();
        let waiting = Waiting { kind: Kind::Refresh, deadline: *now + TTL / 3, hold: Hold::Nothing, urgent: false };
        lanes.enqueue(lane(), &callers[*turn], waiting);
        assert!(lanes.listen(*now).is_empty());
        let (lane, attempt) = lanes.next(*now).expect("a call is due");
        assert!(lanes.next(*now).is_none() && lanes.look_at(*now).is_some());
        let answered = lanes.answered(lane, &attempt, (Outcome::Granted, Some("AC1")), *now, 0.5);
        assert!(answered.is_some_and(|answered| answered.ends_call));
        lanes.enqueue(lane, &callers[*turn], held());
    }
}

/// Waits for longer than anything here takes.
fn held() -> Waiting {
    Waiting { kind: Kind::Refresh, deadline: at(1_000_000), hold: Hold::Own(at(1_000_000)), urgent: false }
}

const UID: &str = "0b5f4a52-9a61-4f8e-8c11-9b2f7c1e6f3c";

fn request_object(status: &Value) -> Value {
    json!({
        "apiVersion": "playbackgrant.dev/v1alpha1", "kind": "PlaybackGrantRequest",
        "metadata": {
            "name": "lobby", "namespace": "web", "uid": UID, "resourceVersion": "1234568", "generation": 1,
            "creationTimestamp": "2026-11-24T11:00:00Z",
            "managedFields": [
                {
                    "manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "playbackgrant.dev/v1alpha1",
                    "time": "2026-11-24T11:00:00Z", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": {".": {}, "f:credentialsSecretRef": {".": {}, "f:name": {}}, "f:playerStreamerSid": {}}},
                },
                {
                    "manager": FIELD_MANAGER, "operation": "Update", "apiVersion": "playbackgrant.dev/v1alpha1", "subresource": "status",
                    "time": "2026-11-24T12:00:00Z", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:status": {
                        ".": {}, "f:conditions": {}, "f:consecutiveFailures": {}, "f:observedGeneration": {}, "f:secretName": {},
                        "f:grant": {".": {}, "f:expiryTime": {}, "f:issueTime": {}, "f:refreshTime": {}},
                    }},
                },
            ],
        },
        "spec": {"playerStreamerSid": format!("VJ{}", "a".repeat(32)), "credentialsSecretRef": {"name": "media-api"}},
        "status": status,
    })
}

fn as_ordered(order: SecretOrder) -> SecretMeta {
    let set =
        |wanted: BTreeMap<String, Option<String>>| Fields::new(wanted.into_iter().filter_map(|(key, value)| Some((key, value?))), |_| true);
    let annotations = set(order.annotations);
    assert!(annotations.contains_key(annotation::EXPIRY_TIME));
    SecretMeta {
        name: "lobby".into(),
        version: SecretVersion::new("7c9e6679-7425-40de-944b-e07fc1f90ae7", "1234567"),
        labels: set(order.labels),
        annotations,
        owners: order.owners.unwrap_or_default(),
        ..SecretMeta::default()
    }
}

fn lane() -> LaneKey {
    let (user, password) = (format!("AC{}", "a".repeat(32)), "b".repeat(32));
    let get = |key: &str| match key {
        "accountSid" => Some(user.as_bytes()),
        "authToken" => Some(password.as_bytes()),
        _ => None,
    };
    Credentials::from_secret_data(get).unwrap().fingerprint()
}

fn at(seconds: u64) -> Instant {
    Instant::after_start(Duration::from_secs(seconds))
}
