//! Market data out of nothing: the frames of Binance's spot combined streams, byte for byte in their shape, of a made-up market.
//!
//! Frame `i` is a function of the seed, the rate and `i` alone: it is received at [`EPOCH_NS`] + `i` / rate. So two demos
//! with the same arguments present the same bytes and times to their strategies, whenever and wherever they run.
//!
//! | stream | when | what holds |
//! |---|---|---|
//! | `btcusdt@depth@100ms` | the first frame, then every 100 ms | `U` is the previous `u` + 1; every level that changed is in it |
//! | `btcusdt@trade` | a quarter of the rest | ids without a gap |
//! | `btcusdt@bookTicker` | the rest | the best levels at that moment |

use std::io::Write;

use pinion_venue::Rng;

use super::market::{Level, Market};
use crate::capture::Frame;

/// The instrument of the streams.
pub(super) const SYMBOL: &str = "BTCUSDT";
/// When the first frame is received: 2023-11-14T22:13:20Z.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
/// Between two depth updates.
const DEPTH_NS: u64 = 100_000_000;
/// At low rates other frames still come between two depth updates.
const DEPTH_FRAMES: u64 = 4;
/// Trades among the frames that are no depth updates, in a thousand.
const TRADES: i64 = 250;
/// From the venue's clock to the receiver's, ms.
const TRAVEL_MS: u64 = 2;

/// The streams.
#[derive(Debug)]
pub(crate) struct Generator {
    market: Market,
    /// Which stream is next; apart from the market's, so that neither depends on how the other draws.
    mix: Rng,
    rate: u64,
    index: u64,
    depth_due_ns: u64,
    depth_after: u64,
    trade_id: u64,
    frame: Vec<u8>,
}

impl Generator {
    /// `rate` frames a second, above 0.
    pub(crate) fn new(seed: u64, rate: u32) -> Self {
        Self {
            market: Market::new(seed),
            mix: Rng::new(!seed),
            rate: u64::from(rate.max(1)),
            index: 0,
            depth_due_ns: EPOCH_NS,
            depth_after: 0,
            trade_id: 3_700_000_000,
            frame: Vec::with_capacity(8 * 1024),
        }
    }

    /// The next frame; there is always one.
    pub(crate) fn next_frame(&mut self) -> Frame<'_> {
        let after = u128::from(self.index) * 1_000_000_000 / u128::from(self.rate);
        let ts_recv = EPOCH_NS.saturating_add(u64::try_from(after).unwrap_or(u64::MAX));
        self.frame.clear();
        let event_ms = ts_recv / 1_000_000 - TRAVEL_MS;
        // Writing to memory does not fail.
        let _ = if ts_recv >= self.depth_due_ns && self.index >= self.depth_after {
            self.depth_due_ns = (self.depth_due_ns + DEPTH_NS).max(ts_recv);
            self.depth_after = self.index + DEPTH_FRAMES;
            self.depth(event_ms)
        } else if self.mix.chance(TRADES) {
            self.trade(event_ms)
        } else {
            self.quote()
        };
        self.index += 1;
        Frame { ts_recv, value: &self.frame }
    }

    fn depth(&mut self, event_ms: u64) -> std::io::Result<()> {
        let depth = self.market.depth();
        let (out, first, last) = (&mut self.frame, depth.first, depth.last);
        write!(
            out,
            r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{event_ms},"s":"{SYMBOL}","U":{first},"u":{last},"b":"#
        )?;
        levels(out, &depth.bids)?;
        out.write_all(br#","a":"#)?;
        levels(out, &depth.asks)?;
        out.write_all(b"}}")
    }

    fn trade(&mut self, event_ms: u64) -> std::io::Result<()> {
        let trade = self.market.trade();
        let (id, time_ms, maker) = (self.trade_id, event_ms - 1, trade.buyer_is_maker);
        let (price, size) = (Price(trade.price), Size(trade.size));
        self.trade_id += 1;
        write!(
            self.frame,
            r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{event_ms},"s":"{SYMBOL}","t":{id},"p":"{price}","q":"{size}","T":{time_ms},"m":{maker},"M":true}}}}"#
        )
    }

    fn quote(&mut self) -> std::io::Result<()> {
        self.market.requote();
        let (id, (bid, ask)) = (self.market.update_id(), self.market.top());
        let [bid, ask] = [bid, ask].map(|(price, size)| (Price(price), Size(size)));
        write!(
            self.frame,
            r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{id},"s":"{SYMBOL}","b":"{}","B":"{}","a":"{}","A":"{}"}}}}"#,
            bid.0, bid.1, ask.0, ask.1
        )
    }
}

