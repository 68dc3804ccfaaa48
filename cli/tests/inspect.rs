//! `pinion inspect` as a user runs it: exact counts of real captures, and clear ends.
//!
//! The captures lie beside the project in `../shared/market-data`, or where `PINION_MARKET_DATA` says. Where they are absent the test
//! says so and passes; with `CI=true` absence is a failure.
#![allow(clippy::unwrap_used, reason = "a test: what is not as expected fails it")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn pinion(args: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pinion")).args(args).arg(file).output().unwrap()
}

fn capture(name: &str) -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let root = std::env::var("PINION_MARKET_DATA").unwrap_or_else(|_| format!("{workspace}/shared/market-data"));
    let path = PathBuf::from(root).join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is absent, and CI=true", path.display());
    // Past libtest's capture of `println!`: a skipped promise must be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is absent; set PINION_MARKET_DATA", path.display());
    None
}

fn report(path: &Path) -> Value {
    let output = pinion(&["inspect", "--format", "json"], path);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress bar where stderr is no terminal");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_futures_capture_is_told_exactly() {
    let Some(path) = capture("binance-hftbacktest/usdm-btcusdt_20240808.gz") else { return };
    let report = report(&path);
    let events = json!({
        "quote": 66_089, "trade": 21_313, "book_delta": 443_521, "book_update": 6_551, "book_snapshot": 1, "execution": 0, "status": 0,
    });
    assert_eq!(report["encoding"], "binance-usdm");
    assert_eq!(report["messages"], 93_954);
    assert_eq!(report["events"], events);
    assert_eq!(report["instruments"]["BTCUSDT"]["events"], events);
    assert_eq!(report["decode_errors"], json!({}));
    assert_eq!(report["skipped"], json!({}));
    assert_eq!(report["gaps"], 0);
    assert_eq!(report["first"], "2024-08-08T23:54:15.030314667Z");
    assert_eq!(report["last"], "2024-08-08T23:59:59.833492584Z");
    assert_eq!(report["messages_per_second"]["peak"], 2_466);
    assert_eq!(report["clock_difference_ns"]["min"], -1_272_402_468);
    assert_eq!(report["clock_difference_ns"]["max"], -1_158_519_820);
    // The exact median is -1,268,977,032; the histogram keeps three digits.
    let median = report["clock_difference_ns"]["p50"].as_i64().unwrap();
    assert!((median + 1_268_977_032).abs() < 1_268_977, "{median}");
}

#[test]
fn the_spot_capture_is_told_exactly() {
    let Some(path) = capture("binance-hftbacktest/spot-btcusdt_20240809.gz") else { return };
    let report = report(&path);
    assert_eq!(report["encoding"], "binance-spot");
    assert_eq!(report["messages"], 58_325);
    assert_eq!(
        report["events"],
        json!({
            "quote": 45_134, "trade": 10_147, "book_delta": 174_021, "book_update": 3_044, "book_snapshot": 0, "execution": 0, "status": 0,
        })
    );
    assert_eq!(report["gaps"], 0);
    assert_eq!(report["messages_per_second"]["peak"], 818);
}

fn counted(report: &Value, quote: u64, trade: u64, updates_and_levels: (u64, u64), book_snapshot: u64) {
    let (book_update, book_delta) = updates_and_levels;
    let events = json!({
        "quote": quote, "trade": trade, "book_delta": book_delta, "book_update": book_update,
        "book_snapshot": book_snapshot, "execution": 0, "status": 0,
    });
    assert_eq!(report["events"], events);
    assert_eq!(report["decode_errors"], json!({}));
    assert_eq!(report["gaps"], 0);
}

#[test]
fn the_coinbase_capture_is_told_exactly() {
    let Some(path) = capture("ws-cryptofeed/COINBASE.ws.28.0") else { return };
    let report = report(&path);
    assert_eq!(report["encoding"], "coinbase-exchange");
    assert_eq!(report["messages"], 9_946);
    counted(&report, 107, 97, (9_719, 9_719), 10);
    assert_eq!(report["skipped"], json!({"control": 3, "past_trade": 10}));
    assert_eq!(report["instruments"].as_object().unwrap().len(), 10);
    let events = json!({
        "quote": 53, "trade": 52, "book_delta": 2_592, "book_update": 2_592, "book_snapshot": 1, "execution": 0, "status": 0,
    });
    assert_eq!(report["instruments"]["SKL-USD"]["events"], events);
    assert_eq!(report["first"], "2021-04-17T16:43:37.061845Z");
    assert_eq!(report["messages_per_second"]["peak"], 652);
    assert_eq!(report["clock_difference_ns"]["min"], -18_209_000);
    assert_eq!(report["clock_difference_ns"]["max"], 107_120_089_000_u64);
    assert_eq!(report.get("checksums"), None, "the venue sends none");
}

