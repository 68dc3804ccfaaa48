//! Two things in turns: A B B A, then B A A B, in short blocks of one thread. What the machine does meanwhile hits both.
//!
//! The result is the median of the ratios of neighbours. The two blocks in the middle of four are of the same side: their ratio is the
//! control, what a difference of nothing looks like on this machine. Four blocks of which the machine spoilt one are dropped.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use serde::{Deserialize, Serialize};

use crate::interval::{Interval, median};
use crate::machine::Quiet;

/// How far the control's interval may leave 1.
pub const CONTROL_TOLERANCE: f64 = 0.02;
/// Share of fours that may be dropped, in percent.
const DROPPED_PERCENT_MAX: usize = 30;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Fours of blocks: two pairs and a control each.
    pub fours: usize,
    /// Of one block.
    pub block: Duration,
}

/// Some operations, and how long they took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    /// What was done.
    pub operations: u64,
    /// Nanoseconds of it; what a side does beside the operation is not in it.
    pub ns: u64,
}

/// The order of a four's blocks, true for A: A B B A, and then B A A B.
#[must_use]
pub const fn sides(four: usize) -> [bool; 4] {
    let a_first = four.is_multiple_of(2);
    [a_first, !a_first, !a_first, a_first]
}

/// What two sides came to, in ns an operation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pairs {
    /// A over B.
    pub ratios: Vec<f64>,
    /// A side over itself.
    pub controls: Vec<f64>,
    /// Of A.
    pub a: Vec<f64>,
    /// Of B.
    pub b: Vec<f64>,
    /// Fours of blocks that were measured.
    pub fours: usize,
    /// Of them, those that the machine spoilt.
    pub dropped: usize,
    /// Operations of both sides, in blocks that count.
    pub operations: u64,
    /// Pairs of each process that was joined. What lies where in memory is drawn once a process: its pairs are no more independent.
    pub processes: Vec<usize>,
}

/// Does operations over and over for about so long; ns an operation.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
fn block(side: &mut dyn FnMut() -> Took, time: Duration, operations: &mut u64) -> f64 {
    let until = mono_ns() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut all = Took::default();
    loop {
        let took = side();
        all.operations += took.operations;
        all.ns += took.ns;
        if mono_ns() >= until {
            *operations += all.operations;
            return all.ns as f64 / all.operations.max(1) as f64;
        }
    }
}

impl Pairs {
    /// Measures. A side does some thousand operations at a call.
    pub fn measure(plan: Plan, a: &mut dyn FnMut() -> Took, b: &mut dyn FnMut() -> Took) -> Self {
        let mut pairs = Self::default();
        let (mut warm, mut spoilt) = (0, Vec::new());
        pairs.fours = plan.fours;
        block(a, plan.block, &mut warm);
        block(b, plan.block, &mut warm);
        for four in 0..plan.fours {
            let (quiet, mut operations) = (Quiet::now(), 0);
            let sides = sides(four);
            let blocks = sides.map(|is_a| block(if is_a { &mut *a } else { &mut *b }, plan.block, &mut operations));
            if quiet.held_since() {
                pairs.take(sides[0], blocks);
                pairs.operations += operations;
            } else {
                pairs.dropped += 1;
                spoilt.push((sides[0], blocks));
            }
        }
        if pairs.too_many_dropped() {
            // No verdict comes of them. Who measures on a busy machine sees at least about what it is.
            spoilt.into_iter().for_each(|(a_first, blocks)| pairs.take(a_first, blocks));
        }
        pairs
    }

    fn too_many_dropped(&self) -> bool {
        self.dropped * 100 > self.fours * DROPPED_PERCENT_MAX
    }

    /// Takes what another process has measured of the same. What it would give no verdict for counts as dropped.
    pub fn join(&mut self, other: Self) {
        if other.too_many_dropped() {
            // What is in it is what the machine spoilt.
            self.fours += other.fours;
            self.dropped += other.fours;
        } else {
            self.append(other);
        }
    }

    /// Takes what was measured in another process.
    pub(crate) fn append(&mut self, other: Self) {
        self.fours += other.fours;
        self.dropped += other.dropped;
        self.operations += other.operations;
        if !other.ratios.is_empty() {
            self.processes.push(other.ratios.len());
        }
        self.ratios.extend(other.ratios);
        self.controls.extend(other.controls);
        self.a.extend(other.a);
        self.b.extend(other.b);
    }

    /// Takes four blocks' figures, in the order in which they were measured.
    pub fn take(&mut self, a_first: bool, [outer, inner, inner_again, outer_again]: [f64; 4]) {
        self.controls.push(inner / inner_again);
        let pairs = [(outer, inner), (outer_again, inner_again)];
        for (a, b) in pairs.map(|(outer, inner)| if a_first { (outer, inner) } else { (inner, outer) }) {
            self.ratios.push(a / b);
            self.a.push(a);
            self.b.push(b);
        }
    }

