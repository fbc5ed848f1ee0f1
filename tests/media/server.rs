//! A server of bytes: it does what its script says, connection by connection, and keeps what it was sent.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What is done with each connection, in order; at the end it is closed.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads a request to the end of its body.
    ReadRequest,
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes this byte again and again until the other side closes, or for a minute.
    Trickle(u8),
    /// Waits until the other side closes, and counts that.
    AwaitClose,
    /// Closes with a TCP reset.
    Reset,
}

/// What a server has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections accepted.
    pub connections: usize,
    /// Requests read, head and body, each as it came.
    pub requests: Vec<String>,
    /// Connections that the other side closed while the script waited for that.
    pub closed_by_client: usize,
}

/// A server that ends with this value.
pub struct Server {
    pub address: SocketAddr,
    seen: watch::Receiver<Seen>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Reads one request a connection and answers with `answer`.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::playing(vec![Step::ReadRequest, Step::Write(answer.into())]).await
    }

    /// Plays `script` on each connection.
    pub async fn playing(script: Vec<Step>) -> Self {
        Self::start(script, None).await
    }

    /// Plays `script` on each connection, within TLS, as the host of the certificate of this name.
    pub async fn playing_tls(script: Vec<Step>, certificate: &str) -> Self {
        let chain = CertificateDer::from_pem_file(certificate_path(&format!("{certificate}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(certificate_path("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        Self::start(script, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(script: Vec<Step>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = watch::channel(Seen::default());
        let sender = Arc::new(Mutex::new(sender));
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                note(&sender, |seen| seen.connections += 1);
                tokio::spawn(play(stream, tls.clone(), script.clone(), Arc::clone(&sender)));
            }
        });
        Self { address, seen, accepting }
    }

    /// What it has seen up to now.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until what it has seen is as wanted.
    pub async fn until(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let seen = tokio::time::timeout(Duration::from_mins(1), seen.wait_for(wanted)).await;
        seen.expect("the server sees it within a minute").unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub fn certificate_path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/certificates").join(name)
}

type Notes = Arc<Mutex<watch::Sender<Seen>>>;

fn note(notes: &Notes, change: impl FnOnce(&mut Seen)) {
    notes.lock().unwrap().send_modify(change);
}

async fn play(stream: TcpStream, tls: Option<TlsAcceptor>, script: Vec<Step>, notes: Notes) {
    match tls {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                play_on(stream, script, notes, |_| ()).await;
            }
        }
        None => play_on(stream, script, notes, |stream| stream.set_zero_linger().unwrap()).await,
    }
}

async fn play_on<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: Vec<Step>, notes: Notes, reset: impl Fn(&S)) {
    for step in script {
        match step {
            Step::ReadRequest => {
                let request = read_request(&mut stream).await;
                note(&notes, |seen| seen.requests.push(request));
            }
            // The other side may have closed already; what it makes of that is what is tested.
            Step::Write(bytes) => drop(stream.write_all(&bytes).await),
            Step::Trickle(byte) => {
                for _ in 0..1200 {
                    if stream.write_all(&[byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Step::AwaitClose => {
                let mut unread = Vec::new();
                // A reset is a close as well.
                drop(stream.read_to_end(&mut unread).await);
                note(&notes, |seen| seen.closed_by_client += 1);
            }
            Step::Reset => return reset(&stream),
        }
    }
    drop(stream.shutdown().await);
}

/// A request's head and, as its `Content-Length` says, its body; what there is of it when the other side closes.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
