//! What a run came to: the numbers that `pinion demo` and `pinion run` end with, and that the live view shows meanwhile.

use std::collections::BTreeMap;

use pinion_runtime::metrics::{EventKind, Latency, Metrics, ORDER_LABELS, STAGES, StrategyMetrics};
use pinion_runtime::risk::DenyReason;
use pinion_runtime::sandbox::FaultKind;
use serde::Serialize;

use crate::error::CliError;
use crate::paper::StrategyOutcome;

/// The result: field names are a promise to scripts. Counts are since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Decoded events by kind, every kind; each is counted once, however many strategies read it.
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// Over all strategies.
    pub(crate) orders: Orders,
    /// Guests' faults by kind; those that did not occur are left out.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// What all strategies sent, see [`crate::demo`]; only the demo reads it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order_stream_sha256: Option<String>,
    /// By stage, every stage, ns.
    pub(crate) latency_ns: BTreeMap<&'static str, Quantiles>,
    /// By name.
    pub(crate) strategies: BTreeMap<String, StrategySummary>,
    /// Records that could not be decoded, by reason; those that did not occur are left out.
    pub(crate) decode_errors: BTreeMap<&'static str, u64>,
    /// Breaks in a venue's sequence.
    pub(crate) gaps: u64,
    /// Kafka records read.
    pub(crate) records: u64,
    /// Market-data records that were acknowledged by the broker; only the demo publishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) published: Option<u64>,
    /// Market-data records that were sent more than 1 ms after their time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) late_sends: Option<u64>,
    /// Wall time.
    pub(crate) seconds: f64,
}

/// What became of what strategies asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Orders {
    /// New orders, modifies and cancels that passed every check.
    pub(crate) approved: u64,
    /// By reason; those that did not occur are left out.
    pub(crate) denied: BTreeMap<&'static str, u64>,
}

/// One strategy, over all its instances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct StrategySummary {
    /// Approved: `new`, `modify`, `cancel`.
    pub(crate) orders: BTreeMap<&'static str, u64>,
    /// Denied, by reason; those that did not occur are left out.
    pub(crate) denied: BTreeMap<&'static str, u64>,
    /// Faults by kind; those that did not occur are left out.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// What it sent; only the demo reads it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order_stream_sha256: Option<String>,
    /// What a paper venue made of it; only the demo has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paper: Option<StrategyOutcome>,
}

/// A latency stage, ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Quantiles {
    /// How many were measured.
    pub(crate) count: u64,
    /// Median.
    pub(crate) p50: u64,
    /// 99 %.
    pub(crate) p99: u64,
    /// 99.9 %.
    pub(crate) p999: u64,
    /// The longest, exact.
    pub(crate) max: u64,
}

impl From<&Latency> for Quantiles {
    fn from(latency: &Latency) -> Self {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| latency.quantile(quantile));
        Self { count: latency.count(), p50, p99, p999, max: latency.max_ns }
    }
}

impl StrategySummary {
    /// What passed the checks.
    pub(crate) fn approved(&self) -> u64 {
        self.orders.values().sum()
    }

    fn add(&mut self, instance: &StrategyMetrics) {
        for (label, count) in ORDER_LABELS.iter().zip(&instance.orders) {
            *self.orders.entry(label).or_default() += count.get();
        }
        let denials = DenyReason::ALL.iter().map(|reason| (reason.label(), instance.denials[reason.index()].get()));
        add(&mut self.denied, denials);
        add(&mut self.faults, FaultKind::ALL.iter().map(|kind| (kind.label(), instance.faults[*kind as usize].get())));
    }
}

/// Adds what is not zero.
fn add(to: &mut BTreeMap<&'static str, u64>, counts: impl Iterator<Item = (&'static str, u64)>) {
    for (label, count) in counts.filter(|(_, count)| *count > 0) {
        *to.entry(label).or_default() += count;
    }
}

impl Summary {
    /// What is counted so far; `elapsed_ns` since the start.
    pub(crate) fn of(metrics: &Metrics, elapsed_ns: u64) -> Self {
        let mut summary =
            Self { seconds: std::time::Duration::from_nanos(elapsed_ns).as_secs_f64(), ..Self::default() };
        summary.events.extend(EventKind::ALL.iter().map(|kind| (kind.label(), 0)));
        for feed in metrics.feeds().into_iter().chain([metrics.ended_feeds()]) {
            summary.records += feed.records.get();
            add(
                &mut summary.events,
                EventKind::ALL.iter().map(|kind| (kind.label(), feed.events[*kind as usize].get())),
            );
            let reasons = pinion_runtime::decode::DecodeError::REASONS.iter().zip(&feed.decode_errors);
            add(&mut summary.decode_errors, reasons.map(|(reason, count)| (*reason, count.get())));
        }
        summary.gaps = metrics.workers().iter().map(|worker| worker.gaps.get()).sum();
        for instance in metrics.strategies().into_iter().chain(metrics.ended_strategies()) {
            summary.strategies.entry(instance.strategy.clone()).or_default().add(&instance);
        }
        for strategy in summary.strategies.values() {
            summary.orders.approved += strategy.approved();
            add(&mut summary.orders.denied, strategy.denied.iter().map(|(reason, count)| (*reason, *count)));
            add(&mut summary.faults, strategy.faults.iter().map(|(kind, count)| (*kind, *count)));
        }
        for stage in STAGES {
            let latency = metrics.latency(stage, None).unwrap_or_default();
            summary.latency_ns.insert(stage, Quantiles::from(&latency));
        }
        summary
    }

