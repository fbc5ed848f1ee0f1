//! Answers in the server's form.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{AnswerBody, whole};

/// What the client wants to be told of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    MetadataOnly,
}

impl Form {
    pub(super) fn of(accept: &str) -> Self {
        if accept.contains("as=PartialObjectMetadata") { Self::MetadataOnly } else { Self::Whole }
    }

    pub(super) fn object(self, object: &Value) -> Value {
        match self {
            Self::Whole => object.clone(),
            Self::MetadataOnly => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
            }
        }
    }

    pub(super) fn list(self, kind: &str, api_version: &str, items: &[Value], revision: u64) -> Value {
        let (kind, api_version) = match self {
            Self::Whole => (format!("{kind}List"), api_version),
            Self::MetadataOnly => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1"),
        };
        let items: Vec<Value> = items.iter().map(|item| self.object(item)).collect();
        json!({"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": revision.to_string()}, "items": items})
    }
}

/// What a call came to, with the code for what was done.
pub(super) fn answered(outcome: Result<(StatusCode, Value), Refusal>) -> Response<AnswerBody> {
    let (code, answer) = match outcome {
        Ok(done) => done,
        Err(refusal) => (StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), refusal.status()),
    };
    response(code, whole(Full::new(Bytes::from(answer.to_string()))))
}

pub(super) fn response(code: StatusCode, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
