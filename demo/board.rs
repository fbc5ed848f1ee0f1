//! What the demo knows of the requests, and how it draws them.

use std::collections::BTreeMap;

use playback_grant_operator::api::PlaybackGrantRequest;
use playback_grant_testbed::{Judge, Record, seconds};

use crate::tokens::Tokens;

/// The requests by their names.
#[derive(Debug, Default)]
pub struct Board {
    requests: BTreeMap<String, Request>,
}

/// One request, as its spec and its conditions tell.
#[derive(Debug)]
struct Request {
    secret: String,
    /// Whether the Secret of that name is the request's, as its status tells.
    has_secret: bool,
    state: String,
    ready: bool,
    wants_token: bool,
}

/// How wide the bar of a grant's life is, in characters.
const BAR: u64 = 30;

impl Board {
    /// The request has been made or changed.
    pub fn seen(&mut self, request: &PlaybackGrantRequest) {
        let Some(name) = request.metadata.name.clone() else { return };
        let conditions = request.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let find = |wanted: &str| conditions.iter().find(|condition| condition.type_ == wanted);
        let ready = find("Ready");
        let mut state = ready.map_or_else(|| "no status yet".to_owned(), |ready| format!("Ready {} {}", ready.status, ready.reason));
        if let Some(failing) = find("RefreshFailing") {
            state = format!("{state}, RefreshFailing {}", failing.reason);
        }
        let secret = request.spec.secret.as_ref().and_then(|secret| secret.name.clone()).unwrap_or_else(|| name.clone());
        let ready = ready.is_some_and(|ready| ready.status == "True");
        let has_secret = request.status.as_ref().is_some_and(|status| status.secret_name.as_ref() == Some(&secret));
        self.requests.insert(name, Request { secret, has_secret, state, ready, wants_token: request.spec.access_token.is_some() });
    }

    /// The request has been deleted.
    pub fn gone(&mut self, request: &PlaybackGrantRequest) {
        if let Some(name) = &request.metadata.name {
            self.requests.remove(name);
        }
    }

    /// The Secrets of the requests.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.requests.values().map(|request| request.secret.as_str())
    }

    /// The Secrets of the requests that ask for an Access Token.
    pub fn secrets_with_token(&self) -> impl Iterator<Item = &str> {
        self.requests.values().filter(|request| request.wants_token).map(|request| request.secret.as_str())
    }

    /// Whether every request has had its first grant.
    pub fn all_have_grants(&self, judge: &Judge) -> bool {
        !self.requests.is_empty() && self.secrets().all(|secret| judge.record(secret).grants > 0)
    }

    /// A line for each request, coloured for a terminal.
    pub fn lines(&self, judge: &Judge, tokens: &Tokens, now: u64, colour: bool) -> Vec<String> {
        let draw = |(name, request): (&String, &Request)| {
            let record = if request.has_secret { judge.record(&request.secret) } else { Record::default() };
            let (bar, left) = life(&record, now);
            let paint = |text: String, code: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text };
            let expired = record.held.is_some_and(|held| held.expires <= now);
            let bar = paint(bar, if expired { "31" } else { "32" });
            let left = if expired { paint(left, "31") } else { left };
            let state = paint(request.state.clone(), if request.ready { "0" } else { "33" });
            let token = if request.wants_token { format!(", Access Tokens {:>3}", tokens.count(&request.secret)) } else { String::new() };
            format!("{name:<10} {bar} {left}  refreshed {:>3}  {state}{token}", record.refreshes())
        };
        if self.requests.is_empty() {
            return vec!["no requests yet: deploy/sample/requests.yaml has some".to_owned()];
        }
        self.requests.iter().map(draw).collect()
    }
}

fn life(record: &Record, now: u64) -> (String, String) {
    let Some(held) = record.held else { return (" ".repeat(usize_of(BAR)), format!("{:<18}", "no grant")) };
    let whole = held.expires.saturating_sub(held.issued).max(1);
    let left = held.expires.saturating_sub(now).min(whole);
    let full = usize_of((left * BAR).div_ceil(whole));
    let bar = "█".repeat(full) + &"·".repeat(usize_of(BAR) - full);
    let text = if left == 0 {
        format!("expired {:>5.1} s ago", seconds(now.saturating_sub(held.expires)))
    } else {
        format!("{:>5.1} s of {:>2.0} s", seconds(left), seconds(whole))
    };
    (bar, format!("{text:<18}"))
}

fn usize_of(characters: u64) -> usize {
    usize::try_from(characters).unwrap_or_default()
}
