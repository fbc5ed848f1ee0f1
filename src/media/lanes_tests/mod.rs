//! Many requests through lanes, on time that is made up, under the faults that a Media API has.

#![expect(clippy::cast_precision_loss, reason = "shares of what is far below 2^52")]

mod accounts;
mod closed;
mod ends;
mod faults;
mod model;
mod room;
mod shared;
mod slow;
