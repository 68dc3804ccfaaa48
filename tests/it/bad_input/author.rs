//! What a strategy's author gets wrong: each ends in an error that names the place, with the documented exit code, and costs nothing that was right.
//!
//! | what is wrong | where it shows | exit code | nothing is lost |
//! |---|---|---|---|
//! | it raises, recurses or allocates for ever | `backtest`, with record, stream time and traceback | 64 | the result over all of the data is written |
//! | | `check` | 65 | |
//! | | a live run, in the log and by kind in the metrics | 0, as asked | whoever is beside it sees and sends everything |
//! | it prints a megabyte | a live run: cut, with how much was left out | 0 | the same |
//! | it imports `socket` | `build`, file and line | 64 | no component is left |
//! | data is cut, a Parquet lacks a column, a param is not there, an output is not writable | `backtest`, before or instead of a result | 64 | `--out` is left empty |
//! | a journal has a flipped bit | `replay`: [`crate::replay`] | 64 | |

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{Frame, SPOT, frames, project_root};
use pinion_tests::guide::blocks;
use pinion_tests::kafka::Broker;
use pinion_tests::programs::pinion;
use pinion_tests::runtime::{Runtime, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use serde_json::Value;

use crate::market::{orders, read_to_end, record_only, values};

/// What is done wrong in Python, the fault that it ends in, and what is said of it.
const MISBEHAVING: [(&str, &str, &[&str]); 3] = [
    ("raises", "trap", &["File \"strategy.py\", line ", "in raises\n", "ZeroDivisionError: division by zero"]),
    (
        "recurses",
        "trap",
        &["File \"strategy.py\", line ", "in recurses\n", "RecursionError: maximum recursion depth exceeded"],
    ),
    ("allocates", "memory", &["bytes asked for, over the cap of 67108864"]),
];

/// What it prints is cut to this.
const PRINTED: &str = "... (999020 more characters)";

/// Frames of the capture: Python prints a megabyte in some milliseconds.
const FRAMES: usize = 400;

/// A component with a Python in it takes 20 s to compile on a quiet machine.
const START: Duration = Duration::from_secs(240);

/// The module of `tests/it/python/misbehaving`.
static MODULE: LazyLock<(Scratch, PathBuf)> = LazyLock::new(|| {
    let out = Scratch::new();
    let folder = project_root().join("tests/it/python/misbehaving");
    let built = pinion("build").arg(folder).arg("--out").arg(out.path()).output().unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    let module = out.path().join("misbehaving.wasm");
    (out, module)
});

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Turns a strategy into one that misbehaves.
fn misbehaving(mut strategy: Strategy, mode: &str) -> Strategy {
    strategy.metadata.name = mode.to_owned();
    strategy.spec.module.file = Some(MODULE.1.to_str().unwrap().to_owned());
    strategy.spec.params = [("mode".to_owned(), mode.to_owned())].into();
    strategy.spec.budget.call_micros = 1_000_000;
    strategy
}

/// The capture's first frames, and a file with them.
fn sample(scratch: &Scratch) -> Option<(Vec<Frame>, PathBuf)> {
    let mut frames = frames(&SPOT.path()?);
    frames.truncate(FRAMES);
    let line = |frame: &Frame| [frame.ts_recv.to_string().as_bytes(), b" ", &frame.value[..], b"\n"].concat();
    let file = scratch.write("sample", frames.iter().flat_map(line).collect::<Vec<u8>>());
    Some((frames, file))
}

fn run(subcommand: &str, file: &Path, data: &Path, args: &[&str]) -> Output {
    pinion(subcommand).arg(file).arg("--data").arg(data).args(args).output().unwrap()
}

/// The exit code, and all that is to be said on the standard error.
#[track_caller]
fn ends(output: &Output, code: i32, says: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in says {
        assert!(said.contains(part), "nothing of {part:?} in: {said}");
    }
}

#[test]
fn a_strategy_that_raises_recurses_or_allocates_is_told_with_its_line_and_the_backtest_goes_to_its_end() {
    let scratch = Scratch::new();
    let Some((_, data)) = sample(&scratch) else { return };
    let inspected = pinion("inspect").arg(&data).args(["--format", "json"]).output().unwrap();
    let all: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    for (mode, kind, says) in MISBEHAVING {
        let file = strategies::write(&scratch, &misbehaving(strategies::example("ema-cross"), mode));
        let output = run("backtest", &file, &data, &["--format", "json"]);
        ends(&output, 64, says);
        ends(&output, 64, &["at binance.spot.btcusdt/0/1, stream time 2024-08-09T00:00:00.0", "ended in quarantine"]);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&result["records"], &result["faults"][kind]), (&all["messages"], &Value::from(5)), "{result}");

        let output = run("check", &file, &data, &[]);
        assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));
        let verdict = text(&output.stdout);
        assert!(verdict.contains(&format!("FAILS: 5 faults of kind {kind}")), "{verdict}");
        says.iter().for_each(|part| assert!(verdict.contains(part), "{mode}: {verdict}"));
    }
    let file = strategies::write(&scratch, &misbehaving(strategies::example("ema-cross"), "prints"));
    let output = run("backtest", &file, &data, &["--format", "json"]);
    ends(&output, 0, &[]);
    assert!(output.stderr.len() < 1 << 20, "{} bytes said", output.stderr.len());
}

