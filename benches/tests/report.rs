//! What the documents say of speed is what was measured.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

use std::path::Path;

use pinion_benches::report;

#[test]
fn the_page_and_its_plots_are_those_of_the_results() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runs = report::runs(&root.join("results")).unwrap();
    assert!(runs.iter().any(|run| run.bench == "micro"), "benches/results has the run of `make bench`");
    for run in &runs {
        assert_eq!(run.machine["profile"], "release", "{}: only a release is measured", run.bench);
    }
    for (name, text) in report::files(&runs) {
        let path = root.join("../docs").join(name);
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "{} is not that of benches/results; run `make bench-report`", path.display());
    }
}

#[test]
fn a_number_that_no_result_has_is_not_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut runs = report::runs(&root.join("results")).unwrap();
    let before = report::page(&runs);
    runs[0].rows[0].value *= 3.0;
    assert_ne!(report::page(&runs), before, "a changed result changes the page");
}
