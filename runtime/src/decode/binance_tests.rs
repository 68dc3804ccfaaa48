//! What each kind of message becomes, and what is refused.

use crate::decode::{DecodeError, Decoder, Outcome, Record, Skip};
use crate::event::{
    Aggressor, Body, BookSide, Delta, Depth, Event, FLAG_LAST, FLAG_SNAPSHOT, Head, PRICE_UNDEFINED, Quote, Trade,
};
use crate::instruments::Instrument;
use crate::limits::{RECORD_BYTES_MAX, RECORD_EVENTS_MAX};
use pinion_spec::ids::{instrument_id, publisher_id};
use pinion_spec::strategy::Encoding;

const RECV: u64 = 1_723_161_255_088_169_167;
const USDM_QUOTE: &str = r#"{"stream":"xyzusdt@bookTicker","data":{"e":"bookTicker","u":71,"s":"XYZUSDT","b":"20.10","B":"2.5","a":"20.20","A":"0.75","T":1700000000123,"E":1700000000125}}"#;
const USDM_TRADE: &str = r#"{"stream":"xyzusdt@trade","data":{"e":"trade","E":1700000000125,"T":1700000000123,"s":"XYZUSDT","t":9001,"p":"20.15","q":"0.006","X":"MARKET","m":true}}"#;
const USDM_DEPTH: &str = r#"{"stream":"xyzusdt@depth@0ms","data":{"e":"depthUpdate","E":1700000000125,"T":1700000000123,"s":"XYZUSDT","U":60,"u":71,"pu":55,"b":[["20.10","2.5"],["20.00","0"]],"a":[["20.20","0.75"]]}}"#;
const SPOT_QUOTE: &str = r#"{"stream":"xyzusdt@bookTicker","data":{"u":71,"s":"XYZUSDT","b":"20.10000000","B":"2.50000000","a":"20.20000000","A":"0.75000000"}}"#;
const SPOT_DEPTH: &str = r#"{"stream":"xyzusdt@depth@100ms","data":{"e":"depthUpdate","E":1700000000125,"s":"XYZUSDT","U":60,"u":71,"b":[["20.10000000","2.50000000"]],"a":[]}}"#;
const REST_DEPTH: &str = r#"{"lastUpdateId":70,"E":1700000000125,"T":1700000000123,"bids":[["20.10","2.5"]],"asks":[["20.20","0.75"],["20.30","1"]]}"#;

fn usdm() -> Decoder {
    Decoder::new(Encoding::BinanceUsdm, "binance-usdm", &[]).unwrap()
}

fn spot() -> Decoder {
    Decoder::new(Encoding::BinanceSpot, "binance-spot", &[]).unwrap()
}

fn decode(decoder: &mut Decoder, text: &str) -> Result<(Outcome, Vec<Event>), DecodeError> {
    // Something already stands in the buffer, and stays whatever happens.
    let mut events = Vec::new();
    decoder.decode(&Record { value: USDM_TRADE.as_bytes(), key: None, ts_recv: 1 }, &mut events).unwrap();
    let before = events.clone();
    let outcome = decoder.decode(&Record { value: text.as_bytes(), key: None, ts_recv: RECV }, &mut events);
    assert_eq!(events[..1], before);
    assert!(outcome.is_ok() || events.len() == 1, "an error leaves nothing behind");
    outcome.map(|outcome| (outcome, events.split_off(1)))
}

fn ok(decoder: &mut Decoder, text: &str) -> Vec<Event> {
    let (outcome, events) = decode(decoder, text).unwrap();
    assert_eq!(outcome, Outcome { events: events.len(), skipped: None });
    events
}

fn skip(decoder: &mut Decoder, text: &str) -> Option<Skip> {
    let (outcome, events) = decode(decoder, text).unwrap();
    assert_eq!(events, []);
    outcome.skipped.map(|(reason, _)| reason)
}

fn head(publisher: &str, sequence: u64, ts_event: u64, flags: u32) -> Head {
    Head {
        instrument_id: instrument_id(publisher, b"XYZUSDT"),
        publisher_id: publisher_id(publisher),
        flags,
        ts_event,
        ts_recv: RECV,
        sequence,
    }
}

