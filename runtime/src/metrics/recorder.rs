//! A latency histogram with one writer and any number of readers: fixed memory, no lock, no allocation, no read-modify-write.
//!
//! The cells are laid out as `hdrhistogram` lays out a histogram of two significant digits over 1 ns to [`LATENCY_NS_MAX`], so
//! that a reader's copy is exact. `hdrhistogram`'s own `SyncHistogram` allocates on the recording thread at a phase shift, which
//! a worker must not do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;

/// Longest latency told apart: 68.7 s. What is longer is counted as this long; `max` is exact.
pub const LATENCY_NS_MAX: u64 = (1 << LATENCY_BITS) - 1;

const LATENCY_BITS: u32 = 36;
/// Significant digits: any recorded value is known to better than 1 %.
const DIGITS: u8 = 2;
/// Smallest power of two that tells two digits apart: 2 * 10^2, rounded up.
const SUB_BUCKETS: u32 = 256;
const SUB_BUCKET_BITS: u32 = SUB_BUCKETS.trailing_zeros();
const CELLS: usize = ((LATENCY_BITS - SUB_BUCKET_BITS + 2) * SUB_BUCKETS / 2) as usize;

#[derive(Debug)]
struct Cells {
    counts: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

/// The writing end. Not `Clone`: two writers would lose counts.
#[derive(Debug)]
pub struct Recorder {
    cells: Arc<Cells>,
}

/// A reading end: sees each record at latest when the writer's thread next synchronises with it.
#[derive(Debug, Clone)]
pub struct RecorderReader {
    cells: Arc<Cells>,
}

/// Whether a process measures latencies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Histograms {
    /// All of them.
    #[default]
    On,
    /// None: recorders keep nothing, and for a record and a callback no clock is read for them.
    Off,
}

impl Histograms {
    /// A histogram's pair of ends. 30 KiB where it is on.
    #[must_use]
    pub fn recorder(self) -> (Recorder, RecorderReader) {
        let cells = if self == Self::On { CELLS } else { 0 };
        let cells = Arc::new(Cells {
            counts: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            sum_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
        });
        (Recorder { cells: Arc::clone(&cells) }, RecorderReader { cells })
    }
}

/// A pair of ends that is on.
#[must_use]
pub fn recorder() -> (Recorder, RecorderReader) {
    Histograms::On.recorder()
}

#[expect(clippy::cast_possible_truncation, reason = "a step is below SUB_BUCKETS")]
const fn cell_of(value: u64) -> usize {
    // As hdrhistogram's index_for: which power of two, then which step inside it.
    let bucket = 64 - (value | (SUB_BUCKETS as u64 - 1)).leading_zeros() - SUB_BUCKET_BITS;
    let step = (value >> bucket) as u32;
    (bucket * (SUB_BUCKETS / 2) + step) as usize
}

const fn lowest_value_of(cell: usize) -> u64 {
    let half = SUB_BUCKETS as usize / 2;
    if cell < 2 * half {
        return cell as u64;
    }
    let bucket = cell / half - 1;
    ((cell % half + half) as u64) << bucket
}

impl Recorder {
    /// Whether it keeps what it is told: where it does not, nobody need read a clock for it.
    #[must_use]
    #[inline]
    pub fn is_on(&self) -> bool {
        !self.cells.counts.is_empty()
    }

    /// Adds one value in ns. Three loads and three stores.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        let cells = &*self.cells;
        // One writer: a plain load and store is enough, and cheaper than a locked add.
        let bump = |cell: &AtomicU64, by: u64| cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
        // There is one for every latency, or none at all.
        let Some(cell) = cells.counts.get(cell_of(ns.min(LATENCY_NS_MAX))) else { return };
        bump(cell, 1);
        bump(&cells.sum_ns, ns);
        if ns > cells.max_ns.load(Relaxed) {
            cells.max_ns.store(ns, Relaxed);
        }
    }
}

impl Recorder {
    /// Adds all that another recorder has seen, whose writer writes no more.
    pub fn absorb(&mut self, gone: &RecorderReader) {
        let add =
            |to: &AtomicU64, from: &AtomicU64| to.store(to.load(Relaxed).wrapping_add(from.load(Relaxed)), Relaxed);
        self.cells.counts.iter().zip(&gone.cells.counts).for_each(|(to, from)| add(to, from));
        add(&self.cells.sum_ns, &gone.cells.sum_ns);
        self.cells.max_ns.store(self.cells.max_ns.load(Relaxed).max(gone.cells.max_ns.load(Relaxed)), Relaxed);
    }
}

/// What several recorders of one stage saw together.
#[derive(Debug, Clone)]
pub struct Latency {
    /// The merged histogram, ns.
    pub histogram: Histogram<u64>,
    /// Sum of all values, ns.
    pub sum_ns: u64,
    /// Largest value, exact.
    pub max_ns: u64,
}

impl Default for Latency {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "constant bounds that hdrhistogram takes")]
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("constant bounds");
        Self { histogram, sum_ns: 0, max_ns: 0 }
    }
}

