//! What needs no broker: exit codes, places of errors, and that a new project goes through every step at once.

use std::fs;

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_tests::bounds;
use pinion_tests::guide::Reader;
use pinion_tests::programs::build_folder;
use pinion_tests::python::python;
use pinion_tests::runtime::module_cache;
use pinion_tests::scratch::Scratch;

use super::{cycle, dev, new, step};

#[test]
fn a_step_that_fails_ends_the_cycle_with_its_place_and_its_exit_code() {
    let scratch = Scratch::new();
    let folder = new(scratch.path(), "sock", "python", "ema-cross");
    let path = folder.display().to_string();
    let source = fs::read_to_string(folder.join("strategy.py")).unwrap();
    fs::write(folder.join("strategy.py"), format!("import socket\n{source}")).unwrap();
    let output = dev(&[&path, "--once", "--format", "json"]).output().unwrap();
    let told = cycle(&output);
    assert_eq!((output.status.code(), told["exit_code"].as_u64()), (Some(64), Some(64)));
    let said = step(&told, "build")["said"].as_str().unwrap();
    assert!(said.contains("strategy.py:1: import of socket"), "{said}");
    assert!(!folder.join("sock.wasm").exists(), "what did not hold was written");

    let yaml = fs::read_to_string(folder.join("strategy.yaml")).unwrap();
    fs::write(folder.join("strategy.yaml"), yaml.replace("maxOpenOrders: 20", "maxOpenOrders: many")).unwrap();
    let line = yaml.lines().position(|line| line.contains("maxOpenOrders")).unwrap() + 1;
    let output = dev(&[&path, "--once"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(64));
    assert!(said.contains("FAILED") && said.contains(&format!("strategy.yaml:{line}")), "{said}");

    let nothing = dev(&[&scratch.path().display().to_string(), "--once"]).output().unwrap();
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(nothing.status.code() == Some(64) && said.contains("pinion new"), "{said}");
    let elsewhere = dev(&[&path, "--into", "http://192.0.2.1:9101"]).output().unwrap();
    let said = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert!(elsewhere.status.code() == Some(64) && said.contains("on this machine"), "{said}");
}

#[test]
fn where_nothing_runs_the_component_is_written_for_whoever_starts_it() {
    let scratch = Scratch::new();
    let folder = new(scratch.path(), "alone", "rust", "ema-cross");
    // Free once it has been asked for and given back.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (path, into) = (folder.display().to_string(), format!("http://{free}"));
    let output = dev(&[&path, "--once", "--format", "json", "--into", &into]).output().unwrap();
    let told = cycle(&output);
    assert_eq!(output.status.code(), Some(69), "{told}");
    let said = step(&told, "swap")["said"].as_str().unwrap();
    assert!(said.contains("pinion run --admin"), "{said}");
    assert!(folder.join("alone.wasm").is_file());
    assert_eq!(told["running"], serde_json::Value::Null);
}

/// The commands of a project's README, without their comments.
fn commands(folder: &Path) -> Vec<String> {
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let (_, block) = readme.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.lines().map(|line| line.split("  #").next().unwrap_or(line).trim().to_owned()).collect()
}

/// Makes a project of each template in a language and does what its README says; what that took.
fn do_as_the_readmes_say(reader: &Reader, lang: &str, first: &str) {
    for template in ["ema-cross", "market-maker", "pairs"] {
        let name = format!("new-{lang}-{template}");
        let folder = new(reader.folder(), &name, lang, template);
        let commands = commands(&folder);
        let begun: Vec<&str> = commands.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(begun[0], first, "{commands:?}");
        for word in ["build", "check", "sample", "backtest", "dev", "run"] {
            assert!(begun.contains(&word), "{name}: no `pinion {word}` in {commands:?}");
        }
        let began = mono_ns();
        for command in &commands {
            // The one needs a Kafka (other tests have one), the other never ends by itself.
            if command.starts_with("pinion run ") {
                continue;
            }
            let once = if command == "pinion dev" { " --once" } else { "" };
            reader.run(&format!("cd {name} && {command}{once}"));
        }
        let took = Duration::from_nanos(mono_ns() - began);
        bounds::shown(&format!("all that the README of {name} says"), format!("{:.1} s", took.as_secs_f64()));
        let run: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("result/run.json")).unwrap()).unwrap();
        let orders = run["result"]["orders"].as_u64().unwrap_or_else(|| panic!("{run}"));
        assert!(orders > 0 && folder.join("result/report.html").is_file(), "{name}: {run}");
    }
}

fn reader() -> Reader {
    let mut reader = Reader::new();
    reader.programs = vec![build_folder()];
    // What the projects share is compiled once.
    reader.variables =
        vec![("CARGO_TARGET_DIR", build_folder().join("tmp/guests")), ("PINION_MODULE_CACHE", module_cache())];
    reader
}

#[test]
fn a_new_rust_project_of_each_template_does_all_that_its_readme_says() {
    do_as_the_readmes_say(&reader(), "rust", "test");
}

#[test]
fn a_new_python_project_of_each_template_does_all_that_its_readme_says() {
    let Some(python) = python() else { return };
    let mut reader = reader();
    reader.programs.insert(0, python.parent().unwrap().to_owned());
    do_as_the_readmes_say(&reader, "python", "-m");
}
