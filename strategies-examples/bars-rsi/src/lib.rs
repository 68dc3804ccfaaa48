//! Bars with the relative strength index: long when what fell fell too fast, short when what rose rose too fast, out at the middle.
//!
//! The index is J. Welles Wilder's (*New Concepts in Technical Trading Systems*, 1978, section VI): the average rise of the closes over
//! `periods` bars against their average fall, `100 - 100 / (1 + rise / fall)`, which is `100 * rise / (rise + fall)`. The first averages
//! are plain; each later one is `(average * (periods - 1) + now) / periods`. Here the averages are kept times `periods`, as integers, so a
//! step is `sum - sum / periods + now` and every machine gives the same index, in hundredths.
//!
//! The host makes the bars ([`Strategy::bars`]). A module that takes the place of this one goes on where it was: what it knows is saved with
//! the version of its own schema, and one that was saved for other bars or periods is refused.

use pinion_strategy::{
    Bar, BarSeries, Callbacks, Host, Instrument, NewOrder, Params, Price, Quote, Saved, Side, Size, Strategy,
    TimeInForce,
};

/// Of what [`BarsRsi::on_save`] writes.
const SCHEMA: u32 = 1;

/// The middle of the index, in hundredths.
const MIDDLE: i64 = 5_000;

/// Wilder's index over closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rsi {
    periods: i64,
    /// Closes seen.
    seen: u64,
    close: i64,
    /// Average rise and fall, times `periods`.
    rise: i128,
    fall: i128,
}

impl Rsi {
    const fn new(periods: i64) -> Self {
        Self { periods, seen: 0, close: 0, rise: 0, fall: 0 }
    }

    /// Takes a close. The index in hundredths once `periods` changes are known; the middle where nothing has moved.
    fn update(&mut self, close: Price) -> Option<i64> {
        let (before, periods) = (self.close, i128::from(self.periods));
        self.close = close.0;
        self.seen += 1;
        if self.seen == 1 {
            return None;
        }
        let change = i128::from(close.0) - i128::from(before);
        let changes = i128::from(self.seen - 1);
        for (sum, now) in [(&mut self.rise, change.max(0)), (&mut self.fall, (-change).max(0))] {
            *sum = if changes <= periods { *sum + now } else { *sum - *sum / periods + now };
        }
        if changes < periods {
            return None;
        }
        let moved = self.rise + self.fall;
        if moved == 0 {
            return Some(MIDDLE);
        }
        i64::try_from(self.rise * 10_000 / moved).ok()
    }
}

/// The strategy's state.
#[derive(Debug)]
pub struct BarsRsi {
    instrument_id: u64,
    size: Size,
    /// Length of a bar, ns.
    every: u64,
    grace: u64,
    /// Below it, in hundredths, it is long; as far above the middle short.
    low: i64,
    rsi: Rsi,
    bid: Price,
    ask: Price,
}

