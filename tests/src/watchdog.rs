//! What ends a child process when this one ends, however it ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shell that kills the process and removes its folder when its standard input closes, which it does when this process
/// ends. (The kernel's parent-death signal follows the thread, and a test's thread ends with its test.)
///
/// Kill and await it before the process that it watches: after that, the process id may be another's.
///
/// # Errors
/// Where there is no shell.
pub fn watch(watched: &Child, dir: &Path) -> std::io::Result<Child> {
    let script = r#"trap "" INT TERM; cat >/dev/null; kill -9 "$1"; sleep 1; rm -rf "$2""#;
    let mut sh = Command::new("sh");
    sh.args(["-c", script, "watchdog"]).arg(watched.id().to_string()).arg(dir);
    sh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}