fn heads_and_bodies(events: &[Event]) -> Vec<(Head, Body)> {
    events.iter().map(|event| (event.head, event.body)).collect()
}

const T: u64 = 1_700_000_000_123_000_000;
const E: u64 = 1_700_000_000_125_000_000;
const NANO: i64 = 1_000_000_000;

fn delta(price: i64, size: i64, side: BookSide) -> Body {
    Body::Delta(Delta { price, size, count: 0, side })
}

#[test]
fn a_quote_has_its_prices_and_the_transaction_time() {
    let quote = Body::Quote(Quote {
        bid_price: 20_100_000_000,
        bid_size: 2_500_000_000,
        ask_price: 20_200_000_000,
        ask_size: 750_000_000,
        bid_count: 0,
        ask_count: 0,
    });
    let expected = [(head("binance-usdm", 71, T, FLAG_LAST), quote)];
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), USDM_QUOTE)), expected);
    // Spot says neither its kind nor a time.
    let expected = [(head("binance-spot", 71, 0, FLAG_LAST), quote)];
    assert_eq!(heads_and_bodies(&ok(&mut spot(), SPOT_QUOTE)), expected);
    let bare = SPOT_QUOTE.split_once(r#""data":"#).unwrap().1.strip_suffix('}').unwrap();
    assert_eq!(heads_and_bodies(&ok(&mut spot(), bare)), expected, "known by its six fields");
}

#[test]
fn an_empty_side_has_no_price() {
    let text = SPOT_QUOTE.replace("20.10000000", "0.00000000").replace("2.50000000", "0.00000000");
    let Body::Quote(quote) = ok(&mut spot(), &text)[0].body else { panic!("not a quote") };
    assert_eq!((quote.bid_price, quote.bid_size), (PRICE_UNDEFINED, 0));
    assert_eq!(quote.ask_price, 20_200_000_000);
}

#[test]
fn the_buyer_as_maker_means_that_a_seller_took() {
    let trade = |aggressor| Body::Trade(Trade { price: 20_150_000_000, size: 6_000_000, trade_id: 9001, aggressor });
    let head = head("binance-usdm", 9001, T, FLAG_LAST);
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), USDM_TRADE)), [(head, trade(Aggressor::Seller))]);
    let bought = USDM_TRADE.replace(r#""m":true"#, r#""m":false"#);
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), &bought)), [(head, trade(Aggressor::Buyer))]);
    let aggregate = r#"{"e":"aggTrade","E":1700000000125,"s":"XYZUSDT","a":9001,"p":"20.15","q":"0.006","f":1,"l":5,"T":1700000000123,"m":true}"#;
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), aggregate)), [(head, trade(Aggressor::Seller))]);
}

#[test]
fn a_trade_outside_the_book_is_skipped_on_futures() {
    for kind in ["NA", "INSURANCE_FUND", "ADL"] {
        let text = USDM_TRADE.replace("MARKET", kind);
        assert_eq!(skip(&mut usdm(), &text), Some(Skip::OffBookTrade));
        assert_eq!(ok(&mut spot(), &text).len(), 1, "spot has no such field");
    }
}

#[test]
fn a_depth_update_is_its_levels_bids_first() {
    let head = |flags| head("binance-usdm", 71, T, flags);
    let expected = [
        (head(0), Body::Depth(Depth { first: 60, follows: 55, levels: 3, snapshot: false, ..Depth::default() })),
        (head(0), delta(20_100_000_000, 2_500_000_000, BookSide::Bid)),
        (head(0), delta(20_000_000_000, 0, BookSide::Bid)),
        (head(FLAG_LAST), delta(20_200_000_000, 750_000_000, BookSide::Ask)),
    ];
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), USDM_DEPTH)), expected);
    let Body::Depth(depth) = ok(&mut spot(), SPOT_DEPTH)[0].body else { panic!("not a depth") };
    assert_eq!(depth, Depth { first: 60, follows: 59, levels: 1, snapshot: false, ..Depth::default() });
    assert_eq!(ok(&mut spot(), SPOT_DEPTH)[0].head.ts_event, E);
}

