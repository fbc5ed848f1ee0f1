//! A gate on the way to a server, which can be cut.

use std::future::{Future, pending};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A port of 127.0.0.1 that leads to a server: what goes through it, TLS for one, goes untouched. It ends, with its connections, when it is
/// dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    state: watch::Sender<State>,
    refused: Arc<AtomicU64>,
    entrance: AbortHandle,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_cut: bool,
    /// By which a connection knows that it has been cut, also where the gate is open again before it looks.
    cuts: u64,
}

impl Gate {
    /// Opens a gate before the server at `url`, which is `https://` and an address.
    ///
    /// # Errors
    /// When the URL is another, or there is no port left.
    pub async fn open(url: &str) -> Result<Self> {
        Self::before(url, pass).await
    }

    /// The same, but the server never learns that a client has given up: the end of its connection is lost on the way, as it is where a network
    /// fails. What the client has sent before arrives, and is served.
    ///
    /// # Errors
    /// When the URL is another, or there is no port left.
    pub async fn losing_ends(url: &str) -> Result<Self> {
        Self::before(url, pass_without_end).await
    }

    async fn before<F>(url: &str, pass: fn(TcpStream, TcpStream) -> F) -> Result<Self>
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let target = url.strip_prefix("https://").and_then(|address| address.parse().ok());
        let target = target.with_context(|| format!("{url} isn't https and an address"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("opening a gate on 127.0.0.1")?;
        let address = listener.local_addr().context("opening a gate on 127.0.0.1")?;
        let (state, seen) = watch::channel(State::default());
        let refused = Arc::<AtomicU64>::default();
        let entrance = tokio::spawn(enter(listener, target, (seen, refused.clone()), pass)).abort_handle();
        Ok(Self { address, state, refused, entrance })
    }

    /// Where it is entered.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's URL, through the gate.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Ends all connections, and each new one as soon as it is made. Gives how many there were.
    #[must_use]
    pub fn cut(&self) -> usize {
        // Each connection looks at the state, and the entrance does.
        let connections = self.state.receiver_count().saturating_sub(1);
        self.state.send_modify(|state| *state = State { is_cut: true, cuts: state.cuts + 1 });
        connections
    }

    /// How many connections have been made so far while it was cut.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.is_cut = false);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.entrance.abort();
    }
}

async fn enter<F>(
    listener: TcpListener,
    target: SocketAddr,
    (seen, refused): (watch::Receiver<State>, Arc<AtomicU64>),
    pass: fn(TcpStream, TcpStream) -> F,
) where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    loop {
        let Ok((inner, _)) = listener.accept().await else { continue };
        let State { is_cut, cuts } = *seen.borrow();
        if is_cut {
            // Before the client can know.
            refused.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let mut seen = seen.clone();
        let passing = async move {
            let outer = TcpStream::connect(target).await?;
            outer.set_nodelay(true)?;
            inner.set_nodelay(true)?;
            pass(inner, outer).await
        };
        tokio::spawn(async move {
            tokio::select! {
                // However it ends, both sides are told so by the end of their connections.
                _ = passing => {}
                // Cut, or there is no gate any more.
                _ = seen.wait_for(|state| state.cuts != cuts) => {}
            }
        });
    }
}

/// Passes on what comes from either side, until one of them ends.
async fn pass(mut inner: TcpStream, mut outer: TcpStream) -> std::io::Result<()> {
    copy_bidirectional(&mut inner, &mut outer).await.map(drop)
}

/// Passes on what comes from either side until the server ends; what it says to a client that is gone goes nowhere.
async fn pass_without_end(mut inner: TcpStream, mut outer: TcpStream) -> std::io::Result<()> {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (inner.split(), outer.split());
    let out = async {
        // However it ends: the server isn't told.
        let _ = pass_records(&mut from_client, &mut to_server).await;
        pending().await
    };
    let back = async {
        if copy(&mut from_server, &mut to_client).await.is_err() {
            copy(&mut from_server, &mut sink()).await?;
        }
        Ok(())
    };
    tokio::select! {
        never = out => never,
        ended = back => ended,
    }
}

/// Passes on TLS, but for what it says itself of the end.
async fn pass_records(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    /// Those that are sealed look like all others, but for their length: two bytes, their kind, and the seal. HTTP says nothing so short.
    const SEALED_ALERT: [u8; 5] = [23, 3, 3, 0, 2 + 1 + 16];
    loop {
        let mut record = vec![0; 5];
        from.read_exact(&mut record).await?;
        let is_alert = record == SEALED_ALERT;
        record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
        from.read_exact(&mut record[5..]).await?;
        if !is_alert {
            to.write_all(&record).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of TLS.
    const WORD: [u8; 9] = *b"\x17\x03\x03\x00\x04word";

    /// What comes back of a word, if anything.
    async fn echoed(connection: &mut TcpStream) -> Option<[u8; 9]> {
        let mut word = [0; 9];
        connection.write_all(&WORD).await.ok()?;
        connection.read_exact(&mut word).await.ok()?;
        Some(word)
    }

    /// A server that sends back what it is sent, with what it is told: how many connections have ended.
    async fn server() -> (String, watch::Receiver<usize>) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", server.local_addr().unwrap());
        let (ended, told) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = server.accept().await {
                let ended = ended.clone();
                tokio::spawn(async move {
                    let (mut from, mut to) = connection.split();
                    let _ = copy(&mut from, &mut to).await;
                    ended.send_modify(|ended| *ended += 1);
                });
            }
        });
        (url, told)
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_passed_on_or_lost() {
        let (url, mut told) = server().await;
        let (losing, passing) = (Gate::losing_ends(&url).await.unwrap(), Gate::open(&url).await.unwrap());
        for gate in [&losing, &passing] {
            let mut connection = TcpStream::connect(gate.address).await.unwrap();
            assert_eq!(echoed(&mut connection).await, Some(WORD));
        }
        // Both clients are gone.
        told.wait_for(|ended| *ended == 1).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!((*told.borrow(), passing.cut(), losing.cut()), (1, 0, 1), "the server learns of the one alone");
        told.wait_for(|ended| *ended == 2).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_comes_through_a_cut_gate_and_everything_through_a_mended_one() {
        let (url, _) = server().await;
        let gate = Gate::open(&url).await.unwrap();
        let connect = || TcpStream::connect(gate.address);
        let mut first = connect().await.unwrap();
        assert_eq!(echoed(&mut first).await, Some(WORD));
        assert_eq!(gate.cut(), 1);
        assert_eq!(echoed(&mut first).await, None, "it was cut");
        assert_eq!(gate.refused(), 0, "what is cut was let through before");
        assert_eq!(echoed(&mut connect().await.unwrap()).await, None, "it came while the gate was cut");
        gate.mend();
        assert_eq!(echoed(&mut first).await, None, "what was cut stays so");
        let mut second = connect().await.unwrap();
        assert_eq!(echoed(&mut second).await, Some(WORD));
        assert_eq!((gate.refused(), gate.cut()), (1, 1));
        gate.mend();
        assert_eq!(echoed(&mut second).await, None, "a cut is felt however short it is");
        assert!(Gate::open("http://127.0.0.1:1").await.is_err() && Gate::open("https://localhost:1").await.is_err());
    }
}
