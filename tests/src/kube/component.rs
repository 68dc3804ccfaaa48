//! One process of a cluster.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Lines of the log that an error shows.
const LOG_LINES: usize = 30;

#[derive(Debug)]
pub(super) struct Component {
    name: &'static str,
    process: Child,
    log: PathBuf,
}

impl Component {
    /// Starts a program as the leader of a group of its own, in the cluster's folder, with its output in `logs/NAME.log` and its
    /// process id in `pids/NAME`, where `down.sh` looks for it.
    pub(super) fn start(folder: &Path, name: &'static str, mut command: Command) -> Result<Self, String> {
        let log = folder.join("logs").join(format!("{name}.log"));
        let why = |error| format!("start {name}: {error}");
        let out = File::create(&log).map_err(why)?;
        command.stdin(Stdio::null()).stdout(out.try_clone().map_err(why)?).stderr(out);
        let process = command.current_dir(folder).process_group(0).spawn().map_err(why)?;
        let component = Self { name, process, log };
        std::fs::write(folder.join("pids").join(name), component.process.id().to_string()).map_err(why)?;
        Ok(component)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Why the process does not run any more, with the end of its log; `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok().flatten()?;
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
        Some(format!("{} ended: {status}\n{}", self.name, end.join("\n")))
    }

    pub(super) fn signal(&self, signal: Signal) -> std::io::Result<()> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.ok_or(std::io::ErrorKind::InvalidInput)?, signal)?)
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
