//! `pinion run` as a user runs it: what is wrong is said on one line, and the exit code says whose fault it is.
#![allow(clippy::unwrap_used, reason = "a test: what is not as expected fails it")]

use std::path::Path;
use std::process::{Command, Output};

fn run(text: &str, name: &str) -> Output {
    let file = std::env::temp_dir().join(format!("pinion-run-{}-{name}.yaml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pinion"))
        .args(["run", "--brokers", "127.0.0.1:1"])
        .arg(&file)
        .output()
        .unwrap();
    std::fs::remove_file(file).unwrap();
    output
}

#[test]
fn a_file_with_mistakes_ends_with_64_and_names_each() {
    let output = run("apiVersion: v2\nkind: Strategy\nmetadata: {name: a}\nspec: {}\n", "mistakes");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("pinion: ") && stderr.contains("apiVersion") && stderr.contains("module"), "{stderr}");
}

#[test]
fn a_file_that_is_not_there_ends_with_64() {
    let output = Command::new(env!("CARGO_BIN_EXE_pinion"))
        .args(["run", "no-such-file.yaml", "--brokers", "127.0.0.1:1"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(
        stderr.trim_end().ends_with("cannot read no-such-file.yaml: No such file or directory (os error 2)"),
        "{stderr}"
    );
}

#[test]
fn a_module_that_is_not_there_ends_with_64_and_is_named() {
    let text = "apiVersion: pinion.dev/v1alpha1\nkind: Strategy\nmetadata:\n  name: a\nspec:\n  module:\n    file: absent.wasm\n  \
                inputs:\n    - topic: t\n      encoding: binance-spot\n  outputs:\n    orders:\n      topic: o\n";
    let output = run(text, "module");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("absent.wasm"), "{stderr}");
}

#[test]
fn a_broker_that_is_not_there_ends_with_69() {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strategies-examples/ema-cross/ema-cross.wasm");
    if !module.exists() {
        return pinion_tests::require::skip(&format!("{} is not built; run `make strategies`", module.display()));
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pinion"))
        .args(["run", "--brokers", "127.0.0.1:1"])
        .arg(module.with_file_name("strategy.yaml"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.lines().last().unwrap().starts_with("pinion: "), "{stderr}");
}
