//! What each kind of message becomes, and what is refused. The messages are made up, in the form that the venue documents.

use crate::book::{Applied, BookState, Books};
use crate::decode::{DecodeError, Decoder, Outcome, Record, Skip};
use crate::event::{
    Aggressor, Body, BookSide, Checksum, Delta, Depth, Event, FLAG_LAST, FLAG_SNAPSHOT, Head, PRICE_UNDEFINED, Quote,
    Trade,
};
use crate::instruments::Instrument;
use pinion_spec::ids::{instrument_id, publisher_id};
use pinion_spec::strategy::{Encoding, Resync};

const RECV: u64 = 1_700_000_001_000_000_000;
const SNAPSHOT: &str = r#"[0,{"as":[["5.20","0.75000000","1700000000.000001"],["5.30","1.00000000","1700000000.000003"]],"bs":[["5.10","2.50000000","1700000000.000002"]]},"book-10","XYZ/USD"]"#;
const UPDATE: &str = r#"[0,{"a":[["5.20","0.00000000","1700000000.000004"]]},{"b":[["5.00","0.00500000","1700000000.000006"],["5.10","2.00000000","1700000000.000005"]],"c":"974947235"},"book-10","XYZ/USD"]"#;
const SPREAD: &str = r#"[0,["5.10","5.20","1700000000.123456","2.50000000","0.75000000"],"spread","XYZ/USD"]"#;
const TICKER: &str = r#"[0,{"a":["5.20",0,"0.75000000"],"b":["5.10",2,"2.50000000"],"c":["5.15","0.1"],"v":["1","2"]},"ticker","XYZ/USD"]"#;
const TRADES: &str = r#"[0,[["5.15","0.00600000","1700000000.123456","s","l",""],["5.16","0.10000000","1700000000.123457","b","m",""]],"trade","XYZ/USD"]"#;

fn decoder() -> Decoder {
    Decoder::new(Encoding::KrakenV1, "kraken-v1", &[]).unwrap()
}

fn decode(decoder: &mut Decoder, text: &str) -> Result<(Outcome, Vec<Event>), DecodeError> {
    let mut events = Vec::new();
    let outcome = decoder.decode(&Record { value: text.as_bytes(), key: None, ts_recv: RECV }, &mut events);
    assert!(outcome.is_ok() || events.is_empty(), "an error leaves nothing behind");
    outcome.map(|outcome| (outcome, events))
}

fn ok(text: &str) -> Vec<Event> {
    let (outcome, events) = decode(&mut decoder(), text).unwrap();
    assert_eq!(outcome, Outcome { events: events.len(), skipped: None });
    events
}

fn heads_and_bodies(text: &str) -> Vec<(Head, Body)> {
    ok(text).iter().map(|event| (event.head, event.body)).collect()
}

fn head(ts_event: u64, flags: u32) -> Head {
    Head {
        instrument_id: instrument_id("kraken-v1", b"XYZ/USD"),
        publisher_id: publisher_id("kraken-v1"),
        flags,
        ts_event,
        ts_recv: RECV,
        sequence: 0,
    }
}

fn delta(price: i64, size: i64, side: BookSide) -> Body {
    Body::Delta(Delta { price, size, count: 0, side })
}

/// Microseconds after 1,700,000,000 s.
const fn at(micros: u64) -> u64 {
    1_700_000_000_000_000_000 + micros * 1_000
}

#[test]
fn a_snapshot_is_the_whole_book_at_the_time_of_its_latest_level() {
    let head = |flags| head(at(3), FLAG_SNAPSHOT | flags);
    let depth = Depth { levels: 3, snapshot: true, keeps: 10, ..Depth::default() };
    let expected = [
        (head(0), Body::Depth(depth)),
        (head(0), delta(5_200_000_000, 750_000_000, BookSide::Ask)),
        (head(0), delta(5_300_000_000, 1_000_000_000, BookSide::Ask)),
        (head(FLAG_LAST), delta(5_100_000_000, 2_500_000_000, BookSide::Bid)),
    ];
    assert_eq!(heads_and_bodies(SNAPSHOT), expected);
}

