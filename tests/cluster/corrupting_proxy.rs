//! A proxy before the API server that spoils answers which hold Secrets, so that they can't be decoded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use playback_grant_testbed::ControlPlane;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::harness::locked;
use crate::leaks::Search;

/// A running proxy; it ends when it is dropped.
pub struct CorruptingProxy {
    /// A kubeconfig that leads through it.
    pub kubeconfig: PathBuf,
    state: Arc<Spoiler>,
    server: AbortHandle,
}

/// A method and the name of a Secret.
type Target = (String, String);

struct Spoiler {
    client: Client,
    search: Search,
    target: Mutex<Option<Target>>,
    /// How many answers of each target have been spoiled, and still held what is secret.
    spoiled: Mutex<BTreeMap<Target, usize>>,
}

impl CorruptingProxy {
    /// Starts one that acts as the service account `name` of `namespace`, and spoils nothing until it is told to.
    pub async fn start(plane: &ControlPlane, (namespace, name): (&str, &str)) -> Result<Self> {
        let client = plane.service_account_client(namespace, name).await?;
        let search = Search::shown_to_find()?;
        let state = Arc::new(Spoiler { client, search, target: Mutex::default(), spoiled: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(forward).with_state(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        let kubeconfig = plane.folder().join(format!("proxy-{}.kubeconfig", address.port()));
        let config = json!({
            "apiVersion": "v1", "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "user", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "user"}}],
            "current-context": "proxy",
        });
        std::fs::write(&kubeconfig, config.to_string()).with_context(|| format!("writing {}", kubeconfig.display()))?;
        Ok(Self { kubeconfig, state, server })
    }

    /// Spoils the answers to that method on that Secret from now on, each way in turn, and no others.
    pub fn spoil(&self, method: &str, secret: &str) {
        *locked(&self.state.target) = Some((method.to_owned(), secret.to_owned()));
    }

    /// Spoils no more.
    pub fn leave_alone(&self) {
        *locked(&self.state.target) = None;
    }

    /// How many answers to that method on that Secret have been spoiled.
    pub fn spoiled(&self, method: &str, secret: &str) -> usize {
        locked(&self.state.spoiled).get(&(method.to_owned(), secret.to_owned())).copied().unwrap_or_default()
    }
}

impl Drop for CorruptingProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(State(spoiler): State<Arc<Spoiler>>, request: Request<Body>) -> Response {
    pass_on(&spoiler, request).await.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

async fn pass_on(spoiler: &Spoiler, request: Request<Body>) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = target(parts.method.as_str(), parts.uri.path(), &body);
    let spoils = target.is_some() && *locked(&spoiler.target) == target;
    if spoils {
        // The answer to a write has no data, unless it is asked for.
        parts.headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
    }
    end_to_end(&mut parts.headers);
    let answer = spoiler.client.send(Request::from_parts(parts, kube::client::Body::from(body))).await?;
    let (mut parts, body) = answer.into_parts();
    end_to_end(&mut parts.headers);
    let Some(target) = target.filter(|_| spoils && parts.status.is_success()) else {
        return Ok(Response::from_parts(parts, Body::new(body)));
    };
    let whole = body.collect().await?.to_bytes();
    let turn = locked(&spoiler.spoiled).get(&target).copied().unwrap_or_default();
    let bad = spoil(&whole, turn)?;
    ensure!(!spoiler.search.find("a spoiled answer", &bad).is_empty(), "a spoiled answer holds nothing secret");
    *locked(&spoiler.spoiled).entry(target).or_default() += 1;
    Ok(Response::from_parts(parts, Body::from(bad)))
}

/// The Secret that a request is about, if it is about a single one.
fn target(method: &str, path: &str, body: &[u8]) -> Option<Target> {
    let (_, after) = path.split_once("/secrets")?;
    let name = match after.strip_prefix('/') {
        Some(name) => name.to_owned(),
        None => serde_json::from_slice::<Value>(body).ok()?["metadata"]["name"].as_str()?.to_owned(),
    };
    Some((method.to_owned(), name))
}

/// The Secret with each way of being spoiled in turn; every one still holds all that is secret in it.
fn spoil(whole: &[u8], turn: usize) -> Result<Vec<u8>> {
    let mut secret: Value = serde_json::from_slice(whole)?;
    let values = secret["data"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
    let all: String = values.collect::<Vec<_>>().join(" ");
    match turn % 4 {
        // Text where an object belongs: a parser likes to quote it.
        0 => secret["data"] = json!(all),
        1 => secret["metadata"] = json!(all),
        2 => secret["metadata"]["labels"] = json!([all]),
        _ => return Ok(whole[..whole.len() - 3].to_vec()),
    }
    Ok(secret.to_string().into_bytes())
}

/// Takes off what concerns a single connection.
fn end_to_end(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::HOST] {
        headers.remove(name);
    }
}
