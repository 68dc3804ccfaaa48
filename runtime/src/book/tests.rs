//! The venue's sequence rule, gaps and snapshots, frame by frame.

use super::*;
use crate::event::{Depth, Head, Origin, Stamp, Trade};
use crate::limits::{BOOK_DELETIONS_MAX, BOOK_LEVELS_MAX};

pub(super) const ID: u64 = 7;

pub(super) fn event(sequence: u64, ts_recv: u64, body: Body) -> Event {
    let head = Head { instrument_id: ID, ts_recv, sequence, ..Head::default() };
    Event { head, body, origin: Origin::default(), stamp: Stamp::default() }
}

pub(super) fn update(follows: u64, last: u64, levels: &[Delta]) -> Vec<Event> {
    frame(
        last,
        Depth {
            first: follows + 1,
            follows,
            levels: u32::try_from(levels.len()).unwrap(),
            snapshot: false,
            ..Depth::default()
        },
        levels,
    )
}

pub(super) fn snapshot(sequence: u64, levels: &[Delta]) -> Vec<Event> {
    frame(
        sequence,
        Depth {
            first: 0,
            follows: 0,
            levels: u32::try_from(levels.len()).unwrap(),
            snapshot: true,
            ..Depth::default()
        },
        levels,
    )
}

fn frame(last: u64, depth: Depth, levels: &[Delta]) -> Vec<Event> {
    let deltas = levels.iter().map(|delta| event(last, last, Body::Delta(*delta)));
    std::iter::once(event(last, last, Body::Depth(depth))).chain(deltas).collect()
}

pub(super) fn bid(price: i64, size: i64) -> Delta {
    Delta { price, size, count: 0, side: BookSide::Bid }
}

pub(super) fn ask(price: i64, size: i64) -> Delta {
    Delta { price, size, count: 0, side: BookSide::Ask }
}

pub(super) fn take(books: &mut Books, events: &[Event]) -> Vec<Applied> {
    events.iter().map(|event| books.apply(event)).collect()
}

/// Prices and sizes of a side, best first.
pub(super) fn levels(books: &Books, side: BookSide) -> Vec<(i64, i64)> {
    (0..).map_while(|depth| books.level(ID, side, depth)).map(|level| (level.price, level.size)).collect()
}

const BEGIN: Applied = Applied::Begin { gap: None, cleared: false };
const LAST: Applied = Applied::Delta { taken: true, last: true, recovered: false, gap: None };

fn begin_gap(expected: u64, received: u64) -> Applied {
    Applied::Begin { gap: Some(Gap { expected, received }), cleared: true }
}

fn quote(sequence: u64, ts_recv: u64, bid_price: i64, ask_price: i64) -> Event {
    let quote = Quote { bid_price, bid_size: 1, ask_price, ask_size: 1, bid_count: 0, ask_count: 0 };
    event(sequence, ts_recv, Body::Quote(quote))
}

#[test]
fn levels_are_kept_best_first_and_size_zero_deletes() {
    let mut books = Books::default();
    take(&mut books, &update(0, 1, &[bid(10, 1), bid(12, 2), bid(11, 3), ask(15, 4), ask(14, 5)]));
    assert_eq!(levels(&books, BookSide::Bid), [(12, 2), (11, 3), (10, 1)]);
    assert_eq!(levels(&books, BookSide::Ask), [(14, 5), (15, 4)]);
    take(&mut books, &update(1, 2, &[bid(12, 0), ask(14, 6), ask(13, 0)]));
    let top = books.top(ID).unwrap();
    assert_eq!((top.bid_price, top.bid_size, top.bid_levels), (11, 3, 2));
    assert_eq!((top.ask_price, top.ask_size, top.ask_levels), (14, 6, 2));
    take(&mut books, &update(2, 3, &[ask(14, 0), ask(15, 0)]));
    assert_eq!(books.top(ID).unwrap().ask_price, PRICE_UNDEFINED);
    assert_eq!(books.top(8), None);
}

