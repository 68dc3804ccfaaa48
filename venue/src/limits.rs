//! Every limit of the simulated venue, and why it is what it is.

/// Orders that work at once: sixteen strategies with as many as the runtime lets one have.
pub const ORDERS_MAX: usize = 1 << 16;
const _: () = assert!(ORDERS_MAX >= 16 * pinion_runtime::limits::OPEN_ORDERS_MAX);

/// Messages on their way to the venue. With a second of latency, as many as the quickest strategy may send in it.
pub const MESSAGES_MAX: usize = 1 << 20;

/// Ids of orders that have ended and are remembered, so that a message that comes twice, after a restart, is recognised.
pub const ENDED_MAX: usize = 1 << 16;

/// Levels of one side that remember what we took from them: as many as a book has.
pub const TAKEN_LEVELS_MAX: usize = pinion_runtime::limits::BOOK_LEVELS_MAX;

/// Longest latency, one way: beyond a minute it is an outage, which this model knows nothing of.
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Largest fee or rebate in basis points: a tenth of the notional. More is a slip of the pen.
pub const FEE_BPS_MAX: u32 = 1_000;
