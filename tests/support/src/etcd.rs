//! How etcd is started: its data is thrown away, so nothing waits for a disk.

use std::path::Path;

use anyhow::Result;

use crate::ports::free_ports;
use crate::process::{Launch, ManagedProcess};

/// Starts etcd on free ports and gives its URL.
pub(crate) async fn start(tools: &Path, folder: &Path) -> Result<(ManagedProcess, String)> {
    let [client, peer] = free_ports()?;
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let etcd = Launch::new(tools.join("etcd"), folder.join("etcd.log"))
        .args(["--name", "testbed"])
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("testbed={peer}")])
        .args(["--unsafe-no-fsync", "--log-level=warn", "--snapshot-count=100000"])
        .start()
        .await?;
    Ok((etcd, client))
}
