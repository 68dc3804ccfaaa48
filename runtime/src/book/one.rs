//! One instrument's book: the venue's sequence rule, and how a snapshot meets updates that came before it.
//!
//! **Updates.** An update sets levels to absolute sizes and covers the sequences after `follows` up to its last. It is taken
//! when it reaches back to what the book holds (`follows <= held`) and beyond it (`last > held`); one that ends at or before
//! `held` is ignored; one that begins later is a gap. This is Binance's rule for both markets (spot: `U` = held + 1; futures:
//! `pu` = held; the first update after a snapshot may reach back before it), and an overlap is harmless because sizes are
//! absolute. A sequence that goes backwards for good is ignored for good: the book goes stale and risk denies. Updates
//! without a sequence (0) are all taken.
//!
//! **Snapshots.** One that is newer than the book replaces it. One that is older is merged while the book is not whole: a REST
//! snapshot is asked for after the stream has begun, so the updates after it are here already. Levels changed after it
//! stay, levels deleted after it stay deleted, older levels inside its range give way to it. Beyond its last level on a side
//! it says nothing, and what unbroken updates have set there stays. It must not be older than the first update, or
//! than what the book was made to forget (a level that gave way, a deletion older than the last
//! [`BOOK_DELETIONS_MAX`]): such a snapshot is counted and ignored, and so is one without levels.
//!
//! **Depth.** Where a venue tells of so many levels a side and no more, those beyond are dropped after each frame: it would not say
//! when they go, and they would come back wrong when the book thins out.
//!
//! **Checksums.** Where the venue sends one, a whole book is measured by it after each update; one that differs is a gap.
//!
//! **Gaps.** The book is emptied and starts again from the update that broke the sequence, so that a snapshot can be merged
//! later; until it may be trusted its state is [`BookState::Gapped`]. An update cut short by the next one is a gap too.

use std::collections::VecDeque;

use pinion_spec::strategy::Resync;

use super::ladder::{Entry, Ladder, Set};
use super::{Applied, BookState, Counts, checksum, key, price};
use crate::event::{BookSide, Checksum, Delta, Depth, Head, PRICE_UNDEFINED, Quote};
use crate::limits::{BOOK_DELETIONS_MAX, BOOK_LEVELS_INITIAL};
use crate::sandbox::{BookTop, Gap};

/// A level that an update deleted while the book was not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Deletion {
    is_bid: bool,
    key: i64,
    sequence: u64,
}

/// What the deltas that come now belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Taking {
    /// A frame that the book ignores.
    #[default]
    Nothing,
    Update,
    /// Lowest key seen on each side: how far the snapshot reaches.
    Snapshot {
        bid_far: Option<i64>,
        ask_far: Option<i64>,
    },
}

/// The frame that is being taken.
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    taking: Taking,
    remaining: u32,
    sequence: u64,
    /// [`Depth::keeps`].
    keeps: u32,
    checksum: Option<Checksum>,
}

/// Best prices as of the last whole frame: never those of a frame half taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) bid: i64,
    pub(super) ask: i64,
    pub(super) ts_recv: u64,
}

/// A quote, when it came, and its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) quote: Quote,
    pub(super) ts_recv: u64,
    pub(super) sequence: u64,
}

/// One instrument's levels and last quote.
#[derive(Debug)]
pub(super) struct Book {
    bids: Ladder,
    asks: Ladder,
    state: BookState,
    /// Whether `start` and `held` mean something.
    began: bool,
    /// The sequence before the first update that the book holds.
    start: u64,
    /// The last sequence that the book holds.
    held: u64,
    /// Nothing is known any more of some change at or before this sequence.
    forgotten: u64,
    deletions: VecDeque<Deletion>,
    pending: Pending,
    /// Number of the last snapshot.
    snapshot: u32,
    touch: Touch,
    quote: Option<Held>,
    /// Levels that the last frame pushed beyond what the venue tells of, as deletions.
    pushed_out: Vec<Delta>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            bids: Ladder::default(),
            asks: Ladder::default(),
            state: BookState::Empty,
            began: false,
            start: 0,
            held: 0,
            forgotten: 0,
            deletions: VecDeque::new(),
            pending: Pending::default(),
            snapshot: 0,
            touch: Touch { bid: PRICE_UNDEFINED, ask: PRICE_UNDEFINED, ts_recv: 0 },
            quote: None,
            pushed_out: Vec::new(),
        }
    }
}

