//! What each kind of message becomes, and what is refused. The messages are made up, in the form that the venue documents.

use crate::book::{BookState, Books};
use crate::decode::{DecodeError, Decoder, Outcome, Record, Skip};
use crate::event::{
    Aggressor, Body, BookSide, Delta, Depth, Event, FLAG_LAST, FLAG_SNAPSHOT, Head, PRICE_UNDEFINED, Quote, Trade,
};
use pinion_spec::ids::{instrument_id, publisher_id};
use pinion_spec::strategy::Encoding;

const RECV: u64 = 1_700_000_001_000_000_000;
const T: u64 = 1_700_000_000_123_000_000;
const SNAPSHOT: &str = r#"{"feed":"book_snapshot","product_id":"PI_XYZUSD","timestamp":1700000000123,"seq":70,"tickSize":null,"bids":[{"price":20.1,"qty":2500.0}],"asks":[{"price":20.2,"qty":750.0},{"price":20.3,"qty":1.0E7}]}"#;
const UPDATE: &str = r#"{"feed":"book","product_id":"PI_XYZUSD","side":"sell","seq":71,"price":20.2,"qty":0.0,"timestamp":1700000000123}"#;
const TRADE: &str = r#"{"feed":"trade","product_id":"PI_XYZUSD","uid":"6a1","side":"sell","type":"fill","seq":9001,"time":1700000000123,"qty":40.0,"price":20.15}"#;
const TICKER: &str = r#"{"time":1700000000123,"product_id":"PI_XYZUSD","feed":"ticker","bid":20.1,"ask":20.2,"bid_size":2500.0,"ask_size":750.0,"volume":1.5E9,"tag":"perpetual"}"#;
const TICKER_LITE: &str = r#"{"feed":"ticker_lite","product_id":"PI_XYZUSD","bid":20.1,"ask":20.2,"change":-1.0E-4,"premium":-0.0,"volume":1.5E9,"tag":"perpetual","pair":"XYZ:USD","dtm":0,"maturityTime":0}"#;

fn decoder() -> Decoder {
    Decoder::new(Encoding::KrakenFutures, "kraken-futures", &[]).unwrap()
}

fn decode(text: &str) -> Result<(Outcome, Vec<Event>), DecodeError> {
    let mut events = Vec::new();
    let outcome = decoder().decode(&Record { value: text.as_bytes(), key: None, ts_recv: RECV }, &mut events);
    assert!(outcome.is_ok() || events.is_empty(), "an error leaves nothing behind");
    outcome.map(|outcome| (outcome, events))
}

fn ok(text: &str) -> Vec<Event> {
    let (outcome, events) = decode(text).unwrap();
    assert_eq!(outcome, Outcome { events: events.len(), skipped: None });
    events
}

fn heads_and_bodies(text: &str) -> Vec<(Head, Body)> {
    ok(text).iter().map(|event| (event.head, event.body)).collect()
}

fn head(sequence: u64, ts_event: u64, flags: u32) -> Head {
    Head {
        instrument_id: instrument_id("kraken-futures", b"PI_XYZUSD"),
        publisher_id: publisher_id("kraken-futures"),
        flags,
        ts_event,
        ts_recv: RECV,
        sequence,
    }
}

fn delta(price: i64, size: i64, side: BookSide) -> Body {
    Body::Delta(Delta { price, size, count: 0, side })
}

const NANO: i64 = 1_000_000_000;

#[test]
fn a_snapshot_is_the_whole_book_and_a_size_with_an_exponent_is_exact() {
    let head = |flags| head(70, T, FLAG_SNAPSHOT | flags);
    let expected = [
        (head(0), Body::Depth(Depth { levels: 3, snapshot: true, ..Depth::default() })),
        (head(0), delta(20_100_000_000, 2_500 * NANO, BookSide::Bid)),
        (head(0), delta(20_200_000_000, 750 * NANO, BookSide::Ask)),
        (head(FLAG_LAST), delta(20_300_000_000, 10_000_000 * NANO, BookSide::Ask)),
    ];
    assert_eq!(heads_and_bodies(SNAPSHOT), expected);
}

#[test]
fn an_update_is_one_level_that_follows_the_sequence_before() {
    let expected = [
        (head(71, T, 0), Body::Depth(Depth { first: 71, follows: 70, levels: 1, ..Depth::default() })),
        (head(71, T, FLAG_LAST), delta(20_200_000_000, 0, BookSide::Ask)),
    ];
    assert_eq!(heads_and_bodies(UPDATE), expected);
    let bid = UPDATE.replace("sell", "buy").replace("20.2", "2.02E1").replace("0.0,", "1.5,");
    assert_eq!(heads_and_bodies(&bid)[1].1, delta(20_200_000_000, 1_500_000_000, BookSide::Bid));
}