#[test]
fn the_kraken_captures_are_told_exactly() {
    let Some(path) = capture("ws-cryptofeed/KRAKEN.ws.50.0") else { return };
    let book = report(&path);
    assert_eq!(book["encoding"], "kraken-v1");
    assert_eq!(book["messages"], 4_321);
    counted(&book, 0, 0, (4_269, 4_272), 10);
    assert_eq!(book["checksums"], json!({"measured": 4_269, "failed": 0}));
    assert_eq!(book["skipped"], json!({"control": 42, "far_level": 1}));
    let Some(path) = capture("ws-cryptofeed/KRAKEN.ws.48.0") else { return };
    counted(&report(&path), 0, 10, (0, 0), 0);
    let Some(path) = capture("ws-cryptofeed/KRAKEN.ws.49.0") else { return };
    counted(&report(&path), 18, 0, (0, 0), 0);
}

#[test]
fn the_kraken_futures_capture_is_told_exactly() {
    let Some(path) = capture("ws-cryptofeed/KRAKEN_FUTURES.ws.1.0") else { return };
    let report = report(&path);
    assert_eq!(report["encoding"], "kraken-futures");
    assert_eq!(report["messages"], 7_175);
    counted(&report, 107, 3, (7_014, 7_014), 10);
    assert_eq!(report["skipped"], json!({"control": 31, "past_trade": 10}));
}

/// A file of this test run, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("pinion-inspect-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const DEPTH: &str =
    r#"{"e":"depthUpdate","E":1,"T":1,"s":"XYZUSDT","U":FIRST,"u":LAST,"pu":BEFORE,"b":[["1","2"]],"a":[]}"#;

fn depth(before: u64, first: u64, last: u64) -> String {
    DEPTH.replace("FIRST", &first.to_string()).replace("LAST", &last.to_string()).replace("BEFORE", &before.to_string())
}

#[test]
fn gaps_errors_and_skipped_messages_are_counted_apart() {
    let lines = [
        depth(9, 10, 12),
        depth(12, 13, 15),
        depth(16, 17, 20),
        depth(12, 13, 15),
        depth(20, 21, 22),
        r#"{"result":null,"id":1}"#.to_owned(),
        r#"{"e":"trade"#.to_owned(),
        "nonsense".to_owned(),
    ];
    let text: String = lines.iter().map(|line| format!("1000000000 {line}\n")).collect();
    let report = report(&Scratch::new("counts", text.as_bytes()).0);
    assert_eq!(report["messages"], 8);
    assert_eq!(report["events"]["book_delta"], 5);
    assert_eq!(report["gaps"], 1, "a repeat is no gap");
    assert_eq!(report["instruments"]["XYZUSDT"]["gaps"], 1);
    assert_eq!(report["skipped"], json!({"control": 1}));
    assert_eq!(report["decode_errors"], json!({"truncated": 2}));
}

