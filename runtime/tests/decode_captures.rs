//! Real Binance captures give exactly the events that an independent count (Python's json over the same files) gives.
//!
//! The captures lie beside the project in `../shared/market-data`, or where `PINION_MARKET_DATA` says. Where they are absent the test
//! says so and passes; with `CI=true` absence is a failure.
#![allow(clippy::unwrap_used, reason = "a test: what is not as expected fails it")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use pinion_runtime::decode::{Decoder, Record};
use pinion_runtime::event::{Body, Event};
use pinion_spec::strategy::Encoding;

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    messages: usize,
    quotes: usize,
    trades: usize,
    updates: usize,
    levels: u64,
    longest: u32,
    snapshots: usize,
    snapshot_levels: u64,
    gaps: usize,
    /// Receive time minus venue time, ns, of updates and trades and quotes that have one; snapshots apart.
    clock_min: i64,
    clock_max: i64,
}

fn capture(name: &str) -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let root = std::env::var("PINION_MARKET_DATA").unwrap_or_else(|_| format!("{workspace}/shared/market-data"));
    let path = PathBuf::from(root).join("binance-hftbacktest").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is absent, and CI=true", path.display());
    // Past libtest's capture of `println!`: a skipped promise must be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is absent; set PINION_MARKET_DATA", path.display());
    None
}

fn count(path: PathBuf, encoding: Encoding) -> Counts {
    let mut decoder = Decoder::new(encoding, encoding.name(), &[]).unwrap();
    let mut counts = Counts { clock_min: i64::MAX, clock_max: i64::MIN, ..Counts::default() };
    let mut follows: HashMap<u64, u64> = HashMap::new();
    let mut events: Vec<Event> = Vec::new();
    for (n, line) in BufReader::new(MultiGzDecoder::new(File::open(path).unwrap())).lines().enumerate() {
        let line = line.unwrap();
        let (ts_recv, json) = line.split_once(' ').unwrap();
        let ts_recv = ts_recv.parse().unwrap();
        events.clear();
        let outcome = decoder
            .decode(&Record { value: json.as_bytes(), key: None, ts_recv }, &mut events)
            .unwrap_or_else(|error| panic!("line {}: {error}", n + 1));
        assert_eq!((outcome.events, outcome.skipped), (events.len(), None), "line {}", n + 1);
        assert_eq!(events.iter().position(Event::is_last), Some(events.len() - 1), "line {}", n + 1);
        counts.messages += 1;
        let head = events[0].head;
        let is_snapshot = matches!(events[0].body, Body::Depth(depth) if depth.snapshot);
        if head.ts_event != 0 && !is_snapshot {
            let difference = head.ts_recv.cast_signed() - head.ts_event.cast_signed();
            counts.clock_min = counts.clock_min.min(difference);
            counts.clock_max = counts.clock_max.max(difference);
        }
        match events[0].body {
            Body::Quote(_) => counts.quotes += 1,
            Body::Trade(_) => counts.trades += 1,
            Body::Depth(depth) if depth.snapshot => {
                counts.snapshots += 1;
                counts.snapshot_levels += u64::from(depth.levels);
                assert_eq!(n + 1, 55);
            }
            Body::Depth(depth) => {
                counts.updates += 1;
                counts.levels += u64::from(depth.levels);
                counts.longest = counts.longest.max(depth.levels);
                let before = follows.insert(head.instrument_id, head.sequence);
                counts.gaps += usize::from(before.is_some_and(|before| before != depth.follows));
            }
            other => panic!("line {}: begins with {other:?}", n + 1),
        }
        if let Body::Depth(depth) = events[0].body {
            assert_eq!(events.len(), depth.levels as usize + 1);
            assert!(events[1..].iter().all(|event| matches!(event.body, Body::Delta(_))));
        }
    }
    assert_eq!(decoder.symbols().iter().map(|(symbol, _)| symbol).collect::<Vec<_>>(), ["BTCUSDT"]);
    counts
}

#[test]
fn the_futures_capture_gives_exactly_what_it_holds() {
    let Some(path) = capture("usdm-btcusdt_20240808.gz") else { return };
    let expected = Counts {
        messages: 93_954,
        quotes: 66_089,
        trades: 21_313,
        updates: 6_551,
        levels: 443_521,
        longest: 1_226,
        snapshots: 1,
        snapshot_levels: 2_000,
        gaps: 0,
        clock_min: -1_272_402_468,
        clock_max: -1_158_519_820,
    };
    assert_eq!(count(path, Encoding::BinanceUsdm), expected);
}

#[test]
fn the_spot_capture_gives_exactly_what_it_holds() {
    let Some(path) = capture("spot-btcusdt_20240809.gz") else { return };
    let expected = Counts {
        messages: 58_325,
        quotes: 45_134,
        trades: 10_147,
        updates: 3_044,
        levels: 174_021,
        longest: 888,
        snapshots: 0,
        snapshot_levels: 0,
        gaps: 0,
        clock_min: -1_276_159_997,
        clock_max: -1_218_982_039,
    };
    assert_eq!(count(path, Encoding::BinanceSpot), expected);
}
