//! A port on all of the machine's addresses.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::TcpListener;

/// Listens on all addresses: by IPv6, which takes IPv4 too, or where there is no IPv6 by IPv4 alone.
///
/// # Errors
/// When the port is taken, or neither is there.
pub async fn on_all_addresses(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != ErrorKind::AddrInUse => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_port_is_taken_once() {
        let first = on_all_addresses(0).await.unwrap();
        let address = first.local_addr().unwrap();
        assert!(address.ip().is_unspecified());
        assert_eq!(on_all_addresses(address.port()).await.unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