#[test]
fn a_lost_update_is_told_where_the_venue_has_a_sequence_and_where_it_has_a_checksum() {
    let futures = |sequence: u64| {
        format!(
            r#"{{"feed":"book","product_id":"PI_XYZUSD","side":"buy","seq":{sequence},"price":1.0,"qty":2.0,"timestamp":1}}"#
        )
    };
    let snapshot = r#"{"feed":"book_snapshot","product_id":"PI_XYZUSD","timestamp":1,"seq":70,"bids":[],"asks":[]}"#;
    for (lost, gaps) in [(false, 0), (true, 1)] {
        let text = format!("1.5: {snapshot}\n1.5: {}\n", futures(if lost { 72 } else { 71 }));
        let report = report(&Scratch::new("sequence", text.as_bytes()).0);
        assert_eq!((&report["gaps"], &report["encoding"]), (&json!(gaps), &json!("kraken-futures")));
    }
    // Of a book of one bid, price 1.0 and size 2.0: the CRC-32 of "1020".
    let snapshot = r#"[0,{"as":[],"bs":[["1.0","1.0","1.5"]]},"book-10","XYZ/USD"]"#;
    let update = r#"[0,{"b":[["1.0","2.0","1.5"]],"c":"CRC"},"book-10","XYZ/USD"]"#;
    for (crc, gaps) in [("2249310613", 0), ("1", 1)] {
        let text = format!("1.5: {snapshot}\n1.5: {}\n", update.replace("CRC", crc));
        let report = report(&Scratch::new("checksum", text.as_bytes()).0);
        assert_eq!(report["gaps"], gaps, "{report}");
        assert_eq!(report["instruments"]["XYZ/USD"]["gaps"], gaps);
        assert_eq!(report["checksums"], json!({"measured": 1, "failed": gaps}));
    }
}

#[test]
fn a_cut_end_is_told_with_its_place_after_what_stands_before_it_is_counted() {
    let line = |n: u64| format!("{n}000000000 {}\n", depth(n - 1, n, n));
    let text: String = (1..4).map(line).collect();
    let gz = {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.repeat(2_000).as_bytes()).unwrap();
        gz.finish().unwrap()
    };
    let place = format!("line 3: the file ends in the middle of it, at byte {}", text.len() - 9);
    for (name, bytes, messages, place) in [
        ("middle", &text.as_bytes()[..text.len() - 9], Some(3), &*place),
        ("time", &text.as_bytes()[..text.len() - line(3).len() + 4], Some(2), "line 3: the file ends in the middle"),
        ("stream", &gz[..gz.len() - 20], None, "the gzip stream is cut off"),
    ] {
        let file = Scratch::new(name, bytes);
        let output = pinion(&["inspect", "--format", "json"], &file.0);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{name}: {stderr}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["cut"].as_str().unwrap().contains(place), "{name}: {report}");
        assert!(stderr.contains(place), "{name}: {stderr}");
        assert!(messages.is_none_or(|messages| report["messages"] == messages), "{name}: {report}");
        assert!(report["events"]["book_delta"].as_u64().unwrap() >= 2, "{name}: {report}");
    }
    // A line without its end that is whole in itself is no cut.
    let report = report(&Scratch::new("whole", text.trim_end().as_bytes()).0);
    assert_eq!((&report["cut"], &report["messages"]), (&Value::Null, &json!(3)));
}

#[test]
fn frames_that_were_received_out_of_order_are_counted() {
    let text = format!("20 {}\n10 {}\n15 {}\n", depth(0, 1, 1), depth(1, 2, 2), depth(2, 3, 3));
    assert_eq!(report(&Scratch::new("order", text.as_bytes()).0)["receive_time_steps_back"], 1);
}

#[test]
fn an_event_file_tells_the_same_as_the_capture_it_was_made_from() {
    for (name, out) in [
        ("binance-hftbacktest/spot-btcusdt_20240809.gz", "spot.parquet"),
        ("ws-cryptofeed/KRAKEN.ws.50.0", "kraken.arrow"),
        ("ws-cryptofeed/COINBASE.ws.28.0", "coinbase.parquet"),
        ("dbn-databento/by-venue/LIVE/test_data.live.dbn.zst", "live.parquet"),
        ("dbn-databento/test_data.mbp-10.dbn", "mbp10.arrow"),
        ("dbn-databento/test_data.status.dbn", "status.parquet"),
    ] {
        let Some(path) = capture(name) else { return };
        let out = Scratch::new(out, b"");
        let output = pinion(&["inspect", "--format", "json", "--out", out.0.to_str().unwrap()], &path);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let mut from: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(from["rows"].as_u64().unwrap() > 0, "{name}");
        let mut back = report(&out.0);
        // What holds no event has no row: the messages left out, and the time they took.
        for field in ["rows", "messages", "skipped", "messages_per_second", "first", "last", "receive_time_steps_back"]
        {
            from.as_object_mut().unwrap().remove(field);
            back.as_object_mut().unwrap().remove(field);
        }
        for instrument in from["instruments"].as_object_mut().unwrap().values_mut() {
            instrument.as_object_mut().unwrap().remove("name");
        }
        assert_eq!(back, from, "{name}");
    }
}

