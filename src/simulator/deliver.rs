//! Carries out what was decided about a call.

use super::answer::{Answer, Pace};
use super::connection::ResetSwitch;
use super::decide::{Delivery, Plan};
use super::shared::CallUnderWay;
use super::tally::CallOutcome;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use std::io;
use std::time::Duration;

/// Waits, then answers, hangs or resets. The call's end is noted before the client can see it.
pub(crate) async fn deliver(plan: Plan, call: CallUnderWay, switch: &ResetSwitch) -> Response {
    if !plan.delay.is_zero() {
        tokio::time::sleep(plan.delay).await;
    }
    match plan.delivery {
        Delivery::Answer(answer) => respond_to(answer, call),
        Delivery::Hang => {
            // The server drops this future when the client leaves, and with it the call.
            let _under_way = call;
            std::future::pending().await
        }
        Delivery::Reset => {
            call.ends(CallOutcome::Reset);
            switch.reset();
            std::future::pending().await
        }
    }
}

/// The response to a request whose end nobody counts.
pub(crate) fn respond(answer: Answer) -> Response {
    let body = Body::from(answer.body.clone());
    response(answer, body)
}

fn respond_to(answer: Answer, call: CallUnderWay) -> Response {
    let ended = CallOutcome::Answered(answer.status);
    let bytes = Bytes::from(answer.body.clone());
    let body = match answer.pace {
        Pace::AtOnce => {
            call.ends(ended);
            Body::from(bytes)
        }
        Pace::Trickle(interval) => trickle(bytes, interval, call, ended),
        Pace::Torn => torn(bytes, call),
    };
    response(answer, body)
}

fn trickle(bytes: Bytes, interval: Duration, call: CallUnderWay, ended: CallOutcome) -> Body {
    Body::from_stream(futures::stream::unfold((bytes, Some(call)), move |(mut rest, mut call)| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(interval).await;
        let byte = rest.split_to(1);
        if rest.is_empty()
            && let Some(call) = call.take()
        {
            call.ends(ended);
        }
        Some((Ok::<_, io::Error>(byte), (rest, call)))
    }))
}

fn torn(mut bytes: Bytes, call: CallUnderWay) -> Body {
    bytes.truncate(bytes.len() / 2);
    Body::from_stream(futures::stream::unfold((bytes, Some(call)), |(mut half, call)| async move {
        if !half.is_empty() {
            return Some((Ok(half.split_to(half.len())), (half, call)));
        }
        // Whoever waits once lets the server send what it has before it hears of the error.
        tokio::task::yield_now().await;
        let call = call?;
        call.ends(CallOutcome::Reset);
        Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), (half, None)))
    }))
}

fn response(answer: Answer, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Some(content_type) = answer.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if answer.pace != Pace::AtOnce {
        headers.insert(CONTENT_LENGTH, answer.body.len().into());
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}
