//! Where to listen: an address that is given, or a port on all of the machine's addresses.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be taken, at the most.
const BACKLOG: u32 = 1024;

/// Listens on all addresses: by IPv6, which takes IPv4 too, or where there is no IPv6 by IPv4 alone.
///
/// # Errors
/// When the port is taken, or neither is there.
pub async fn on_all_addresses(port: u16) -> io::Result<TcpListener> {
    match by_both(port) {
        Err(error) if error.kind() != ErrorKind::AddrInUse => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        bound => bound,
    }
}

fn by_both(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    // Whatever the machine's default is: a probe may come by either.
    set_ipv6_v6only(&socket, false)?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv6Addr::UNSPECIFIED, port).into())?;
    socket.listen(BACKLOG)
}

/// Reads `ADDRESS:PORT`. The error says how to write it.
pub fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn it_is_reached_by_ipv4() {
        let port = on_all_addresses(0).await.unwrap().local_addr().unwrap().port();
        let listener = on_all_addresses(port).await.unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        listener.accept().await.unwrap();
    }

    #[tokio::test]
    async fn the_same_port_is_taken_once() {
        let first = on_all_addresses(0).await.unwrap();
        let address = first.local_addr().unwrap();
        assert!(address.ip().is_unspecified());
        assert_eq!(on_all_addresses(address.port()).await.unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
