//! Whatever the bytes, decoding ends in events or in a typed error, never in a panic; and an error leaves the buffer as it was.
#![allow(clippy::unwrap_used, reason = "a test: what is not as expected fails it")]

use pinion_runtime::decode::{DecodeError, Decoder, Record, flat};
use pinion_runtime::event::{Aggressor, Body, BookSide, Delta, Depth, Event, Head, Origin, Stamp, Trade};
use pinion_runtime::limits::RECORD_EVENTS_MAX;
use pinion_spec::strategy::Encoding;
use proptest::prelude::*;

/// A record of each kind, with the encoding that it is a good one of.
const FRAMES: [(Encoding, &str); 20] = [
    (
        Encoding::BinanceUsdm,
        r#"{"stream":"xyzusdt@bookTicker","data":{"e":"bookTicker","u":71,"s":"XYZUSDT","b":"20.10","B":"2.5","a":"20.20","A":"0.75","T":1700000000123,"E":1700000000125}}"#,
    ),
    (
        Encoding::BinanceSpot,
        r#"{"stream":"xyzusdt@bookTicker","data":{"u":71,"s":"XYZUSDT","b":"20.10000000","B":"2.50000000","a":"20.20000000","A":"0.75000000"}}"#,
    ),
    (
        Encoding::BinanceUsdm,
        r#"{"stream":"xyzusdt@trade","data":{"e":"trade","E":1700000000125,"T":1700000000123,"s":"XYZUSDT","t":9001,"p":"20.15","q":"0.006","X":"MARKET","m":true}}"#,
    ),
    (
        Encoding::BinanceUsdm,
        r#"{"stream":"xyzusdt@depth@0ms","data":{"e":"depthUpdate","E":1700000000125,"T":1700000000123,"s":"XYZUSDT","U":60,"u":71,"pu":55,"b":[["20.10","2.5"],["20.00","0"]],"a":[["20.20","0.75"]]}}"#,
    ),
    (
        Encoding::BinanceUsdm,
        r#"{"lastUpdateId":70,"E":1700000000125,"T":1700000000123,"s":"XYZUSDT","bids":[["20.10","2.5"]],"asks":[["20.20","0.75"],["20.30","1"]]}"#,
    ),
    (
        Encoding::PinionExecution,
        r#"{"type":"filled","client_order_id":"0000002a-00070003-rs-1","side":"buy","instrument_id":7,"price":"20.15","size":"0.5","leaves":"0.25","fee":"-0.001","liquidity":"maker","ts_event":1700000000123456789,"sequence":12}"#,
    ),
    (Encoding::BinanceUsdm, r#"{"result":null,"id":1}"#),
    (
        Encoding::CoinbaseExchange,
        r#"{"type":"l2update","product_id":"XYZ-USD","changes":[["sell","20.20","0.75"],["buy","20.00","0.00000000"]],"time":"2023-11-14T22:13:20.123456Z"}"#,
    ),
    (
        Encoding::CoinbaseExchange,
        r#"{"type":"snapshot","product_id":"XYZ-USD","asks":[["20.20","0.75"],["20.30","1"]],"bids":[["20.10","2.5"]]}"#,
    ),
    (
        Encoding::CoinbaseExchange,
        r#"{"type":"ticker","sequence":71,"product_id":"XYZ-USD","price":"20.15","best_bid":"20.10","best_ask":"20.20","side":"buy","time":"2023-11-14T22:13:20.123456Z","trade_id":9001}"#,
    ),
    (
        Encoding::CoinbaseExchange,
        r#"{"type":"match","trade_id":9001,"side":"sell","size":"0.006","price":"20.15","product_id":"XYZ-USD","sequence":72,"time":"2023-11-14T22:13:20.123456Z"}"#,
    ),
    (
        Encoding::KrakenV1,
        r#"[0,{"as":[["5.20","0.75000000","1700000000.000001"]],"bs":[["5.10","2.50000000","1700000000.000002"]]},"book-10","XYZ/USD"]"#,
    ),
    (
        Encoding::KrakenV1,
        r#"[0,{"a":[["5.20","0.00000000","1700000000.000004"]]},{"b":[["5.00","0.00500000","1700000000.000006"]],"c":"974947235"},"book-10","XYZ/USD"]"#,
    ),
    (Encoding::KrakenV1, r#"[0,["5.10","5.20","1700000000.123456","2.50000000","0.75000000"],"spread","XYZ/USD"]"#),
    (
        Encoding::KrakenV1,
        r#"[0,{"a":["5.20",0,"0.75000000"],"b":["5.10",2,"2.50000000"],"v":["1","2"]},"ticker","XYZ/USD"]"#,
    ),
    (Encoding::KrakenV1, r#"[0,[["5.15","0.00600000","1700000000.123456","s","l",""]],"trade","XYZ/USD"]"#),
    (
        Encoding::KrakenFutures,
        r#"{"feed":"book_snapshot","product_id":"PI_XYZUSD","timestamp":1700000000123,"seq":70,"tickSize":null,"bids":[{"price":20.1,"qty":2500.0}],"asks":[{"price":20.2,"qty":1.0E7}]}"#,
    ),
    (
        Encoding::KrakenFutures,
        r#"{"feed":"book","product_id":"PI_XYZUSD","side":"sell","seq":71,"price":20.2,"qty":0.0,"timestamp":1700000000123}"#,
    ),
    (
        Encoding::KrakenFutures,
        r#"{"feed":"trade","product_id":"PI_XYZUSD","uid":"6a1","side":"sell","type":"fill","seq":9001,"time":1700000000123,"qty":40.0,"price":20.15}"#,
    ),
    (
        Encoding::KrakenFutures,
        r#"{"time":1700000000123,"product_id":"PI_XYZUSD","feed":"ticker","bid":20.1,"ask":20.2,"bid_size":2.5E3,"ask_size":750.0}"#,
    ),
];

fn flat_record() -> Vec<u8> {
    let mut out = Vec::new();
    for body in [
        Body::Trade(Trade { price: 1, size: 2, trade_id: 3, aggressor: Aggressor::Buyer }),
        Body::Depth(Depth { first: 4, follows: 3, levels: 1, snapshot: false, ..Depth::default() }),
        Body::Delta(Delta { price: 10, size: 5, count: 6, side: BookSide::Bid }),
    ] {
        assert!(flat::encode(&Head::default(), &body, &mut out));
    }
    out
}

/// One of the real shapes, cut, with bytes changed and pieces doubled.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let records: Vec<Vec<u8>> =
        FRAMES.iter().map(|(_, frame)| frame.as_bytes().to_vec()).chain([flat_record()]).collect();
    let change = (any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    (
        prop::sample::select(records),
        prop::collection::vec(change, 0..6),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(mut bytes, changes, from, len, cut)| {
            for (at, byte, flip) in changes {
                let at = at.index(bytes.len());
                bytes[at] = if flip { bytes[at] ^ (1 << (byte % 8)) } else { byte };
            }
            let from = from.index(bytes.len());
            if cut {
                bytes.truncate(from);
            } else {
                let piece = bytes[from..from + len.index(bytes.len() - from)].to_vec();
                bytes.splice(from..from, piece);
            }
            bytes
        })
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let marker = Event {
        head: Head { sequence: 99, ..Head::default() },
        body: Body::Skip,
        origin: Origin::default(),
        stamp: Stamp::default(),
    };
    for encoding in Encoding::ALL {
        let mut decoder = Decoder::new(encoding, "test", &[]).unwrap();
        let mut events = vec![marker];
        let outcome = decoder.decode(&Record { value: bytes, key: Some(b"KEY"), ts_recv: 1 }, &mut events);
        prop_assert_eq!(events[0], marker);
        match outcome {
            Ok(outcome) => {
                prop_assert_eq!(outcome.events, events.len() - 1);
                prop_assert!(outcome.events <= RECORD_EVENTS_MAX);
                let marked = events.iter().filter(|event| event.is_last()).count();
                prop_assert_eq!(marked, usize::from(outcome.events > 0));
                prop_assert_eq!(events[events.len() - 1].is_last(), outcome.events > 0);
                prop_assert!(
                    events[1..].iter().all(|event| event.head.ts_recv == 1 || encoding == Encoding::PinionFlat)
                );
            }
            Err(error) => {
                prop_assert_eq!(events.len(), 1, "{:?}", error);
                prop_assert!(DecodeError::REASONS.contains(&error.reason()));
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn mangled_records_end_in_events_or_in_an_error(bytes in mangled()) {
        check(&bytes)?;
    }

    #[test]
    fn arbitrary_bytes_end_in_events_or_in_an_error(bytes: Vec<u8>) {
        check(&bytes)?;
    }

    #[test]
    fn arbitrary_json_like_text_ends_in_events_or_in_an_error(text in "[\\[\\]{},:\"\\\\0-9a-zA-Z.\\- ]{0,64}") {
        check(text.as_bytes())?;
    }
}

#[test]
fn every_good_record_is_one_of_its_encoding() {
    for (encoding, frame) in FRAMES {
        let mut decoder = Decoder::new(encoding, "test", &[]).unwrap();
        let outcome = decoder.decode(&Record { value: frame.as_bytes(), key: None, ts_recv: 1 }, &mut Vec::new());
        let said = outcome.unwrap_or_else(|error| panic!("{encoding:?}, {frame}: {error}"));
        assert_ne!(said.events == 0, said.skipped.is_none(), "{frame}");
    }
}

#[test]
fn every_prefix_of_a_good_record_is_truncated() {
    for (encoding, frame) in FRAMES {
        for len in 0..frame.len() {
            let mut decoder = Decoder::new(encoding, "test", &[]).unwrap();
            let record = Record { value: &frame.as_bytes()[..len], key: None, ts_recv: 1 };
            assert_eq!(decoder.decode(&record, &mut Vec::new()), Err(DecodeError::Truncated { at: len }), "{frame}");
        }
    }
}