impl Book {
    /// Takes a quote, unless one with a later sequence is here already.
    pub(super) fn quote(&mut self, head: &Head, quote: &Quote, counts: &mut Counts) -> Applied {
        if self.quote.is_some_and(|held| head.sequence != 0 && head.sequence < held.sequence) {
            counts.outdated += 1;
            return Applied::Ignored;
        }
        self.quote = Some(Held { quote: *quote, ts_recv: head.ts_recv, sequence: head.sequence });
        Applied::Quote
    }

    /// Begins a frame.
    pub(super) fn depth(&mut self, head: &Head, depth: &Depth, counts: &mut Counts) -> Applied {
        let sequence = head.sequence;
        self.pushed_out.clear();
        let cut_short = self.pending.remaining > 0 && self.pending.taking != Taking::Nothing;
        let outdated = !depth.snapshot && !cut_short && self.began && sequence != 0 && sequence <= self.held;
        if outdated || (depth.snapshot && depth.levels == 0) {
            counts.outdated += u64::from(outdated);
            counts.snapshots_refused += u64::from(!outdated);
            return self.ignore(depth, cut_short);
        }
        let gap = if cut_short {
            Some(Gap { expected: self.pending.sequence, received: sequence })
        } else if !depth.snapshot && self.began && sequence != 0 && depth.follows > self.held {
            Some(Gap { expected: self.held.saturating_add(1), received: depth.follows.saturating_add(1) })
        } else {
            None
        };
        if gap.is_some() {
            counts.gaps += 1;
            self.clear();
            self.state = BookState::Gapped;
        }
        if depth.snapshot {
            return self.begin_snapshot(sequence, depth, gap, counts);
        }
        self.bids.warm();
        self.asks.warm();
        if !self.began {
            self.began = true;
            self.start = depth.follows;
        }
        if sequence != 0 {
            self.held = sequence;
        }
        self.pending = pending(Taking::Update, sequence, depth);
        if depth.levels == 0 {
            // It tells that the feed lives, not that the book is whole again: that comes with the first levels.
            self.touch.ts_recv = head.ts_recv;
        }
        Applied::Begin { gap, cleared: gap.is_some() }
    }

    /// Takes a level of the frame that has begun.
    pub(super) fn delta(&mut self, head: &Head, delta: &Delta, resync: Resync, counts: &mut Counts) -> Applied {
        if self.pending.remaining == 0 {
            counts.strays += 1;
            return Applied::Ignored;
        }
        self.pending.remaining -= 1;
        let valid = delta.price != PRICE_UNDEFINED && delta.size >= 0;
        counts.levels_refused += u64::from(!valid);
        let taken = match self.pending.taking {
            Taking::Nothing => return Applied::Ignored,
            Taking::Update => valid && self.update_level(delta, counts),
            Taking::Snapshot { bid_far, ask_far } => valid && self.snapshot_level(delta, bid_far, ask_far, counts),
        };
        let last = self.pending.remaining == 0;
        let gap = if last { self.measure(counts) } else { None };
        let recovered = last && gap.is_none() && self.complete(head.ts_recv, resync);
        Applied::Delta { taken, last, recovered, gap }
    }

    pub(super) fn top(&self) -> BookTop {
        let best = |ladder: &Ladder, side| ladder.at(0).map_or((PRICE_UNDEFINED, 0), |e| (price(side, e.key), e.size));
        let (bid_price, bid_size) = best(&self.bids, BookSide::Bid);
        let (ask_price, ask_size) = best(&self.asks, BookSide::Ask);
        #[expect(clippy::cast_possible_truncation, reason = "at most BOOK_LEVELS_MAX")]
        let (bid_levels, ask_levels) = (self.bids.len() as u32, self.asks.len() as u32);
        BookTop { bid_price, bid_size, ask_price, ask_size, bid_levels, ask_levels }
    }