#[test]
fn on_kafka_they_cost_the_one_beside_them_no_record_and_a_printed_megabyte_is_cut() {
    let Some(broker) = Broker::shared() else { return };
    let scratch = Scratch::new();
    let Some((frames, data)) = sample(&scratch) else { return };
    let market = Broker::unique_topic("authors");
    broker.create_topic(&market, 1);
    let behaving = record_only(broker, &market);
    let wrong = MISBEHAVING.iter().map(|(mode, ..)| *mode).chain(["prints"]).map(|mode| {
        let mut strategy = misbehaving(strategies::example_on(broker, "ema-cross", &market), mode);
        // One group is one feed, and one feed is one worker's.
        strategy.spec.inputs = behaving.spec.inputs.clone();
        strategy.spec.outputs.dead_letter = behaving.spec.outputs.dead_letter.clone();
        strategy
    });
    let files: Vec<PathBuf> =
        wrong.chain([behaving.clone()]).map(|strategy| strategies::write(&scratch, &strategy)).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut runtime = Runtime::start(&files, &broker.address(), &["--log-format", "text"]);
    runtime.until("the runtime to be ready", START, |runtime| (runtime.ready()?.status == 200).then_some(()));
    broker.produce_frames(&market, frames.iter().map(|frame| (0, frame)));
    read_to_end(&mut runtime, broker, &behaving);
    for (mode, kind, _) in MISBEHAVING {
        assert!(runtime.count(&metrics::FAULTS, &[("strategy", mode), ("kind", kind)]) > 0, "{mode}");
    }
    assert_eq!(runtime.count(&metrics::FAULTS, &[("strategy", "prints")]), 0);
    let (status, log) = runtime.sigterm_and_read();
    assert!(is_clean(status));
    assert!(log.len() < 1 << 20, "the log has {} bytes", log.len());
    // A line of the log has no line ends in it.
    let log = log.replace("\\\"", "\"");
    let says = MISBEHAVING.iter().flat_map(|(.., says)| says.iter().copied()).map(|part| part.trim_end());
    for part in says.chain([PRINTED]) {
        assert!(log.contains(part), "nothing of {part:?} in the log");
    }

    let sent = values(&orders(broker, &behaving));
    let alone = run("backtest", &strategies::write(&scratch, &behaving), &data, &["--format", "json"]);
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap();
    assert!(!sent.is_empty());
    assert_eq!(alone["orders"], sent.len(), "as many as without anybody beside it");
    let lines: Vec<u8> = sent.iter().flat_map(|value| [&value[..], b"\n"].concat()).collect();
    assert_eq!(alone["order_stream_sha256"], crate::backtest::hash(&lines));
}

