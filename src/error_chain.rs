//! What an error was caused by.

use std::error::Error;
use std::{io, iter};

/// The innermost error of a type in a chain: the innermost knows best.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let chain = iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        // An I/O error's source is its content's source, not the content.
        Some(content) => Some(content as &(dyn Error + 'static)),
        None => error.source(),
    });
    chain.filter_map(|error| error.downcast_ref::<E>()).last()
}
