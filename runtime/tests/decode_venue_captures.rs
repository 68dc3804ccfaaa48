//! Real captures of Coinbase Exchange, Kraken and Kraken Futures give exactly the events that an independent count gives: Python's json
//! over the same files, numbers as exact fractions, times by its calendar, the book's checksums by its own sorting and `zlib`.
//!
//! The captures lie beside the project in `../shared/market-data`, or where `PINION_MARKET_DATA` says. Where they are absent the test
//! says so and passes; with `CI=true` absence is a failure.
#![allow(clippy::unwrap_used, reason = "a test: what is not as expected fails it")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use pinion_runtime::book::{BookState, Books, Counts as BookCounts};
use pinion_runtime::decode::{Decoder, Record, Skip};
use pinion_runtime::event::{Aggressor, Body, Event};
use pinion_spec::strategy::Encoding;

#[derive(Debug, PartialEq, Eq)]
struct Counts {
    messages: usize,
    quotes: usize,
    trades: usize,
    /// Trades that a buyer began.
    bought: usize,
    updates: usize,
    levels: u64,
    /// Levels of the longest update.
    longest: u32,
    snapshots: usize,
    snapshot_levels: u64,
    control: u32,
    past_trades: u32,
    /// Asks over nine billion, left out.
    far_levels: u32,
    instruments: usize,
    /// All prices and sizes, of levels, trades and quotes, at 1e-9.
    numbers: u128,
    /// Receive time minus venue time, ns, over messages that have one; snapshots apart.
    clock: Option<(i64, i64)>,
}

/// What the files have none of.
const NONE: Counts = Counts {
    messages: 0,
    quotes: 0,
    trades: 0,
    bought: 0,
    updates: 0,
    levels: 0,
    longest: 0,
    snapshots: 0,
    snapshot_levels: 0,
    control: 0,
    past_trades: 0,
    far_levels: 0,
    instruments: 0,
    numbers: 0,
    clock: None,
};

fn capture(name: &str) -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let root = std::env::var("PINION_MARKET_DATA").unwrap_or_else(|_| format!("{workspace}/shared/market-data"));
    let path = PathBuf::from(root).join("ws-cryptofeed").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is absent, and CI=true", path.display());
    // Past libtest's capture of `println!`: a skipped promise must be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is absent; set PINION_MARKET_DATA", path.display());
    None
}

/// Receive time in ns, and the frame.
fn frames(path: &Path) -> Vec<(u64, String)> {
    let lines = BufReader::new(File::open(path).unwrap()).lines().map(Result::unwrap);
    let frames = lines.filter(|line| !line.is_empty() && !line.starts_with("wss://")).map(|line| {
        let (seconds, frame) = line.split_once(": ").unwrap();
        let (whole, fraction) = seconds.split_once('.').unwrap();
        (format!("{whole}{fraction:0<9}").parse().unwrap(), frame.to_owned())
    });
    frames.collect()
}

fn numbers(event: &Event) -> [i64; 4] {
    match event.body {
        Body::Quote(quote) => [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size],
        Body::Trade(trade) => [trade.price, trade.size, 0, 0],
        Body::Delta(delta) => [delta.price, delta.size, 0, 0],
        _ => [0; 4],
    }
}

/// Decodes a capture, and puts what it holds through the books.
fn count(path: &Path, encoding: Encoding) -> (Counts, Books) {
    let mut decoder = Decoder::new(encoding, encoding.name(), &[]).unwrap();
    let (mut counts, mut books) = (NONE, Books::default());
    let mut skipped: BTreeMap<&str, u32> = BTreeMap::new();
    let mut events = Vec::new();
    for (n, (ts_recv, frame)) in frames(path).into_iter().enumerate() {
        events.clear();
        let outcome = decoder
            .decode(&Record { value: frame.as_bytes(), key: None, ts_recv }, &mut events)
            .unwrap_or_else(|error| panic!("frame {}: {error}: {frame}", n + 1));
        counts.messages += 1;
        assert_eq!(outcome.events, events.len());
        if let Some((reason, count)) = outcome.skipped {
            *skipped.entry(reason.reason()).or_default() += count;
            assert_eq!(events.is_empty(), reason != Skip::FarLevel, "{frame}");
        }
        if events.is_empty() {
            assert!(outcome.skipped.is_some(), "{frame}");
            continue;
        }
        assert_eq!(events.iter().position(Event::is_last), Some(events.len() - 1), "{frame}");
        let head = events[0].head;
        let snapshot = matches!(events[0].body, Body::Depth(depth) if depth.snapshot);
        if head.ts_event != 0 && !snapshot {
            let difference = head.ts_recv.cast_signed() - head.ts_event.cast_signed();
            let (min, max) = counts.clock.unwrap_or((difference, difference));
            counts.clock = Some((min.min(difference), max.max(difference)));
        }
        for event in &events {
            counts.numbers += numbers(event).into_iter().map(|number| u128::try_from(number).unwrap()).sum::<u128>();
            books.apply(event);
            match event.body {
                Body::Quote(_) => counts.quotes += 1,
                Body::Trade(trade) => {
                    counts.trades += 1;
                    counts.bought += usize::from(trade.aggressor == Aggressor::Buyer);
                }
                Body::Depth(depth) => {
                    assert_eq!(events.len(), depth.levels as usize + 1);
                    if depth.snapshot {
                        counts.snapshots += 1;
                        counts.snapshot_levels += u64::from(depth.levels);
                    } else {
                        counts.updates += 1;
                        counts.levels += u64::from(depth.levels);
                        counts.longest = counts.longest.max(depth.levels);
                    }
                }
                Body::Delta(_) => {}
                other => panic!("{other:?}: {frame}"),
            }
        }
        if matches!(events[0].body, Body::Depth(_)) {
            let top = books.top(head.instrument_id).unwrap();
            assert!(top.bid_price < top.ask_price, "frame {}: crossed: {frame}", n + 1);
        }
    }
    counts.instruments = decoder.symbols().iter().count();
    counts.control = skipped.remove("control").unwrap_or_default();
    counts.past_trades = skipped.remove("past_trade").unwrap_or_default();
    counts.far_levels = skipped.remove("far_level").unwrap_or_default();
    assert_eq!(skipped, BTreeMap::new());
    for (symbol, known) in decoder.symbols().iter().filter(|_| counts.snapshots > 0) {
        assert_eq!(books.state(known.id), BookState::Whole, "{symbol}");
    }
    (counts, books)
}

