//! What the imports of the contract do, the same behind both lanes: plain functions over plain state.
//!
//! The lanes only carry arguments across the boundary and check guest memory; the values that arrive here are typed.

use std::sync::Arc;

use crate::book::Books;
use crate::effects::Effects;
use crate::instruments::Instruments;
use crate::risk::Ledger;

/// The state of one instance that its guest can reach.
#[derive(Debug)]
pub struct Host {
    /// What the running callback asked for.
    pub effects: Effects,
    /// The stream clock.
    pub now: u64,
    /// Index of the presented record's partition among the instance's inputs.
    pub source: u8,
    /// Offset of the presented record.
    pub offset: u64,
    /// Orders submitted because of that record so far.
    pub record_orders: u32,
    /// What the strategy file says of instruments.
    pub instruments: Arc<Instruments>,
    /// The feed's books: lent by the worker for the length of a call.
    pub books: Option<Box<Books>>,
    /// Working orders and positions; the risk check's own record.
    pub ledger: Ledger,
}
