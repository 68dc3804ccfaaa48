//! What a strategy can do and ask.

use crate::{BookSide, Instrument, Level, Position, Price, Side, Size};

/// The host's side of the contract. What a callback asks for takes effect when it returns; a callback that panics has asked for
/// nothing.
pub trait Host {
    /// Asks for a new order and returns its id, never 0. A denial comes as `on_order` before the next event.
    fn submit(&mut self, order: &NewOrder) -> u64;
    /// Asks to change a working order's price and whole size.
    fn modify(&mut self, order_id: u64, price: Price, size: Size);
    /// Asks to cancel an order.
    fn cancel(&mut self, order_id: u64);
    /// Asks to cancel every working order of this instance.
    fn cancel_all(&mut self);
    /// Asks for one `on_timer` when the stream clock reaches `at` (ns since 1970); 0 clears it.
    fn set_timer(&mut self, timer_id: u64, at: u64);
    /// The stream clock, ns since 1970; constant inside a callback.
    fn now(&self) -> u64;
    /// What is known of an instrument. Allocates for its symbol; keep what [`crate::Strategy::new`] is given instead.
    fn instrument(&self, id: u64) -> Option<Instrument>;
    /// This instance's position in an instrument.
    fn position(&self, instrument_id: u64) -> Position;
    /// The level at `depth` of the host's book; 0 is the best.
    fn book_level(&self, instrument_id: u64, side: BookSide, depth: u32) -> Option<Level>;
    /// Sets a gauge of this strategy's own. At most 16 names.
    fn metric_set(&mut self, name: &str, value: f64);
    /// Writes a log line, rate limited.
    fn log(&mut self, level: LogLevel, message: &str);
}

/// Level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// At its price or better, or at any price inside the risk collar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum OrderType {
    Limit,
    Market,
}

/// How long an order lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeInForce {
    /// Until cancelled.
    Gtc,
    /// Takes what it can at once.
    Ioc,
    /// All at once or nothing.
    Fok,
    /// Refused where it would take.
    PostOnly,
}

/// An order as a strategy asks for it: `NewOrder::limit(..)`, then what differs from a plain order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct NewOrder {
    pub instrument_id: u64,
    pub side: Side,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
    pub price: Price,
    pub size: Size,
    /// The strategy's own mark; comes back in `on_order` and `on_fill`.
    pub tag: u64,
}

impl NewOrder {
    /// A limit order, good till cancelled.
    #[inline]
    pub const fn limit(instrument_id: u64, side: Side, price: Price, size: Size) -> Self {
        Self { instrument_id, side, order_type: OrderType::Limit, time_in_force: TimeInForce::Gtc, price, size, tag: 0 }
    }

    /// A market order; what it cannot take at once is gone.
    #[inline]
    pub const fn market(instrument_id: u64, side: Side, size: Size) -> Self {
        Self {
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Ioc,
            ..Self::limit(instrument_id, side, Price(0), size)
        }
    }

    /// With this time in force.
    #[inline]
    pub const fn time_in_force(self, time_in_force: TimeInForce) -> Self {
        Self { time_in_force, ..self }
    }

    /// With this mark.
    #[inline]
    pub const fn tag(self, tag: u64) -> Self {
        Self { tag, ..self }
    }
}
