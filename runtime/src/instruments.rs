//! What is known of instruments: the strategy file's declarations, and the symbols that a feed has shown.

use std::collections::HashMap;

/// A declared instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// Its id; see [`pinion_spec::ids::instrument_id`].
    pub id: u64,
    /// Whose feed carries it.
    pub publisher_id: u32,
    /// The venue's symbol.
    pub symbol: Box<str>,
    /// Prices are multiples of this, at 1e-9.
    pub tick: i64,
    /// Sizes are multiples of this, at `size_exponent`.
    pub lot: i64,
    /// Sizes are integers at 10 to this power.
    pub size_exponent: i8,
}

/// The declared instruments of one strategy, by id.
#[derive(Debug, Clone, Default)]
pub struct Instruments {
    by_id: HashMap<u64, Instrument>,
}

impl Instruments {
    /// The table of these instruments; the last of two with the same id stays (the caller has refused collisions).
    #[must_use]
    pub fn new(instruments: impl IntoIterator<Item = Instrument>) -> Self {
        Self { by_id: instruments.into_iter().map(|i| (i.id, i)).collect() }
    }

    /// The instrument with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Instrument> {
        self.by_id.get(&id)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Instrument> {
        self.by_id.values()
    }
}
