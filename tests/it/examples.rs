//! The examples have a page each, and what stands on it is what they come to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pinion_spec::strategy::Encoding;
use pinion_tests::captures::project_root;
use pinion_tests::kafka::Broker;
use pinion_tests::python::python;
use pinion_tests::results::{examples, moved_by, page, table, with_table};
use pinion_tests::runtime::{Runtime, is_clean};

#[test]
fn every_example_comes_to_what_its_page_says() {
    for name in examples() {
        if name.ends_with("-python") && python().is_none() {
            continue;
        }
        let Some(table) = table(name) else { return };
        let page = page(name);
        let text = std::fs::read_to_string(&page).unwrap();
        let current = with_table(&text, &table).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text == current, "{} is stale: run `make examples`\n{table}", page.display());
    }
}

#[test]
fn the_pairs_page_moves_the_perpetual_as_its_result_was_made() {
    let Some(by) = moved_by() else { return };
    let text = std::fs::read_to_string(page("spot-perp")).unwrap();
    assert!(text.contains(&format!("int(t) + {by}}}")), "the page's command moves it by something else than {by}");
}

#[test]
fn a_stale_table_is_found() {
    let text = std::fs::read_to_string(page("ema-cross")).unwrap();
    let of = |text: &str| text.split("<!--").nth(1).unwrap().split_once("-->\n").unwrap().1.to_owned();
    let table = of(&text);
    assert_eq!(with_table(&text, &table).unwrap(), text);
    assert_ne!(with_table(&text, &table.replace("fills | ", "fills | 1")).unwrap(), text);
    assert!(with_table("no markers", "").unwrap_err().contains("make examples"));
}

#[test]
fn every_example_with_a_page_is_on_the_list_of_pages_and_has_all_that_a_reader_wants() {
    let list = std::fs::read_to_string(project_root().join("strategies-examples/README.md")).unwrap();
    let linked = |name: &str| list.contains(&format!("]({name}/README.md)"));
    for name in examples() {
        assert!(linked(name), "{name} is not on the list");
        let text = std::fs::read_to_string(page(name)).unwrap();
        for wanted in ["**What it asks of the market.**", "## Run it", "| param |", "**What it cannot know.**"] {
            assert!(text.contains(wanted), "{name}: {wanted}");
        }
    }
    for entry in std::fs::read_dir(project_root().join("strategies-examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if page(&name).is_file() {
            assert!(examples().any(|known| known == name), "{name} has a page and no result");
        }
    }
}

#[test]
fn every_example_runs_on_kafka_from_its_files_as_they_stand() {
    let Some(broker) = Broker::shared() else { return };
    let of =
        |file: &str| examples().map(|name| page(name).with_file_name(file)).filter(|path| path.is_file()).collect();
    let files: [Vec<PathBuf>; 2] = [of("strategy.yaml"), of("perpetual.yaml")];
    assert_eq!(files.each_ref().map(Vec::len), [examples().count(), examples().count() - 1], "a pair has both in one");
    let mut topics = BTreeSet::new();
    for file in files.iter().flatten() {
        let text = std::fs::read_to_string(file).unwrap();
        for strategy in pinion_spec::parse(&text, "an example").unwrap_or_else(|errors| panic!("{errors}")) {
            topics.insert(strategy.spec.outputs.orders.topic);
            for input in strategy.spec.inputs {
                assert!(input.encoding != Encoding::PinionExecution || input.topic.starts_with("executions."));
                topics.insert(input.topic);
            }
        }
    }
    topics.iter().for_each(|topic| broker.create_topic(topic, 1));
    let files: Vec<&Path> = files.iter().flatten().map(PathBuf::as_path).collect();
    let runtime = Runtime::start_ready(&files, &broker.address(), &[]);
    let running = runtime.get("/strategies").unwrap().body;
    for name in examples() {
        assert!(running.contains(&format!("\"{name}\"")), "{name} does not run: {running}");
    }
    assert!(is_clean(runtime.sigterm_and_wait()));
}
