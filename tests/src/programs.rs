//! The programs under test, as cargo has built them beside the tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The folder with this build's programs: the tests themselves lie in its `deps`.
///
/// # Panics
/// If the tests were not started by cargo.
#[must_use]
pub fn build_folder() -> PathBuf {
    let tests = std::env::current_exe().expect("know the running program");
    let deps = tests.parent().expect("a program lies in a folder");
    deps.parent().expect("cargo puts tests into deps").to_owned()
}

/// A program of this build.
///
/// # Panics
/// If it has not been built; the message says how.
#[must_use]
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = build_folder().join(name);
    assert!(path.is_file(), "no {}: run `cargo build -p {package}` or `cargo test --workspace`", path.display());
    path
}

/// A command of `pinion`.
#[must_use]
pub fn pinion(subcommand: &str) -> Command {
    let mut command = Command::new(program("pinion", "pinion-cli"));
    command.arg(subcommand);
    command
}

/// `pinion publish` on its way; killed with this value.
#[derive(Debug)]
pub struct Publishing(Child);

impl Publishing {
    /// Starts to publish a capture into a topic, at `speed` times its recorded pace.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(capture: &Path, brokers: &str, topic: &str, speed: &str) -> Self {
        let mut command = pinion("publish");
        command.arg(capture).args(["--brokers", brokers, "--topic", topic, "--speed", speed, "--format", "json"]);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("run pinion publish"))
    }

    /// Waits for its end: how many records the broker has acknowledged; `None` where it ended otherwise than well.
    ///
    /// # Panics
    /// If it says nothing of them.
    pub fn wait(&mut self) -> Option<u64> {
        let out = self.0.stdout.take().expect("a standard output that nobody has read");
        let summary: serde_json::Value = serde_json::from_reader(out).expect("pinion publish prints a summary");
        let status = self.0.wait().expect("wait for pinion publish");
        status.success().then(|| summary["acked"].as_u64().expect("a count of acknowledged records"))
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