#[test]
fn a_depth_update_without_levels_is_one_event_and_the_last() {
    let text = SPOT_DEPTH.replace(r#"[["20.10000000","2.50000000"]]"#, "[]");
    let events = ok(&mut spot(), &text);
    assert_eq!(events.len(), 1);
    assert!(events[0].is_last());
}

/// Every order of the fields of a depth update's message; 10! is too many, so each field is moved to each place.
#[test]
fn the_order_of_fields_changes_nothing() {
    let (envelope, data) = USDM_DEPTH.split_once(r#""data":{"#).unwrap();
    let fields = [
        r#""e":"depthUpdate""#,
        r#""E":1700000000125"#,
        r#""T":1700000000123"#,
        r#""s":"XYZUSDT""#,
        r#""U":60"#,
        r#""u":71"#,
        r#""pu":55"#,
        r#""b":[["20.10","2.5"],["20.00","0"]]"#,
        r#""a":[["20.20","0.75"]]"#,
        r#""x":{"b":[[1,2,{"u":[]}]],"e":"trade"}"#,
    ];
    assert!(fields[..9].iter().all(|field| data.contains(field)));
    let expected = heads_and_bodies(&ok(&mut usdm(), USDM_DEPTH));
    for from in 0..fields.len() {
        for to in 0..fields.len() {
            let mut moved = fields.to_vec();
            let field = moved.remove(from);
            moved.insert(to, field);
            let frame = format!("{envelope}\"data\":{{{}}}}}", moved.join(","));
            assert_eq!(heads_and_bodies(&ok(&mut usdm(), &frame)), expected, "{frame}");
        }
    }
    let reversed: Vec<_> = fields.into_iter().rev().collect();
    let frame = format!("{{\"data\":{{{}}},\"stream\":\"xyzusdt@depth\"}}", reversed.join(" ,\n"));
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), &frame)), expected);
}

#[test]
fn a_time_that_comes_after_the_levels_is_theirs_all_the_same() {
    let late = SPOT_DEPTH.replace(r#""a":[]"#, r#""a":[],"T":1700000000123"#);
    assert_ne!(late, SPOT_DEPTH);
    let events = ok(&mut spot(), &late);
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.head.ts_event == T), "T counts before E");
}

#[test]
fn what_stands_beside_data_is_not_the_messages() {
    let expected = heads_and_bodies(&ok(&mut usdm(), USDM_DEPTH));
    let depth = USDM_DEPTH.split_once(r#""data":"#).unwrap().1.strip_suffix('}').unwrap();
    let other = depth.replace("20.10", "99.99").replace("71", "72");
    let other = other.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), &format!(r#"{{{other},"data":{depth}}}"#))), expected);
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), &format!(r#"{{"data":{depth},{other}}}"#))), expected);
}

#[test]
fn a_rest_snapshot_is_the_whole_book_of_the_only_instrument() {
    let head = |flags| head("binance-usdm", 70, T, FLAG_SNAPSHOT | flags);
    let expected = [
        (head(0), Body::Depth(Depth { first: 0, follows: 0, levels: 3, snapshot: true, ..Depth::default() })),
        (head(0), delta(20_100_000_000, 2_500_000_000, BookSide::Bid)),
        (head(0), delta(20_200_000_000, 750_000_000, BookSide::Ask)),
        (head(FLAG_LAST), delta(20_300_000_000, NANO, BookSide::Ask)),
    ];
    assert_eq!(heads_and_bodies(&ok(&mut usdm(), REST_DEPTH)), expected);
}

#[test]
fn a_snapshot_of_several_instruments_needs_a_key() {
    let mut decoder = usdm();
    let mut events = Vec::new();
    let mut snapshot = |decoder: &mut Decoder, key: Option<&'static [u8]>| {
        events.clear();
        decoder.decode(&Record { value: REST_DEPTH.as_bytes(), key, ts_recv: RECV }, &mut events)?;
        Ok(events[0].head.instrument_id)
    };
    assert_eq!(snapshot(&mut decoder, None), Err(DecodeError::UnknownSymbol));
    ok(&mut decoder, USDM_TRADE);
    ok(&mut decoder, &USDM_TRADE.replace("XYZUSDT", "ABCUSDT"));
    assert_eq!(snapshot(&mut decoder, None), Err(DecodeError::UnknownSymbol));
    assert_eq!(snapshot(&mut decoder, Some(b"nobody")), Err(DecodeError::UnknownSymbol));
    assert_eq!(snapshot(&mut decoder, Some(b"ABCUSDT")), Ok(instrument_id("binance-usdm", b"ABCUSDT")));
}