#[test]
fn an_update_is_its_levels_in_their_order_with_the_checksum() {
    let head = |flags| head(at(6), flags);
    let checksum = Some(Checksum { crc32: 974_947_235, price_shift: -7, size_shift: -1 });
    let expected = |checksum| {
        [
            (head(0), Body::Depth(Depth { levels: 3, keeps: 10, checksum, ..Depth::default() })),
            (head(0), delta(5_200_000_000, 0, BookSide::Ask)),
            (head(0), delta(5_000_000_000, 5_000_000, BookSide::Bid)),
            (head(FLAG_LAST), delta(5_100_000_000, 2_000_000_000, BookSide::Bid)),
        ]
    };
    assert_eq!(heads_and_bodies(UPDATE), expected(checksum));
    assert_eq!(heads_and_bodies(&UPDATE.replace(r#","c":"974947235""#, "")), expected(None), "old feeds have none");
    // A level that comes into range again says so in a fourth item.
    assert_eq!(heads_and_bodies(&UPDATE.replace(r#"000006"]"#, r#"000006","r"]"#)), expected(checksum));
}

#[test]
fn an_ask_that_no_price_can_say_is_left_out_and_counted_and_a_bid_refuses_the_record() {
    for price in ["9999999997.00000", "9223372037.00000", "123456789012345678901234567890.00000"] {
        let text = SNAPSHOT.replace("5.30", price);
        let (outcome, events) = decode(&mut decoder(), &text).unwrap();
        assert_eq!(outcome, Outcome { events: 3, skipped: Some((Skip::FarLevel, 1)) });
        let Body::Depth(depth) = events[0].body else { panic!("not a depth") };
        assert_eq!((depth.levels, events[2].body), (2, delta(5_100_000_000, 2_500_000_000, BookSide::Bid)));
        let bid = decode(&mut decoder(), &SNAPSHOT.replace("5.10", price));
        assert!(matches!(bid, Err(DecodeError::OutOfRange { field: "bs", .. })), "{bid:?}");
    }
    for price in ["5.3000000001", "-9999999997.0"] {
        let ask = decode(&mut decoder(), &SNAPSHOT.replace("5.30", price));
        assert!(matches!(ask, Err(DecodeError::OutOfRange { field: "as", .. })), "{price}: {ask:?}");
    }
}

#[test]
fn a_checksum_of_no_levels_measures_nothing() {
    let text = r#"[0,{"b":[],"c":"974947235"},"book-10","XYZ/USD"]"#;
    let depth = Depth { keeps: 10, ..Depth::default() };
    assert_eq!(heads_and_bodies(text), [(head(0, FLAG_LAST), Body::Depth(depth))]);
}

#[test]
fn the_depth_is_in_the_channels_name() {
    for (name, keeps) in [("book-10", 10), ("book-1000", 1_000), ("book", 0)] {
        let Body::Depth(depth) = ok(&SNAPSHOT.replace("book-10", name))[0].body else { panic!("not a depth") };
        assert_eq!(depth.keeps, keeps, "{name}");
    }
}

#[test]
fn a_spread_and_a_ticker_are_quotes() {
    let quote = Quote {
        bid_price: 5_100_000_000,
        bid_size: 2_500_000_000,
        ask_price: 5_200_000_000,
        ask_size: 750_000_000,
        bid_count: 0,
        ask_count: 0,
    };
    assert_eq!(heads_and_bodies(SPREAD), [(head(at(123_456), FLAG_LAST), Body::Quote(quote))]);
    assert_eq!(heads_and_bodies(TICKER), [(head(0, FLAG_LAST), Body::Quote(quote))]);
    let empty = Quote { bid_price: PRICE_UNDEFINED, bid_size: 0, ..quote };
    let text = SPREAD.replace("5.10", "0.00");
    assert_eq!(heads_and_bodies(&text), [(head(at(123_456), FLAG_LAST), Body::Quote(empty))]);
}

#[test]
fn each_trade_of_a_message_has_its_own_time_and_the_takers_side() {
    let trade = |price, size, aggressor| Body::Trade(Trade { price, size, trade_id: 0, aggressor });
    let expected = [
        (head(at(123_456), 0), trade(5_150_000_000, 6_000_000, Aggressor::Seller)),
        (head(at(123_457), FLAG_LAST), trade(5_160_000_000, 100_000_000, Aggressor::Buyer)),
    ];
    assert_eq!(heads_and_bodies(TRADES), expected);
}

#[test]
fn well_formed_messages_without_market_data_are_skipped_by_reason() {
    for (text, reason) in [
        (r#"{"event":"heartbeat"}"#, Skip::Control),
        (r#"{"connectionID":1,"event":"systemStatus","status":"online","version":"1.9"}"#, Skip::Control),
        (r#"{"channelID":1,"event":"subscriptionStatus","pair":"XYZ/USD","status":"subscribed"}"#, Skip::Control),
        (r#"{"event":"pong","reqid":1}"#, Skip::Control),
        (r#"{"event":"other"}"#, Skip::OtherKind),
        ("{}", Skip::OtherKind),
        (r#"[0,["1542057314.748456","1542057360.435743","1","2"],"ohlc-5","XYZ/USD"]"#, Skip::OtherKind),
        (r#"[[{"T":{"price":"1"}}],"ownTrades",{"sequence":1}]"#, Skip::OtherKind),
        (r#"[0,{},{},{},"book-10","XYZ/USD"]"#, Skip::OtherKind),
        (r#"[0,[],[],"trade","XYZ/USD"]"#, Skip::OtherKind),
        (r#"[0,{},"books","XYZ/USD"]"#, Skip::OtherKind),
        (r#"[0,[],"trade","XYZ/USD"]"#, Skip::OtherKind),
        (r#"[0,{},"book-x","XYZ/USD"]"#, Skip::OtherKind),
        ("[]", Skip::OtherKind),
    ] {
        let (outcome, events) = decode(&mut decoder(), text).unwrap();
        assert_eq!((events, outcome.skipped), (vec![], Some((reason, 1))), "{text}");
    }
}

#[test]
fn a_declared_instrument_has_its_size_exponent_and_the_checksum_follows_it() {
    let declared = Instrument {
        id: 42,
        publisher_id: publisher_id("kraken-v1"),
        publisher: "venue".into(),
        symbol: "XYZ/USD".into(),
        tick: 0,
        lot: 0,
        size_exponent: -3,
    };
    let mut decoder = Decoder::new(Encoding::KrakenV1, "kraken-v1", &[declared]).unwrap();
    let (_, events) = decode(&mut decoder, UPDATE).unwrap();
    assert!(events.iter().all(|event| event.head.instrument_id == 42));
    assert_eq!(events[2].body, delta(5_000_000_000, 5, BookSide::Bid));
    let Body::Depth(depth) = events[0].body else { panic!("not a depth") };
    assert_eq!(depth.checksum, Some(Checksum { crc32: 974_947_235, price_shift: -7, size_shift: 5 }));
}

/// The book of the venue's own example before the update that completes it: ten levels a side, the best bid smaller.
fn book_before() -> String {
    let level = |price: u32, size: u32| format!(r#"["0.{price:05}","0.{size:08}","1582905487.439814"]"#);
    let asks: Vec<_> = (0..10).map(|n| level(5_005 + 5 * n, 500)).collect();
    let bids = [4_995, 4_990, 4_980, 4_975, 4_970, 4_965, 4_960, 4_955, 4_950].map(|price| level(price, 500));
    let (asks, best, bids) = (asks.join(","), level(5_000, 300), bids.join(","));
    format!(r#"[0,{{"as":[{asks}],"bs":[{best},{bids}]}},"book-10","XYZ/USD"]"#)
}

/// The update after which the book has the checksum of the venue's own example.
const UPDATE_TO_EXAMPLE: &str =
    r#"[0,{"b":[["0.05000","0.00000500","1582905487.439815"]],"c":"974947235"},"book-10","XYZ/USD"]"#;

fn take(decoder: &mut Decoder, books: &mut Books, text: &str) -> Applied {
    let (_, events) = decode(decoder, text).unwrap();
    events.iter().map(|event| books.apply(event)).last().unwrap()
}

#[test]
fn a_book_that_meets_its_checksum_stays_whole() {
    let (mut decoder, mut books) = (decoder(), Books::default());
    take(&mut decoder, &mut books, &book_before());
    let applied = take(&mut decoder, &mut books, UPDATE_TO_EXAMPLE);
    assert_eq!(applied, Applied::Delta { taken: true, last: true, recovered: false, gap: None });
    assert_eq!(books.state(instrument_id("kraken-v1", b"XYZ/USD")), BookState::Whole);
    assert_eq!((books.counts().checksums, books.counts().checksums_failed), (1, 0));
}

#[test]
fn a_book_that_does_not_meet_its_checksum_is_gapped_until_the_next_snapshot() {
    let id = instrument_id("kraken-v1", b"XYZ/USD");
    let (mut decoder, mut books) = (decoder(), Books::new(Resync::Snapshot));
    take(&mut decoder, &mut books, &book_before());
    // As if the update before it, to 0.05000, had been lost.
    let other = UPDATE_TO_EXAMPLE.replace("0.05000", "0.04995");
    let gap = take(&mut decoder, &mut books, &other).gap().unwrap();
    assert_eq!(gap.expected, 974_947_235);
    assert_ne!(gap.received, gap.expected);
    assert_eq!(books.state(id), BookState::Gapped);
    assert_eq!(books.level(id, BookSide::Ask, 0), None, "emptied");
    assert_eq!((books.counts().gaps, books.counts().checksums_failed), (1, 1));
    assert_eq!(take(&mut decoder, &mut books, UPDATE_TO_EXAMPLE).gap(), None, "what is gapped is not measured");
    assert_eq!(books.state(id), BookState::Gapped);
    let applied = take(&mut decoder, &mut books, &book_before());
    assert_eq!(applied, Applied::Delta { taken: true, last: true, recovered: true, gap: None });
    assert_eq!(take(&mut decoder, &mut books, UPDATE_TO_EXAMPLE).gap(), None);
    assert_eq!(books.state(id), BookState::Whole);
    assert_eq!(books.counts().checksums, 2);
}

#[test]
fn a_level_pushed_beyond_the_depth_is_dropped_and_told() {
    let id = instrument_id("kraken-v1", b"XYZ/USD");
    let (mut decoder, mut books) = (decoder(), Books::default());
    take(&mut decoder, &mut books, &book_before());
    let better = r#"[0,{"b":[["0.05001","0.00000100","1582905487.439815"]]},"book-10","XYZ/USD"]"#;
    take(&mut decoder, &mut books, better);
    assert_eq!(books.level(id, BookSide::Bid, 9).map(|level| level.price), Some(49_550_000));
    assert_eq!(books.level(id, BookSide::Bid, 10), None);
    let told: Vec<_> = (0..).map_while(|n| books.pushed_out(id, n)).collect();
    assert_eq!(told, [Delta { price: 49_500_000, size: 0, count: 0, side: BookSide::Bid }]);
    take(&mut decoder, &mut books, &better.replace("0.00000100", "0.00000000"));
    assert_eq!(books.level(id, BookSide::Bid, 9), None, "the venue tells what comes into range again");
    assert_eq!(books.pushed_out(id, 0), None);
}

#[test]
fn each_mistake_has_its_reason() {
    let reason = |text: &str| decode(&mut decoder(), text).map(|_| ()).map_err(|error| error.reason());
    let changed = |whole: &str, from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        reason(&whole.replacen(from, to, 1))
    };
    assert_eq!(changed(SNAPSHOT, r#","bs":[["5.10","2.50000000","1700000000.000002"]]"#, ""), Err("missing_field"));
    assert_eq!(reason(r#"[0,{"c":"1"},"book-10","XYZ/USD"]"#), Err("missing_field"));
    assert_eq!(reason(r#"[0,"book-10","XYZ/USD"]"#), Err("missing_field"));
    assert_eq!(changed(TICKER, r#""b":["5.10",2,"2.50000000"],"#, ""), Err("missing_field"));
    assert_eq!(changed(UPDATE, r#""b":["#, r#""a":["#), Err("duplicate_field"), "in the other payload");
    assert_eq!(changed(UPDATE, r#"]],"c":"974947235""#, r#"]],"b":[],"c":"1""#), Err("duplicate_field"));
    assert_eq!(changed(SNAPSHOT, r#"{"as""#, r#"{"c":"1","as""#), Err("bad_type"), "neither snapshot nor update");
    assert_eq!(changed(SNAPSHOT, r#"{"as""#, r#"{"a":[],"as""#), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#"["5.20","0.00000000","1700000000.000004"]"#, r#"["5.20","0"]"#), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#"["5.20","0.00000000","1700000000.000004"]"#, "{}"), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#""c":"974947235""#, r#""c":974947235"#), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#""c":"974947235""#, r#""c":"-1""#), Err("bad_number"));
    assert_eq!(changed(UPDATE, r#""c":"974947235""#, r#""c":"4294967296""#), Err("out_of_range"));
    assert_eq!(changed(UPDATE, r#""5.20""#, r#""5.2000000000000000000""#), Err("out_of_range"), "no checksum of that");
    assert_eq!(changed(TRADES, r#""s""#, r#""x""#), Err("bad_type"));
    assert_eq!(reason(r#"[0,{},"trade","XYZ/USD"]"#), Err("bad_type"));
    assert_eq!(reason(r#"[0,[],"book-10","XYZ/USD"]"#), Err("bad_type"));
    assert_eq!(reason(r#"[0,[],"ticker","XYZ/USD"]"#), Err("bad_type"));
    assert_eq!(reason(r#"[0,["1","2"],"spread","XYZ/USD"]"#), Err("bad_type"));
    assert_eq!(changed(TRADES, "5.15", "5.x"), Err("bad_number"));
    assert_eq!(changed(TRADES, "1700000000.123456", "-1.5"), Err("out_of_range"));
    assert_eq!(changed(TRADES, "1700000000.123456", "1700000000.1234567891"), Err("out_of_range"));
    assert_eq!(changed(TRADES, "0.00600000", "-0.006"), Err("out_of_range"));
    assert_eq!(changed(TRADES, "XYZ/USD", ""), Err("bad_symbol"));
    assert_eq!(reason(&TRADES[..60]), Err("truncated"));
    assert_eq!(reason(&format!("{TRADES},")), Err("not_json"));
    assert_eq!(reason("7"), Err("bad_type"));
    assert_eq!(reason(r#"{"event":1}"#), Err("bad_type"));
}
