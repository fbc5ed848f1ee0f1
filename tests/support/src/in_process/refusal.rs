//! What the server doesn't do, and in which words it says so.

use serde_json::{Value, json};

/// A call that is refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Refusal {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: json!({}) }
    }

    pub(super) fn malformed(message: &str) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn not_found(plural: &str, name: &str) -> Self {
        Self { details: json!({"name": name, "kind": plural}), ..Self::new(404, "NotFound", format!("{plural} \"{name}\" not found")) }
    }

    pub(super) fn exists(plural: &str, name: &str) -> Self {
        Self {
            details: json!({"name": name, "kind": plural}),
            ..Self::new(409, "AlreadyExists", format!("{plural} \"{name}\" already exists"))
        }
    }

    /// The object isn't the version that was expected.
    pub(super) fn conflict(plural: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {plural} \"{name}\": {why}");
        Self { details: json!({"name": name, "kind": plural}), ..Self::new(409, "Conflict", message) }
    }

    /// The object may not be so.
    pub(super) fn invalid(name: &str, field: &str, why: &str) -> Self {
        let causes = json!([{"reason": "FieldValueForbidden", "message": why, "field": field}]);
        Self {
            details: json!({"name": name, "causes": causes}),
            ..Self::new(422, "Invalid", format!("\"{name}\" is invalid: {field}: {why}"))
        }
    }

    /// The watch would go on from what is no longer known.
    pub(super) fn too_old() -> Self {
        Self::new(410, "Expired", "too old resource version")
    }

    pub(super) fn status(&self) -> Value {
        let Self { code, reason, message, details } = self;
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "details": details, "code": code,
        })
    }
}
