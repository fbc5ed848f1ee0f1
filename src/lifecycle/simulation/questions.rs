//! What must hold of every decision.

use std::time::Duration;

use super::acts::Act;
use super::judge::Judge;
use super::objects::start_of;
use crate::lifecycle::{Contents, CredentialsView, Decision, Report, SecretOrder, SecretView, Seen, Step, Whose, decide};
use crate::media::Ttl;
use crate::time::{Instant, Now};

/// At most one forced call in this time.
const FORCED_INTERVAL: Duration = Duration::from_secs(2);

impl Judge {
    pub(super) fn decided(&mut self, seen: &Seen<'_>, now: Now, decision: &Decision) {
        let request = &seen.identity.name;
        self.note(format!("{:?} {request} decides {}", now.instant, short(decision)));
        let again = decide(seen, now);
        self.require(is_same(&again, decision), || format!("{request}: {decision:?}, then {again:?}"));
        self.keeps_still(seen, decision);
        match decision {
            Decision::Step(Step::Order { ordered, .. }) => {
                self.is_due(seen, now, &ordered.subject.request_hash, ordered.forced);
            }
            Decision::Step(Step::Create { order, .. } | Step::Patch { order, .. }) => self.goes_with_its_token(seen, order),
            Decision::Step(_) => {}
            Decision::Rest { report, look_at } => self.rests(seen, now, report.as_ref(), *look_at),
        }
    }

    /// Only a grant that isn't in the Secret yet, or has a spoilt token there, goes there without the token that is asked for, and only once its key
    /// was looked for. One that can't be signed at all has none.
    fn goes_with_its_token(&self, seen: &Seen<'_>, order: &SecretOrder) {
        let Some(Contents { grant, token: None }) = &order.contents else { return };
        let is_there = matches!(seen.secret, SecretView::Present(meta)
            if meta.claim() == Some(grant.claim())
                && seen.memory.verified.as_ref() == Some(&meta.version)
                && seen.memory.damaged_token.as_ref() != Some(&meta.version));
        let may_go = match seen.credentials {
            CredentialsView::NotRead => seen.memory.credentials_withheld && !is_there,
            CredentialsView::NotFound | CredentialsView::Invalid(_) => !is_there,
            CredentialsView::Usable { .. } => true,
        };
        let is_wanted = seen.spec.is_ok_and(|spec| spec.access_token.is_some());
        self.require(may_go || !is_wanted, || format!("{}: a grant without its token", seen.identity.name));
    }

    /// Who isn't served makes no call, and touches nothing.
    fn keeps_still(&self, seen: &Seen<'_>, decision: &Decision) {
        let request = &seen.identity.name;
        let foreign = matches!(seen.secret, SecretView::Present(meta) if seen.identity.whose(meta) == Whose::Foreign);
        let suspended = seen.spec.is_ok_and(|spec| spec.suspend);
        if !(seen.deleting || suspended || foreign || seen.spec.is_err()) {
            return;
        }
        let may_look = foreign && !seen.deleting && seen.memory.ordered.is_none();
        let still = match decision {
            Decision::Step(Step::Withdraw) => true,
            Decision::Step(Step::Look) => may_look,
            Decision::Step(_) => false,
            Decision::Rest { .. } => seen.memory.ordered.is_none(),
        };
        self.require(still, || {
            format!("{request}: {decision:?}, though deleting {}, suspended {suspended}, foreign {foreign}", seen.deleting)
        });
        if seen.deleting {
            self.require(!matches!(decision, Decision::Rest { report: Some(_), .. }), || format!("{request}: reports while it is deleted"));
        }
    }

