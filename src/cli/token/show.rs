//! What a person is shown of a token.

use std::fmt::Write as _;

use k8s_openapi::jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;

use super::source::Beside;
use crate::token::{Finding, ReadToken};

/// What of a grant isn't secret.
const HARMLESS: [&str; 2] = ["playerStreamerSid", "requestCredentials"];

/// Longer names of parameters may be something else.
const LONGEST_NAME: usize = 32;

/// A token, and what was found out about it.
pub(super) struct Shown<'a> {
    pub(super) place: &'a str,
    pub(super) read: &'a ReadToken,
    pub(super) findings: &'a [Finding],
    pub(super) beside: Option<&'a Beside>,
    pub(super) signature: Signature<'a>,
    pub(super) show_secrets: bool,
}

/// Whether the signature was verified.
#[derive(Clone, Copy)]
pub(super) enum Signature<'a> {
    NotVerified,
    /// With the key from there; what came of it stands among the findings.
    VerifiedWith(&'a str),
}

impl Shown<'_> {
    /// Whether a player can use it.
    pub(super) fn is_good(&self, now: Timestamp) -> bool {
        self.findings.is_empty() && self.trouble_beside(now).is_none()
    }

    /// All of it, for a person.
    pub(super) fn text(&self, now: Timestamp) -> String {
        let mut text = format!("Access Token in {}\n", self.place);
        section(&mut text, "header", &self.read.header.iter().map(|(name, value)| (name.clone(), plain(value))).collect::<Vec<_>>());
        section(&mut text, "claims", &self.claims(now));
        if let Some(Beside { is_carried, expiry_time }) = self.beside {
            let carried = if *is_carried { "the one in the token" } else { "another than the one in the token" };
            let expiry = expiry_time.map_or_else(|| "unknown".to_owned(), |expiry| moment(expiry, now));
            section(&mut text, "grant beside it", &[("it is".to_owned(), carried.to_owned()), ("expires".to_owned(), expiry)]);
        }
        text.push('\n');
        let verified = match self.signature {
            Signature::NotVerified => "not verified (give --key-secret or --key-file)".to_owned(),
            Signature::VerifiedWith(place) if self.is_signed() => format!("good, by the key in {place}"),
            Signature::VerifiedWith(place) => format!("BAD, by the key in {place}"),
        };
        let _ = writeln!(text, "signature  {verified}");
        let verdict = match (self.is_good(now), self.signature) {
            (false, _) => "BAD",
            (true, Signature::VerifiedWith(_)) => "good",
            (true, Signature::NotVerified) => "good, as far as can be told without the key",
        };
        let _ = writeln!(text, "token      {verdict}");
        for Finding { code, message } in self.findings {
            let _ = writeln!(text, "  {}  {message}", code.number());
        }
        if let Some(trouble) = self.trouble_beside(now) {
            let _ = writeln!(text, "         {trouble}");
        }
        text
    }

    fn is_signed(&self) -> bool {
        self.findings.iter().all(|finding| finding.code != crate::token::Code::Signature)
    }

    /// What is wrong with the grant beside the token, of which the token itself tells nothing.
    fn trouble_beside(&self, now: Timestamp) -> Option<&'static str> {
        let Beside { is_carried, expiry_time } = self.beside?;
        if !is_carried {
            return Some("it carries another grant than the Secret: somebody else has written one of the two; the operator puts it right");
        }
        let has_expired = expiry_time.is_some_and(|expiry| expiry <= now);
        has_expired.then_some("the grant in it has expired, though the token may not have: see the status of its PlaybackGrantRequest")
    }

    fn claims(&self, now: Timestamp) -> Vec<(String, String)> {
        let claims = &self.read.claims;
        let known = ["jti", "iss", "sub", "nbf", "iat", "exp"].into_iter().filter_map(|name| claims.get_key_value(name));
        let others = claims.iter().filter(|(name, _)| !["jti", "iss", "sub", "nbf", "iat", "exp", "grants"].contains(&name.as_str()));
        let mut shown: Vec<_> = known.chain(others).map(|(name, value)| (name.clone(), claim(name, value, now))).collect();
        match claims.get("grants") {
            Some(Value::Object(grants)) => {
                for (name, value) in grants.iter().filter(|(name, _)| *name != "player") {
                    shown.push((format!("grants.{name}"), plain(value)));
                }
                shown.extend(grants.get("player").map(|player| self.player(player)).into_iter().flatten());
            }
            other => shown.extend(other.map(|value| ("grants".to_owned(), self.masked(value)))),
        }
        shown
    }

    fn player(&self, player: &Value) -> Vec<(String, String)> {
        let Value::Object(fields) = player else { return vec![("grants.player".to_owned(), self.masked(player))] };
        let shown = |(name, value): (&String, &Value)| {
            let value = match value {
                Value::String(url) if name == "playbackUrl" && !self.show_secrets => masked_url(url),
                value if HARMLESS.contains(&name.as_str()) => plain(value),
                value => self.masked(value),
            };
            (format!("grants.player.{name}"), value)
        };
        fields.iter().map(shown).collect()
    }

    fn masked(&self, value: &Value) -> String {
        match value {
            value if self.show_secrets => plain(value),
            Value::Null => plain(value),
            _ => "*** (masked; --show-secrets shows it)".to_owned(),
        }
    }
}

fn section(text: &mut String, title: &str, lines: &[(String, String)]) {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let _ = writeln!(text, "\n{title}");
    for (name, value) in lines {
        let _ = writeln!(text, "  {:width$}  {value}", printable(name));
    }
}

fn claim(name: &str, value: &Value, now: Timestamp) -> String {
    let time = value.as_i64().filter(|_| ["nbf", "iat", "exp"].contains(&name)).and_then(|at| Timestamp::from_second(at).ok());
    time.map_or_else(|| plain(value), |time| moment(time, now))
}

/// A value as text, without quotes where it is one.
fn plain(value: &Value) -> String {
    printable(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// Nothing in a token speaks to the terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if speaks_to_terminals(c) { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Control characters, and those that aren't seen or change the order or the lines of what is.
fn speaks_to_terminals(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Where the URL leads, and the names of its parameters: neither a path nor a value, which may be secret.
fn masked_url(text: &str) -> String {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        return "*** (no http(s) URL; --show-secrets shows it)".to_owned();
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let named = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.len() <= LONGEST_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') => {
            format!("{name}=***")
        }
        _ => "***".to_owned(),
    };
    let query = url.query().map(|query| format!("?{}", query.split('&').map(named).collect::<Vec<_>>().join("&"))).unwrap_or_default();
    printable(&format!("{}://{host}{port}/***{query}", url.scheme()))
}

/// An instant, and how far off it is.
fn moment(time: Timestamp, now: Timestamp) -> String {
    let seconds = time.duration_since(now).as_secs_f64();
    let distance = span(seconds.abs());
    let relative = if seconds <= 0.0 { format!("{distance} ago") } else { format!("in {distance}") };
    format!("{time:.0}  ({relative})")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down, and never negative")]
fn span(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
