//! One record of each kind, decoded.

use std::hint::black_box;

use pinion_runtime::decode::{Decoder, Record, flat};
use pinion_runtime::event::{Body, Head, Quote};
use pinion_spec::strategy::Encoding;

use super::Case;

const SPOT_QUOTE: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":50012345678,"s":"BTCUSDT","b":"61234.56000000","B":"1.23456000","a":"61234.57000000","A":"0.98765000"}}"#;
const USDM_QUOTE: &str = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5012345678901,"s":"BTCUSDT","b":"61234.50","B":"1.234","a":"61234.60","A":"9.876","T":1700000000123,"E":1700000000125}}"#;
const SPOT_TRADE: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000125,"s":"BTCUSDT","t":3712345678,"p":"61234.56000000","q":"0.01234000","T":1700000000123,"m":true,"M":true}}"#;
const USDM_TRADE: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000125,"T":1700000000123,"s":"BTCUSDT","t":5212345678,"p":"61234.50","q":"0.012","X":"MARKET","m":false}}"#;
const COINBASE_UPDATE: &str = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["sell","61234.57","0.98765000"]],"time":"2023-11-14T22:13:20.123456Z"}"#;
const KRAKEN_UPDATE: &str =
    r#"[336,{"a":[["61234.60000","0.98765000","1700000000.123456"]],"c":"974947235"},"book-1000","XBT/USD"]"#;
const KRAKEN_FUTURES_UPDATE: &str = r#"{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":5160372,"price":61234.5,"qty":551.0,"timestamp":1700000000123}"#;

pub(super) const CASES: &[Case] = &[
    Case { name: "decode/bookTicker spot", make: || json(Encoding::BinanceSpot, SPOT_QUOTE) },
    Case { name: "decode/bookTicker usdm", make: || json(Encoding::BinanceUsdm, USDM_QUOTE) },
    Case { name: "decode/trade spot", make: || json(Encoding::BinanceSpot, SPOT_TRADE) },
    Case { name: "decode/trade usdm", make: || json(Encoding::BinanceUsdm, USDM_TRADE) },
    Case { name: "decode/depth 20 levels", make: || json(Encoding::BinanceUsdm, &depth(20)) },
    Case { name: "decode/depth 1000 levels", make: || json(Encoding::BinanceUsdm, &depth(1_000)) },
    Case { name: "decode/coinbase update", make: || json(Encoding::CoinbaseExchange, COINBASE_UPDATE) },
    Case { name: "decode/kraken update", make: || json(Encoding::KrakenV1, KRAKEN_UPDATE) },
    Case { name: "decode/kraken futures update", make: || json(Encoding::KrakenFutures, KRAKEN_FUTURES_UPDATE) },
    Case { name: "decode/flat quote", make: || record(Encoding::PinionFlat, flat_quote()) },
];

/// A futures depth update of `levels` levels, half of them bids.
fn depth(levels: usize) -> String {
    let side = |best: usize| {
        let level = |n: usize| format!(r#"["{}.{}0","{}.{:03}"]"#, best + n, n % 10, n % 7, n % 1_000);
        (0..levels / 2).map(level).collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":1700000000125,"T":1700000000123,"s":"BTCUSDT","U":5012345678001,"u":5012345678901,"pu":5012345677999,"b":[{}],"a":[{}]}}}}"#,
        side(60_734),
        side(61_234)
    )
}

fn flat_quote() -> Vec<u8> {
    let quote = Quote { bid_price: 1, bid_size: 2, ask_price: 3, ask_size: 4, bid_count: 0, ask_count: 0 };
    let mut out = Vec::new();
    assert!(flat::encode(&Head::default(), &Body::Quote(quote), &mut out), "a quote has a flat form");
    out
}

fn json(encoding: Encoding, value: &str) -> Box<dyn FnMut()> {
    record(encoding, value.as_bytes().to_vec())
}

fn record(encoding: Encoding, value: Vec<u8>) -> Box<dyn FnMut()> {
    let Ok(mut decoder) = Decoder::new(encoding, encoding.name(), &[]) else {
        unreachable!("no instrument, no quarrel")
    };
    let mut events = Vec::new();
    Box::new(move || {
        events.clear();
        let record = Record { value: black_box(&value), key: None, ts_recv: 1_700_000_000_000_000_000 };
        assert!(decoder.decode(&record, &mut events).is_ok(), "it is a record of its encoding");
        black_box(events.len());
    })
}
