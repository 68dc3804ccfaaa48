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
        "quote": 66_089, "trade": 21_313, "book_delta": 443_521, "book_update": 6_551, "book_snapshot": 1, "execution": 0,
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
            "quote": 45_134, "trade": 10_147, "book_delta": 174_021, "book_update": 3_044, "book_snapshot": 0, "execution": 0,
        })
    );
    assert_eq!(report["gaps"], 0);
    assert_eq!(report["messages_per_second"]["peak"], 818);
}

fn counted(report: &Value, quote: u64, trade: u64, updates_and_levels: (u64, u64), book_snapshot: u64) {
    let (book_update, book_delta) = updates_and_levels;
    let events = json!({
        "quote": quote, "trade": trade, "book_delta": book_delta, "book_update": book_update,
        "book_snapshot": book_snapshot, "execution": 0,
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
        "quote": 53, "trade": 52, "book_delta": 2_592, "book_update": 2_592, "book_snapshot": 1, "execution": 0,
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
