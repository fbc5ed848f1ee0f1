//! Whether the API server answers: told once when it no longer does, and once when it does again, however many requests meet that. Pure.

use std::time::Duration;

use crate::time::Instant;

/// Trouble that comes again so soon is the same.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// Whether the API server answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach {
    failing: Option<Failing>,
    /// When it last answered again after a failure.
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
    /// It answers again, after so long and so many calls in vain.
    Back {
        /// Since the first of them.
        after: Duration,
        /// How many.
        calls: u64,
    },
}

impl Reach {
    /// Takes in how a call ended: `failed` by the API server's own trouble, or for want of an answer.
    pub(super) fn ended(&mut self, failed: bool, now: Instant) -> Option<News> {
        if failed {
            if let Some(failing) = &mut self.failing {
                failing.calls += 1;
                return None;
            }
            let told = self.back.is_none_or(|back| now.since(back) > FORGOTTEN_AFTER);
            self.failing = Some(Failing { since: now, calls: 1, told });
            return told.then_some(News::Lost);
        }
        let Failing { since, calls, told } = self.failing.take()?;
        self.back = Some(now);
        told.then_some(News::Back { after: now.since(since), calls })
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
        for second in (2..30).step_by(2) {
            assert_eq!((reach.ended(true, at(second)), reach.ended(false, at(second + 1))), (None, None));
        }
        assert_eq!(reach.ended(true, at(59)), None, "30 s after it was last back");
        assert_eq!(reach.ended(false, at(60)), None);
        assert_eq!(reach.ended(true, at(91)), Some(News::Lost));
    }
}
