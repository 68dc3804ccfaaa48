//! The guides to a first strategy, done as they stand.

use pinion_tests::guide::{Guide, Reader};
use pinion_tests::programs::build_folder;
use pinion_tests::python::python;

#[test]
fn every_command_of_the_guides_to_a_first_strategy_does_what_it_says() {
    let Some(python) = python() else { return };
    let mut reader = Reader::new();
    reader.programs = vec![python.parent().unwrap().to_owned(), build_folder()];
    reader.follow(&Guide::read("first-strategy-python.md"), |_| {});
    assert!(reader.folder().join("dip/dip.wasm").is_file());
    reader.follow(&Guide::read("first-strategy-rust.md"), |_| {});
    assert!(reader.folder().join("climb/climb.wasm").is_file());
}

#[test]
fn the_guide_names_all_that_the_sandbox_carries() {
    let guide =
        std::fs::read_to_string(pinion_tests::captures::project_root().join("docs/guide/first-strategy-python.md"));
    let scan = include_str!("../../../cli/src/build/python/scan.py");
    let list = |text: &str, begin: &str, end: &str| -> Vec<String> {
        let (_, from) = text.split_once(begin).unwrap();
        from.split_once(end).unwrap().0.split_whitespace().map(str::to_owned).collect()
    };
    let mut carried = list(scan, "CARRIED = set(\n    \"\"\"", "\"\"\"");
    carried.retain(|module| module != "__future__" && module != "pinion_strategy");
    assert_eq!(list(&guide.unwrap(), "and of its library:\n\n`", "`"), carried);
    // And the strategy that shows that each works imports every one.
    let source = include_str!("misbehaving/strategy.py");
    for module in carried {
        assert!(source.lines().any(|line| line == format!("import {module}")), "{module}");
    }
}
