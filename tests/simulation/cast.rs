//! Who is there, and what others have done so far.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::history::ACCOUNTS;
use crate::world::{Operator, name};

/// Who tampers with a Secret more often than this in so long a time is in a fight: what is changed then is put right after 2, 4, 8 … 60 s.
const BORNE: usize = 2;
const LONGEST: u64 = 60;
const REMEMBERED: Duration = Duration::from_mins(2);

/// A uid and a resourceVersion.
pub type Version = (Option<String>, Option<String>);

/// Who is there, and what others have done so far.
#[derive(Default)]
pub struct Cast {
    /// The operator, and others beside it by the numbers of what made them come.
    pub operator: Option<Operator>,
    pub others: BTreeMap<usize, Operator>,
    /// How many kills keep the operator away.
    pub kills: usize,
    /// The number of each account's present key.
    pub keys: [usize; ACCOUNTS],
    /// When the credentials of each account are not there, how many happenings keep them away.
    pub dropped: [usize; ACCOUNTS],
    /// The names of Secrets that specs give, where they do.
    pub targets: BTreeMap<usize, String>,
    /// The Secrets that are held or another's, by the number of what made them so: the Secret, and its uid and version then.
    pub seized: BTreeMap<usize, (String, Version)>,
    /// The Secrets that the garbage collector has taken.
    pub collected: BTreeSet<String>,
    /// When what each request asks for last changed, or an operator came that doesn't remember its success.
    pub unproven_since: BTreeMap<usize, Duration>,
    /// The value of each request's refresh annotation.
    pub refreshes: BTreeMap<usize, String>,
    /// Who has named another's Secret since it was made.
    pub rivals: BTreeSet<usize>,
    /// The requests that are held by a finalizer, by the number of what made them so: the uid, and since when.
    pub lingering: BTreeMap<usize, (String, Duration)>,
    tampered: BTreeMap<usize, Vec<Duration>>,
}

impl Cast {
    /// How many operators there are.
    pub fn operators(&self) -> usize {
        usize::from(self.operator.is_some()) + self.others.len()
    }

    /// The name of the Secret that the request names.
    pub fn target(&self, n: usize) -> String {
        self.targets.get(&n).cloned().unwrap_or_else(|| name(n))
    }

    /// Whether several requests name the Secret.
    pub fn is_contested(&self, secret: &str, requests: usize) -> bool {
        (0..requests).filter(|n| self.target(*n) == secret).count() > 1
    }

    /// The request is another from now on, as it was at first.
    pub fn is_renewed(&mut self, n: usize, now: Duration) {
        self.targets.remove(&n);
        self.rivals.remove(&n);
        self.refreshes.remove(&n);
        self.unproven_since.insert(n, now);
    }

    /// Whether the Secret is held, or another's.
    pub fn is_seized(&self, secret: &str) -> bool {
        self.seized.values().any(|(seized, _)| seized == secret)
    }

    pub fn is_collected(&self, secret: &str) -> bool {
        self.collected.contains(secret)
    }

    /// Takes in that others tamper with the request's Secret; returns after how long it is put right, at the most, where it is a fight.
    pub fn tampers(&mut self, n: usize, now: Duration) -> Option<Duration> {
        let before = self.tampered.entry(n).or_default();
        before.retain(|at| now.saturating_sub(*at) < REMEMBERED);
        before.push(now);
        let rounds = u32::try_from(before.len().checked_sub(BORNE)?).unwrap_or(u32::MAX);
        (rounds > 0).then(|| Duration::from_secs(2_u64.saturating_pow(rounds).min(LONGEST)))
    }
}
