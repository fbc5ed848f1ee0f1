//! What to report: the status as it should be.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::cause::{Cause, Progress};
use super::situation::{Seen, Situation, Target};
use super::told::essence;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{GrantStatus, InvalidSpec, PlaybackGrantRequestStatus};
use crate::time::{Instant, Now, rfc3339_millis};

/// What the condition `Ready` ends with while it is true of a request that is suspended.
pub const REFRESHING_IS_SUSPENDED: &str = "; refreshing is suspended";

/// In the condition `RefreshFailing` what comes after it is how long the Secret's grant covers, if it does. It begins with one of these.
const BEFORE_COVERAGE: &str = "; ";
const COVERS: &str = "the grant in Secret ";
const HOLDS_NONE: &str = "Secret ";

/// Why refreshing fails, by the condition `RefreshFailing`, without what is true for some seconds only.
#[must_use]
pub fn without_coverage(message: &str) -> &str {
    // Of a message that was cut the coverage may be what is missing.
    let of_coverage = |text: &str| [COVERS, HOLDS_NONE].iter().any(|begins| text.starts_with(begins));
    message.rsplit_once(BEFORE_COVERAGE).filter(|(_, last)| of_coverage(last)).map_or(message, |(why, _)| why)
}

/// Longer messages are cut: a status is no log.
const LONGEST_MESSAGE: usize = 1024;

/// The status as it should be, and when to write it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The status.
    pub status: PlaybackGrantRequestStatus,
    /// When to write it; `None`: it stands there already.
    pub write_at: Option<Instant>,
}

pub(super) fn report(situation: &Situation<'_>) -> Report {
    let Situation { seen, spec, .. } = situation;
    let cause = situation.cause();
    let covered = situation.covered_until().and(situation.held_life);
    let suspended_while_covered = covered.is_some() && spec.suspend;
    let cause = cause.filter(|_| !suspended_while_covered);
    // What wouldn't be true for as long as it stands there is left out.
    let is_coarse = spec.call.ttl.duration().saturating_sub(spec.refresh_before) < seen.status_interval;
    let mut conditions = Conditions { seen: *seen, wall: situation.now.wall, list: Vec::new() };
    match (&covered, &cause) {
        (Some(_), _) | (None, None) => {
            let token = situation.token_beside_it();
            let suspended = if spec.suspend { REFRESHING_IS_SUSPENDED } else { "" };
            let message = format!("Secret {} holds an unexpired grant{token}{suspended}", situation.secret_path());
            conditions.add(ConditionType::Ready, true, Reason::GrantIssued, &message);
        }
        (None, Some(Cause { reason, message, .. })) => conditions.add(ConditionType::Ready, false, *reason, message),
    }
    if let Some(Cause { reason, message, progress, failed }) = &cause {
        if *failed {
            let coverage = match covered {
                Some(life) => format!("{COVERS}{} covers until {}", situation.secret_path(), rfc3339_millis(life.expiry_time)),
                None => format!("{HOLDS_NONE}{} holds no unexpired grant", situation.secret_path()),
            };
            conditions.add(ConditionType::RefreshFailing, true, *reason, &format!("{message}{BEFORE_COVERAGE}{coverage}"));
        }
        match progress {
            Progress::Reconciling => conditions.add(ConditionType::Reconciling, true, *reason, message),
            Progress::Stalled => conditions.add(ConditionType::Stalled, true, *reason, message),
            Progress::None => {}
        }
    }
    let refreshed = if spec.suspend || covered.is_none() { None } else { situation.refreshed_life() };
    let next_refresh_time = refreshed.filter(|_| !is_coarse).map(|(life, due)| {
        let wait = SignedDuration::try_from(due.since(life.issue)).unwrap_or_default();
        rfc3339_millis(life.issue_time.checked_add(wait).unwrap_or(Timestamp::MAX))
    });
    let ours = matches!(situation.target, Target::Ours(_) | Target::Outdated(_));
    let status = PlaybackGrantRequestStatus {
        observed_generation: seen.generation,
        conditions: conditions.list,
        secret_name: ours.then(|| spec.secret_name.to_string()),
        grant: grant_status(situation).filter(|_| !is_coarse),
        next_refresh_time,
        consecutive_failures: seen.memory.consecutive_failures,
        last_handled_refresh_request: seen.memory.handled_refresh.clone(),
    };
    Report { write_at: write_at(seen, &status, situation.now.instant), status }
}

