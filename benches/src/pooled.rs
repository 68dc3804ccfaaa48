//! Percentiles of many blocks: their histograms are merged, never their percentiles averaged, and the interval comes of drawing blocks
//! anew.

use hdrhistogram::Histogram;

use crate::hiccups::{latencies, percentile};
use crate::interval::Interval;
use crate::pairs::Pairs;
use crate::row::{Row, Verdict, What};

/// All of these in one.
pub fn merged<'t>(histograms: impl IntoIterator<Item = &'t Histogram<u64>>) -> Histogram<u64> {
    let mut all = latencies();
    for histogram in histograms {
        // They have the same bounds.
        let _ = all.add(histogram);
    }
    all
}

/// A percentile of all of these blocks; `None` where too few lie above it to tell.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
pub fn percentile_of(blocks: &[Histogram<u64>], quantile: f64) -> Option<Interval> {
    percentile(&merged(blocks), quantile)?;
    Interval::resampled(blocks, |drawn| merged(drawn.iter().copied()).value_at_quantile(quantile) as f64)
}

/// Two sides' latencies, of fours of blocks.
#[derive(Debug, Default)]
pub struct Turns {
    /// What their p50 came to, block by block.
    pub pairs: Pairs,
    /// Of A and of B: two blocks each of a four, or all of a process where several were joined.
    drawn: Vec<[Histogram<u64>; 2]>,
}

impl Turns {
    /// So many fours are to come.
    #[must_use]
    pub fn new(fours: usize) -> Self {
        Self { pairs: Pairs { fours, ..Pairs::default() }, drawn: Vec::new() }
    }

    /// Four blocks, in the order in which they were measured.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
    pub fn take(&mut self, a_first: bool, blocks: [&Histogram<u64>; 4]) {
        self.pairs.operations += blocks.iter().map(|block| block.len()).sum::<u64>();
        self.pairs.take(a_first, blocks.map(|block| block.value_at_quantile(0.5) as f64));
        let (outer, inner) = (merged([blocks[0], blocks[3]]), merged([blocks[1], blocks[2]]));
        self.drawn.push(if a_first { [outer, inner] } else { [inner, outer] });
    }

    /// Takes what was measured of other processes: from now on they are what is drawn anew.
    pub fn join(&mut self, other: Self) {
        if !other.drawn.is_empty() {
            self.drawn.push(other.sides());
        }
        self.pairs.append(other.pairs);
    }

    /// All of A and all of B.
    #[must_use]
    pub fn sides(&self) -> [Histogram<u64>; 2] {
        [0, 1].map(|side: usize| merged(self.drawn.iter().map(|four| &four[side])))
    }

    /// A percentile of A over that of B; `None` where too few lie above it to tell.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
    pub fn row(&self, what: What<'_>, goal: crate::row::Goal, quantile: f64, load: f64) -> Option<Row> {
        let [a, b] = self.sides();
        let (of_a, of_b) = (percentile(&a, quantile)?, percentile(&b, quantile)?);
        let ratio = Interval::resampled(&self.drawn, |drawn| {
            let of = |side: usize| merged(drawn.iter().map(|four| &four[side])).value_at_quantile(quantile) as f64;
            of(0) / of(1).max(1.0)
        })?;
        let row = Row::of_interval(what, goal, ratio, load);
        let row = Row {
            value: of_a as f64,
            floor: Some(of_b as f64),
            floor_is: Some(what.floor.to_owned()),
            ratio: Some(ratio.median),
            ..row
        };
        Some(self.pairs.judge(row))
    }
}

impl Pairs {
    /// A row that was measured in these blocks: what spoils them spoils it.
    #[must_use]
    pub fn judge(&self, row: Row) -> Row {
        let row = Row { pairs: self.ratios.len(), dropped: self.dropped, operations: self.operations, ..row };
        match self.inconclusive() {
            Some(why) if row.verdict != Verdict::Shown => Row { verdict: Verdict::Inconclusive, ..row }.noting(&why),
            _ => row,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Goal, Shown};

    const WHAT: What<'_> = What { id: "4", name: "in to out", unit: "ns", floor: "an echo", shown: Shown::Cost };

    fn block(ns: u64, tail_ns: u64) -> Histogram<u64> {
        let mut histogram = latencies();
        histogram.record_n(ns, 950).unwrap();
        histogram.record_n(tail_ns, 50).unwrap();
        histogram
    }

    #[test]
    fn a_percentile_of_all_blocks_is_not_the_mean_of_theirs() {
        let mut turns = Turns::new(20);
        for four in 0..20 {
            let a_first = four % 2 == 0;
            let (a, b) = (block(1_000, 3_000), block(1_000, 2_000));
            turns.take(a_first, if a_first { [&a, &b, &b, &a] } else { [&b, &a, &a, &b] });
        }
        let row = turns.row(WHAT, Goal::RatioAtMost(1.6), 0.99, 0.0).unwrap();
        assert!((row.ratio.unwrap() - 1.5).abs() < 0.01, "{row:?}");
        assert_eq!((row.verdict, row.pairs, row.operations), (Verdict::Met, 40, 80_000));
        // Fewer than a hundred of 40,000 lie above.
        assert_eq!(turns.row(WHAT, Goal::None, 0.999, 0.0), None);
        assert_eq!(turns.sides().map(|side| side.len()), [40_000, 40_000]);
    }

    #[test]
    fn a_tail_in_blocks_whose_middle_strays_is_inconclusive() {
        let mut turns = Turns::new(20);
        for four in 0..20 {
            let (steady, strays) = (block(1_000, 3_000), block(1_000 + four % 5 * 200, 3_000));
            turns.take(true, [&steady, &steady, &strays, &steady]);
        }
        let row = turns.row(WHAT, Goal::RatioAtMost(1.6), 0.99, 0.0).unwrap();
        assert_eq!(row.verdict, Verdict::Inconclusive, "{row:?}");
    }

    #[test]
    fn processes_are_joined_with_their_tails_and_it_is_they_that_are_drawn() {
        let of = |tail_ns, taken: usize| {
            let mut turns = Turns::new(5);
            turns.pairs.dropped = 5 - taken;
            let (a, b) = (block(1_000, tail_ns), block(1_000, 2_000));
            (0..taken).for_each(|_| turns.take(true, [&a, &b, &b, &a]));
            turns
        };
        let mut joined = Turns::default();
        [(2_000, 5), (3_000, 5), (4_000, 5), (9_000, 0)]
            .into_iter()
            .for_each(|(tail, taken)| joined.join(of(tail, taken)));
        let row = joined.row(WHAT, Goal::RatioAtMost(9.0), 0.975, 0.0).unwrap();
        assert_eq!((row.pairs, row.dropped, row.verdict), (30, 5, Verdict::Met));
        assert!((row.ratio.unwrap() - 1.5).abs() < 0.02 && row.ci[1] - row.ci[0] > 0.5, "{row:?}");
    }

    #[test]
    fn the_more_the_blocks_differ_the_wider_is_the_interval() {
        let of = |step: u64| {
            let blocks: Vec<Histogram<u64>> = (0..20).map(|n| block(1_000, 2_000 + n * step)).collect();
            percentile_of(&blocks, 0.98).unwrap()
        };
        let (near, far) = (of(1), of(200));
        assert!(near.low <= near.median && near.median <= near.high, "{near:?}");
        assert!(far.high - far.low > 10.0 * (near.high - near.low), "{near:?} {far:?}");
        assert_eq!(percentile_of(&[block(1_000, 2_000)], 0.98), None);
    }
}
