//! What each kind of record becomes, and what is refused. The records are made up, byte by byte, as the format's page lays them out.

use super::*;
use crate::book::{BookState, Books};
use crate::decode::{Decoder, Outcome};
use crate::event::{Event, FLAG_LAST};
use crate::instruments::Instrument;
use pinion_spec::ids::{instrument_id, publisher_id as publisher};
use pinion_spec::strategy::Encoding;

const RECV: u64 = 1_700_000_001_000_000_000;
const PRICE: i64 = 20_150_000_000;

fn header(rtype: u8, bytes: usize) -> Vec<u8> {
    let mut out = vec![u8::try_from(bytes / 4).unwrap(), rtype];
    out.extend(2_u16.to_le_bytes());
    out.extend(5_482_u32.to_le_bytes());
    out.extend(1_700_000_000_000_000_001_u64.to_le_bytes());
    out
}

/// The 48 bytes of a trade, or the first 48 of a record with levels.
fn trade(rtype: u8, bytes: usize, action: u8, side: u8) -> Vec<u8> {
    let mut out = header(rtype, bytes);
    out.extend(PRICE.to_le_bytes());
    out.extend(3_u32.to_le_bytes());
    out.extend([action, side, 0x80 | 0x20, 0]);
    out.extend(1_700_000_000_000_000_002_u64.to_le_bytes());
    out.extend((-5_i32).to_le_bytes());
    out.extend(71_u32.to_le_bytes());
    out
}

fn level(out: &mut Vec<u8>, bid: i64, ask: i64, sizes: [u32; 4]) {
    out.extend(bid.to_le_bytes());
    out.extend(ask.to_le_bytes());
    out.extend(sizes.into_iter().flat_map(u32::to_le_bytes));
}

fn quote(rtype: u8, action: u8) -> Vec<u8> {
    let mut out = trade(rtype, 80, action, b'A');
    level(&mut out, PRICE - 10, PRICE + 10, [7, 8, 1, 2]);
    out
}

fn book(levels: usize, action: u8) -> Vec<u8> {
    let mut out = trade(0x0a, 368, action, b'B');
    for n in 0..10 {
        let step = i64::try_from(n).unwrap() * 100;
        if n < levels {
            level(&mut out, PRICE - 10 - step, PRICE + 10 + step, [7, 8, 1, 2]);
        } else {
            level(&mut out, i64::MAX, i64::MAX, [0; 4]);
        }
    }
    out
}

fn order(action: u8) -> Vec<u8> {
    let mut out = header(0xa0, 56);
    out.extend(99_u64.to_le_bytes());
    out.extend(PRICE.to_le_bytes());
    out.extend(3_u32.to_le_bytes());
    out.extend([0, 1, action, b'B']);
    out.extend(1_700_000_000_000_000_002_u64.to_le_bytes());
    out.extend(0_i32.to_le_bytes());
    out.extend(71_u32.to_le_bytes());
    out
}

