//! `pinion demo` as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test: what is not as expected fails it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pinion_tests::require;
use serde_json::Value;

/// The project's root, or `None`, said loudly, where the example strategies are not built.
fn project() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in ["book-imbalance", "ema-cross"] {
        let module = root.join("strategies-examples").join(name).join(format!("{name}.wasm"));
        if !module.exists() {
            require::skip(&format!("{} is not built; run `make strategies`", module.display()));
            return None;
        }
    }
    Some(root.to_owned())
}

fn pinion(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pinion")).args(args).current_dir(folder).output().unwrap()
}

/// The summary of a demo that ended well.
fn summary(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// An empty folder of this test run, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pinion-demo-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_same_arguments_give_the_same_order_stream_and_another_seed_another() {
    let Some(root) = project() else { return };
    let demo = |seed| {
        let args = ["demo", "--seconds", "2", "--rate", "2000", "--seed", seed, "--format", "json"];
        summary(&pinion(&args, &root))
    };
    let (first, again, other) = (demo("1"), demo("1"), demo("2"));
    for summary in [&first, &again, &other] {
        assert_eq!(summary["published"], 4_000, "{summary}");
        assert_eq!(summary["latency_ns"]["decode"]["count"], 4_000, "{summary}");
        assert!(summary["orders"]["approved"].as_u64().unwrap() > 0, "{summary}");
        assert_eq!(summary["faults"], serde_json::json!({}), "{summary}");
    }
    for field in ["events", "orders", "order_stream_sha256"] {
        assert_eq!(first[field], again[field], "{field}");
    }
    // What the venue made of them hangs on when it read them.
    let decided = |summary: &serde_json::Value| {
        let mut strategies = summary["strategies"].clone();
        for strategy in strategies.as_object_mut().unwrap().values_mut() {
            let paper = strategy.as_object_mut().unwrap().remove("paper").unwrap();
            let orders: u64 =
                strategy["orders"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
            assert_eq!(paper["orders"], orders, "every message came to the venue");
        }
        strategies
    };
    assert_eq!(decided(&first), decided(&again));
    assert_ne!(first["order_stream_sha256"], other["order_stream_sha256"]);
}

#[test]
fn a_capture_is_published_to_its_end_and_its_events_are_counted() {
    let Some(root) = project() else { return };
    let folder = Folder::new("capture");
    let frames = [
        r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":7,"b":[["1.00","2"]],"a":[["2.00","1"]]}}"#,
        r#"{"stream":"btcusdt@bookTicker","data":{"u":8,"s":"BTCUSDT","b":"1.00","B":"2","a":"2.00","A":"1"}}"#,
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":2,"s":"BTCUSDT","t":9,"p":"1.00","q":"1","T":2,"m":true,"M":true}}"#,
    ];
    let capture = folder.0.join("capture");
    let lines: Vec<String> = frames.iter().map(|frame| format!("1700000000000000000 {frame}\n")).collect();
    std::fs::write(&capture, lines.concat()).unwrap();
    let summary = summary(&pinion(&["demo", "--data", capture.to_str().unwrap(), "--format", "json"], &root));
    let events =
        serde_json::json!({"quote": 1, "trade": 1, "book_delta": 2, "book_snapshot": 0, "execution": 0, "status": 0});
    assert_eq!((&summary["published"], &summary["events"]), (&3.into(), &events), "{summary}");
}

#[test]
fn an_interrupt_drains_and_sums_up_with_exit_code_0() {
    let Some(root) = project() else { return };
    let mut child = Command::new(env!("CARGO_BIN_EXE_pinion"))
        .args(["demo", "--seconds", "600", "--format", "json"])
        .current_dir(root)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Interrupted once it has said that events come.
    let mut progress = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("events/s") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut progress, &mut line).unwrap() > 0, "it ended before it began");
    }
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    // Nobody reads the rest, and nothing may hang on that.
    let rest = std::thread::spawn(move || std::io::copy(&mut progress, &mut std::io::sink()));
    let summary = summary(&child.wait_with_output().unwrap());
    rest.join().unwrap().unwrap();
    assert!(summary["published"].as_u64().unwrap() > 0, "{summary}");
    assert!(summary["order_stream_sha256"].is_string(), "{summary}");
}

#[test]
fn a_module_that_is_not_built_says_how_to_build_it() {
    let folder = Folder::new("unbuilt");
    for name in ["book-imbalance", "ema-cross"] {
        let strategy = folder.0.join("strategies-examples").join(name);
        std::fs::create_dir_all(&strategy).unwrap();
        let text = format!(
            "apiVersion: pinion.dev/v1alpha1\nkind: Strategy\nmetadata:\n  name: {name}\nspec:\n  module:\n    file: {name}.wasm\n  \
             inputs:\n    - topic: t\n      encoding: binance-spot\n  outputs:\n    orders:\n      topic: o\n"
        );
        std::fs::write(strategy.join("strategy.yaml"), text).unwrap();
    }
    let output = pinion(&["demo"], &folder.0);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("book-imbalance.wasm") && stderr.contains("make strategies"), "{stderr}");
}

#[test]
fn a_folder_without_the_examples_says_where_to_run_the_demo() {
    let folder = Folder::new("elsewhere");
    let output = pinion(&["demo"], &folder.0);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.starts_with("pinion: ") && stderr.contains("--strategies"), "{stderr}");
}
