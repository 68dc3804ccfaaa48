//! When records are sent: fixed in advance, whatever becomes of those before.

use pinion_tests::captures::{self, Capture};
use pinion_venue::Rng;

/// Records of a burst, which come at ten times the rate; then nothing until the mean is the rate again.
const BURST: u64 = 50;

/// A pattern of send times.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    /// Evenly.
    Fixed,
    /// As independent arrivals: gaps are exponential.
    Poisson,
    /// Bursts at ten times the rate.
    Bursts,
    /// The gaps of a capture, ns, at its own pace.
    Recorded(Vec<u64>),
}

impl Pattern {
    /// The gaps between the messages of a capture; `None` without it.
    pub(crate) fn recorded(capture: &Capture) -> Option<Self> {
        let times: Vec<u64> = captures::frames(&capture.path()?).iter().map(|frame| frame.ts_recv).collect();
        Some(Self::Recorded(times.windows(2).map(|two| two[1].saturating_sub(two[0])).collect()))
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Poisson => "poisson",
            Self::Bursts => "bursts",
            Self::Recorded(_) => "recorded",
        }
    }

    /// Send times from 0 on, ns, for so long. `block` numbers them, so that no two blocks of a pattern with chance in it are the same.
    pub(crate) fn times(&self, rate: u64, ns: u64, block: u64) -> Vec<u64> {
        let gap = 1_000_000_000 / rate.max(1);
        match self {
            Self::Fixed => (0..ns / gap).map(|n| n * gap).collect(),
            Self::Bursts => (0..ns / gap).map(|n| n / BURST * BURST * gap + n % BURST * gap / 10).collect(),
            Self::Poisson => {
                let mut rng = Rng::new(block + 1);
                accumulate(std::iter::repeat_with(|| exponential(&mut rng, gap)), ns)
            }
            // Each block goes on where the one before it ended, more or less.
            Self::Recorded(gaps) => {
                let from = usize::try_from(block).unwrap_or(0) * 4_096 % gaps.len().max(1);
                accumulate(gaps.iter().copied().cycle().skip(from), ns)
            }
        }
    }
}

fn accumulate(gaps: impl Iterator<Item = u64>, ns: u64) -> Vec<u64> {
    let sums = gaps.scan(0_u64, |at, gap| {
        *at += gap;
        Some(*at)
    });
    sums.take_while(|at| *at < ns).collect()
}

/// A gap of this mean: `-mean * ln(u)`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "nanoseconds of seconds"
)]
fn exponential(rng: &mut Rng, mean: u64) -> u64 {
    const STEPS: u64 = 1 << 52;
    let u = (rng.below(STEPS) + 1) as f64 / STEPS as f64;
    (-(mean as f64) * u.ln()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_has_its_rate() {
        for pattern in [Pattern::Fixed, Pattern::Poisson, Pattern::Bursts] {
            let times = pattern.times(1_000, 20_000_000_000, 3);
            assert!(times.is_sorted() && (19_000..21_000).contains(&times.len()), "{pattern:?}: {}", times.len());
        }
        let bursts = Pattern::Bursts.times(1_000, 1_000_000_000, 0);
        assert_eq!((bursts[1] - bursts[0], bursts[50] - bursts[0]), (100_000, 50_000_000));
        let recorded = Pattern::Recorded(vec![5, 10, 20]).times(1, 100, 0);
        assert_eq!(recorded, [5, 15, 35, 40, 50, 70, 75, 85]);
        assert_ne!(Pattern::Poisson.times(1_000, 1_000_000, 1), Pattern::Poisson.times(1_000, 1_000_000, 2));
    }
}
