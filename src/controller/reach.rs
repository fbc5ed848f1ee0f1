//! Whether what many requests share does what it is asked, the API server or a lane of the Media API: told once when it no longer does, and once when it does
//! again, however many meet that. Pure.

use std::time::Duration;

use crate::time::Instant;

/// Trouble that comes again so soon after its end was told is the same: it is told only if it stays for longer than that.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// Whether it does what it is asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach {
    failing: Option<Failing>,
    /// When it was last told to do so again.
    back: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    calls: u64,
    /// Whether it was told.
    told: bool,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It doesn't answer, or says that it is in trouble.
    Lost,
    /// It does what it is asked again, after so long and so many calls in vain.
    Back {
        /// Since the first of them.
        after: Duration,
        /// How many.
        calls: u64,
    },
}

impl Reach {
    /// Takes in how a call ended: `failed` by trouble of its own, or for want of an answer.
    pub(super) fn ended(&mut self, failed: bool, now: Instant) -> Option<News> {
        if failed {
            let failing = self.failing.get_or_insert(Failing { since: now, calls: 0, told: false });
            failing.calls += 1;
            let is_news = !failing.told && self.back.is_none_or(|back| now.since(back) > FORGOTTEN_AFTER);
            failing.told |= is_news;
            return is_news.then_some(News::Lost);
        }
        let Failing { since, calls, told } = self.failing.take()?;
        if !told {
            return None;
        }
        self.back = Some(now);
        Some(News::Back { after: now.since(since), calls })
    }

    /// Whether it fails, told or not.
    pub(super) const fn is_failing(&self) -> bool {
        self.failing.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn the_end_and_the_beginning_are_told_once_each() {
        let mut reach = Reach::default();
        assert_eq!(reach.ended(false, at(0)), None);
        assert_eq!(reach.ended(true, at(1)), Some(News::Lost));
        assert_eq!(reach.ended(true, at(2)), None);
        assert_eq!(reach.ended(false, at(9)), Some(News::Back { after: Duration::from_secs(8), calls: 2 }));
        assert_eq!(reach.ended(false, at(10)), None);
    }

    #[test]
    fn what_comes_and_goes_is_told_no_more_than_once_in_a_while() {
        let mut reach = Reach::default();
        assert_eq!(reach.ended(true, at(0)), Some(News::Lost));
        assert!(reach.ended(false, at(1)).is_some());
        for second in (2..31).step_by(2) {
            assert_eq!((reach.ended(true, at(second)), reach.ended(false, at(second + 1))), (None, None));
        }
        assert_eq!(reach.ended(true, at(32)), Some(News::Lost), "30 s after it was last told to be back");
        assert!(reach.ended(false, at(33)).is_some());
    }

    #[test]
    fn what_comes_again_soon_and_stays_is_told() {
        let mut reach = Reach::default();
        assert_eq!(reach.ended(true, at(0)), Some(News::Lost));
        assert!(reach.ended(false, at(1)).is_some() && !reach.is_failing());
        assert!((2..=31).all(|second| reach.ended(true, at(second)).is_none() && reach.is_failing()));
        assert_eq!(reach.ended(true, at(32)), Some(News::Lost));
        assert_eq!(reach.ended(true, at(33)), None);
        assert_eq!(reach.ended(false, at(34)), Some(News::Back { after: Duration::from_secs(32), calls: 32 }));
    }
}