    pub(super) fn ladder(&self, side: BookSide) -> &Ladder {
        match side {
            BookSide::Bid => &self.bids,
            BookSide::Ask => &self.asks,
        }
    }

    pub(super) fn state(&self) -> BookState {
        self.state
    }

    pub(super) fn sequence(&self) -> u64 {
        self.held
    }

    pub(super) fn touch(&self) -> Touch {
        self.touch
    }

    pub(super) fn last_quote(&self) -> Option<&Held> {
        self.quote.as_ref()
    }

    pub(super) fn pushed_out(&self) -> &[Delta] {
        &self.pushed_out
    }

    /// Number of the last snapshot, as in [`Entry::brought`].
    pub(super) fn snapshot(&self) -> u32 {
        self.snapshot
    }

    /// Leaves the deltas of this frame out. What was cut short stays so, and the next frame that counts will tell.
    fn ignore(&mut self, depth: &Depth, cut_short: bool) -> Applied {
        if !cut_short {
            self.pending = Pending { remaining: depth.levels, ..Pending::default() };
        }
        Applied::Ignored
    }

    fn begin_snapshot(&mut self, sequence: u64, depth: &Depth, gap: Option<Gap>, counts: &mut Counts) -> Applied {
        let behind = self.began && sequence != 0 && sequence <= self.held;
        if behind {
            if self.state == BookState::Whole {
                counts.outdated += 1;
                return self.ignore(depth, false);
            }
            if sequence < self.start || sequence < self.forgotten {
                counts.snapshots_refused += 1;
                return self.ignore(depth, false);
            }
            self.deletions.retain(|deletion| deletion.sequence > sequence);
            self.deletions.make_contiguous().sort_unstable();
        } else {
            self.clear();
            self.bids.warm();
            self.asks.warm();
            self.began = true;
            self.start = sequence;
            self.held = sequence;
        }
        self.snapshot = self.snapshot.wrapping_add(1).max(1);
        self.pending = pending(Taking::Snapshot { bid_far: None, ask_far: None }, sequence, depth);
        Applied::Begin { gap, cleared: true }
    }

    fn update_level(&mut self, delta: &Delta, counts: &mut Counts) -> bool {
        let key = key(delta.side, delta.price);
        let sequence = self.pending.sequence;
        if delta.size == 0 {
            self.ladder_mut(delta.side).remove(key);
            if self.state != BookState::Whole {
                self.remember(Deletion { is_bid: delta.side == BookSide::Bid, key, sequence });
            }
            return true;
        }
        let entry = Entry { key, size: delta.size, sequence, count: delta.count, brought: 0 };
        match self.ladder_mut(delta.side).set(entry) {
            Set::Taken => true,
            Set::GaveWay(forgotten) => {
                counts.evicted += 1;
                self.forgotten = self.forgotten.max(forgotten);
                true
            }
            Set::Refused => {
                counts.evicted += 1;
                self.forgotten = self.forgotten.max(sequence);
                false
            }
        }
    }

    /// Takes a snapshot's level, unless the book knows better.
    fn snapshot_level(
        &mut self,
        delta: &Delta,
        mut bid_far: Option<i64>,
        mut ask_far: Option<i64>,
        counts: &mut Counts,
    ) -> bool {
        let key = key(delta.side, delta.price);
        let is_bid = delta.side == BookSide::Bid;
        let far = if is_bid { &mut bid_far } else { &mut ask_far };
        *far = Some(far.map_or(key, |far| far.min(key)));
        self.pending.taking = Taking::Snapshot { bid_far, ask_far };

        let sequence = self.pending.sequence;
        let brought = self.snapshot;
        let newer = |entry: &Entry| entry.brought != brought && entry.sequence > sequence;
        let ladder = self.ladder(delta.side);
        if delta.size == 0 || ladder.get(key).is_some_and(newer) || self.deleted(is_bid, key) {
            return false;
        }
        let set =
            self.ladder_mut(delta.side).set(Entry { key, size: delta.size, sequence, count: delta.count, brought });
        counts.evicted += u64::from(set != Set::Taken);
        set != Set::Refused
    }

