//! What the Media API answers with 201.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::error::Category;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::call::PlayerStreamerSid;
use super::error::CallFailure;
use super::sid::is_sid;

/// A playback grant as received.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The grant itself: the JSON object's text exactly as received, or a string grant unquoted. A bearer credential.
    pub grant: SecretString,
    /// What that text is.
    pub form: GrantForm,
    /// The account that issued the grant, when the answer says so and it is a SID (`^AC[0-9a-fA-F]{32}$`).
    pub account_sid: Option<Arc<str>>,
    /// The URL of the grant in the Media API; `None` when absent, or when it has a query, a fragment or a user (it goes into the status).
    pub url: Option<Arc<str>>,
    /// When the Media API says that it made the grant.
    pub date_created: Option<Timestamp>,
}

/// What the text of a grant is.
///
/// A grant is untyped in the vendor's API description. Its fixtures have an object; early releases had a string, with JSON in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantForm {
    /// JSON, exactly as received.
    Json,
    /// A string, unquoted.
    Text,
}

impl GrantForm {
    /// The form of a grant of which no more is known than its text: a string that holds JSON passes for that JSON.
    #[must_use]
    pub fn guess(text: &str) -> Self {
        // A string that was received is never stored with its quotes.
        let is_json = !text.starts_with('"') && serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text);
        if is_json { Self::Json } else { Self::Text }
    }
}

/// The fields of a JSON object, each as its own text. The last of two of the same name stands, as in other parsers of JSON.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads the body of a 201.
///
/// Every field is nullable in the vendor's API description (1.55.2), and only `grant` is needed: the others are checked where they are
/// present, and are never a reason to refuse when they are absent.
pub(super) fn parse_grant(body: &[u8], asked_for: &PlayerStreamerSid) -> Result<Grant, CallFailure> {
    let fields: Fields<'_> = serde_json::from_slice(body).map_err(|error| not_an_object(&error))?;
    let sid = text_field(&fields, "sid")?;
    if sid.is_some_and(|sid| !sid.eq_ignore_ascii_case(asked_for.as_str())) {
        return Err(CallFailure::OtherPlayerStreamer);
    }
    let account_sid = text_field(&fields, "account_sid")?.filter(|sid| is_sid("AC", sid)).map(|sid| sid.as_str().into());
    let url = text_field(&fields, "url")?.and_then(|url| harmless_url(&url));
    let date_created = text_field(&fields, "date_created")?.and_then(|date| date.parse().ok());
    let raw = present(&fields, "grant").ok_or(CallFailure::GrantMissing)?;
    let (grant, form) = if raw.get().starts_with('"') {
        let text = text_of(raw, "grant")?;
        if text.is_empty() {
            return Err(CallFailure::GrantMissing);
        }
        (SecretString::from(text.as_str()), GrantForm::Text)
    } else {
        (SecretString::from(raw.get()), GrantForm::Json)
    };
    playback_url_of(grant.expose_secret())?;
    Ok(Grant { grant, form, account_sid, url, date_created })
}

impl Grant {
    /// The grant whose text was stored as [`Grant::grant`]; `None` when the text can't be that. What wasn't stored is unknown, and the form is
    /// guessed.
    #[must_use]
    pub fn from_stored(text: &str, account_sid: Option<Arc<str>>) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        playback_url_of(text).ok()?;
        let form = GrantForm::guess(text);
        Some(Self { grant: SecretString::from(text), form, account_sid, url: None, date_created: None })
    }

    /// The grant's `playbackUrl`, when it is an object (or a stringified object) that has one. A bearer credential. Read from the grant, of which it is a part:
    /// it is asked for once a write, and would be kept for each request.
    #[must_use]
    pub fn playback_url(&self) -> Option<SecretString> {
        playback_url_of(self.grant.expose_secret()).ok().flatten()
    }
}

/// The vendor's error code in the body of an error, when there is one; it is a number of five or six digits. Nothing else of the body is
/// kept: its message may hold anything.
pub(super) fn parse_error_code(body: &[u8]) -> Option<u32> {
    let fields: Fields<'_> = serde_json::from_slice(body).ok()?;
    fields.get("code")?.get().parse().ok().filter(|code| (10_000..=999_999).contains(code))
}

fn not_an_object(error: &serde_json::Error) -> CallFailure {
    let category = match error.classify() {
        Category::Data => return CallFailure::WrongType { field: "the answer", expected: "a JSON object" },
        Category::Syntax => "a syntax error",
        Category::Eof => "an unexpected end",
        Category::Io => "a read error",
    };
    CallFailure::NotJson { category, line: error.line(), column: error.column() }
}

/// The field, unless it is absent or null.
fn present<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).copied().filter(|raw| raw.get() != "null")
}

fn text_field(fields: &Fields<'_>, name: &'static str) -> Result<Option<Zeroizing<String>>, CallFailure> {
    present(fields, name).map(|raw| text_of(raw, name)).transpose()
}

fn text_of(raw: &RawValue, field: &'static str) -> Result<Zeroizing<String>, CallFailure> {
    serde_json::from_str(raw.get()).map(Zeroizing::new).map_err(|_| CallFailure::WrongType { field, expected: "a string or null" })
}

/// The playback URL of a grant that is an object; any other grant is opaque.
fn playback_url_of(grant: &str) -> Result<Option<SecretString>, CallFailure> {
    let Ok(fields) = serde_json::from_str::<Fields<'_>>(grant) else { return Ok(None) };
    let Some(raw) = present(&fields, "playbackUrl") else { return Ok(None) };
    let text = text_of(raw, "grant.playbackUrl")?;
    Ok(Some(SecretString::from(text.as_str())))
}

/// The URL without anything in it that could be a credential.
fn harmless_url(text: &str) -> Option<Arc<str>> {
    let url = Url::parse(text).ok()?;
    let is_harmless = matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.as_str().len() <= 2048;
    is_harmless.then(|| url.as_str().into())
}

#[cfg(test)]
mod tests;