#[test]
fn a_spot_update_must_begin_right_after_the_last_one() {
    // Spot: U = previous u + 1, and the decoder says follows = U - 1.
    let mut books = Books::default();
    assert_eq!(take(&mut books, &update(100, 110, &[bid(1, 1)])), [BEGIN, LAST]);
    assert_eq!(books.state(ID), BookState::Partial);
    assert_eq!(take(&mut books, &update(110, 111, &[bid(1, 2)])), [BEGIN, LAST]);
    assert_eq!(take(&mut books, &update(112, 120, &[bid(2, 1)]))[0], begin_gap(112, 113));
    assert_eq!(books.state(ID), BookState::Gapped);
    assert_eq!(books.counts().gaps, 1);
    assert_eq!(levels(&books, BookSide::Bid), [(2, 1)], "what came before the gap is gone");
}

#[test]
fn a_futures_update_names_the_one_it_follows_and_its_own_first_sequence_does_not_matter() {
    let mut books = Books::default();
    let depth = |first, follows| Depth { first, follows, levels: 1, snapshot: false, ..Depth::default() };
    take(&mut books, &frame(200, depth(150, 140), &[bid(1, 1)]));
    assert_eq!(take(&mut books, &frame(300, depth(250, 200), &[bid(1, 2)])), [BEGIN, LAST]);
    assert_eq!(take(&mut books, &frame(400, depth(350, 301), &[bid(1, 3)]))[0], begin_gap(301, 302));
}

#[test]
fn an_update_that_the_book_holds_is_ignored_with_all_its_levels() {
    let mut books = Books::default();
    take(&mut books, &update(0, 10, &[bid(5, 5)]));
    assert_eq!(take(&mut books, &update(0, 10, &[bid(5, 1), bid(6, 1)])), [Applied::Ignored; 3]);
    assert_eq!(take(&mut books, &update(3, 9, &[bid(5, 1)])), [Applied::Ignored; 2]);
    assert_eq!(levels(&books, BookSide::Bid), [(5, 5)]);
    assert_eq!(books.counts().outdated, 2);
    assert_eq!(take(&mut books, &update(8, 11, &[bid(5, 6)])), [BEGIN, LAST], "an overlap is harmless");
}

#[test]
fn the_first_update_after_a_snapshot_may_reach_back_before_it_but_not_begin_after_it() {
    for (follows, last, outcome) in [
        (90, 100, Applied::Ignored),
        (90, 101, BEGIN),
        (100, 101, BEGIN),
        (99, 120, BEGIN),
        (101, 120, begin_gap(101, 102)),
    ] {
        let mut books = Books::default();
        take(&mut books, &snapshot(100, &[bid(1, 1), ask(2, 1)]));
        assert_eq!(books.state(ID), BookState::Whole);
        assert_eq!(take(&mut books, &update(follows, last, &[bid(1, 2)]))[0], outcome, "{follows} {last}");
    }
}

#[test]
fn after_a_gap_only_a_snapshot_mends_the_book_where_the_file_says_snapshot() {
    let mut books = Books::new(Resync::Snapshot);
    take(&mut books, &snapshot(10, &[bid(1, 1), bid(2, 1)]));
    take(&mut books, &update(20, 30, &[bid(1, 5)]));
    assert_eq!(take(&mut books, &update(30, 31, &[bid(3, 1)])), [BEGIN, LAST]);
    assert_eq!(books.state(ID), BookState::Gapped, "updates alone do not mend it");
    let applied = take(&mut books, &snapshot(30, &[bid(1, 4), bid(2, 2)]));
    assert_eq!(applied[0], Applied::Begin { gap: None, cleared: true });
    assert_eq!(applied[2], Applied::Delta { taken: true, last: true, recovered: true, gap: None });
    assert_eq!(books.state(ID), BookState::Whole);
    assert_eq!(levels(&books, BookSide::Bid), [(3, 1), (2, 2), (1, 4)]);
}

