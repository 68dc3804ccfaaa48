//! What each kind of message becomes, and what is refused. The messages are made up, in the form that the venue documents.

use crate::decode::{DecodeError, Decoder, Outcome, Record, Skip};
use crate::event::{
    Aggressor, Body, BookSide, Delta, Depth, Event, FLAG_LAST, FLAG_SNAPSHOT, Head, PRICE_UNDEFINED, Quote, Trade,
};
use crate::instruments::Instrument;
use pinion_spec::ids::{instrument_id, publisher_id};
use pinion_spec::strategy::Encoding;

const RECV: u64 = 1_700_000_001_000_000_000;
const T: u64 = 1_700_000_000_123_456_000;
const UPDATE: &str = r#"{"type":"l2update","product_id":"XYZ-USD","changes":[["sell","20.20","0.75"],["buy","20.00","0.00000000"]],"time":"2023-11-14T22:13:20.123456Z"}"#;
const SNAPSHOT: &str =
    r#"{"type":"snapshot","product_id":"XYZ-USD","asks":[["20.20","0.75"],["20.30","1"]],"bids":[["20.10","2.5"]]}"#;
const TICKER: &str = r#"{"type":"ticker","sequence":71,"product_id":"XYZ-USD","price":"20.15","open_24h":"19","volume_24h":"5.5","low_24h":"18","high_24h":"21","volume_30d":"9","best_bid":"20.10","best_bid_size":"2.5","best_ask":"20.20","best_ask_size":"0.75","side":"buy","time":"2023-11-14T22:13:20.123456Z","trade_id":9001,"last_size":"0.006"}"#;
const MATCH: &str = r#"{"type":"match","trade_id":9001,"maker_order_id":"m","taker_order_id":"t","side":"sell","size":"0.006","price":"20.15","product_id":"XYZ-USD","sequence":72,"time":"2023-11-14T22:13:20.123456Z"}"#;

fn decoder() -> Decoder {
    Decoder::new(Encoding::CoinbaseExchange, "coinbase-exchange", &[]).unwrap()
}

fn decode(decoder: &mut Decoder, text: &str) -> Result<(Outcome, Vec<Event>), DecodeError> {
    let mut events = Vec::new();
    let outcome = decoder.decode(&Record { value: text.as_bytes(), key: None, ts_recv: RECV }, &mut events);
    assert!(outcome.is_ok() || events.is_empty(), "an error leaves nothing behind");
    outcome.map(|outcome| (outcome, events))
}

fn heads_and_bodies(text: &str) -> Vec<(Head, Body)> {
    let (outcome, events) = decode(&mut decoder(), text).unwrap();
    assert_eq!(outcome, Outcome { events: events.len(), skipped: None });
    events.iter().map(|event| (event.head, event.body)).collect()
}

fn head(sequence: u64, ts_event: u64, flags: u32) -> Head {
    Head {
        instrument_id: instrument_id("coinbase-exchange", b"XYZ-USD"),
        publisher_id: publisher_id("coinbase-exchange"),
        flags,
        ts_event,
        ts_recv: RECV,
        sequence,
    }
}

fn delta(price: i64, size: i64, side: BookSide) -> Body {
    Body::Delta(Delta { price, size, count: 0, side })
}

