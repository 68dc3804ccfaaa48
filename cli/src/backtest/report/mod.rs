//! `report.html`: a run as one page that needs nothing but itself. It loads nothing when it is opened; its policy forbids it to.
//!
//! Amounts are exact in the result that it embeds; the drawing rounds them to what a screen shows. What strategies and files say of
//! themselves is hostile: it is data in the page, never markup.

use pinion_runtime::metrics::Latency;
use pinion_venue::Traded;
use serde::Serialize;

use super::amount::{decimal, money};
use super::equity::Point;
use super::outcome::Outcome;
use pinion_runtime::event::{Liquidity, Side};

const PAGE: &str = include_str!("page.html");
/// TradingView's lightweight-charts, with its licence at its head; fetched by `charts/fetch.sh`.
const CHARTS: &str = include_str!(env!("PINION_CHARTS"));

/// Fills that are drawn; when there are more, every other one goes.
const FILLS_MAX: usize = 4_000;
/// Points of fills on the curve; the evenly spaced ones are bounded already.
const FILL_POINTS_MAX: usize = 4_000;

/// What a page is about, beside its result.
pub(super) struct About<'a> {
    pub(super) strategy: &'a str,
    pub(super) symbol: &'a str,
    pub(super) module: &'a str,
    /// Names of the files that were read.
    pub(super) data: Vec<&'a str>,
    /// Digits behind the point of the drawn instrument's sizes.
    pub(super) scale: u32,
}

/// The fills that are drawn, thinned evenly where there are many.
#[derive(Debug, Default)]
pub(super) struct Fills {
    kept: Vec<Drawn>,
    stride: u64,
    seen: u64,
}

/// One fill as it is drawn.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    n: u64,
    ts: u64,
    buy: bool,
    maker: bool,
    price: i64,
    size: i64,
}

impl Fills {
    /// Takes a fill of the drawn instrument.
    pub(super) fn take(&mut self, traded: &Traded) {
        self.stride = self.stride.max(1);
        if self.seen.is_multiple_of(self.stride) {
            let (report, execution) = (&traded.report, &traded.report.execution);
            self.kept.push(Drawn {
                n: self.seen,
                ts: report.ts_event,
                buy: execution.side == Side::Buy,
                maker: execution.liquidity == Liquidity::Maker,
                price: execution.price,
                size: execution.size,
            });
        }
        self.seen += 1;
        if self.kept.len() > FILLS_MAX {
            self.stride *= 2;
            let stride = self.stride;
            self.kept.retain(|fill| fill.n.is_multiple_of(stride));
        }
    }
}

/// What the page's script reads.
#[derive(Serialize)]
struct Data<'a> {
    strategy: &'a str,
    symbol: &'a str,
    module: &'a str,
    data: &'a [&'a str],
    result: &'a Outcome,
    /// Microseconds, profit and loss, drawdown, bid, ask, position.
    points: Vec<(u64, String, String, String, String, String)>,
    /// Microseconds, bought, made, price, size.
    fills: Vec<(u64, bool, bool, String, String)>,
    fills_left_out: u64,
    /// Up to so many ns: how many.
    callbacks: Vec<(u64, u64)>,
}

/// The page.
///
/// # Errors
/// What JSON cannot say: our fault.
pub(super) fn page(outcome: &Outcome, about: &About<'_>) -> Result<String, serde_json::Error> {
    let curve = &outcome.run;
    let fill_points = curve.points.iter().filter(|point| point.fill).count();
    let stride = fill_points.div_ceil(FILL_POINTS_MAX).max(1);
    let mut n = 0;
    let mut drawn = |point: &&Point| {
        n += usize::from(point.fill);
        !point.fill || n % stride == 0
    };
    let fills = &curve.fills;
    let data = Data {
        strategy: about.strategy,
        symbol: about.symbol,
        module: about.module,
        data: &about.data,
        result: outcome,
        points: curve.points.iter().filter(|point| drawn(point)).map(|point| row(point, about.scale)).collect(),
        fills: fills.kept.iter().map(|fill| fill_row(fill, about.scale)).collect(),
        fills_left_out: fills.seen - fills.kept.len() as u64,
        callbacks: buckets(&curve.callbacks),
    };
    // Inside a script element only its own end could do harm.
    let json = serde_json::to_string(&data)?.replace('<', "\\u003c");
    Ok(PAGE.replacen("/*CHARTS*/", CHARTS, 1).replacen("/*DATA*/", &json, 1))
}

fn row(point: &Point, scale: u32) -> (u64, String, String, String, String, String) {
    let price = |price: i64| decimal(price.into(), 9);
    let seen = &point.seen;
    let (pnl, drawdown) = (money(point.pnl), money(point.drawdown));
    (point.ts / 1_000, pnl, drawdown, price(seen.bid), price(seen.ask), decimal(seen.net, scale))
}

fn fill_row(fill: &Drawn, scale: u32) -> (u64, bool, bool, String, String) {
    (fill.ts / 1_000, fill.buy, fill.maker, decimal(fill.price.into(), 9), decimal(fill.size.into(), scale))
}

/// Costs in classes of 1, 2, 5 and so on, ns; those at both ends that are empty are left out.
fn buckets(latency: &Latency) -> Vec<(u64, u64)> {
    let bounds = (1..10).flat_map(|exponent| [1, 2, 5].map(|step: u64| step * 10_u64.pow(exponent)));
    let (mut below, mut buckets) = (0, Vec::new());
    for bound in bounds {
        buckets.push((bound, latency.histogram.count_between(below, bound - 1)));
        below = bound;
    }
    let used = |bucket: &(u64, u64)| bucket.1 > 0;
    let (Some(first), Some(last)) = (buckets.iter().position(used), buckets.iter().rposition(used)) else {
        return Vec::new();
    };
    buckets.drain(first..=last).collect()
}
