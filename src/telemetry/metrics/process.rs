//! Figures of the process itself, named as Prometheus' own libraries name them.

use std::sync::atomic::{AtomicU64, Ordering};

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, WithCurrentSystemInfo as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::runtime::Handle;

use super::{registered, registered_in};

/// Figures of the process.
pub(super) struct ProcessMetrics {
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    open_files: Gauge,
    most_files: Gauge,
    threads: Gauge,
    tasks: Gauge,
    started: Gauge<f64, AtomicU64>,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            cpu: registered_in(registry, "process_cpu", "Time on processors, in user and system mode", Unit::Seconds),
            resident: registered_in(registry, "process_resident_memory", "Memory that is resident", Unit::Bytes),
            open_files: registered(registry, "process_open_fds", "Open file descriptors"),
            most_files: registered(registry, "process_max_fds", "The most file descriptors that may be open"),
            threads: registered(registry, "process_threads", "Threads"),
            tasks: registered(
                registry,
                "tokio_alive_tasks",
                "Tasks of the runtime that have not ended: connections, attempts at the Media API and watches of credentials have one each",
            ),
            started: registered_in(registry, "process_start_time", "When the process started, since the Unix epoch", Unit::Seconds),
        }
    }

    /// Reads them anew. What the kernel doesn't tell, or no runtime is there to tell, stays as it was.
    pub(super) fn read(&self) {
        if let Ok(runtime) = Handle::try_current() {
            self.tasks.set(i64::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(i64::MAX));
        }
        let _ = self.try_read();
    }

    fn try_read(&self) -> ProcResult<()> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second();
        let seconds = |count: u64| std::time::Duration::from_millis(count.saturating_mul(1000) / ticks.max(1)).as_secs_f64();
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.cpu.inner().store(seconds(stat.utime + stat.stime).to_bits(), Ordering::Relaxed);
        self.resident.set(number(stat.rss_bytes().get()));
        self.threads.set(stat.num_threads);
        self.started
            .set(procfs::boot_time_secs().map(|boot| std::time::Duration::from_secs(boot).as_secs_f64())? + seconds(stat.starttime));
        if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
            self.most_files.set(number(most));
        }
        self.open_files.set(number(process.fd_count()? as u64));
        Ok(())
    }
}
