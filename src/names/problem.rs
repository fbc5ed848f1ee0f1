//! Why a name has no address.

use thiserror::Error;

/// Why a name has no address, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameProblem {
    /// The name service knows no such name.
    #[error("no such name is known: check how it is written, and that its Service is there")]
    Unknown,
    /// A name server refused to look, or could not.
    #[error("the name server failed on it: look at the name server's own log (the cluster's DNS)")]
    ServerFailed,
    /// No name server answered.
    #[error("no name server answered: check the cluster's DNS, and that network policies let port 53 through")]
    NoAnswer,
    /// It isn't known whom to ask.
    #[error("/etc/resolv.conf is missing, can't be read, or names no name server: check the pod's dnsPolicy and dnsConfig")]
    NoServers,
}

impl NameProblem {
    /// Whether the name itself may be fine: nobody has said that it doesn't exist.
    pub(super) const fn is_of_the_servers(self) -> bool {
        matches!(self, Self::ServerFailed | Self::NoAnswer)
    }

    /// Of two that came up for one name, the one that leaves more open.
    pub(super) const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::NoServers, _) | (_, Self::NoServers) => Self::NoServers,
            (Self::NoAnswer, _) | (_, Self::NoAnswer) => Self::NoAnswer,
            (Self::ServerFailed, _) | (_, Self::ServerFailed) => Self::ServerFailed,
            (Self::Unknown, Self::Unknown) => Self::Unknown,
        }
    }
}
