//! From WebAssembly to machine code, in a child process: the bytes are hostile, and a compiler's time and memory can grow much
//! faster than its input. The child caps itself before it reads the first byte; the parent kills it when it takes too long.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, setrlimit};
use thiserror::Error;

use super::aot::write_sealed;
use super::artefact::Lane;
use super::engine::compiler;
use crate::limits::{
    COMPILE_MEMORY_BYTES_MAX, COMPILE_SECONDS_MAX, COMPILE_WALL_SECONDS_MAX, FAULT_DETAIL_BYTES_MAX, MODULE_BYTES_MAX,
};

/// The hidden subcommand that every binary which loads modules gives to [`compile_child`].
pub const SUBCOMMAND: &str = "compile-module";

/// Exit code of a child that could not compile: the input's fault (`EX_DATAERR`).
const EXIT_INVALID: u8 = 65;
/// Exit code of a child that was started wrongly or could not write (`EX_SOFTWARE`).
const EXIT_SOFTWARE: u8 = 70;

/// What a compilation may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the child.
    pub memory_bytes: u64,
    /// CPU time of the child.
    pub cpu_seconds: u64,
    /// Time until the parent kills it.
    pub wall: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            memory_bytes: COMPILE_MEMORY_BYTES_MAX,
            cpu_seconds: COMPILE_SECONDS_MAX,
            wall: Duration::from_secs(COMPILE_WALL_SECONDS_MAX),
        }
    }
}

/// Who compiles.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// A child process of this executable, which passes [`SUBCOMMAND`] on to [`compile_child`].
    Child(PathBuf, CompileLimits),
    /// This process: for modules of one's own, in tests and benches.
    Here,
}

/// Why a module was not compiled.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The compiler refused it.
    #[error("the module cannot be compiled: {0}")]
    Invalid(String),
    /// It took too long.
    #[error("the module takes too long to compile; it was stopped")]
    Time,
    /// It took too much memory, or the compiler broke on it.
    #[error("the module takes too much memory to compile, or breaks the compiler; it was stopped")]
    Memory,
    /// The child could not do its work.
    #[error("cannot run the compiler")]
    Child(#[from] io::Error),
}

impl Compiler {
    /// A child process of the running executable, within the usual limits.
    ///
    /// # Errors
    /// Where the operating system does not say which executable runs.
    pub fn this_executable() -> io::Result<Self> {
        Ok(Self::Child(std::env::current_exe()?, CompileLimits::default()))
    }

    /// Compiles `code` for a lane and writes the sealed result to `out`.
    pub(super) fn compile(&self, lane: Lane, code: &[u8], out: &Path) -> Result<(), CompileError> {
        match self {
            Self::Child(exe, limits) => in_child(exe, *limits, lane, code, out),
            Self::Here => Ok(write_sealed(out, precompile(lane, code).map_err(CompileError::Invalid)?)?),
        }
    }
}

fn precompile(lane: Lane, code: &[u8]) -> Result<Vec<u8>, String> {
    let compiled = compiler().and_then(|engine| match lane {
        Lane::Direct => engine.precompile_module(code),
        Lane::Component => engine.precompile_component(code),
    });
    compiled.map_err(|error| format!("{error:#}"))
}

fn in_child(exe: &Path, limits: CompileLimits, lane: Lane, code: &[u8], out: &Path) -> Result<(), CompileError> {
    let mut child = Command::new(exe)
        .arg(SUBCOMMAND)
        .arg(lane.label())
        .arg(out)
        .arg(limits.memory_bytes.to_string())
        .arg(limits.cpu_seconds.to_string())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // A pidfd names this child even after it is gone, so a late kill hits nobody else.
    let child_fd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(io::Error::from)?;
    let (done, alarm) = mpsc::channel::<()>();
    let (status, complaint, killed) = thread::scope(|scope| {
        let watchdog = scope.spawn(move || {
            let late = alarm.recv_timeout(limits.wall) == Err(mpsc::RecvTimeoutError::Timeout);
            late && pidfd_send_signal(&child_fd, Signal::KILL).is_ok()
        });
        if let Some(mut stdin) = child.stdin.take() {
            // A child that dies closes the pipe; its status says more than that error.
            let _ = stdin.write_all(code);
        }
        let mut complaint = String::new();
        if let Some(stderr) = child.stderr.take() {
            let _ = stderr.take(FAULT_DETAIL_BYTES_MAX as u64).read_to_string(&mut complaint);
        }
        let status = child.wait();
        drop(done);
        (status, complaint, watchdog.join().unwrap_or(false))
    });
    outcome(status?, killed, complaint)
}

