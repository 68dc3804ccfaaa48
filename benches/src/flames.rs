//! Flame graphs: the stacks of a process's threads while they ran, user and kernel, as one SVG.
//!
//! `perf` takes a sample some thousand times a second that a thread runs, with the stack unwound from a copy of its top: no program has to be built for
//! it. Code that was compiled at run time, which is the guests', says nothing of who called it: a stack begins there.

use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use inferno::collapse::Collapse as _;
use inferno::collapse::perf::Folder;
use inferno::flamegraph::{self, Options};
use pinion_tests::scratch::Scratch;
use rustix::process::{Pid, Signal, kill_process};

/// Samples of a second that a thread runs: no divisor of what runs by the clock.
const HZ: u32 = 997;
/// Bytes of a stack that are kept for unwinding.
const STACK_BYTES: u32 = 16_384;
/// What `perf` writes.
const DATA: &str = "perf.data";
/// The least share of all samples that is drawn, per cent.
const LEAST_PER_CENT: f64 = 0.3;

/// A process is being watched.
#[derive(Debug)]
pub struct Recording {
    perf: Child,
    home: Scratch,
}

impl Recording {
    /// From now on.
    ///
    /// # Errors
    /// If `perf` cannot be run.
    pub fn start(pid: u32) -> Result<Self, String> {
        let home = Scratch::new();
        let perf = Command::new("perf")
            .args(["record", "--quiet", "--event", "cpu-clock", "--freq", &HZ.to_string()])
            .args(["--call-graph", &format!("dwarf,{STACK_BYTES}"), "--pid", &pid.to_string(), "--output"])
            .arg(home.path().join(DATA))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let perf = perf.map_err(|error| format!("perf: {error}; on Debian it is in the package linux-perf"))?;
        Ok(Self { perf, home })
    }

    /// Until now: writes the graph.
    ///
    /// # Errors
    /// What `perf` or the system says.
    pub fn finish(mut self, title: &str, svg: &Path) -> Result<(), String> {
        kill_process(Pid::from_child(&self.perf), Signal::INT).map_err(|error| format!("perf: {error}"))?;
        self.perf.wait().map_err(|error| format!("perf: {error}"))?;
        draw(&self.home.path().join(DATA), title, svg).map_err(|error| format!("{}: {error}", svg.display()))
    }
}

fn draw(data: &Path, title: &str, svg: &Path) -> std::io::Result<()> {
    let mut script = Command::new("perf")
        .args(["script", "--no-inline", "--fields", "comm,pid,tid,time,event,ip,sym,dso", "--input"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stacks = Vec::new();
    if let Some(out) = script.stdout.take() {
        Folder::default().collapse(BufReader::new(out), &mut stacks)?;
    }
    script.wait()?;
    let mut options = Options::default();
    title.clone_into(&mut options.title);
    "samples".clone_into(&mut options.count_name);
    options.min_width = LEAST_PER_CENT;
    options.deterministic = true;
    let file = BufWriter::new(std::fs::File::create(svg)?);
    flamegraph::from_reader(&mut options, stacks.as_slice(), file).map_err(std::io::Error::other)
}
