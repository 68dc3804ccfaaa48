//! Row 5: how quickly a backlog is read, one event a record. The system is stopped while the backlog is written, so that its time
//! begins with all of it there.

use pinion_benches::machine::{Quiet, load};
use pinion_benches::pairs::{Pairs, sides};
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};

use crate::system::System;

/// One record of so many is answered: reading is measured, not writing.
pub(crate) const EVERY: u64 = 1_000;
/// What is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// How many records.
    pub(crate) records: u64,
    /// One of so many is answered.
    pub(crate) every: u64,
}

impl Backlog {
    /// Of row 5.
    pub(crate) const READING: Self = Self { records: 200_000, every: EVERY };
}

/// One system beside another, in turns.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
pub(crate) fn row(
    (a, b): (&mut System, &mut System),
    what: What<'_>,
    goal: f64,
    fours: usize,
    backlog: Backlog,
    results: &mut Results,
) -> Result<(), String> {
    let before = load();
    let mut pairs = Pairs { fours, ..Pairs::default() };
    for system in [&mut *a, &mut *b] {
        system.drain(backlog)?;
    }
    for four in 0..fours {
        let (quiet, sides, mut each) = (Quiet::now(), sides(four), Vec::with_capacity(4));
        for is_a in sides {
            let system = if is_a { &mut *a } else { &mut *b };
            let ns = system.drain(backlog)?;
            each.push(ns as f64 / backlog.records as f64);
            eprintln!(
                "{:>8} reads a backlog at {:.0} records/s",
                system.name,
                1e9 * backlog.records as f64 / ns as f64
            );
        }
        if quiet.held_since() {
            pairs.take(sides[0], [each[0], each[1], each[2], each[3]]);
            pairs.operations += 4 * backlog.records;
        } else {
            pairs.dropped += 1;
        }
    }
    results.push(Row::of_pairs(What { shown: Shown::Speed, ..what }, Goal::RatioAtLeast(goal), &pairs, before));
    Ok(())
}
