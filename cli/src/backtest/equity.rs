//! What a run was worth over time, in bounded memory.

use pinion_venue::account::{Account, Overflow};

/// Points evenly spaced in stream time that are kept: more than a screen has columns. When there are more, every other one goes.
const POINTS_MAX: usize = 4_096;
/// Their distance at first, ns.
const STEP_NS_MIN: u64 = 100_000_000;
/// Points of fills that are kept, some 100 MiB; later fills have none of their own.
const FILL_POINTS_MAX: usize = 1 << 20;

/// The account at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Stream time.
    pub(super) ts: u64,
    /// It is of a fill; else it is one of the evenly spaced.
    pub(super) fill: bool,
    /// At 1e-18.
    pub(super) pnl: i128,
    /// Below the highest so far, at 1e-18.
    pub(super) drawdown: i128,
    /// Paid so far, at 1e-18.
    pub(super) fees: i128,
    /// The first declared instrument then.
    pub(super) seen: Seen,
}

/// An instrument at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Best bid, 0 where none is known.
    pub(super) bid: i64,
    /// Best ask, 0 where none is known.
    pub(super) ask: i64,
    /// What is held of it, at its exponent.
    pub(super) net: i128,
}

/// The curve so far.
#[derive(Debug)]
pub(super) struct Equity {
    step_ns: u64,
    /// When the next evenly spaced point is due.
    pub(super) due: u64,
    spaced: Vec<Point>,
    fills: Vec<Point>,
    /// The highest so far; it begins at nothing.
    peak: i128,
    drawdown_max: i128,
}

impl Default for Equity {
    fn default() -> Self {
        Self { step_ns: STEP_NS_MIN, due: 0, spaced: Vec::new(), fills: Vec::new(), peak: 0, drawdown_max: 0 }
    }
}

impl Equity {
    /// A point that is due: what the account was worth before `ts`.
    pub(super) fn space(&mut self, ts: u64, account: &Account, seen: Seen) -> Result<(), Overflow> {
        if self.spaced.len() == POINTS_MAX {
            self.step_ns = self.step_ns.saturating_mul(2);
            let step = self.step_ns;
            self.spaced.retain(|point| point.ts.is_multiple_of(step));
        }
        let at = ts - ts % self.step_ns;
        self.due = at.saturating_add(self.step_ns);
        let point = self.point(at, false, account, seen)?;
        self.spaced.push(point);
        Ok(())
    }

    /// A point after a fill.
    pub(super) fn fill(&mut self, ts: u64, account: &Account, seen: Seen) -> Result<Point, Overflow> {
        let point = self.point(ts, true, account, seen)?;
        if self.fills.len() < FILL_POINTS_MAX {
            self.fills.push(point);
        }
        Ok(point)
    }

    fn point(&mut self, ts: u64, fill: bool, account: &Account, seen: Seen) -> Result<Point, Overflow> {
        let pnl = account.pnl()?;
        self.peak = self.peak.max(pnl);
        let drawdown = self.peak.checked_sub(pnl).ok_or(Overflow)?;
        self.drawdown_max = self.drawdown_max.max(drawdown);
        Ok(Point { ts, fill, pnl, drawdown, fees: account.fees(), seen })
    }

    /// The deepest fall from a highest point, at 1e-18: as seen at the points, those that have gone since included.
    pub(super) const fn drawdown_max(&self) -> i128 {
        self.drawdown_max
    }

    /// All points by time; at the same time the spaced one, which is of before, first.
    pub(super) fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = self.spaced.iter().chain(&self.fills).copied().collect();
        points.sort_by_key(|point| (point.ts, point.fill));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_points_is_bounded_and_they_stay_evenly_spaced() {
        let mut equity = Equity::default();
        for n in 0..3 * POINTS_MAX as u64 {
            let ts = 5 + n * STEP_NS_MIN;
            if ts >= equity.due {
                equity.space(ts, &Account::default(), Seen::default()).unwrap();
            }
        }
        let points = equity.points();
        assert!(points.len() <= POINTS_MAX && points.len() > POINTS_MAX / 2, "{}", points.len());
        assert!(points.windows(2).all(|pair| pair[1].ts - pair[0].ts == equity.step_ns));
    }
}
