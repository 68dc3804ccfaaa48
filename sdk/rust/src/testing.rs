//! A host for a strategy's own unit tests.

use std::collections::BTreeMap;

use crate::{BookSide, Host, Instrument, Level, LogLevel, NewOrder, Position, Price, Size};

/// One thing that a strategy asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Asked {
    Submit { order_id: u64, order: NewOrder },
    Modify { order_id: u64, price: Price, size: Size },
    Cancel { order_id: u64 },
    CancelAll,
    SetTimer { timer_id: u64, at: u64 },
}

/// Records what a strategy asks for and answers from what the test has put in. It checks nothing and fills nothing.
#[derive(Debug, Default)]
pub struct Recorder {
    /// What was asked for, oldest first.
    pub asked: Vec<Asked>,
    /// The stream clock.
    pub now: u64,
    /// Positions by instrument.
    pub positions: BTreeMap<u64, Position>,
    /// Levels of the one book that there is, best first.
    pub bids: Vec<Level>,
    /// As `bids`.
    pub asks: Vec<Level>,
    /// Log lines.
    pub logs: Vec<String>,
    /// Gauges as they were last set.
    pub gauges: BTreeMap<String, f64>,
    next_order_id: u64,
}

impl Recorder {
    /// What was asked for since the last time.
    pub fn take(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.asked)
    }
}

impl Host for Recorder {
    fn submit(&mut self, order: &NewOrder) -> u64 {
        self.next_order_id += 1;
        self.asked.push(Asked::Submit { order_id: self.next_order_id, order: *order });
        self.next_order_id
    }

    fn modify(&mut self, order_id: u64, price: Price, size: Size) {
        self.asked.push(Asked::Modify { order_id, price, size });
    }

    fn cancel(&mut self, order_id: u64) {
        self.asked.push(Asked::Cancel { order_id });
    }

    fn cancel_all(&mut self) {
        self.asked.push(Asked::CancelAll);
    }

    fn set_timer(&mut self, timer_id: u64, at: u64) {
        self.asked.push(Asked::SetTimer { timer_id, at });
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn instrument(&self, _id: u64) -> Option<Instrument> {
        None
    }

    fn position(&self, instrument_id: u64) -> Position {
        self.positions.get(&instrument_id).copied().unwrap_or_default()
    }

    fn book_level(&self, _instrument_id: u64, side: BookSide, depth: u32) -> Option<Level> {
        let levels = match side {
            BookSide::Bid => &self.bids,
            BookSide::Ask => &self.asks,
        };
        levels.get(usize::try_from(depth).ok()?).copied()
    }

    fn metric_set(&mut self, name: &str, value: f64) {
        self.gauges.insert(name.to_owned(), value);
    }

    fn log(&mut self, _level: LogLevel, message: &str) {
        self.logs.push(message.to_owned());
    }
}
