//! The two forms of patches that are understood.

use serde_json::Value;

use super::refusal::Refusal;

/// A patch.
pub(super) enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
}

impl Patch {
    pub(super) fn parse(content_type: &str, body: Value) -> Result<Self, Refusal> {
        match content_type {
            "application/merge-patch+json" => Ok(Self::Merge(body)),
            "application/json-patch+json" => {
                serde_json::from_value(body).map(Self::Json).map_err(|_| Refusal::malformed("the body is no JSON patch"))
            }
            _ => Err(Refusal::new(415, "UnsupportedMediaType", "the body of the request was in an unknown format")),
        }
    }

    /// The object with the patch in it.
    pub(super) fn applied(&self, object: &Value) -> Result<Value, Refusal> {
        let mut patched = object.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Json(patch) => json_patch::patch(&mut patched, patch)
                .map_err(|_| Refusal::new(422, "Invalid", "the server rejected our request due to an error in our request"))?,
        }
        Ok(patched)
    }
}
