//! The book against a model: a market that is known at every sequence, seen through frames that are lost, repeated or late,
//! and snapshots of any age and depth.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{ID, event, levels, snapshot, update};
use super::*;
use crate::event::{Checksum, Depth};

type Place = (bool, i64);

/// One change of the market; its sequence is its index + 1.
#[derive(Debug, Clone, Copy)]
struct Change {
    place: Place,
    size: i64,
}

#[derive(Debug, Clone)]
enum Step {
    /// The next frame, of so many changes.
    Frame(usize),
    /// The next frame is lost.
    Lost(usize),
    /// The last frame that came, again.
    Again,
    /// A snapshot as of a share (of 100) of all changes, at most so many levels a side.
    Snapshot(usize, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (any::<bool>(), 1i64..16, 0i64..4).prop_map(|(is_bid, distance, size)| {
        let price = if is_bid { 100 - distance } else { 100 + distance };
        Change { place: (is_bid, price), size }
    });
    prop::collection::vec(change, 1..160)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1usize..6).prop_map(Step::Frame),
        1 => (1usize..6).prop_map(Step::Lost),
        1 => Just(Step::Again),
        2 => (0usize..=100, 1usize..20).prop_map(|(at, depth)| Step::Snapshot(at, depth)),
    ];
    prop::collection::vec(step, 1..60)
}

fn market(changes: &[Change], sequence: usize) -> BTreeMap<Place, i64> {
    let mut market = BTreeMap::new();
    for change in &changes[..sequence] {
        if change.size == 0 {
            market.remove(&change.place)
        } else {
            market.insert(change.place, change.size)
        };
    }
    market
}

fn delta((is_bid, price): Place, size: i64) -> Delta {
    Delta { price, size, count: 0, side: if is_bid { BookSide::Bid } else { BookSide::Ask } }
}

/// The levels of the market that a snapshot of this depth shows.
fn visible(market: &BTreeMap<Place, i64>, depth: usize) -> BTreeMap<Place, i64> {
    let bids = market.range((true, i64::MIN)..).rev().take(depth);
    let asks = market.range(..(true, i64::MIN)).take(depth);
    bids.chain(asks).map(|(place, size)| (*place, *size)).collect()
}

/// What an observer of the stream can know, without saying how a book would keep it.
#[derive(Default)]
struct Observer {
    state: BookState,
    began: bool,
    start: usize,
    held: usize,
    /// Prices whose size at `held` is known, be it none.
    known: BTreeSet<Place>,
}

impl Observer {
    fn frame(&mut self, follows: usize, last: usize, changes: &[Change], resync: Resync) {
        if self.began && last <= self.held {
            return;
        }
        if self.began && follows > self.held {
            *self = Self { state: BookState::Gapped, ..Self::default() };
        }
        if !self.began {
            (self.began, self.start) = (true, follows);
        }
        self.held = last;
        self.known.extend(changes[follows..last].iter().map(|change| change.place));
        if self.state == BookState::Empty || (self.state == BookState::Gapped && resync == Resync::Rebuild) {
            self.state = BookState::Partial;
        }
    }

    fn snapshot(&mut self, sequence: usize, seen: &BTreeMap<Place, i64>) {
        if seen.is_empty() {
            return;
        }
        if self.began && sequence <= self.held {
            if self.state == BookState::Whole || sequence < self.start {
                return;
            }
        } else {
            *self = Self { began: true, start: sequence, held: sequence, ..Self::default() };
        }
        self.known.extend(seen.keys());
        self.state = BookState::Whole;
    }
}

