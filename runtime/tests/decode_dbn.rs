//! Every real DBN file gives exactly the events that the format's own library finds in it, record by record: same count, same framing,
//! same numbers.
//!
//! The files lie beside the project in `../shared/market-data`, or where `PINION_MARKET_DATA` says. Where they are absent the test
//! says so and passes; with `CI=true` absence is a failure.
#![allow(clippy::unwrap_used, reason = "a test: what is not as expected fails it")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use dbn::VersionUpgradePolicy;
use dbn::decode::dbn::{Decoder as Oracle, RecordDecoder as BareOracle};
use dbn::decode::{DbnMetadata, DecodeRecordRef};
use dbn::{BboMsg, CbboMsg, Cmbp1Msg, MboMsg, Mbp1Msg, Mbp10Msg, RecordRef, StatusAction, StatusMsg, TradeMsg, rtype};
use pinion_runtime::decode::{Decoder, Record, dbn as ours};
use pinion_runtime::event::{
    Aggressor, Body, BookSide, Delta, Depth, Event, MarketState, PRICE_UNDEFINED, Quote, Trade,
};
use pinion_spec::ids::instrument_id;
use pinion_spec::strategy::Encoding;

/// What the oracle's record must become: bodies, and the venue's time, the time of capture and the sequence of the first.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Events(Vec<Body>, (u64, u64, u64)),
    Skipped(&'static str),
}

/// What a file holds: records, quotes, trades, books, states; and what is skipped, by reason.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    records: usize,
    quotes: usize,
    trades: usize,
    books: usize,
    states: usize,
    skipped: BTreeMap<&'static str, u32>,
}

fn folder() -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let root = std::env::var("PINION_MARKET_DATA").unwrap_or_else(|_| format!("{workspace}/shared/market-data"));
    let path = PathBuf::from(root).join("dbn-databento");
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is absent, and CI=true", path.display());
    // Past libtest's capture of `println!`: a skipped promise must be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is absent; set PINION_MARKET_DATA", path.display());
    None
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.to_str().unwrap().contains(".dbn") {
            found.push(path);
        }
    }
}

fn bytes_of(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "zst") {
        return zstd::decode_all(&bytes[..]).unwrap();
    }
    bytes
}

fn units(size: u32) -> i64 {
    if size == u32::MAX { 0 } else { i64::from(size) * 1_000_000_000 }
}

fn side(price: i64, size: u32) -> (i64, i64) {
    if price == i64::MAX { (PRICE_UNDEFINED, 0) } else { (price, units(size)) }
}

#[expect(clippy::cast_sign_loss, reason = "a letter")]
fn trade(price: i64, size: u32, side: std::os::raw::c_char) -> Body {
    let aggressor = match side as u8 {
        b'A' => Aggressor::Seller,
        b'B' => Aggressor::Buyer,
        _ => Aggressor::None,
    };
    Body::Trade(Trade { price, size: units(size), trade_id: 0, aggressor })
}

fn quote(bid: (i64, u32, u32), ask: (i64, u32, u32)) -> Body {
    let ((bid_price, bid_size), (ask_price, ask_size)) = (side(bid.0, bid.1), side(ask.0, ask.1));
    Body::Quote(Quote { bid_price, bid_size, ask_price, ask_size, bid_count: bid.2, ask_count: ask.2 })
}

const TRADE: std::os::raw::c_char = b'T'.cast_signed();

