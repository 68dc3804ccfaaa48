//! The host-kept book: a level near the touch, a level far from it, and the questions asked of it.

use std::hint::black_box;

use pinion_runtime::book::Books;
use pinion_runtime::event::{Body, BookSide, Delta, Depth, Event, Head, Origin, Stamp};
use pinion_spec::strategy::Resync;

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case { name: "book/frame of 2: set at the touch", make: || changing(0, false) },
    Case { name: "book/frame of 2: delete and insert at the touch", make: || changing(0, true) },
    Case { name: "book/frame of 2: delete and insert 10 deep", make: || changing(10, true) },
    Case { name: "book/frame of 2: delete and insert 500 deep", make: || changing(500, true) },
    Case { name: "book/top", make: || asking(|books| _ = black_box(books.top(black_box(ID)))) },
    Case { name: "book/reference", make: || asking(|books| _ = black_box(books.reference(black_box(ID)))) },
    Case {
        name: "book/level 10",
        make: || asking(|books| _ = black_box(books.level(black_box(ID), BookSide::Bid, black_box(10)))),
    },
];

const ID: u64 = 7;
const TICK: i64 = 10_000_000;
const MIDDLE: i64 = 60_000 * 1_000_000_000;
const LEVELS: i64 = 1_000;

fn event(sequence: u64, body: Body) -> Event {
    let head = Head { instrument_id: ID, sequence, ts_recv: sequence, ..Head::default() };
    Event { head, body, origin: Origin::default(), stamp: Stamp::default() }
}

fn delta(side: BookSide, depth: i64, size: i64) -> Delta {
    let price = match side {
        BookSide::Bid => MIDDLE - depth * TICK,
        BookSide::Ask => MIDDLE + (depth + 1) * TICK,
    };
    Delta { price, size, count: 0, side }
}

/// A whole book of 1,000 levels a side.
fn books() -> Books {
    let mut books = Books::new(Resync::Snapshot);
    books.apply(&event(
        1,
        Body::Depth(Depth { first: 0, follows: 0, levels: 2_000, snapshot: true, ..Depth::default() }),
    ));
    for depth in 0..LEVELS {
        books.apply(&event(1, Body::Delta(delta(BookSide::Bid, depth, 5))));
        books.apply(&event(1, Body::Delta(delta(BookSide::Ask, depth, 5))));
    }
    books
}

/// Frames of two levels: one set and one deleted or set again at `depth`, so that the book keeps its size.
fn frames(books: &mut Books, sequence: &mut u64, depth: i64, deletes: bool) {
    let depth_event =
        Depth { first: *sequence + 1, follows: *sequence, levels: 2, snapshot: false, ..Depth::default() };
    *sequence += 1;
    let size = if deletes { 0 } else { 7 };
    black_box(books.apply(&event(*sequence, Body::Depth(depth_event))));
    black_box(books.apply(&event(*sequence, Body::Delta(delta(BookSide::Bid, depth, size)))));
    black_box(books.apply(&event(*sequence, Body::Delta(delta(BookSide::Bid, depth, 5)))));
}

fn changing(depth: i64, deletes: bool) -> Box<dyn FnMut()> {
    let (mut books, mut sequence) = (books(), 1);
    Box::new(move || frames(&mut books, &mut sequence, black_box(depth), deletes))
}

fn asking(question: fn(&Books)) -> Box<dyn FnMut()> {
    let books = books();
    Box::new(move || question(&books))
}
