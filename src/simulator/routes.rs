//! The simulated Media API's paths.

use super::accounts::BasicCredentials;
use super::answer::Answer;
use super::connection::ResetSwitch;
use super::decide::{GrantRequest, admit, decide_grant, decide_read};
use super::deliver::{deliver, respond};
use super::shared::{CallUnderWay, Shared};
use super::{admin, shared};
use axum::Router;
use axum::body::HttpBody;
use axum::extract::{ConnectInfo, Form, FromRequest, Request, State};
use axum::response::Response;
use axum::routing::any;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Uri};
use std::sync::Arc;

/// All paths: the Media API's and the admin's.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/PlayerStreamers/{sid}", any(player_streamer))
        .route("/v1/PlayerStreamers/{sid}/PlaybackGrant", any(playback_grant))
        .merge(admin::router())
        .fallback(unknown_path)
        .with_state(shared)
}

async fn playback_grant(State(shared): State<Arc<Shared>>, ConnectInfo(switch): ConnectInfo<ResetSwitch>, request: Request) -> Response {
    if request.method() == Method::POST { create_grant(shared, &switch, request).await } else { refuse_method(&shared, &request) }
}

async fn create_grant(shared: Arc<Shared>, switch: &ResetSwitch, request: Request) -> Response {
    let arrival = shared.clock.now();
    let uri = request.uri().clone();
    let credentials = credentials_of(request.headers());
    let call = {
        let mut state = shared.state();
        let user = credentials.as_ref().map(|credentials| credentials.user.as_str());
        let account = user.map(|user| state.accounts.account_of(user));
        let record = state.tally.begins(streamer_of(&uri), user, account.as_deref(), arrival.unix_ms);
        CallUnderWay::new(Arc::clone(&shared), record)
    };
    let form = read_form(request).await;
    let plan = {
        let request = GrantRequest {
            path: uri.path(),
            streamer: streamer_of(&uri),
            credentials: credentials.as_ref(),
            form: form.as_deref().map_err(String::as_str),
        };
        let shared::State { accounts, faults, .. } = &mut *shared.state();
        decide_grant(&request, accounts, faults, shared.base_latency, arrival, rand::random())
    };
    deliver(plan, call, switch).await
}

async fn player_streamer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if request.method() != Method::GET {
        return refuse_method(&shared, &request);
    }
    let credentials = credentials_of(request.headers());
    let uri = request.uri();
    let request = GrantRequest { path: uri.path(), streamer: streamer_of(uri), credentials: credentials.as_ref(), form: Ok(&[]) };
    let shared::State { accounts, faults, tally } = &mut *shared.state();
    tally.other_request();
    respond(decide_read(&request, accounts, faults, shared.started_unix_ms, shared.clock.now()))
}

/// A path that exists, and a method that it doesn't take. The API description says of reading a grant: this method is not enabled.
fn refuse_method(shared: &Shared, request: &Request) -> Response {
    let credentials = credentials_of(request.headers());
    let uri = request.uri();
    let request = GrantRequest { path: uri.path(), streamer: streamer_of(uri), credentials: credentials.as_ref(), form: Ok(&[]) };
    let shared::State { accounts, tally, .. } = &mut *shared.state();
    tally.other_request();
    respond(admit(&request, accounts).err().unwrap_or_else(|| Answer::error(405, "This method is not enabled")))
}

async fn unknown_path(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    shared.state().tally.other_request();
    respond(Answer::error(404, &format!("The requested resource {} was not found", uri.path())))
}

/// The part of the path where the SID stands, as it came.
fn streamer_of(uri: &Uri) -> &str {
    uri.path().split('/').nth(3).unwrap_or_default()
}

fn credentials_of(headers: &HeaderMap) -> Option<BasicCredentials> {
    headers.get(AUTHORIZATION)?.to_str().ok().and_then(BasicCredentials::parse)
}

/// The form's fields; none when there is no body at all.
async fn read_form(request: Request) -> Result<Vec<(String, String)>, String> {
    if !request.headers().contains_key(CONTENT_TYPE) && request.body().is_end_stream() {
        return Ok(Vec::new());
    }
    let Form(fields) = Form::from_request(request, &()).await.map_err(|rejection| rejection.body_text())?;
    Ok(fields)
}
