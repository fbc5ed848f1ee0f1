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
    let longest = u64::try_from(LONGEST_BODY).unwrap_or(u64::MAX);
    if response.content_length().is_some_and(|length| length > longest) {
        return Err(BodyError::TooLong);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(4096));
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Transport)? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(BodyError::TooLong);
        }
        append(&mut body, &chunk);
    }
    Ok(body)
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
    use super::append;
    use zeroize::Zeroizing;

    #[test]
    fn chunks_are_put_together_in_order() {
        let mut body = Zeroizing::new(Vec::new());
        for chunk in [b"".as_slice(), b"a", b"bc", &[b'd'; 5000], b"e"] {
            append(&mut body, chunk);
        }
        assert_eq!(body.as_slice(), [b"abc".as_slice(), &[b'd'; 5000], b"e"].concat());
    }
}
