//! Decoding allocates nothing once its symbols are known and the caller's buffer has its size; nor does refusing a record.

mod counting;

use counting::allocations;
use pinion_runtime::decode::{Decoder, Record};
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