/// `[["61000.00000000","0.10000000"],..]`
fn levels(out: &mut Vec<u8>, levels: &[Level]) -> std::io::Result<()> {
    out.write_all(b"[")?;
    for (index, (price, size)) in levels.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, r#"{comma}["{}","{}"]"#, Price(*price), Size(*size))?;
    }
    out.write_all(b"]")
}

/// Ticks of 0.01, written with the venue's eight digits.
struct Price(i64);

/// Lots of 0.00001, written with the venue's eight digits.
struct Size(i64);

impl std::fmt::Display for Price {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}000000", self.0 / 100, self.0 % 100)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:05}000", self.0 / 100_000, self.0 % 100_000)
    }
}

#[cfg(test)]
mod tests {
    use pinion_runtime::book::{BookState, Books};
    use pinion_runtime::decode::{Decoder, Record};
    use pinion_runtime::event::{Body, Event};
    use pinion_spec::strategy::{Encoding, Resync};

    use super::*;

    fn decode(decoder: &mut Decoder, frame: &Frame<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let record = Record { value: frame.value, key: None, ts_recv: frame.ts_recv };
        let outcome = decoder.decode(&record, &mut events).unwrap();
        assert!(outcome.events > 0 && outcome.skipped.is_none(), "{}", String::from_utf8_lossy(frame.value));
        events
    }

    #[test]
    fn every_frame_is_the_venues_and_the_book_that_it_builds_is_the_markets() {
        let mut generator = Generator::new(1, 2_000);
        let mut decoder = Decoder::new(Encoding::BinanceSpot, "binance-spot", &[]).unwrap();
        let mut books = Books::new(Resync::Rebuild);
        let (mut quotes, mut trades, mut depths) = (0, 0, 0);
        for _ in 0..20_000 {
            let frame = generator.next_frame();
            let events = decode(&mut decoder, &frame);
            for event in &events {
                books.apply(event);
            }
            let id = events[0].head.instrument_id;
            let ((bid, bid_size), (ask, ask_size)) = generator.market.top();
            let (bid, ask) = (bid * 10_000_000, ask * 10_000_000);
            match &events[0].body {
                Body::Quote(quote) => {
                    quotes += 1;
                    assert_eq!((quote.bid_price, quote.ask_price), (bid, ask));
                }
                Body::Depth(_) => {
                    depths += 1;
                    let reference = books.top(id).unwrap();
                    assert_eq!((reference.bid_price, reference.ask_price), (bid, ask));
                    assert_eq!((reference.bid_size, reference.ask_size), (bid_size * 10_000, ask_size * 10_000));
                }
                Body::Trade(_) => trades += 1,
                other => panic!("{other:?}"),
            }
            assert!(!books.reference(id).is_crossed());
            assert_ne!(books.state(id), BookState::Gapped);
        }
        let counts = books.counts();
        assert_eq!((counts.gaps, counts.outdated, counts.levels_refused, counts.strays), (0, 0, 0, 0));
        assert_eq!(depths, 100, "10 s of depth updates every 100 ms");
        assert!(quotes > 2 * trades && trades > 4_000, "{quotes} quotes, {trades} trades");
    }

    #[test]
    fn frames_are_a_function_of_the_seed_and_their_place() {
        let frames = |seed| -> Vec<(u64, Vec<u8>)> {
            let mut generator = Generator::new(seed, 700);
            let copy = |frame: Frame<'_>| (frame.ts_recv, frame.value.to_vec());
            (0..2_000).map(|_| copy(generator.next_frame())).collect()
        };
        assert_eq!(frames(1), frames(1));
        assert_ne!(frames(1), frames(2));
    }

    #[test]
    fn times_are_spaced_by_the_rate_without_drift() {
        let mut generator = Generator::new(1, 3);
        let times: Vec<u64> = (0..7).map(|_| generator.next_frame().ts_recv - EPOCH_NS).collect();
        assert_eq!(times[..4], [0, 333_333_333, 666_666_666, 1_000_000_000]);
        assert_eq!(times[6], 2_000_000_000);
    }

    #[test]
    fn at_a_low_rate_there_is_more_than_depth_updates() {
        let mut generator = Generator::new(1, 5);
        let is_depth = |frame: Frame<'_>| frame.value.starts_with(br#"{"stream":"btcusdt@depth"#);
        assert_eq!((0..100).filter(|_| is_depth(generator.next_frame())).count(), 25);
    }
}
