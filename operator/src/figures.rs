//! The pods' own metrics, and what they say of a strategy's load. No Prometheus is needed between.
//!
//! Pods count by consumer group and by worker, not by shard: a pod's figures are shared out evenly over the shards of the group
//! that it runs, and a worker's time over the groups that it serves.

use std::collections::BTreeMap;

use pinion_spec::metrics::{self as names, Metric};
use pinion_spec::status::LatencyStatus;

use crate::scale::{Reading, ShardLoad};

/// Metrics that are kept of a scrape, the buckets of latency besides; of latency, the stage that is decided by.
const KEPT: [&Metric; 6] = [
    &names::RECORDS,
    &names::KAFKA_LAG,
    &names::KAFKA_LAG_SECONDS,
    &names::WORKER_BUSY,
    &names::ORDERS,
    &names::LATENCY_QUANTILE,
];
const BUCKETS: &str = "pinion_latency_seconds_bucket";
/// The stage that objectives are about.
const DECISION: (&str, &str) = ("stage", "decision");

/// One scrape of one pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// When, monotonic nanoseconds.
    pub at_ns: u64,
    samples: BTreeMap<String, Vec<Sample>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Figures {
    /// Reads Prometheus' text format; what is not understood is left out.
    #[must_use]
    pub fn read(text: &str, at_ns: u64) -> Self {
        let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for line in text.lines() {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            if name != BUCKETS && !KEPT.iter().any(|metric| metric.name == name) {
                continue;
            }
            let staged = name == BUCKETS || name == names::LATENCY_QUANTILE.name;
            if let Some(sample) = sample(&line[name.len()..])
                && (!staged || sample.labels.iter().any(|(key, value)| (key.as_str(), value.as_str()) == DECISION))
            {
                samples.entry(name.to_owned()).or_default().push(sample);
            }
        }
        Self { at_ns, samples }
    }

    fn select<'a>(&'a self, name: &str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Sample> {
        let all = self.samples.get(name).into_iter().flatten();
        all.filter(move |sample| {
            labels.iter().all(|(key, value)| sample.labels.iter().any(|(k, v)| k == key && v == value))
        })
    }

    fn sum(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        self.select(metric.name, labels).map(|sample| sample.value).sum()
    }

    fn most(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        self.select(metric.name, labels).map(|sample| sample.value).fold(0.0, f64::max)
    }
}

/// `{a="b",c="d"} 1.5`; escapes in values are kept as they are, for no name of ours has any.
fn sample(rest: &str) -> Option<Sample> {
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once("} ")?,
        None => ("", rest.trim_start()),
    };
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once("=\"")?;
        Some((key.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some(Sample { labels: pairs.collect::<Option<_>>()?, value: value.trim().parse().ok()? })
}

/// What one pod has of a strategy, and its last two scrapes.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The earlier scrape.
    pub before: &'a Figures,
    /// The later one.
    pub after: &'a Figures,
    /// Shards that it runs.
    pub shards: &'a [u16],
    /// Each of the workers that run them, and how many groups that worker serves.
    pub workers: &'a [(u16, u32)],
}

impl Part<'_> {
    fn seconds(&self) -> f64 {
        std::time::Duration::from_nanos(self.after.at_ns.saturating_sub(self.before.at_ns)).as_secs_f64()
    }

    /// How much a counter grew in a second. A process that began anew has counted from 0.
    fn rate(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        let (before, after) = (self.before.sum(metric, labels), self.after.sum(metric, labels));
        let grown = if after >= before { after - before } else { after };
        if self.seconds() > 0.0 { grown / self.seconds() } else { 0.0 }
    }
}

