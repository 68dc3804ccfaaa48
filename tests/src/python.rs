//! The Python that runs tests of the SDK and of strategies in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::captures::project_root;
use crate::require::skip;

/// A Python with pytest; `None`, said out loud, where none can be had.
#[must_use]
pub fn python() -> Option<PathBuf> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        let script = project_root().join("tests/python/fetch.sh");
        let output = Command::new(&script).output().map_err(|error| format!("{}: {error}", script.display()))?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(said(&output.stdout).into()) } else { Err(said(&output.stderr)) }
    });
    match made {
        Ok(folder) => Some(folder.join("bin/python")),
        Err(why) => {
            skip(&format!("no Python with pytest: {why}"));
            None
        }
    }
}

/// Runs a folder's unit tests; what they say, and how many passed.
///
/// # Panics
/// If one fails.
#[must_use]
pub fn pytest(python: &Path, folder: &Path, packages: &[&Path]) -> (String, usize) {
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]).current_dir(folder);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONPATH");
    if !packages.is_empty() {
        let packages: Vec<_> = packages.iter().map(|path| path.as_os_str()).collect();
        command.args(["--override-ini", "pythonpath="]).env("PYTHONPATH", packages.join(":".as_ref()));
    }
    let output = command.output().expect("run pytest");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {said}{}", folder.display(), String::from_utf8_lossy(&output.stderr));
    let passed = said.rsplit_once(" passed").and_then(|(before, _)| before.rsplit([' ', '\n']).next()?.parse().ok());
    (said, passed.expect("pytest says how many passed"))
}