#[test]
fn after_a_gap_the_next_whole_update_mends_the_book_where_the_file_says_rebuild() {
    let mut books = Books::new(Resync::Rebuild);
    take(&mut books, &update(0, 10, &[bid(1, 1), bid(2, 1)]));
    let applied = take(&mut books, &update(20, 30, &[bid(1, 5), ask(9, 1)]));
    assert_eq!(applied[0], begin_gap(11, 21));
    assert_eq!(applied[1], Applied::Delta { taken: true, last: false, recovered: false, gap: None });
    assert_eq!(applied[2], Applied::Delta { taken: true, last: true, recovered: true, gap: None });
    assert_eq!(books.state(ID), BookState::Partial);
    assert_eq!(levels(&books, BookSide::Bid), [(1, 5)]);
}

#[test]
fn an_update_without_levels_keeps_the_sequence_and_recovers_nothing() {
    let mut books = Books::new(Resync::Rebuild);
    take(&mut books, &update(0, 10, &[bid(1, 1)]));
    assert_eq!(take(&mut books, &update(10, 20, &[])), [BEGIN]);
    assert_eq!(books.reference(ID).ts_recv, 20, "it shows that the feed lives");
    assert_eq!(take(&mut books, &update(25, 30, &[])), [begin_gap(21, 26)]);
    assert_eq!(books.state(ID), BookState::Gapped);
    assert_eq!(
        take(&mut books, &update(30, 31, &[bid(1, 1)]))[1],
        Applied::Delta { taken: true, last: true, recovered: true, gap: None }
    );
}

#[test]
fn a_snapshot_in_mid_stream_leaves_what_is_newer_and_replaces_what_is_older() {
    let mut books = Books::default();
    take(&mut books, &update(100, 110, &[bid(10, 1), bid(9, 1), bid(8, 1), bid(1, 1), ask(20, 1)]));
    take(&mut books, &update(110, 120, &[bid(10, 2), bid(7, 0), ask(20, 0), ask(21, 3)]));
    let applied = take(
        &mut books,
        &snapshot(115, &[bid(10, 9), bid(9, 9), bid(7, 9), bid(5, 9), ask(20, 9), ask(21, 9), ask(22, 9)]),
    );
    let taken: Vec<bool> =
        applied.iter().filter_map(|a| if let Applied::Delta { taken, .. } = a { Some(*taken) } else { None }).collect();
    assert_eq!(taken, [false, true, false, true, false, false, true]);
    // 10 is newer; 9 replaced; 8 inside the range and unknown to the snapshot; 7 deleted after it; 1 beyond its range.
    assert_eq!(levels(&books, BookSide::Bid), [(10, 2), (9, 9), (5, 9), (1, 1)]);
    assert_eq!(levels(&books, BookSide::Ask), [(21, 3), (22, 9)]);
    let again: Vec<_> = books.newer_than_snapshot(ID).map(|d| (d.side, d.price, d.size)).collect();
    assert_eq!(again, [(BookSide::Bid, 10, 2), (BookSide::Bid, 1, 1), (BookSide::Ask, 21, 3)]);
    assert_eq!(
        take(&mut books, &update(120, 130, &[bid(10, 3)])),
        [BEGIN, LAST],
        "the sequence goes on from the updates"
    );
}

#[test]
fn a_snapshot_that_is_ahead_of_the_updates_replaces_everything() {
    let mut books = Books::default();
    take(&mut books, &update(100, 110, &[bid(10, 1), bid(1, 1)]));
    take(&mut books, &snapshot(111, &[bid(9, 9)]));
    assert_eq!(levels(&books, BookSide::Bid), [(9, 9)], "a level beyond its range may have changed unseen");
    assert_eq!(books.newer_than_snapshot(ID).count(), 0);
}

