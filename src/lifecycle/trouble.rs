//! What the API server refused or left unanswered, and how it is met.

use std::time::Duration;

use super::backoff::Backoff;
use super::memory::Memory;
use super::secret::SecretVersion;
use super::told::Urgency;
use crate::time::Instant;

/// What the API server refused or left unanswered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What was attempted, and the server's own words.
    pub message: String,
    /// Whether the server refused, rather than being in trouble itself.
    pub refused: bool,
    /// What was attempted.
    pub attempt: Attempt,
    /// Whether nothing can be written any more: the namespace terminates.
    pub terminating: bool,
    /// How long to wait.
    pub backoff: Backoff,
}

/// What the API server was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// To give what it has.
    Read,
    /// To take the grant's Secret.
    Write,
}

impl Memory {
    /// How long the API server's next answer may take, to a status too: 2 s, and twice as long after each call in a row that it left unanswered, up to
    /// 10 s.
    ///
    /// A connection that has died silently is given up soon, and a server that is slow still serves.
    #[must_use]
    pub fn server_limit(&self) -> Duration {
        const FIRST: Duration = Duration::from_secs(2);
        const LONGEST: Duration = Duration::from_secs(10);
        let unanswered = self.trouble.as_ref().filter(|trouble| !trouble.refused).map(|trouble| trouble.backoff);
        let backoffs = unanswered.into_iter().chain(self.told.held.filter(|_| self.told.unclear));
        let failures = backoffs.map(|backoff| backoff.failures).max().unwrap_or_default();
        FIRST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST)
    }

    /// The API server refused what was attempted, or left it unanswered.
    pub fn troubled(&mut self, attempt: Attempt, message: String, refused: bool, terminating: bool, now: Instant) {
        let backoff = Backoff::after(self.trouble.take().map(|trouble| trouble.backoff), refused, now);
        self.trouble = Some(Box::new(Trouble { message, refused, attempt, terminating, backoff }));
    }

    /// Nothing may be written now: of writes that are left unanswered enough are out. What was refused, or left unanswered before, stands.
    pub fn held_up(&mut self, message: impl FnOnce() -> String, now: Instant) {
        let says_more = |trouble: &Trouble| trouble.refused || trouble.attempt == Attempt::Write;
        if !self.trouble.as_deref().is_some_and(says_more) {
            let backoff = Backoff::none(now);
            let trouble = Trouble { message: message(), refused: false, attempt: Attempt::Write, terminating: false, backoff };
            self.trouble = Some(Box::new(trouble));
        }
    }

    /// Whether the last write was left unanswered, not long ago.
    fn is_left_unanswered(&self, now: Instant) -> bool {
        let trouble = self.trouble.as_ref().filter(|trouble| !trouble.refused && trouble.attempt == Attempt::Write);
        trouble.is_some_and(|trouble| trouble.backoff.has_failed() && trouble.backoff.is_recent(now))
    }

    /// Whether a write of the Secret has to wait for others', where not all can be written at once.
    #[must_use]
    pub fn write_urgency(&self, now: Instant) -> Urgency {
        if self.is_left_unanswered(now) { Urgency::Unanswered } else { Urgency::Transition }
    }

    /// The API server says that the Secret isn't that version any more, or (`None`) that it is there. Returns whether that can't be right: it has said so
    /// again and again, and has shown the very same each time.
    pub fn conflicted(&mut self, version: Option<&SecretVersion>, now: Instant) -> bool {
        const MOST: u32 = 3;
        let is_same = |of: Option<&SecretVersion>, last: Instant| of == version && now.since(last) <= Backoff::FORGOTTEN_AFTER;
        let before = self.conflicts.take().filter(|row| is_same(row.0.as_ref(), row.2)).map_or(0, |row| row.1);
        self.conflicts = Some(Box::new((version.cloned(), before.saturating_add(1), now)));
        before >= MOST
    }

    /// The API server takes calls again that it didn't take: whatever waits for it is tried now.
    pub fn relieved(&mut self, now: Instant) {
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| !trouble.terminating) {
            trouble.backoff.until = trouble.backoff.until.min(now);
        }
        self.told.relieved(now);
        self.strays_held.relieved(now);
    }

    /// Others have changed the Secret, or taken it away: what the API server refused may pass now. It is tried soon, and not at each change.
    pub fn secret_changed(&mut self, now: Instant) {
        const SOON: Duration = Duration::from_secs(1);
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| !trouble.terminating) {
            trouble.backoff.until = trouble.backoff.until.min(now + SOON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;

    fn version(resource_version: &str) -> SecretVersion {
        SecretVersion::new("uid", resource_version)
    }

    #[test]
    fn a_server_that_contradicts_itself_is_believed_three_times() {
        let mut memory = Memory::at_first_sight(None, at(1000));
        let same = Some(version("7"));
        let says = |memory: &mut Memory, version: &Option<SecretVersion>| memory.conflicted(version.as_ref(), at(1000));
        assert_eq!([0; 5].map(|_| says(&mut memory, &same)), [false, false, false, true, true]);
        assert!(!says(&mut memory, &Some(version("8"))), "another has come between");
        assert!(!says(&mut memory, &same), "and it is counted anew");
        assert_eq!([0; 4].map(|_| says(&mut memory, &None)), [false, false, false, true], "also of one that is there, and isn't");
        memory.written(version("9"), None, false, false, at(1001));
        assert!(!says(&mut memory, &None), "once it was written all of that is over");
        for (time, is_contradiction) in [(1001, false), (1060, false), (1120, true), (1181, false)] {
            assert_eq!(
                memory.conflicted(None, at(time)),
                is_contradiction,
                "what was said more than a minute before isn't in a row: {time}"
            );
        }
    }

    #[test]
    fn only_a_write_that_was_not_answered_counts_as_that() {
        let after = |attempt, refused| {
            let mut memory = Memory::at_first_sight(None, at(1000));
            assert!(!memory.is_left_unanswered(at(1000)));
            memory.troubled(attempt, String::new(), refused, false, at(1000));
            [1000, 1059, 1062].map(|now| memory.write_urgency(at(now)))
        };
        let [unanswered, transition] = [Urgency::Unanswered, Urgency::Transition];
        assert_eq!(after(Attempt::Write, false), [unanswered, unanswered, transition], "for a minute");
        assert_eq!([after(Attempt::Write, true), after(Attempt::Read, false)], [[transition; 3]; 2]);
    }

    #[test]
    fn who_is_held_up_has_failed_at_nothing() {
        let mut memory = Memory::at_first_sight(None, at(1000));
        memory.held_up(|| "others hang".into(), at(1000));
        let trouble = memory.trouble.clone().unwrap();
        assert_eq!((&*trouble.message, trouble.refused, trouble.backoff.until), ("others hang", false, at(1000)));
        assert_eq!((memory.is_left_unanswered(at(1000)), memory.server_limit().as_secs()), (false, 2));
        memory.troubled(Attempt::Write, "no answer".into(), false, false, at(1002));
        memory.held_up(|| "others hang".into(), at(1003));
        assert_eq!(memory.trouble.as_ref().unwrap().message, "no answer", "what it met itself says more");
        assert!(memory.is_left_unanswered(at(1003)));
        for (attempt, refused, message) in
            [(Attempt::Read, false, "others hang"), (Attempt::Read, true, "once"), (Attempt::Write, true, "once")]
        {
            memory.troubled(attempt, "once".into(), refused, false, at(1004));
            memory.held_up(|| "others hang".into(), at(1005));
            assert_eq!(memory.trouble.as_ref().unwrap().message, message, "{attempt:?}, refused: {refused}");
        }
    }
}
