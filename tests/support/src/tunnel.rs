//! A network of its own on the way to a server, on which packets can be lost.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::os::fd::AsFd as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A proxy in a network namespace of its own. What goes through it, TLS for one, goes untouched; what is sent to it while it loses packets is neither
/// answered nor refused. It and its namespace end when it is dropped. Needs root, and `ip` of iproute2.
#[derive(Debug)]
pub struct Tunnel {
    names: Names,
    entrance: SocketAddr,
    relay: AbortHandle,
}

/// The namespace, and the two ends of the wire that leads into it.
#[derive(Clone, Debug)]
struct Names {
    namespace: String,
    outer: String,
    inner: String,
}

impl Names {
    fn of_this_process() -> Self {
        let namespace = format!("pgt{}", std::process::id());
        Self { outer: format!("{namespace}o"), inner: format!("{namespace}i"), namespace }
    }

    /// A network that is set aside for measurements (RFC 2544), and in it this end and the other.
    fn addresses() -> [Ipv4Addr; 2] {
        let [.., high, low] = (std::process::id() % (1 << 14) * 4).to_be_bytes();
        [Ipv4Addr::new(198, 18, high, low + 1), Ipv4Addr::new(198, 18, high, low + 2)]
    }
}

impl Tunnel {
    /// Opens a way to `target`. To be called where a tokio runtime runs.
    ///
    /// # Errors
    /// When the namespace can't be made.
    pub fn open(target: SocketAddr) -> Result<Self> {
        let names = Names::of_this_process();
        let entrance = lay(&names).inspect_err(|_| tear_down(&names)).context("a network namespace for lost packets, which takes root")?;
        let address = entrance.local_addr()?;
        entrance.set_nonblocking(true)?;
        let relay = tokio::spawn(pass(TcpListener::from_std(entrance)?, target)).abort_handle();
        Ok(Self { names, entrance: address, relay })
    }

    /// Where it is entered.
    #[must_use]
    pub const fn entrance(&self) -> SocketAddr {
        self.entrance
    }

    /// From now on packets are lost, or are no more.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn lose(&self, loses: bool) -> Result<()> {
        let Names { namespace, inner, .. } = &self.names;
        ip(&["-n", namespace, "link", "set", inner, if loses { "down" } else { "up" }]).map(drop)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.relay.abort();
        tear_down(&self.names);
    }
}

/// Makes the namespace and the wire, and listens at its far end.
fn lay(names: &Names) -> Result<StdListener> {
    let Names { namespace, outer, inner } = names;
    let [here, there] = Names::addresses();
    ip(&["netns", "add", namespace])?;
    ip(&["link", "add", outer, "type", "veth", "peer", "name", inner, "netns", namespace])?;
    ip(&["addr", "add", &format!("{here}/30"), "dev", outer])?;
    ip(&["link", "set", outer, "up"])?;
    ip(&["-n", namespace, "addr", "add", &format!("{there}/30"), "dev", inner])?;
    ip(&["-n", namespace, "link", "set", inner, "up"])?;
    let link = ip(&["-n", namespace, "-o", "link", "show", inner])?;
    let hardware = link.split(" link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
    let hardware = hardware.with_context(|| format!("no hardware address in: {link}"))?;
    // Known for good: a neighbour that is asked for in vain would be told as unreachable, rather than be silent.
    ip(&["neigh", "replace", &there.to_string(), "lladdr", hardware, "dev", outer, "nud", "permanent"])?;
    let path = format!("/run/netns/{namespace}");
    // A socket stays in the namespace in which it was made; the thread that goes there does nothing else.
    let listen = std::thread::spawn(move || -> Result<StdListener> {
        let space = std::fs::File::open(&path).with_context(|| format!("opening {path}"))?;
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).with_context(|| format!("entering {path}"))?;
        StdListener::bind((IpAddr::V4(there), 0)).context("listening in the namespace")
    });
    listen.join().map_err(|_| anyhow::anyhow!("the thread in the namespace panicked"))?
}

fn tear_down(names: &Names) {
    // The wire goes with it. Where it was never made there is nothing to tell.
    let _ = ip(&["netns", "delete", &names.namespace]);
}

fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).output().context("running ip, of iproute2")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), told.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn pass(entrance: TcpListener, target: SocketAddr) {
    loop {
        let Ok((mut outer, _)) = entrance.accept().await else { continue };
        tokio::spawn(async move {
            if let Ok(mut inner) = TcpStream::connect(target).await {
                // However it ends, both ends end with it.
                let _ = copy_bidirectional(&mut outer, &mut inner).await;
            }
        });
    }
}
