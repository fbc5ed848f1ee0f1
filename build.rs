//! Tells the program which commit it is built from.

use std::process::Command;

fn main() {
    // The prefix is empty only in the repository's own top folder: sources unpacked inside of another repository aren't its commit.
    let commit = git(&["rev-parse", "--show-prefix"])
        .filter(String::is_empty)
        .and_then(|_| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=PLAYBACK_GRANT_COMMIT={commit}");
    println!("cargo::rerun-if-changed=build.rs");
    // Without a reflog the commit may be stale in a later incremental build, never in a fresh one.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|path| std::path::Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
