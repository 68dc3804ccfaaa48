//! The metrics as Prometheus reads them. Runs on a thread of its own; walks the reading ends and touches no writer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pinion_spec::metrics::{self as names, LATENCY_BUCKETS_NS, LATENCY_QUANTILES, Metric, MetricKind};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Sample, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::{
    EventKind, Latency, Metrics, ORDER_LABELS, PartitionMetrics, PartitionsMetrics, RecorderReader, SentMetrics,
    cgroup, locked, process,
};
use crate::clock::{mono_ns, wall_ns};
use crate::decode::DecodeError;
use crate::egress::EgressMetrics;
use crate::risk::DenyReason;
use crate::sandbox::FaultKind;

/// Digits of a module's digest that are shown: as many as `pinion list` shows.
const MODULE_DIGITS: usize = 12;

/// One scrape: samples gathered by metric, in the order of the definitions.
#[derive(Debug)]
struct Exposition {
    families: Vec<Vec<Sample>>,
    /// Of a metric among the definitions.
    places: HashMap<&'static str, usize>,
}

impl Default for Exposition {
    fn default() -> Self {
        let places = names::ALL.iter().enumerate().map(|(place, metric)| (metric.name, place)).collect();
        Self { families: vec![Vec::new(); names::ALL.len()], places }
    }
}

/// The scrape's text, in Prometheus' text format.
///
/// # Errors
/// What the encoder says; it has no reason to.
pub fn scrape(metrics: &Metrics, egress: &EgressMetrics) -> prometheus::Result<String> {
    let mut out = Exposition::default();
    out.gauge(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    process(metrics, &mut out);
    assignment(metrics, &mut out);
    feeds(metrics, &mut out);
    shards(metrics, &mut out);
    workers(metrics, &mut out);
    strategies(metrics, &mut out);
    terms(metrics, &mut out);
    latencies(metrics, &mut out);
    out.counter(&names::KAFKA_SENT, &[], egress.sent.get());
    out.counter(&names::KAFKA_ACKNOWLEDGED, &[], egress.acked.get());
    out.counter(&names::KAFKA_QUEUE_FULL, &[], egress.queue_full.get());
    out.counter(&names::KAFKA_DELIVERY_ERRORS, &[], egress.failed.get());
    out.text()
}

/// What the kernel does not say of the process is left out.
fn process(metrics: &Metrics, out: &mut Exposition) {
    out.gauge(&names::PROCESS_START, &[], seconds(metrics.started.0));
    if let Some(process) = process::read() {
        out.sample(&names::PROCESS_CPU, &[], process.cpu_seconds);
        out.gauge(&names::PROCESS_RESIDENT, &[], process.resident_bytes);
    }
    if let Some(throttled) = cgroup::throttled() {
        out.sample(&names::CPU_THROTTLED, &[], throttled.as_secs_f64());
    }
}

fn assignment(metrics: &Metrics, out: &mut Exposition) {
    let assignment = metrics.assignment();
    out.gauge(&names::ASSIGNMENT_EPOCH, &[], to_f64(assignment.epoch.get()));
    out.gauge(&names::ASSIGNMENT_REVISION, &[], to_f64(assignment.revision.get()));
    out.counter(&names::ASSIGNMENTS_REFUSED, &[], assignment.refused.get());
    let end_ns = u64::try_from(assignment.lease_end_ns.get()).unwrap_or(0);
    out.gauge(&names::LEASE, &[], seconds(end_ns.saturating_sub(mono_ns())));
}

fn feeds(metrics: &Metrics, out: &mut Exposition) {
    for feed in metrics.feeds() {
        let group = feed.group.as_str();
        let (records, age_ns) = lag(feed.partitions.get().into_iter().flat_map(PartitionsMetrics::all));
        out.gauge(&names::KAFKA_LAG_SECONDS, &[group], seconds(age_ns));
        out.gauge(&names::KAFKA_CONNECTED, &[group], to_f64(feed.connected.get()));
        out.gauge(&names::KAFKA_LAG, &[group], to_f64(records));
        out.counter(&names::RECORDS, &[group], feed.records.get());
        out.counter(&names::RECORD_BYTES, &[group], feed.bytes.get());
        out.counter(&names::RECORDS_SKIPPED, &[group], feed.skipped.get());
        out.counter(&names::BROKER_CLOCK_NEGATIVE, &[group], feed.broker_negative.get());
        out.counter(&names::RING_FULL, &[group], feed.ring_full.get());
        out.counter(&names::PARTITION_PAUSED, &[group], feed.paused.get());
        for (kind, count) in EventKind::ALL.iter().zip(&feed.events) {
            out.counter(&names::EVENTS, &[group, kind.label()], count.get());
        }
        for (reason, count) in DecodeError::REASONS.iter().zip(&feed.decode_errors) {
            out.counter(&names::DECODE_ERRORS, &[group, reason], count.get());
        }
    }
}

/// The shards that run here, each with its load and its lag.
fn shards(metrics: &Metrics, out: &mut Exposition) {
    let feeds = metrics.feeds();
    let partitions = |group: &str| feeds.iter().find(|feed| feed.group == group).and_then(|feed| feed.partitions.get());
    let mut shown = BTreeSet::new();
    for shard in metrics.shards() {
        let (group, number, worker) = (shard.group.as_str(), shard.shard.to_string(), shard.worker.to_string());
        out.counter(&names::SHARD_RECORDS, &[group, &number, &worker], shard.records.get());
        out.sample(&names::SHARD_BUSY, &[group, &number, &worker], seconds(shard.busy_ns.get()));
        // One that changes its worker may have two for a moment.
        if let Some(partitions) = partitions(group).filter(|_| shown.insert((shard.group.clone(), shard.shard))) {
            let lag = partitions.of_shard(shard.shard).map(|partition| partition.lag_records.get()).sum();
            out.gauge(&names::SHARD_LAG, &[group, &number], to_f64(lag));
        }
    }
}

/// How far a feed is behind: all records that wait, and the age of the partition furthest behind, ns.
fn lag<'a>(partitions: impl Iterator<Item = &'a PartitionMetrics>) -> (i64, u64) {
    let now_ns = wall_ns();
    let (mut records, mut age_ns) = (0, 0);
    for partition in partitions {
        let waiting = partition.lag_records.get();
        let last_ns = u64::try_from(partition.last_kafka_ms.get()).unwrap_or(0).saturating_mul(1_000_000);
        records += waiting;
        if waiting > 0 && last_ns > 0 {
            age_ns = age_ns.max(now_ns.saturating_sub(last_ns));
        }
    }
    (records, age_ns)
}

