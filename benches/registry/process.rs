//! The resources that a server's process has used, by /proc.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A tick of /proc, the same on every Linux that this runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// How often memory is sampled if its high-water mark cannot be reset.
const SAMPLING: Duration = Duration::from_millis(10);

/// User and system time of all threads that the process has had.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last parenthesis may contain spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user.saturating_add(system))
}

/// Observes the resident memory of a process from now on.
pub(crate) enum MemoryWatch {
    /// The kernel keeps the high-water mark.
    HighWater(u32),
    /// A thread samples it.
    Sampling { stop: Arc<AtomicBool>, peak: Arc<AtomicU64>, thread: JoinHandle<()> },
}

impl MemoryWatch {
    /// Begins to observe.
    pub(crate) fn begin(pid: u32) -> Self {
        if fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok() {
            return Self::HighWater(pid);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let peak = Arc::new(AtomicU64::new(0));
        let thread = thread::spawn({
            let (stop, peak) = (Arc::clone(&stop), Arc::clone(&peak));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(status(pid, "VmRSS:").unwrap_or(0), Ordering::Relaxed);
                    thread::sleep(SAMPLING);
                }
            }
        });
        Self::Sampling { stop, peak, thread }
    }

    /// The peak, in bytes.
    pub(crate) fn end(self) -> Option<u64> {
        match self {
            Self::HighWater(pid) => status(pid, "VmHWM:"),
            Self::Sampling { stop, peak, thread } => {
                stop.store(true, Ordering::Relaxed);
                thread.join().ok()?;
                Some(peak.load(Ordering::Relaxed)).filter(|peak| *peak > 0)
            }
        }
    }
}

fn status(pid: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
