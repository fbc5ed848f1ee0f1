//! Versions of a request that own writes have put an end to, and that may still be looked at.

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