fn workers(metrics: &Metrics, out: &mut Exposition) {
    for (worker, core) in metrics.workers().iter().zip(metrics.pinning().cores) {
        let index = worker.index.to_string();
        let named = core.map_or_else(String::new, |core| core.to_string());
        out.gauge(&names::WORKER_PINNED, &[&index, &named], f64::from(u8::from(core.is_some())));
        out.sample(&names::WORKER_BUSY, &[&index], seconds(worker.busy_ns.get()));
        out.counter(&names::EGRESS_FULL, &[&index], worker.egress_full.get());
        out.counter(&names::JOURNAL_FULL, &[&index], worker.journal_full.get());
        out.counter(&names::JOURNAL_BYTES, &[&index], worker.journal_bytes.get());
        out.gauge(&names::JOURNAL_FAILED, &[&index], f64::from(u8::from(worker.journal_failed.get() != 0)));
        out.counter(&names::SEQUENCE_GAPS, &[&index], worker.gaps.get());
    }
}

/// Instances of one strategy add up; states are the same in all of them.
fn strategies(metrics: &Metrics, out: &mut Exposition) {
    let mut by_name = BTreeMap::new();
    for instance in metrics.strategies() {
        by_name.entry((instance.tenant.clone(), instance.strategy.clone())).or_insert_with(Vec::new).push(instance);
    }
    for ((tenant, strategy), instances) in by_name {
        let whose = [tenant.as_str(), strategy.as_str()];
        let with = |label| [whose[0], whose[1], label];
        let sum = |pick: &dyn Fn(&super::StrategyMetrics) -> u64| instances.iter().map(|i| pick(i)).sum::<u64>();
        for (index, kind) in ORDER_LABELS.iter().enumerate() {
            out.counter(&names::ORDERS, &with(kind), sum(&|i| i.orders[index].get()));
        }
        for reason in DenyReason::ALL {
            out.counter(&names::DENIALS, &with(reason.label()), sum(&|i| i.denials[reason.index()].get()));
        }
        for kind in FaultKind::ALL {
            out.counter(&names::FAULTS, &with(kind.label()), sum(&|i| i.faults[kind as usize].get()));
        }
        out.counter(&names::EVENTS_MISSED, &whose, sum(&|i| i.missed.get()));
        out.counter(&names::DENIALS_UNTOLD, &whose, sum(&|i| i.updates_dropped.get()));
        out.counter(&names::SWAPS, &whose, sum(&|i| i.swaps.get()));
        out.counter(&names::LOG_DROPPED, &whose, sum(&|i| i.log_dropped.get()));
        let state = instances.iter().map(|i| i.trading_state.get()).max().unwrap_or(0);
        for (index, name) in ["ACTIVE", "REDUCING", "HALTED"].iter().enumerate() {
            out.gauge(&names::STRATEGY_STATE, &with(name), f64::from(u8::from(usize::try_from(state) == Ok(index))));
        }
        let quarantined = instances.iter().any(|i| i.quarantined.get() > 0);
        out.gauge(&names::STRATEGY_QUARANTINED, &whose, f64::from(u8::from(quarantined)));
        let mut shards = 0.0;
        for (shard, instance) in instances.iter().filter_map(|instance| Some((instance.shard?, instance))) {
            shards += 1.0;
            let memory = to_f64(instance.memory_bytes.get());
            out.gauge(&names::STRATEGY_MEMORY, &[whose[0], whose[1], &shard.to_string()], memory);
        }
        out.gauge(&names::STRATEGY_SHARDS, &whose, shards);
        for instance in &instances {
            let shard = instance.shard.map_or_else(String::new, |shard| shard.to_string());
            for (name, value) in locked(&instance.gauges).iter() {
                out.gauge(&names::STRATEGY_GAUGE, &[whose[0], whose[1], &shard, name], *value);
            }
        }
    }
}