    /// What a paper venue made of the strategies' orders.
    pub(crate) fn add_paper(&mut self, by_strategy: BTreeMap<String, StrategyOutcome>) {
        for (name, outcome) in by_strategy {
            if let Some(strategy) = self.strategies.get_mut(&name) {
                strategy.paper = Some(outcome);
            }
        }
    }

    /// Every event.
    pub(crate) fn events_total(&self) -> u64 {
        self.events.values().sum()
    }

    /// One object on one line.
    pub(crate) fn to_json(&self) -> Result<String, CliError> {
        serde_json::to_string(self).map_err(|error| CliError::Internal(format!("cannot write the summary: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pinion_runtime::metrics::{FeedMetrics, SentMetrics, recorder};

    use super::*;

    /// A feed of 3 quotes, two instances of one strategy, a decision of 1,000 ns.
    fn metrics() -> Metrics {
        let metrics = Metrics::default();
        let feed = FeedMetrics::new("group".to_owned(), recorder().1, recorder().1);
        feed.events[EventKind::Quote as usize].add(3);
        feed.records.add(3);
        metrics.add_feed(Arc::new(feed));
        for _ in 0..2 {
            let instance = StrategyMetrics::new("default", "ema-cross", Some(0), recorder().1, recorder().1);
            instance.orders[0].add(2);
            instance.orders[2].add(1);
            instance.denials[DenyReason::PriceCollar.index()].add(1);
            instance.faults[FaultKind::Trap as usize].add(1);
            metrics.add_strategy(Arc::new(instance));
        }
        let (mut decision, reader) = recorder();
        decision.record(1_000);
        metrics.add_sent(Arc::new(SentMetrics {
            tenant: "default".to_owned(),
            strategy: "ema-cross".to_owned(),
            egress: recorder().1,
            decision: reader,
            ack: recorder().1,
        }));
        metrics
    }

    #[test]
    fn the_json_has_the_fields_that_scripts_were_promised() {
        let mut summary = Summary::of(&metrics(), 1_500_000_000);
        summary.order_stream_sha256 = Some("ab".to_owned());
        (summary.published, summary.late_sends) = (Some(3), Some(1));
        let json: serde_json::Value = serde_json::from_str(&summary.to_json().unwrap()).unwrap();
        assert_eq!(json["events"]["quote"], 3);
        assert_eq!(json["events"]["trade"], 0);
        assert_eq!(json["orders"], serde_json::json!({"approved": 6, "denied": {"price_collar": 2}}));
        assert_eq!(json["faults"], serde_json::json!({"trap": 2}));
        assert_eq!(json["order_stream_sha256"], "ab");
        let decision = serde_json::json!({"count": 1, "p50": 1_000, "p99": 1_000, "p999": 1_000, "max": 1_000});
        assert_eq!(json["latency_ns"]["decision"], decision);
        assert_eq!(json["latency_ns"].as_object().unwrap().len(), STAGES.len());
        assert_eq!(json["strategies"]["ema-cross"]["orders"], serde_json::json!({"new": 4, "modify": 0, "cancel": 2}));
        assert_eq!((&json["published"], &json["late_sends"]), (&3.into(), &1.into()));
        assert_eq!(json["seconds"], 1.5);
    }

    #[test]
    fn what_was_unloaded_stays_in_the_summary() {
        let metrics = metrics();
        let before = Summary::of(&metrics, 0);
        metrics.remove_strategy("default", "ema-cross");
        metrics.feeds().iter().for_each(|feed| metrics.remove_feed(feed));
        assert!(metrics.strategies().is_empty() && metrics.feeds().is_empty());
        assert_eq!(Summary::of(&metrics, 0), before);
    }

    #[test]
    fn what_only_the_demo_knows_is_left_out_elsewhere() {
        let json = Summary::of(&Metrics::default(), 0).to_json().unwrap();
        for field in ["order_stream_sha256", "published", "late_sends"] {
            assert!(!json.contains(field), "{json}");
        }
    }
}
