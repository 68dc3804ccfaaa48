//! The Python that makes components: `componentize-py`, exactly as `python/requirements.txt` pins it, in an environment of its own.
//!
//! Made once, in the cache, from whatever Python 3.11 or later is there; everything after that works without a network.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::cache;
use super::error::{BuildError, io_error};
use crate::progress::Progress;
use crate::sdk::{WIT, WORLD};

/// What is installed.
pub(super) const REQUIREMENTS: &str = include_str!("python/requirements.txt");

/// What a Python has to say to be taken.
const VERSION_CHECK: &str = "import sys; sys.exit(sys.version_info < (3, 11))";

const COMPONENTIZE: &str = "import sys; from componentize_py import script; sys.exit(script())";

/// The environment.
#[derive(Debug)]
pub(super) struct Toolchain {
    folder: PathBuf,
}

impl Toolchain {
    /// The one of this user; makes it where there is none.
    ///
    /// # Errors
    /// Without a Python, without its `venv`, or without a package index.
    pub(super) fn ready() -> Result<Self, BuildError> {
        let cache = cache::folder()?;
        let name = format!("python-{}", &cache::Key::new("toolchain").and(REQUIREMENTS).name()[..12]);
        let toolchain = Self { folder: cache.join(&name) };
        if toolchain.python().is_file() {
            return Ok(toolchain);
        }
        fs::create_dir_all(&cache).map_err(|error| io_error(&cache, error))?;
        // Two builds at once make it once.
        let path = cache.join(format!("{name}.lock"));
        let lock = File::create(&path).map_err(|error| io_error(&path, error))?;
        lock.lock().map_err(|error| io_error(&path, error))?;
        if !toolchain.python().is_file() {
            toolchain.make(&cache.join(format!("{name}.part")))?;
        }
        Ok(toolchain)
    }

    fn make(&self, part: &Path) -> Result<(), BuildError> {
        let _progress = Progress::begin("installing the Python toolchain (once; a download of 40 MB)");
        let python = host_python()?;
        let _ = fs::remove_dir_all(part);
        let made = run(Command::new(&python).args(["-I", "-m", "venv"]).arg(part))?;
        if !made.status.success() {
            return Err(BuildError::NoPython(format!(
                "{} cannot make an environment of its own; on Debian: apt-get install python3-venv\n{}",
                python.display(),
                last_lines(&made)
            )));
        }
        let requirements = part.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).map_err(|error| io_error(&requirements, error))?;
        let mut pip = Command::new(part.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--require-hashes", "--requirement"]).arg(&requirements);
        let installed = run(&mut pip)?;
        if !installed.status.success() {
            return Err(BuildError::NoPython(format!(
                "the Python toolchain could not be installed; is the package index reachable?\n{}",
                last_lines(&installed)
            )));
        }
        // componentize-py would else search this machine's own packages, and put them into the component.
        let packages = part.join("none/site-packages");
        fs::create_dir_all(&packages).map_err(|error| io_error(&packages, error))?;
        fs::rename(part, &self.folder).map_err(|error| io_error(&self.folder, error))
    }

    fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// Runs one of our own scripts, which only reads.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn script(&self, script: &str, argument: &Path) -> Result<Output, BuildError> {
        run(Command::new(self.python()).args(["-I", "-c", script]).arg(argument))
    }

    /// Makes a component of the module `app`, which is searched for in `folders`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn componentize(
        &self,
        app: &str,
        folders: &[impl AsRef<OsStr>],
        work: &Path,
    ) -> Result<(Output, PathBuf), BuildError> {
        let (wit, component) = (work.join("strategy.wit"), work.join("component.wasm"));
        fs::write(&wit, WIT).map_err(|error| io_error(&wit, error))?;
        let mut command = Command::new(self.python());
        command.args(["-I", "-c", COMPONENTIZE, "--quiet", "--world", WORLD, "--wit-path"]).arg(&wit);
        command.args(["componentize", app, "--stub-wasi", "--output"]).arg(&component);
        for folder in folders {
            command.arg("--python-path").arg(folder);
        }
        command.env("VIRTUAL_ENV", self.folder.join("none")).env("RUST_BACKTRACE", "0");
        Ok((run(&mut command)?, component))
    }
}

/// A Python that is new enough.
fn host_python() -> Result<PathBuf, BuildError> {
    for name in ["python3", "python3.14", "python3.13", "python3.12", "python3.11"] {
        let asked = Command::new(name).args(["-I", "-c", VERSION_CHECK]).stderr(Stdio::null()).status();
        if asked.is_ok_and(|status| status.success()) {
            return Ok(PathBuf::from(name));
        }
    }
    Err(BuildError::NoPython(
        "Python 3.11 or later is needed to build a strategy in Python; on Debian: apt-get install python3 python3-venv"
            .to_owned(),
    ))
}

fn run(command: &mut Command) -> Result<Output, BuildError> {
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").stdin(Stdio::null());
    command.output().map_err(|error| io_error(Path::new(command.get_program()), error))
}

/// What a tool said last.
pub(super) fn last_lines(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
