//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// Ports on 127.0.0.1 that nobody listens on, all different.
///
/// Another program may take one before it is used: whoever starts a listener on it must be ready to try again.
///
/// # Errors
/// When the system has none left.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        // All are held until the last is found, so that no two are the same.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("asking for a free port on 127.0.0.1")?;
        *port = listener.local_addr().context("asking for a free port on 127.0.0.1")?.port();
        held.push(listener);
    }
    Ok(ports)
}
