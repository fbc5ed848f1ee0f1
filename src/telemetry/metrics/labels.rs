//! The labels of metrics, each with few values: no name, SID or text of anybody's, but for [`ObjectLabels`].

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::api::condition::Reason;

/// How a call of the Media API ended: by what it means, and by its HTTP status; `none` where there was none.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub(super) result: CallResult,
    pub(super) code: Code,
}

/// An HTTP status.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Code(pub(super) Option<u16>);

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self.0 {
            Some(status) => EncodeLabelValue::encode(&u32::from(status), encoder),
            None => EncodeLabelValue::encode(&"none", encoder),
        }
    }
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(super) enum CallResult {
    Granted,
    Unavailable,
    Throttled,
    InvalidResponse,
    Unauthorized,
    Forbidden,
    NotFound,
    Rejected,
}

/// How a refresh ended, and the reason that the conditions give.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RefreshLabels {
    pub(super) result: RefreshResult,
    pub(super) reason: ReasonValue,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's values are written so")]
pub(super) enum RefreshResult {
    success,
    failure,
}

/// A condition's reason.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct ReasonValue(pub(super) Reason);

impl EncodeLabelValue for ReasonValue {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

/// What was asked of the API server, and how it was answered.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ApiLabels {
    pub(super) request: &'static str,
    pub(super) result: &'static str,
}

/// What is watched.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct WatchLabels {
    pub(super) watched: &'static str,
}

/// A request. Only where a series for each is asked for.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ObjectLabels {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What became of a Kubernetes Event.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct EventLabels {
    pub(super) result: &'static str,
}

/// How the Secrets of requests stand.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct StateLabels {
    pub(super) state: &'static str,
}
