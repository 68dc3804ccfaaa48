//! What the callbacks are given; see `wit/strategy.wit` for units and meanings.

use crate::{Price, Size};

/// What all market events begin with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Which instrument.
    pub instrument_id: u64,
    /// Whose feed.
    pub publisher_id: u32,
    /// Bit 7: the last event of its record; bit 5: part of a snapshot.
    pub flags: u32,
    /// The venue's time, ns since 1970; 0 where it is not known.
    pub ts_event: u64,
    /// When it was captured, ns since 1970.
    pub ts_recv: u64,
    /// The venue's own sequence number, 0 where it has none.
    pub sequence: u64,
}

/// Best bid and ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Quote {
    pub head: Head,
    pub bid_price: Price,
    pub bid_size: Size,
    pub ask_price: Price,
    pub ask_size: Size,
    pub bid_count: u32,
    pub ask_count: u32,
}

/// One trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Trade {
    pub head: Head,
    pub price: Price,
    pub size: Size,
    pub trade_id: u64,
    pub aggressor: Aggressor,
}

/// One level of a depth update, after the host's book has taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct BookDelta {
    pub head: Head,
    pub price: Price,
    pub size: Size,
    pub count: u32,
    pub action: BookAction,
    /// `None` only with [`BookAction::Clear`].
    pub side: Option<BookSide>,
}

/// The host's book after a whole depth update; deeper levels by [`crate::Host::book_level`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Book {
    pub head: Head,
    pub bid_price: Price,
    pub bid_size: Size,
    pub ask_price: Price,
    pub ask_size: Size,
    pub bid_levels: u32,
    pub ask_levels: u32,
}

/// The venue's sequence broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Gap {
    pub instrument_id: u64,
    pub publisher_id: u32,
    pub ts_event: u64,
    pub ts_recv: u64,
    /// The sequence that should have come; the venue's checksum of the book where it has no sequence.
    pub expected: u64,
    /// The one that came; the host's checksum.
    pub received: u64,
}

/// What the venue lets be done with an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Status {
    pub head: Head,
    pub state: MarketState,
}

/// Bars that a strategy wants of one of its declared instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarSeries {
    /// Which instrument.
    pub instrument_id: u64,
    /// What closes a bar.
    pub kind: BarKind,
    /// Nanoseconds, trades, or a size.
    pub every: u64,
    /// How long after its boundary a time bar takes trades from before it, ns.
    pub grace: u64,
}

impl BarSeries {
    /// Bars of `every` ns, from the epoch on.
    #[must_use]
    pub const fn time(instrument_id: u64, every: u64) -> Self {
        Self { instrument_id, kind: BarKind::Time, every, grace: 0 }
    }

    /// With a grace of so many ns.
    #[must_use]
    pub const fn grace(self, grace: u64) -> Self {
        Self { grace, ..self }
    }

    /// Bars of so many trades.
    #[must_use]
    pub const fn trades(instrument_id: u64, every: u64) -> Self {
        Self { instrument_id, kind: BarKind::Trades, every, grace: 0 }
    }

    /// Bars of so much volume.
    #[must_use]
    pub const fn volume(instrument_id: u64, every: Size) -> Self {
        Self { instrument_id, kind: BarKind::Volume, every: every.0.unsigned_abs(), grace: 0 }
    }
}

/// A bar of trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Bar {
    pub instrument_id: u64,
    pub publisher_id: u32,
    /// Position in [`crate::Strategy::bars`].
    pub series: u32,
    pub trades: u32,
    /// Trades since the last bar that are in none.
    pub late: u32,
    pub ts_open: u64,
    pub ts_close: u64,
    /// The stream clock when it was closed.
    pub ts_recv: u64,
    pub open: Price,
    pub high: Price,
    pub low: Price,
    pub close: Price,
    pub volume: Size,
    /// Of it, what buyers took.
    pub buy_volume: Size,
}

/// What one module leaves to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Of the data's own schema.
    pub version: u32,
    /// At most 1 MiB.
    pub data: Vec<u8>,
}

