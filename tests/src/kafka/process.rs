//! The broker's process.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::watchdog;

/// Little memory and a quick start rather than speed: tests measure nothing on this broker. Benches set `PINION_KAFKA_JVM`.
const JVM_FLAGS: &str = "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1";

/// Any base64 of 16 bytes will do.
const CLUSTER_ID: &str = "cGluaW9uLXRlc3RzLTAwMQ";

/// What the broker's log says once it serves.
const STARTED: &str = "Kafka Server started";

/// Lines of the log that an error shows.
const LOG_LINES: usize = 40;

/// A stopping broker closes its log segments; one that takes longer is killed.
const STOP_SECONDS_MAX: u64 = 30;

#[derive(Debug)]
pub(super) struct Process {
    java: Child,
    watchdog: Child,
    /// Only the one that ends the process reads it; the lock lets the owner be shared.
    log: Mutex<Receiver<Log>>,
}

#[derive(Debug)]
enum Log {
    Started,
    /// The broker has ended; its last lines.
    Ended(VecDeque<String>),
}

/// Prepares an empty data folder, with these arguments for the users that it is to know.
pub(super) fn format(jars: &Path, properties: &Path, users: &[String]) -> Result<(), String> {
    let mut java = java(jars);
    java.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(properties).args(users);
    run(&mut java).map(|_| ()).map_err(|why| format!("format the data folder: {why}"))
}

/// Runs one of Kafka's tools; what it says.
pub(super) fn tool(jars: &Path, main: &str, args: &[&str]) -> Result<String, String> {
    run(java(jars).arg(main).args(args))
}

/// Writes one of Kafka's tools as a program of its own, as Kafka's distribution has it.
pub(super) fn write_tool(jars: &Path, main: &str, path: &Path) -> std::io::Result<()> {
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_string_lossy());
    let java = java(jars);
    let words: Vec<String> = std::iter::once(java.get_program()).chain(java.get_args()).map(quoted).collect();
    std::fs::write(path, format!("#!/bin/sh\nexec {} {main} \"$@\"\n", words.join(" ")))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

/// Runs a program to its end; what it says on both streams, as the error too.
pub(super) fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("run {program}: {error}"))?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if output.status.success() { Ok(said) } else { Err(format!("{program}: {}\n{said}", output.status)) }
}

impl Process {
    /// Starts the broker and waits until it serves.
    pub(super) fn start(jars: &Path, properties: &Path, dir: &Path, seconds_max: u64) -> Result<Self, String> {
        let mut java = java(jars);
        java.arg("kafka.Kafka").arg(properties).stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null());
        let mut java = java.spawn().map_err(|error| format!("run java: {error}"))?;
        let watchdog = watchdog::watch(&java, dir).map_err(|error| format!("run sh: {error}"));
        let (to, log) = channel();
        if let Some(out) = java.stdout.take() {
            std::thread::spawn(move || read_log(out, &to));
        }
        let watchdog = match watchdog {
            Ok(watchdog) => watchdog,
            Err(why) => {
                let _ = java.kill();
                return Err(why);
            }
        };
        let process = Self { java, watchdog, log: Mutex::new(log) };
        let why = match process.next_log(seconds_max) {
            Ok(Log::Started) => return Ok(process),
            Ok(Log::Ended(lines)) => format!("it ended:\n{}", Vec::from(lines).join("\n")),
            Err(RecvTimeoutError::Timeout) => format!("it does not serve after {seconds_max} s"),
            Err(RecvTimeoutError::Disconnected) => "its log cannot be read".to_owned(),
        };
        process.kill();
        Err(why)
    }

    /// SIGKILL.
    pub(super) fn kill(mut self) {
        let _ = self.java.kill();
        self.bury();
    }

    /// SIGTERM, and SIGKILL where that does not help.
    pub(super) fn stop(mut self) {
        if let Some(pid) = i32::try_from(self.java.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        // The log ends when the process does.
        let _ = self.next_log(STOP_SECONDS_MAX);
        let _ = self.java.kill();
        self.bury();
    }

    fn next_log(&self, seconds_max: u64) -> Result<Log, RecvTimeoutError> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.recv_timeout(Duration::from_secs(seconds_max))
    }

    /// The watchdog goes first: once the broker is waited for, its process id may be another's.
    fn bury(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.java.wait();
    }
}

fn read_log(out: ChildStdout, to: &Sender<Log>) {
    let mut last = VecDeque::with_capacity(LOG_LINES);
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        if line.contains(STARTED) {
            let _ = to.send(Log::Started);
        }
        if last.len() == LOG_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let _ = to.send(Log::Ended(last));
}

fn java(jars: &Path) -> Command {
    let mut java = Command::new("java");
    let logging = super::kafka_folder().join("log4j2.properties");
    let flags = std::env::var("PINION_KAFKA_JVM").unwrap_or_else(|_| JVM_FLAGS.to_owned());
    java.args(flags.split_whitespace()).arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
    // The JVM, not a shell, expands the star.
    java.arg("-cp").arg(jars.join("*"));
    java
}
