//! The pods' own metrics, and what they say of a strategy's load. No Prometheus is needed between.
//!
//! Load is counted by consumer group and shard, for all strategies of the group together, because they read together and share
//! a worker. A shard of which a figure is missing, in either of two scrapes, makes the whole reading unread: nothing is guessed.

use std::collections::BTreeMap;

use pinion_spec::metrics::{self as names, Metric};
use pinion_spec::status::LatencyStatus;

use crate::place::Slot;
use crate::scale::{Reading, ShardLoad, Unread};

/// Metrics that are kept of a scrape, the buckets of latency besides; of latency, the stage that is decided by.
const KEPT: [&Metric; 6] = [
    &names::SHARD_RECORDS,
    &names::SHARD_BUSY,
    &names::SHARD_LAG,
    &names::KAFKA_LAG_SECONDS,
    &names::ORDERS,
    &names::LATENCY_QUANTILE,
];
const BUCKETS: &str = "pinion_latency_seconds_bucket";
/// The stage that objectives are about.
const DECISION: (&str, &str) = ("stage", "decision");
/// The same as it stands in a line: of eight stages seven are not taken apart.
const DECISION_TEXT: &str = "stage=\"decision\"";
/// Labels that say whose a sample is: a strategy's, or its group's. Every metric that is kept has one of them.
const WHOSE: [&str; 2] = ["strategy", "feed"];
/// Decisions in an interval from which it has a 99th percentile; with fewer that would be the slowest one.
const DECISIONS_MIN: f64 = 100.0;

/// One scrape of one pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// When, monotonic nanoseconds.
    pub at_ns: u64,
    /// By metric, then by whose they are: each strategy of a pod looks for its own, and there may be hundreds.
    samples: BTreeMap<&'static str, BTreeMap<String, Vec<Sample>>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn label(&self, label: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == label).map(|(_, value)| value.as_str())
    }
}

impl Figures {
    /// Reads Prometheus' text format; what is not understood is left out.
    #[must_use]
    pub fn read(text: &str, at_ns: u64) -> Self {
        let mut samples: BTreeMap<&'static str, BTreeMap<String, Vec<Sample>>> = BTreeMap::new();
        for line in text.lines() {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let kept = KEPT.iter().map(|metric| metric.name).chain([BUCKETS]).find(|kept| *kept == name);
            let Some(name) = kept else { continue };
            let staged = name == BUCKETS || name == names::LATENCY_QUANTILE.name;
            if staged && !line.contains(DECISION_TEXT) {
                continue;
            }
            if let Some(sample) = sample(&line[name.len()..])
                && let Some(whose) = WHOSE.iter().find_map(|label| sample.label(label)).map(str::to_owned)
            {
                samples.entry(name).or_default().entry(whose).or_default().push(sample);
            }
        }
        Self { at_ns, samples }
    }

    /// `labels` say whose they are to be.
    fn select<'a>(&'a self, name: &str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Sample> {
        let whose = labels.iter().find(|(key, _)| WHOSE.contains(key)).map(|(_, value)| *value);
        let own = whose.and_then(|whose| self.samples.get(name)?.get(whose));
        let has = |sample: &Sample| labels.iter().all(|(key, value)| sample.label(key) == Some(value));
        own.into_iter().flatten().filter(move |sample| has(sample))
    }

    fn sum(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        self.select(metric.name, labels).map(|sample| sample.value).sum()
    }

