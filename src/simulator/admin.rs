//! The admin path: faults, counters, the log of calls, credentials.

use super::accounts::{Accounts, is_sid, parse_credentials_lines};
use super::fault::{Fault, FaultReport, Scope};
use super::shared::Shared;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The admin paths.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/admin/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .route("/admin/faults/{id}", delete(remove_fault))
        .route("/admin/counters", get(show_counters).delete(reset_counters))
        .route("/admin/calls", get(list_calls))
        .route("/admin/credentials", put(replace_credentials).delete(accept_any_credentials))
}

/// A fault as JSON: its text, and fields that add to it or replace what it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultRequest {
    fault: String,
    seconds: Option<f64>,
    calls: Option<u64>,
    account: Option<String>,
    user: Option<String>,
    streamer: Option<String>,
}

impl FaultRequest {
    fn into_fault(self) -> Result<Fault, String> {
        let Self { fault, seconds, calls, account, user, streamer } = self;
        let mut fault: Fault = fault.parse().map_err(|error: super::FaultError| error.to_string())?;
        if let Some(seconds) = seconds {
            fault.duration = Some(Duration::try_from_secs_f64(seconds).map_err(|_| "seconds is a number that isn't negative".to_owned())?);
        }
        if calls == Some(0) {
            return Err("calls is 1 or more; leave it out for all calls".to_owned());
        }
        fault.calls = calls.or(fault.calls);
        match (account, user, streamer) {
            (None, None, None) => {}
            (Some(account), None, None) if is_sid(&account, "AC") => fault.scope = Scope::Account(account),
            (None, Some(user), None) => fault.scope = Scope::User(user),
            (None, None, Some(streamer)) if is_sid(&streamer, "VJ") => fault.scope = Scope::Streamer(streamer),
            (Some(_), None, None) => return Err("account is an account's SID: AC and 32 hexadecimal digits".to_owned()),
            (None, None, Some(_)) => return Err("streamer is a PlayerStreamer's SID: VJ and 32 hexadecimal digits".to_owned()),
            _ => return Err("a fault has one scope: give one of account, user and streamer".to_owned()),
        }
        Ok(fault)
    }
}

#[derive(Deserialize)]
struct FaultQuery {
    fault: Option<String>,
}

/// Reads the `fault` parameter, a JSON object, or short forms one a line.
fn read_faults(query: Option<&str>, headers: &HeaderMap, body: &str) -> Result<Vec<Fault>, String> {
    let json = headers.get(CONTENT_TYPE).is_some_and(|content_type| content_type.as_bytes().starts_with(b"application/json"));
    let faults: Vec<Fault> = if json {
        let request: FaultRequest = serde_json::from_str(body).map_err(|error| format!("the body is no fault: {error}"))?;
        vec![request.into_fault()?]
    } else {
        let texts = query.into_iter().chain(body.lines()).map(str::trim).filter(|text| !text.is_empty());
        texts.map(|text| text.parse().map_err(|error: super::FaultError| error.to_string())).collect::<Result<_, _>>()?
    };
    if faults.is_empty() { Err("no fault given: write one as the body or as ?fault=, for example 500:30s".to_owned()) } else { Ok(faults) }
}

async fn add_faults(State(shared): State<Arc<Shared>>, Query(query): Query<FaultQuery>, headers: HeaderMap, body: String) -> Response {
    match read_faults(query.fault.as_deref(), &headers, &body) {
        Err(error) => bad_request(&error),
        Ok(faults) => {
            let now = shared.clock.now().uptime;
            let board = &mut shared.state().faults;
            let ids: Vec<_> = faults.into_iter().map(|fault| board.add(fault, now)).collect();
            let added: Vec<FaultReport> = board.report(now).into_iter().filter(|report| ids.contains(&report.id)).collect();
            (StatusCode::CREATED, Json(json!({ "faults": added }))).into_response()
        }
    }
}

async fn list_faults(State(shared): State<Arc<Shared>>) -> Response {
    let now = shared.clock.now().uptime;
    Json(json!({ "faults": shared.state().faults.report(now) })).into_response()
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Response {
    let now = shared.clock.now().uptime;
    Json(json!({ "removed": shared.state().faults.clear(now) })).into_response()
}

async fn remove_fault(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let now = shared.clock.now().uptime;
    let removed = id.parse().is_ok_and(|id| shared.state().faults.remove(id, now));
    if removed {
        Json(json!({ "removed": 1 })).into_response()
    } else {
        (StatusCode::NOT_FOUND, Json(json!({"error": "no such fault is on; GET /admin/faults lists those that are"}))).into_response()
    }
}

async fn show_counters(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.state().tally.counters()).into_response()
}

async fn reset_counters(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.state().tally.reset();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct CallsQuery {
    limit: Option<usize>,
}

async fn list_calls(State(shared): State<Arc<Shared>>, Query(query): Query<CallsQuery>) -> Response {
    let calls = shared.state().tally.calls(query.limit.unwrap_or(usize::MAX));
    Json(json!({ "calls": calls })).into_response()
}

async fn replace_credentials(State(shared): State<Arc<Shared>>, body: String) -> Response {
    match parse_credentials_lines(&body) {
        Ok(known) if known.is_empty() => bad_request("no credentials given; DELETE /admin/credentials accepts any"),
        Ok(known) => {
            let accepted = known.len();
            shared.state().accounts = Accounts::new(known);
            Json(json!({ "accepted": accepted })).into_response()
        }
        Err((line, error)) => bad_request(&format!("line {line}: {error}")),
    }
}

async fn accept_any_credentials(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.state().accounts = Accounts::default();
    StatusCode::NO_CONTENT
}

fn bad_request(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
}
