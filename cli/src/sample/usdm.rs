//! The made-up market as Binance's USD-M futures streams write it.
//!
//! The same moves in the same order: so a spot and a perpetual of one seed belong together. A tick is 0.1 here, so that the
//! perpetual moves ten ticks of spot's for each of them, and the distance between the two comes and goes.

use serde_json::{Value, json};

/// Where both start, in spot's ticks of 0.01: 61,000.00.
const START_TICKS: i64 = 6_100_000;

/// Turns spot's frames into futures frames.
#[derive(Debug, Default)]
pub(super) struct Usdm {
    /// Last update of the depth update before.
    last: u64,
}

impl Usdm {
    /// The frame that says the same; `None` for one that has no like.
    pub(super) fn frame(&mut self, ts_recv: u64, spot: &[u8]) -> Option<Vec<u8>> {
        let mut frame: Value = serde_json::from_slice(spot).ok()?;
        let ms = ts_recv / 1_000_000;
        let data = frame.get_mut("data")?;
        match data.get("e").and_then(Value::as_str) {
            Some("depthUpdate") => {
                let first = data["U"].as_u64()?;
                let last = data["u"].as_u64()?;
                let (event_ms, symbol) = (data["E"].clone(), data["s"].clone());
                let [bids, asks] = [levels(&data["b"])?, levels(&data["a"])?];
                let before = if self.last == 0 { first - 1 } else { self.last };
                self.last = last;
                *data = json!({
                    "e": "depthUpdate", "E": event_ms, "T": event_ms, "s": symbol, "U": first, "u": last, "pu": before,
                    "b": bids, "a": asks,
                });
            }
            Some("trade") => {
                let price = price(data["p"].as_str()?)?;
                let size = size(data["q"].as_str()?)?;
                *data = json!({
                    "e": "trade", "E": data["E"], "T": data["T"], "s": data["s"], "t": data["t"], "p": price, "q": size,
                    "X": "MARKET", "m": data["m"],
                });
            }
            None => {
                let [bid, ask] = [price(data["b"].as_str()?)?, price(data["a"].as_str()?)?];
                let [bid_size, ask_size] = [size(data["B"].as_str()?)?, size(data["A"].as_str()?)?];
                *data = json!({
                    "e": "bookTicker", "u": data["u"], "s": data["s"], "b": bid, "B": bid_size, "a": ask, "A": ask_size,
                    "T": ms, "E": ms,
                });
            }
            Some(_) => return None,
        }
        Some(frame.to_string().into_bytes())
    }
}

/// A price in ticks of 0.1, as far from the start in ticks as spot's is.
fn price(spot: &str) -> Option<String> {
    let (whole, cents) = spot.split_once('.')?;
    let ticks = whole.parse::<i64>().ok()? * 100 + cents.get(..2)?.parse::<i64>().ok()?;
    let ticks = START_TICKS / 10 + (ticks - START_TICKS);
    Some(format!("{}.{}0", ticks / 10, ticks % 10))
}

/// A size in lots of 0.001, one at least; none stays none.
fn size(spot: &str) -> Option<String> {
    let (whole, digits) = spot.split_once('.')?;
    let (whole, thousandths) = (whole.parse::<u64>().ok()?, digits.get(..3)?.parse::<u64>().ok()?);
    let is_none = whole == 0 && digits.bytes().all(|digit| digit == b'0');
    let thousandths = if whole == 0 && !is_none { thousandths.max(1) } else { thousandths };
    Some(format!("{whole}.{thousandths:03}"))
}

fn levels(levels: &Value) -> Option<Vec<[String; 2]>> {
    let level = |level: &Value| Some([price(level[0].as_str()?)?, size(level[1].as_str()?)?]);
    levels.as_array()?.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use pinion_runtime::book::{BookState, Books};
    use pinion_runtime::decode::{Decoder, Record};
    use pinion_runtime::event::Body;
    use pinion_spec::strategy::{Encoding, Resync};

    use super::*;
    use crate::demo::generator::Generator;

    #[test]
    fn every_frame_is_the_venues_on_its_tick_and_the_book_that_it_builds_is_whole() {
        let (mut market, mut usdm) = (Generator::new(1, 200), Usdm::default());
        let mut decoder = Decoder::new(Encoding::BinanceUsdm, "binance-usdm", &[]).unwrap();
        let mut books = Books::new(Resync::Rebuild);
        let (mut quotes, mut trades, mut events) = (0, 0, Vec::new());
        for _ in 0..10_000 {
            let frame = market.next_frame();
            let value = usdm.frame(frame.ts_recv, frame.value).unwrap();
            events.clear();
            let record = Record { value: &value, key: None, ts_recv: frame.ts_recv };
            let decoded = decoder.decode(&record, &mut events).unwrap();
            assert!(decoded.events > 0 && decoded.skipped.is_none(), "{}", String::from_utf8_lossy(&value));
            for event in &events {
                books.apply(event);
                let id = event.head.instrument_id;
                assert!(!books.reference(id).is_crossed() && books.state(id) != BookState::Gapped);
                match event.body {
                    Body::Quote(quote) => {
                        quotes += 1;
                        assert!(quote.bid_price % 100_000_000 == 0 && quote.bid_price < quote.ask_price);
                        assert!(quote.bid_size >= 1_000_000 && quote.bid_size % 1_000_000 == 0);
                    }
                    Body::Trade(trade) => {
                        trades += 1;
                        assert!(trade.price % 100_000_000 == 0 && trade.size > 0);
                    }
                    _ => {}
                }
            }
        }
        let counts = books.counts();
        assert_eq!((counts.gaps, counts.outdated, counts.levels_refused, counts.strays), (0, 0, 0, 0));
        assert!(quotes > 2 * trades && trades > 1_500, "{quotes} quotes, {trades} trades");
    }

    #[test]
    fn prices_keep_their_order_and_a_level_that_is_gone_stays_gone() {
        assert_eq!(price("61000.00000000").unwrap(), "61000.00");
        assert_eq!(price("61000.01000000").unwrap(), "61000.10");
        assert_eq!(price("60999.99000000").unwrap(), "60999.90");
        assert_eq!(size("0.00000000").unwrap(), "0.000");
        assert_eq!(size("0.00001000").unwrap(), "0.001");
        assert_eq!(size("1.23456000").unwrap(), "1.234");
    }
}
