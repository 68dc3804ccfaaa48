//! What the imports of the contract do, the same behind both lanes: plain functions over plain state.
//!
//! The lanes only carry arguments across the boundary and check guest memory; the values that arrive here are typed. Nothing
//! here allocates, except in an instance's first moments.

use std::sync::Arc;

use super::Fault;
use super::fault::cut;
use super::gauges::Gauges;
use super::log::{LogBuffer, LogLevel};
use crate::book::{BookState, Books, Level, Reference};
use crate::effects::{Effects, Flood, Intent, NewOrder};
use crate::event::{BookSide, PRICE_UNDEFINED, order_id};
use crate::instruments::{Instrument, Instruments};
use crate::limits::{FAULT_DETAIL_BYTES_MAX, LOG_MESSAGE_BYTES_MAX, RECORD_INTENTS_MAX};
use crate::risk::{Ledger, Position};

/// Of a guest's own words for its fault; the rest of the text is the trap's.
const LAST_WORDS_BYTES_MAX: usize = FAULT_DETAIL_BYTES_MAX / 4 * 3;
const _: () = assert!(LAST_WORDS_BYTES_MAX > LOG_MESSAGE_BYTES_MAX);

/// What a [`Host`] is made from.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// What the strategy file says of instruments.
    pub instruments: Arc<Instruments>,
    /// Intents of one callback; cut to [`crate::limits::CALL_INTENTS_MAX`].
    pub intents_per_call: usize,
    /// Log bytes in a second of stream time.
    pub log_bytes_per_second: u32,
}

/// The state of one instance that its guest can reach.
#[derive(Debug)]
pub struct Host {
    /// What the running callback asked for.
    pub effects: Effects,
    /// The stream clock.
    pub now: u64,
    /// When the running callback was begun, by [`crate::stopwatch`]; 0 where its caller does not say, and then it is stopped a period later.
    /// For its CPU budget alone: no guest sees it.
    pub began_ns: u64,
    /// Index of the presented record's partition among the instance's inputs.
    pub source: u8,
    /// Offset of the presented record.
    pub offset: u64,
    /// Orders submitted because of that record so far; the worker sets it to 0 with each record.
    pub record_orders: u32,
    /// What the strategy file says of instruments.
    pub instruments: Arc<Instruments>,
    /// The feed's books: lent by the worker for the length of a call.
    pub books: Option<Box<Books>>,
    /// Working orders and positions; the risk check's own record.
    pub ledger: Ledger,
    /// The strategy's own gauges.
    pub gauges: Gauges,
    /// Log lines on their way to the admin thread.
    pub log: LogBuffer,
    /// [`Host::record_orders`] when the running callback began.
    record_orders_before: u32,
    /// What the running callback has logged as errors; the end of it.
    last_words: String,
}

impl Host {
    /// The state of a new instance: no position, no working order, clock at 0.
    #[must_use]
    pub fn new(config: HostConfig) -> Self {
        Self {
            effects: Effects::new(config.intents_per_call),
            now: 0,
            began_ns: 0,
            source: 0,
            offset: 0,
            record_orders: 0,
            instruments: config.instruments,
            books: None,
            ledger: Ledger::default(),
            gauges: Gauges::default(),
            log: LogBuffer::new(config.log_bytes_per_second),
            record_orders_before: 0,
            last_words: String::with_capacity(LAST_WORDS_BYTES_MAX),
        }
    }

    /// A callback begins.
    #[inline]
    pub fn begin(&mut self) {
        self.record_orders_before = self.record_orders;
        self.last_words.clear();
    }

    /// The callback returned: its gauges take effect; its intents are the worker's to take.
    #[inline]
    pub fn commit(&mut self) {
        self.gauges.commit();
    }

    /// A call that may ask for nothing returned (`on-init`, `on-save`, `on-load`): what it asked for is dropped.
    pub fn commit_nothing(&mut self) {
        self.effects.discard();
        self.record_orders = self.record_orders_before;
        self.gauges.commit();
    }

    /// The callback ended in a fault: it has asked for nothing. Log lines stay, they tell what led there.
    pub fn discard(&mut self) {
        self.effects.discard();
        self.gauges.discard();
        // How far a runaway callback came differs from run to run; the ids of what follows must not.
        self.record_orders = self.record_orders_before;
    }

    /// A fault with the guest's own words for it first: what it logged as errors in the callback that ended so. An engine inside of the
    /// guest that catches an exception has no other way to say what and where it was.
    #[cold]
    pub(super) fn explain(&mut self, mut fault: Fault) -> Fault {
        if !self.last_words.is_empty() {
            fault.detail.insert_str(0, &self.last_words);
            cut(&mut fault.detail, FAULT_DETAIL_BYTES_MAX);
        }
        self.last_words.clear();
        fault
    }