#[test]
fn a_snapshot_older_than_the_first_update_or_without_levels_is_refused_and_counted() {
    let mut books = Books::default();
    take(&mut books, &update(100, 110, &[bid(10, 1)]));
    assert_eq!(take(&mut books, &snapshot(99, &[bid(9, 9)])), [Applied::Ignored; 2]);
    assert_eq!(take(&mut books, &snapshot(120, &[])), [Applied::Ignored]);
    assert_eq!(books.counts().snapshots_refused, 2);
    assert_eq!(levels(&books, BookSide::Bid), [(10, 1)]);
    assert_eq!(take(&mut books, &snapshot(100, &[bid(9, 9)]))[0], Applied::Begin { gap: None, cleared: true });
    assert_eq!(
        take(&mut books, &snapshot(105, &[bid(8, 8)])),
        [Applied::Ignored; 2],
        "a whole book needs no older one"
    );
}

#[test]
fn a_snapshot_older_than_a_forgotten_deletion_is_refused() {
    let deleting = |deletions: usize| {
        let mut books = Books::default();
        take(&mut books, &update(10, 11, &[bid(1, 0)]));
        let deltas: Vec<_> = (0..i64::try_from(deletions).unwrap()).map(|price| bid(price + 2, 0)).collect();
        take(&mut books, &update(11, 12, &deltas));
        take(&mut books, &snapshot(10, &[bid(1, 9), bid(2, 9), ask(3, 9)]));
        (books.state(ID), levels(&books, BookSide::Bid))
    };
    assert_eq!(deleting(BOOK_DELETIONS_MAX - 1), (BookState::Whole, vec![]));
    assert_eq!(deleting(BOOK_DELETIONS_MAX), (BookState::Partial, vec![]));
}

#[test]
fn an_update_cut_short_is_a_gap() {
    let mut books = Books::default();
    take(&mut books, &update(0, 10, &[bid(10, 1), bid(9, 1)])[..2]);
    assert_eq!(take(&mut books, &update(10, 20, &[bid(8, 1)]))[0], begin_gap(10, 20));
    assert_eq!(levels(&books, BookSide::Bid), [(8, 1)]);
    assert_eq!(books.state(ID), BookState::Gapped);
}

#[test]
fn a_feed_without_sequences_has_no_gaps() {
    let mut books = Books::default();
    assert_eq!(take(&mut books, &update(0, 0, &[bid(1, 1)])), [BEGIN, LAST]);
    assert_eq!(take(&mut books, &update(0, 0, &[bid(1, 2)])), [BEGIN, LAST]);
    take(&mut books, &snapshot(0, &[bid(2, 2)]));
    assert_eq!(levels(&books, BookSide::Bid), [(2, 2)]);
}

#[test]
fn hostile_levels_are_refused_and_counted() {
    let mut books = Books::default();
    let invalid = [bid(PRICE_UNDEFINED, 1), bid(3, -1), ask(i64::MIN, i64::MAX)];
    let applied = take(&mut books, &update(u64::MAX - 1, u64::MAX, &invalid));
    assert_eq!(applied[1], Applied::Delta { taken: false, last: false, recovered: false, gap: None });
    assert_eq!(applied[2], Applied::Delta { taken: false, last: false, recovered: false, gap: None });
    assert_eq!(levels(&books, BookSide::Ask), [(i64::MIN, i64::MAX)]);
    assert_eq!(books.apply(&event(1, 1, Body::Delta(bid(1, 1)))), Applied::Ignored, "a level without an update");
    assert_eq!((books.counts().levels_refused, books.counts().strays), (2, 1));
}

#[test]
fn levels_beyond_the_limit_give_way_from_the_far_end_and_are_counted() {
    let mut books = Books::default();
    let deltas: Vec<_> = (1..=i64::try_from(BOOK_LEVELS_MAX).unwrap() + 3).map(|price| ask(price, 1)).collect();
    let applied = take(&mut books, &update(0, 1, &deltas));
    assert_eq!(applied.last(), Some(&Applied::Delta { taken: false, last: true, recovered: false, gap: None }));
    assert_eq!(books.top(ID).unwrap().ask_levels as usize, BOOK_LEVELS_MAX);
    assert_eq!(books.counts().evicted, 3);
}

