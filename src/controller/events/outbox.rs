//! What waits to be told, how much of it, and how fast it goes out. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Instant;

/// The most that waits. What comes beyond that isn't told.
const MOST: usize = 500;
/// So many may go at once, after a while in which none went.
const BURST: u32 = 20;
/// One more may go after that.
const INTERVAL: Duration = Duration::from_millis(100);
/// What has waited for longer is no news: an Event bears the time at which it is written.
const OLDEST: Duration = Duration::from_mins(1);

/// What waits to be told.
#[derive(Debug)]
pub(super) struct Outbox<K, T> {
    waiting: VecDeque<Posted<K, T>>,
    /// From when on as many as ever may go at once: an interval more for each that has gone.
    full_at: Instant,
}

#[derive(Debug)]
struct Posted<K, T> {
    at: Instant,
    key: K,
    item: T,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// This one goes.
    Send(T),
    /// There is one, and it may go then.
    At(Instant),
    /// There is none.
    Nothing,
}

impl<K, T> Default for Outbox<K, T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), full_at: Instant::after_start(Duration::ZERO) }
    }
}

impl<K: PartialEq, T> Outbox<K, T> {
    /// It waits from now on, and the one of the same key that waits no more, if one does. False: there are too many.
    pub(super) fn post(&mut self, key: K, item: T, now: Instant) -> bool {
        // Not in its place: what came in between would be told after it.
        self.waiting.retain(|posted| posted.key != key);
        let has_room = self.waiting.len() < MOST;
        if has_room {
            self.waiting.push_back(Posted { at: now, key, item });
        }
        has_room
    }

    /// Takes out what is no news any more. Returns how many.
    pub(super) fn leave_out_old(&mut self, now: Instant) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|posted| now.since(posted.at) <= OLDEST);
        before - self.waiting.len()
    }

    /// The one that has waited longest, if it may go.
    pub(super) fn next(&mut self, now: Instant) -> Next<T> {
        if self.waiting.is_empty() {
            return Next::Nothing;
        }
        let allowed_at = self.full_at.before(INTERVAL * (BURST - 1));
        if now < allowed_at {
            return Next::At(allowed_at);
        }
        self.full_at = self.full_at.max(now) + INTERVAL;
        self.waiting.pop_front().map_or(Next::Nothing, |posted| Next::Send(posted.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(1_000_000 + millis))
    }

    #[test]
    fn a_burst_goes_at_once_and_then_ten_a_second() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.next(at(0)), Next::Nothing);
        for n in 0..60 {
            assert!(outbox.post(n, n, at(0)));
        }
        for n in 0..20 {
            assert_eq!(outbox.next(at(0)), Next::Send(n), "in the order in which they came");
        }
        assert_eq!(outbox.next(at(0)), Next::At(at(100)));
        assert_eq!(outbox.next(at(99)), Next::At(at(100)));
        assert_eq!(outbox.next(at(100)), Next::Send(20));
        assert_eq!(outbox.next(at(100)), Next::At(at(200)));
        let sent = (0..15_u32).filter(|_| matches!(outbox.next(at(1100)), Next::Send(_))).count();
        assert_eq!(sent, 10, "what wasn't used isn't lost");
        let sent = (0..40_u32).filter(|_| matches!(outbox.next(at(60_000)), Next::Send(_))).count();
        assert_eq!(sent, 20, "and isn't saved up either");
    }

    #[test]
    fn the_newest_of_the_same_is_told_in_its_turn_and_what_is_too_much_is_not() {
        let mut outbox = Outbox::default();
        for n in 0..MOST {
            assert!(outbox.post(n, "first", at(0)));
        }
        assert!(!outbox.post(MOST, "too much", at(0)));
        assert!(outbox.post(0, "second", at(0)), "there is room for one that takes another's place");
        assert_eq!(outbox.next(at(0)), Next::Send("first"));
        assert!(outbox.post(MOST, "now", at(0)), "there is room again");
        assert_eq!(outbox.waiting.iter().filter(|posted| posted.item != "first").map(|posted| posted.key).collect::<Vec<_>>(), [0, MOST]);
    }

    #[test]
    fn what_is_no_news_any_more_is_not_told() {
        let mut outbox = Outbox::default();
        assert!(outbox.post(1, "old", at(0)) && outbox.post(2, "new", at(1)));
        assert_eq!((outbox.leave_out_old(at(60_000)), outbox.leave_out_old(at(60_001))), (0, 1));
        assert_eq!(outbox.next(at(60_001)), Next::Send("new"));
        assert_eq!(outbox.next(at(60_001)), Next::Nothing);
    }
}
