//! The files that are committed are those of the source, and nothing is measured that nobody looks at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is a test that fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pinion_spec::metrics;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_committed_boards_and_rules_are_those_of_the_source() {
    let files = pinion_boards::files().unwrap();
    for (name, content) in &files {
        let committed = std::fs::read_to_string(deploy().join(name)).unwrap_or_default();
        assert!(committed == *content, "deploy/{name} is not current: run `cargo run --bin boards deploy`");
    }
    // A chart takes whatever lies there.
    for folder in ["grafana", "prometheus"] {
        let written = files.iter().filter_map(|(name, _)| name.strip_prefix(folder)?.strip_prefix('/'));
        assert_eq!(names_in(&deploy().join(folder)), written.map(str::to_owned).collect(), "deploy/{folder}");
    }
}

/// Metrics that are on no board and in no rule, each with the reason.
const UNUSED: [(&str, &str); 0] = [];

#[test]
fn every_metric_is_on_a_board_or_in_a_rule() {
    let used = pinion_boards::used();
    let defined: BTreeSet<&str> = metrics::ALL.iter().chain(&metrics::OPERATOR).map(|metric| metric.name).collect();
    let excepted: BTreeSet<&str> = UNUSED.iter().map(|(name, _)| *name).collect();
    let unused: Vec<_> = defined.iter().filter(|name| !used.contains(*name) && !excepted.contains(*name)).collect();
    assert!(unused.is_empty(), "on no board and in no rule: {unused:?}");
    let needless: Vec<_> = excepted.iter().filter(|name| used.contains(*name) || !defined.contains(*name)).collect();
    assert!(needless.is_empty(), "excepted and used after all, or no metric: {needless:?}");
}

/// What each runbook tells.
const HEADINGS: [&str; 4] = ["## What it means", "## How to look", "## What to do", "## How it clears"];

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let runbooks = deploy().parent().unwrap().join(pinion_boards::rules::RUNBOOKS);
    let pages: BTreeSet<String> = pinion_boards::rules::alerts().iter().map(|alert| format!("{alert}.md")).collect();
    assert_eq!(names_in(&runbooks), pages);
    for page in pages {
        let text = std::fs::read_to_string(runbooks.join(&page)).unwrap();
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "{page}");
        assert!(text.starts_with(&format!("# {}\n", page.trim_end_matches(".md"))), "{page}");
        assert!(text.contains("```"), "{page} has no command");
    }
}
