//! Admission webhooks that say no in ways of their own: with whatever code, and quoting what they were shown.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::Search;
use crate::refusals::{LIVE_GRANT, REFRESH, refused};
use crate::stage::{Stage, conditions, data, ensure_names, eventually};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("webhooks::one_that_says_no_as_if_it_were_a_conflict", async |scene| {
            denies(scene, &json!({"code": 409, "reason": "Conflict"})).await
        }),
        test("webhooks::one_that_says_no_as_if_there_were_no_secret", async |scene| {
            denies(scene, &json!({"code": 404, "reason": "NotFound"})).await
        }),
        test("webhooks::one_that_says_no_as_if_it_were_immutable", async |scene| {
            let causes = json!([{"field": "data", "reason": "FieldValueForbidden", "message": "field is immutable"}]);
            denies(scene, &json!({"code": 422, "reason": "Invalid", "details": {"causes": causes}})).await
        }),
        test("webhooks::one_that_fails_and_quotes_what_it_was_shown", quotes),
    ]
}

/// A webhook over TLS, which denies each update of the namespace's Secrets with a status of its own; where that has no message, it quotes the Secret.
pub struct Webhook {
    url: String,
    certificate: String,
    _server: AbortOnDropHandle<()>,
}

/// Connections within TLS; those that don't get so far are of no interest.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            if let Ok((stream, peer)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn review(State(status): State<Arc<Mutex<Value>>>, Json(review): Json<Value>) -> Json<Value> {
    let mut status = status.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if status.get("message").is_none() {
        status["message"] = json!(format!("not this one: {}", review["request"]["object"]["data"]));
    }
    let response = json!({"uid": review["request"]["uid"], "allowed": false, "status": status});
    Json(json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}))
}

impl Webhook {
    pub async fn start(status: Value) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}/", listener.local_addr()?);
        let router = Router::new().route("/", post(review)).with_state(Arc::new(Mutex::new(status)));
        let tls = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let server = tokio::spawn(async move {
            // It serves until it is aborted and has no error to return.
            let _ = axum::serve(tls, router).await;
        });
        Ok(Self { url, certificate: made.cert.pem(), _server: AbortOnDropHandle::new(server) })
    }

    /// Puts it before the updates of the namespace's Secrets, under the namespace's name, and waits until it is in force.
    pub async fn register(&self, stage: &Stage, touched: &str) -> Result<Api<ValidatingWebhookConfiguration>> {
        let name = &stage.namespace;
        let configuration: ValidatingWebhookConfiguration = serde_json::from_value(json!({
            "metadata": {"name": name},
            "webhooks": [{
                "name": "no.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "clientConfig": {"url": self.url, "caBundle": STANDARD.encode(&self.certificate)},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["secrets"]}],
            }],
        }))?;
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(stage.admin.clone());
        configurations.create(&PostParams::default(), &configuration).await?;
        let try_out = PatchParams { dry_run: true, ..PatchParams::default() };
        let touch = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
        let denied = async || Ok(stage.secrets.patch(touched, &try_out, &touch).await.is_err());
        eventually("the webhook is in force", denied, |denied| *denied, |denied| *denied).await?;
        Ok(configurations)
    }
}

/// The refusal is told, and met with few writes; the Secret stays as it is, and the grant in hand comes once the webhook is gone.
async fn denies(scene: Scene, status: &Value) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})).await?;
    let mut status = status.clone();
    status["message"] = json!("no changes before the weekend");
    let webhook = Webhook::start(status).await?;
    let configurations = webhook.register(&stage, "lobby").await?;
    let before = stage.secrets.get("lobby").await?;
    stage.annotate("lobby", REFRESH, "now").await?;
    let words = ["admission webhook", "no changes before the weekend", "could not update", "covers until"];
    refused(&stage, LIVE_GRANT, "patch secrets/lobby", &words).await?;
    ensure!(stage.secrets.get("lobby").await? == before, "it was written, or made again, all the same");
    let calls = stage.calls(1);
    configurations.delete(&stage.namespace, &DeleteParams::default()).await?;
    stage.ready("lobby").await?;
    let after = stage.secrets.get("lobby").await?;
    ensure!(after.metadata.uid == before.metadata.uid, "it was made again");
    ensure!(data(&after, "grant") != data(&before, "grant") && stage.calls(1) == calls, "the grant in hand isn't what was written");
    Ok(())
}

async fn quotes(_: Scene) -> Result<()> {
    // A control plane of its own: such a webhook puts the grant into the API server's own audit log.
    Stage::alone(fails_in_words_that_quote).await
}

async fn fails_in_words_that_quote(stage: &Stage) -> Result<()> {
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})).await?;
    let webhook = Webhook::start(json!({"code": 500, "reason": "InternalError"})).await?;
    let configurations = webhook.register(stage, "lobby").await?;
    stage.annotate("lobby", REFRESH, "now").await?;
    let told = |condition: &String| condition == "RefreshFailing=True SecretWriteFailed";
    let request = stage.reaches("lobby", "told that the write failed", |request| conditions(request).iter().any(told)).await?;
    ensure_names(&request, "RefreshFailing", &["its words quote the Secret and are withheld"])?;
    let log = async || Ok(operator.log()?.lines().filter(|line| line.contains("the API server doesn't do what it is asked")).count());
    eventually("the log tells of it", log, |lines| *lines > 0, |lines| *lines).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let search = Search::shown_to_find()?;
    let statuses = serde_json::to_string(&stage.requests.list(&ListParams::default()).await?)?;
    let log = operator.log()?;
    let mut found = search.find("the statuses", statuses.as_bytes());
    found.extend(search.find("the log", log.as_bytes()));
    crate::events::are_told(stage, "lobby", &["Normal GrantIssued", "Warning SecretWriteFailed"]).await?;
    let events = Api::<Event>::namespaced(stage.admin.clone(), &stage.namespace).list(&ListParams::default()).await?;
    found.extend(search.find("the Events", serde_json::to_string(&events)?.as_bytes()));
    found.extend(search.find("the metrics", operator.get("/metrics").await?.1.as_bytes()));
    ensure!(found.is_empty(), "{found:?}");
    let line =
        log.lines().find(|line| line.contains("the API server doesn't do what it is asked")).context("the log doesn't tell of it")?;
    ensure!(line.contains("it answered 500"), "{line}");
    configurations.delete(&stage.namespace, &DeleteParams::default()).await?;
    stage.ready("lobby").await.map(drop)
}