fn outcome(status: ExitStatus, killed: bool, complaint: String) -> Result<(), CompileError> {
    if status.success() {
        return Ok(());
    }
    let signal = status.signal();
    if killed || signal == Some(Signal::XCPU.as_raw()) {
        return Err(CompileError::Time);
    }
    if signal.is_some() {
        return Err(CompileError::Memory);
    }
    if status.code() == Some(i32::from(EXIT_SOFTWARE)) {
        return Err(io::Error::other(complaint.trim().to_owned()).into());
    }
    Err(CompileError::Invalid(complaint.trim().to_owned()))
}

/// The child's side, for a `main` to ask first: `None` where this process was started for something else.
#[must_use]
pub fn child_of_args() -> Option<u8> {
    let mut args = std::env::args().skip(1);
    let asked = args.next().is_some_and(|first| first == SUBCOMMAND);
    asked.then(|| compile_child(&args.collect::<Vec<_>>(), io::stdin().lock()))
}

/// The child's side: `args` are what follows [`SUBCOMMAND`]. Caps itself, reads the module from `input`, writes the sealed
/// code to the file that the parent named, and returns the process's exit code.
pub fn compile_child(args: &[String], input: impl Read) -> u8 {
    let (code, complaint) = match child(args, input) {
        Ok(()) => return 0,
        Err(Complaint::Invalid(detail)) => (EXIT_INVALID, detail),
        Err(Complaint::Software(detail)) => (EXIT_SOFTWARE, detail),
    };
    // The parent may be gone; there is nobody else to tell.
    let _ = writeln!(io::stderr(), "{complaint}");
    code
}

enum Complaint {
    Invalid(String),
    Software(String),
}

fn child(args: &[String], input: impl Read) -> Result<(), Complaint> {
    let software = |what: &str| Complaint::Software(format!("{SUBCOMMAND}: {what}"));
    let [lane, out, memory_bytes, cpu_seconds] = args else {
        return Err(software("wants LANE OUT MEMORY_BYTES CPU_SECONDS; it is run by the loader, not by people"));
    };
    let lane = match lane.as_str() {
        "direct" => Lane::Direct,
        "component" => Lane::Component,
        _ => return Err(software("no such lane")),
    };
    let limit = |text: &str| text.parse::<u64>().map_err(|_| software("a limit is no number"));
    let caps = [
        (Resource::As, limit(memory_bytes)?),
        (Resource::Cpu, limit(cpu_seconds)?),
        // No core dump of a bomb, and no file larger than the code of the largest module could be.
        (Resource::Core, 0),
        (Resource::Fsize, 32 * MODULE_BYTES_MAX as u64),
    ];
    for (resource, limit) in caps {
        // Of CPU time, the kernel answers the soft limit with a signal that says so, the hard one with a bare kill.
        let limit = Rlimit { current: Some(limit), maximum: Some(limit.saturating_add(1)) };
        setrlimit(resource, limit).map_err(|error| software(&format!("cannot limit itself: {error}")))?;
    }
    let mut code = Vec::new();
    let read = input.take(MODULE_BYTES_MAX as u64 + 1).read_to_end(&mut code);
    read.map_err(|error| software(&format!("cannot read the module: {error}")))?;
    let compiled = precompile(lane, &code).map_err(Complaint::Invalid)?;
    write_sealed(Path::new(out), compiled).map_err(|error| software(&format!("cannot write the code: {error}")))
}
