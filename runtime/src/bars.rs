//! Bars of trades, as a guest's `on-init` asked for them; the rules are in the contract.
//!
//! A bar is closed by stream time or by a trade and by nothing else, so the same records give the same bars. A time bar may be open
//! beside the one after it, as long as its grace lasts: never more than two, because a grace is at most one bar long. Taking a trade
//! costs nothing where its instrument has no series, and never allocates.

use crate::event::{Aggressor, Head, Trade};
use crate::instruments::Instruments;
use crate::limits::{BAR_NS_MIN, BAR_SERIES_MAX};

/// What closes a bar; numbers as in the contract's `bar-kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BarKind {
    /// A multiple of so many ns since the epoch.
    Time = 0,
    /// So many trades.
    Trades = 1,
    /// So much volume.
    Volume = 2,
}

/// The bars that a guest wants of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarSeries {
    /// Which instrument.
    pub instrument_id: u64,
    /// What closes one.
    pub kind: BarKind,
    /// Nanoseconds, trades, or a size at the instrument's exponent.
    pub every: u64,
    /// How long after its boundary a time bar takes trades from before it, ns.
    pub grace: u64,
}

/// A closed bar, as `on-bar` gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Bar {
    pub instrument_id: u64,
    pub publisher_id: u32,
    pub series: u32,
    pub trades: u32,
    pub late: u32,
    pub ts_open: u64,
    pub ts_close: u64,
    pub ts_recv: u64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub volume: i64,
    pub buy_volume: i64,
}

impl Bar {
    /// A bar with no trade in it yet; the first gives it its prices.
    fn begin(series: u32, head: &Head, price: i64, ts_open: u64, ts_close: u64) -> Self {
        Self {
            instrument_id: head.instrument_id,
            publisher_id: head.publisher_id,
            series,
            trades: 0,
            late: 0,
            ts_open,
            ts_close,
            ts_recv: 0,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            buy_volume: 0,
        }
    }

    fn take(&mut self, trade: &Trade) {
        self.trades = self.trades.saturating_add(1);
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        self.volume = self.volume.saturating_add(trade.size);
        if trade.aggressor == Aggressor::Buyer {
            self.buy_volume = self.buy_volume.saturating_add(trade.size);
        }
    }
}

#[derive(Debug)]
struct Series {
    wanted: BarSeries,
    /// Being built; of two time bars the older first.
    open: [Option<Bar>; 2],
    late: u32,
}

impl Series {
    /// When an open time bar takes no more trades.
    fn closes_at(&self, bar: &Bar) -> u64 {
        bar.ts_close.saturating_add(self.wanted.grace)
    }

    /// The stream time at which the next of its bars is to be closed.
    fn due(&self) -> u64 {
        match (self.wanted.kind, &self.open[0]) {
            (BarKind::Time, Some(bar)) => self.closes_at(bar),
            _ => u64::MAX,
        }
    }

    fn take_timed(&mut self, number: u32, head: &Head, trade: &Trade, now: u64) {
        let every = self.wanted.every;
        // A venue's clock that is ahead must not open bars of a time that has not come.
        let at = if head.ts_event == 0 { now } else { head.ts_event.min(now) };
        let ts_open = at - at % every;
        let begin = Bar::begin(number, head, trade.price, ts_open, ts_open.saturating_add(every));
        if self.closes_at(&begin) <= now {
            self.late = self.late.saturating_add(1);
            return;
        }
        let place = match &self.open {
            [None, _] => 0,
            [Some(first), _] if first.ts_open == ts_open => 0,
            // The first trade of a bar that is in its grace came after one of the next bar.
            [Some(first), _] if ts_open < first.ts_open => {
                self.open.swap(0, 1);
                0
            }
            _ => 1,
        };
        self.open[place].get_or_insert(begin).take(trade);
    }

    /// Takes a trade into the one open bar. True where that completes it.
    fn take_counted(&mut self, number: u32, head: &Head, trade: &Trade, now: u64) -> bool {
        let at = if head.ts_event == 0 { now } else { head.ts_event };
        let bar = self.open[0].get_or_insert(Bar::begin(number, head, trade.price, at, at));
        bar.take(trade);
        bar.ts_close = at;
        match self.wanted.kind {
            BarKind::Time => false,
            BarKind::Trades => u64::from(bar.trades) >= self.wanted.every,
            BarKind::Volume => bar.volume.unsigned_abs() >= self.wanted.every,
        }
    }

    fn close(&mut self, now: u64) -> Option<Bar> {
        let mut bar = self.open[0].take()?;
        self.open.swap(0, 1);
        bar.ts_recv = now;
        bar.late = std::mem::take(&mut self.late);
        Some(bar)
    }
}

/// All bars of one instance.
#[derive(Debug, Default)]
pub struct Bars {
    series: Vec<Series>,
    /// The earliest [`Series::due`].
    next: u64,
}

