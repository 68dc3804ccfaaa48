//! The metrics as Prometheus reads them. Runs on a thread of its own; walks the reading ends and touches no writer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{Display, Write};

use pinion_spec::metrics::{self as names, LATENCY_BUCKETS_NS, LATENCY_QUANTILES, Metric, MetricKind};

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

/// What the text is, for who reads it.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4";

/// One scrape: each metric's samples as text, in the order of the definitions. Samples of one metric stand together, and its strategies
/// come one after the other.
#[derive(Debug)]
struct Exposition {
    families: Vec<String>,
    /// Of a metric among the definitions.
    places: HashMap<&'static str, usize>,
    /// Upper bounds of the latency buckets, in seconds.
    bounds: [String; LATENCY_BUCKETS_NS.len()],
}

impl Default for Exposition {
    fn default() -> Self {
        let places = names::ALL.iter().enumerate().map(|(place, metric)| (metric.name, place)).collect();
        let bounds = LATENCY_BUCKETS_NS.map(|bound| seconds(bound).to_string());
        Self { families: vec![String::new(); names::ALL.len()], places, bounds }
    }
}

/// The scrape's text, in Prometheus' text format
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
pub fn scrape(metrics: &Metrics, egress: &EgressMetrics) -> String {
    let mut out = Exposition::default();
    out.sample(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
    process(metrics, &mut out);
    assignment(metrics, &mut out);
    feeds(metrics, &mut out);
    shards(metrics, &mut out);
    workers(metrics, &mut out);
    strategies(metrics, &mut out);
    terms(metrics, &mut out);
    latencies(metrics, &mut out);
    out.sample(&names::KAFKA_SENT, &[], egress.sent.get());
    out.sample(&names::KAFKA_ACKNOWLEDGED, &[], egress.acked.get());
    out.sample(&names::KAFKA_QUEUE_FULL, &[], egress.queue_full.get());
    out.sample(&names::KAFKA_DELIVERY_ERRORS, &[], egress.failed.get());
    out.text()
}

/// What the kernel does not say of the process is left out.
fn process(metrics: &Metrics, out: &mut Exposition) {
    out.sample(&names::PROCESS_START, &[], seconds(metrics.started.0));
    if let Some(process) = process::read() {
        out.sample(&names::PROCESS_CPU, &[], process.cpu_seconds);
        out.sample(&names::PROCESS_RESIDENT, &[], process.resident_bytes);
    }
    if let Some(throttled) = cgroup::throttled() {
        out.sample(&names::CPU_THROTTLED, &[], throttled.as_secs_f64());
    }
}

fn assignment(metrics: &Metrics, out: &mut Exposition) {
    let assignment = metrics.assignment();
    out.sample(&names::ASSIGNMENT_EPOCH, &[], assignment.epoch.get());
    out.sample(&names::ASSIGNMENT_REVISION, &[], assignment.revision.get());
    out.sample(&names::ASSIGNMENTS_REFUSED, &[], assignment.refused.get());
    let end_ns = u64::try_from(assignment.lease_end_ns.get()).unwrap_or(0);
    out.sample(&names::LEASE, &[], seconds(end_ns.saturating_sub(mono_ns())));
}

fn feeds(metrics: &Metrics, out: &mut Exposition) {
    for feed in metrics.feeds() {
        let group = feed.group.as_str();
        let (records, age_ns) = lag(feed.partitions.get().into_iter().flat_map(PartitionsMetrics::all));
        out.sample(&names::KAFKA_LAG_SECONDS, &[group], seconds(age_ns));
        out.sample(&names::KAFKA_CONNECTED, &[group], feed.connected.get());
        out.sample(&names::KAFKA_LAG, &[group], records);
        out.sample(&names::RECORDS, &[group], feed.records.get());
        out.sample(&names::RECORD_BYTES, &[group], feed.bytes.get());
        out.sample(&names::RECORDS_SKIPPED, &[group], feed.skipped.get());
        out.sample(&names::BROKER_CLOCK_NEGATIVE, &[group], feed.broker_negative.get());
        out.sample(&names::RING_FULL, &[group], feed.ring_full.get());
        out.sample(&names::PARTITION_PAUSED, &[group], feed.paused.get());
        for (kind, count) in EventKind::ALL.iter().zip(&feed.events) {
            out.sample(&names::EVENTS, &[group, kind.label()], count.get());
        }
        for (reason, count) in DecodeError::REASONS.iter().zip(&feed.decode_errors) {
            out.sample(&names::DECODE_ERRORS, &[group, reason], count.get());
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
        out.sample(&names::SHARD_RECORDS, &[group, &number, &worker], shard.records.get());
        out.sample(&names::SHARD_BUSY, &[group, &number, &worker], seconds(shard.busy_ns.get()));
        // One that changes its worker may have two for a moment.
        if let Some(partitions) = partitions(group).filter(|_| shown.insert((shard.group.clone(), shard.shard))) {
            let lag: i64 = partitions.of_shard(shard.shard).map(|partition| partition.lag_records.get()).sum();
            out.sample(&names::SHARD_LAG, &[group, &number], lag);
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
        out.sample(&names::WORKER_PINNED, &[&index, &named], u8::from(core.is_some()));
        out.sample(&names::WORKER_BUSY, &[&index], seconds(worker.busy_ns.get()));
        out.sample(&names::EGRESS_FULL, &[&index], worker.egress_full.get());
        out.sample(&names::JOURNAL_FULL, &[&index], worker.journal_full.get());
        out.sample(&names::JOURNAL_BYTES, &[&index], worker.journal_bytes.get());
        out.sample(&names::JOURNAL_FAILED, &[&index], u8::from(worker.journal_failed.get() != 0));
        out.sample(&names::SEQUENCE_GAPS, &[&index], worker.gaps.get());
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
            out.sample(&names::ORDERS, &with(kind), sum(&|i| i.orders[index].get()));
        }
        for reason in DenyReason::ALL {
            out.sample(&names::DENIALS, &with(reason.label()), sum(&|i| i.denials[reason.index()].get()));
        }
        for kind in FaultKind::ALL {
            out.sample(&names::FAULTS, &with(kind.label()), sum(&|i| i.faults[kind as usize].get()));
        }
        out.sample(&names::EVENTS_MISSED, &whose, sum(&|i| i.missed.get()));
        out.sample(&names::DENIALS_UNTOLD, &whose, sum(&|i| i.updates_dropped.get()));
        out.sample(&names::SWAPS, &whose, sum(&|i| i.swaps.get()));
        out.sample(&names::LOG_DROPPED, &whose, sum(&|i| i.log_dropped.get()));
        let state = instances.iter().map(|i| i.trading_state.get()).max().unwrap_or(0);
        for (index, name) in ["ACTIVE", "REDUCING", "HALTED"].iter().enumerate() {
            out.sample(&names::STRATEGY_STATE, &with(name), u8::from(usize::try_from(state) == Ok(index)));
        }
        let quarantined = instances.iter().any(|i| i.quarantined.get() > 0);
        out.sample(&names::STRATEGY_QUARANTINED, &whose, u8::from(quarantined));
        let mut shards = 0;
        for (shard, instance) in instances.iter().filter_map(|instance| Some((instance.shard?, instance))) {
            shards += 1;
            out.sample(&names::STRATEGY_MEMORY, &[whose[0], whose[1], &shard.to_string()], instance.memory_bytes.get());
        }
        out.sample(&names::STRATEGY_SHARDS, &whose, shards);
        for instance in &instances {
            let shard = instance.shard.map_or_else(String::new, |shard| shard.to_string());
            for (name, value) in locked(&instance.gauges).iter() {
                out.sample(&names::STRATEGY_GAUGE, &[whose[0], whose[1], &shard, name], *value);
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
        out.sample(&names::STRATEGY_INFO, &[whose[0], whose[1], &terms.feed, module], 1);
        out.sample(&names::STRATEGY_CALL_BUDGET, &whose, seconds(terms.call_budget_ns));
        out.sample(&names::STRATEGY_MEMORY_BUDGET, &whose, terms.memory_budget_bytes);
        let Some(objective_ns) = terms.objective_ns else { continue };
        out.sample(&names::STRATEGY_OBJECTIVE, &whose, seconds(objective_ns));
        decisions.clear();
        sent.get(&(whose[0], whose[1])).into_iter().flatten().for_each(|sent| decisions.merge(&sent.decision));
        let over = decisions.count() - decisions.histogram.count_between(0, objective_ns);
        let objective = seconds(objective_ns).to_string();
        out.sample(&names::DECISIONS_OVER_OBJECTIVE, &[whose[0], whose[1], &objective], over);
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
    /// A metric's place among the families.
    fn place(&self, metric: &Metric) -> usize {
        let Some(place) = self.places.get(metric.name) else {
            unreachable!("{} is not listed in pinion_spec::metrics::ALL", metric.name);
        };
        *place
    }

    fn sample(&mut self, metric: &Metric, values: &[&str], value: impl Display) {
        let place = self.place(metric);
        sample(&mut self.families[place], metric, "", values, None, value);
    }

    fn latency(&mut self, labels: [&str; 3], latency: &Latency) {
        let metric = &names::LATENCY;
        let place = self.place(metric);
        let text = &mut self.families[place];
        for (bound, count) in self.bounds.iter().zip(latency.counts_up_to(&LATENCY_BUCKETS_NS)) {
            sample(text, metric, "_bucket", &labels, Some(("le", bound)), count);
        }
        sample(text, metric, "_bucket", &labels, Some(("le", "+Inf")), latency.count());
        sample(text, metric, "_sum", &labels, None, seconds(latency.sum_ns));
        sample(text, metric, "_count", &labels, None, latency.count());
        let [tenant, strategy, stage] = labels;
        for quantile in LATENCY_QUANTILES {
            let value = latency.quantile(quantile.parse().unwrap_or(1.0));
            self.sample(&names::LATENCY_QUANTILE, &[tenant, strategy, stage, quantile], seconds(value));
        }
    }

    fn text(self) -> String {
        // A metric's name, help and kind are below 512 bytes.
        let mut text = String::with_capacity(self.families.iter().map(|samples| samples.len() + 512).sum());
        for (samples, metric) in self.families.into_iter().zip(names::ALL).filter(|(samples, _)| !samples.is_empty()) {
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
            };
            for part in ["# HELP ", metric.name, " ", metric.help, "\n# TYPE ", metric.name, " ", kind, "\n", &samples]
            {
                text.push_str(part);
            }
        }
        text
    }
}

/// One line: a series and its value.
fn sample(
    text: &mut String,
    metric: &Metric,
    suffix: &str,
    values: &[&str],
    more: Option<(&str, &str)>,
    value: impl Display,
) {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    text.push_str(metric.name);
    text.push_str(suffix);
    let mut before = '{';
    for (label, value) in metric.labels.iter().copied().zip(values.iter().copied()).chain(more) {
        text.push(before);
        text.push_str(label);
        text.push_str("=\"");
        escape(value, text);
        text.push('"');
        before = ',';
    }
    // Writing to a string does not fail.
    let _ = if before == '{' { writeln!(text, " {value}") } else { writeln!(text, "}} {value}") };
}

/// A label's value: the format gives three characters a meaning of their own.
fn escape(value: &str, text: &mut String) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        let (before, special) = rest.split_at(at);
        text.push_str(before);
        text.push_str(match special.as_bytes()[0] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        });
        rest = &special[1..];
    }
    text.push_str(rest);
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' own number format")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::metrics::{Terms, recorder};

    fn shown(metrics: &Metrics, name: &str) -> Vec<String> {
        let text = scrape(metrics, &EgressMetrics::default());
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
    fn the_text_is_what_prometheus_own_library_writes() {
        use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric as Sample, MetricFamily, MetricType};
        use prometheus::{Encoder, TextEncoder};

        assert_eq!(TEXT_FORMAT, prometheus::TEXT_FORMAT);
        const HOSTILE: [&str; 3] = ["\\\"\n", "a\\nb\"}", "é\n\n"];
        let (mut recorder, reader) = recorder();
        [0, 250, 251, 1_000_000, u64::MAX >> 1].into_iter().for_each(|ns| recorder.record(ns));
        let mut latency = Latency::default();
        latency.merge(&reader);
        let mut out = Exposition::default();
        out.latency(HOSTILE, &latency);
        out.sample(&names::KAFKA_SENT, &[], u64::from(u32::MAX));
        let ours = out.text();

        let mut sample = Sample::from_label(
            names::LATENCY
                .labels
                .iter()
                .zip(HOSTILE)
                .map(|(name, value)| {
                    let mut pair = LabelPair::default();
                    pair.set_name((*name).to_owned());
                    pair.set_value(value.to_owned());
                    pair
                })
                .collect(),
        );
        let mut histogram = Histogram::default();
        let buckets = LATENCY_BUCKETS_NS.iter().map(|bound| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(latency.histogram.count_between(0, *bound));
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(latency.count());
        histogram.set_sample_sum(seconds(latency.sum_ns));
        sample.set_histogram(histogram);
        let (mut count, mut counted) = (Counter::default(), Sample::default());
        count.set_value(f64::from(u32::MAX));
        counted.set_counter(count);
        let family = |metric: Metric, kind, sample| {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(kind);
            family.set_metric(vec![sample]);
            family
        };
        for theirs in [
            family(names::LATENCY, MetricType::HISTOGRAM, sample),
            family(names::KAFKA_SENT, MetricType::COUNTER, counted),
        ] {
            let mut text = Vec::new();
            TextEncoder::new().encode(&[theirs], &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(ours.contains(&text), "{text}\nis not in\n{ours}");
        }
    }

    #[test]
    fn no_help_text_holds_what_the_format_gives_a_meaning() {
        assert!(names::ALL.iter().all(|metric| !metric.help.contains(['\\', '\n'])));
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
