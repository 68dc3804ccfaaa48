//! Who may name which crate: the sandbox alone knows wasmtime, the edges alone know rdkafka, the clients of registries and of the admin port alone speak HTTP by hand, the operator and the cluster's subcommands alone know kube, files of columns are read and written where events and results are.

use std::path::{Path, PathBuf};

use pinion_tests::captures::project_root;

/// Crates, and the paths (beginnings, from the project's root) whose sources may name them. Benches and tests compare
/// against the bare crates, so they may too (the `tests` folders of crates: see [`is_test`]).
const LAYERS: [(&[&str], &[&str]); 7] = [
    (&["wasmtime", "wasmparser"], &["runtime/src/sandbox/", "benches/", "tests/"]),
    (&["wit_component", "wat"], &["cli/src/", "runtime/src/sandbox/", "benches/", "tests/"]),
    (
        &["rdkafka"],
        &[
            "runtime/src/ingest",
            "runtime/src/subscription",
            "runtime/src/egress",
            "runtime/src/kafka",
            "cli/src/publish",
            "cli/src/demo",
            "cli/src/embedded",
            "benches/",
            "tests/",
        ],
    ),
    (&["hyper"], &["runtime/src/registry/", "cli/src/dev/running.rs", "tests/"]),
    (&["hyper_openssl", "openssl"], &["runtime/src/registry/", "tests/"]),
    (&["arrow_array", "arrow_ipc", "arrow_schema", "parquet"], &["cli/src/events/", "cli/src/backtest/", "tests/"]),
    (&["kube", "k8s_openapi"], &["operator/", "cli/src/cluster/", "tests/"]),
];

#[test]
fn each_crate_is_named_only_in_its_own_layer() {
    let root = project_root();
    let mut sources = Vec::new();
    rust_files(root, &mut sources);
    assert!(sources.len() > 10, "the project's sources are not found under {}", root.display());
    let mut strangers = Vec::new();
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root).unwrap().to_str().unwrap();
        for (crates, allowed) in LAYERS {
            if is_test(path) || allowed.iter().any(|start| path.starts_with(start)) {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                if let Some(name) = crates.iter().find(|name| names_crate(line, name)) {
                    strangers.push(format!("{path}:{}: names {name}", number + 1));
                }
            }
        }
    }
    assert!(strangers.is_empty(), "{}", strangers.join("\n"));
}

#[test]
fn a_crate_is_named_by_code_and_not_by_a_comment_or_a_longer_name() {
    for line in ["use wat::parse;", "let x = wat::parse(y);", "pub use wat;", "    ::wat::parse()", "extern crate wat;"]
    {
        assert!(names_crate(line, "wat"), "{line}");
    }
    for line in ["//! wat::parse", "let x = 1; // wat::parse", "use wats::x;", "what::ever()", "let wat = 1;"] {
        assert!(!names_crate(line, "wat"), "{line}");
    }
}

/// Whether a file is an integration test of a crate.
fn is_test(path: &str) -> bool {
    path.split('/').nth(1) == Some("tests")
}

/// Whether a line of code uses the crate: as the head of a path, or in a `use` or `extern crate`.
fn names_crate(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let whole_word = !before.ends_with(is_word) && !after.starts_with(is_word);
        let imported = ["use ", "use ::", "extern crate "].iter().any(|keyword| before.trim_start().ends_with(keyword));
        whole_word && (after.starts_with("::") || imported)
    })
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                rust_files(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}