    /// A median of these pairs' figures, drawn anew by the pair, or by the process where several were joined.
    #[must_use]
    pub fn interval(&self, figures: &[f64]) -> Option<Interval> {
        if self.processes.len() < 2 {
            return Interval::of(figures);
        }
        let mut rest = figures;
        let each = self.processes.iter().map(|pairs| rest.split_off(..*pairs).unwrap_or_default());
        let each: Vec<&[f64]> = each.collect();
        Interval::resampled(&each, |drawn| {
            median(drawn.iter().flat_map(|each| each.iter().copied())).unwrap_or(f64::NAN)
        })
    }

    /// Why no verdict can be given; `None` where one can.
    #[must_use]
    pub fn inconclusive(&self) -> Option<String> {
        if self.too_many_dropped() {
            return Some(format!("{} of {} fours dropped", self.dropped, self.fours));
        }
        match Interval::of(&self.controls) {
            Some(control) if control.is_one_within(CONTROL_TOLERANCE) => None,
            Some(control) => Some(format!("control {:.3} to {:.3}", control.low, control.high)),
            None => Some("nothing measured".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs these in turn, without a clock.
    fn fours(a: impl Fn(usize) -> f64, b: impl Fn(usize) -> f64, count: usize) -> Pairs {
        let mut pairs = Pairs::default();
        for four in 0..count {
            let at = |place: usize, is_a: bool| if is_a { a(4 * four + place) } else { b(4 * four + place) };
            let a_first = four % 2 == 0;
            let sides = [a_first, !a_first, !a_first, a_first];
            pairs.take(a_first, [0, 1, 2, 3].map(|place| at(place, sides[place])));
        }
        pairs
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "a few blocks")]
    fn a_machine_that_slows_down_hits_both_sides_and_no_ratio() {
        let drift = |n: usize| 1.0 + 0.000_5 * n as f64;
        let pairs = fours(|n| 2.0 * drift(n), drift, 20);
        let ratio = Interval::of(&pairs.ratios).unwrap();
        assert!((ratio.median - 2.0).abs() < 0.002, "{ratio:?}");
        assert_eq!(pairs.inconclusive(), None);
        assert_eq!(pairs.ratios.len(), 40);
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "a few blocks")]
    fn noise_and_dropped_blocks_make_it_inconclusive() {
        let noise = |n: usize| 1.0 + (n * 7_919 % 13) as f64 * 0.05;
        let why = fours(noise, noise, 20).inconclusive().unwrap();
        assert!(why.starts_with("control"), "{why}");
        let dropped = Pairs { fours: 29, dropped: 9, ..fours(|_| 1.0, |_| 1.0, 20) };
        assert_eq!(dropped.inconclusive().unwrap(), "9 of 29 fours dropped");
        assert_eq!(Pairs { dropped: 8, ..dropped }.inconclusive(), None);
        assert_eq!(Pairs::default().inconclusive().unwrap(), "nothing measured");
    }

    #[test]
    fn what_other_processes_measured_is_joined_and_what_a_busy_machine_spoilt_is_dropped() {
        let mut pairs = Pairs { fours: 10, dropped: 1, ..fours(|_| 2.0, |_| 1.0, 9) };
        pairs.join(Pairs { fours: 10, dropped: 2, ..fours(|_| 3.0, |_| 1.0, 8) });
        assert_eq!((pairs.fours, pairs.dropped, pairs.ratios.len(), pairs.controls.len()), (20, 3, 34, 17));
        assert_eq!(pairs.ratios.iter().filter(|ratio| **ratio > 2.5).count(), 16);
        pairs.join(Pairs { fours: 10, dropped: 4, ..fours(|_| 9.0, |_| 1.0, 10) });
        assert_eq!((pairs.fours, pairs.dropped, pairs.a.len()), (30, 7 + 6, 34));
        assert!(pairs.inconclusive().unwrap().contains("dropped"));
    }

    #[test]
    fn what_differs_from_process_to_process_widens_the_interval_however_often_each_is_measured() {
        let mut joined = Pairs::default();
        for ratio in [1.00, 1.02, 1.04, 1.06, 1.08] {
            joined.join(Pairs { fours: 40, ..fours(|_| ratio, |_| 1.0, 40) });
        }
        let (by_pair, by_process) = (Interval::of(&joined.ratios).unwrap(), joined.interval(&joined.ratios).unwrap());
        assert!((by_process.median - 1.04).abs() < 1e-9, "{by_process:?}");
        assert!(by_process.high - by_process.low > 2.0 * (by_pair.high - by_pair.low), "{by_pair:?} {by_process:?}");
        let one = fours(|n| if n % 3 == 0 { 1.1 } else { 1.0 }, |_| 1.0, 40);
        assert_eq!(one.interval(&one.ratios), Interval::of(&one.ratios));
    }

    #[test]
    fn a_side_is_measured_by_what_it_says_it_took() {
        let plan = Plan { fours: 2, block: Duration::from_millis(1) };
        let pairs =
            Pairs::measure(plan, &mut || Took { operations: 10, ns: 300 }, &mut || Took { operations: 5, ns: 100 });
        assert!(pairs.a.iter().all(|ns| (ns - 30.0).abs() < 1e-9) && pairs.b.iter().all(|ns| (ns - 20.0).abs() < 1e-9));
        assert!(pairs.controls.iter().all(|control| (control - 1.0).abs() < 1e-9));
    }
}