#[test]
fn a_sequence_that_breaks_is_a_gap_of_the_book() {
    let id = instrument_id("kraken-futures", b"PI_XYZUSD");
    let mut books = Books::default();
    let mut take = |text: &str| ok(text).iter().find_map(|event| books.apply(event).gap());
    assert_eq!(take(SNAPSHOT), None);
    assert_eq!(take(UPDATE), None);
    let gap = take(&UPDATE.replace(r#""seq":71"#, r#""seq":73"#)).unwrap();
    assert_eq!((gap.expected, gap.received), (72, 73));
    assert_eq!(books.state(id), BookState::Gapped);
}

#[test]
fn a_trade_has_the_takers_side_and_its_sequence_is_its_id() {
    let trade = |aggressor| Body::Trade(Trade { price: 20_150_000_000, size: 40 * NANO, trade_id: 9001, aggressor });
    assert_eq!(heads_and_bodies(TRADE), [(head(9001, T, FLAG_LAST), trade(Aggressor::Seller))]);
    let bought = TRADE.replace("sell", "buy").replace("fill", "liquidation");
    assert_eq!(heads_and_bodies(&bought), [(head(9001, T, FLAG_LAST), trade(Aggressor::Buyer))]);
}

#[test]
fn a_ticker_is_a_quote_and_the_lite_one_has_neither_time_nor_sizes() {
    let quote = Quote {
        bid_price: 20_100_000_000,
        bid_size: 2_500 * NANO,
        ask_price: 20_200_000_000,
        ask_size: 750 * NANO,
        bid_count: 0,
        ask_count: 0,
    };
    assert_eq!(heads_and_bodies(TICKER), [(head(0, T, FLAG_LAST), Body::Quote(quote))]);
    let lite = Quote { bid_size: 0, ask_size: 0, ..quote };
    assert_eq!(heads_and_bodies(TICKER_LITE), [(head(0, 0, FLAG_LAST), Body::Quote(lite))]);
    for nothing in ["null", "0.0"] {
        let empty = TICKER.replace(r#""bid":20.1"#, &format!(r#""bid":{nothing}"#));
        let one_sided = Quote { bid_price: PRICE_UNDEFINED, bid_size: 0, ..quote };
        assert_eq!(heads_and_bodies(&empty), [(head(0, T, FLAG_LAST), Body::Quote(one_sided))]);
    }
}

#[test]
fn well_formed_messages_without_market_data_are_skipped_by_reason() {
    for (text, reason) in [
        (r#"{"event":"info","version":1}"#, Skip::Control),
        (r#"{"event":"subscribed","feed":"book","product_ids":["PI_XYZUSD"]}"#, Skip::Control),
        (r#"{"feed":"heartbeat","time":1700000000123}"#, Skip::Control),
        (r#"{"feed":"open_orders","order":{}}"#, Skip::OtherKind),
        (r#"{"feed":"trade","product_id":"PI_XYZUSD","type":"new"}"#, Skip::OtherKind),
        (r#"{"feed":"trade_snapshot","product_id":"PI_XYZUSD","trades":[{"feed":"trade"}]}"#, Skip::PastTrade),
    ] {
        let (outcome, events) = decode(text).unwrap();
        assert_eq!((events, outcome.skipped), (vec![], Some((reason, 1))), "{text}");
    }
    for kind in ["assignment", "termination", "block"] {
        let (outcome, events) = decode(&TRADE.replace("fill", kind)).unwrap();
        assert_eq!((events, outcome.skipped), (vec![], Some((Skip::OffBookTrade, 1))), "{kind}");
    }
}

#[test]
fn each_mistake_has_its_reason() {
    let reason = |text: &str| decode(text).map(|_| ()).map_err(|error| error.reason());
    let changed = |whole: &str, from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        reason(&whole.replacen(from, to, 1))
    };
    for (whole, field) in [
        (UPDATE, r#""feed":"book","#),
        (UPDATE, r#""product_id":"PI_XYZUSD","#),
        (UPDATE, r#""side":"sell","#),
        (UPDATE, r#""seq":71,"#),
        (UPDATE, r#","timestamp":1700000000123"#),
        (SNAPSHOT, r#""bids":[{"price":20.1,"qty":2500.0}],"#),
        (SNAPSHOT, r#""price":20.1,"#),
        (TRADE, r#""type":"fill","#),
        (TRADE, r#""time":1700000000123,"#),
        (TICKER, r#""bid":20.1,"#),
        (TICKER, r#""bid_size":2500.0,"#),
    ] {
        assert_eq!(changed(whole, field, ""), Err("missing_field"), "{field}");
    }
    assert_eq!(changed(TRADE, r#""qty""#, r#""price""#), Err("duplicate_field"));
    assert_eq!(changed(SNAPSHOT, r#""qty":2500.0"#, r#""price":2500.0"#), Err("duplicate_field"));
    assert_eq!(changed(SNAPSHOT, r#"{"price":20.1,"qty":2500.0}"#, "[20.1,2500.0]"), Err("bad_type"));
    assert_eq!(changed(SNAPSHOT, r#"[{"price":20.1,"qty":2500.0}]"#, "{}"), Err("bad_type"));
    assert_eq!(changed(UPDATE, "20.2", "\"20.2\""), Err("bad_type"), "a number, as the venue writes it");
    assert_eq!(changed(UPDATE, "\"sell\"", "\"ask\""), Err("bad_type"));
    assert_eq!(changed(TRADE, "\"sell\"", "\"none\""), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#""seq":71"#, r#""seq":0"#), Err("out_of_range"), "nothing can come before");
    assert_eq!(changed(UPDATE, r#""seq":71"#, r#""seq":-1"#), Err("out_of_range"));
    assert_eq!(changed(UPDATE, r#""seq":71"#, r#""seq":7.1E1"#), Err("bad_number"));
    assert_eq!(changed(UPDATE, "1700000000123", "18446744073710"), Err("out_of_range"));
    assert_eq!(changed(UPDATE, "20.2", "1E-10"), Err("out_of_range"), "would round");
    assert_eq!(changed(UPDATE, "20.2", "1E400"), Err("out_of_range"));
    assert_eq!(changed(UPDATE, "\"qty\":0.0", "\"qty\":-1.0"), Err("out_of_range"));
    assert_eq!(changed(UPDATE, "PI_XYZUSD", ""), Err("bad_symbol"));
    assert_eq!(reason(&UPDATE[..60]), Err("truncated"));
    assert_eq!(reason("[1]"), Err("bad_type"));
    assert_eq!(reason("{}"), Err("missing_field"));
}
