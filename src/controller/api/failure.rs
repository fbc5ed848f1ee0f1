//! How a call to the API server failed, and what that means.

use http::StatusCode;
use serde::Deserialize;

/// How a call to the API server failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFailure {
    /// The object isn't there.
    NotFound,
    /// The object is there already, or isn't the version that was expected: look again.
    Conflict,
    /// The object can't be changed that way: it is immutable, or of another type.
    Unchangeable(String),
    /// The server refused, in its own words: quota, admission, missing rights.
    Refused(String),
    /// The namespace terminates: nothing can be made in it any more.
    Terminating(String),
    /// The server is in trouble: its own words, or a webhook's.
    Trouble {
        /// The answer's status code.
        code: u16,
        /// The words.
        words: String,
    },
    /// No answer.
    Unreachable(String),
    /// An answer that can't be read: where.
    Unreadable(String),
    /// The call could not be built.
    Impossible,
}

/// The part of a `Status` answer that is looked at.
#[derive(Deserialize, Default)]
#[serde(default)]
struct StatusAnswer {
    message: String,
    reason: String,
    details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    kind: String,
    causes: Vec<Cause>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cause {
    field: String,
    reason: String,
}

/// Begins what the API server answers where an admission webhook says no.
const BY_WEBHOOK: &str = "admission webhook ";

/// The server's own words are cut here: an admission webhook may say anything at any length.
const LONGEST_WORDS: usize = 512;

impl ApiFailure {
    /// Whether the server did its work, and this is its answer; or it wasn't asked at all.
    pub(in crate::controller) const fn is_answer(&self) -> bool {
        !matches!(self, Self::Trouble { .. } | Self::Unreachable(_) | Self::Unreadable(_))
    }

    /// As the metrics call it.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unchangeable(_) => "unchangeable",
            Self::Refused(_) => "refused",
            Self::Terminating(_) => "terminating",
            Self::Trouble { .. } => "trouble",
            Self::Unreachable(_) => "unreachable",
            Self::Unreadable(_) => "unreadable",
            Self::Impossible => "impossible",
        }
    }

    pub(super) fn refused(status: StatusCode, answer: &[u8]) -> Self {
        let StatusAnswer { message, reason, details } = serde_json::from_slice(answer).unwrap_or_default();
        let words = words(status, &message);
        let has_cause = |wanted: &str| details.causes.iter().any(|cause| cause.reason == wanted);
        let concerns = |field: &str| details.causes.iter().any(|cause| cause.field == field);
        match status.as_u16() {
            // A webhook says no with whatever code, reason and causes it likes: they say nothing of the object.
            code if code < 500 && code != 429 && message.starts_with(BY_WEBHOOK) => Self::Refused(words),
            // Others were quicker to be counted: nothing is said of the object itself.
            code @ 409 if details.kind == "resourcequotas" => Self::Trouble { code, words },
            404 if reason == "NotFound" => Self::NotFound,
            409 => Self::Conflict,
            403 if has_cause("NamespaceTerminating") => Self::Terminating(words),
            // A patch that names another object's uid.
            422 if concerns("metadata.uid") => Self::Conflict,
            422 if has_cause("FieldValueTooLong") => Self::Refused(words),
            422 if concerns("data") || concerns("type") || concerns("immutable") => Self::Unchangeable(words),
            code @ (429 | 500..=599) => Self::Trouble { code, words },
            _ => Self::Refused(words),
        }
    }

    pub(super) fn unreachable(error: &kube::Error) -> Self {
        // Only the kind of the error: its text may hold what was sent.
        let what = match error {
            kube::Error::HyperError(_) | kube::Error::Service(_) => "no connection, or no answer in time",
            kube::Error::Auth(_) => "the operator could not authenticate",
            _ => "the request could not be made",
        };
        Self::Unreachable(what.to_owned())
    }

    /// Whether the server refused for good, rather than being in trouble itself.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Terminating(_) | Self::Unchangeable(_))
    }

    /// The server's own words, or what stands for them.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::NotFound => "not found",
            Self::Conflict => "it was changed meanwhile",
            Self::Impossible => "the request could not be built",
            Self::Unchangeable(words)
            | Self::Refused(words)
            | Self::Terminating(words)
            | Self::Trouble { words, .. }
            | Self::Unreachable(words)
            | Self::Unreadable(words) => words,
        }
    }
}

