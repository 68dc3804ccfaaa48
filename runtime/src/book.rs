//! The host-kept book of each instrument of a feed.

use crate::event::{BookSide, Event, Quote};
use crate::sandbox::{BookTop, Gap};

/// One price level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Price at 1e-9.
    pub price: i64,
    /// Size at the instrument's exponent.
    pub size: i64,
    /// Orders at the level, 0 where the venue does not say.
    pub count: u32,
}

/// Whether a book can be trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BookState {
    /// No depth update yet.
    #[default]
    Empty,
    /// Built from updates alone: what is there is right, far levels may be missing.
    Partial,
    /// Built from a snapshot and every update since.
    Whole,
    /// The sequence broke: not to be trusted.
    Gapped,
}

/// What an event meant for its book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing of the book's, or an update that the book already holds.
    Ignored,
    /// A quote was taken.
    Quote,
    /// A depth update begins.
    Begin {
        /// The sequence broke here.
        gap: Option<Gap>,
        /// The book was emptied: a snapshot follows, or it starts again.
        cleared: bool,
    },
    /// A level was taken.
    Delta {
        /// The update is complete.
        last: bool,
        /// The book is whole again after a gap.
        recovered: bool,
    },
}

/// The books of one feed on one worker.
#[derive(Debug, Default)]
pub struct Books {}

impl Books {
    /// Takes a market event.
    pub fn apply(&mut self, _event: &Event) -> Applied {
        Applied::Ignored
    }

    /// Best levels and depth of a book.
    #[must_use]
    pub fn top(&self, _instrument_id: u64) -> Option<BookTop> {
        None
    }

    /// The last quote of an instrument and its stream time.
    #[must_use]
    pub fn quote(&self, _instrument_id: u64) -> Option<(Quote, u64)> {
        None
    }

    /// A level; depth 0 is the best.
    #[must_use]
    pub fn level(&self, _instrument_id: u64, _side: BookSide, _depth: u32) -> Option<Level> {
        None
    }
}
