//! Decoding allocates nothing once its symbols are known and the caller's buffer has its size; nor does refusing a record.

mod counting;

use counting::allocations;
use pinion_runtime::decode::{Decoder, Record};
use pinion_spec::field_map::{FieldMap, QuoteMap, SideOf, TimeUnit, TradeMap};
use pinion_spec::strategy::Encoding;

#[test]
fn a_warm_decoder_allocates_nothing() {
    let depth = |levels: usize| {
        let side = vec![r#"["20.10","2.5"]"#; levels].join(",");
        format!(
            r#"{{"stream":"x@depth","data":{{"e":"depthUpdate","E":2,"T":1,"s":"XYZUSDT","U":1,"u":2,"pu":0,"b":[{side}],"a":[]}}}}"#
        )
    };
    let records = [
        r#"{"stream":"x@bookTicker","data":{"e":"bookTicker","u":71,"s":"XYZUSDT","b":"20.10","B":"2.5","a":"20.20","A":"0.75","T":1,"E":2}}"#
            .to_owned(),
        r#"{"stream":"x@trade","data":{"e":"trade","E":1,"T":1,"s":"ABCUSDT","t":9,"p":"20.15","q":"0.006","X":"MARKET","m":true}}"#
            .to_owned(),
        depth(1_000),
        // Refused: cut off, out of range, not JSON, too deep; skipped: an answer.
        depth(10)[..100].to_owned(),
        r#"{"e":"trade","E":1,"s":"ABCUSDT","t":9,"p":"99999999999","q":"1","m":true}"#.to_owned(),
        "{\"e\":nonsense}".to_owned(),
        "[".repeat(1_000),
        r#"{"result":null,"id":1}"#.to_owned(),
    ];
    let mut decoder = Decoder::new(Encoding::BinanceUsdm, "binance-usdm", &[]).unwrap();
    let mut events = Vec::new();
    let mut round = || {
        events.clear();
        let mut refused = 0;
        for record in &records {
            let record = Record { value: record.as_bytes(), key: None, ts_recv: 1 };
            refused += usize::from(decoder.decode(&record, &mut events).is_err());
        }
        (events.len(), refused)
    };
    assert_eq!(round(), (1_003, 4));
    let before = allocations();
    for _ in 0..1_000 {
        assert_eq!(round(), (1_003, 4));
    }
    assert_eq!(allocations() - before, 0);
}

#[test]
fn a_warm_decoder_of_each_other_venue_allocates_nothing() {
    let cases: [(Encoding, &[&str], (usize, usize)); 4] = [
        (
            Encoding::CoinbaseExchange,
            &[
                r#"{"type":"l2update","product_id":"XYZ-USD","changes":[["sell","20.20","0.75"],["buy","20.00","0"]],"time":"2023-11-14T22:13:20.123456Z"}"#,
                r#"{"type":"snapshot","product_id":"ABC-USD","asks":[["20.20","0.75"]],"bids":[["20.10","2.5"]]}"#,
                r#"{"type":"ticker","sequence":71,"product_id":"XYZ-USD","best_bid":"20.10","best_ask":"20.20","time":"2023-11-14T22:13:20.123456Z"}"#,
                r#"{"type":"match","trade_id":9,"side":"sell","size":"0.006","price":"20.15","product_id":"XYZ-USD","sequence":72,"time":"2023-11-14T22:13:20Z"}"#,
                // Refused: no such time, cut off; skipped.
                r#"{"type":"match","trade_id":9,"side":"sell","size":"0.006","price":"20.15","product_id":"XYZ-USD","sequence":72,"time":"2023-11-31T22:13:20Z"}"#,
                r#"{"type":"l2update","product_id":"XYZ-USD","changes":[["sell""#,
                r#"{"type":"subscriptions","channels":[]}"#,
            ],
            (8, 2),
        ),
        (
            Encoding::KrakenV1,
            &[
                r#"[0,{"as":[["5.20","0.75000000","1700000000.000001"]],"bs":[]},"book-10","ABC/USD"]"#,
                r#"[0,{"a":[["5.20","0.00000000","1700000000.000004"]]},{"b":[["5.00","0.00500000","1700000000.000006"]],"c":"974947235"},"book-10","XYZ/USD"]"#,
                r#"[0,["5.10","5.20","1700000000.123456","2.50000000","0.75000000"],"spread","XYZ/USD"]"#,
                r#"[0,{"a":["5.20",0,"0.75000000"],"b":["5.10",2,"2.50000000"]},"ticker","XYZ/USD"]"#,
                r#"[0,[["5.15","0.00600000","1700000000.123456","s","l",""]],"trade","XYZ/USD"]"#,
                // Refused: no such checksum, cut off; skipped.
                r#"[0,{"a":[],"c":"x"},"book-10","XYZ/USD"]"#,
                r#"[0,{"a":[["5.20""#,
                r#"{"event":"heartbeat"}"#,
            ],
            (8, 2),
        ),
        (
            Encoding::KrakenFutures,
            &[
                r#"{"feed":"book_snapshot","product_id":"PI_ABCUSD","timestamp":1,"seq":70,"bids":[{"price":20.1,"qty":2500.0}],"asks":[{"price":20.2,"qty":1.0E7}]}"#,
                r#"{"feed":"book","product_id":"PI_XYZUSD","side":"sell","seq":71,"price":20.2,"qty":0.0,"timestamp":1}"#,
                r#"{"feed":"trade","product_id":"PI_XYZUSD","side":"sell","type":"fill","seq":9,"time":1,"qty":40.0,"price":2.0E-5}"#,
                r#"{"feed":"ticker_lite","product_id":"PI_XYZUSD","bid":20.1,"ask":20.2}"#,
                // Refused: would round, cut off; skipped.
                r#"{"feed":"book","product_id":"PI_XYZUSD","side":"sell","seq":71,"price":1E-10,"qty":0.0,"timestamp":1}"#,
                r#"{"feed":"book","product_id":"PI_XYZUSD","side":"#,
                r#"{"event":"info","version":1}"#,
            ],
            (7, 2),
        ),
        (
            Encoding::JsonMap,
            &[
                r#"{"k":"q","s":"ABC","t":1.5,"b":[["1.5",2]],"a":[[1.75,"0.5"]]}"#,
                r#"{"k":"t","s":"XYZ","t":1.5,"p":1.5e-3,"z":"2"}"#,
                // Refused: would round, no time, cut off; skipped.
                r#"{"k":"t","s":"XYZ","t":1.5,"p":1.5e-10,"z":"2"}"#,
                r#"{"k":"t","s":"XYZ","p":1.5,"z":"2"}"#,
                r#"{"k":"t","s":"#,
                r#"{"k":"hello"}"#,
            ],
            (2, 3),
        ),
    ];
    for (encoding, records, expected) in cases {
        let map = (encoding == Encoding::JsonMap).then(field_map);
        let mut decoder = Decoder::of_input(encoding, encoding.name(), map.as_ref(), &[]).unwrap();
        let mut events = Vec::new();
        let mut round = || {
            events.clear();
            let decode = |record: &&str| {
                decoder.decode(&Record { value: record.as_bytes(), key: None, ts_recv: 1 }, &mut events).is_err()
            };
            let refused = records.iter().map(decode).filter(|refused| *refused).count();
            (events.len(), refused)
        };
        assert_eq!(round(), expected, "{encoding:?}");
        let before = allocations();
        for _ in 0..1_000 {
            assert_eq!(round(), expected);
        }
        assert_eq!(allocations() - before, 0, "{encoding:?}");
    }
}

fn field_map() -> FieldMap {
    let some = |text: &str| Some(text.to_owned());
    FieldMap {
        symbol: "/s".to_owned(),
        time: some("/t"),
        time_unit: Some(TimeUnit::S),
        sequence: None,
        kind: some("/k"),
        quote: Some(QuoteMap {
            when: some("q"),
            bid_price: "/b/0/0".to_owned(),
            bid_size: some("/b/0/1"),
            ask_price: "/a/0/0".to_owned(),
            ask_size: some("/a/0/1"),
        }),
        trade: Some(TradeMap {
            when: some("t"),
            price: "/p".to_owned(),
            size: "/z".to_owned(),
            side_of: SideOf::Taker,
            side: None,
            buy: None,
            sell: None,
            id: None,
        }),
    }
}

#[test]
fn a_warm_decoder_of_dbn_allocates_nothing() {
    // A trade, an order that is skipped, a record that is cut off.
    let mut trade = vec![12, 0, 2, 0, 7, 0, 0, 0];
    trade.extend([0; 16]);
    trade.extend([3, 0, 0, 0, b'T', b'A', 0, 0]);
    trade.extend([0; 16]);
    let mut order = vec![14, 0xa0, 2, 0, 7, 0, 0, 0];
    order.extend([0; 30]);
    order.extend([b'A', b'B']);
    order.extend([0; 16]);
    let good = [&trade[..], &order, &trade].concat();
    let mut decoder = Decoder::new(Encoding::Dbn, "dbn", &[]).unwrap();
    let mut events = Vec::new();
    let mut round = || {
        events.clear();
        let mut decode = |value: &[u8]| decoder.decode(&Record { value, key: None, ts_recv: 1 }, &mut events).is_err();
        let refused = usize::from(decode(&good)) + usize::from(decode(&good[..good.len() - 1]));
        (events.len(), refused)
    };
    assert_eq!(round(), (2, 1));
    let before = allocations();
    for _ in 0..1_000 {
        assert_eq!(round(), (2, 1));
    }
    assert_eq!(allocations() - before, 0);
}