fn status(action: u16, is_trading: u8) -> Vec<u8> {
    let mut out = header(0x12, 40);
    out.extend(1_700_000_000_000_000_002_u64.to_le_bytes());
    for word in [action, 1, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend([is_trading, b'~', b'~', 0, 0, 0, 0, 0, 0, 0]);
    out
}

fn decoder() -> Decoder {
    Decoder::new(Encoding::Dbn, "databento", &[]).unwrap()
}

fn decode(value: &[u8]) -> Result<(Outcome, Vec<Event>), DecodeError> {
    let mut events = Vec::new();
    let outcome = decoder().decode(&Record { value, key: None, ts_recv: RECV }, &mut events);
    assert!(outcome.is_ok() || events.is_empty(), "an error leaves nothing behind");
    outcome.map(|outcome| (outcome, events))
}

fn heads_and_bodies(value: &[u8]) -> Vec<(Head, Body)> {
    let (outcome, events) = decode(value).unwrap();
    assert_eq!(outcome, Outcome { events: events.len(), skipped: None });
    events.iter().map(|event| (event.head, event.body)).collect()
}

fn head(sequence: u64, flags: u32) -> Head {
    Head {
        instrument_id: instrument_id("databento", b"2.5482"),
        publisher_id: publisher("databento"),
        flags,
        ts_event: 1_700_000_000_000_000_001,
        ts_recv: 1_700_000_000_000_000_002,
        sequence,
    }
}

const SOLD: Body = Body::Trade(Trade { price: PRICE, size: 3_000_000_000, trade_id: 0, aggressor: Aggressor::Seller });
const QUOTE: Quote = Quote {
    bid_price: PRICE - 10,
    bid_size: 7_000_000_000,
    ask_price: PRICE + 10,
    ask_size: 8_000_000_000,
    bid_count: 1,
    ask_count: 2,
};

#[test]
fn a_trade_is_a_trade_and_its_side_is_the_aggressors() {
    let flags = FLAG_SNAPSHOT | FLAG_LAST;
    assert_eq!(heads_and_bodies(&trade(0, 48, b'T', b'A')), [(head(71, flags), SOLD)]);
    for (side, expected) in [(b'B', Aggressor::Buyer), (b'N', Aggressor::None)] {
        let [(_, Body::Trade(trade))] = heads_and_bodies(&trade(0, 48, b'T', side))[..] else { panic!("one trade") };
        assert_eq!(trade.aggressor, expected);
    }
}

#[test]
fn a_quote_comes_before_the_trade_that_its_record_tells_of() {
    let unlast = head(71, FLAG_SNAPSHOT);
    let last = head(71, FLAG_SNAPSHOT | FLAG_LAST);
    assert_eq!(heads_and_bodies(&quote(0x01, b'A')), [(last, Body::Quote(QUOTE))]);
    for rtype in [0x01, 0xc5] {
        assert_eq!(heads_and_bodies(&quote(rtype, b'T')), [(unlast, Body::Quote(QUOTE)), (last, SOLD)]);
    }
    let consolidated = Body::Quote(Quote { bid_count: 0, ask_count: 0, ..QUOTE });
    for rtype in [0xb1, 0xc2] {
        let (unlast, last) = (Head { sequence: 0, ..unlast }, Head { sequence: 0, ..last });
        assert_eq!(heads_and_bodies(&quote(rtype, b'T')), [(unlast, consolidated), (last, SOLD)]);
    }
    // A sampled quote's trade is an old one, and its action is not set.
    for rtype in [0xc3, 0xc4] {
        assert_eq!(heads_and_bodies(&quote(rtype, 0)), [(last, Body::Quote(QUOTE))]);
    }
    for rtype in [0xc0, 0xc1] {
        assert_eq!(heads_and_bodies(&quote(rtype, 0)), [(Head { sequence: 0, ..last }, consolidated)]);
    }
}

#[test]
fn a_book_of_levels_is_a_snapshot_that_replaces_the_last_one_whatever_the_sequence() {
    let mut books = Books::default();
    for levels in [10, 3, 0, 1] {
        let events = decode(&book(levels, b'A')).unwrap().1;
        let count = u32::try_from((2 * levels).max(1)).unwrap();
        assert_eq!(events[0].head, head(0, FLAG_SNAPSHOT));
        assert_eq!(events[0].body, Body::Depth(Depth { levels: count, snapshot: true, ..Depth::default() }));
        assert_eq!(events.len(), count as usize + 1);
        for event in &events {
            books.apply(event);
        }
        let id = events[0].head.instrument_id;
        let top = books.top(id).unwrap();
        assert_eq!((top.bid_levels as usize, top.ask_levels as usize), (levels, levels));
        assert_eq!(top.bid_price, if levels == 0 { i64::MAX } else { PRICE - 10 });
        assert_eq!(books.state(id), BookState::Whole);
    }
    let with_trade = heads_and_bodies(&book(1, b'T'));
    let bought = Body::Trade(Trade { price: PRICE, size: 3_000_000_000, trade_id: 0, aggressor: Aggressor::Buyer });
    assert_eq!(with_trade[0], (head(71, FLAG_SNAPSHOT), bought), "the trade, then the book after it");
    assert_eq!(with_trade[1].1, Body::Depth(Depth { levels: 2, snapshot: true, ..Depth::default() }));
    assert_eq!(with_trade.len(), 4);
}

#[test]
fn of_a_book_by_order_only_trades_are_taken() {
    let bought = Body::Trade(Trade { price: PRICE, size: 3_000_000_000, trade_id: 0, aggressor: Aggressor::Buyer });
    assert_eq!(heads_and_bodies(&order(b'T')), [(head(71, FLAG_LAST), bought)]);
    for action in *b"ACMRFN" {
        let (outcome, events) = decode(&order(action)).unwrap();
        assert_eq!((outcome.skipped, events.len()), (Some((Skip::ByOrder, 1)), 0));
    }
}

#[test]
fn a_status_is_a_state_of_the_market() {
    use MarketState::{Auction, Closed, Halted, Paused, PreOpen, Trading, Unknown};
    let states = [
        (0, Unknown),
        (1, PreOpen),
        (2, Auction),
        (3, PreOpen),
        (4, Auction),
        (5, Auction),
        (7, Trading),
        (8, Halted),
        (9, Paused),
        (10, Halted),
        (12, Closed),
        (13, Closed),
        (15, Closed),
        (16, Unknown),
        (u16::MAX, Unknown),
    ];
    for (action, state) in states {
        assert_eq!(heads_and_bodies(&status(action, b'Y')), [(head(0, FLAG_LAST), Body::Status(state))], "{action}");
    }
    for (is_trading, state) in [(b'Y', Trading), (b'N', Closed), (b'~', Unknown), (0xff, Unknown)] {
        assert_eq!(heads_and_bodies(&status(11, is_trading)), [(head(0, FLAG_LAST), Body::Status(state))]);
    }
    for action in [6, 14] {
        assert_eq!(decode(&status(action, b'Y')).unwrap().0.skipped, Some((Skip::OtherKind, 1)));
    }
}

#[test]
fn records_without_market_data_are_skipped_by_reason_and_counted_together() {
    for (rtype, reason) in [
        (0x11, Skip::Bar),
        (0x20, Skip::Bar),
        (0x24, Skip::Bar),
        (0x13, Skip::OtherKind),
        (0x14, Skip::OtherKind),
        (0x18, Skip::OtherKind),
        (0x77, Skip::OtherKind),
        (0x15, Skip::Control),
        (0x16, Skip::Control),
        (0x17, Skip::Control),
    ] {
        let (outcome, events) = decode(&header(rtype, 16)).unwrap();
        assert_eq!((outcome.skipped, events.len()), (Some((reason, 1)), 0), "{rtype:x}");
    }
    let several = [header(0x20, 16), trade(0, 48, b'T', b'A'), header(0x13, 16), order(b'A')].concat();
    let (outcome, events) = decode(&several).unwrap();
    assert_eq!((outcome.skipped, events.len()), (Some((Skip::Bar, 3)), 1));
}

#[test]
fn empty_sides_and_sizes_and_times_that_there_are_none_of_are_told_as_such() {
    let mut record = trade(0x01, 80, b'A', b'N');
    level(&mut record, i64::MAX, -5, [9, u32::MAX, 0, 0]);
    record[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    record[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let expected =
        Quote { bid_price: PRICE_UNDEFINED, bid_size: 0, ask_price: -5, ask_size: 0, bid_count: 0, ask_count: 0 };
    let head = Head { ts_event: 0, ts_recv: RECV, ..head(71, FLAG_SNAPSHOT | FLAG_LAST) };
    assert_eq!(heads_and_bodies(&record), [(head, Body::Quote(expected))]);
    assert_eq!(ts_recv(&record), 0);
    assert_eq!(ts_recv(&order(b'A')), 1_700_000_000_000_000_002);
    assert_eq!(ts_recv(&header(0x20, 16)), 1_700_000_000_000_000_001);
}

/// Found by the fuzzer: a state of the market whose receive time was never set had 1970 as its time, and stopped the stream's clock.
#[test]
fn a_receive_time_of_nought_is_none() {
    let record = [
        0x0a, 0x12, 0x01, 0x00, 0x6a, 0x15, 0x00, 0x00, 0x00, 0x60, 0x87, 0x02, 0xff, 0xff, 0x7f, 0x00, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0,
    ];
    let (_, events) = decode(&record).unwrap();
    assert_eq!((events.len(), events[0].head.ts_recv, events[0].head.ts_event), (1, RECV, 36_028_792_766_423_040));
    assert_eq!(ts_recv(&record), 36_028_792_766_423_040, "the venue's, where no capture is told");
}

#[test]
fn sizes_come_at_the_instruments_exponent_and_the_largest_fits() {
    let declared = Instrument {
        id: 7,
        publisher_id: publisher("databento"),
        publisher: "databento".into(),
        symbol: "2.5482".into(),
        tick: 1,
        lot: 1,
        size_exponent: 0,
    };
    let mut record = trade(0, 48, b'T', b'A');
    record[24..28].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    for (declared, id, size) in [
        (vec![declared], 7, i64::from(u32::MAX - 1)),
        (vec![], instrument_id("databento", b"2.5482"), i64::from(u32::MAX - 1) * 1_000_000_000),
    ] {
        let mut decoder = Decoder::new(Encoding::Dbn, "databento", &declared).unwrap();
        let mut events = Vec::new();
        decoder.decode(&Record { value: &record, key: None, ts_recv: RECV }, &mut events).unwrap();
        let Body::Trade(trade) = events[0].body else { panic!("a trade") };
        assert_eq!((events[0].head.instrument_id, trade.size), (id, size));
    }
}

#[test]
fn what_is_no_record_is_refused_with_its_place() {
    let good = trade(0, 48, b'T', b'A');
    let behind = |bad: Vec<u8>| decode(&[good.clone(), bad].concat()).unwrap_err();
    let layout = |what| DecodeError::BadLayout { at: 48, what };
    assert_eq!(behind(trade(0, 48, b'X', b'A')), layout("unknown action"));
    assert_eq!(behind(trade(0, 48, b'T', b'X')), layout("unknown side"));
    assert_eq!(behind(quote(0x01, 0)), layout("unknown action"));
    assert_eq!(behind(order(0)), layout("unknown action"));
    assert_eq!(behind(trade(0, 44, b'T', b'A')[..44].to_vec()), layout("length is shorter than the kind needs"));
    assert_eq!(behind(trade(0x0a, 48, b'T', b'A')), layout("length is shorter than the kind needs"));
    assert_eq!(behind(vec![3; 12]), layout("length is shorter than a header"));
    assert_eq!(behind(vec![0; 16]), layout("length is shorter than a header"));
    let mut unpriced = good.clone();
    unpriced[16..24].copy_from_slice(&i64::MAX.to_le_bytes());
    assert_eq!(behind(unpriced), layout("a trade without a price"));
    for cut in 1..48 {
        assert_eq!(behind(good[..cut].to_vec()), DecodeError::Truncated { at: 48 + cut });
    }
    assert_eq!(decode(b""), Err(DecodeError::Truncated { at: 0 }));
    assert!(matches!(decode(b"DBN\x03rest"), Err(DecodeError::BadLayout { at: 0, .. })));
    // A time of sending behind the record is stepped over.
    let mut longer = trade(0, 56, b'T', b'A');
    longer.extend([0xff; 8]);
    assert_eq!(heads_and_bodies(&longer).len(), 1);
}

/// A header of version 2 or 3 with these names.
fn file_header(version: u8, names: &[(&str, &str)]) -> Vec<u8> {
    let symbol = |text: &str| {
        let mut symbol = text.as_bytes().to_vec();
        symbol.resize(if version == 1 { 22 } else { 71 }, 0);
        symbol
    };
    let mut rest = vec![0; 100];
    if version > 1 {
        rest[45..47].copy_from_slice(&71_u16.to_le_bytes());
    }
    rest.extend(0_u32.to_le_bytes());
    rest.extend(1_u32.to_le_bytes());
    rest.extend(symbol("ASKED"));
    rest.extend([0; 8]);
    rest.extend(u32::try_from(names.len()).unwrap().to_le_bytes());
    for (raw, mapped) in names {
        rest.extend(symbol(raw));
        rest.extend(1_u32.to_le_bytes());
        rest.extend([0; 8]);
        rest.extend(symbol(mapped));
    }
    let length = u32::try_from(rest.len()).unwrap().to_le_bytes();
    [&b"DBN"[..], &[version], &length, &rest].concat()
}

#[test]
fn a_files_header_gives_names_in_every_version_and_is_refused_where_it_lies() {
    use metadata::{HeaderError, Metadata, header_bytes, parse};
    for version in 1..=3 {
        let header = file_header(version, &[("ESH1", "5482"), ("7", "NVDA"), ("ES.c.0", "5482"), ("A", "B")]);
        assert_eq!(header_bytes(*header.first_chunk().unwrap()), Ok(header.len()));
        let names = [(7, "NVDA".to_owned()), (5_482, "ESH1".to_owned())].into();
        assert_eq!(parse(&header), Ok(Metadata { version, names }));
        for cut in 108..header.len() {
            assert!(matches!(parse(&header[..cut]), Err(HeaderError::Layout { .. })), "{cut}");
        }
        for at in 108..header.len() {
            let mut hostile = header.clone();
            hostile[at] = 0xff;
            let _ = parse(&hostile);
        }
    }
    for (prelude, error) in [
        (*b"DBZ\x01\0\0\0\0", HeaderError::Magic),
        (*b"DBN\x00\xff\0\0\0", HeaderError::Version { version: 0 }),
        (*b"DBN\x04\xff\0\0\0", HeaderError::Version { version: 4 }),
        (*b"DBN\x03\x63\0\0\0", HeaderError::Length { bytes: 99 }),
        (*b"DBN\x03\xff\xff\xff\xff", HeaderError::Length { bytes: u32::MAX as usize }),
    ] {
        assert_eq!(header_bytes(prelude), Err(error));
    }
}
