//! What a process has used, by the kernel's word.

use anyhow::Result;
use procfs::process::Process;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, in microseconds.
    pub cpu_micros: u64,
    /// The memory that it has now and the most that it ever had, in KiB.
    pub resident_kib: u64,
    pub peak_kib: u64,
    /// Open files, and threads.
    pub files: u64,
    pub threads: u64,
}

impl Usage {
    /// Up to now.
    pub fn of(pid: i32) -> Result<Self> {
        let process = Process::new(pid)?;
        let (stat, status) = (process.stat()?, process.status()?);
        Ok(Self {
            cpu_micros: (stat.utime + stat.stime) * 1_000_000 / procfs::ticks_per_second(),
            resident_kib: status.vmrss.unwrap_or_default(),
            peak_kib: status.vmhwm.unwrap_or_default(),
            files: process.fd_count()? as u64,
            threads: status.threads,
        })
    }

    /// Its processor time since then; the rest as it is now.
    pub const fn since(self, before: Self) -> Self {
        Self { cpu_micros: self.cpu_micros - before.cpu_micros, ..self }
    }
}
