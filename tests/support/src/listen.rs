//! Starts programs that listen on a port.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::net::TcpStream;

use crate::ports::free_ports;
use crate::process::{Launch, ManagedProcess};

/// Another program may take a port between its choice and its use; each attempt chooses anew.
const ATTEMPTS: usize = 5;

/// How long a program may take until it listens. It takes milliseconds; a busy machine may need many times that.
const LISTENS_WITHIN: Duration = Duration::from_mins(1);

/// Starts what `launch` makes of a free port of 127.0.0.1, and waits until it listens there.
///
/// # Errors
/// When the program can't be started, ends, or doesn't listen; the last lines that it printed are in the error.
pub async fn start_on_free_port(launch: impl Fn(u16) -> Launch) -> Result<(ManagedProcess, u16)> {
    let mut attempt = 1;
    loop {
        let [port] = free_ports()?;
        let launch = launch(port);
        let name = launch.name();
        let process = launch.start().await?;
        tokio::select! {
            biased;
            code = process.wait_exited(LISTENS_WITHIN) => {
                let lines = process.last_lines(15);
                if lines.contains("in use") && attempt < ATTEMPTS {
                    attempt += 1;
                    continue;
                }
                match code {
                    Ok(code) => bail!("{name} ended with code {code} before it listened; the last that it said:\n{lines}"),
                    Err(_) => bail!("{name} doesn't listen on port {port} after {LISTENS_WITHIN:?}; the last that it said:\n{lines}"),
                }
            }
            () = listening(port, process.pid()) => return Ok((process, port)),
        }
    }
}

/// Waits until somebody listens on the port, and it is the program itself: another that has taken it would answer too.
async fn listening(port: u16, pid: i32) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() || !listens(pid, port).unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the process itself listens on the port: it holds the socket that the system's table shows there.
fn listens(pid: i32, port: u16) -> std::io::Result<bool> {
    const LISTEN: &str = "0A";
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6"] {
        // Without IPv6 there is no such table.
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { continue };
            if state == LISTEN && local.ends_with(&format!(":{port:04X}")) {
                sockets.push(format!("socket:[{inode}]"));
            }
        }
    }
    for file in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        if std::fs::read_link(file?.path()).is_ok_and(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str())) {
            return Ok(true);
        }
    }
    Ok(false)
}
