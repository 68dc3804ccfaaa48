//! What it was measured on, and whether the machine was elsewhere meanwhile.

use std::path::Path;
use std::process::Command;

use pinion_runtime::clock::mono_ns;
use serde_json::{Value, json};

/// Linux counts CPU time in hundredths of a second.
const TICK_NS: u64 = 10_000_000;

/// The first line of a program's output; empty where it cannot be run.
fn first_line(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned(),
    )
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of a `name : value` line.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':')).map(str::trim)
}

/// Tasks that waited for a core over the last minute, on average.
#[must_use]
pub fn load() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

/// Memory of a process that is in RAM: `self`, or its number.
#[must_use]
pub fn resident_bytes(process: &str) -> u64 {
    let status = read(&format!("/proc/{process}/status"));
    let kib = field(&status, "VmRSS").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// The command line, without where the program lies.
fn command() -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut() {
        *program = Path::new(&*program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    words.join(" ")
}

/// What a result has to say of its machine.
#[must_use]
pub fn facts() -> Value {
    let cpu = read("/proc/cpuinfo");
    let memory = read("/proc/meminfo");
    // Of what is measured: the results of another bench, which were written before this one began, are no change of it.
    let changed =
        !first_line("git", &["status", "--porcelain", "--", ":/", ":(exclude,top)benches/results"]).is_empty();
    json!({
        "revision": first_line("git", &["rev-parse", "--short=12", "HEAD"]),
        "changed": changed,
        "compiler": first_line("rustc", &["--version"]),
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
        "cpu": field(&cpu, "model name").unwrap_or_default(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": field(&memory, "MemTotal").unwrap_or_default(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "virtual": cpu.contains("hypervisor"),
        "command": command(),
    })
}

/// What had happened to this thread and its machine until some moment.
#[derive(Debug, Clone, Copy)]
pub struct Quiet {
    at_ns: u64,
    /// Of all cores, in [`TICK_NS`].
    stolen: u64,
    /// Times that this thread was put aside though it had work.
    put_aside: u64,
    /// Times that a thread of this process went to sleep: each has been woken before, perhaps in this thread's place.
    slept: u64,
}

impl Quiet {
    /// Until now.
    #[must_use]
    pub fn now() -> Self {
        let stat = read("/proc/stat");
        let stolen = stat.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse().ok()).unwrap_or(0);
        let status = read("/proc/thread-self/status");
        let put_aside =
            field(&status, "nonvoluntary_ctxt_switches").and_then(|text| text.parse().ok()).unwrap_or_default();
        let tasks = std::fs::read_dir("/proc/self/task");
        let slept = |task: std::fs::DirEntry| -> u64 {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            field(&status, "voluntary_ctxt_switches").and_then(|text| text.parse().ok()).unwrap_or_default()
        };
        let slept = tasks.into_iter().flatten().flatten().map(slept).sum();
        Self { at_ns: mono_ns(), stolen, put_aside, slept }
    }

    /// Whether the machine was ours since then: under 1 % of its time stolen, and the thread put aside fewer than 100 times a second by others than
    /// this process's own threads: the clock that stops runaway guests, the hiccup thread.
    /// Fixed before anything was measured: a hypervisor that takes more, or a neighbour at the same core, is what a figure would be of.
    #[must_use]
    pub fn held_since(&self) -> bool {
        let now = Self::now();
        let ns = (now.at_ns - self.at_ns).max(1);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let stolen_ns = now.stolen.saturating_sub(self.stolen) * TICK_NS;
        // One tick may have begun long before.
        let stolen = stolen_ns > TICK_NS && stolen_ns * 100 > ns * cores;
        let own = now.slept.saturating_sub(self.slept);
        let put_aside = now.put_aside.saturating_sub(self.put_aside).saturating_sub(own);
        !stolen && put_aside * 1_000_000_000 <= ns * 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_name_a_revision_a_compiler_and_a_processor() {
        let facts = facts();
        for fact in ["compiler", "cpu", "kernel", "memory"] {
            assert_ne!(facts[fact].as_str().unwrap(), "", "{facts}");
        }
        assert!(facts["cores"].as_u64().unwrap() > 0 && load() >= 0.0);
    }
}