    /// A group's samples of a metric by shard; where the metric names workers, by worker too.
    fn of_shards(&self, metric: &Metric, group: &str) -> BTreeMap<(u16, Option<u16>), f64> {
        let feed = [("feed", group)];
        let by_worker = metric.labels.contains(&"worker");
        let of_shard = |sample: &Sample| {
            let number = |label: &str| sample.label(label)?.parse().ok();
            let worker = number("worker");
            (worker.is_some() == by_worker).then_some(((number("shard")?, worker), sample.value))
        };
        self.select(metric.name, &feed).filter_map(of_shard).collect()
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

/// What one pod runs of a strategy's group, and its last two scrapes.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its name.
    pub pod: &'a str,
    /// The earlier scrape.
    pub before: &'a Figures,
    /// The later one.
    pub after: &'a Figures,
    /// The shards of the group that it runs, each with its worker.
    pub shards: &'a BTreeMap<u16, Slot>,
}

/// How much a counter grew. A process that began anew has counted from 0.
fn growth(before: f64, after: f64) -> f64 {
    if after >= before { after - before } else { after }
}

impl Part<'_> {
    fn seconds(&self) -> f64 {
        std::time::Duration::from_nanos(self.after.at_ns.saturating_sub(self.before.at_ns)).as_secs_f64()
    }

    /// How much a counter grew in a second.
    fn rate(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        let grown = growth(self.before.sum(metric, labels), self.after.sum(metric, labels));
        if self.seconds() > 0.0 { grown / self.seconds() } else { 0.0 }
    }

    /// What it says of each of its shards.
    fn loads(&self, group: &str) -> Result<Vec<ShardLoad>, Unread> {
        let seconds = self.seconds();
        if seconds <= 0.0 {
            return Err(Unread::NotYet(format!("pod {} has been read only once", self.pod)));
        }
        let both = |metric| (self.before.of_shards(metric, group), self.after.of_shards(metric, group));
        let (records, busy, lag) = (both(&names::SHARD_RECORDS), both(&names::SHARD_BUSY), both(&names::SHARD_LAG));
        let load = |(shard, slot): (&u16, &Slot)| -> Result<ShardLoad, Unread> {
            let missing = || Unread::NotYet(format!("pod {} has no figures of shard {shard}", self.pod));
            let pair = |(before, after): &(BTreeMap<_, f64>, BTreeMap<_, f64>), worker| {
                let key = (*shard, worker);
                Some((*before.get(&key)?, *after.get(&key)?))
            };
            let worker = Some(slot.worker);
            let (records, busy) = (pair(&records, worker), pair(&busy, worker));
            let (records, busy) = records.zip(busy).ok_or_else(missing)?;
            let (lag_before, lag) = pair(&lag, None).ok_or_else(missing)?;
            let handled = growth(records.0, records.1) / seconds;
            Ok(ShardLoad {
                shard: *shard,
                slot: *slot,
                // What was added is what was done and what waits more than before.
                arrivals_per_second: (handled + (lag - lag_before) / seconds).max(0.0),
                handled_per_second: handled,
                busy: growth(busy.0, busy.1) / seconds,
                lag_records: lag,
            })
        };
        self.shards.iter().map(load).collect()
    }
}

