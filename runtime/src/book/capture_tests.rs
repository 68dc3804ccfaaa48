//! Real captures through the book. Read with a general JSON parser on purpose: the runtime's decoder has its own tests.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use pinion_spec::Decimal;
use serde_json::Value;

use super::tests::{ID, event, snapshot};
use super::*;
use crate::event::Depth;

fn capture(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PINION_MARKET_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/market-data"), PathBuf::from);
    let path = root.join("binance-hftbacktest").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", path.display());
    println!("SKIPPED: {} is missing; set PINION_MARKET_DATA", path.display());
    None
}

fn number(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<Decimal>().unwrap().at_exponent(-9).unwrap()
}

fn deltas(bids: &Value, asks: &Value) -> Vec<Delta> {
    let side = |levels: &Value, side| -> Vec<Delta> {
        let level = |l: &Value| Delta { price: number(&l[0]), size: number(&l[1]), count: 0, side };
        levels.as_array().unwrap().iter().map(level).collect()
    };
    [side(bids, BookSide::Bid), side(asks, BookSide::Ask)].concat()
}

#[derive(Default)]
struct Outcome {
    frames: usize,
    snapshots: usize,
    crossed: usize,
    /// Frames that end at the very update id of a quote.
    same_id: usize,
    same_id_agree: usize,
    /// Frames after which the last quote at or before their end must be the touch.
    compared: usize,
    agree: usize,
    final_agrees: bool,
}

type Touch = (i64, i64, i64, i64);

fn replay(path: &Path) -> (Books, Outcome) {
    let mut books = Books::default();
    let mut outcome = Outcome::default();
    let mut quotes: Vec<(u64, Touch)> = Vec::new();
    let mut touches: Vec<(u64, Touch)> = Vec::new();
    for line in BufReader::new(GzDecoder::new(std::fs::File::open(path).unwrap())).lines() {
        let line = line.unwrap();
        let (ts_recv, json) = line.split_once(' ').unwrap();
        let ts_recv: u64 = ts_recv.parse().unwrap();
        let message: Value = serde_json::from_str(json).unwrap();
        let data = message.get("data").unwrap_or(&message);
        if let Some(sequence) = data["lastUpdateId"].as_u64() {
            for event in snapshot(sequence, &deltas(&data["bids"], &data["asks"])) {
                assert_ne!(books.apply(&event), Applied::Ignored);
            }
            outcome.snapshots += 1;
        } else if data["e"] == "depthUpdate" {
            let (first, last) = (data["U"].as_u64().unwrap(), data["u"].as_u64().unwrap());
            let follows = data["pu"].as_u64().unwrap_or(first - 1);
            let levels = deltas(&data["b"], &data["a"]);
            let depth = Depth {
                first,
                follows,
                levels: u32::try_from(levels.len()).unwrap(),
                snapshot: false,
                ..Depth::default()
            };
            assert_eq!(
                books.apply(&event(last, ts_recv, Body::Depth(depth))),
                Applied::Begin { gap: None, cleared: false }
            );
            for level in &levels {
                assert!(matches!(
                    books.apply(&event(last, ts_recv, Body::Delta(*level))),
                    Applied::Delta { taken: true, .. }
                ));
            }
            let top = books.top(ID).unwrap();
            outcome.frames += 1;
            outcome.crossed += usize::from(top.bid_price >= top.ask_price);
            touches.push((last, (top.bid_price, top.bid_size, top.ask_price, top.ask_size)));
        } else if data.get("B").is_some() {
            let touch = (number(&data["b"]), number(&data["B"]), number(&data["a"]), number(&data["A"]));
            quotes.push((data["u"].as_u64().unwrap(), touch));
        }
    }
    // A quote is sent for each change of the touch: between two of them the touch is that of the first.
    for (sequence, touch) in &touches {
        let after = quotes.partition_point(|(at, _)| at <= sequence);
        if after == 0 || after == quotes.len() {
            continue;
        }
        let (at, quote) = &quotes[after - 1];
        outcome.compared += 1;
        outcome.agree += usize::from(quote == touch);
        outcome.same_id += usize::from(at == sequence);
        outcome.same_id_agree += usize::from(at == sequence && quote == touch);
        outcome.final_agrees = quote == touch;
    }
    println!(
        "{}: {} frames, {} of {} touches agree with bookTicker, {} of {} at equal update ids",
        path.display(),
        outcome.frames,
        outcome.agree,
        outcome.compared,
        outcome.same_id_agree,
        outcome.same_id
    );
    (books, outcome)
}

#[test]
fn the_futures_capture_has_no_gap_never_crosses_and_its_touch_is_bookticker_s() {
    let Some(path) = capture("usdm-btcusdt_20240808.gz") else { return };
    let (books, outcome) = replay(&path);
    assert_eq!((outcome.frames, outcome.snapshots, outcome.crossed), (6_551, 1, 0));
    assert_eq!(books.state(ID), BookState::Whole);
    assert_eq!(*books.counts(), Counts::default());
    assert_eq!((outcome.agree, outcome.compared), (6_548, 6_548));
    assert_eq!((outcome.same_id_agree, outcome.same_id), (628, 628));
    assert!(outcome.final_agrees);
}

#[test]
fn the_spot_capture_has_no_gap_never_crosses_and_its_touch_is_bookticker_s() {
    let Some(path) = capture("spot-btcusdt_20240809.gz") else { return };
    let (books, outcome) = replay(&path);
    assert_eq!((outcome.frames, outcome.snapshots, outcome.crossed), (3_044, 0, 0));
    assert_eq!(books.state(ID), BookState::Partial);
    assert_eq!(*books.counts(), Counts::default());
    // Without a snapshot two frames miss a best level that had not changed since before the capture.
    assert_eq!((outcome.agree, outcome.compared), (3_040, 3_042));
    assert_eq!((outcome.same_id_agree, outcome.same_id), (507, 507));
    assert!(outcome.final_agrees);
}