/// By the library's own types. Its getters check the kind.
fn expected(record: &RecordRef<'_>) -> Expected {
    let ts_event = record.header().ts_event;
    let rtype = record.header().rtype;
    if let Some(of) = record.get::<TradeMsg>() {
        return Expected::Events(vec![trade(of.price, of.size, of.side)], (ts_event, of.ts_recv, of.sequence.into()));
    }
    if let Some(of) = record.get::<Mbp1Msg>() {
        let level = &of.levels[0];
        let mut bodies =
            vec![quote((level.bid_px, level.bid_sz, level.bid_ct), (level.ask_px, level.ask_sz, level.ask_ct))];
        if of.action == TRADE {
            bodies.push(trade(of.price, of.size, of.side));
        }
        return Expected::Events(bodies, (ts_event, of.ts_recv, of.sequence.into()));
    }
    if let Some(of) = record.get::<Cmbp1Msg>() {
        let level = &of.levels[0];
        let mut bodies = vec![quote((level.bid_px, level.bid_sz, 0), (level.ask_px, level.ask_sz, 0))];
        if of.action == TRADE {
            bodies.push(trade(of.price, of.size, of.side));
        }
        return Expected::Events(bodies, (ts_event, of.ts_recv, 0));
    }
    if let Some(of) = record.get::<BboMsg>() {
        let level = &of.levels[0];
        let body = quote((level.bid_px, level.bid_sz, level.bid_ct), (level.ask_px, level.ask_sz, level.ask_ct));
        return Expected::Events(vec![body], (ts_event, of.ts_recv, of.sequence.into()));
    }
    if let Some(of) = record.get::<CbboMsg>() {
        let level = &of.levels[0];
        let body = quote((level.bid_px, level.bid_sz, 0), (level.ask_px, level.ask_sz, 0));
        return Expected::Events(vec![body], (ts_event, of.ts_recv, 0));
    }
    if let Some(of) = record.get::<Mbp10Msg>() {
        let mut bodies = Vec::new();
        let traded = of.action == TRADE;
        if traded {
            bodies.push(trade(of.price, of.size, of.side));
        }
        let begin = bodies.len();
        bodies.push(Body::Skip);
        let bids = of.levels.iter().map(|level| (BookSide::Bid, level.bid_px, level.bid_sz, level.bid_ct));
        let asks = of.levels.iter().map(|level| (BookSide::Ask, level.ask_px, level.ask_sz, level.ask_ct));
        for (side, price, size, count) in bids.chain(asks).filter(|(_, price, ..)| *price != i64::MAX) {
            bodies.push(Body::Delta(Delta { price, size: units(size), count, side }));
        }
        let levels = u32::try_from(bodies.len() - begin - 1).unwrap();
        bodies[begin] = Body::Depth(Depth { levels, snapshot: true, ..Depth::default() });
        return Expected::Events(bodies, (ts_event, of.ts_recv, if traded { of.sequence.into() } else { 0 }));
    }
    if let Some(of) = record.get::<MboMsg>() {
        if of.action != TRADE {
            return Expected::Skipped("by_order");
        }
        return Expected::Events(vec![trade(of.price, of.size, of.side)], (ts_event, of.ts_recv, of.sequence.into()));
    }
    if let Some(of) = record.get::<StatusMsg>() {
        let state = match StatusAction::try_from(of.action).unwrap() {
            StatusAction::Trading => MarketState::Trading,
            StatusAction::PreOpen => MarketState::PreOpen,
            StatusAction::PreCross | StatusAction::Cross => MarketState::Auction,
            StatusAction::Halt => MarketState::Halted,
            StatusAction::Close | StatusAction::PostClose => MarketState::Closed,
            StatusAction::None => MarketState::Unknown,
            // The state is what it was.
            StatusAction::NewPriceIndication | StatusAction::SsrChange => return Expected::Skipped("other_kind"),
            other => panic!("no file had {other:?} before"),
        };
        return Expected::Events(vec![Body::Status(state)], (ts_event, of.ts_recv, 0));
    }
    Expected::Skipped(match rtype {
        rtype::OHLCV_1S | rtype::OHLCV_1M | rtype::OHLCV_1H | rtype::OHLCV_1D => "bar",
        rtype::ERROR | rtype::SYMBOL_MAPPING | rtype::SYSTEM => "control",
        _ => "other_kind",
    })
}

