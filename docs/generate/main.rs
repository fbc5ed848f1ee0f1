//! Writes what is generated of the documentation: `docs/reference.md` from the resource's own descriptions, `docs/configuration.md` from the
//! flags' own help. `make docs` runs it; `make lint` fails when what is committed differs.

mod configuration;
mod reference;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("usage: docs FOLDER")?);
    for (name, text) in [("reference.md", reference::text()?), ("configuration.md", configuration::text())] {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
