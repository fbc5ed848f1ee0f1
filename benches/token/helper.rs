//! A helper library in a process of its own, which signs and takes the time of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The process. It is told how many tokens to sign, line by line, and answers each line with the times.
pub struct Helper {
    /// Which library it is, of which version.
    pub who: String,
    /// A token that it has signed.
    pub token: SecretString,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Greeting {
    who: String,
    token: String,
}

impl Helper {
    pub fn start(mut command: Command, input: &str) -> Result<Self> {
        let program = command.get_program().display().to_string();
        let mut child = command.arg(input).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context(program)?;
        let input = child.stdin.take().context("no input")?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let Greeting { who, token } = line(&mut output)?;
        Ok(Self { who, token: token.into(), child, input, output })
    }

    /// How long each of so many tokens took.
    pub fn sign(&mut self, tokens: usize) -> Result<Vec<Duration>> {
        writeln!(self.input, "{tokens}")?;
        let nanoseconds: Vec<u64> = line(&mut self.output)?;
        anyhow::ensure!(nanoseconds.len() == tokens, "{}: signed {} tokens of {tokens}", self.who, nanoseconds.len());
        Ok(nanoseconds.into_iter().map(Duration::from_nanos).collect())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line<T: DeserializeOwned>(output: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    // What serde says of a wrong line may quote it.
    serde_json::from_str(&line).map_err(|_| anyhow::anyhow!("a helper library's process has ended, or talks nonsense"))
}
