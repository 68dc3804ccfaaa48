//! What goes to the venue and what comes back.

use pinion_runtime::effects::{OrderType, TimeInForce};
use pinion_runtime::event::{Body, Event, Execution, FLAG_LAST, Head, Origin, Side, Stamp};
use pinion_runtime::risk::OrderKind;
use pinion_spec::ids::ClientOrderId;

/// An order message as the runtime approved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Which order.
    pub id: ClientOrderId,
    /// New, modify, cancel.
    pub kind: OrderKind,
    /// Which instrument.
    pub instrument_id: u64,
    /// Its side.
    pub side: Side,
    /// Limit or market.
    pub order_type: OrderType,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// At 1e-9; of a market order the worst price that it may have.
    pub price: i64,
    /// The whole size at the instrument's exponent, filled part included.
    pub size: i64,
    /// Stream time of the decision, ns.
    pub ts: u64,
}

/// Why the venue refused a message. A refused new order has ended; a refused modify or cancel leaves the order as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// A post-only order that would take, or a modify that would make it.
    WouldTake,
    /// No such order works: it has ended before the message came, or never was.
    UnknownOrder,
    /// The instrument is not traded here.
    UnknownInstrument,
    /// No price, no size, or not more than what has filled.
    Invalid,
    /// Its fee would not fit the books.
    Overflow,
    /// [`crate::limits::ORDERS_MAX`] orders work already, or [`crate::limits::MESSAGES_MAX`] messages are on their way.
    Full,
    /// The venue has ended, or was not there when it came.
    Closed,
}

impl Refusal {
    /// The name in results.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::WouldTake => "would_take",
            Self::UnknownOrder => "unknown_order",
            Self::UnknownInstrument => "unknown_instrument",
            Self::Invalid => "invalid",
            Self::Overflow => "overflow",
            Self::Full => "full",
            Self::Closed => "closed",
        }
    }
}

/// What the venue reports of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Which instrument.
    pub instrument_id: u64,
    /// When it happened at the venue, stream time.
    pub ts_event: u64,
    /// When the strategy learns of it, stream time.
    pub ts_recv: u64,
    /// The report's own number, from 1, rising.
    pub sequence: u64,
    /// What happened.
    pub execution: Execution,
    /// Why, where it was refused.
    pub refusal: Option<Refusal>,
}

impl Report {
    /// The report as a record of an execution topic.
    #[must_use]
    pub const fn event(&self, publisher_id: u32, origin: Origin) -> Event {
        let head = Head {
            instrument_id: self.instrument_id,
            publisher_id,
            flags: FLAG_LAST,
            ts_event: self.ts_event,
            ts_recv: self.ts_recv,
            sequence: self.sequence,
        };
        Event { head, body: Body::Execution(self.execution), origin, stamp: Stamp { polled_ns: 0, routed_ns: 0 } }
    }
}