    /// Nothing is asked for before it is due.
    fn is_due(&mut self, seen: &Seen<'_>, now: Now, request_hash: &str, forced: bool) {
        let request = &seen.identity.name;
        let Ok(spec) = seen.spec else { return self.require(false, || format!("{request}: a call without a spec")) };
        if forced {
            let last = self.tally(request).last_forced.replace(now.instant);
            self.require(seen.refresh_request.is_some(), || format!("{request}: nobody forces this"));
            self.require(last.is_none_or(|last| now.instant.since(last) >= FORCED_INTERVAL), || format!("{request}: forced too often"));
            return;
        }
        let earliest = |issue: Instant, ttl: Ttl| {
            let interval = ttl.duration().saturating_sub(spec.refresh_before).mul_f64(0.959);
            issue + interval.max(ttl.duration() / 4).max(Duration::from_millis(500)).min(ttl.duration())
        };
        if let Some((issue, ttl, hash)) = self.given.get(&*seen.identity.uid) {
            self.require(**hash != *request_hash || earliest(*issue, *ttl) <= now.instant, || {
                format!("{request}: asks at {now:?} for what it was given at {issue:?}")
            });
        }
        let claim = match seen.secret {
            SecretView::Present(meta) if seen.memory.damaged.as_ref() != Some(&meta.version) => meta.claim(),
            _ => None,
        };
        if let Some(claim) = claim
            && *claim.request_hash == *request_hash
            && !self.has(|act| matches!(act, Act::JumpClock(_)))
            && seen.memory.trouble.is_none()
        {
            let issue = now.instant_at(claim.issue_time);
            self.require(earliest(issue, spec.call.ttl) <= now.instant, || {
                format!("{request}: asks at {now:?} for what its Secret has had since {issue:?}")
            });
        }
    }

    /// At rest nothing changes but what is looked at again.
    fn rests(&self, seen: &Seen<'_>, now: Now, report: Option<&Report>, look_at: Option<Instant>) {
        let request = &seen.identity.name;
        self.require(look_at.is_none_or(|look_at| now.instant < look_at), || format!("{request}: looks at what is past"));
        if let (Some(report), Ok(_) | Err(_)) = (report, seen.spec) {
            self.status_is_in_shape(request, &report.status, seen.generation);
            let same = seen.memory.told.says(&report.status);
            self.require(same == report.write_at.is_none(), || {
                format!("{request}: writes what stands there, or doesn't write what doesn't")
            });
        }
        // A grant that is to be issued only later becomes plausible by itself.
        if let SecretView::Present(meta) = seen.secret
            && meta.claim().is_some_and(|claim| claim.issue_time > now.wall)
        {
            return;
        }
        let ahead = look_at.map_or(Duration::from_hours(2), |look_at| look_at.since(now.instant));
        for share in [0.001, 0.5, 0.999] {
            let then = now.instant + ahead.mul_f64(share);
            if look_at.is_some_and(|look_at| look_at <= then) {
                continue;
            }
            match decide(seen, Now { instant: then, wall: now.wall_at(then) }) {
                Decision::Step(step) => {
                    self.require(false, || format!("{request} rests until {look_at:?}, but at {then:?} there is {step:?}"));
                }
                Decision::Rest { report: later, .. } => self.says_the_same(request, report, later.as_ref()),
            }
        }
    }

    /// Nothing in a status changes by itself.
    fn says_the_same(&self, request: &str, report: Option<&Report>, later: Option<&Report>) {
        let told = |report: Option<&Report>| {
            report.map(|report| {
                let mut status = report.status.clone();
                if report.write_at.is_some() {
                    // What hasn't been written has not happened yet.
                    for condition in &mut status.conditions {
                        condition.last_transition_time.0 = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
                    }
                }
                status
            })
        };
        self.require(told(report) == told(later), || format!("{request}: {report:?} becomes {later:?} by itself"));
    }
}

fn is_same(one: &Decision, other: &Decision) -> bool {
    match (one, other) {
        (Decision::Step(one), Decision::Step(other)) => std::mem::discriminant(one) == std::mem::discriminant(other),
        (Decision::Rest { report, look_at }, Decision::Rest { report: other, look_at: other_look }) => {
            report == other && look_at == other_look
        }
        _ => false,
    }
}

fn short(decision: &Decision) -> String {
    match decision {
        Decision::Step(step) => start_of(step),
        Decision::Rest { report, look_at } => {
            let conditions = report.as_ref().map(|report| {
                let conditions = report.status.conditions.iter();
                let shown: Vec<String> = conditions.map(|one| format!("{}={} {}", one.type_, one.status, one.reason)).collect();
                (shown, report.write_at)
            });
            format!("to rest until {look_at:?} and to report {conditions:?}")
        }
    }
}
