//! What a call is answered. Pure: time, token and state are arguments.

use super::accounts::{Accounts, BasicCredentials};
use super::answer::Answer;
use super::clock::Moment;
use super::fault::{Caller, FaultBoard, Outage, Spoiler, StatusFault};
use super::grant_answer::{Granted, player_streamer};
use super::token::PlaybackToken;
use crate::media::{Origin, PlayerStreamerSid, Ttl};
use std::time::Duration;

/// What happens to a call, and how much later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) delivery: Delivery,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Answer(Answer),
    Hang,
    Reset,
}

/// A call for a grant, as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantRequest<'a> {
    /// The request's path.
    pub(crate) path: &'a str,
    /// The SID in the path.
    pub(crate) streamer: &'a str,
    /// The credentials; `None` when there are none or they can't be read.
    pub(crate) credentials: Option<&'a BasicCredentials>,
    /// The form's fields in their order, or why they can't be read.
    pub(crate) form: Result<&'a [(String, String)], &'a str>,
}

/// Decides a call for a grant, in this order: latency (base and all latency faults, added up); the newest outage (status, hang, reset);
/// credentials; the PlayerStreamer's SID; rate limits; the form; the newest fault that spoils the answer; the grant.
pub(crate) fn decide_grant(
    request: &GrantRequest<'_>,
    accounts: &Accounts,
    faults: &mut FaultBoard,
    base_latency: Duration,
    now: Moment,
    nonce: u128,
) -> Plan {
    let user = request.credentials.map(|credentials| credentials.user.as_str());
    let account = user.map(|user| accounts.account_of(user));
    let caller = Caller { streamer: request.streamer, user, account: account.as_deref() };
    let delay = base_latency.saturating_add(faults.take_latency(caller, now.uptime));
    let sent_unix_ms = now.unix_ms.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
    let of_fault = |fault: &StatusFault| Answer::of_fault(fault, request.path, sent_unix_ms);

    let delivery = match faults.take_outage(caller, now.uptime) {
        Some(Outage::Hang) => Delivery::Hang,
        Some(Outage::Reset) => Delivery::Reset,
        Some(Outage::Status(fault)) => Delivery::Answer(of_fault(&fault)),
        None => {
            let mut answer = || -> Result<Answer, Answer> {
                admit(request, accounts)?;
                faults.take_rate_limit(caller, now.uptime).map_or(Ok(()), |fault| Err(of_fault(&fault)))?;
                let ttl_ms = 1_000 * read_ttl_seconds(request.form).map_err(|message| Answer::error(400, &message))?;
                let token = PlaybackToken { issued_at_unix_ms: now.unix_ms, ttl_ms, nonce };
                let granted = Granted { streamer: request.streamer, account: account.as_deref().unwrap_or_default(), token };
                Ok(match faults.take_spoiler(caller, now.uptime) {
                    Some(Spoiler::Ended { status }) => Answer::error(status, "The PlayerStreamer has ended"),
                    Some(Spoiler::Answer(fault)) => granted.spoiled(fault),
                    None => granted.answer(),
                })
            };
            Delivery::Answer(answer().unwrap_or_else(|refusal| refusal))
        }
    };
    Plan { delay, delivery }
}

/// Decides a request to read a PlayerStreamer: no fault acts on it, but an ended one shows.
pub(crate) fn decide_read(
    request: &GrantRequest<'_>,
    accounts: &Accounts,
    faults: &mut FaultBoard,
    created_unix_ms: u64,
    now: Moment,
) -> Answer {
    match (admit(request, accounts), request.credentials) {
        (Ok(()), Some(credentials)) => {
            let account = accounts.account_of(&credentials.user);
            let caller = Caller { streamer: request.streamer, user: Some(&credentials.user), account: Some(&account) };
            player_streamer(request.streamer, &account, faults.has_ended(caller, now.uptime), created_unix_ms)
        }
        (Err(refusal), _) => refusal,
        (Ok(()), None) => unauthorized(),
    }
}

/// Whether the credentials are accepted and the SID is one.
pub(crate) fn admit(request: &GrantRequest<'_>, accounts: &Accounts) -> Result<(), Answer> {
    if !request.credentials.is_some_and(|given| accounts.accept(given)) {
        return Err(unauthorized());
    }
    if PlayerStreamerSid::parse(request.streamer).is_none() {
        return Err(Answer::error(404, "The requested resource was not found: a PlayerStreamer's SID is VJ and 32 hexadecimal digits"));
    }
    Ok(())
}

fn unauthorized() -> Answer {
    let mut answer = Answer::error(401, "Authenticate");
    answer.headers.push(("www-authenticate", "Basic realm=\"Media API simulator\"".to_owned()));
    answer
}

/// The grant's lifetime in seconds; checks the origin as well, which decides nothing here.
fn read_ttl_seconds(form: Result<&[(String, String)], &str>) -> Result<u64, String> {
    let form = form.map_err(str::to_owned)?;
    let field = |name: &str| {
        let mut values = form.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(format!("{name} is given more than once")),
            (value, None) => Ok(value),
        }
    };
    if field("AccessControlAllowOrigin")?.is_some_and(|origin| Origin::parse(origin).is_none()) {
        return Err("AccessControlAllowOrigin must be a full origin: scheme, host and optional port, without a path".to_owned());
    }
    // 15 seconds are the default of the API description 1.55.2.
    let Some(ttl) = field("Ttl")? else { return Ok(15) };
    let digits = ttl.bytes().all(|digit| digit.is_ascii_digit());
    let seconds = ttl.parse().ok().filter(|_| digits).and_then(Ttl::from_seconds).map(|ttl| u64::from(ttl.seconds()));
    seconds.ok_or_else(|| "Ttl must be a whole number of seconds from 1 to 60".to_owned())
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
