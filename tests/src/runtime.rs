//! `pinion-runtime` as a process: started, asked over its admin port, ended in order or killed.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use pinion_spec::assignment::{CLOCK_HEADER, PodClock};
use pinion_spec::metrics::Metric;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http::{Answer, request};
use crate::kafka::free_port;
use crate::programs::{build_folder, pinion, program};
use crate::scratch::Scratch;
use crate::wait::until;
use crate::watchdog;

/// Where a pod takes its assignment and tells what it runs.
pub const ASSIGNMENT: &str = "/control/assignment";

/// A machine whose cores compile something else needs seconds to compile a module.
pub const START: Duration = Duration::from_secs(60);

/// From SIGTERM to the end of the process, with a broker that answers.
pub const DRAIN: Duration = Duration::from_secs(20);

/// The same without one; Kubernetes' default, after which it kills.
pub const GRACE: Duration = Duration::from_secs(30);

/// Characters of the log that a failed test shows.
const LOG_SHOWN: usize = 6_000;

/// A running process; killed with this value.
#[derive(Debug)]
pub struct Runtime {
    child: Child,
    watchdog: Child,
    admin: SocketAddr,
    token: Option<String>,
    scratch: Scratch,
}

/// The program's command line without an admin port.
fn command(files: &[&Path], brokers: &str, args: &[&str]) -> Command {
    with(Command::new(program("pinion-runtime", "pinion-runtime")), files, brokers, args)
}

