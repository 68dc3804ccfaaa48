//! What flows: one decoded market record, or one execution, with where it came from and when it passed which stage.
//!
//! An [`Event`] is plain data, `Copy`, of fixed size: it crosses a ring by value and nothing on the worker allocates for it.

use crate::limits::{ORDER_N_BITS, ORDER_OFFSET_BITS, RECORD_INTENTS_MAX};

/// A price that is not known (an empty side of the book).
pub const PRICE_UNDEFINED: i64 = i64::MAX;

/// `flags`: the last event of its record.
pub const FLAG_LAST: u32 = 1 << 7;
/// `flags`: part of a snapshot.
pub const FLAG_SNAPSHOT: u32 = 1 << 5;

/// The part that all market events share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Which instrument; see [`pinion_spec::ids::instrument_id`].
    pub instrument_id: u64,
    /// Whose feed.
    pub publisher_id: u32,
    /// [`FLAG_LAST`], [`FLAG_SNAPSHOT`].
    pub flags: u32,
    /// The venue's time, wall ns; 0 where the record has none.
    pub ts_event: u64,
    /// When it was captured, wall ns: the record's own, else Kafka's.
    pub ts_recv: u64,
    /// The venue's sequence, 0 where it has none.
    pub sequence: u64,
}

/// Best bid and ask. Prices at 1e-9, sizes at the instrument's exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Best bid, [`PRICE_UNDEFINED`] where there is none.
    pub bid_price: i64,
    /// Size at the best bid, 0 where there is none or the venue does not say.
    pub bid_size: i64,
    /// Best ask, [`PRICE_UNDEFINED`] where there is none.
    pub ask_price: i64,
    /// Size at the best ask, 0 where there is none or the venue does not say.
    pub ask_size: i64,
    /// Orders at the best bid, 0 where the venue does not say.
    pub bid_count: u32,
    /// Orders at the best ask, 0 where the venue does not say.
    pub ask_count: u32,
}

/// Who took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Aggressor {
    /// The venue does not say.
    #[default]
    None = 0,
    /// A buyer took an offer.
    Buyer = 1,
    /// A seller hit a bid.
    Seller = 2,
}

/// One trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// Price at 1e-9.
    pub price: i64,
    /// Size at the instrument's exponent.
    pub size: i64,
    /// The venue's trade id, 0 where it has none.
    pub trade_id: u64,
    /// Who took.
    pub aggressor: Aggressor,
}

/// Side of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BookSide {
    /// Buyers.
    Bid = 1,
    /// Sellers.
    Ask = 2,
}

/// The start of a depth update: its `levels` [`Delta`]s follow, the last with [`FLAG_LAST`]; `head.sequence` is its last sequence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// First sequence that the update covers.
    pub first: u64,
    /// The sequence that must have come just before, by the venue's own rule (Binance futures: `pu`; spot: `U` - 1).
    pub follows: u64,
    /// How many deltas follow.
    pub levels: u32,
    /// The whole book rather than a change of it. `first` and `follows` mean nothing then.
    pub snapshot: bool,
    /// Levels a side that the venue tells of: it says no more of one that better ones push beyond. 0: of all.
    pub keeps: u32,
    /// What the book must amount to after the update, where the venue says so.
    pub checksum: Option<Checksum>,
}

/// Digits behind the point of a number that a [`Checksum`] covers: more could only be zeros.
pub const CHECKSUM_DIGITS_MAX: i8 = 18;

/// A venue's checksum of a book's best levels: CRC-32 (IEEE) of the ten best asks and then the ten best bids, best first; of each the
/// digits of its price and then of its size as the venue writes them, without point and leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// What it must be.
    pub crc32: u32,
    /// Zeros to put behind a price's digits to have the venue's; negative: to take away. At most [`CHECKSUM_DIGITS_MAX`] either way.
    pub price_shift: i8,
    /// The same of a size.
    pub size_shift: i8,
}

/// One level of a depth update. Size 0 deletes the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// Price at 1e-9.
    pub price: i64,
    /// Size at the instrument's exponent.
    pub size: i64,
    /// Orders at the level, 0 where the venue does not say.
    pub count: u32,
    /// Which side.
    pub side: BookSide,
}

/// Side of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Buy.
    Buy = 0,
    /// Sell.
    Sell = 1,
}

/// What an execution report says of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExecutionKind {
    /// The venue has it.
    Accepted = 1,
    /// The venue refused it.
    Rejected = 2,
    /// Price or size changed as asked.
    Replaced = 3,
    /// Gone, as asked.
    Cancelled = 4,
    /// Gone by itself (the rest of an immediate-or-cancel, end of day).
    Expired = 5,
    /// Some or all of it traded; `leaves` says what still works.
    Filled = 6,
}

