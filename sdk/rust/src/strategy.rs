//! What a strategy is.

use crate::{
    Bar, BarSeries, Book, BookDelta, Fill, Gap, Host, Instrument, OrderUpdate, Params, Position, Quote, Saved, Status,
    Trade, TradingState,
};

/// The callbacks that a strategy wants; those it leaves out cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callbacks(u16);

impl Callbacks {
    /// [`Strategy::on_quote`]
    pub const QUOTE: Self = Self(1 << 0);
    /// [`Strategy::on_trade`]
    pub const TRADE: Self = Self(1 << 1);
    /// [`Strategy::on_book_delta`]
    pub const BOOK_DELTA: Self = Self(1 << 2);
    /// [`Strategy::on_book`]
    pub const BOOK: Self = Self(1 << 3);
    /// [`Strategy::on_gap`] and [`Strategy::on_recovered`]
    pub const GAP: Self = Self(1 << 4);
    /// [`Strategy::on_timer`]
    pub const TIMER: Self = Self(1 << 5);
    /// [`Strategy::on_order`]
    pub const ORDER: Self = Self(1 << 6);
    /// [`Strategy::on_fill`]
    pub const FILL: Self = Self(1 << 7);
    /// [`Strategy::on_trading_state`]
    pub const TRADING_STATE: Self = Self(1 << 8);
    /// [`Strategy::on_status`]
    pub const STATUS: Self = Self(1 << 9);
    /// [`Strategy::on_position`]
    pub const POSITION: Self = Self(1 << 10);
    /// [`Strategy::on_save`] and [`Strategy::on_load`]
    pub const STATE: Self = Self(1 << 11);

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The contract's bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

/// A strategy. Callbacks that it does not write do nothing; name in [`Strategy::WANTS`] those that it does.
pub trait Strategy: Sized + 'static {
    /// The callbacks that it wants.
    const WANTS: Callbacks;

    /// Makes it from the strategy file's `params` and `instruments` (ordered by id).
    ///
    /// # Errors
    /// Why it cannot run; the host shows it to whoever started it.
    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String>;

    /// The bars that it wants [`Strategy::on_bar`] for, once it is made; their order is [`Bar::series`].
    fn bars(&self) -> Vec<BarSeries> {
        Vec::new()
    }

    /// Events are about to come.
    fn on_start(&mut self, _host: &mut impl Host) {}
    /// Best bid and ask changed.
    fn on_quote(&mut self, _host: &mut impl Host, _quote: &Quote) {}
    /// A trade.
    fn on_trade(&mut self, _host: &mut impl Host, _trade: &Trade) {}
    /// One level of a depth update.
    fn on_book_delta(&mut self, _host: &mut impl Host, _delta: &BookDelta) {}
    /// A depth update is complete.
    fn on_book(&mut self, _host: &mut impl Host, _book: &Book) {}
    /// The venue's sequence broke: the book is not to be trusted, orders on the instrument are denied.
    fn on_gap(&mut self, _host: &mut impl Host, _gap: &Gap) {}
    /// The book is whole again.
    fn on_recovered(&mut self, _host: &mut impl Host, _instrument_id: u64, _sequence: u64) {}
    /// The venue said what may be done with an instrument.
    fn on_status(&mut self, _host: &mut impl Host, _status: &Status) {}
    /// A bar is closed.
    fn on_bar(&mut self, _host: &mut impl Host, _bar: &Bar) {}
    /// A timer's time has come.
    fn on_timer(&mut self, _host: &mut impl Host, _timer_id: u64, _at: u64) {}
    /// One of its orders changed.
    fn on_order(&mut self, _host: &mut impl Host, _update: &OrderUpdate) {}
    /// One of its orders traded.
    fn on_fill(&mut self, _host: &mut impl Host, _fill: &Fill) {}
    /// A fill changed a position; after the `on_order` of the same execution.
    fn on_position(&mut self, _host: &mut impl Host, _instrument_id: u64, _position: &Position) {}
    /// What it may do changed.
    fn on_trading_state(&mut self, _host: &mut impl Host, _state: TradingState) {}
    /// Another module is about to take its place: what that one is to be given. This one may yet go on.
    fn on_save(&self) -> Saved {
        Saved::default()
    }
    /// What the module before saved; before `on_start`.
    ///
    /// # Errors
    /// Why it cannot be loaded: the module before stays in its place.
    fn on_load(&mut self, saved: Saved) -> Result<(), String> {
        Err(format!("this strategy loads no state, and version {} was saved", saved.version))
    }
    /// No more events; orders asked for here are still checked and sent.
    fn on_stop(&mut self, _host: &mut impl Host) {}
}
