//! What a mapped record becomes, and what is refused, by its name in the map.

use pinion_spec::field_map::{QuoteMap, TimeUnit, TradeMap};
use pinion_spec::ids::{instrument_id, publisher_id};
use pinion_spec::strategy::Encoding;
use proptest::prelude::*;

use super::*;
use crate::decode::{Decoder, Outcome};
use crate::event::{Event, FLAG_LAST};

const RECV: u64 = 1_700_000_001_000_000_000;
const QUOTE: &str =
    r#"{"k":"q","i":{"code":"ABC"},"t":1700000000.000000001,"n":7,"b":[["1.5",2],["1.4",9]],"a":[[1.75,"0.5"]]}"#;
const TRADE: &str = r#"{"d":"B","i":{"code":"ABC"},"p":1.5e-3,"z":"2","k":1,"id":"99","t":"1700000000","n":8}"#;

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn both() -> FieldMap {
    FieldMap {
        symbol: "/i/code".to_owned(),
        time: some("/t"),
        time_unit: Some(TimeUnit::S),
        sequence: some("/n"),
        kind: some("/k"),
        quote: Some(QuoteMap {
            when: some("q"),
            bid_price: "/b/0/0".to_owned(),
            bid_size: some("/b/0/1"),
            ask_price: "/a/0/0".to_owned(),
            ask_size: some("/a/0/1"),
        }),
        trade: Some(TradeMap {
            when: some("1"),
            price: "/p".to_owned(),
            size: "/z".to_owned(),
            side_of: SideOf::Taker,
            side: some("/d"),
            buy: some("B"),
            sell: some("S"),
            id: some("/id"),
        }),
    }
}

fn decode(map: &FieldMap, text: &str) -> Result<(Outcome, Vec<Event>), DecodeError> {
    let mut decoder = Decoder::of_input(Encoding::JsonMap, "desk-7", Some(map), &[]).unwrap();
    let mut events = Vec::new();
    let outcome = decoder.decode(&Record { value: text.as_bytes(), key: None, ts_recv: RECV }, &mut events);
    assert!(outcome.is_ok() || events.is_empty(), "an error leaves nothing behind");
    outcome.map(|outcome| (outcome, events))
}

fn one(map: &FieldMap, text: &str) -> (Head, Body) {
    let (outcome, events) = decode(map, text).unwrap();
    assert_eq!(outcome, Outcome { events: 1, skipped: None });
    (events[0].head, events[0].body)
}

fn head(ts_event: u64, sequence: u64) -> Head {
    Head {
        instrument_id: instrument_id("desk-7", b"ABC"),
        publisher_id: publisher_id("desk-7"),
        flags: FLAG_LAST,
        ts_event,
        ts_recv: RECV,
        sequence,
    }
}