/// Whether a fill added or removed liquidity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Liquidity {
    /// The venue does not say.
    #[default]
    Unknown = 0,
    /// Added.
    Maker = 1,
    /// Removed.
    Taker = 2,
}

/// What became of an order, as the venue's gateway reports it. `head.sequence` is the report's own sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Whose order, because of which record.
    pub order: pinion_spec::ids::ClientOrderId,
    /// What happened.
    pub kind: ExecutionKind,
    /// The order's side: a fill moves the position also where the host does not know the order any more.
    pub side: Side,
    /// Fill: whether it made or took.
    pub liquidity: Liquidity,
    /// Price of the fill, or the order's price now; at 1e-9.
    pub price: i64,
    /// Size of the fill, or the order's size now.
    pub size: i64,
    /// Still working.
    pub leaves: i64,
    /// Fee in the quote currency at 1e-9; negative for a rebate.
    pub fee: i64,
}

/// What a venue says of an instrument's market. The host does not act on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum MarketState {
    /// The venue said something that none of the others is.
    #[default]
    Unknown = 0,
    /// No orders are taken, or the day is over.
    Closed = 1,
    /// Orders are taken and not matched yet.
    PreOpen = 2,
    /// Orders are collected for one price.
    Auction = 3,
    /// Orders are matched as they come.
    Trading = 4,
    /// Matching rests for a while, by the venue's rules.
    Paused = 5,
    /// Matching is stopped, until somebody decides.
    Halted = 6,
}

impl MarketState {
    /// Every state, each at the place of its number.
    pub const ALL: [Self; 7] =
        [Self::Unknown, Self::Closed, Self::PreOpen, Self::Auction, Self::Trading, Self::Paused, Self::Halted];
}

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Best bid and ask.
    Quote(Quote),
    /// A trade.
    Trade(Trade),
    /// A depth update begins.
    Depth(Depth),
    /// A level of it.
    Delta(Delta),
    /// What became of an order.
    Execution(Execution),
    /// The state of an instrument's market.
    Status(MarketState),
    /// A record that holds nothing for a strategy (undecodable, or a message kind that no callback takes). It only moves the offset.
    Skip,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// Index of the topic in its feed.
    pub topic: u16,
    /// Kafka partition.
    pub partition: u16,
    /// Kafka offset.
    pub offset: u64,
}

/// When the record passed the stages before the worker, monotonic ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Kafka poll returned the record.
    pub polled_ns: u64,
    /// It was decoded and put into the ring.
    pub routed_ns: u64,
}

/// One event on its way to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Common head.
    pub head: Head,
    /// What it is.
    pub body: Body,
    /// Where its record lies.
    pub origin: Origin,
    /// When it passed.
    pub stamp: Stamp,
}

// Two cache lines: what a ring slot costs, and what a worker reads for each event.
const _: () = assert!(size_of::<Event>() <= 144);

impl Event {
    /// Whether this is the last event of its record.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.head.flags & FLAG_LAST != 0
    }
}

/// The id by which a guest knows an order: exact, not a hash, so no two orders of an instance ever share one, and the
/// same record makes the same ids on every run. Never 0: one is added, and the last source is not used
/// ([`crate::limits::INSTANCE_SOURCES_MAX`]). `source` is the index of the record's partition among the instance's inputs.
#[must_use]
pub const fn order_id(source: u8, offset: u64, n: u32) -> u64 {
    assert!(source < u8::MAX);
    assert!(offset < 1 << ORDER_OFFSET_BITS);
    assert!(n < RECORD_INTENTS_MAX);
    ((source as u64) << (ORDER_OFFSET_BITS + ORDER_N_BITS) | offset << ORDER_N_BITS | n as u64) + 1
}

/// The same for parts that came from outside: `None` where no order of ours can have them.
#[must_use]
pub const fn checked_order_id(source: u8, offset: u64, n: u32) -> Option<u64> {
    if source < u8::MAX && offset < 1 << ORDER_OFFSET_BITS && n < RECORD_INTENTS_MAX {
        Some(order_id(source, offset, n))
    } else {
        None
    }
}

/// The parts of an order id that a guest passed back or we made: source, offset, n.
#[must_use]
pub const fn order_id_parts(order_id: u64) -> (u8, u64, u16) {
    let id = order_id.wrapping_sub(1);
    let n = id & ((1 << ORDER_N_BITS) - 1);
    let offset = (id >> ORDER_N_BITS) & ((1 << ORDER_OFFSET_BITS) - 1);
    ((id >> (ORDER_N_BITS + ORDER_OFFSET_BITS)) as u8, offset, n as u16)
}