impl Strategy for BarsRsi {
    const WANTS: Callbacks = Callbacks::QUOTE.and(Callbacks::STATE);

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let [instrument] = instruments else {
            return Err(format!("it trades one instrument, the file has {}", instruments.len()));
        };
        let (periods, low, seconds) =
            (params.or("periods", 14)?, params.or("low", 30_i64)?, params.or("seconds", 60_u64)?);
        if !(2..=10_000).contains(&periods) || !(1..50).contains(&low) || !(1..=86_400).contains(&seconds) {
            return Err(format!(
                "want periods from 2 to 10000, low from 1 to 49, seconds from 1 to 86400; they are {periods}, {low}, {seconds}"
            ));
        }
        Ok(Self {
            instrument_id: instrument.id,
            size: params.size("size", instrument.size_exponent)?,
            every: seconds * 1_000_000_000,
            grace: params.or("grace_ms", 500_u64)?.min(60_000) * 1_000_000,
            low: low * 100,
            rsi: Rsi::new(periods),
            bid: Price::UNDEFINED,
            ask: Price::UNDEFINED,
        })
    }

    fn bars(&self) -> Vec<BarSeries> {
        vec![BarSeries::time(self.instrument_id, self.every).grace(self.grace)]
    }

    fn on_quote(&mut self, _host: &mut impl Host, quote: &Quote) {
        if quote.head.instrument_id == self.instrument_id {
            (self.bid, self.ask) = (quote.bid_price, quote.ask_price);
        }
    }

    fn on_bar(&mut self, host: &mut impl Host, bar: &Bar) {
        let Some(index) = self.rsi.update(bar.close) else { return };
        show(host, index);
        let net = host.position(self.instrument_id).net;
        if index < self.low {
            self.hold(host, net, self.size);
        } else if index > 2 * MIDDLE - self.low {
            self.hold(host, net, -self.size);
        } else if (net > Size::ZERO && index >= MIDDLE) || (net < Size::ZERO && index <= MIDDLE) {
            self.hold(host, net, Size::ZERO);
        }
    }

    fn on_save(&self) -> Saved {
        let Rsi { periods, seen, close, rise, fall } = self.rsi;
        let mut data = Vec::with_capacity(64);
        data.extend(self.every.to_le_bytes());
        data.extend(periods.to_le_bytes());
        data.extend(seen.to_le_bytes());
        data.extend(close.to_le_bytes());
        data.extend(rise.to_le_bytes());
        data.extend(fall.to_le_bytes());
        Saved { version: SCHEMA, data }
    }

    fn on_load(&mut self, saved: Saved) -> Result<(), String> {
        if saved.version != SCHEMA {
            return Err(format!("version {} was saved, this module reads {SCHEMA}", saved.version));
        }
        let mut rest = saved.data.as_slice();
        let (every, periods) = (u64::from_le_bytes(take(&mut rest)?), i64::from_le_bytes(take(&mut rest)?));
        if (every, periods) != (self.every, self.rsi.periods) {
            return Err(format!(
                "saved for {periods} bars of {every} ns, and this file says {} of {}: the index would be of neither",
                self.rsi.periods, self.every
            ));
        }
        self.rsi = Rsi {
            periods,
            seen: u64::from_le_bytes(take(&mut rest)?),
            close: i64::from_le_bytes(take(&mut rest)?),
            rise: i128::from_le_bytes(take(&mut rest)?),
            fall: i128::from_le_bytes(take(&mut rest)?),
        };
        if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes too many were saved", rest.len())) }
    }
}

/// The next bytes of what was saved.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (bytes, after) = rest.split_first_chunk().ok_or("what was saved is cut")?;
    *rest = after;
    Ok(*bytes)
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at, nothing is decided by it")]
fn show(host: &mut impl Host, index: i64) {
    host.metric_set("rsi", index as f64 / 100.0);
}

impl BarsRsi {
    /// Takes what is missing to a position, at the touch: what cannot trade at once is gone.
    fn hold(&self, host: &mut impl Host, net: Size, wanted: Size) {
        let (side, price) = if wanted > net { (Side::Buy, self.ask) } else { (Side::Sell, self.bid) };
        if wanted != net && price.is_defined() {
            let order = NewOrder::limit(self.instrument_id, side, price, (wanted - net).abs());
            host.submit(&order.time_in_force(TimeInForce::Ioc));
        }
    }
}

