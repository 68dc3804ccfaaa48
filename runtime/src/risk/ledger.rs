//! One instance's working orders and positions.

/// The host's record of one instance's orders and positions.
#[derive(Debug, Default)]
pub struct Ledger {}

/// A position as the guest sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Bought minus sold.
    pub net: i64,
    /// Size of working buy orders.
    pub working_buy: i64,
    /// Size of working sell orders.
    pub working_sell: i64,
}

impl Ledger {
    /// The position in an instrument.
    #[must_use]
    pub fn position(&self, _instrument_id: u64) -> Position {
        Position::default()
    }
}
