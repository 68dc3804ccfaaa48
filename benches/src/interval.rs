//! A median and how sure it is: a percentile bootstrap (Efron, *Bootstrap Methods: Another Look at the Jackknife*, 1979).

use pinion_venue::Rng;

/// Resamples: enough that the bounds of a 95 % interval are the same to a few per mille from seed to seed.
const RESAMPLES: usize = 4_000;
/// The same of histograms that have to be merged each time.
const MERGES: usize = 400;
/// The same figures give the same interval.
const SEED: u64 = 1;

/// A median and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Of what was measured.
    pub median: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Interval {
    /// Of these figures; `None` without any.
    #[must_use]
    pub fn of(figures: &[f64]) -> Option<Self> {
        let middle = median(figures.iter().copied())?;
        let mut rng = Rng::new(SEED);
        let len = figures.len() as u64;
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| median(figures.iter().map(|_| figures[usize::try_from(rng.below(len)).unwrap_or(0)])))
            .collect();
        medians.sort_by(f64::total_cmp);
        Some(Self { median: middle, low: medians[RESAMPLES / 40], high: medians[RESAMPLES - 1 - RESAMPLES / 40] })
    }

    /// What a figure over all of some groups comes to (a percentile of their merged histograms), and how it strays when groups are drawn
    /// anew; `None` without any.
    pub fn resampled<T>(groups: &[T], figure: impl Fn(&[&T]) -> f64) -> Option<Self> {
        let all: Vec<&T> = groups.iter().collect();
        let len = groups.len() as u64;
        if len == 0 {
            return None;
        }
        let mut rng = Rng::new(SEED);
        let mut figures: Vec<f64> = (0..MERGES)
            .map(|_| {
                let drawn = all.iter().map(|_| all[usize::try_from(rng.below(len)).unwrap_or(0)]);
                figure(&drawn.collect::<Vec<_>>())
            })
            .collect();
        figures.sort_by(f64::total_cmp);
        Some(Self { median: figure(&all), low: figures[MERGES / 40], high: figures[MERGES - 1 - MERGES / 40] })
    }

    /// The same of figures that all are so many times as large.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { median: self.median * factor, low: self.low * factor, high: self.high * factor }
    }

    /// The same of the reciprocals.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self { median: 1.0 / self.median, low: 1.0 / self.high, high: 1.0 / self.low }
    }

    /// Whether all of it lies so near to 1.
    #[must_use]
    pub fn is_one_within(self, tolerance: f64) -> bool {
        self.low >= 1.0 - tolerance && self.high <= 1.0 + tolerance
    }
}

/// The middle one, or the mean of the two in the middle; `None` without any.
#[must_use]
pub fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures.len().checked_sub(1)? / 2, figures.len() / 2);
    Some(f64::midpoint(figures[low], figures[high]))
}

/// The geometric mean; `None` without figures.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a handful")]
pub fn geometric_mean(figures: &[f64]) -> Option<f64> {
    (!figures.is_empty()).then(|| (figures.iter().map(|figure| figure.ln()).sum::<f64>() / figures.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_the_median_and_is_the_wider_the_more_the_figures_differ() {
        let near: Vec<f64> = (0..40).map(|n| 1.0 + f64::from(n % 5) * 0.001).collect();
        let far: Vec<f64> = (0..40).map(|n| 1.0 + f64::from(n % 5) * 0.1).collect();
        let (near, far) = (Interval::of(&near).unwrap(), Interval::of(&far).unwrap());
        for interval in [near, far] {
            assert!(interval.low <= interval.median && interval.median <= interval.high, "{interval:?}");
        }
        assert!(near.is_one_within(0.01) && !far.is_one_within(0.01), "{near:?} {far:?}");
        assert!(far.high - far.low > 10.0 * (near.high - near.low));
        assert_eq!(Interval::of(&[]), None);
        let one = Interval::of(&[2.0]).unwrap();
        assert_eq!((one.low, one.median, one.high), (2.0, 2.0, 2.0));
        assert_eq!(one.inverse(), Interval { median: 0.5, low: 0.5, high: 0.5 });
    }

    #[test]
    fn a_geometric_mean_is_that_of_the_ratios() {
        assert!((geometric_mean(&[2.0, 8.0]).unwrap() - 4.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), None);
    }
}
