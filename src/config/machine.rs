//! The resources of this computer, against which settings are checked.

use std::fs;

/// The resources that limit the values of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// Bytes of memory that this process may use; `None` if the system does not say.
    pub(super) memory: Option<u64>,
}

impl Machine {
    /// This computer, or the container that this process runs in.
    pub(super) fn this() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let computer = read("/proc/meminfo").and_then(|text| total(&text));
        // `max` means no limit, and does not parse.
        let container = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
        Self { memory: computer.into_iter().chain(container).min() }
    }
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_read() {
        assert_eq!(total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(Machine::this().memory.is_some_and(|bytes| bytes > 1 << 20));
    }
}
