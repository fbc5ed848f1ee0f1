//! The hash over several texts that stands in an annotation.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Half of a SHA-256 over `parts`, in hexadecimal: the same in every release, and another where any part is another.
#[must_use]
pub fn parts_hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        // The length goes first, so that no part can pass for the end of the one before it; of the same width on every machine.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