fn terms(metrics: &Metrics, out: &mut Exposition) {
    let (all, mut decisions) = (metrics.sent(), Latency::default());
    let mut sent: HashMap<(&str, &str), Vec<&SentMetrics>> = HashMap::new();
    all.iter().for_each(|one| sent.entry((&one.tenant, &one.strategy)).or_default().push(one));
    for ((tenant, strategy), terms) in metrics.terms() {
        let whose = [tenant.as_str(), strategy.as_str()];
        let module = terms.module.get(..MODULE_DIGITS).unwrap_or(&terms.module);
        out.gauge(&names::STRATEGY_INFO, &[whose[0], whose[1], &terms.feed, module], 1.0);
        out.gauge(&names::STRATEGY_CALL_BUDGET, &whose, seconds(terms.call_budget_ns));
        out.gauge(&names::STRATEGY_MEMORY_BUDGET, &whose, to_f64(terms.memory_budget_bytes));
        let Some(objective_ns) = terms.objective_ns else { continue };
        out.gauge(&names::STRATEGY_OBJECTIVE, &whose, seconds(objective_ns));
        decisions.clear();
        sent.get(&(whose[0], whose[1])).into_iter().flatten().for_each(|sent| decisions.merge(&sent.decision));
        let over = decisions.count() - decisions.histogram.count_between(0, objective_ns);
        let objective = seconds(objective_ns).to_string();
        out.counter(&names::DECISIONS_OVER_OBJECTIVE, &[whose[0], whose[1], &objective], over);
    }
}

fn latencies(metrics: &Metrics, out: &mut Exposition) {
    let merged = |stage: &str| metrics.latency(stage, None).unwrap_or_default();
    for stage in ["broker", "decode", "queue"] {
        out.latency(["", "", stage], &merged(stage));
    }
    let (instances, sent) = (metrics.strategies(), metrics.sent());
    let mut of_strategy: BTreeMap<[&str; 3], Vec<&RecorderReader>> = BTreeMap::new();
    let mut add = |labels, reader| of_strategy.entry(labels).or_default().push(reader);
    for one in &instances {
        for (stage, reader) in [("strategy", &one.strategy_latency), ("risk", &one.risk_latency)] {
            add([&one.tenant, &one.strategy, stage], reader);
        }
    }
    for one in &sent {
        for (stage, reader) in [("egress", &one.egress), ("decision", &one.decision), ("ack", &one.ack)] {
            add([&one.tenant, &one.strategy, stage], reader);
        }
    }
    // One after the other in the same memory: a thousand strategies' histograms are 150 MB.
    let mut latency = Latency::default();
    for (labels, readers) in of_strategy {
        latency.clear();
        readers.into_iter().for_each(|reader| latency.merge(reader));
        out.latency(labels, &latency);
    }
}

impl Exposition {
    fn push(&mut self, metric: &Metric, values: &[&str], fill: impl FnOnce(&mut Sample)) {
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        let Some(place) = self.places.get(metric.name) else {
            unreachable!("{} is not listed in pinion_spec::metrics::ALL", metric.name);
        };
        let label = |(name, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut sample = Sample::from_label(metric.labels.iter().zip(values).map(label).collect());
        fill(&mut sample);
        self.families[*place].push(sample);
    }

    fn counter(&mut self, metric: &Metric, values: &[&str], count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' own number format")]
        self.sample(metric, values, count as f64);
    }

    fn sample(&mut self, metric: &Metric, values: &[&str], value: f64) {
        self.push(metric, values, |sample| {
            let mut counter = Counter::default();
            counter.set_value(value);
            sample.set_counter(counter);
        });
    }

    fn gauge(&mut self, metric: &Metric, values: &[&str], value: f64) {
        self.push(metric, values, |sample| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            sample.set_gauge(gauge);
        });
    }

