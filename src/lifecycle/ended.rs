//! Versions of a request that own writes have put an end to, and that may still be looked at.

/// So many are remembered: while no watch works each write adds one. Of an earlier one that comes back after all, the API server says that it isn't the newest.
const MOST: usize = 16;

/// The versions, few as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    versions: Vec<Box<str>>,
    /// Whether a watch has shown the version that the last own write has made: it shows none of those before any more.
    is_shown: bool,
}

impl Ended {
    pub(super) fn contains(&self, version: &str) -> bool {
        self.versions.iter().any(|ended| **ended == *version)
    }

    /// An own write has put an end to that version.
    pub(super) fn add(&mut self, version: String) {
        // Whoever looked at what the watch had shown before is the one that has written this, and doesn't look at it again.
        if std::mem::take(&mut self.is_shown) {
            self.versions = Vec::with_capacity(1);
        }
        if self.versions.len() == MOST {
            self.versions.remove(0);
        }
        self.versions.push(version.into_boxed_str());
    }

    /// A watch shows what the last own write has made.
    pub(super) const fn shown(&mut self) {
        self.is_shown = true;
    }

    /// Another's version is seen: all of those before it are over.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.versions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_watch_no_more_than_the_latest_are_remembered() {
        let mut ended = Ended::default();
        (0..100).for_each(|version| ended.add(version.to_string()));
        assert_eq!(ended.count(), MOST);
        assert!(ended.contains("84") && ended.contains("99") && !ended.contains("83"));
    }
}