pinion_strategy::export!(BarsRsi);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::{Asked, Recorder};
    use pinion_strategy::{Head, Position};

    use super::*;

    fn started(periods: &str) -> BarsRsi {
        let params = [("periods", periods), ("seconds", "60"), ("size", "3")];
        let params = Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let (symbol, publisher) = ("X".to_owned(), "venue".to_owned());
        let (tick, lot) = (Price(1), Size(1));
        let instrument = Instrument { id: 7, publisher_id: 1, tick, lot, size_exponent: 0, symbol, publisher };
        let mut strategy = BarsRsi::new(&params, &[instrument]).unwrap();
        let (bid_price, ask_price, size) = (Price(90), Price(110), Size(1));
        let head = Head { instrument_id: 7, ..Head::default() };
        let quote = Quote { head, bid_price, ask_price, bid_size: size, ask_size: size, bid_count: 0, ask_count: 0 };
        strategy.on_quote(&mut Recorder::default(), &quote);
        strategy
    }

    fn closes(strategy: &mut BarsRsi, host: &mut Recorder, closes: &[i64]) {
        for &close in closes {
            let price = Price(close);
            let bar = Bar {
                instrument_id: 7,
                publisher_id: 1,
                series: 0,
                trades: 1,
                late: 0,
                ts_open: 0,
                ts_close: 0,
                ts_recv: 0,
                open: price,
                high: price,
                low: price,
                close: price,
                volume: Size(1),
                buy_volume: Size(1),
            };
            strategy.on_bar(host, &bar);
        }
    }

    fn order(order_id: u64, side: Side, price: i64, size: i64) -> Asked {
        let order = NewOrder::limit(7, side, Price(price), Size(size)).time_in_force(TimeInForce::Ioc);
        Asked::Submit { order_id, order }
    }

    /// The index after the last of these closes.
    fn last(rsi: &mut Rsi, closes: &[i64]) -> Option<i64> {
        closes.iter().fold(None, |_, close| rsi.update(Price(*close)))
    }

    #[test]
    fn the_index_is_wilders() {
        let mut rsi = Rsi::new(4);
        let mut of = |closes: &[i64]| last(&mut rsi, closes);
        assert_eq!(of(&[100_000, 102_000, 101_000, 104_000]), None, "three changes");
        // Rises of 2 and 3, falls of 1 and 1: 5 of 7.
        assert_eq!(of(&[103_000]), Some(7_142));
        // Averages of (5/4 * 3 + 1) / 4 and (2/4 * 3) / 4: 4.75 of 6.25.
        assert_eq!(of(&[104_000]), Some(7_600));
        assert_eq!(Rsi::new(2).update(Price(1)), None);
    }

    #[test]
    fn all_rises_are_a_hundred_all_falls_nothing_and_no_move_the_middle() {
        let last = |closes: [i64; 4]| last(&mut Rsi::new(2), &closes);
        assert_eq!(last([1, 2, 3, 4]), Some(10_000));
        assert_eq!(last([4, 3, 2, 1]), Some(0));
        assert_eq!(last([5, 5, 5, 5]), Some(MIDDLE));
        assert_eq!(last([i64::MIN, i64::MAX, i64::MIN, i64::MAX]), Some(7_499), "the widest that there is");
    }

    #[test]
    fn what_fell_too_fast_is_bought_and_sold_at_the_middle() {
        let (mut host, mut strategy) = (Recorder::default(), started("2"));
        closes(&mut strategy, &mut host, &[100, 90, 80]);
        assert_eq!(host.take(), [order(1, Side::Buy, 110, 3)]);
        assert_eq!(host.gauges["rsi"], 0.0);
        host.positions.insert(7, Position { net: Size(3), ..Position::default() });
        closes(&mut strategy, &mut host, &[79]);
        assert_eq!(host.take(), [], "it has what it wants");
        closes(&mut strategy, &mut host, &[110]);
        assert_eq!(host.take(), [order(2, Side::Sell, 90, 6)], "a rise so fast turns it around");
        host.positions.insert(7, Position { net: Size(-3), ..Position::default() });
        closes(&mut strategy, &mut host, &[90]);
        assert_eq!(host.take(), [order(3, Side::Buy, 110, 3)]);
    }

    #[test]
    fn a_module_goes_on_where_the_one_before_was() {
        let mut host = Recorder::default();
        let (mut before, mut after) = (started("3"), started("3"));
        closes(&mut before, &mut host, &[100, 103, 99, 104, 98]);
        after.on_load(before.on_save()).unwrap();
        assert_eq!(after.rsi, before.rsi);
    }

    #[test]
    fn what_was_saved_otherwise_is_refused_with_the_reason() {
        let saved = started("3").on_save();
        let mut strategy = started("3");
        let mut why = |version, data: &[u8]| strategy.on_load(Saved { version, data: data.to_vec() }).unwrap_err();
        assert!(why(2, &saved.data).contains("version 2"));
        assert!(why(1, &saved.data[..40]).contains("cut"));
        assert!(why(1, &[saved.data.as_slice(), &[0]].concat()).contains("1 bytes too many"));
        assert!(started("4").on_load(saved).unwrap_err().contains("saved for 3 bars"));
    }

    #[test]
    fn bars_of_a_minute_with_a_grace_are_wanted() {
        assert_eq!(started("3").bars(), [BarSeries::time(7, 60_000_000_000).grace(500_000_000)]);
    }
}
