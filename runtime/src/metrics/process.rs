//! What the kernel says of this process, read on a scrape.

use crate::clock::process_cpu_ns;

/// See the module.
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: f64,
}

/// `None` where the kernel does not say.
pub(super) fn read() -> Option<Process> {
    let kib = resident_kib(&std::fs::read_to_string("/proc/self/status").ok()?)?;
    #[expect(clippy::cast_precision_loss, reason = "Prometheus' own number format")]
    let process = Process { cpu_seconds: process_cpu_ns() as f64 / 1e9, resident_bytes: kib as f64 * 1024.0 };
    Some(process)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_kib() {
        assert_eq!(resident_kib("VmHWM:\t  9000 kB\nVmRSS:\t    5120 kB\nRssAnon: 1 kB\n"), Some(5_120));
        assert_eq!(resident_kib("VmSize: 1 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_has_used_time() {
        let seen = read().unwrap();
        assert!(seen.resident_bytes > 1e6 && seen.cpu_seconds > 0.0);
    }
}