    fn latency(&mut self, labels: [&str; 3], latency: &Latency) {
        let counts = latency.counts_up_to(&LATENCY_BUCKETS_NS);
        self.push(&names::LATENCY, &labels, |sample| {
            let buckets = LATENCY_BUCKETS_NS.iter().zip(counts).map(|(bound, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(seconds(*bound));
                bucket.set_cumulative_count(count);
                bucket
            });
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(latency.count());
            histogram.set_sample_sum(seconds(latency.sum_ns));
            sample.set_histogram(histogram);
        });
        let [tenant, strategy, stage] = labels;
        for quantile in LATENCY_QUANTILES {
            let value = latency.quantile(quantile.parse().unwrap_or(1.0));
            self.gauge(&names::LATENCY_QUANTILE, &[tenant, strategy, stage, quantile], seconds(value));
        }
    }

    fn text(self) -> prometheus::Result<String> {
        let families: Vec<MetricFamily> = self
            .families
            .into_iter()
            .zip(names::ALL)
            .filter(|(samples, _)| !samples.is_empty())
            .map(|(samples, metric)| {
                let mut family = MetricFamily::default();
                family.set_name(metric.name.to_owned());
                family.set_help(metric.help.to_owned());
                family.set_field_type(match metric.kind {
                    MetricKind::Counter => MetricType::COUNTER,
                    MetricKind::Gauge => MetricType::GAUGE,
                    MetricKind::Histogram => MetricType::HISTOGRAM,
                });
                family.set_metric(samples);
                family
            })
            .collect();
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' own number format")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' own number format")]
fn to_f64(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::metrics::{Terms, recorder};

    fn shown(metrics: &Metrics, name: &str) -> Vec<String> {
        let text = scrape(metrics, &EgressMetrics::default()).unwrap();
        text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }

    #[test]
    fn decisions_over_the_objective_are_counted_and_another_objective_is_another_series() {
        let metrics = Metrics::default();
        let ((mut decision, reader), other) = (recorder(), || recorder().1);
        let sent = SentMetrics {
            tenant: "t".to_owned(),
            strategy: "s".to_owned(),
            egress: other(),
            decision: reader,
            ack: other(),
        };
        metrics.add_sent(Arc::new(sent));
        for micros in [100, 299, 300, 310, 900] {
            decision.record(micros * 1_000);
        }
        let mut terms = Terms {
            feed: "g".to_owned(),
            module: "0123456789abcdef".to_owned(),
            call_budget_ns: 1_000_000,
            memory_budget_bytes: 1 << 20,
            objective_ns: Some(300_000),
        };
        metrics.show_terms("t", "s", terms.clone());
        let over = |objective, count| {
            let labels = format!("tenant=\"t\",strategy=\"s\",objective=\"{objective}\"");
            [format!("pinion_decisions_over_objective_total{{{labels}}} {count}")]
        };
        assert_eq!(shown(&metrics, "pinion_decisions_over"), over("0.0003", 2));
        terms.objective_ns = Some(50_000);
        metrics.show_terms("t", "s", terms.clone());
        assert_eq!(shown(&metrics, "pinion_decisions_over"), over("0.00005", 5));
        let info = "pinion_strategy_info{tenant=\"t\",strategy=\"s\",feed=\"g\",module=\"0123456789ab\"} 1";
        assert_eq!(shown(&metrics, "pinion_strategy_info"), [info]);
        terms.objective_ns = None;
        metrics.show_terms("t", "s", terms);
        assert!(shown(&metrics, "pinion_decisions_over").is_empty());
        assert!(shown(&metrics, "pinion_strategy_objective").is_empty());
        metrics.remove_strategy("t", "s");
        assert!(shown(&metrics, "pinion_strategy").is_empty());
    }

    #[test]
    fn the_process_says_what_it_takes() {
        let metrics = Metrics::default();
        for name in ["pinion_process_start_time_seconds", "pinion_process_resident_bytes", "pinion_process_cpu_seconds"]
        {
            let lines = shown(&metrics, name);
            let value: f64 = lines[0].rsplit(' ').next().unwrap().parse().unwrap();
            assert!(value > 0.0, "{lines:?}");
        }
    }
}
