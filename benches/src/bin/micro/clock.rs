//! What it costs to ask how late it is: the counter that callbacks are timed by, beside the kernel's clock.

use std::hint::black_box;

use pinion_benches::machine::load;
use pinion_benches::pairs::Took;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::stopwatch;

use crate::bench::Bench;

/// Readings at a time.
const READINGS: u64 = 2_000;

fn took(read: impl Fn() -> u64) -> Took {
    let began = mono_ns();
    for _ in 0..READINGS {
        black_box(read());
    }
    Took { operations: READINGS, ns: mono_ns() - began }
}

#[expect(clippy::unnecessary_wraps, reason = "as the other rows")]
pub(crate) fn rows(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let before = load();
    let pairs = bench.pairs(&mut || took(stopwatch::ns), &mut || took(mono_ns));
    let what = What {
        id: "clock",
        name: "a reading of the counter",
        unit: "ns",
        floor: "the kernel's monotonic clock",
        shown: Shown::Cost,
    };
    results.push(Row::of_pairs(what, Goal::None, &pairs, before));
    Ok(())
}
