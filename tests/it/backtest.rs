//! `pinion backtest` as a user runs it: the same orders as live, fills that can be worked out by hand, clear ends.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Decimal128Type;
use example_book_imbalance::BookImbalance;
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pinion_runtime::sandbox::Guest;
use pinion_spec::strategy::{Encoding, Input, Risk, Strategy};
use pinion_tests::captures::{Capture, SPOT, USDM, frames, project_root};
use pinion_tests::native::Native;
use pinion_tests::programs::pinion;
use pinion_tests::rig::{self, Rig, host_of, ready};
use pinion_tests::scratch::Scratch;
use pinion_tests::{strategies, stream};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::market::{orders, run_whole, topic_of, values};

pub(crate) fn hash(stream: &[u8]) -> String {
    Sha256::digest(stream).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// An example set to read a capture, its module's path absolute.
fn example(name: &str, capture: &Capture) -> Strategy {
    let mut strategy = rig::example(name, capture);
    strategy.spec.module = strategies::example(name).spec.module;
    strategy
}

fn backtest(scratch: &Scratch, strategy: &Strategy, data: &Path, args: &[&str]) -> Output {
    let file = strategies::write(scratch, strategy);
    pinion("backtest").arg(file).arg("--data").arg(data).args(args).output().unwrap()
}

fn result(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn said(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// Runs the strategy and gives its result as JSON.
fn json(strategy: &Strategy, data: &Path, args: &[&str]) -> Value {
    let scratch = Scratch::new();
    result(&backtest(&scratch, strategy, data, &[&["--format", "json"], args].concat()))
}

/// A strategy without a sandbox.
type Natively = fn(&Strategy) -> Box<dyn Guest>;

/// What a worker sends that a thread of its own drives, the strategy compiled natively.
fn natively(strategy: &Strategy, path: &Path, guest: Box<dyn Guest>) -> Vec<u8> {
    let mut rig = Rig::start(strategy.spec.inputs[0].resync, || {});
    rig.load(strategy, ready(guest, strategy));
    stream::decoded(path, strategy, |record| rig.push(record));
    rig.settle();
    rig.finish()
}

#[test]
fn a_backtest_sends_what_a_worker_sends() {
    for capture in [&SPOT, &USDM] {
        let Some(path) = capture.path() else { return };
        let natives: [(&str, Natively); 2] = [
            ("ema-cross", |s| Box::new(Native::<example_ema_cross::EmaCross>::new(host_of(s)))),
            ("book-imbalance", |s| Box::new(Native::<BookImbalance>::new(host_of(s)))),
        ];
        for (name, native) in natives {
            let strategy = example(name, capture);
            let result = json(&strategy, &path, &[]);
            assert_eq!(result["order_stream_sha256"], hash(&natively(&strategy, &path, native(&strategy))), "{name}");
            assert_eq!(result["records"], capture.messages);
            assert!(result["orders"].as_u64().unwrap() > 20 && result["fills"].as_u64().unwrap() > 5, "{result}");
            assert_eq!(result["decode_errors"], serde_json::json!({}));
            println!(
                "{name} over {}: {} orders, {} fills, pnl {}, sha256 {}",
                capture.file, result["orders"], result["fills"], result["pnl"], result["order_stream_sha256"]
            );
        }
    }
}

#[test]
fn it_ends_as_a_live_run_that_is_drained_after_the_last_record() {
    let Some(path) = SPOT.path() else { return };
    let scratch = Scratch::new();
    let strategy = example("book-imbalance", &SPOT);
    let mut cancels_at_the_end = 0;
    for count in [500, 1_000, 5_000, 20_000] {
        let mut cut = GzEncoder::new(Vec::new(), Compression::fast());
        for frame in &frames(&path)[..count] {
            cut.write_all(&[format!("{} ", frame.ts_recv).as_bytes(), &frame.value, b"\n"].concat()).unwrap();
        }
        let data = scratch.write("cut.gz", cut.finish().unwrap());
        let live = natively(&strategy, &data, Box::new(Native::<BookImbalance>::new(host_of(&strategy))));
        let result = json(&strategy, &data, &[]);
        assert_eq!(result["order_stream_sha256"], hash(&live), "{count} frames");
        let last = live.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        let ts = format!("\"ts\":{}}}", result["last_ns"]);
        cancels_at_the_end += usize::from(last.starts_with(br#"{"type":"cancel""#) && last.ends_with(ts.as_bytes()));
    }
    assert!(cancels_at_the_end > 0, "of what works at the end a drain says something");
}

#[test]
fn a_backtest_sends_what_a_live_run_sends_through_kafka() {
    for capture in [&SPOT, &USDM] {
        let (Some((broker, topic)), Some(path)) = (topic_of(capture), capture.path()) else { return };
        let both = ["ema-cross", "book-imbalance"].map(|name| {
            let on = strategies::example_on(broker, name, topic);
            let mut strategy = example(name, capture);
            strategy.spec.inputs[0].topic = topic.to_owned();
            strategy.spec.inputs[0].group = Some(format!("group.{}", on.spec.outputs.orders.topic));
            strategy.spec.outputs = on.spec.outputs;
            strategy
        });
        for strategy in &both {
            run_whole(broker, &[strategy]);
            let live: Vec<u8> =
                values(&orders(broker, strategy)).into_iter().flat_map(|v| [v, vec![b'\n']].concat()).collect();
            let result = json(strategy, &path, &[]);
            assert_eq!(result["order_stream_sha256"], hash(&live), "{} over {}", strategy.metadata.name, capture.file);
            assert_eq!(result["orders"], live.iter().filter(|byte| **byte == b'\n').count());
        }
    }
}

/// `record-only` over quotes that are written here: every tenth sequence an immediate-or-cancel order of 1.5, a buy at the ask
/// where the tenth is even, else a sale at the bid.
fn by_hand() -> Strategy {
    let mut strategy = strategies::example("record-only");
    strategy.spec.params.insert("every".to_owned(), "10".to_owned());
    strategy.spec.params.insert("size".to_owned(), "1.5".to_owned());
    let many = |text: &str| text.parse().unwrap();
    strategy.spec.risk = Some(Risk {
        max_order_size: many("10"),
        max_order_notional: many("100000"),
        max_position: many("100"),
        price_collar_bps: 1_000,
        ..Risk::default()
    });
    strategy
}

/// Time in ms, sequence, bid and its size, ask and its size.
const QUOTES: &str = "\
1000 20 100 1 101 2
1000 21 100 1 101 2
2000 22 100 1 101 1
3000 30 102 5 103 5
4000 31 103 1 104 1
5000 40 104 3 105 3
6000 41 104 3 105 1
";

fn quotes(scratch: &Scratch) -> PathBuf {
    let line = |line: &str| {
        let [ms, u, bid, bid_size, ask, ask_size] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let quote = format!(r#"{{"u":{u},"s":"BTCUSDT","b":"{bid}","B":"{bid_size}","a":"{ask}","A":"{ask_size}"}}"#);
        format!("{ms}000000 {quote}\n")
    };
    scratch.write("quotes", QUOTES.lines().map(line).collect::<String>())
}

#[test]
fn fills_and_profit_are_those_that_can_be_worked_out_by_hand() {
    let scratch = Scratch::new();
    let data = quotes(&scratch);
    let out = scratch.path().join("out");
    let args = ["--latency", "1ms", "--fees", "2,5", "--format", "json", "--out", out.to_str().unwrap()];
    let result = result(&backtest(&scratch, &by_hand(), &data, &args));
    // Bought at 1.000 s, there at 1.001 s: not on the second quote of 1.000 s, but on that of 2 s, which shows 1 at 101: a fee of 0.0505.
    // Sold at 3 s for 102 or more: at 4 s the bid is 103 for 1: 0.0515. Bought at 5 s: at 6 s 1 at 105: 0.0525.
    // -101 + 103 - 105 + 104 (the bid at the end) - 0.1545.
    assert_eq!(result["events"], 7);
    assert_eq!((&result["orders"], &result["fills"]), (&3.into(), &3.into()));
    assert_eq!(result["pnl"], "0.8455");
    assert_eq!(result["fees"], "0.1545");
    assert_eq!(result["positions"]["BTCUSDT"], serde_json::json!({"net": "1", "volume": "3"}));
    assert_eq!(result["denied"], serde_json::json!({}));
    // At the highest after the sale, 2 - 0.102; after the last purchase it would be left at 104: 1.898 - 1.0525.
    assert_eq!(result["drawdown_max"], "1.0525");
    // Without latency the second quote of 1.000 s is the next event: 1.5 of the 2 that it shows.
    let at_once = json(&by_hand(), &data, &["--latency", "0"]);
    assert_eq!(at_once["positions"]["BTCUSDT"], serde_json::json!({"net": "1.5", "volume": "3.5"}));
    assert_eq!(at_once["order_stream_sha256"], result["order_stream_sha256"], "it does not see fills");
    for field in ["order_stream_sha256", "callback_ns", "wall_s", "notes"] {
        assert!(!result[field].is_null(), "{field}");
    }
    assert!(result["callback_ns"]["p50"].as_u64().unwrap() <= result["callback_ns"]["p99"].as_u64().unwrap());
    assert!(result["notes"][0].as_str().unwrap().contains("no pinion-execution input"), "{}", result["notes"]);

    let fills = ParquetRecordBatchReaderBuilder::try_new(File::open(out.join("fills.parquet")).unwrap()).unwrap();
    let fills: Vec<_> = fills.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(fills.len(), 1);
    let column = |name: &str| {
        let column = fills[0].column_by_name(name).unwrap().as_primitive::<Decimal128Type>();
        column.values().iter().map(|value| value / 1_000_000).collect::<Vec<_>>()
    };
    assert_eq!(column("price"), [101_000, 103_000, 105_000]);
    assert_eq!(column("size"), [1_000, 1_000, 1_000]);
    assert_eq!(column("leaves"), [500, 500, 500]);
    assert_eq!(column("position"), [1_000, 0, 1_000]);
    assert_eq!(column("fee"), [50, 51, 52]);
    let rows = |name: &str| {
        let file = File::open(out.join(name)).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().file_metadata().num_rows()
    };
    assert_eq!((rows("orders.parquet"), rows("fills.parquet")), (3, 3));
    assert!(rows("equity.parquet") > 3);
    let run: Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["result"]["pnl"], "0.8455");
    assert_eq!(run["data"][0]["sha256"], hash(&std::fs::read(&data).unwrap()));
}

#[test]
fn the_page_loads_nothing_and_what_a_file_says_is_never_markup_in_it() {
    let scratch = Scratch::new();
    let data = quotes(&scratch);
    let out = scratch.path().join("out");
    let mut strategy = by_hand();
    let hostile = "</script><img src=x onerror=alert(1)>";
    strategy.spec.params.insert("note".to_owned(), hostile.to_owned());
    let args = ["--format", "json", "--out", out.to_str().unwrap()];
    let result = result(&backtest(&scratch, &strategy, &data, &args));
    assert_eq!(result["params"]["note"], hostile);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    let markup: String =
        page.split("<script").map(|part| part.split_once("</script>").map_or(part, |(_, after)| after)).collect();
    assert!(page.contains("default-src 'none'") && page.contains("TradingView Lightweight Charts"));
    for wanted in ["src=", "@import", "url(", "<link", "onerror"] {
        assert!(!markup.contains(wanted), "{wanted}");
    }
    let data = page.split_once(r#"id="data">"#).unwrap().1.split_once("</script>").unwrap().0;
    let data: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
    assert_eq!(data["result"]["params"]["note"], hostile, "whole, as data");
    assert_eq!((data["fills"].as_array().unwrap().len(), &data["result"]["pnl"]), (3, &result["pnl"]));
    assert!(data["points"].as_array().unwrap().len() > 3);
    let left: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "no temporary name is left: {left:?}");
}

#[test]
fn the_same_backtest_again_gives_the_same_result_and_the_same_files() {
    let Some(path) = USDM.path() else { return };
    let strategy = example("book-imbalance", &USDM);
    let once = || {
        let scratch = Scratch::new();
        let out = scratch.path().join("out");
        let args = ["--latency", "500us..5ms", "--seed", "7", "--format", "json", "--out", out.to_str().unwrap()];
        let mut result = result(&backtest(&scratch, &strategy, &path, &args));
        let result_object = result.as_object_mut().unwrap();
        result_object.remove("wall_s");
        result_object.remove("callback_ns");
        let files =
            ["orders", "fills", "equity"].map(|name| std::fs::read(out.join(format!("{name}.parquet"))).unwrap());
        (result, files.map(|file| (file.len(), hash(&file))))
    };
    let first = once();
    assert!(first.0["fills"].as_u64().unwrap() > 20, "{}", first.0);
    assert_eq!(first, once());
}

#[test]
fn a_sweep_says_of_each_combination_what_a_run_of_its_own_says() {
    let Some(path) = SPOT.path() else { return };
    let strategy = example("ema-cross", &SPOT);
    let swept = json(&strategy, &path, &["--param", "fast=20,50", "--param", "slow=100,200"]);
    let swept = swept.as_array().unwrap();
    assert_eq!(swept.len(), 4);
    let mut streams = std::collections::BTreeSet::new();
    for one in swept {
        let params = &one["params"];
        let mut strategy = strategy.clone();
        for name in ["fast", "slow"] {
            strategy.spec.params.insert(name.to_owned(), params[name].as_str().unwrap().to_owned());
        }
        let alone = json(&strategy, &path, &[]);
        for field in ["orders", "fills", "pnl", "denied", "order_stream_sha256", "params", "drawdown_max"] {
            assert_eq!(one[field], alone[field], "{field} of {params}");
        }
        streams.insert(one["order_stream_sha256"].as_str().unwrap().to_owned());
    }
    assert_eq!(streams.len(), 4, "each decides otherwise");
    let scratch = Scratch::new();
    let table = backtest(&scratch, &strategy, &path, &["--param", "fast=20,50"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.lines().any(|line| line.split_whitespace().take(2).eq(["fast", "pnl"])), "{table}");
}

#[test]
fn with_an_execution_input_the_strategy_sees_what_the_venue_reports() {
    let Some(path) = SPOT.path() else { return };
    let mut strategy = strategies::example("record-only");
    strategy.spec.params.insert("every".to_owned(), "100".to_owned());
    strategy.spec.risk.as_mut().unwrap().max_open_orders = 10;
    let without = json(&strategy, &path, &[]);
    let execution = Input {
        topic: "executions".to_owned(),
        encoding: Encoding::PinionExecution,
        ..strategy.spec.inputs[0].clone()
    };
    strategy.spec.inputs.push(execution);
    let with = json(&strategy, &path, &[]);
    // An order works until a report says otherwise: unheard, the limit of working orders would stop it after a few.
    assert!(with["orders"].as_u64().unwrap() > 100, "{with}");
    assert!(with["fills"].as_u64().unwrap() > 100 && with["positions"]["BTCUSDT"]["volume"] != "0", "{with}");
    assert_eq!(with["notes"], serde_json::json!([]));
    assert!(without["notes"][0].as_str().unwrap().contains("does not see fills"));
}

#[test]
fn a_strategy_that_faults_is_told_with_its_place_and_quarantined_as_live() {
    let Some(path) = SPOT.path() else { return };
    for (name, kind) in [("trap", "trap"), ("spin", "budget"), ("grow", "memory")] {
        let strategy = strategies::example(&format!("misbehaving/{name}"));
        let scratch = Scratch::new();
        let output = backtest(&scratch, &strategy, &path, &["--format", "json"]);
        let why = said(&output, 64);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["quarantined"], true, "{result}");
        let faults = result["faults"].as_object().unwrap();
        assert_eq!(faults.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 5, "{name}: {faults:?}");
        println!("{name}: {why}");
        assert!(faults.keys().all(|found| found.contains(kind)), "{name}: {faults:?}");
        let topic = &strategy.spec.inputs[0].topic;
        assert!(why.contains(&format!("at {topic}/0/")) && why.contains("stream time 2024-08-09T"), "{why}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let (strategy, data) = (by_hand(), quotes(&scratch));
    let out = scratch.path().join("out");
    let out_text = out.to_str().unwrap();

    let cut = scratch.write("cut", [std::fs::read(&data).unwrap(), b"7000".to_vec()].concat());
    let why = said(&backtest(&scratch, &strategy, &cut, &["--out", out_text]), 64);
    assert!(why.contains("cut, line 8: the file ends in the middle of it"), "{why}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "no file of a run that did not end well");

    let why = said(&backtest(&scratch, &strategy, &data, &["--out", data.to_str().unwrap()]), 64);
    assert!(why.contains("--out: cannot write") && why.contains("quotes"), "{why}");

    let why = said(&backtest(&scratch, &strategy, &data, &["--param", "evry=1,2"]), 64);
    assert!(why.contains("no parameter evry; it has every, size"), "{why}");

    let why = said(&backtest(&scratch, &strategy, &scratch.path().join("absent"), &[]), 64);
    assert!(why.contains("cannot open") && why.contains("absent"), "{why}");

    let file = strategies::write(&scratch, &strategy);
    let other = pinion("backtest").arg(&file).args(["--data", "md.other=quotes"]).output().unwrap();
    let why = said(&other, 64);
    assert!(why.contains(&format!("the strategy reads {}", strategy.spec.inputs[0].topic)), "{why}");

    let mut unbuilt = strategy.clone();
    unbuilt.spec.module.file = Some("nothing.wasm".to_owned());
    let why = said(&backtest(&scratch, &unbuilt, &data, &[]), 64);
    assert!(why.contains("nothing.wasm is not there; build it with `pinion build"), "{why}");

    let mut refused = strategy;
    refused.spec.params.insert("every".to_owned(), "0".to_owned());
    let why = said(&backtest(&scratch, &refused, &data, &[]), 64);
    assert!(why.contains("record-only does not start"), "{why}");
}

#[test]
fn the_commands_of_the_guide_run_as_they_stand_there() {
    let Some(path) = SPOT.path() else { return };
    let page = std::fs::read_to_string(project_root().join("docs/guide/backtest.md")).unwrap();
    let commands: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("pinion backtest ")).collect();
    assert_eq!(commands.len(), 5);
    for command in commands {
        let args = command
            .split(' ')
            .map(|word| if word == "spot-btcusdt_20240809.gz" { path.to_str().unwrap() } else { word });
        let output = pinion("backtest").args(args).current_dir(project_root()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.starts_with(b"58325 records") || output.stdout.starts_with(b"records "), "{command}");
    }
}
