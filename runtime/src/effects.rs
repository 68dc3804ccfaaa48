//! What a guest asked for during one callback, buffered until the callback has returned.
//!
//! A callback that traps or overruns its budget has asked for nothing: [`Effects::discard`] drops it all. The buffer has its
//! final size from the start, so asking never allocates; asking for more than the budget allows is a fault.

use crate::event::Side;
use crate::limits::CALL_INTENTS_MAX;

/// How an order rests or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OrderType {
    /// At its price or better.
    Limit = 0,
    /// At any price inside the collar.
    Market = 1,
}

/// How long an order lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TimeInForce {
    /// Until cancelled.
    Gtc = 0,
    /// Takes what it can at once; the rest is gone.
    Ioc = 1,
    /// All at once or nothing.
    Fok = 2,
    /// Refused by the venue where it would take.
    PostOnly = 3,
}

/// An order as the guest asks for it. Nothing in it is checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrder {
    /// Which instrument.
    pub instrument_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub order_type: OrderType,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// At 1e-9; ignored for market orders.
    pub price: i64,
    /// At the instrument's exponent.
    pub size: i64,
    /// The guest's own mark.
    pub tag: u64,
}

/// One thing that the guest asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A new order, under the id that `submit` returned.
    Submit {
        /// See [`crate::event::order_id`].
        order_id: u64,
        /// What was asked for.
        order: NewOrder,
    },
    /// A working order's new price and whole size.
    Modify {
        /// Which order.
        order_id: u64,
        /// New price at 1e-9.
        price: i64,
        /// New whole size, filled part included.
        size: i64,
    },
    /// A working order's end.
    Cancel {
        /// Which order.
        order_id: u64,
    },
    /// The end of all working orders of the instance.
    CancelAll,
    /// A timer set (`at` not 0), replaced, or cleared (`at` 0).
    SetTimer {
        /// The guest's own id.
        timer_id: u64,
        /// Stream time, ns.
        at: u64,
    },
}

/// More intents in one callback than the budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood;

/// The intents of the callback that runs now, in the order they were asked for.
#[derive(Debug)]
pub struct Effects {
    intents: Vec<Intent>,
    limit: usize,
}

impl Effects {
    /// A buffer for at most `limit` intents a callback (cut to [`CALL_INTENTS_MAX`]).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(CALL_INTENTS_MAX);
        Self { intents: Vec::with_capacity(limit), limit }
    }

    /// Buffers an intent.
    ///
    /// # Errors
    /// [`Flood`] when the callback has used up its budget.
    pub fn push(&mut self, intent: Intent) -> Result<(), Flood> {
        if self.intents.len() == self.limit {
            return Err(Flood);
        }
        self.intents.push(intent);
        Ok(())
    }

    /// How much the callback asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.intents.len()
    }

    /// Whether the callback asked for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intents.is_empty()
    }

    /// Takes the intents out, leaving the buffer's room in place.
    pub fn drain(&mut self) -> impl Iterator<Item = Intent> + '_ {
        self.intents.drain(..)
    }

    /// Drops everything asked for.
    pub fn discard(&mut self) {
        self.intents.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_intent_over_the_budget_is_refused_and_the_buffer_never_grows() {
        let mut effects = Effects::new(2);
        let room = effects.intents.capacity();
        assert_eq!(effects.push(Intent::CancelAll), Ok(()));
        assert_eq!(effects.push(Intent::CancelAll), Ok(()));
        assert_eq!(effects.push(Intent::CancelAll), Err(Flood));
        assert_eq!(effects.intents.capacity(), room);
        effects.discard();
        assert!(effects.is_empty());
        assert_eq!(effects.push(Intent::CancelAll), Ok(()));
    }
}
