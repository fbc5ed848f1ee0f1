//! How the lanes stand, in figures.

/// How the lanes stand.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Calls that are out.
    pub in_flight: usize,
    /// Those who wait for a turn, or until what failed may be tried again.
    pub waiting: usize,
    /// Lanes that let calls through.
    pub open: usize,
    /// Lanes that failures have closed, and in which somebody waits; or that a 429 to one of their account holds back.
    pub closed: usize,
    /// Lanes in which nothing is answered, likewise.
    pub silent: usize,
    /// Accounts whose calls are held back since a 429.
    pub limited: usize,
    /// Calls a second that those may make, all together.
    pub own_rate: f64,
    /// Refreshes that are due and wait for that rate.
    pub shortfall: usize,
    /// How many calls have been made beside others that weren't answered, since the start.
    pub joined: u64,
}
