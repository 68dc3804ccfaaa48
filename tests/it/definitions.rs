//! What a real apiserver takes of the custom resources, and what it says of the rest.

use std::path::{Path, PathBuf};

use pinion_tests::captures::project_root;
use pinion_tests::kube::{Cluster, Tier};
use serde_json::{Value, json};

use crate::desk::setup;

/// The files of a folder of cases, with what the first line of each says is to be answered.
fn cases(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = project_root().join("tests/kube/cases").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let expected = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).unwrap_or_default().to_owned()
    };
    files.map(|path| (path.clone(), expected(&path))).collect()
}

/// Whether a resource would be taken, and what is said of it.
fn tried(cluster: &Cluster, file: &Path) -> (bool, String) {
    let output = cluster.kubectl(&["create", "--dry-run=server", "--filename", file.to_str().unwrap()]);
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_apiserver_takes_the_good_cases_and_says_of_each_bad_one_what_is_wrong() {
    let Some(cluster) = Cluster::start(setup(Tier::Api)) else { return };
    for (file, _) in cases("good") {
        let (taken, said) = tried(&cluster, &file);
        assert!(taken, "{}: {said}", file.display());
    }
    let bad = cases("bad");
    for (file, expected) in &bad {
        let (taken, said) = tried(&cluster, file);
        assert!(!taken && said.contains(expected.as_str()), "{}: wanted {expected}: {said}", file.display());
    }
    println!("{} refused", bad.len());
}

/// The stored resource with another value in one field.
fn changed(cluster: &Cluster, what: &str, pointer: &str, value: Value) -> (bool, String) {
    let mut stored: Value = serde_json::from_str(&cluster.ask(&["get", what, "--output", "json"])).unwrap();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    stored.pointer_mut(parent).unwrap()[field] = value;
    let output = cluster.try_apply(&stored.to_string());
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_would_lose_offsets_or_leases_cannot_be_changed_later() {
    let Some(cluster) = Cluster::start(setup(Tier::Api)) else { return };
    for case in ["pool-full.yaml", "strategy-full.yaml"] {
        let file = project_root().join("tests/kube/cases/good").join(case);
        let _ = cluster.ask(&["create", "--filename", file.to_str().unwrap()]);
    }
    let name = |kind: &str| cluster.ask(&["get", kind, "--output", "name"]).trim().to_owned();
    let (pool, strategy) = (name("runtimepool"), name("strategy"));
    let refused = [
        (&strategy, "/spec/pool", json!("elsewhere"), "pool: cannot be changed"),
        (&strategy, "/spec/inputs/0/group", json!("pinion.elsewhere"), "group: cannot be changed"),
        (&pool, "/spec/leaseSeconds", json!(29), "leaseSeconds: may only grow"),
    ];
    for (what, field, value, wanted) in &refused {
        let (taken, said) = changed(&cluster, what, field, value.clone());
        assert!(!taken && said.contains(wanted), "{what} {field}: {said}");
    }
    let (taken, said) = changed(&cluster, &pool, "/spec/leaseSeconds", json!(31));
    assert!(taken, "{said}");
    let rules = std::fs::read_to_string(project_root().join("deploy/crds/crds.yaml")).unwrap();
    let comparing = rules.split("rule:").skip(1).filter(|rule| rule.contains("oldSelf")).count();
    assert_eq!(comparing, refused.len(), "a rule that compares has no case here");
}
