//! The author's loop: what `pinion dev` swaps into a running `pinion run`, and what it never does.

mod page;
mod projects;
mod swapping;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use pinion_tests::guide;
use pinion_tests::programs::{build_folder, pinion};
use pinion_tests::runtime::module_cache;
use pinion_tests::scratch::Scratch;
use pinion_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A change is built, checked and swapped in seconds; a machine that compiles something else takes minutes.
const CYCLE: Duration = Duration::from_secs(240);

/// `pinion dev` with these arguments, in the environment of the tests: what the SDK needs is compiled once for all of them.
fn dev(args: &[&str]) -> Command {
    let mut command = pinion("dev");
    shared(&mut command).args(args);
    command
}

/// Lets a command build where the other tests have built already.
fn shared(command: &mut Command) -> &mut Command {
    command.env("CARGO_TARGET_DIR", build_folder().join("tmp/guests")).env("PINION_MODULE_CACHE", module_cache())
}

/// A new project of a language and a template in a folder.
fn new(scratch: &Path, name: &str, lang: &str, template: &str) -> PathBuf {
    let made =
        pinion("new").args([name, "--lang", lang, "--template", template]).current_dir(scratch).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    guide::give_time(&scratch.join(name).join("strategy.yaml"));
    scratch.join(name)
}

/// The cycles that a `pinion dev --format json` has told.
fn cycles(output: &[u8]) -> Vec<Value> {
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The only cycle of a `pinion dev --once --format json`.
fn cycle(output: &Output) -> Value {
    let mut cycles = cycles(&output.stdout);
    assert_eq!(cycles.len(), 1, "{}", String::from_utf8_lossy(&output.stderr));
    cycles.remove(0)
}

/// A cycle's step of a name.
fn step<'a>(cycle: &'a Value, name: &str) -> &'a Value {
    let found = cycle["steps"].as_array().unwrap().iter().find(|step| step["step"] == name);
    found.unwrap_or_else(|| panic!("no step {name}: {cycle}"))
}

/// A `pinion dev` that watches; killed with this value.
struct Watching {
    child: Child,
    scratch: Scratch,
    seen: usize,
}

impl Watching {
    fn start(args: &[&str]) -> Self {
        let scratch = Scratch::new();
        let file = |name: &str| File::create(scratch.path().join(name)).unwrap();
        let mut command = dev(args);
        command.args(["--format", "json"]).stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Self { child: command.spawn().unwrap(), scratch, seen: 0 }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.scratch.path().join(name)).unwrap()
    }

    /// The next cycle.
    fn next(&mut self) -> Value {
        let cycle = until("a cycle of pinion dev", CYCLE, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("pinion dev ended ({status}): {}", String::from_utf8_lossy(&self.read("err")));
            }
            cycles(&self.read("out")).get(self.seen).cloned()
        });
        self.seen += 1;
        cycle
    }

    /// Ctrl-C, and how it ended.
    fn interrupt(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        until("pinion dev to end", Duration::from_secs(20), || self.child.try_wait().unwrap())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
