//! What the kernel knows of the process.

use std::fs;

use super::{
    exposition::Page,
    family::{PROCESS_CPU, PROCESS_FDS, PROCESS_MEMORY, PROCESS_START},
};

/// Ticks per second in which Linux counts for programs, on every architecture that we build for.
const TICKS: f64 = 100.0;

/// What there is to tell. Where there is no `/proc`, nothing.
#[must_use]
pub fn pages() -> Vec<Page> {
    let number = |family, value: Option<f64>| {
        let mut page = Page::of(family);
        if let Some(value) = value {
            page.put(&[], value);
        }
        page
    };
    let read = |file: &str| fs::read_to_string(format!("/proc/{file}")).ok();
    let stat = read("self/stat");
    let memory = read("self/status").and_then(|status| resident(&status));
    let files = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    #[expect(clippy::cast_precision_loss, reason = "open files are few")]
    let files = files.map(|files| files as f64);
    let began = stat.as_deref().and_then(|stat| Some(field(stat, 22)? / TICKS + boot(&read("stat")?)?));
    let cpu = stat.as_deref().and_then(|stat| Some((field(stat, 14)? + field(stat, 15)?) / TICKS));
    vec![
        number(PROCESS_CPU, cpu),
        number(PROCESS_MEMORY, memory),
        number(PROCESS_FDS, files),
        number(PROCESS_START, began),
    ]
}

/// A field of `/proc/self/stat`, counted from 1 as its manual does. The second, the name of the program, may hold blanks.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// Bytes in memory, of `/proc/self/status`.
fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// When the machine was started, of `/proc/stat`.
fn boot(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_are_read() {
        let stat = "4711 (a) b) S 1 4711 4711 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 4 0 12345 1 2";
        assert_eq!((field(stat, 14), field(stat, 15), field(stat, 22)), (Some(150.0), Some(50.0), Some(12345.0)));
        assert_eq!(resident("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2_097_152.0));
        assert_eq!(boot("cpu 1 2\nbtime 1763700000\n"), Some(1_763_700_000.0));
        assert_eq!((field("", 14), resident(""), boot("")), (None, None, None));
    }
}