impl Report {
    /// The report of a request whose spec can't be served.
    pub(super) fn invalid(seen: &Seen<'_>, invalid: &InvalidSpec, now: Now) -> Self {
        let mut conditions = Conditions { seen: *seen, wall: now.wall, list: Vec::new() };
        let message = invalid.to_string();
        conditions.add(ConditionType::Ready, false, Reason::InvalidSpec, &message);
        conditions.add(ConditionType::Stalled, true, Reason::InvalidSpec, &message);
        let status = PlaybackGrantRequestStatus {
            observed_generation: seen.generation,
            conditions: conditions.list,
            secret_name: None,
            grant: None,
            next_refresh_time: None,
            consecutive_failures: seen.memory.consecutive_failures,
            last_handled_refresh_request: seen.memory.handled_refresh.clone(),
        };
        Self { write_at: write_at(seen, &status, now.instant), status }
    }
}

/// The grant that the Secret holds. What its annotations don't say is kept from the hand, or from what the status says already.
fn grant_status(situation: &Situation<'_>) -> Option<GrantStatus> {
    let life = situation.held_life?;
    let issue_time = rfc3339_millis(life.issue_time);
    let hand = situation.seen.memory.hand.as_deref().filter(|hand| hand.claim().issue_time == life.issue_time);
    let before = situation.seen.memory.told.stands().grant.as_ref().filter(|grant| grant.issue_time == issue_time);
    let grant = hand.map(|hand| &hand.grant);
    Some(GrantStatus {
        player_streamer_sid: situation.spec.call.player_streamer_sid.shared(),
        account_sid: grant.and_then(|grant| grant.account_sid.clone()).or_else(|| before.and_then(|before| before.account_sid.clone())),
        url: grant.and_then(|grant| grant.url.clone()).or_else(|| before.and_then(|before| before.url.clone())),
        date_created: grant
            .and_then(|grant| grant.date_created.map(|created| created.to_string()))
            .or_else(|| before.and_then(|before| before.date_created.clone())),
        issue_time,
        expiry_time: rfc3339_millis(life.expiry_time),
    })
}

/// Transitions and successes are written at once, and where it is unclear what stands there; what else differs, now and then.
fn write_at(seen: &Seen<'_>, status: &PlaybackGrantRequestStatus, now: Instant) -> Option<Instant> {
    let told = &seen.memory.told;
    if told.says(status) {
        return None;
    }
    // What was said already, and another gainsays, isn't said again at once: two would write over each other's words without end.
    let transition = told.unclear || essence(&told.status) != essence(status);
    let allowed = if transition { now } else { told.written.map_or(now, |written| written + told.coarse()) };
    Some(told.held.map_or(allowed, |held| allowed.max(held.until)))
}

struct Conditions<'a> {
    seen: Seen<'a>,
    wall: Timestamp,
    list: Vec<Condition>,
}

impl Conditions<'_> {
    fn add(&mut self, type_: ConditionType, status: bool, reason: Reason, message: &str) {
        let status = if status { "True" } else { "False" };
        let before = self.seen.memory.told.stands().conditions.iter().find(|before| before.type_ == type_.as_str());
        let since = before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
        self.list.push(Condition {
            type_: type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: cut(message),
            observed_generation: self.seen.generation,
            last_transition_time: since.unwrap_or_else(|| Time(whole_seconds(self.wall))),
        });
    }
}

/// `metav1.Time` has whole seconds; what is compared with what the API server stores has to have them too.
fn whole_seconds(wall: Timestamp) -> Timestamp {
    Timestamp::from_second(wall.as_second()).unwrap_or(wall)
}

fn cut(message: &str) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "report_written_tests.rs"]
mod written_tests;
