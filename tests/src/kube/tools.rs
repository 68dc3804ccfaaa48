//! Where the programs of a cluster lie: `tests/kube/fetch.sh` makes them once a machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::captures::project_root;
use crate::require::skip;

static CONTROL: OnceLock<Result<PathBuf, String>> = OnceLock::new();
static NODE: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// `tests/kube`.
pub(super) fn recipe_folder() -> PathBuf {
    project_root().join("tests/kube")
}

/// The folder of etcd, Kubernetes' components, kwok, kubectl and helm, built if need be; or why there is none here.
pub(super) fn control() -> Result<&'static Path, String> {
    CONTROL.get_or_init(|| fetch("control").map(|folder| folder.join("bin"))).as_deref().map_err(Clone::clone)
}

/// The folder of Debian's unpacked packages and the images, fetched if need be; or why there is none here.
pub(super) fn node() -> Result<&'static Path, String> {
    NODE.get_or_init(|| fetch("node")).as_deref().map_err(Clone::clone)
}

/// The folder in which the programs `prometheus` and `promtool` lie, or a loud skip.
#[must_use]
pub fn prometheus_folder() -> Option<PathBuf> {
    match node() {
        Ok(folder) => Some(folder.join("usr/bin")),
        Err(why) => {
            skip(&why);
            None
        }
    }
}

/// helm for what needs no cluster, or a loud skip.
#[must_use]
pub fn helm() -> Option<Command> {
    match control() {
        Ok(bin) => Some(Command::new(bin.join("helm"))),
        Err(why) => {
            skip(&why);
            None
        }
    }
}

/// The custom resource definitions by which the Prometheus operator is told of pods and services to scrape, and of rules.
///
/// # Panics
/// If they cannot be had.
#[must_use]
pub fn prometheus_definitions() -> Vec<PathBuf> {
    let script = recipe_folder().join("monitoring.sh");
    let output = Command::new(&script).stdin(Stdio::null()).output().expect("run monitoring.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = PathBuf::from(String::from_utf8(output.stdout).expect("a path in UTF-8").trim());
    let file = |kind| folder.join(format!("monitoring.coreos.com_{kind}.yaml"));
    ["servicemonitors", "podmonitors", "prometheusrules"].map(file).into()
}

/// Runs `fetch.sh`, whose progress is seen past the test harness' capture: the first time takes minutes.
fn fetch(part: &str) -> Result<PathBuf, String> {
    if std::env::var("PINION_KUBE").is_ok_and(|value| value == "off") {
        return Err("PINION_KUBE=off".into());
    }
    let script = recipe_folder().join("fetch.sh");
    let mut command = Command::new(&script);
    command.arg(part).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cannot run {}: {error}", script.display()))?;
    if !output.status.success() {
        return Err(format!("`{} {part}` failed; what it needs is at its head", script.display()));
    }
    let folder = String::from_utf8(output.stdout).map_err(|_| format!("{} printed no path", script.display()))?;
    Ok(PathBuf::from(folder.trim()))
}