#[test]
fn a_dbn_file_is_told_exactly_with_the_names_of_its_instruments() {
    let Some(path) = capture("dbn-databento/by-venue/LIVE/test_data.live.dbn.zst") else { return };
    let live = report(&path);
    assert_eq!(live["encoding"], "dbn");
    assert_eq!(live["decode_errors"], json!({}));
    let Some(path) = capture("dbn-databento/test_data.mbp-1.dbn") else { return };
    let quotes = report(&path);
    assert_eq!((&quotes["messages"], &quotes["events"]["quote"]), (&json!(2), &json!(2)));
    assert_eq!(quotes["instruments"]["1.5482"]["name"], "ESH1");
    let Some(path) = capture("dbn-databento/test_data.definition.v3.dbn.frag") else { return };
    let output = pinion(&["inspect", "--format", "json", "--encoding", "dbn"], &path);
    let bare: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(bare["skipped"], json!({"other_kind": 2}), "{bare}");
}

#[test]
fn a_mapped_feed_is_read_by_the_strategy_files_map() {
    let strategy = Scratch::new(
        "map.yaml",
        br#"apiVersion: pinion.dev/v1alpha1
kind: Strategy
metadata: {name: x}
spec:
  module: {file: x.wasm}
  inputs:
    - topic: desk
      encoding: json-map
      publisher: desk-7
      map: {symbol: /s, time: /t, timeUnit: ms, quote: {bidPrice: /b, askPrice: /a}}
  outputs: {orders: {topic: o}}
"#,
    );
    let file = Scratch::new("mapped", b"1 {\"s\":\"ABC\",\"t\":1,\"b\":1.5,\"a\":\"1.6\"}\n2 {\"s\":\"ABC\"}\n");
    let output = pinion(&["inspect", "--format", "json", "--map", strategy.0.to_str().unwrap()], &file.0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["encoding"], "json-map");
    assert_eq!(report["events"]["quote"], 1);
    assert_eq!(report["decode_errors"], json!({"missing_field": 1}));
    assert_eq!(report["instruments"]["ABC"]["id"], pinion_spec::ids::instrument_id("desk-7", b"ABC"));
    let output = pinion(&["inspect", "--encoding", "json-map"], &file.0);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--map STRATEGY.yaml"));
}

/// The first block of that language in the page on market data.
fn block(language: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/market-data.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_guides_mapped_feed_decodes_as_the_guide_says() {
    let strategy = Scratch::new("guide.yaml", block("yaml").as_bytes());
    let file = Scratch::new("guide", block("json").as_bytes());
    let output = pinion(&["inspect", "--format", "json", "--map", strategy.0.to_str().unwrap()], &file.0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["events"]["quote"], &report["events"]["trade"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!((&report["decode_errors"], &report["skipped"]), (&json!({}), &json!({})));
    assert_eq!(report["clock_difference_ns"], json!({"min": 500, "p50": 500, "max": 500}));
    assert_eq!(report["instruments"]["XYZ"]["id"], pinion_spec::ids::instrument_id("desk-7", b"XYZ"));
}

#[test]
fn a_bad_file_ends_with_64_and_says_what_is_wrong_and_what_to_do() {
    let cut = [0x1f, 0x8b, 8, 0];
    for (name, bytes, expected) in [
        ("line", &b"1 {\"e\":\"bookTicker\"}\nno time {}\n"[..], "line 2: it does not begin with a time in ns"),
        ("cut", &cut, "cut off; copy the file again"),
        ("unknown", b"1 {}\n", "name it with --encoding"),
    ] {
        let file = Scratch::new(name, bytes);
        let output = pinion(&["inspect"], &file.0);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{name}: {stderr}");
        assert!(stderr.contains(expected), "{name}: {stderr}");
        assert!(stderr.contains(file.0.to_str().unwrap()), "{name}: {stderr}");
        assert!(output.stdout.is_empty(), "{name}: no half a report");
    }
    let output = pinion(&["inspect"], Path::new("/nowhere/capture.gz"));
    assert_eq!(output.status.code(), Some(64));
    let output = pinion(&["inspect", "--encoding", "binance"], Path::new("capture.gz"));
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("binance-usdm"), "the names there are");
}