#[test]
fn instruments_beyond_the_limit_are_ignored_and_counted() {
    let mut books = Books::default();
    for id in 0..=INSTRUMENTS_MAX as u64 {
        let mut quote = quote(1, 1, 1, 2);
        quote.head.instrument_id = id;
        let expected = if id < INSTRUMENTS_MAX as u64 { Applied::Quote } else { Applied::Ignored };
        assert_eq!(books.apply(&quote), expected);
    }
    assert_eq!(books.counts().instruments_refused, 1);
    assert!(books.quote(INSTRUMENTS_MAX as u64 - 1).is_some());
    assert_eq!(books.quote(INSTRUMENTS_MAX as u64), None);
}

#[test]
fn trades_are_none_of_the_books_business() {
    let mut books = Books::default();
    let trade = Trade { price: 1, size: 1, trade_id: 1, aggressor: crate::event::Aggressor::None };
    assert_eq!(books.apply(&event(1, 1, Body::Trade(trade))), Applied::Ignored);
    assert_eq!(books.top(ID), None);
}

#[test]
fn a_quote_with_an_earlier_sequence_is_ignored() {
    let mut books = Books::default();
    assert_eq!(books.apply(&quote(5, 50, 10, 11)), Applied::Quote);
    assert_eq!(books.apply(&quote(4, 60, 1, 2)), Applied::Ignored);
    assert_eq!(books.quote(ID).map(|(q, ts)| (q.bid_price, ts)), Some((10, 50)));
    assert_eq!(books.apply(&quote(5, 70, 10, 11)), Applied::Quote, "the same again is fresh news that it still holds");
    assert_eq!(books.apply(&quote(0, 80, 3, 4)), Applied::Quote, "a venue without sequences is taken as it comes");
}

#[test]
fn the_reference_is_the_newer_of_quote_and_whole_book_and_carries_the_books_state() {
    let mut books = Books::default();
    assert_eq!(books.reference(ID).bid, PRICE_UNDEFINED);
    take(&mut books, &update(0, 10, &[bid(10, 1), ask(12, 1)]));
    assert_eq!((books.reference(ID).bid, books.reference(ID).state), (10, BookState::Partial));
    books.apply(&quote(9, 9, 7, 8));
    assert_eq!(
        (books.reference(ID).bid, books.reference(ID).ts_recv),
        (7, 9),
        "a partial book may lack its best levels"
    );
    take(&mut books, &snapshot(11, &[bid(20, 1), ask(22, 1)]));
    assert_eq!((books.reference(ID).bid, books.reference(ID).ask, books.reference(ID).ts_recv), (20, 22, 11));
    books.apply(&quote(12, 12, 23, 23));
    assert!(books.reference(ID).is_crossed(), "a locked market counts as crossed");
    take(&mut books, &update(12, 13, &[bid(20, 2)]));
    assert_eq!(books.reference(ID).state, BookState::Gapped, "also where the quote is fine");
}

#[test]
fn half_a_frame_does_not_move_the_reference() {
    let mut books = Books::default();
    take(&mut books, &snapshot(10, &[bid(10, 1), ask(12, 1)]));
    let up = update(10, 20, &[bid(13, 1), ask(12, 0), ask(14, 1)]);
    take(&mut books, &up[..2]);
    assert_eq!((books.reference(ID).bid, books.reference(ID).ask, books.reference(ID).ts_recv), (10, 12, 10));
    take(&mut books, &up[2..]);
    assert_eq!((books.reference(ID).bid, books.reference(ID).ask, books.reference(ID).ts_recv), (13, 14, 20));
}
