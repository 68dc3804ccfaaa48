//! A module in the place of a running one, on a real Kafka.

use std::fs;

use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{SPOT, project_root};
use pinion_tests::runtime::{Runtime, START, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::{bounds, strategies};
use serde_json::Value;

use super::{Watching, cycle, dev, new, step};
use crate::market::{Feeder, json, orders};

const PIECE: usize = 2_000;
const TOKEN: &str = "a-token-of-the-tests";

/// The modules that a strategy's orders say they are of, in their order.
fn modules(feeder: &Feeder, strategy: &Strategy) -> Vec<String> {
    let module = |record: &pinion_tests::kafka::Record| {
        let header = record.headers.iter().find(|(name, _)| name == "pinion-module").unwrap();
        String::from_utf8(header.1.clone()).unwrap()
    };
    orders(feeder.broker, strategy).iter().map(module).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

#[test]
fn a_changed_source_runs_once_it_holds_and_until_then_what_ran_goes_on() {
    let (Some(mut feeder), Some(capture)) = (Feeder::new(), SPOT.path()) else { return };
    let scratch = Scratch::new();
    let folder = new(scratch.path(), "loop", "rust", "ema-cross");
    let source = fs::read_to_string(project_root().join("strategies-examples/record-only/src/lib.rs")).unwrap();
    let write = |text: &str| fs::write(folder.join("src/lib.rs"), text).unwrap();
    write(&source);
    let mut strategy = strategies::example_on(feeder.broker, "record-only", &feeder.market);
    strategy.spec.params.insert("every".to_owned(), "10".to_owned());
    strategy.spec.budget.call_micros = 1_000_000;
    strategy.spec.module.file = Some("loop.wasm".to_owned());
    fs::write(folder.join("strategy.yaml"), serde_json::to_vec_pretty(&strategy).unwrap()).unwrap();
    let path = folder.display().to_string();
    let capture = capture.display().to_string();
    let common = [path.as_str(), "--data", &capture, "--records", "5000"];

    // Nothing runs yet: the component is there for whoever starts it.
    let once = dev(&[&common[..], &["--once", "--format", "json"]].concat()).output().unwrap();
    assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    let first = text(&cycle(&once), "module").to_owned();
    let token = scratch.write("token", TOKEN);
    let token = token.display().to_string();
    let file = folder.join("strategy.yaml");
    let mut runtime = Runtime::start_pinion_run(&[&file], &feeder.broker.address(), &["--admin-token-file", &token])
        .with_token(TOKEN);
    runtime.until("pinion run to be ready", START, |runtime| (runtime.ready()?.status == 200).then_some(()));
    let into = format!("http://{}", runtime.address());

    let unnamed = dev(&[&common[..], &["--once", "--into", &into]].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&unnamed.stdout).into_owned();
    assert!(unnamed.status.code() == Some(64) && said.contains("--admin-token-file"), "{said}");

    let mut watching = Watching::start(&[&common[..], &["--into", &into, "--admin-token-file", &token]].concat());
    let same = watching.next();
    assert!(same["ok"] == true && text(&same, "running") == first, "{same}");
    assert!(text(step(&same, "swap"), "said").ends_with("already"), "{same}");
    feeder.feed(&mut runtime, &strategy, PIECE);
    let sent = modules(&feeder, &strategy);
    assert!(!sent.is_empty() && sent.iter().all(|module| *module == first), "orders of {first}");

    // It holds: it runs.
    write(&source.replace(".tag(sequence)", ".tag(sequence + 1)"));
    let swapped = watching.next();
    let second = text(&swapped, "module").to_owned();
    assert!(swapped["ok"] == true && second != first && text(&swapped, "running") == second, "{swapped}");
    assert_eq!(swapped["changed"], serde_json::json!(["src/lib.rs"]));
    for name in ["build", "compile", "check", "backtest", "swap", "write"] {
        let ms = step(&swapped, name)["ms"].as_u64().unwrap();
        bounds::shown(&format!("pinion dev, a changed line of Rust: {name}"), format!("{ms} ms"));
    }
    assert_eq!(json(runtime.get("/strategies").unwrap().body.as_bytes())[0]["module"], second.as_str());
    feeder.feed(&mut runtime, &strategy, PIECE);
    let sent = modules(&feeder, &strategy);
    let at = sent.iter().position(|module| *module == second).expect("orders of the new module");
    assert!(sent[..at].iter().all(|module| *module == first) && sent[at..].iter().all(|module| *module == second));

    // It does not build: its place is told, and what ran goes on.
    let broken = source.replace("quote.head.sequence;", "quote.head.sequins;");
    let line = broken.lines().position(|line| line.contains("sequins")).unwrap() + 1;
    write(&broken);
    let refused = watching.next();
    let said = text(step(&refused, "build"), "said");
    assert!(said.contains(&format!("src/lib.rs:{line}:")) && said.contains("sequins"), "{refused}");
    assert_eq!((refused["exit_code"].as_u64(), text(&refused, "running")), (Some(64), second.as_str()));

    // It builds and faults: not swapped.
    let faulty = "        assert!(!sequence.is_multiple_of(self.every), \"on purpose\");\n        if !sequence";
    write(&source.replace("        if !sequence", faulty));
    let failed = watching.next();
    let said = text(step(&failed, "check"), "said");
    assert!(
        said.contains("faults of kind trap") && said.contains("src/lib.rs:") && said.contains("on purpose"),
        "{failed}"
    );
    assert_eq!((failed["exit_code"].as_u64(), text(&failed, "running")), (Some(65), second.as_str()));
    assert_ne!(text(&failed, "module"), second);
    let written = fs::read(folder.join("loop.wasm")).unwrap();
    assert_eq!(pinion_runtime::sandbox::artefact::Digest::of(&written).to_string(), second, "the file of what held");
    let before = modules(&feeder, &strategy).len();
    feeder.feed(&mut runtime, &strategy, PIECE);
    let sent = modules(&feeder, &strategy);
    assert!(sent.len() > before && sent[before..].iter().all(|module| *module == second), "orders go on");

    // `pinion run` watches the very file that was written, and did not swap a second time for it.
    assert_eq!(runtime.count(&metrics::SWAPS, &[]), 1);
    assert_eq!(watching.interrupt().code(), Some(0));
    assert!(is_clean(runtime.sigterm_and_wait()));
}
