//! The pre-trade check: the only maker of an [`Order`].
//!
//! Promises: an order, a modify or a cancel leaves the host only as an [`Order`], and only [`check`] makes one; what cannot be
//! decided (no market, a market too old, a sum that does not fit) is denied; a cancel of a working order always passes. A
//! check allocates nothing and costs tens of nanoseconds. Modelled on SEC 15c3-5 and MiFID II RTS 6.
//!
//! Decisions that the names do not tell. The collar bounds the aggressive side only: a buy at most so far above the best ask,
//! a sell at most so far below the best bid; a passive price far from the market rests and harms nobody. A market order is
//! measured at the worst price the collar allows, and carries it, so that a gateway can hold to it. A modify is checked like a
//! new order, its position by the difference. A denied message is not sent and does not count in the message rate. A
//! repeated-execution throttle is not here yet: the message rate and the position limit bound what one could do.

mod change;
mod check;
mod ledger;
mod limits;
mod money;
mod orders;
mod reason;
mod throttle;

use crate::effects::{NewOrder, OrderType, TimeInForce};
use crate::event::Side;
use crate::sandbox::{OrderStatus, OrderUpdate};
pub use change::RiskChange;
pub use check::{Context, check};
pub use ledger::{Executions, Ledger, LedgerCounts, Position};
pub use limits::{Limits, LimitsError};
pub use money::AMOUNT_UNDEFINED;
pub use reason::DenyReason;

/// What a guest, or the host in its place, asks of the venue. A `cancel-all` is one `Cancel` for each of
/// [`Ledger::working_id`], from the last to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A new order.
    Submit {
        /// See [`crate::event::order_id`].
        order_id: u64,
        /// What was asked for.
        order: NewOrder,
    },
    /// A working order's new price and whole size, filled part included.
    Modify {
        /// Which order.
        order_id: u64,
        /// New price at 1e-9.
        price: i64,
        /// New whole size.
        size: i64,
    },
    /// A working order's end.
    Cancel {
        /// Which order.
        order_id: u64,
    },
}

impl Request {
    /// Which order.
    #[must_use]
    pub const fn order_id(&self) -> u64 {
        match self {
            Self::Submit { order_id, .. } | Self::Modify { order_id, .. } | Self::Cancel { order_id } => *order_id,
        }
    }
}

/// What an approved order asks of the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// A new order.
    New,
    /// Change price and whole size of the order with this id.
    Modify,
    /// Cancel the order with this id.
    Cancel,
}

/// An approved order. There is no other way to have one than [`check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    kind: OrderKind,
    order_id: u64,
    instrument_id: u64,
    side: Side,
    order_type: OrderType,
    time_in_force: TimeInForce,
    price: i64,
    size: i64,
    tag: u64,
}

impl Order {
    /// What is asked of the venue.
    #[must_use]
    pub const fn kind(&self) -> OrderKind {
        self.kind
    }

    /// The guest's id of the order.
    #[must_use]
    pub const fn order_id(&self) -> u64 {
        self.order_id
    }

    /// Which instrument.
    #[must_use]
    pub const fn instrument_id(&self) -> u64 {
        self.instrument_id
    }

    /// Buy or sell.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Limit or market.
    #[must_use]
    pub const fn order_type(&self) -> OrderType {
        self.order_type
    }

    /// How long it lives.
    #[must_use]
    pub const fn time_in_force(&self) -> TimeInForce {
        self.time_in_force
    }

    /// At 1e-9. Of a market order the worst price that the collar allows; of a cancel the order's own.
    #[must_use]
    pub const fn price(&self) -> i64 {
        self.price
    }

    /// The whole size at the instrument's exponent; of a cancel the order's own.
    #[must_use]
    pub const fn size(&self) -> i64 {
        self.size
    }

    /// The guest's own mark, as given to `submit`.
    #[must_use]
    pub const fn tag(&self) -> u64 {
        self.tag
    }
}

/// A request that was denied: what the guest is told and the audit topic gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: DenyReason,
    /// What was asked for.
    pub request: Request,
    /// Which instrument, 0 where the order is not known.
    pub instrument_id: u64,
    /// As given to `submit`, 0 where the order is not known.
    pub tag: u64,
    /// Of a submit as asked for; else as the order stands, 0 where it is not known.
    pub price: i64,
    /// Still working of the order, as it stands.
    pub leaves: i64,
    /// Filled so far of the order.
    pub filled: i64,
}

impl Denial {
    /// What `on-order` says of it at stream time `now`.
    #[must_use]
    pub const fn update(&self, now: u64) -> OrderUpdate {
        OrderUpdate {
            order_id: self.request.order_id(),
            tag: self.tag,
            instrument_id: self.instrument_id,
            ts_event: 0,
            ts_recv: now,
            status: OrderStatus::Denied,
            reason: self.reason.code(),
            price: self.price,
            leaves: self.leaves,
            filled: self.filled,
        }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod ledger_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
