//! What the kernel tells a process about itself.

use std::fs;

/// Figures of this process; `None` where the kernel does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) resident_bytes: Option<i64>,
    pub(crate) open_fds: Option<i64>,
    pub(crate) max_fds: Option<i64>,
}

impl Usage {
    pub(crate) fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            resident_bytes: resident(&read("/proc/self/status")),
            open_fds: fs::read_dir("/proc/self/fd").ok().and_then(|entries| i64::try_from(entries.count()).ok()),
            max_fds: max_fds(&read("/proc/self/limits")),
        }
    }
}

fn resident(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The soft limit; "unlimited" is no number and is not shown.
fn max_fds(limits: &str) -> Option<i64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    5120 kB\nThreads:\t1\n"), Some(5120 * 1024));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   524288   files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(resident(""), None);
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let usage = Usage::read();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert!(usage.open_fds.is_some_and(|files| files >= 3), "{usage:?}");
    }
}
