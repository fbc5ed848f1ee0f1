//! The simulator's admin path: the credentials that it takes, and how a fault is switched on.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, RequestBuilder};

/// The account that the sample's API key belongs to. It is made up, as the key is.
const ACCOUNT_SID: &str = "AC00000000000000000000000000000000";

/// The command that switches on `fault`, such as `500:30s`, for a person to try.
pub fn fault_command(simulator: &str, fault: &str) -> String {
    format!("curl -d {fault} {simulator}/admin/faults")
}

/// Switches on `fault`.
pub async fn switch_on(simulator: &str, fault: &str) -> Result<()> {
    ask(client()?.post(format!("{simulator}/admin/faults")).body(fault.to_owned()), &format!("to switch on the fault {fault}")).await
}

/// Takes the API key of the manifest at `path` from now on, and no other.
pub async fn accept_only(simulator: &str, path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let secret: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    let key = |name: &str| secret["stringData"][name].as_str().with_context(|| format!("{} holds no {name}", path.display()));
    let line = format!("{}:{}:{ACCOUNT_SID}", key("apiKeySid")?, key("apiKeySecret")?);
    ask(client()?.put(format!("{simulator}/admin/credentials")).body(line), "to take the sample's credentials").await
}

async fn ask(request: RequestBuilder, what: &str) -> Result<()> {
    let answer = request.send().await.with_context(|| format!("asking the simulator {what}"))?;
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    ensure!(status.is_success(), "asking the simulator {what}: it says {status} {body}");
    Ok(())
}

fn client() -> Result<Client> {
    Ok(Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?)
}