fn words(status: StatusCode, message: &str) -> String {
    let one_line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_WORDS).collect();
    if one_line.is_empty() { format!("the API server answered {status}") } else { format!("{} ({})", one_line, status.as_u16()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(status: u16, body: &serde_json::Value) -> ApiFailure {
        ApiFailure::refused(StatusCode::from_u16(status).unwrap(), body.to_string().as_bytes())
    }

    #[test]
    fn each_refusal_is_told_apart() {
        let cause = |field: &str, reason: &str| json!({"message": "m", "details": {"causes": [{"field": field, "reason": reason}]}});
        assert_eq!(refused(404, &json!({"reason": "NotFound"})), ApiFailure::NotFound);
        assert!(matches!(refused(404, &json!({})), ApiFailure::Refused(_)), "a 404 that isn't about the object");
        assert_eq!(refused(409, &json!({})), ApiFailure::Conflict);
        let quota = refused(409, &json!({"details": {"kind": "resourcequotas"}}));
        assert!(matches!(quota, ApiFailure::Trouble { code: 409, .. }), "of another object: {quota:?}");
        assert_eq!(refused(422, &cause("metadata.uid", "FieldValueInvalid")), ApiFailure::Conflict);
        for field in ["data", "type", "immutable"] {
            assert!(matches!(refused(422, &cause(field, "FieldValueForbidden")), ApiFailure::Unchangeable(_)), "{field}");
        }
        assert!(matches!(refused(422, &cause("data", "FieldValueTooLong")), ApiFailure::Refused(_)), "too large, not immutable");
        assert!(matches!(refused(422, &json!({"message": "denied by policy"})), ApiFailure::Refused(_)));
        assert!(matches!(refused(403, &cause("", "NamespaceTerminating")), ApiFailure::Terminating(_)));
        assert!(matches!(refused(403, &json!({"message": "exceeded quota"})), ApiFailure::Refused(_)));
        for status in [429, 500, 503, 599] {
            assert!(matches!(refused(status, &json!({})), ApiFailure::Trouble { code, .. } if code == status), "{status}");
        }
    }

    #[test]
    fn a_webhooks_no_is_a_refusal_whatever_its_code() {
        let message = r#"admission webhook "no.example.com" denied the request: not this one"#;
        let cause = |field: &str| json!({"causes": [{"field": field, "reason": "FieldValueInvalid"}]});
        for (status, reason, details) in [
            (400, "BadRequest", json!({})),
            (403, "Forbidden", json!({"causes": [{"reason": "NamespaceTerminating"}]})),
            (404, "NotFound", json!({})),
            (409, "Conflict", json!({})),
            (422, "Invalid", cause("metadata.uid")),
            (422, "Invalid", cause("data")),
        ] {
            let failure = refused(status, &json!({"message": message, "reason": reason, "details": details}));
            assert_eq!(failure, ApiFailure::Refused(format!("{message} ({status})")));
        }
        for status in [429, 500] {
            assert!(matches!(refused(status, &json!({"message": message})), ApiFailure::Trouble { .. }), "it may pass: {status}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_trouble_and_what_was_sent_is_never_quoted() {
        let words = String::from("words");
        for refusal in [ApiFailure::Refused(words.clone()), ApiFailure::Terminating(words.clone()), ApiFailure::Unchangeable(words.clone())]
        {
            assert!(refusal.is_refusal() && refusal.words() == "words", "{refusal:?}");
        }
        let trouble = ApiFailure::Trouble { code: 503, words: words.clone() };
        for trouble in [ApiFailure::NotFound, ApiFailure::Conflict, trouble, ApiFailure::Unreachable(words)] {
            assert!(!trouble.is_refusal(), "{trouble:?}");
        }
        let auth = kube::Error::Auth(kube::client::AuthError::MissingCommand);
        for (error, words) in [
            (kube::Error::Service("planted".into()), "no connection, or no answer in time"),
            (auth, "the operator could not authenticate"),
            (kube::Error::LinesCodecMaxLineLengthExceeded, "the request could not be made"),
        ] {
            assert_eq!(ApiFailure::unreachable(&error), ApiFailure::Unreachable(words.to_owned()));
        }
    }

    #[test]
    fn each_has_a_name_of_its_own_and_only_trouble_is_no_answer() {
        let words = String::from("words");
        let all = [
            (ApiFailure::NotFound, "not_found", true),
            (ApiFailure::Conflict, "conflict", true),
            (ApiFailure::Unchangeable(words.clone()), "unchangeable", true),
            (ApiFailure::Refused(words.clone()), "refused", true),
            (ApiFailure::Terminating(words.clone()), "terminating", true),
            (ApiFailure::Trouble { code: 503, words: words.clone() }, "trouble", false),
            (ApiFailure::Unreachable(words.clone()), "unreachable", false),
            (ApiFailure::Unreadable(words), "unreadable", false),
            (ApiFailure::Impossible, "impossible", true),
        ];
        for (failure, label, is_answer) in all {
            assert_eq!((failure.label(), failure.is_answer()), (label, is_answer));
        }
    }

    #[test]
    fn the_servers_words_are_kept_within_bounds() {
        let ApiFailure::Refused(words) = refused(403, &json!({"message": "exceeded quota:\n secrets"})) else { panic!() };
        assert_eq!(words, "exceeded quota:  secrets (403)");
        let long = refused(403, &json!({"message": "x".repeat(10_000)}));
        assert!(long.words().len() < 600);
        assert_eq!(ApiFailure::refused(StatusCode::BAD_GATEWAY, b"<html>").words(), "the API server answered 502 Bad Gateway");
    }
}
