//! The host-kept book of each instrument of a feed.
//!
//! Promises: nothing is allocated once a book is warm; a hostile feed cannot make it grow beyond its limits
//! ([`BOOK_LEVELS_MAX`](crate::limits::BOOK_LEVELS_MAX) levels a side, [`INSTRUMENTS_MAX`] instruments), panic or wrap; what is
//! ignored or gives way is counted. A book whose sequence broke says so until it can be trusted again.

mod checksum;
mod ladder;
mod one;

use pinion_spec::strategy::Resync;

use crate::event::{Body, BookSide, Delta, Event, PRICE_UNDEFINED, Quote};
use crate::id_index::IdIndex;
use crate::limits::INSTRUMENTS_MAX;
use crate::sandbox::{BookTop, Gap};
use ladder::Entry;
use one::Book;

/// Instruments for which there is room at first; the index doubles as a feed shows more.
const INSTRUMENTS_INITIAL: usize = 64;

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
    /// Built from updates alone: what is there is right, levels that have not changed since are missing.
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
    /// A depth update begins. One without levels is complete with this, and recovers nothing.
    Begin {
        /// The sequence broke here.
        gap: Option<Gap>,
        /// The book was emptied: a snapshot follows, or it starts again.
        cleared: bool,
    },
    /// A level was taken.
    Delta {
        /// False where the book knows better: a snapshot's level that a newer update has changed or deleted, or a level
        /// that is invalid or beyond a full side. A guest that mirrors the book is not told of it.
        taken: bool,
        /// The update is complete. After a snapshot's last level, [`Books::newer_than_snapshot`] has the rest of the book.
        last: bool,
        /// The book is whole again after a gap.
        recovered: bool,
        /// The venue's checksum says that the book is not what it should be: it was emptied.
        gap: Option<Gap>,
    },
}

impl Applied {
    /// The break that it tells of.
    #[must_use]
    pub const fn gap(&self) -> Option<Gap> {
        match self {
            Self::Begin { gap, .. } | Self::Delta { gap, .. } => *gap,
            Self::Ignored | Self::Quote => None,
        }
    }
}

/// What orders on an instrument are measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Best bid, [`PRICE_UNDEFINED`] where none is known.
    pub bid: i64,
    /// Best ask, [`PRICE_UNDEFINED`] where none is known.
    pub ask: i64,
    /// When the record that says so was captured, wall ns.
    pub ts_recv: u64,
    /// State of the book, also where the prices are a quote's.
    pub state: BookState,
}

impl Reference {
    /// Whether the bid is not below the ask.
    #[must_use]
    pub const fn is_crossed(&self) -> bool {
        self.bid != PRICE_UNDEFINED && self.ask != PRICE_UNDEFINED && self.bid >= self.ask
    }
}

/// What was measured and what was left out, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Breaks of a venue's sequence, and books that its checksum did not confirm.
    pub gaps: u64,
    /// Checksums that a book was measured by.
    pub checksums: u64,
    /// Checksums that it did not meet; each is a gap too.
    pub checksums_failed: u64,
    /// Updates, snapshots and quotes older than what the book holds.
    pub outdated: u64,
    /// Snapshots that could not be used: older than the first update, or without levels.
    pub snapshots_refused: u64,
    /// Levels that gave way on a full side.
    pub evicted: u64,
    /// Levels with an undefined price or a negative size.
    pub levels_refused: u64,
    /// Levels that belong to no update.
    pub strays: u64,
    /// Events of instruments beyond [`INSTRUMENTS_MAX`].
    pub instruments_refused: u64,
}

/// The books of one feed on one worker.
#[derive(Debug)]
pub struct Books {
    resync: Resync,
    index: IdIndex,
    books: Vec<Book>,
    /// The instrument of the last event and its place: a frame's deltas come in a row.
    current: Option<(u64, usize)>,
    counts: Counts,
}

impl Default for Books {
    fn default() -> Self {
        Self::new(Resync::default())
    }
}

impl Books {
    /// No books yet; `resync` says what mends one whose sequence broke.
    #[must_use]
    pub fn new(resync: Resync) -> Self {
        Self {
            resync,
            index: IdIndex::new(INSTRUMENTS_INITIAL),
            books: Vec::with_capacity(INSTRUMENTS_INITIAL),
            current: None,
            counts: Counts::default(),
        }
    }

    /// Takes a market event. Quotes, depth updates and their levels count; everything else is ignored.
    pub fn apply(&mut self, event: &Event) -> Applied {
        if !matches!(event.body, Body::Quote(_) | Body::Depth(_) | Body::Delta(_)) {
            return Applied::Ignored;
        }
        let Some(place) = self.place(event.head.instrument_id) else {
            self.counts.instruments_refused += 1;
            return Applied::Ignored;
        };
        let (book, counts) = (&mut self.books[place], &mut self.counts);
        match &event.body {
            Body::Quote(quote) => book.quote(&event.head, quote, counts),
            Body::Depth(depth) => book.depth(&event.head, depth, counts),
            Body::Delta(delta) => book.delta(&event.head, delta, self.resync, counts),
            Body::Trade(_) | Body::Execution(_) | Body::Status(_) | Body::Skip => Applied::Ignored,
        }
    }