impl Bars {
    /// Bars with no trade yet.
    ///
    /// # Errors
    /// Why they cannot be made, for the author of the strategy.
    pub fn new(wanted: &[BarSeries], instruments: &Instruments) -> Result<Self, String> {
        if wanted.len() > BAR_SERIES_MAX {
            return Err(format!("{} series of bars are wanted, {BAR_SERIES_MAX} is the most", wanted.len()));
        }
        for (place, series) in wanted.iter().enumerate() {
            refuse(series, instruments).map_or(Ok(()), |why| Err(format!("bars[{place}]: {why}")))?;
        }
        let series = wanted.iter().map(|wanted| Series { wanted: *wanted, open: [None, None], late: 0 }).collect();
        Ok(Self { series, next: u64::MAX })
    }

    /// Goes on with what `before` has built of the same series, when another module takes over.
    pub fn go_on_from(&mut self, before: Self) {
        for (number, series) in (0..).zip(&mut self.series) {
            if let Some(known) = before.series.iter().find(|known| known.wanted == series.wanted) {
                (series.open, series.late) = (known.open, known.late);
                series.open.iter_mut().flatten().for_each(|bar| bar.series = number);
            }
        }
        self.find_next();
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The stream time at which the next bar is to be closed, `u64::MAX` for none.
    #[must_use]
    #[inline]
    pub fn due(&self) -> u64 {
        if self.series.is_empty() { u64::MAX } else { self.next }
    }

    /// Closes the bar that is due first, of two for the same time that of the first series, where the stream clock has come to it.
    pub fn close_due(&mut self, now: u64) -> Option<Bar> {
        let due = self.due();
        if due > now {
            return None;
        }
        let bar = self.series.iter_mut().find(|series| series.due() == due)?.close(now);
        self.find_next();
        bar
    }

    /// Takes a trade into one series. Returns the bar that it completes. `now` is the stream clock.
    #[inline]
    pub fn take(&mut self, place: usize, head: &Head, trade: &Trade, now: u64) -> Option<Bar> {
        let series = self.series.get_mut(place)?;
        if series.wanted.instrument_id != head.instrument_id {
            return None;
        }
        // There are at most 16.
        let number = u32::try_from(place).ok()?;
        if series.wanted.kind == BarKind::Time {
            series.take_timed(number, head, trade, now);
            self.find_next();
            return None;
        }
        if series.take_counted(number, head, trade, now) { series.close(now) } else { None }
    }

    fn find_next(&mut self) {
        self.next = self.series.iter().map(Series::due).min().unwrap_or(u64::MAX);
    }
}

/// Why a series cannot be had.
fn refuse(series: &BarSeries, instruments: &Instruments) -> Option<String> {
    let BarSeries { instrument_id, kind, every, grace } = *series;
    if instruments.get(instrument_id).is_none() {
        return Some(format!("instrument {instrument_id} is not declared in the strategy file's `instruments`"));
    }
    match kind {
        _ if every == 0 => Some("`every` is 0".to_owned()),
        BarKind::Time if every < BAR_NS_MIN => Some(format!("`every` is {every} ns, {BAR_NS_MIN} is the least")),
        BarKind::Time if grace > every => Some(format!("a grace of {grace} ns is longer than a bar of {every} ns")),
        BarKind::Trades | BarKind::Volume if grace > 0 => Some("only time bars have a grace".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruments::Instrument;

    const MS: u64 = 1_000_000;

    fn instruments() -> Instruments {
        let symbol = "BTCUSDT".into();
        Instruments::new([Instrument {
            id: 7,
            publisher_id: 1,
            publisher: "venue".into(),
            tick: 1,
            lot: 1,
            size_exponent: 0,
            symbol,
        }])
    }

    fn bars(kind: BarKind, every: u64, grace: u64) -> Bars {
        Bars::new(&[BarSeries { instrument_id: 7, kind, every, grace }], &instruments()).unwrap()
    }

    fn head(ts_event: u64) -> Head {
        Head { instrument_id: 7, publisher_id: 1, flags: 128, ts_event, ts_recv: 0, sequence: 0 }
    }

    fn trade(price: i64, size: i64, aggressor: Aggressor) -> Trade {
        Trade { price, size, trade_id: 0, aggressor }
    }

    /// A trade of a venue time at a stream time, all due bars closed first, as an instance does it.
    fn at(bars: &mut Bars, ts_event: u64, now: u64, price: i64) -> Vec<Bar> {
        let mut closed = Vec::new();
        while bars.due() <= now {
            closed.extend(bars.close_due(bars.due()));
        }
        closed.extend(bars.take(0, &head(ts_event), &trade(price, 2, Aggressor::Buyer), now));
        closed
    }

    #[test]
    fn a_time_bar_covers_its_boundaries_and_is_closed_when_its_grace_is_over() {
        let mut bars = bars(BarKind::Time, 10 * MS, 2 * MS);
        assert!(at(&mut bars, 11 * MS, 11 * MS, 100).is_empty());
        assert!(at(&mut bars, 19 * MS, 19 * MS, 90).is_empty());
        // The next bar has begun; one of its trades, and a late one of the first bar inside its grace.
        assert!(at(&mut bars, 20 * MS, 21 * MS, 200).is_empty());
        assert!(at(&mut bars, 20 * MS - 1, 22 * MS - 1, 110).is_empty());
        assert_eq!(bars.due(), 22 * MS);
        let first = bars.close_due(22 * MS).unwrap();
        assert_eq!((first.ts_open, first.ts_close, first.ts_recv), (10 * MS, 20 * MS, 22 * MS));
        assert_eq!((first.open, first.high, first.low, first.close), (100, 110, 90, 110));
        assert_eq!((first.trades, first.volume, first.buy_volume, first.late), (3, 6, 6, 0));
        let second = bars.close_due(40 * MS).unwrap();
        assert_eq!((second.ts_open, second.trades, second.open), (20 * MS, 1, 200));
        assert_eq!((bars.close_due(u64::MAX - 1), bars.due()), (None, u64::MAX));
    }

    #[test]
    fn a_trade_after_its_bar_is_closed_is_in_none_and_counted_with_the_next_bar() {
        let mut bars = bars(BarKind::Time, 10 * MS, 0);
        at(&mut bars, 15 * MS, 15 * MS, 1);
        let closed = at(&mut bars, 16 * MS, 20 * MS, 2);
        assert_eq!((closed.len(), closed[0].late), (1, 0));
        assert!(at(&mut bars, 21 * MS, 21 * MS, 3).is_empty());
        let next = bars.close_due(30 * MS).unwrap();
        assert_eq!((next.open, next.trades, next.late), (3, 1, 1));
    }

    #[test]
    fn the_first_trade_of_a_bar_in_its_grace_may_come_after_one_of_the_next_bar() {
        let mut bars = bars(BarKind::Time, 10 * MS, 10 * MS);
        assert!(at(&mut bars, 21 * MS, 21 * MS, 5).is_empty());
        assert!(at(&mut bars, 19 * MS, 22 * MS, 4).is_empty());
        assert_eq!(bars.close_due(30 * MS).map(|bar| (bar.ts_open, bar.open)), Some((10 * MS, 4)));
        assert_eq!(bars.close_due(40 * MS).map(|bar| (bar.ts_open, bar.open)), Some((20 * MS, 5)));
    }

    #[test]
    fn a_venue_clock_that_is_ahead_opens_no_bar_of_a_time_that_has_not_come() {
        let mut bars = bars(BarKind::Time, 10 * MS, 0);
        at(&mut bars, 99 * MS, 15 * MS, 1);
        assert_eq!(bars.close_due(20 * MS).map(|bar| bar.ts_open), Some(10 * MS));
    }

    #[test]
    fn bars_of_trades_and_of_volume_close_with_the_trade_that_completes_them() {
        let mut counted = bars(BarKind::Trades, 2, 0);
        assert!(at(&mut counted, 5, 9, 1).is_empty());
        let bar = at(&mut counted, 6, 10, 2)[0];
        assert_eq!((bar.trades, bar.ts_open, bar.ts_close, bar.ts_recv, bar.close), (2, 5, 6, 10, 2));
        let mut volume = bars(BarKind::Volume, 3, 0);
        assert!(at(&mut volume, 5, 9, 1).is_empty());
        assert_eq!(at(&mut volume, 5, 9, 1).first().map(|bar| bar.volume), Some(4), "the rest of its last trade stays");
    }

    #[test]
    fn another_module_goes_on_with_the_bars_that_it_has_in_common() {
        let wanted = |every| BarSeries { instrument_id: 7, kind: BarKind::Trades, every, grace: 0 };
        let mut before = Bars::new(&[wanted(2), wanted(3)], &instruments()).unwrap();
        for place in 0..2 {
            assert_eq!(before.take(place, &head(1), &trade(9, 1, Aggressor::None), 1), None);
        }
        let mut after = Bars::new(&[wanted(4), wanted(2)], &instruments()).unwrap();
        after.go_on_from(before);
        assert_eq!(after.take(0, &head(2), &trade(8, 1, Aggressor::None), 2), None);
        let bar = after.take(1, &head(2), &trade(8, 1, Aggressor::None), 2).unwrap();
        assert_eq!((bar.series, bar.open, bar.trades, bar.buy_volume), (1, 9, 2, 0));
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_its_place() {
        let series = |instrument_id, kind, every, grace| BarSeries { instrument_id, kind, every, grace };
        for (series, why) in [
            (series(8, BarKind::Trades, 1, 0), "not declared"),
            (series(7, BarKind::Volume, 0, 0), "is 0"),
            (series(7, BarKind::Time, MS - 1, 0), "the least"),
            (series(7, BarKind::Time, MS, MS + 1), "longer than a bar"),
            (series(7, BarKind::Trades, 1, 1), "only time bars"),
        ] {
            let fine = self::series_of(BarKind::Time);
            let error = Bars::new(&[fine, series], &instruments()).unwrap_err();
            assert!(error.starts_with("bars[1]: ") && error.contains(why), "{error}");
        }
        assert!(Bars::new(&[series_of(BarKind::Trades); 17], &instruments()).unwrap_err().contains("17"));
    }

    fn series_of(kind: BarKind) -> BarSeries {
        BarSeries { instrument_id: 7, kind, every: MS, grace: 0 }
    }
}
