//! The guides to a first strategy, done as they stand.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_tests::bounds;
use pinion_tests::captures::project_root;
use pinion_tests::guide::{Guide, Reader, give_time};
use pinion_tests::programs::build_folder;
use pinion_tests::python::python;

#[test]
fn every_command_of_the_guides_to_a_first_strategy_does_what_it_says() {
    let Some(python) = python() else { return };
    let mut reader = Reader::new();
    reader.programs = vec![python.parent().unwrap().to_owned(), build_folder()];
    for (page, name) in [("first-strategy-python.md", "dip"), ("first-strategy-rust.md", "climb")] {
        let _ = std::fs::remove_dir_all(reader.folder().join("result"));
        let began_ns = mono_ns();
        let file = reader.folder().join(name).join("strategy.yaml");
        reader.follow(&Guide::read(page), |_| give_time(&file));
        // What a reader types and reads comes on top; what was fetched and built before on this machine does not.
        let took = Duration::from_nanos(mono_ns() - began_ns).as_secs_f64();
        bounds::shown(&format!("all commands of {page}"), format!("{took:.0} s"));
        let component = std::fs::metadata(reader.folder().join(name).join(name).with_extension("wasm")).unwrap();
        let (said, bytes) = (bytes_said(page), component.len());
        assert!(bytes.abs_diff(said) < said / 5, "{page} says a component of {said} bytes, it has {bytes}");
        let run = std::fs::read(reader.folder().join("result/run.json")).unwrap();
        let run: serde_json::Value = serde_json::from_slice(&run).unwrap();
        assert!(run["result"]["orders"].as_u64().unwrap() > 0, "{page}: it never traded: {run}");
        assert!(reader.folder().join("result/report.html").is_file());
    }
}

/// How large a component a page says that it makes.
fn bytes_said(page: &str) -> u64 {
    let text = std::fs::read_to_string(project_root().join("docs/guide").join(page)).unwrap();
    let (_, from) = text.split_once("omponent of ").unwrap();
    let mut words = from.trim_start_matches("about ").split_whitespace();
    let (number, unit) = (words.next().unwrap(), words.next().unwrap());
    let number: u64 = number.parse().unwrap();
    number * if unit.starts_with("MB") { 1_000_000 } else { 1_000 }
}

#[test]
fn the_guide_names_all_that_the_sandbox_carries() {
    let guide = std::fs::read_to_string(project_root().join("docs/guide/first-strategy-python.md"));
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