#[test]
fn an_import_that_the_sandbox_does_not_carry_is_refused_as_the_guide_says() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("dip")).unwrap();
    scratch.write(
        "dip/strategy.py",
        "from pinion_strategy import Strategy\n\nimport socket\n\n\nclass Dip(Strategy): ...\n",
    );
    let output = pinion("build").arg("dip").current_dir(scratch.path()).output().unwrap();
    let guide = fs::read_to_string(project_root().join("docs/guide/first-strategy-python.md")).unwrap();
    let shown = blocks(&guide).into_iter().find(|block| block.text.contains("import of socket")).unwrap().text;
    ends(&output, 64, &[shown.trim()]);
    assert!(!scratch.path().join("dip/dip.wasm").exists());
}

/// An event file of the sample, written by `pinion inspect`.
fn event_file(scratch: &Scratch, data: &Path, name: &str) -> PathBuf {
    let path = scratch.path().join(name);
    let output = pinion("inspect").arg(data).arg("--out").arg(&path).output().unwrap();
    ends(&output, 0, &[]);
    path
}

#[test]
fn data_that_is_cut_in_the_middle_of_a_record_is_told_with_the_place_and_nothing_is_written() {
    let scratch = Scratch::new();
    let Some((_, data)) = sample(&scratch) else { return };
    let file = strategies::write(&scratch, &strategies::example("record-only"));
    let out = scratch.path().join("out");
    let lines = fs::read(&data).unwrap();
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut compressed, &lines).unwrap();
    let compressed = compressed.finish().unwrap();
    let parquet = fs::read(event_file(&scratch, &data, "whole.parquet")).unwrap();
    let last_line = format!("line {FRAMES}");
    for (name, whole, place) in [
        ("cut.txt", lines, last_line.as_str()),
        ("cut.gz", compressed, "cut off"),
        ("cut.parquet", parquet, "cut.parquet"),
    ] {
        let cut = scratch.write(name, &whole[..whole.len() - 20]);
        let output = run("backtest", &file, &cut, &["--out", out.to_str().unwrap()]);
        ends(&output, 64, &[name, place]);
        assert!(output.stdout.is_empty(), "no half a result");
        assert!(!out.exists() || fs::read_dir(&out).unwrap().count() == 0, "{name}: something is left in --out");
    }
}

/// A Parquet file without one of its columns.
fn without(path: &Path, column: &str) {
    let batches = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = batches.map(Result::unwrap).collect();
    let lacking = |batch: &RecordBatch| {
        let mut batch = batch.clone();
        let _ = batch.remove_column(batch.schema().index_of(column).unwrap());
        batch
    };
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), Arc::clone(&lacking(&batches[0]).schema()), None).unwrap();
    batches.iter().for_each(|batch| writer.write(&lacking(batch)).unwrap());
    writer.close().unwrap();
}

#[test]
fn a_parquet_without_a_column_a_param_that_is_not_there_and_an_output_that_is_not_writable_are_named() {
    let scratch = Scratch::new();
    let Some((_, data)) = sample(&scratch) else { return };
    let file = strategies::write(&scratch, &strategies::example("ema-cross"));
    let events = event_file(&scratch, &data, "events.parquet");
    ends(&run("backtest", &file, &events, &[]), 0, &[]);
    without(&events, "bid_price");
    ends(&run("backtest", &file, &events, &[]), 64, &["events.parquet", "column", "bid_price"]);

    let sweep = run("backtest", &file, &data, &["--param", "fast=20,50", "--param", "sloow=200,400"]);
    ends(&sweep, 64, &["no parameter sloow; it has fast, size, slow"]);

    // Where nobody can write, not even root.
    let began = run("backtest", &file, &data, &["--out", "/proc/results"]);
    ends(&began, 64, &["--out: cannot write /proc/results"]);
    for output in [sweep, began] {
        assert!(output.stdout.is_empty(), "it is told before anything runs: {}", text(&output.stdout));
    }
}