/// A guest's copy of the book, from what it is told.
fn mirror(books: &mut Books, copy: &mut BTreeMap<Place, i64>, events: &[Event]) {
    let place = |delta: &Delta| (delta.side == BookSide::Bid, delta.price);
    let set = |copy: &mut BTreeMap<Place, i64>, delta: &Delta| {
        if delta.size == 0 {
            copy.remove(&place(delta))
        } else {
            copy.insert(place(delta), delta.size)
        };
    };
    let is_snapshot = matches!(events[0].body, Body::Depth(depth) if depth.snapshot);
    for event in events {
        match (books.apply(event), &event.body) {
            (Applied::Begin { cleared: true, .. }, _) => copy.clear(),
            (Applied::Delta { taken, last, .. }, Body::Delta(delta)) => {
                if taken {
                    set(copy, delta);
                }
                if last && is_snapshot {
                    books.newer_than_snapshot(ID).for_each(|delta| set(copy, &delta));
                }
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_book_is_what_an_observer_of_the_same_stream_can_know(
        changes in changes(), steps in steps(), joined in 0usize..40, rebuild in any::<bool>()
    ) {
        let resync = if rebuild { Resync::Rebuild } else { Resync::Snapshot };
        let mut books = Books::new(resync);
        let mut observer = Observer::default();
        let mut copy = BTreeMap::new();
        let mut next = joined.min(changes.len());
        let mut frame = (next, next);
        for step in &steps {
            match step {
                Step::Lost(count) => next = (next + count).min(changes.len()),
                Step::Snapshot(share, depth) => {
                    let sequence = changes.len() * share / 100;
                    // The sequence 0 means none.
                    if sequence == 0 { continue }
                    let seen = visible(&market(&changes, sequence), *depth);
                    let deltas: Vec<_> = seen.iter().map(|(place, size)| delta(*place, *size)).collect();
                    mirror(&mut books, &mut copy, &snapshot(sequence as u64, &deltas));
                    observer.snapshot(sequence, &seen);
                }
                Step::Frame(_) | Step::Again => {
                    if let Step::Frame(count) = step {
                        frame = (next, (next + count).min(changes.len()));
                        next = frame.1;
                    }
                    let (follows, last) = frame;
                    if follows == last { continue }
                    // A frame says each price once, with the size it ends at.
                    let sizes: BTreeMap<_, _> = changes[follows..last].iter().map(|c| (c.place, c.size)).collect();
                    let deltas: Vec<_> = sizes.iter().map(|(place, size)| delta(*place, *size)).collect();
                    mirror(&mut books, &mut copy, &update(follows as u64, last as u64, &deltas));
                    observer.frame(follows, last, &changes, resync);
                }
            }
            let mut expected = market(&changes, observer.held);
            expected.retain(|place, _| observer.known.contains(place));
            let side = |is_bid| {
                let side = if is_bid { BookSide::Bid } else { BookSide::Ask };
                levels(&books, side).into_iter().map(move |(price, size)| ((is_bid, price), size))
            };
            let book: BTreeMap<_, _> = side(true).chain(side(false)).collect();
            prop_assert_eq!(&book, &expected);
            prop_assert_eq!(&copy, &expected, "a guest's copy");
            prop_assert_eq!(books.state(ID), observer.state);
            prop_assert!(levels(&books, BookSide::Bid).is_sorted_by(|a, b| a.0 > b.0));
            prop_assert!(levels(&books, BookSide::Ask).is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}

fn hostile_event() -> impl Strategy<Value = Event> {
    let edge = || prop_oneof![Just(0u64), Just(1), Just(u64::MAX), 0u64..8];
    let price = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(-1), Just(0), -4i64..4];
    let shift = || prop_oneof![Just(i8::MIN), Just(i8::MAX), -18i8..=18];
    let checksum = (any::<u32>(), shift(), shift());
    let checksum = prop::option::of(checksum.prop_map(|(crc32, price_shift, size_shift)| Checksum {
        crc32,
        price_shift,
        size_shift,
    }));
    let keeps = prop_oneof![Just(0u32), 1u32..3, Just(u32::MAX)];
    let depth = (edge(), edge(), prop_oneof![0u32..4, Just(u32::MAX)], any::<bool>(), keeps, checksum).prop_map(
        |(first, follows, levels, snapshot, keeps, checksum)| {
            Body::Depth(Depth { first, follows, levels, snapshot, keeps, checksum })
        },
    );
    let delta = (price.clone(), price, any::<bool>())
        .prop_map(|(price, size, is_bid)| Body::Delta(Delta { size, ..delta((is_bid, price), 0) }));
    (edge(), edge(), prop_oneof![1 => depth, 3 => delta]).prop_map(|(sequence, ts, body)| event(sequence, ts, body))
}

proptest! {
    #[test]
    fn no_stream_of_events_makes_the_book_panic_or_lose_its_order(
        events in prop::collection::vec(hostile_event(), 0..200), rebuild in any::<bool>()
    ) {
        let mut books = Books::new(if rebuild { Resync::Rebuild } else { Resync::Snapshot });
        for event in &events {
            books.apply(event);
            prop_assert!(levels(&books, BookSide::Bid).is_sorted_by(|a, b| a.0 > b.0 && a.1 > 0));
            prop_assert!(levels(&books, BookSide::Ask).is_sorted_by(|a, b| a.0 < b.0 && a.1 > 0));
            prop_assert!(books.top(ID).is_none_or(|top| top.bid_levels as usize == levels(&books, BookSide::Bid).len()));
            books.newer_than_snapshot(ID).for_each(drop);
        }
    }
}
