//! `pinion paper` as a process.

use std::fs::File;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::programs::pinion;
use crate::runtime::{GRACE, START};
use crate::scratch::Scratch;
use crate::wait::{until, within};

/// A running venue; killed with this value.
#[derive(Debug)]
pub struct Paper {
    child: Child,
    scratch: Scratch,
}

impl Paper {
    /// Starts a venue for these strategies.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(files: &[&Path], brokers: &str, args: &[&str]) -> Self {
        let scratch = Scratch::new();
        let file = |name: &str| File::create(scratch.path().join(name)).expect("make a file");
        let mut command = pinion("paper");
        command.args(files).args(["--brokers", brokers, "--format", "json"]).args(args).stdin(Stdio::null());
        let child = command.stdout(file("out")).stderr(file("log")).spawn().expect("run pinion paper");
        Self { child, scratch }
    }

    /// The same, and waits until it listens.
    ///
    /// # Panics
    /// If it does not listen in a minute.
    #[must_use]
    pub fn open(files: &[&Path], brokers: &str, args: &[&str]) -> Self {
        let mut paper = Self::start(files, brokers, args);
        let log = paper.scratch.path().join("log");
        let is_open = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("the paper venue is open"));
        paper.until("it was open", START, || is_open().then_some(()));
        paper
    }

    /// Asks again and again until there is an answer.
    ///
    /// # Panics
    /// When the venue ends before, or there is none within `limit`; its log is told.
    pub fn until<T>(&mut self, what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
        let answer = within(limit, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the paper venue ended ({status}) before {what}: {}", self.log());
            }
            ask()
        });
        answer.unwrap_or_else(|| panic!("waited {limit:?} for {what}; the venue's log: {}", self.log()))
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// Sends it a signal: SIGSTOP and SIGCONT make it a slow one.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("send a signal");
    }

    /// SIGKILL.
    pub fn kill9(self) {
        drop(self);
    }

    /// How it ends by itself, and its log.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = until("the paper venue to end", GRACE, || self.child.try_wait().expect("ask for the process"));
        (status, self.log())
    }

    /// SIGTERM; its summary.
    ///
    /// # Panics
    /// If it does not end well.
    #[must_use]
    pub fn end(mut self) -> Value {
        self.signal(Signal::TERM);
        let status = until("the paper venue to end", GRACE, || self.child.try_wait().expect("ask for the process"));
        assert_eq!(status.code(), Some(0), "{}", self.log());
        let out = std::fs::read(self.scratch.path().join("out")).expect("read its output");
        serde_json::from_slice(&out).expect("a summary in JSON")
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
