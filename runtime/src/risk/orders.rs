//! Working orders in a dense array of fixed size, found by id, and those that are gone but may still be reported.

use crate::effects::{OrderType, TimeInForce};
use crate::event::Side;
use crate::id_index::IdIndex;
use crate::limits::ORDERS_GONE_MAX;

/// An order that the venue has, or is about to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Working {
    pub(super) order_id: u64,
    pub(super) instrument_id: u64,
    /// Of the instrument's position in the ledger.
    pub(super) position: usize,
    pub(super) side: Side,
    pub(super) order_type: OrderType,
    pub(super) time_in_force: TimeInForce,
    pub(super) tag: u64,
    /// As the venue last had it.
    pub(super) price: i64,
    pub(super) size: i64,
    pub(super) filled: i64,
    pub(super) leaves: i64,
    /// The most that can still fill, whatever becomes of the requests on their way.
    pub(super) exposure: i64,
    /// The price most likely to match, whatever becomes of the requests on their way.
    pub(super) price_worst: i64,
    /// Modifies and cancels that the venue has not answered.
    pub(super) requests: u32,
    /// Sequence of the last report, 0 before the first.
    pub(super) reported: u64,
}

/// What is remembered of an order that works no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) order_id: u64,
    pub(super) instrument_id: u64,
    pub(super) side: Side,
    pub(super) tag: u64,
    pub(super) price: i64,
    pub(super) filled: i64,
    pub(super) reported: u64,
}

/// All orders of an instance.
#[derive(Debug)]
pub(super) struct Orders {
    working_index: IdIndex,
    working: Vec<Working>,
    capacity: usize,
    gone_index: IdIndex,
    gone: Vec<Gone>,
    gone_next: usize,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            working_index: IdIndex::new(0),
            working: Vec::new(),
            capacity: 0,
            gone_index: IdIndex::new(ORDERS_GONE_MAX),
            gone: Vec::with_capacity(ORDERS_GONE_MAX),
            gone_next: 0,
        }
    }
}

impl Orders {
    /// Makes room for `capacity` working orders. Never shrinks.
    pub(super) fn fit(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
        self.working.reserve_exact(self.capacity - self.working.len());
        while self.working_index.capacity() < self.capacity {
            self.working_index.grow();
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.working.len()
    }

    pub(super) fn working(&self) -> &[Working] {
        &self.working
    }

    #[inline]
    pub(super) fn find(&self, order_id: u64) -> Option<usize> {
        self.working_index.get(order_id).map(|place| place as usize)
    }

    #[inline]
    pub(super) fn at(&self, place: usize) -> &Working {
        &self.working[place]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, place: usize) -> &mut Working {
        &mut self.working[place]
    }

    /// Whether an order with this id works or is remembered.
    #[inline]
    pub(super) fn knows(&self, order_id: u64) -> bool {
        self.working_index.get(order_id).is_some() || self.gone_index.get(order_id).is_some()
    }

    /// Adds a working order; false when full.
    pub(super) fn insert(&mut self, order: Working) -> bool {
        let Ok(place) = u32::try_from(self.working.len()) else { return false };
        if self.working.len() >= self.capacity || !self.working_index.insert(order.order_id, place) {
            return false;
        }
        self.working.push(order);
        true
    }

    /// Takes a working order out and remembers it.
    pub(super) fn remove(&mut self, place: usize) -> Working {
        let order = self.working.swap_remove(place);
        self.working_index.remove(order.order_id);
        if let Some(moved) = self.working.get(place)
            && let Ok(place) = u32::try_from(place)
        {
            self.working_index.insert(moved.order_id, place);
        }
        self.remember(Gone {
            order_id: order.order_id,
            instrument_id: order.instrument_id,
            side: order.side,
            tag: order.tag,
            price: order.price,
            filled: order.filled,
            reported: order.reported,
        });
        order
    }

    pub(super) fn gone_mut(&mut self, order_id: u64) -> Option<&mut Gone> {
        self.gone.get_mut(self.gone_index.get(order_id)? as usize)
    }

    /// Remembers a finished order; the oldest gives way.
    pub(super) fn remember(&mut self, gone: Gone) {
        let place = self.gone_next;
        self.gone_next = (place + 1) % ORDERS_GONE_MAX;
        match self.gone.get_mut(place) {
            Some(oldest) => {
                self.gone_index.remove(oldest.order_id);
                *oldest = gone;
            }
            None => self.gone.push(gone),
        }
        if let Ok(place) = u32::try_from(place) {
            self.gone_index.insert(gone.order_id, place);
        }
    }
}