/// Compares each record, and all of them again as one Kafka record.
fn compare(path: &Path, oracle: &mut impl DecodeRecordRef, records: &[u8], counts: &mut Counts) {
    let name = path.display();
    let mut decoder = Decoder::new(Encoding::Dbn, "dbn", &[]).unwrap();
    let mut all: Vec<Event> = Vec::new();
    let mut at = 0;
    while let Some(record) = oracle.decode_record_ref().unwrap() {
        counts.records += 1;
        let bytes = ours::record_bytes(&records[at..]).unwrap();
        let value = &records[at..at + bytes];
        assert_eq!(value, AsRef::<[u8]>::as_ref(&record), "{name}: the same bytes of record {}", counts.records);
        at += bytes;
        let mut events = Vec::new();
        let outcome = decoder.decode(&Record { value, key: None, ts_recv: 1 }, &mut events).unwrap();
        match expected(&record) {
            Expected::Skipped(reason) => {
                assert_eq!(outcome.skipped.map(|(skip, count)| (skip.reason(), count)), Some((reason, 1)), "{name}");
                assert!(events.is_empty());
                *counts.skipped.entry(reason).or_default() += 1;
            }
            Expected::Events(bodies, times) => {
                let (ts_event, ts_recv, sequence) = times;
                assert_eq!(events.iter().map(|event| event.body).collect::<Vec<_>>(), bodies, "{name}");
                let head = events[0].head;
                assert_eq!((head.ts_event, head.ts_recv, head.sequence), (ts_event, ts_recv, sequence), "{name}");
                assert_eq!(ours::ts_recv(value), ts_recv, "{name}");
                let header = record.header();
                let symbol = format!("{}.{}", header.publisher_id, header.instrument_id);
                let id = instrument_id("dbn", symbol.as_bytes());
                assert!(events.iter().all(|event| event.head.instrument_id == id), "{name}");
            }
        }
        for event in &events {
            match event.body {
                Body::Quote(_) => counts.quotes += 1,
                Body::Trade(_) => counts.trades += 1,
                Body::Depth(_) => counts.books += 1,
                Body::Status(_) => counts.states += 1,
                _ => {}
            }
        }
        all.extend(events);
    }
    assert_eq!(at, records.len(), "{name}: nothing is left over");
    if !records.is_empty() {
        let mut together = Vec::new();
        decoder.decode(&Record { value: records, key: None, ts_recv: 1 }, &mut together).unwrap();
        let bodies = |events: &[Event]| events.iter().map(|event| event.body).collect::<Vec<_>>();
        assert_eq!(bodies(&together), bodies(&all), "{name}");
    }
}

#[test]
fn every_file_gives_exactly_what_the_formats_own_library_finds_in_it() {
    let Some(folder) = folder() else { return };
    let mut found = Vec::new();
    files(&folder, &mut found);
    assert_eq!(found.len(), 76, "files with their headers and without");
    let mut total = Counts::default();
    let mut versions: BTreeMap<u8, usize> = BTreeMap::new();
    for path in found {
        let bytes = bytes_of(&path);
        let mut counts = Counts::default();
        if path.to_str().unwrap().contains(".frag") {
            // Bare records: the file's name says the version to the library, and ours does not need it.
            let version = if path.to_str().unwrap().contains(".v1.") { 1 } else { 3 };
            let mut oracle: BareOracle<&[u8]> =
                BareOracle::with_version(&bytes[..], version, VersionUpgradePolicy::AsIs, false).unwrap();
            compare(&path, &mut oracle, &bytes, &mut counts);
        } else {
            let header = ours::metadata::header_bytes(*bytes.first_chunk().unwrap()).unwrap();
            let metadata = ours::metadata::parse(&bytes).unwrap();
            let mut oracle: Oracle<&[u8]> =
                Oracle::with_upgrade_policy(&bytes[..], VersionUpgradePolicy::AsIs).unwrap();
            assert_eq!(metadata.version, oracle.metadata().version, "{}", path.display());
            *versions.entry(metadata.version).or_default() += 1;
            let mut names: BTreeMap<u32, String> = BTreeMap::new();
            for mapping in &oracle.metadata().mappings {
                for interval in &mapping.intervals {
                    let id = interval.symbol.parse().unwrap();
                    names.entry(id).or_insert_with(|| mapping.raw_symbol.clone());
                }
            }
            assert_eq!(metadata.names, names, "{}", path.display());
            compare(&path, &mut oracle, &bytes[header..], &mut counts);
        }
        println!("{}: {counts:?}", path.strip_prefix(&folder).unwrap().display());
        total.records += counts.records;
        total.quotes += counts.quotes;
        total.trades += counts.trades;
        total.books += counts.books;
        total.states += counts.states;
        for (reason, count) in counts.skipped {
            *total.skipped.entry(reason).or_default() += count;
        }
    }
    let skipped = [("bar", 48), ("by_order", 21), ("control", 20), ("other_kind", 52)];
    let expected =
        Counts { records: 246, quotes: 62, trades: 34, books: 16, states: 9, skipped: BTreeMap::from(skipped) };
    assert_eq!(total, expected);
    assert_eq!(versions, BTreeMap::from([(1, 12), (2, 18), (3, 44)]));
}