/// What the pods say of one strategy's load in the interval between their scrapes.
///
/// # Errors
/// If a pod has not said something of one of its shards twice.
pub fn reading(tenant: &str, strategy: &str, group: &str, parts: &[Part<'_>]) -> Result<Reading, Unread> {
    let mut shards = Vec::new();
    for part in parts {
        shards.extend(part.loads(group)?);
    }
    let p99 = parts
        .iter()
        .filter_map(|part| p99_micros(tenant, strategy, part))
        .fold(None, |most: Option<f64>, p99| Some(most.map_or(p99, |most| most.max(p99))));
    Ok(Reading { shards, p99_micros: p99 })
}

/// The 99th percentile of decision latency in the interval, from the buckets, between whose bounds it is assumed to be spread
/// evenly. `None` with fewer than [`DECISIONS_MIN`] decisions.
fn p99_micros(tenant: &str, strategy: &str, part: &Part<'_>) -> Option<f64> {
    let labels = [("tenant", tenant), ("strategy", strategy), DECISION];
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for sample in part.after.select(BUCKETS, &labels) {
        let bound = sample.label("le")?;
        let earlier = part.before.select(BUCKETS, &labels).find(|before| before.label("le") == Some(bound));
        let earlier = earlier.map_or(0.0, |sample| sample.value);
        buckets.push((bound.parse().unwrap_or(f64::INFINITY), growth(earlier, sample.value)));
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let decisions = buckets.last()?.1;
    if decisions < DECISIONS_MIN {
        return None;
    }
    let wanted = decisions * 0.99;
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

    /// A pod whose shards of group `g` have done so many records, in so many seconds of its worker, with so many left.
    fn figures(at_seconds: u64, shards: &[(u16, u64, f64, u64)]) -> Figures {
        let mut text =
            "# HELP x y\npinion_build_info{version=\"1\"} 1\npinion_kafka_lag_records{feed=\"g\"} 9\n".to_owned();
        for (shard, records, busy, lag) in shards {
            let line = |metric: &str, group: &str, worker: &str, value: String| {
                format!("{metric}{{feed=\"{group}\",shard=\"{shard}\"{worker}}} {value}\n")
            };
            let worker = ",worker=\"1\"";
            text += &line("pinion_shard_records_total", "g", worker, records.to_string());
            text += &line("pinion_shard_records_total", "other", worker, "77".into());
            text += &line("pinion_shard_busy_seconds_total", "g", worker, busy.to_string());
            text += &line("pinion_shard_lag_records", "g", "", lag.to_string());
        }
        Figures::read(&text, at_seconds * 1_000_000_000)
    }

    const SLOT: Slot = Slot { pod: 2, worker: 1 };

    fn read(before: &Figures, after: &Figures, shards: &[u16]) -> Result<Vec<ShardLoad>, Unread> {
        let shards = shards.iter().map(|shard| (*shard, SLOT)).collect();
        let part = Part { pod: "default-2", before, after, shards: &shards };
        reading("t", "s", "g", &[part]).map(|reading| reading.shards)
    }

    #[test]
    fn a_heavy_shard_is_told_from_a_light_one() {
        let before = figures(10, &[(3, 1_000, 2.0, 0), (7, 5_000, 0.5, 100)]);
        let after = figures(20, &[(3, 3_000, 6.0, 400), (7, 5_100, 0.6, 0)]);
        let heavy = ShardLoad {
            shard: 3,
            slot: SLOT,
            arrivals_per_second: 240.0,
            handled_per_second: 200.0,
            busy: 0.4,
            lag_records: 400.0,
        };
        let loads = read(&before, &after, &[3, 7]).unwrap();
        assert_eq!((loads.len(), loads[0]), (2, heavy));
        assert_eq!((loads[1].shard, loads[1].handled_per_second, loads[1].arrivals_per_second), (7, 10.0, 0.0));
        assert!((loads[1].busy - 0.01).abs() < 1e-9);
    }

    #[test]
    fn a_shard_of_which_a_figure_is_missing_leaves_all_unread() {
        let (before, after) = (figures(10, &[(3, 1, 1.0, 0)]), figures(20, &[(3, 2, 2.0, 0), (7, 1, 1.0, 0)]));
        assert!(read(&before, &after, &[3]).is_ok());
        let missing = Err(Unread::NotYet("pod default-2 has no figures of shard 7".into()));
        assert_eq!(read(&before, &after, &[3, 7]), missing, "it came between the two");
        assert!(read(&after, &after, &[3]).is_err(), "one scrape is no interval");
    }

    #[test]
    fn a_process_that_began_anew_counts_from_nothing() {
        let (before, after) = (figures(10, &[(0, 9_000, 2.0, 0)]), figures(20, &[(0, 500, 1.0, 0)]));
        let load = read(&before, &after, &[0]).unwrap()[0];
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
        let shards = BTreeMap::new();
        let p99 = |after| p99_micros("t", "s", &Part { pod: "p", before: &before, after, shards: &shards });
        let micros = p99(&after).unwrap();
        assert!((micros - 99.1).abs() < 0.01, "{micros}");
        assert_eq!(p99(&scrape(1, [1_000, 1_099, 1_099])), None, "of 99 there is none");
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