impl Latency {
    /// Adds all that a recorder has seen so far. No cell above its largest value is looked at: most of the thousands of an idle one are
    /// in no cache, and need not come into it.
    pub fn merge(&mut self, reader: &RecorderReader) {
        let max_ns = reader.cells.max_ns.load(Relaxed);
        for (cell, count) in reader.cells.counts.iter().enumerate().take(cell_of(max_ns.min(LATENCY_NS_MAX)) + 1) {
            let count = count.load(Relaxed);
            if count > 0 {
                self.histogram.saturating_record_n(lowest_value_of(cell), count);
            }
        }
        self.sum_ns = self.sum_ns.wrapping_add(reader.cells.sum_ns.load(Relaxed));
        self.max_ns = self.max_ns.max(max_ns);
    }

    /// Empties it, and keeps its memory for the next.
    pub fn clear(&mut self) {
        self.histogram.reset();
        (self.sum_ns, self.max_ns) = (0, 0);
    }

    /// The value in ns at a quantile from 0 to 1, never above the exact maximum; 0 of none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> u64 {
        if self.histogram.is_empty() {
            return 0;
        }
        self.histogram.value_at_quantile(quantile).min(self.max_ns)
    }

    /// How many values lie at or below each of these bounds, which ascend: what [`Histogram::count_between`] says of each, in one pass
    /// for all.
    #[must_use]
    pub fn counts_up_to<const N: usize>(&self, bounds: &[u64; N]) -> [u64; N] {
        let (mut counts, mut place, mut count) = ([0; N], 0, 0);
        let cells = bounds.map(|bound| cell_of(bound.min(LATENCY_NS_MAX)));
        for step in self.histogram.iter_recorded() {
            while place < N && cells[place] < cell_of(step.value_iterated_to()) {
                counts[place] = count;
                place += 1;
            }
            count += step.count_at_value();
        }
        counts[place..].fill(count);
        counts
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reader_sees_what_hdrhistogram_would_have_recorded() {
        let (mut recorder, reader) = recorder();
        let mut oracle = Latency::default().histogram;
        let mut value = 1_u64;
        while value < LATENCY_NS_MAX {
            for v in [value - 1, value, value + 1] {
                recorder.record(v);
                oracle.saturating_record(v);
            }
            value = value * 5 / 4 + 1;
        }
        let mut merged = Latency::default();
        merged.merge(&reader);
        assert_eq!(merged.histogram, oracle);
        merged.clear();
        assert_eq!((merged.count(), merged.sum_ns, merged.max_ns, merged.quantile(0.5)), (0, 0, 0, 0));
        merged.merge(&reader);
        assert_eq!(merged.histogram, oracle);
    }

    #[test]
    fn what_a_gone_recorder_saw_is_kept() {
        let ((mut kept, reader), (mut gone, gone_reader)) = (recorder(), recorder());
        kept.record(5);
        gone.record(70_000);
        kept.absorb(&gone_reader);
        let mut merged = Latency::default();
        merged.merge(&reader);
        assert_eq!((merged.count(), merged.max_ns, merged.sum_ns), (2, 70_000, 70_005));
    }

    #[test]
    fn counts_up_to_bounds_are_those_of_hdrhistogram() {
        const BOUNDS: [u64; 8] = [0, 250, 255, 1_000, 50_000, 50_001, LATENCY_NS_MAX, u64::MAX];
        let mut latency = Latency::default();
        let check = |latency: &Latency| {
            let each = BOUNDS.map(|bound| latency.histogram.count_between(0, bound));
            assert_eq!(latency.counts_up_to(&BOUNDS), each);
        };
        check(&latency);
        let (mut recorder, reader) = recorder();
        for ns in [0, 1, 249, 250, 251, 999, 1_003, 49_999, 50_100, 1 << 35, u64::MAX] {
            recorder.record(ns);
        }
        latency.merge(&reader);
        check(&latency);
        assert_eq!(latency.counts_up_to(&[1 << 20]), [9]);
    }

    #[test]
    fn one_that_is_off_keeps_nothing() {
        let (mut off, reader) = Histograms::Off.recorder();
        let ((mut kept, kept_reader), mut merged) = (recorder(), Latency::default());
        off.record(5);
        kept.absorb(&reader);
        merged.merge(&reader);
        merged.merge(&kept_reader);
        assert_eq!((off.is_on(), kept.is_on(), merged.count(), merged.max_ns), (false, true, 0, 0));
    }

    #[test]
    fn longer_than_the_longest_is_counted_and_its_maximum_kept() {
        let (mut recorder, reader) = recorder();
        recorder.record(u64::MAX >> 1);
        let mut merged = Latency::default();
        merged.merge(&reader);
        assert_eq!((merged.count(), merged.max_ns), (1, u64::MAX >> 1));
    }

    proptest! {
        #[test]
        fn every_value_has_a_cell_whose_lowest_value_is_not_above_it(value in 0..=LATENCY_NS_MAX) {
            let cell = cell_of(value);
            prop_assert!(cell < CELLS);
            let lowest = lowest_value_of(cell);
            prop_assert!(lowest <= value && value - lowest <= value / 100);
            prop_assert_eq!(cell_of(lowest), cell);
        }
    }
}
