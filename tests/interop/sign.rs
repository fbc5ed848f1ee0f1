//! Signs Access Tokens as the operator does, for `make interop`: each line of its input asks for one, each line of its output is one.

mod asked;

use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, Result};
use asked::Asked;
use secrecy::ExposeSecret as _;

fn main() -> Result<()> {
    let mut output = std::io::stdout().lock();
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let signed = Asked::parse(&line?).and_then(|asked| asked.sign()).with_context(|| format!("line {} of the input", index + 1))?;
        writeln!(output, "{}", signed.token.expose_secret())?;
    }
    Ok(())
}
