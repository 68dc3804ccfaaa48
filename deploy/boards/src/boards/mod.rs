//! The boards, and what their queries have in common.
//!
//! Feeds and workers belong to no strategy, so their metrics name none. `pinion_strategy_info` says which feed reads for which
//! strategy in which process: by it the choices at the head of a board reach them too, on a laptop as in a cluster.

mod latency;
mod operator;
mod runtime;
mod tenant;

use pinion_spec::metrics::{self, Metric};

use crate::grafana::{Board, Variable};
use crate::query::{Query, Series, TARGET};

/// As far back as a rate needs to look: four scrapes, and no less than a point of the curve.
const RATE: &str = "$__rate_interval";
/// All that is shown.
const RANGE: &str = "$__range";

/// A strategy, in legends.
const STRATEGY: &str = "{{tenant}}/{{strategy}}";

/// Labels of a strategy.
const WHOSE: [&str; 2] = ["tenant", "strategy"];

/// Quantiles that are shown, and their names.
const QUANTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

/// Every board.
#[must_use]
pub fn all() -> Vec<Board> {
    vec![latency::board(), tenant::board(), runtime::board(), operator::board()]
}

/// The choices of every board: a link from one to the next takes them along.
fn variables() -> Vec<Variable> {
    let info = || Series::of(&metrics::STRATEGY_INFO);
    vec![
        Variable { name: "tenant", title: "Tenant", of: info().now() },
        Variable { name: "strategy", title: "Strategy", of: info().like("tenant", "$tenant").now() },
    ]
}

/// A metric of the chosen strategies.
fn mine(metric: &Metric) -> Series {
    chosen(Series::of(metric))
}

fn chosen(series: Series) -> Series {
    series.like("tenant", "$tenant").like("strategy", "$strategy")
}

/// The chosen strategies, each process that runs one, and the feed that reads for it there.
fn info() -> Query {
    mine(&metrics::STRATEGY_INFO).now()
}

/// Only of processes that run a chosen strategy.
fn here(query: Query) -> Query {
    query.and(&TARGET, &info())
}

/// What is said of feeds, said of the chosen strategies that they read for.
fn of_feeds(query: Query) -> Query {
    query.for_each_of(&["job", "instance", "feed"], &info())
}

/// Buckets of a stage in the window, added up by `by` and `le`: of the chosen strategies, or of the processes that run them where
/// the stage is not a strategy's.
fn stage(stage: &str, window: &str, by: &[&str]) -> Query {
    let by: Vec<&str> = by.iter().copied().chain(["le"]).collect();
    let buckets = Series::buckets(&metrics::LATENCY).with("stage", stage);
    let is_shared = metrics::LATENCY_STAGES[..3].contains(&stage);
    if is_shared { here(buckets.rate(window)).sum(&by) } else { chosen(buckets).rate(window).sum(&by) }
}
