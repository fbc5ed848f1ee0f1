//! Finds the pinned programs, building them first where they are missing.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// The folder that holds the programs `names`, after `tools/build.sh` has built those that are missing.
///
/// The first build takes minutes; its progress goes to standard error.
///
/// # Errors
/// When a program can't be built: the script has then said why.
pub(crate) async fn tools(names: &[&str]) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/build.sh");
    let output = Command::new(&script)
        .args(names)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| format!("running {}", script.display()))?;
    if !output.status.success() {
        bail!("tools/build.sh {} failed ({}): it says above why", names.join(" "), output.status);
    }
    let folder = String::from_utf8(output.stdout).context("tools/build.sh printed a folder that isn't UTF-8")?;
    Ok(PathBuf::from(folder.trim_end_matches('\n')))
}