/// A change in one of this strategy's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct OrderUpdate {
    pub order_id: u64,
    pub tag: u64,
    pub instrument_id: u64,
    pub ts_event: u64,
    pub ts_recv: u64,
    pub status: OrderStatus,
    /// Why the host denied it; [`DenyReason::None`] otherwise.
    pub reason: DenyReason,
    pub price: Price,
    /// Still working.
    pub leaves: Size,
    pub filled: Size,
}

/// An execution of one of this strategy's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Fill {
    pub order_id: u64,
    pub tag: u64,
    pub instrument_id: u64,
    pub ts_event: u64,
    pub ts_recv: u64,
    pub side: Side,
    pub price: Price,
    pub size: Size,
    /// Still working after this fill.
    pub leaves: Size,
    /// Paid, at 1e-9 of the quote currency; negative for a rebate.
    pub fee: i64,
    pub liquidity: Liquidity,
}

/// One tradable thing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Instrument {
    pub id: u64,
    pub publisher_id: u32,
    /// Prices are multiples of it.
    pub tick: Price,
    /// Sizes are multiples of it.
    pub lot: Size,
    pub size_exponent: i32,
    pub symbol: String,
    /// Whose feed carries it, as in the strategy file.
    pub publisher: String,
}

/// The instance's own position, kept by the host from executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bought minus sold.
    pub net: Size,
    /// Sizes of working buy orders.
    pub working_buy: Size,
    /// Sizes of working sell orders.
    pub working_sell: Size,
    /// What `net` was bought or sold at on average; undefined where it is nothing.
    pub average_price: Price,
    /// Gained by what was closed, before fees, at 1e-9 of the quote currency. `None` here and below where it is not known: without an
    /// input of executions.
    pub realized: Option<i64>,
    /// What closing it at the best bid or ask would gain now; `None` also where there is none.
    pub unrealized: Option<i64>,
    /// Fees paid.
    pub fees: Option<i64>,
}

impl Default for Position {
    /// A flat one.
    fn default() -> Self {
        Self {
            net: Size::ZERO,
            working_buy: Size::ZERO,
            working_sell: Size::ZERO,
            average_price: Price::UNDEFINED,
            realized: Some(0),
            unrealized: Some(0),
            fees: Some(0),
        }
    }
}

/// One price level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Level {
    pub price: Price,
    pub size: Size,
    pub count: u32,
}

/// An enum of the contract, in the contract's order, and its making from the contract's number.
macro_rules! contract_enum {
    ($(#[$doc:meta])* $name:ident { $($case:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the contract's own words")]
        pub enum $name { $($case),* }

        impl $name {
            /// Every case, in the contract's order.
            pub const ALL: &[Self] = &[$(Self::$case),*];
        }
    };
}

contract_enum!(
    /// Side of an order.
    Side { Buy, Sell }
);
contract_enum!(
    /// Who took, in a trade; `None` where the venue does not say.
    Aggressor { None, Buyer, Seller }
);
contract_enum!(
    /// Side of a book.
    BookSide { Bid, Ask }
);
contract_enum!(
    /// What a delta does to its level, or to the whole book.
    BookAction { Set, Clear }
);
contract_enum!(
    /// What the venue lets be done with an instrument.
    MarketState { Unknown, Closed, PreOpen, Auction, Trading, Paused, Halted }
);
contract_enum!(
    /// What closes a bar.
    BarKind { Time, Trades, Volume }
);
contract_enum!(
    /// Where an order stands.
    OrderStatus { Denied, Accepted, Rejected, Replaced, Cancelled, Expired, PartFilled, Filled }
);
contract_enum!(
    /// Why the host denied an intent.
    DenyReason {
        None, InvalidPrice, InvalidSize, InvalidTick, InvalidLot, UnknownInstrument, InstrumentNotAllowed, MaxOrderSize,
        MaxOrderNotional, PriceCollar, NoReferencePrice, MessageRate, MaxOpenOrders, MaxPosition, DuplicateOrder,
        UnknownOrder, StaleBook, CrossedBook, GappedBook, TradingStateReducing, TradingStateHalted, KillSwitch, SelfMatch,
        Overflow,
    }
);
contract_enum!(
    /// Whether a fill added or removed liquidity.
    Liquidity { Unknown, Maker, Taker }
);
contract_enum!(
    /// What a strategy is allowed to do.
    TradingState { Active, Reducing, Halted }
);

impl Side {
    /// The other one.
    #[must_use]
    #[inline]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}