    /// Best levels and depth of a book; `None` where the feed has shown nothing of the instrument.
    #[must_use]
    pub fn top(&self, instrument_id: u64) -> Option<BookTop> {
        self.get(instrument_id).map(Book::top)
    }

    /// State of a book.
    #[must_use]
    pub fn state(&self, instrument_id: u64) -> BookState {
        self.get(instrument_id).map_or(BookState::Empty, Book::state)
    }

    /// The last sequence that a book holds, 0 for none.
    #[must_use]
    pub fn sequence(&self, instrument_id: u64) -> u64 {
        self.get(instrument_id).map_or(0, Book::sequence)
    }

    /// The last quote of an instrument and when it was captured.
    #[must_use]
    pub fn quote(&self, instrument_id: u64) -> Option<(Quote, u64)> {
        let held = self.get(instrument_id)?.last_quote()?;
        Some((held.quote, held.ts_recv))
    }

    /// A level; depth 0 is the best.
    #[must_use]
    pub fn level(&self, instrument_id: u64, side: BookSide, depth: u32) -> Option<Level> {
        let entry = self.get(instrument_id)?.ladder(side).at(usize::try_from(depth).ok()?)?;
        Some(Level { price: price(side, entry.key), size: entry.size, count: entry.count })
    }

    /// The levels that the last snapshot did not bring, bids then asks, best first: right after its last level, those that
    /// updates newer than it have set, and those beyond its range.
    pub fn newer_than_snapshot(&self, instrument_id: u64) -> impl Iterator<Item = Delta> + '_ {
        self.get(instrument_id).into_iter().flat_map(|book| {
            let kept = |entry: &&Entry| entry.brought != book.snapshot();
            let bids = book.ladder(BookSide::Bid).iter().filter(kept).map(|entry| delta(BookSide::Bid, entry));
            let asks = book.ladder(BookSide::Ask).iter().filter(kept).map(|entry| delta(BookSide::Ask, entry));
            bids.chain(asks)
        })
    }

    /// A level that the last whole frame pushed beyond what its venue tells of ([`Depth::keeps`](crate::event::Depth::keeps)), as the
    /// deletion that no update will bring; `n` counts them from 0.
    #[must_use]
    pub fn pushed_out(&self, instrument_id: u64, n: usize) -> Option<Delta> {
        self.get(instrument_id)?.pushed_out().get(n).copied()
    }

    /// What orders are measured against: the newer of the last quote and the book's touch after its last whole update. A
    /// book that no snapshot has made whole may lack its best levels, so where there is a quote its touch does not count.
    #[must_use]
    pub fn reference(&self, instrument_id: u64) -> Reference {
        let unknown = Reference { bid: PRICE_UNDEFINED, ask: PRICE_UNDEFINED, ts_recv: 0, state: BookState::Empty };
        let Some(book) = self.get(instrument_id) else { return unknown };
        let (state, touch) = (book.state(), book.touch());
        match book.last_quote() {
            Some(held) if state != BookState::Whole || held.ts_recv >= touch.ts_recv => {
                Reference { bid: held.quote.bid_price, ask: held.quote.ask_price, ts_recv: held.ts_recv, state }
            }
            _ => Reference { bid: touch.bid, ask: touch.ask, ts_recv: touch.ts_recv, state },
        }
    }

    /// What was left out, since the start.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    #[inline]
    fn get(&self, instrument_id: u64) -> Option<&Book> {
        let place = match self.current {
            Some((id, place)) if id == instrument_id => place,
            _ => self.index.get(instrument_id)? as usize,
        };
        self.books.get(place)
    }

    /// The place of an instrument's book, made when the feed first shows the instrument.
    #[inline]
    fn place(&mut self, instrument_id: u64) -> Option<usize> {
        if let Some((id, place)) = self.current
            && id == instrument_id
        {
            return Some(place);
        }
        let place = match self.index.get(instrument_id) {
            Some(place) => place as usize,
            None => self.add(instrument_id)?,
        };
        self.current = Some((instrument_id, place));
        Some(place)
    }

    #[cold]
    fn add(&mut self, instrument_id: u64) -> Option<usize> {
        let place = self.books.len();
        if place == INSTRUMENTS_MAX {
            return None;
        }
        if place == self.index.capacity() {
            self.index.grow();
        }
        self.index.insert(instrument_id, u32::try_from(place).ok()?);
        self.books.push(Book::default());
        Some(place)
    }
}

/// A price as a number that grows towards the touch on both sides, so that both are kept by the same code. The complement
/// reverses the order of the integers without a value that overflows.
const fn key(side: BookSide, price: i64) -> i64 {
    match side {
        BookSide::Bid => price,
        BookSide::Ask => !price,
    }
}

/// The price of a key: the same again.
const fn price(side: BookSide, key: i64) -> i64 {
    self::key(side, key)
}

fn delta(side: BookSide, entry: &Entry) -> Delta {
    Delta { price: price(side, entry.key), size: entry.size, count: entry.count, side }
}

#[cfg(test)]
mod capture_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
