//! Connections that can be ended at once, with a TCP RST or without.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::tls::Stream;

/// Ends the connection that a request came on.
#[derive(Clone, Debug)]
pub(crate) struct ResetSwitch {
    ended: CancellationToken,
    with_reset: Arc<AtomicBool>,
}

impl ResetSwitch {
    /// Ends the connection with a TCP RST; nothing more is written.
    pub(crate) fn reset(&self) {
        self.with_reset.store(true, Ordering::SeqCst);
        self.ended.cancel();
    }
}

/// Accepts connections; all of them end when `stop` is cancelled.
pub(crate) struct Connections {
    pub(crate) listener: TcpListener,
    /// What puts them within TLS; none: they aren't.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) stop: CancellationToken,
    /// Tells when all connections have ended.
    pub(crate) open: TaskTracker,
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        // Answers are small: they shall not wait for the acknowledgement of what was sent before. Without it they merely come later.
        let _ = stream.set_nodelay(true);
        let switch = ResetSwitch { ended: self.stop.child_token(), with_reset: Arc::default() };
        let ended = Box::pin(switch.ended.clone().cancelled_owned());
        let stream = Stream::new(stream, self.tls.as_ref());
        (Connection { stream, switch, ended, _open: self.open.token() }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection. The HTTP server reads from it all the time, also while a request is being answered, and so learns of its end at once.
pub(crate) struct Connection {
    stream: Stream,
    switch: ResetSwitch,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _open: TaskTrackerToken,
}

impl Connection {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.ended.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Connected<IncomingStream<'_, Connections>> for ResetSwitch {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        stream.io().switch.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.switch.with_reset.load(Ordering::SeqCst) {
            // Lingering for no time makes the kernel answer with RST in place of FIN when the socket is closed, which happens next.
            let _ = self.stream.tcp().map(TcpStream::set_zero_linger);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