    /// `submit`.
    ///
    /// # Errors
    /// [`Flood`] over the budget of the callback or of the record ([`RECORD_INTENTS_MAX`]).
    #[inline]
    pub fn submit(&mut self, order: NewOrder) -> Result<u64, Flood> {
        if self.record_orders >= RECORD_INTENTS_MAX {
            return Err(Flood);
        }
        let order_id = order_id(self.source, self.offset, self.record_orders);
        self.effects.push(Intent::Submit { order_id, order })?;
        self.record_orders += 1;
        Ok(order_id)
    }

    /// `modify`.
    ///
    /// # Errors
    /// [`Flood`] over the budget of the callback.
    #[inline]
    pub fn modify(&mut self, order_id: u64, price: i64, size: i64) -> Result<(), Flood> {
        self.effects.push(Intent::Modify { order_id, price, size })
    }

    /// `cancel`.
    ///
    /// # Errors
    /// [`Flood`] over the budget of the callback.
    #[inline]
    pub fn cancel(&mut self, order_id: u64) -> Result<(), Flood> {
        self.effects.push(Intent::Cancel { order_id })
    }

    /// `cancel-all`.
    ///
    /// # Errors
    /// [`Flood`] over the budget of the callback.
    #[inline]
    pub fn cancel_all(&mut self) -> Result<(), Flood> {
        self.effects.push(Intent::CancelAll)
    }

    /// `set-timer`.
    ///
    /// # Errors
    /// [`Flood`] over the budget of the callback.
    #[inline]
    pub fn set_timer(&mut self, timer_id: u64, at: u64) -> Result<(), Flood> {
        self.effects.push(Intent::SetTimer { timer_id, at })
    }

    /// `instrument`.
    #[must_use]
    pub fn instrument(&self, id: u64) -> Option<&Instrument> {
        self.instruments.get(id)
    }

    /// The declared instruments by ascending id: what `on-init` is given, in the same order on every run.
    #[must_use]
    pub fn instruments_in_order(&self) -> Vec<&Instrument> {
        let mut instruments: Vec<_> = self.instruments.iter().collect();
        instruments.sort_unstable_by_key(|instrument| instrument.id);
        instruments
    }

    /// `position`.
    #[must_use]
    #[inline]
    pub fn position(&self, instrument_id: u64) -> Position {
        self.ledger.position(instrument_id, &self.market(instrument_id))
    }

    /// The market that positions are valued at. Outside of a call that lends the books there is none.
    fn market(&self, instrument_id: u64) -> Reference {
        let none = Reference { bid: PRICE_UNDEFINED, ask: PRICE_UNDEFINED, ts_recv: 0, state: BookState::Empty };
        self.books.as_ref().map_or(none, |books| books.reference(instrument_id))
    }

    /// `book-level`. Outside a call on market data there are no books, and no level.
    #[must_use]
    #[inline]
    pub fn book_level(&self, instrument_id: u64, side: BookSide, depth: u32) -> Option<Level> {
        self.books.as_ref()?.level(instrument_id, side, depth)
    }

    /// `metric-set`. A name over the limits is counted in [`Gauges::refused`] and dropped.
    pub fn metric_set(&mut self, name: &str, value: f64) {
        self.gauges.set(name, value);
    }

    /// `log`.
    pub fn log(&mut self, level: LogLevel, message: &str) {
        self.log.push(self.now, level, message);
        if level == LogLevel::Error {
            self.remember(message);
        }
    }

    fn remember(&mut self, message: &str) {
        let message = &message[..message.floor_char_boundary(LOG_MESSAGE_BYTES_MAX)];
        let over = (self.last_words.len() + message.len() + 1).saturating_sub(LAST_WORDS_BYTES_MAX);
        self.last_words.drain(..self.last_words.ceil_char_boundary(over));
        self.last_words.push_str(message);
        self.last_words.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{OrderType, TimeInForce};
    use crate::event::Side;

    fn host(intents_per_call: usize) -> Host {
        Host::new(HostConfig { instruments: Arc::default(), intents_per_call, log_bytes_per_second: 1_000 })
    }

    const ORDER: NewOrder = NewOrder {
        instrument_id: 1,
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        price: 1,
        size: 1,
        tag: 0,
    };

    #[test]
    fn a_discarded_callback_has_asked_for_nothing_and_used_no_order_id() {
        let mut host = host(8);
        host.begin();
        let first = host.submit(ORDER).unwrap();
        host.commit();
        host.begin();
        let lost = host.submit(ORDER).unwrap();
        host.metric_set("g", 1.0);
        host.discard();
        assert!(host.effects.is_empty());
        assert_eq!(host.gauges.iter().count(), 0);
        host.begin();
        assert_eq!(host.submit(ORDER), Ok(lost));
        assert_ne!(first, lost);
    }

    #[test]
    fn one_order_more_than_a_record_may_cause_is_a_flood() {
        let mut host = host(2);
        host.record_orders = RECORD_INTENTS_MAX - 1;
        host.begin();
        assert!(host.submit(ORDER).is_ok());
        assert_eq!(host.submit(ORDER), Err(Flood));
    }
}