#[test]
fn an_update_is_its_changes_in_their_order() {
    let expected = [
        (head(0, T, 0), Body::Depth(Depth { levels: 2, ..Depth::default() })),
        (head(0, T, 0), delta(20_200_000_000, 750_000_000, BookSide::Ask)),
        (head(0, T, FLAG_LAST), delta(20_000_000_000, 0, BookSide::Bid)),
    ];
    assert_eq!(heads_and_bodies(UPDATE), expected);
    let empty = UPDATE.replace(r#"[["sell","20.20","0.75"],["buy","20.00","0.00000000"]]"#, "[]");
    assert_eq!(heads_and_bodies(&empty), [(head(0, T, FLAG_LAST), Body::Depth(Depth::default()))]);
}

#[test]
fn a_snapshot_is_the_whole_book_bids_first() {
    let depth = Depth { levels: 3, snapshot: true, ..Depth::default() };
    let expected = |ts_event| {
        let head = |flags| head(0, ts_event, FLAG_SNAPSHOT | flags);
        [
            (head(0), Body::Depth(depth)),
            (head(0), delta(20_100_000_000, 2_500_000_000, BookSide::Bid)),
            (head(0), delta(20_200_000_000, 750_000_000, BookSide::Ask)),
            (head(FLAG_LAST), delta(20_300_000_000, 1_000_000_000, BookSide::Ask)),
        ]
    };
    assert_eq!(heads_and_bodies(SNAPSHOT), expected(0));
    let timed = SNAPSHOT.replace(r#""asks""#, r#""time":"2023-11-14T22:13:20.123456Z","asks""#);
    assert_eq!(heads_and_bodies(&timed), expected(T));
}

#[test]
fn a_ticker_is_a_quote_and_its_sizes_are_0_where_the_venue_does_not_say() {
    let quote = Quote {
        bid_price: 20_100_000_000,
        bid_size: 2_500_000_000,
        ask_price: 20_200_000_000,
        ask_size: 750_000_000,
        bid_count: 0,
        ask_count: 0,
    };
    assert_eq!(heads_and_bodies(TICKER), [(head(71, T, FLAG_LAST), Body::Quote(quote))]);
    let old = TICKER.replace(r#""best_bid_size":"2.5","#, "").replace(r#""best_ask_size":"0.75","#, "");
    let sizeless = Quote { bid_size: 0, ask_size: 0, ..quote };
    assert_eq!(heads_and_bodies(&old), [(head(71, T, FLAG_LAST), Body::Quote(sizeless))]);
    let untraded = TICKER.replace(r#""time":"2023-11-14T22:13:20.123456Z","#, "");
    assert_eq!(heads_and_bodies(&untraded), [(head(71, 0, FLAG_LAST), Body::Quote(quote))]);
    let empty = TICKER.replace(r#""best_ask":"20.20""#, r#""best_ask":"0""#);
    let one_sided = Quote { ask_price: PRICE_UNDEFINED, ask_size: 0, ..quote };
    assert_eq!(heads_and_bodies(&empty), [(head(71, T, FLAG_LAST), Body::Quote(one_sided))]);
}

#[test]
fn the_seller_as_maker_means_that_a_buyer_took() {
    let trade = |aggressor| Body::Trade(Trade { price: 20_150_000_000, size: 6_000_000, trade_id: 9001, aggressor });
    assert_eq!(heads_and_bodies(MATCH), [(head(72, T, FLAG_LAST), trade(Aggressor::Buyer))]);
    let sold = MATCH.replace(r#""side":"sell""#, r#""side":"buy""#);
    assert_eq!(heads_and_bodies(&sold), [(head(72, T, FLAG_LAST), trade(Aggressor::Seller))]);
}

#[test]
fn the_order_of_fields_and_fields_nobody_knows_change_nothing() {
    for text in [UPDATE, SNAPSHOT, MATCH] {
        let expected = heads_and_bodies(text);
        let inner = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
        let (kind, rest) = inner.split_once(',').unwrap();
        assert_eq!(heads_and_bodies(&format!(r#"{{{rest},"x":{{"type":["l2update"]}},{kind}}}"#)), expected);
    }
}

#[test]
fn an_ask_that_no_price_can_say_is_left_out_and_counted_and_a_bid_refuses_the_record() {
    for (text, ask, bid) in [(UPDATE, "20.20", "20.00"), (SNAPSHOT, "20.30", "20.10")] {
        let (outcome, events) = decode(&mut decoder(), &text.replace(ask, "9999999999.99")).unwrap();
        assert_eq!((outcome.events, outcome.skipped), (events.len(), Some((Skip::FarLevel, 1))), "{text}");
        let Body::Depth(depth) = events[0].body else { panic!("not a depth") };
        assert_eq!(depth.levels as usize, events.len() - 1);
        let bid = decode(&mut decoder(), &text.replace(bid, "9999999999.99"));
        assert!(matches!(bid, Err(DecodeError::OutOfRange { .. })), "{bid:?}");
        let rounded = decode(&mut decoder(), &text.replace(ask, "20.2000000001"));
        assert!(matches!(rounded, Err(DecodeError::OutOfRange { .. })), "{rounded:?}");
    }
}

#[test]
fn well_formed_messages_without_market_data_are_skipped_by_reason() {
    for (text, reason) in [
        (r#"{"type":"subscriptions","channels":[{"name":"level2","product_ids":["XYZ-USD"]}]}"#, Skip::Control),
        (r#"{"type":"error","message":"no"}"#, Skip::Control),
        (r#"{"type":"heartbeat","sequence":9,"last_trade_id":2,"product_id":"XYZ-USD","time":"t"}"#, Skip::Control),
        (r#"{"type":"status","products":[],"currencies":[]}"#, Skip::OtherKind),
        (r#"{"type":"received","order_id":"o","size":"x","product_id":"XYZ-USD"}"#, Skip::OtherKind),
        (r#"{"type":"last_match","trade_id":1,"price":"20.15","size":"1"}"#, Skip::PastTrade),
    ] {
        let (outcome, events) = decode(&mut decoder(), text).unwrap();
        assert_eq!((events, outcome.skipped), (vec![], Some((reason, 1))), "{text}");
    }
}

#[test]
fn a_declared_instrument_has_its_number_and_its_size_exponent() {
    let declared = Instrument {
        id: 42,
        publisher_id: publisher_id("coinbase-exchange"),
        publisher: "venue".into(),
        symbol: "XYZ-USD".into(),
        tick: 0,
        lot: 0,
        size_exponent: -3,
    };
    let mut decoder = Decoder::new(Encoding::CoinbaseExchange, "coinbase-exchange", &[declared]).unwrap();
    for text in [UPDATE, SNAPSHOT, TICKER, MATCH] {
        let (_, events) = decode(&mut decoder, text).unwrap();
        assert!(events.iter().all(|event| event.head.instrument_id == 42));
    }
    let (_, events) = decode(&mut decoder, UPDATE).unwrap();
    assert_eq!(events[1].body, delta(20_200_000_000, 750, BookSide::Ask));
    let finer = UPDATE.replace("0.75", "0.7501");
    assert!(matches!(decode(&mut decoder, &finer), Err(DecodeError::OutOfRange { field: "changes", .. })));
}

#[test]
fn each_mistake_has_its_reason() {
    let reason = |text: &str| decode(&mut decoder(), text).map(|_| ()).map_err(|error| error.reason());
    let changed = |whole: &str, from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        reason(&whole.replacen(from, to, 1))
    };
    for (whole, field) in [
        (UPDATE, r#""type":"l2update","#),
        (UPDATE, r#""product_id":"XYZ-USD","#),
        (UPDATE, r#","time":"2023-11-14T22:13:20.123456Z""#),
        (SNAPSHOT, r#","bids":[["20.10","2.5"]]"#),
        (TICKER, r#""sequence":71,"#),
        (TICKER, r#""best_bid":"20.10","#),
        (MATCH, r#""trade_id":9001,"#),
        (MATCH, r#""price":"20.15","#),
        (MATCH, r#""side":"sell","#),
        (MATCH, r#","time":"2023-11-14T22:13:20.123456Z""#),
    ] {
        assert_eq!(changed(whole, field, ""), Err("missing_field"), "{field}");
    }
    assert_eq!(changed(MATCH, r#""trade_id":9001"#, r#""trade_id":null"#), Err("missing_field"));
    assert_eq!(changed(MATCH, r#""size""#, r#""price""#), Err("duplicate_field"));
    assert_eq!(changed(UPDATE, r#"["sell","20.20","0.75"]"#, r#"["sell","20.20"]"#), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#"["sell","20.20","0.75"]"#, "[]"), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#"["sell","20.20","0.75"]"#, "7"), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#"[["sell","20.20","0.75"],["buy","20.00","0.00000000"]]"#, "{}"), Err("bad_type"));
    assert_eq!(changed(UPDATE, r#""sell""#, r#""Sell""#), Err("bad_type"));
    assert_eq!(changed(MATCH, r#""side":"sell""#, r#""side":"none""#), Err("bad_type"));
    assert_eq!(changed(MATCH, "20.123456Z", "20.123456"), Err("bad_type"));
    assert_eq!(changed(MATCH, "20.123456Z", "20.1234567891Z"), Err("out_of_range"));
    assert_eq!(changed(MATCH, "2023-11-14", "2023-11-31"), Err("out_of_range"));
    assert_eq!(changed(MATCH, "20.15", "20.1x"), Err("bad_number"));
    assert_eq!(changed(MATCH, "\"20.15\"", "2015e-2"), Err("bad_number"));
    assert_eq!(changed(MATCH, "20.15", "9223372036.854775807"), Err("out_of_range"), "that one means none");
    assert_eq!(changed(MATCH, "0.006", "-0.006"), Err("out_of_range"));
    assert_eq!(changed(UPDATE, "0.75", "0.0000000001"), Err("out_of_range"), "would round");
    assert_eq!(changed(UPDATE, "XYZ-USD", ""), Err("bad_symbol"));
    assert_eq!(reason(&MATCH[..80]), Err("truncated"));
    assert_eq!(reason("[1]"), Err("bad_type"));
    assert_eq!(reason("{}"), Err("missing_field"));
}