    /// Whether an update newer than the snapshot that is being merged deleted this level.
    fn deleted(&self, is_bid: bool, key: i64) -> bool {
        self.deletions.binary_search_by(|d| (d.is_bid, d.key).cmp(&(is_bid, key))).is_ok()
    }

    /// Drops what lies beyond the venue's depth, and measures a whole book by the venue's checksum: one that does not meet it is
    /// emptied.
    fn measure(&mut self, counts: &mut Counts) -> Option<Gap> {
        if self.pending.keeps > 0 && self.pending.taking != Taking::Nothing {
            self.push_out();
        }
        let checksum = self.pending.checksum.filter(|_| self.state == BookState::Whole)?;
        counts.checksums += 1;
        let found = checksum::of(&self.asks, &self.bids, &checksum);
        if found == checksum.crc32 {
            return None;
        }
        counts.checksums_failed += 1;
        counts.gaps += 1;
        self.clear();
        self.state = BookState::Gapped;
        Some(Gap { expected: checksum.crc32.into(), received: found.into() })
    }

    fn push_out(&mut self) {
        let keeps = self.pending.keeps as usize;
        for side in [BookSide::Bid, BookSide::Ask] {
            while let Some(entry) = self.ladder_mut(side).pop_beyond(keeps) {
                self.forgotten = self.forgotten.max(entry.sequence);
                self.pushed_out.push(Delta { price: price(side, entry.key), size: 0, count: 0, side });
            }
        }
    }

    /// The frame is whole. Returns whether the book has recovered from a gap by it.
    fn complete(&mut self, ts_recv: u64, resync: Resync) -> bool {
        let was = self.state;
        match self.pending.taking {
            Taking::Nothing => {}
            Taking::Update => {
                let starts = was == BookState::Empty || (was == BookState::Gapped && resync == Resync::Rebuild);
                if starts {
                    self.state = BookState::Partial;
                }
            }
            Taking::Snapshot { bid_far, ask_far } => {
                let (brought, sequence) = (self.snapshot, self.pending.sequence);
                for (ladder, far) in [(&mut self.bids, bid_far), (&mut self.asks, ask_far)] {
                    let beyond = |key| far.is_some_and(|far| key < far);
                    ladder.retain(|e| e.brought == brought || e.sequence > sequence || beyond(e.key));
                }
                self.deletions.clear();
                self.forgotten = 0;
                self.state = BookState::Whole;
            }
        }
        let top = self.top();
        self.touch = Touch { bid: top.bid_price, ask: top.ask_price, ts_recv };
        was == BookState::Gapped && self.state != BookState::Gapped
    }

    /// Keeps a deletion until a snapshot comes; the oldest gives way.
    fn remember(&mut self, deletion: Deletion) {
        if self.deletions.capacity() == 0 {
            self.deletions.reserve_exact(BOOK_LEVELS_INITIAL);
        }
        if self.deletions.len() == BOOK_DELETIONS_MAX
            && let Some(oldest) = self.deletions.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest.sequence);
        }
        self.deletions.push_back(deletion);
    }

    fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
        self.deletions.clear();
        self.forgotten = 0;
        self.began = false;
        self.pushed_out.clear();
        self.pending = Pending::default();
        self.touch = Touch { bid: PRICE_UNDEFINED, ask: PRICE_UNDEFINED, ts_recv: self.touch.ts_recv };
    }

    fn ladder_mut(&mut self, side: BookSide) -> &mut Ladder {
        match side {
            BookSide::Bid => &mut self.bids,
            BookSide::Ask => &mut self.asks,
        }
    }
}

/// What a frame that begins leaves to be taken.
const fn pending(taking: Taking, sequence: u64, depth: &Depth) -> Pending {
    Pending { taking, remaining: depth.levels, sequence, keeps: depth.keeps, checksum: depth.checksum }
}