#[test]
fn the_coinbase_capture_gives_exactly_what_it_holds() {
    let Some(path) = capture("COINBASE.ws.28.0") else { return };
    let expected = Counts {
        messages: 9_946,
        quotes: 107,
        trades: 97,
        bought: 45,
        updates: 9_719,
        levels: 9_719,
        longest: 1,
        snapshots: 10,
        snapshot_levels: 8_362,
        control: 3,
        past_trades: 10,
        far_levels: 0,
        instruments: 10,
        numbers: 940_675_804_271_129_070,
        clock: Some((-18_209_000, 107_120_089_000)),
    };
    let (counts, books) = count(&path, Encoding::CoinbaseExchange);
    assert_eq!(counts, expected);
    assert_eq!(*books.counts(), BookCounts::default());
}

#[test]
fn the_kraken_trades_capture_gives_exactly_what_it_holds() {
    let Some(path) = capture("KRAKEN.ws.48.0") else { return };
    let expected = Counts {
        messages: 49,
        trades: 10,
        bought: 5,
        control: 41,
        instruments: 2,
        numbers: 54_365_531_407_870,
        clock: Some((28_193_200, 112_969_000)),
        ..NONE
    };
    assert_eq!(count(&path, Encoding::KrakenV1).0, expected);
}

#[test]
fn the_kraken_ticker_capture_gives_exactly_what_it_holds() {
    let Some(path) = capture("KRAKEN.ws.49.0") else { return };
    let expected =
        Counts { messages: 60, quotes: 18, control: 42, instruments: 10, numbers: 354_408_714_581_310, ..NONE };
    assert_eq!(count(&path, Encoding::KrakenV1).0, expected);
}

#[test]
fn the_kraken_book_capture_gives_exactly_what_it_holds_and_every_book_meets_every_checksum() {
    let Some(path) = capture("KRAKEN.ws.50.0") else { return };
    let expected = Counts {
        messages: 4_321,
        updates: 4_269,
        levels: 4_272,
        longest: 2,
        snapshots: 10,
        // One ask of XBT/CHF, at 9,999,999,997, is left out.
        snapshot_levels: 7_472,
        far_levels: 1,
        control: 42,
        instruments: 10,
        numbers: 711_095_246_419_506_180,
        clock: Some((25_615_000, 849_634_000)),
        ..NONE
    };
    let (counts, books) = count(&path, Encoding::KrakenV1);
    assert_eq!(counts, expected);
    assert_eq!(*books.counts(), BookCounts { checksums: 4_269, ..BookCounts::default() });
}

#[test]
fn the_kraken_futures_capture_gives_exactly_what_it_holds() {
    let Some(path) = capture("KRAKEN_FUTURES.ws.1.0") else { return };
    let expected = Counts {
        messages: 7_175,
        quotes: 107,
        trades: 3,
        bought: 3,
        updates: 7_014,
        levels: 7_014,
        longest: 1,
        snapshots: 10,
        snapshot_levels: 1_571,
        control: 31,
        past_trades: 10,
        far_levels: 0,
        instruments: 10,
        numbers: 346_421_851_273_400_000,
        clock: Some((-28_477_000, 293_677_000)),
    };
    let (counts, books) = count(&path, Encoding::KrakenFutures);
    assert_eq!(counts, expected);
    assert_eq!(*books.counts(), BookCounts::default());
}
