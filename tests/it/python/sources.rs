//! From source to component: what is refused, with file and line, and what is not built twice.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_tests::bounds;
use pinion_tests::programs::pinion;
use pinion_tests::python::{pytest, python};
use pinion_tests::scratch::Scratch;
use serde_json::Value;

use super::build;

/// What `pinion build` says of a folder with this `strategy.py`.
fn refused(text: &str) -> (Option<i32>, String) {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("strategy.py"), text).unwrap();
    let output = build(scratch.path(), scratch.path());
    let said = String::from_utf8_lossy(&output.stderr).replace(&scratch.path().display().to_string(), "mine");
    (output.status.code(), said)
}

fn since(began_ns: u64) -> Duration {
    Duration::from_nanos(mono_ns() - began_ns)
}

#[test]
fn what_the_sandbox_does_not_carry_is_refused_all_of_it_with_file_and_line() {
    let (code, said) = refused(
        "import socket\nimport numpy as np\nfrom time import time\nimport random\nfrom datetime import datetime\n\
         from pinion_strategy import Strategy\n\nclass Mine(Strategy):\n    def on_trade(self, trade):\n        \
         import threading\n        random.random()\n        datetime.now()\n        random.Random()\n        \
         random.Random(7)\n",
    );
    assert_eq!(code, Some(64), "{said}");
    for (line, words) in [
        (1, "import of socket: the sandbox does not carry it; a strategy reaches nothing but its host"),
        (2, "import of numpy: it is neither in this folder nor in the standard library"),
        (3, "import of time: the sandbox does not carry it; self.now is the time of the records"),
        (10, "import of threading"),
        (11, "random.random has no seed of its own; random.Random(seed)"),
        (12, "datetime.now() reads a clock; self.now"),
        (13, "random.Random() without a seed"),
    ] {
        assert!(said.contains(&format!("mine/strategy.py:{line}: {words}")), "line {line}: {said}");
    }
    assert!(!said.contains(":14:") && !said.contains(":4:"), "{said}");
}

#[test]
fn a_file_without_one_strategy_is_refused_with_what_to_do() {
    for (text, words) in [
        ("class Mine:\n    def on_trade(:\n", "mine/strategy.py:2: syntax error: "),
        ("x = 1\n", "mine/strategy.py:1: no strategy in it; derive one class from pinion_strategy.Strategy"),
        (
            "from pinion_strategy import Strategy\nclass A(Strategy): ...\nclass B(Strategy): ...\n",
            "mine/strategy.py:3: 2 strategies: A and B; keep one of them",
        ),
    ] {
        let (code, said) = refused(text);
        assert!(code == Some(64) && said.contains(words), "{said}");
    }
}

#[test]
fn what_raises_while_it_is_imported_is_refused_with_its_traceback() {
    let (code, said) = refused("from pinion_strategy import Strategy\nTABLE = {}['x']\nclass Mine(Strategy): ...\n");
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("File \"mine/strategy.py\", line 2, in <module>") && said.contains("KeyError: 'x'"),
        "{said}"
    );
}

#[test]
fn a_callback_that_is_mistyped_is_refused_with_what_was_meant() {
    let (code, said) =
        refused("from pinion_strategy import Strategy\nclass Mine(Strategy):\n    def on_qoute(self, quote): ...\n");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("TypeError: line 3: Mine.on_qoute is no callback; did you mean on_quote?"), "{said}");
}

/// A new project of a language, its unit tests run, built, and built again.
fn project(scratch: &Path, lang: &str, template: &str) -> Value {
    let name = format!("{lang}-{template}");
    let made =
        pinion("new").args([&name, "--lang", lang, "--template", template]).current_dir(scratch).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let folder = scratch.join(&name);
    let began = mono_ns();
    let output = build(&folder, &folder);
    let took = since(began);
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let first: Value = serde_json::from_slice(&output.stdout).unwrap();
    bounds::shown(&format!("pinion build of a new project, {name}"), format!("{:.1} s", took.as_secs_f64()));
    first
}

#[test]
fn a_new_python_project_tests_builds_and_is_not_built_twice() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    for template in ["ema-cross", "market-maker", "pairs"] {
        let name = format!("tested-{template}");
        let made = pinion("new")
            .args([&name, "--lang", "python", "--template", template])
            .current_dir(scratch.path())
            .output();
        assert!(made.unwrap().status.success());
        let (_, passed) = pytest(&python, &scratch.path().join(&name), &[]);
        assert!(passed >= 2);
    }
    let first = project(scratch.path(), "python", "market-maker");
    assert_eq!(first["lane"], "component");
    let folder = scratch.path().join("python-market-maker");
    // Another time on the file, the same content.
    fs::write(folder.join("strategy.py"), fs::read(folder.join("strategy.py")).unwrap()).unwrap();
    let began = mono_ns();
    let again: Value = serde_json::from_slice(&build(&folder, &folder).stdout).unwrap();
    bounds::takes_less("pinion build of unchanged Python", since(began), Duration::from_secs(5));
    assert_eq!((&again["unchanged"], &again["digest"]), (&Value::Bool(true), &first["digest"]));
    // Tests are no part of the component; a changed strategy is another.
    fs::write(folder.join("tests/test_more.py"), "").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&build(&folder, &folder).stdout).unwrap()["unchanged"], true);
}

#[test]
fn a_new_rust_project_builds_and_is_not_built_twice() {
    let scratch = Scratch::new();
    let first = project(scratch.path(), "rust", "pairs");
    assert_eq!(first["lane"], "direct");
    let folder = scratch.path().join("rust-pairs");
    fs::write(folder.join("src/lib.rs"), fs::read(folder.join("src/lib.rs")).unwrap()).unwrap();
    let again: Value = serde_json::from_slice(&build(&folder, &folder).stdout).unwrap();
    assert_eq!((&again["unchanged"], &again["digest"]), (&Value::Bool(true), &first["digest"]));
    let text = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
    fs::write(folder.join("src/lib.rs"), text.replace("at least 1", "one at least")).unwrap();
    let began = mono_ns();
    let changed: Value = serde_json::from_slice(&build(&folder, &folder).stdout).unwrap();
    bounds::shown("pinion build of changed Rust, warm", format!("{:.1} s", since(began).as_secs_f64()));
    assert_eq!(changed["unchanged"], false);
    assert_ne!(changed["digest"], first["digest"]);
}
