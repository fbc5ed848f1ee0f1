//! An answer's body, read into bounded memory that is wiped.

use reqwest::Response;
use zeroize::Zeroizing;

/// The most bytes of a body that are read. A grant is a few kilobytes.
pub(super) const LONGEST_BODY: usize = 64 * 1024;

/// Why a body wasn't read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// It is longer than [`LONGEST_BODY`].
    TooLong,
    /// The connection failed.
    Transport(reqwest::Error),
}

/// Reads a whole body.
pub(super) async fn read(mut response: Response) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    if response.content_length().is_some_and(|length| !fits(0, usize::try_from(length).unwrap_or(usize::MAX))) {
        return Err(BodyError::TooLong);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(4096));
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Transport)? {
        if !fits(body.len(), chunk.len()) {
            return Err(BodyError::TooLong);
        }
        append(&mut body, &chunk);
    }
    Ok(body)
}

/// Whether so many bytes more may be read.
const fn fits(read: usize, more: usize) -> bool {
    read.saturating_add(more) <= LONGEST_BODY
}

/// Appends so that no copy is left behind: a vector that grows by itself frees its old memory unwiped.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len() + chunk.len();
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_BODY, append, fits};
    use zeroize::Zeroizing;

    #[test]
    fn a_body_may_be_as_long_as_the_longest_and_not_a_byte_longer() {
        assert!(fits(0, LONGEST_BODY) && fits(LONGEST_BODY - 1, 1) && fits(LONGEST_BODY, 0));
        assert!(!fits(0, LONGEST_BODY + 1) && !fits(LONGEST_BODY, 1) && !fits(1, usize::MAX));
    }

    #[test]
    fn chunks_are_put_together_in_order() {
        let mut body = Zeroizing::new(Vec::new());
        for chunk in [b"".as_slice(), b"a", b"bc", &[b'd'; 5000], b"e"] {
            append(&mut body, chunk);
        }
        assert_eq!(body.as_slice(), [b"abc".as_slice(), &[b'd'; 5000], b"e"].concat());
    }

    #[test]
    fn it_grows_only_into_memory_that_is_chosen_here() {
        let mut body = Zeroizing::new(Vec::with_capacity(4096));
        append(&mut body, &[b'a'; 4000]);
        let before = body.as_ptr();
        append(&mut body, &[b'a'; 96]);
        assert_eq!((body.as_ptr(), body.capacity()), (before, 4096), "it just fits");
        append(&mut body, &[b'a'; 5000]);
        assert_eq!(body.capacity(), 16_384, "a vector that grows by itself takes what it needs");
    }
}