#[test]
fn a_record_is_a_quote_or_a_trade_by_its_kind_wherever_its_fields_stand() {
    let quote = Quote {
        bid_price: 1_500_000_000,
        bid_size: 2_000_000_000,
        ask_price: 1_750_000_000,
        ask_size: 500_000_000,
        bid_count: 0,
        ask_count: 0,
    };
    assert_eq!(one(&both(), QUOTE), (head(1_700_000_000_000_000_001, 7), Body::Quote(quote)));
    let trade = Trade { price: 1_500_000, size: 2_000_000_000, trade_id: 99, aggressor: Aggressor::Buyer };
    assert_eq!(one(&both(), TRADE), (head(1_700_000_000_000_000_000, 8), Body::Trade(trade)));
    let (outcome, events) = decode(&both(), r#"{"k":"heartbeat"}"#).unwrap();
    assert_eq!((outcome.skipped, events.len()), (Some((Skip::OtherKind, 1)), 0));
}

#[test]
fn an_empty_side_is_a_price_of_nought_null_or_none_at_all() {
    for bids in [r#"[["0.00",2]]"#, "[[null,2]]", "[[]]", "[]", "null", "7"] {
        let text = QUOTE.replace(r#"[["1.5",2],["1.4",9]]"#, bids);
        let Body::Quote(quote) = one(&both(), &text).1 else { panic!("a quote") };
        assert_eq!((quote.bid_price, quote.bid_size), (PRICE_UNDEFINED, 0), "{bids}");
        assert_eq!(quote.ask_price, 1_750_000_000);
    }
}

#[test]
fn a_map_of_one_kind_needs_no_kind_and_what_it_leaves_out_is_nought() {
    let mut map = both();
    map = FieldMap { time: None, time_unit: None, sequence: None, kind: None, quote: None, ..map };
    map.trade = map.trade.map(|trade| TradeMap { when: None, side: None, buy: None, sell: None, id: None, ..trade });
    let trade = Trade { price: 1_500_000, size: 2_000_000_000, trade_id: 0, aggressor: Aggressor::None };
    assert_eq!(one(&map, TRADE), (head(0, 0), Body::Trade(trade)));
}

#[test]
fn the_side_is_the_takers_or_the_makers_as_the_map_says() {
    for (side_of, word, expected) in [
        (SideOf::Taker, "B", Aggressor::Buyer),
        (SideOf::Taker, "S", Aggressor::Seller),
        (SideOf::Maker, "B", Aggressor::Seller),
        (SideOf::Maker, "S", Aggressor::Buyer),
    ] {
        let mut map = both();
        map.trade = map.trade.map(|trade| TradeMap { side_of, ..trade });
        let text = TRADE.replace(r#""d":"B""#, &format!(r#""d":"{word}""#));
        let Body::Trade(trade) = one(&map, &text).1 else { panic!("a trade") };
        assert_eq!(trade.aggressor, expected, "{side_of:?} {word}");
    }
}

#[test]
fn a_time_counts_in_the_maps_unit_with_a_fraction() {
    for (unit, time, ns) in [
        (TimeUnit::S, "1.5", 1_500_000_000),
        (TimeUnit::Ms, "1.5", 1_500_000),
        (TimeUnit::Us, "1.5", 1_500),
        (TimeUnit::Ns, "15", 15),
        (TimeUnit::Ns, "\"15\"", 15),
        (TimeUnit::Ms, "1.5e3", 1_500_000_000),
    ] {
        let map = FieldMap { time_unit: Some(unit), ..both() };
        let text = TRADE.replace("\"1700000000\"", time);
        assert_eq!(one(&map, &text).0.ts_event, ns, "{unit:?} {time}");
    }
}

#[test]
fn what_is_missing_or_mistyped_is_refused_by_its_name_in_the_map() {
    let refused = |from: &str, to: &str| {
        let text = if QUOTE.contains(from) { QUOTE } else { TRADE };
        decode(&both(), &text.replace(from, to)).unwrap_err()
    };
    let missing = |field| DecodeError::MissingField { field };
    assert_eq!(refused(r#""code""#, r#""name""#), missing("symbol"));
    assert_eq!(refused(r#""t":1700000000.000000001,"#, ""), missing("time"));
    assert_eq!(refused(r#""n":7"#, r#""n":null"#), missing("sequence"));
    assert_eq!(refused(r#""k":"q","#, ""), missing("kind"));
    assert_eq!(refused(r#"["1.5",2]"#, r#"["1.5"]"#), missing("quote.bidSize"));
    assert_eq!(refused(r#""p":1.5e-3,"#, ""), missing("trade.price"));
    assert_eq!(refused(r#""id":"99","#, ""), missing("trade.id"));
    let field_of = |error: DecodeError| match error {
        DecodeError::BadType { field, .. }
        | DecodeError::BadNumber { field, .. }
        | DecodeError::OutOfRange { field, .. }
        | DecodeError::DuplicateField { field, .. } => (error.reason(), field),
        other => panic!("{other:?}"),
    };
    for (from, to, reason, field) in [
        (r#""code":"ABC""#, r#""code":7"#, "bad_type", "symbol"),
        (r#""d":"B""#, r#""d":"buy""#, "bad_type", "trade.side"),
        (r#""n":8"#, r#""n":-8"#, "bad_type", "sequence"),
        (r#""n":8"#, r#""n":18446744073709551616"#, "out_of_range", "sequence"),
        (r#""id":"99""#, r#""id":"x""#, "bad_type", "trade.id"),
        (r#""z":"2""#, r#""z":"-2""#, "out_of_range", "trade.size"),
        (r#""z":"2""#, r#""z":"2e3""#, "bad_number", "trade.size"),
        (r#""z":"2""#, r#""z":[2]"#, "bad_type", "trade.size"),
        ("1.5e-3", "1.5e-10", "out_of_range", "trade.price"),
        ("1.5e-3", "9223372036.854775807", "out_of_range", "trade.price"),
        ("1700000000.000000001", "1700000000.0000000001", "out_of_range", "time"),
        ("1700000000.000000001", "-1", "out_of_range", "time"),
        (r#""n":7"#, r#""n":7,"n":7"#, "duplicate_field", "sequence"),
    ] {
        assert_eq!(field_of(refused(from, to)), (reason, field), "{to}");
    }
    assert!(matches!(decode(&both(), "7"), Err(DecodeError::BadType { field: "record", .. })));
    for cut in 0..QUOTE.len() {
        let error = decode(&both(), &QUOTE[..cut]).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { .. }), "{cut}: {error:?}");
    }
    let deep = format!("{}{}", r#"{"b":"#.repeat(40), "1");
    assert!(matches!(decode(&both(), &deep), Err(DecodeError::TooDeep { .. })));
}

#[test]
fn without_a_map_every_record_is_refused() {
    let mut decoder = Decoder::new(Encoding::JsonMap, "desk-7", &[]).unwrap();
    let outcome = decoder.decode(&Record { value: QUOTE.as_bytes(), key: None, ts_recv: 1 }, &mut Vec::new());
    assert!(matches!(outcome, Err(DecodeError::BadLayout { .. })), "{outcome:?}");
}

proptest! {
    #[test]
    fn whatever_the_record_it_ends_in_events_or_in_an_error(at in 0..QUOTE.len(), byte: u8, text in "[\\[\\]{}\":,0-9a-z. ]{0,64}") {
        let mut mangled = QUOTE.as_bytes().to_vec();
        mangled[at] = byte;
        let mut decoder = Decoder::of_input(Encoding::JsonMap, "desk-7", Some(&both()), &[]).unwrap();
        for value in [&mangled[..], text.as_bytes()] {
            let mut events = Vec::new();
            let outcome = decoder.decode(&Record { value, key: None, ts_recv: RECV }, &mut events);
            prop_assert!(outcome.is_ok() || events.is_empty());
        }
    }
}