fn with(mut command: Command, files: &[&Path], brokers: &str, args: &[&str]) -> Command {
    command.args(files).args(["--brokers", brokers, "--pin", "off"]).args(args);
    // Compiled once for all tests, and apart from what the machine's user has.
    command.env("PINION_MODULE_CACHE", module_cache()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Where the tests keep compiled modules.
#[must_use]
pub fn module_cache() -> PathBuf {
    build_folder().join("tmp").join("it-modules")
}

/// Runs the program where it is expected to end by itself, at once.
///
/// # Panics
/// If it has not ended after a minute.
#[must_use]
pub fn run_to_end(files: &[&Path], brokers: &str, args: &[&str]) -> Output {
    let mut child = command(files, brokers, args).stderr(Stdio::piped()).spawn().expect("run pinion-runtime");
    let mut ended = None;
    for _ in 0..START.as_millis() / 10 {
        ended = child.try_wait().expect("ask for the process");
        if ended.is_some() {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    if ended.is_none() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().expect("wait for pinion-runtime");
    assert!(ended.is_some(), "it still runs: {}", String::from_utf8_lossy(&output.stderr));
    output
}

impl Runtime {
    /// Starts the runtime on strategy files; it may not read yet.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(files: &[&Path], brokers: &str, args: &[&str]) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), files, brokers, args)
    }

    /// The same with its admin port at a given address.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_at(admin: SocketAddr, files: &[&Path], brokers: &str, args: &[&str]) -> Self {
        Self::spawn(command(files, brokers, args), admin)
    }

    /// Starts `pinion run`, as a laptop does, instead of a pod's program; its log is text.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_pinion_run(files: &[&Path], brokers: &str, args: &[&str]) -> Self {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        Self::spawn(with(pinion("run"), files, brokers, args), admin)
    }

    fn spawn(mut command: Command, admin: SocketAddr) -> Self {
        let scratch = Scratch::new();
        let log = File::create(scratch.path().join("log")).expect("make a log file");
        let mut child = command.args(["--admin", &admin.to_string()]).stderr(log).spawn().expect("run pinion-runtime");
        let watchdog = watchdog::watch(&child, scratch.path()).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("run sh: {error}")
        });
        Self { child, watchdog, admin, token: None, scratch }
    }

    /// Starts the runtime and waits until it is ready.
    ///
    /// # Panics
    /// If it is not ready in a minute.
    #[must_use]
    pub fn start_ready(files: &[&Path], brokers: &str, args: &[&str]) -> Self {
        let mut runtime = Self::start(files, brokers, args);
        runtime.until("the runtime to be ready", START, |runtime| (runtime.ready()?.status == 200).then_some(()));
        runtime
    }

    /// The bearer token of its commands.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Waits for something about it, as [`until`] does.
    ///
    /// # Panics
    /// When it has ended before, or the time is over.
    pub fn until<T>(&mut self, what: &str, limit: Duration, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        until(what, limit, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the runtime ended ({status}) before {what}");
            }
            ask(self)
        })
    }

    /// Where its admin port listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.admin
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far: a JSON object a line.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// `GET /ready`; `None` while nobody listens.
    #[must_use]
    pub fn ready(&self) -> Option<Answer> {
        self.get("/ready")
    }

    /// `GET` of any path; `None` while nobody listens.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Answer> {
        self.ask("GET", path, &[]).ok()
    }

    /// A metric summed over all samples that have these labels; `None` where none has.
    #[must_use]
    pub fn metric(&self, metric: &Metric, labels: &[(&str, &str)]) -> Option<f64> {
        sum(&self.get("/metrics")?.body, metric, labels)
    }

    /// The same, as the count that it is.
    ///
    /// # Panics
    /// If there is no such sample, or it is no count.
    #[must_use]
    pub fn count(&self, metric: &Metric, labels: &[(&str, &str)]) -> u64 {
        let value =
            self.metric(metric, labels).unwrap_or_else(|| panic!("no sample of {} with {labels:?}", metric.name));
        assert!(value >= 0.0 && value.fract() == 0.0, "{} {labels:?} is {value}", metric.name);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number, not negative")]
        let count = value as u64;
        count
    }

    /// `POST` of a JSON body.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string().as_bytes())
    }

    /// `POST` of any body.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Answer {
        self.ask("POST", path, body).unwrap_or_else(|error| panic!("post {path}: {error}"))
    }

    /// `PUT` of any body.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn put_bytes(&self, path: &str, body: &[u8]) -> Answer {
        self.ask("PUT", path, body).unwrap_or_else(|error| panic!("put {path}: {error}"))
    }

    /// A pod's clock, as it tells it.
    ///
    /// # Panics
    /// If it tells none.
    #[must_use]
    pub fn clock(&self) -> PodClock {
        let answer = self.get(ASSIGNMENT).expect("an answer");
        let clock = answer.header(CLOCK_HEADER).unwrap_or_else(|| panic!("no clock: {answer:?}"));
        clock.parse().unwrap_or_else(|error| panic!("{clock}: {error}"))
    }

    /// Puts an assignment with a lease from this time of the pod's clock.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn put_assignment(&self, document: &[u8], clock: &str) -> Answer {
        let mut headers = self.bearer();
        headers.push((CLOCK_HEADER, clock.to_owned()));
        self.request("PUT", ASSIGNMENT, &headers, document).unwrap_or_else(|error| panic!("put {ASSIGNMENT}: {error}"))
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        self.request(method, path, &self.bearer(), body)
    }

    fn bearer(&self) -> Vec<(&'static str, String)> {
        self.token.iter().map(|token| ("authorization", format!("Bearer {token}"))).collect()
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request(self.admin, method, path, &headers, body)
    }

    /// SIGSTOP: it does nothing until [`Runtime::go_on`].
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL.
    pub fn kill9(mut self) {
        self.kill();
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Panics
    /// If it has not ended within [`DRAIN`].
    #[must_use]
    pub fn sigterm_and_wait(self) -> ExitStatus {
        self.sigterm();
        self.wait()
    }

    /// SIGTERM, how it ended, and its log.
    ///
    /// # Panics
    /// If it has not ended within [`GRACE`].
    #[must_use]
    pub fn sigterm_and_read(mut self) -> (ExitStatus, String) {
        self.sigterm();
        let status = until("the runtime to end", GRACE, || self.child.try_wait().expect("ask for the process"));
        (status, self.log())
    }

    fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("send {signal:?}: {error}"));
    }

    /// How it ended.
    ///
    /// # Panics
    /// If it has not ended within [`DRAIN`].
    #[must_use]
    pub fn wait(mut self) -> ExitStatus {
        until("the runtime to end", DRAIN, || self.child.try_wait().expect("ask for the process"))
    }

    fn kill(&mut self) {
        // The watchdog goes first: once the process is waited for, its id may be another's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.floor_char_boundary(log.len().saturating_sub(LOG_SHOWN));
            eprintln!("the runtime's log:\n{}", &log[from..]);
        }
    }
}

/// Whether a process ended by itself and well.
#[must_use]
pub fn is_clean(status: ExitStatus) -> bool {
    status.code() == Some(0) && status.signal().is_none()
}

/// Sums the samples of a metric in Prometheus' text format that have these labels.
pub(crate) fn sum(text: &str, metric: &Metric, labels: &[(&str, &str)]) -> Option<f64> {
    for (name, _) in labels {
        assert!(metric.labels.contains(name), "{} has no label {name}", metric.name);
    }
    let samples = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let rest = series.strip_prefix(metric.name)?;
        let own = rest.is_empty() || rest.starts_with('{');
        let has = |(name, value): &(&str, &str)| rest.contains(&format!("{name}=\"{value}\""));
        (own && labels.iter().all(has)).then(|| value.parse::<f64>().expect("a sample's value"))
    });
    samples.fold(None, |total, value| Some(total.unwrap_or(0.0) + value))
}
