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
}

/// The strategy's own position, kept by the host from executions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Bought minus sold.
    pub net: Size,
    /// Sizes of working buy orders.
    pub working_buy: Size,
    /// Sizes of working sell orders.
    pub working_sell: Size,
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