#[test]
fn a_declared_instrument_has_its_number_and_its_size_exponent() {
    let declared = Instrument {
        id: 42,
        publisher_id: publisher_id("binance-usdm"),
        publisher: "venue".into(),
        symbol: "XYZUSDT".into(),
        tick: 0,
        lot: 0,
        size_exponent: -3,
    };
    let mut decoder = Decoder::new(Encoding::BinanceUsdm, "binance-usdm", &[declared]).unwrap();
    let events = ok(&mut decoder, USDM_DEPTH);
    assert!(events.iter().all(|event| event.head.instrument_id == 42));
    assert_eq!(events[1].body, delta(20_100_000_000, 2_500, BookSide::Bid));
    let finer = USDM_DEPTH.replace("0.75", "0.7501");
    assert!(matches!(decode(&mut decoder, &finer), Err(DecodeError::OutOfRange { field: "a", .. })), "would round");
}

#[test]
fn well_formed_messages_without_market_data_are_skipped_by_reason() {
    for (text, reason) in [
        (r#"{"result":null,"id":1}"#, Skip::Control),
        (r#"{"error":{"code":2,"msg":"bad"},"id":1}"#, Skip::Control),
        (r#"{"stream":"xyzusdt@kline_1m","data":{"e":"kline","E":1,"s":"XYZUSDT","k":{"t":1}}}"#, Skip::OtherKind),
        (r#"{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}"#, Skip::OtherKind),
        (r#"{"stream":"xyzusdt@depth5","data":{"lastUpdateId":1,"bids":[],"asks":[]}}"#, Skip::PartialBook),
        ("{}", Skip::OtherKind),
    ] {
        assert_eq!(skip(&mut usdm(), text), Some(reason), "{text}");
    }
    let partial = USDM_DEPTH.replace("@depth@0ms", "@depth20@100ms");
    assert_eq!(skip(&mut usdm(), &partial), Some(Skip::PartialBook));
}

#[test]
fn each_mistake_has_its_reason() {
    let reason = |text: &str| decode(&mut usdm(), text).map(|_| ()).map_err(|error| error.reason());
    let changed = |whole: &str, from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        reason(&whole.replacen(from, to, 1))
    };
    for field in ["\"u\":71,", "\"s\":\"XYZUSDT\",", "\"b\":\"20.10\",", "\"A\":\"0.75\","] {
        assert_eq!(changed(USDM_QUOTE, field, ""), Err("missing_field"), "{field}");
    }
    for field in ["\"U\":60,", "\"pu\":55,", "\"b\":[[\"20.10\",\"2.5\"],[\"20.00\",\"0\"]],"] {
        assert_eq!(changed(USDM_DEPTH, field, ""), Err("missing_field"), "{field}");
    }
    assert_eq!(changed(USDM_TRADE, "\"e\":\"trade\",", ""), Err("missing_field"));
    assert_eq!(changed(USDM_TRADE, "\"E\":1700000000125,\"T\":1700000000123,", ""), Err("missing_field"));
    assert_eq!(changed(USDM_TRADE, "\"p\"", "\"q\""), Err("duplicate_field"));
    assert_eq!(changed(USDM_TRADE, "\"s\":\"XYZUSDT\"", "\"s\":5"), Err("bad_type"));
    assert_eq!(changed(USDM_TRADE, "\"XYZUSDT\"", r#""XYZ\u0055SDT""#), Err("bad_type"));
    assert_eq!(changed(USDM_TRADE, "\"m\":true", "\"m\":1"), Err("bad_type"));
    assert_eq!(changed(USDM_TRADE, "\"t\":9001", "\"t\":\"9001\""), Err("bad_type"));
    assert_eq!(changed(USDM_DEPTH, "[\"20.00\",\"0\"]", "[\"20.00\"]"), Err("bad_type"));
    assert_eq!(changed(USDM_DEPTH, "[\"20.00\",\"0\"]", "[]"), Err("bad_type"));
    assert_eq!(changed(USDM_DEPTH, "[\"20.00\",\"0\"]", "7"), Err("bad_type"));
    assert_eq!(changed(USDM_TRADE, "20.15", "20.1x"), Err("bad_number"));
    assert_eq!(changed(USDM_TRADE, "\"20.15\"", "2015e-2"), Err("bad_number"));
    assert_eq!(changed(USDM_TRADE, "\"20.15\"", "20.15"), Ok(()), "a bare number is as good");
    assert_eq!(changed(USDM_DEPTH, "\"20.00\"", "\"20.00e1\""), Err("bad_number"));
    assert_eq!(changed(USDM_DEPTH, "\"20.00\"", "20.00"), Ok(()));
    assert_eq!(changed(USDM_TRADE, "20.15", "9223372036.854775807"), Err("out_of_range"), "that one means none");
    assert_eq!(changed(USDM_TRADE, "20.15", "99999999999"), Err("out_of_range"));
    assert_eq!(changed(USDM_TRADE, "0.006", "-0.000000001"), Err("out_of_range"));
    assert_eq!(changed(USDM_TRADE, "\"T\":1700000000123", "\"T\":18446744073710"), Err("out_of_range"));
    assert_eq!(changed(USDM_TRADE, "\"t\":9001", "\"t\":-1"), Err("out_of_range"));
    assert_eq!(changed(USDM_DEPTH, "\"U\":60", "\"U\":72"), Err("out_of_range"), "begins after it ends");
    assert_eq!(changed(USDM_TRADE, "XYZUSDT", ""), Err("bad_symbol"));
    assert_eq!(changed(USDM_TRADE, "XYZUSDT", &"A".repeat(65)), Err("bad_symbol"));
    assert_eq!(reason(&USDM_TRADE[..80]), Err("truncated"));
    assert_eq!(reason(""), Err("truncated"));
    assert_eq!(reason(&format!("{USDM_TRADE},")), Err("not_json"));
    assert_eq!(reason("[1]"), Err("bad_type"));
    assert_eq!(reason(&"[".repeat(100)), Err("too_deep"));
}

#[test]
fn limits_of_a_record_hold_to_the_byte_and_to_the_event() {
    let mut decoder = usdm();
    let (begin, end) = USDM_DEPTH.split_once(r#"["20.10","2.5"],["20.00","0"]"#).unwrap();
    let with = |levels: usize| format!("{begin}{}{end}", vec!["[1,2]"; levels].join(","));
    // One depth event, the levels, and the one ask.
    assert_eq!(ok(&mut decoder, &with(RECORD_EVENTS_MAX - 2)).len(), RECORD_EVENTS_MAX);
    assert_eq!(decode(&mut decoder, &with(RECORD_EVENTS_MAX - 1)), Err(DecodeError::TooManyEvents));
    let padded = |bytes: usize| format!("{USDM_TRADE}{}", " ".repeat(bytes - USDM_TRADE.len()));
    assert_eq!(ok(&mut decoder, &padded(RECORD_BYTES_MAX)).len(), 1);
    let bytes = RECORD_BYTES_MAX + 1;
    assert_eq!(decode(&mut decoder, &padded(bytes)), Err(DecodeError::TooLarge { bytes }));
}

#[test]
fn text_that_is_not_utf8_is_refused_where_it_stands() {
    let mut value = USDM_TRADE.as_bytes().to_vec();
    let at = USDM_TRADE.find("XYZ").unwrap();
    value[at] = 0xff;
    let outcome = usdm().decode(&Record { value: &value, key: None, ts_recv: 0 }, &mut Vec::new());
    assert_eq!(outcome, Err(DecodeError::NotUtf8 { at }));
}