/// What the pods say of one strategy's load in the interval between their scrapes.
#[must_use]
pub fn reading(tenant: &str, strategy: &str, group: &str, parts: &[Part<'_>]) -> Reading {
    let mut shards = Vec::new();
    for part in parts {
        let count = f64::from(u32::try_from(part.shards.len()).unwrap_or(u32::MAX)).max(1.0);
        let feed = [("feed", group)];
        let handled = part.rate(&names::RECORDS, &feed);
        let (lag_before, lag) = (part.before.sum(&names::KAFKA_LAG, &feed), part.after.sum(&names::KAFKA_LAG, &feed));
        let growth = if part.seconds() > 0.0 { (lag - lag_before) / part.seconds() } else { 0.0 };
        let busy = part.workers.iter().map(|(worker, groups)| {
            part.rate(&names::WORKER_BUSY, &[("worker", &worker.to_string())]) / f64::from((*groups).max(1))
        });
        let busy: f64 = busy.sum();
        shards.extend(part.shards.iter().map(|shard| ShardLoad {
            shard: *shard,
            arrivals_per_second: (handled + growth).max(0.0) / count,
            handled_per_second: handled / count,
            busy: busy / count,
            lag_records: lag / count,
        }));
    }
    let p99 = parts
        .iter()
        .filter_map(|part| p99_micros(tenant, strategy, part))
        .fold(None, |most: Option<f64>, p99| Some(most.map_or(p99, |most| most.max(p99))));
    Reading { shards, p99_micros: p99 }
}

/// The 99th percentile of decision latency in the interval, from the buckets, between whose bounds it is assumed to be spread
/// evenly. `None` without a decision.
fn p99_micros(tenant: &str, strategy: &str, part: &Part<'_>) -> Option<f64> {
    let labels = [("tenant", tenant), ("strategy", strategy), DECISION];
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for sample in part.after.select(BUCKETS, &labels) {
        let bound = sample.labels.iter().find(|(key, _)| key == "le").map(|(_, value)| value)?;
        let earlier = part
            .before
            .select(BUCKETS, &labels)
            .find(|before| before.labels.iter().any(|(key, value)| key == "le" && value == bound));
        let earlier = earlier.map_or(0.0, |sample| sample.value);
        let grown = if sample.value >= earlier { sample.value - earlier } else { sample.value };
        buckets.push((bound.parse().unwrap_or(f64::INFINITY), grown));
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = buckets.last()?.1 * 0.99;
    if wanted <= 0.0 {
        return None;
    }
    let (mut low, mut below) = (0.0, 0.0);
    for (high, cumulative) in buckets {
        if cumulative >= wanted {
            let high = if high.is_finite() { high } else { low };
            let share = if cumulative > below { (wanted - below) / (cumulative - below) } else { 1.0 };
            return Some((low + (high - low) * share) * 1e6);
        }
        (low, below) = (high, cumulative);
    }
    None
}

/// What a person wants to see of a strategy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// Decision latency since the pods' start, the worst of them.
    pub latency: Option<LatencyStatus>,
    /// How far the shard furthest behind is behind, seconds.
    pub lag_seconds: u32,
    /// Approved orders a second.
    pub orders_per_second: String,
}

/// The same figures as a person wants to see them.
#[must_use]
pub fn shown(tenant: &str, strategy: &str, group: &str, parts: &[Part<'_>]) -> Shown {
    let whose = [("tenant", tenant), ("strategy", strategy)];
    let quantile = |quantile: &str| {
        let labels = [whose[0], whose[1], DECISION, ("quantile", quantile)];
        parts.iter().map(|part| part.after.most(&names::LATENCY_QUANTILE, &labels)).fold(0.0, f64::max)
    };
    let max = quantile("1");
    let latency = (max > 0.0).then(|| LatencyStatus {
        p50: duration(quantile("0.5")),
        p99: duration(quantile("0.99")),
        p999: duration(quantile("0.999")),
        max: duration(max),
    });
    let lag =
        parts.iter().map(|part| part.after.most(&names::KAFKA_LAG_SECONDS, &[("feed", group)])).fold(0.0, f64::max);
    let orders: f64 = parts.iter().map(|part| part.rate(&names::ORDERS, &whose)).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and not negative")]
    let lag_seconds = lag.round().min(f64::from(u32::MAX)) as u32;
    Shown { latency, lag_seconds, orders_per_second: two_digits(orders) }
}

/// Two significant digits, so that a status is written when a person would see a difference.
fn two_digits(figure: f64) -> String {
    if !figure.is_finite() || figure < 0.05 {
        return "0".to_owned();
    }
    let place = 10_f64.powf(figure.log10().floor() - 1.0);
    let rounded = (figure / place).round() * place;
    if rounded < 10.0 { format!("{rounded:.1}") } else { format!("{rounded:.0}") }
}

/// Seconds in the unit that suits them: `41us`.
fn duration(seconds: f64) -> String {
    let (figure, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{}{unit}", two_digits(figure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(at_seconds: u64, records: u64, lag: u64, busy: &str) -> Figures {
        let text = format!(
            "# HELP x y\npinion_records_total{{feed=\"g\"}} {records}\npinion_records_total{{feed=\"other\"}} 5\n\
             pinion_kafka_lag_records{{feed=\"g\"}} {lag}\npinion_worker_busy_seconds_total{{worker=\"1\"}} {busy}\n\
             pinion_build_info{{version=\"1\"}} 1\n"
        );
        Figures::read(&text, at_seconds * 1_000_000_000)
    }

    #[test]
    fn a_pods_figures_are_shared_out_over_its_shards_and_a_workers_time_over_its_groups() {
        let (before, after) = (figures(10, 1_000, 0, "2.0"), figures(20, 3_000, 400, "6.0"));
        let part = Part { before: &before, after: &after, shards: &[3, 7], workers: &[(1, 2)] };
        let reading = reading("t", "s", "g", &[part]);
        let first = ShardLoad {
            shard: 3,
            arrivals_per_second: 120.0,
            handled_per_second: 100.0,
            busy: 0.1,
            lag_records: 200.0,
        };
        assert_eq!(reading.shards, [first, ShardLoad { shard: 7, ..first }]);
        assert_eq!(reading.p99_micros, None);
    }

    #[test]
    fn a_process_that_began_anew_counts_from_nothing() {
        let (before, after) = (figures(10, 9_000, 0, "2.0"), figures(20, 500, 0, "1.0"));
        let part = Part { before: &before, after: &after, shards: &[0], workers: &[(1, 1)] };
        let load = reading("t", "s", "g", &[part]).shards[0];
        assert_eq!((load.handled_per_second, load.busy), (50.0, 0.1));
    }

    #[test]
    fn p99_is_of_the_interval_and_between_its_buckets_bounds() {
        let scrape = |at, counts: [u64; 3]| {
            let line = |le: &str, n: u64| {
                format!("{BUCKETS}{{tenant=\"t\",strategy=\"s\",stage=\"decision\",le=\"{le}\"}} {n}\n")
            };
            let text = line("0.00001", counts[0]) + &line("0.0001", counts[1]) + &line("+Inf", counts[2]);
            Figures::read(&text, at)
        };
        let (before, after) = (scrape(0, [1_000, 1_000, 1_000]), scrape(1, [1_000, 1_100, 1_100]));
        let part = Part { before: &before, after: &after, shards: &[0], workers: &[] };
        let p99 = reading("t", "s", "g", &[part]).p99_micros.unwrap();
        assert!((p99 - 99.1).abs() < 0.01, "{p99}");
    }

    #[test]
    fn figures_are_shown_with_two_digits_and_a_unit() {
        for (seconds, text) in [(0.000_041_4, "41us"), (0.000_000_25, "250ns"), (0.001_26, "1.3ms"), (2.0, "2.0s")] {
            assert_eq!(duration(seconds), text);
        }
        for (figure, text) in [(0.0, "0"), (1_234.0, "1200"), (9.96, "10"), (0.31, "0.3")] {
            assert_eq!(two_digits(figure), text);
        }
    }
}
