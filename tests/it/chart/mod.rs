//! The Helm chart: what it renders, what it refuses, how it comes and goes on a real control plane, and what the rights that it gives
//! the operator are good for and not.

mod attempts;
pub(crate) mod guides;
mod lifecycle;
mod people;
mod rendering;
mod rights;
mod values;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pinion_tests::captures::project_root;
use pinion_tests::kube::{Cluster, helm};
use pinion_tests::scratch::Scratch;
use serde_json::Value as Json;

/// Where the guide installs it.
const NAMESPACE: &str = "pinion-system";

/// The value without which nothing can be installed.
const IMAGE: &str = "image.repository=registry.example/pinion-operator";

/// What Helm says of the chart in `folder`, without a cluster; `None` where there is no Helm.
fn helm_on(folder: &Path, command: &[&str], more: &[&str]) -> Option<Output> {
    let mut helm = helm()?;
    Some(helm.args(command).arg(folder).args(more).output().expect("run helm"))
}

/// What Helm says of the chart.
fn helm_says(command: &[&str], more: &[&str]) -> Option<Output> {
    helm_on(&project_root().join("deploy/chart"), command, more)
}

/// The manifests that the chart gives with these arguments, as they were written and as they are read.
fn rendered_from(folder: &Path, more: &[&str]) -> Option<(String, Vec<Json>)> {
    let output = helm_on(folder, &["template", "pinion"], &[&["--namespace", NAMESPACE], more].concat())?;
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let manifests = manifests(&text);
    Some((text, manifests))
}

fn rendered(more: &[&str]) -> Option<Vec<Json>> {
    rendered_from(&project_root().join("deploy/chart"), more).map(|(_, manifests)| manifests)
}

/// The documents of a YAML text that hold anything.
fn manifests(text: &str) -> Vec<Json> {
    let documents = text.split("\n---").map(|document| {
        let read: Result<Json, _> = serde_saphyr::from_str(document.trim_start_matches('-'));
        read.unwrap_or_else(|error| panic!("{error} in:\n{document}"))
    });
    documents.filter(|manifest| !manifest.is_null()).collect()
}

/// The manifest of a kind and name.
fn manifest<'a>(manifests: &'a [Json], kind: &str, name: &str) -> &'a Json {
    let found = manifests.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Helm on a cluster, which does as it is told.
fn helm_does(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.helm(arguments);
    assert!(output.status.success(), "helm {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A copy of the chart, whose links are files, for a test to change.
fn copy_into(folder: &Scratch) -> PathBuf {
    let mut copy = Command::new("cp");
    copy.arg("-rL").arg(project_root().join("deploy/chart")).arg(folder.path());
    assert!(copy.status().expect("run cp").success());
    folder.path().join("chart")
}

/// The chart's folder, as a word on a command line.
fn chart() -> &'static str {
    static CHART: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| project_root().join("deploy/chart").to_str().expect("UTF-8").to_owned());
    &CHART
}
