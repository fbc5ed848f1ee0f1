//! A program under test, on a leash.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;

/// A running program that dies with the process that started it, however that one ends.
///
/// It runs in a process group of its own, so that Ctrl-C in a terminal reaches the starter alone, which then stops things in order.
#[derive(Debug)]
pub struct ManagedProcess {
    name: String,
    pid: Pid,
    log: PathBuf,
    exit: watch::Receiver<Option<i32>>,
    /// Closing it ends the program: see `leash.sh`.
    _leash: ChildStdin,
}

impl ManagedProcess {
    /// The program's own process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// The file that holds everything the program has printed.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The last lines that the program printed, at most `count` of them.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// The exit code, 128 + n after signal n, once the program has ended.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        *self.exit.borrow()
    }

    /// Ends the program without a chance to clean up (SIGKILL).
    pub fn kill9(&self) {
        self.signal(Signal::KILL);
    }

    /// Holds the program where it is (SIGSTOP), its connections open and silent.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a held program go on (SIGCONT).
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks the program to end (SIGTERM), and kills it when it hasn't within `patience`. Gives the exit code.
    ///
    /// # Errors
    /// When the program couldn't even be killed.
    pub async fn terminate(&self, patience: Duration) -> Result<i32> {
        self.cont();
        self.signal(Signal::TERM);
        if let Ok(code) = self.wait_exited(patience).await {
            return Ok(code);
        }
        self.kill9();
        self.wait_exited(Duration::from_secs(10)).await
    }

    /// Waits until the program has ended and gives its exit code, 128 + n after signal n.
    ///
    /// # Errors
    /// When it still runs after `patience`.
    pub async fn wait_exited(&self, patience: Duration) -> Result<i32> {
        let mut exit = self.exit.clone();
        let ended = tokio::time::timeout(patience, exit.wait_for(Option::is_some)).await;
        match ended {
            Ok(Ok(code)) => code.ok_or_else(|| anyhow!("{} ended without an exit code", self.name)),
            Ok(Err(_)) => Err(anyhow!("{} is no longer watched", self.name)),
            Err(_) => Err(anyhow!("{} (pid {}) still runs after {patience:?}", self.name, self.pid)),
        }
    }

    fn signal(&self, signal: Signal) {
        if self.exit_code().is_none() {
            // It may end by itself at this very moment: then there is nothing left to tell it.
            let _ = kill_process(self.pid, signal);
        }
    }
}

impl Drop for ManagedProcess {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// How to start a program.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    log: PathBuf,
}

/// What a program inherits from the environment: nothing that could configure it.
const INHERITED: [&str; 5] = ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

impl Launch {
    /// Starts `program` with what it prints appended to the file `log`.
    pub fn new(program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), environment: Vec::new(), log: log.into() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the program's environment, which is otherwise all but empty.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The program's name, without its folder.
    #[must_use]
    pub fn name(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }

    /// Starts the program.
    ///
    /// # Errors
    /// When there is no such program, or it can't be started.
    pub async fn start(self) -> Result<ManagedProcess> {
        let name = self.name();
        anyhow::ensure!(self.program.is_file(), "there is no program {}: build it first", self.program.display());
        let inherited = INHERITED.into_iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        let mut leash = Command::new("sh")
            .args(["-c", include_str!("leash.sh"), "leash"])
            .arg(&self.log)
            .arg(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(inherited)
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name} through sh"))?;
        let stdin = leash.stdin.take().context("the leash has no standard input")?;
        let stdout = leash.stdout.take().context("the leash has no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).with_context(|| format!("the leash of {name} told no pid"))?;
        let (ended, exit) = watch::channel(None);
        tokio::spawn(async move {
            let code = leash.wait().await.ok().and_then(|status| status.code());
            // Nobody may be listening any more.
            let _ = ended.send(Some(code.unwrap_or(-1)));
        });
        Ok(ManagedProcess { name, pid, log: self.log, exit, _leash: stdin })
    }
}
