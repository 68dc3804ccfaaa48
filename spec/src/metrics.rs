//! Every metric that a runtime or the operator exposes, named once: they register these, boards and rules are checked against
//! them.
//!
//! Names follow Prometheus: base units in the name, `_total` for counters. Labels take their values from enums or from
//! the strategy file, never from records or error texts, so their number is bounded.

#![expect(missing_docs, reason = "each metric's help says what it is")]

/// What a metric counts like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only goes up, from 0 at the process's start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, in seconds.
    Histogram,
}

/// One metric's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with unit.
    pub name: &'static str,
    /// What it says, for the person on call.
    pub help: &'static str,
    /// What it counts like.
    pub kind: MetricKind,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, help, kind: MetricKind::Counter, labels }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, help, kind: MetricKind::Gauge, labels }
}

/// Bounds of the latency buckets in nanoseconds, 1-2-5 from 250 ns to 10 s; exposed in seconds.
pub const LATENCY_BUCKETS_NS: [u64; 24] = [
    250,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Values of the label `stage`, in the order of the flow. The first three are of feeds and workers and name no strategy.
pub const LATENCY_STAGES: [&str; 8] = ["broker", "decode", "queue", "strategy", "risk", "egress", "decision", "ack"];

/// Values of the label `quantile`. `1` is the largest value since the process's start.
pub const LATENCY_QUANTILES: [&str; 5] = ["0.5", "0.99", "0.999", "0.9999", "1"];

pub const BUILD_INFO: Metric = gauge("pinion_build_info", &["version"], "1, with the running version as a label.");

pub const EVENTS: Metric = counter("pinion_events_total", &["feed", "kind"], "Events decoded, by what they are.");

pub const RECORDS: Metric = counter("pinion_records_total", &["feed"], "Kafka records read.");

pub const DECODE_ERRORS: Metric = counter(
    "pinion_decode_errors_total",
    &["feed", "reason"],
    "Records that could not be decoded; they went to the dead-letter topic where one is named.",
);

pub const RECORD_BYTES: Metric = counter("pinion_record_bytes_total", &["feed"], "Bytes of the Kafka records read.");

pub const RECORDS_SKIPPED: Metric =
    counter("pinion_records_skipped_total", &["feed"], "Well-formed messages that hold nothing for a strategy.");

pub const SEQUENCE_GAPS: Metric = counter(
    "pinion_sequence_gaps_total",
    &["worker"],
    "Breaks in a venue's sequence; orders on the instrument are denied.",
);

pub const ORDERS: Metric = counter(
    "pinion_orders_total",
    &["tenant", "strategy", "type"],
    "Approved orders, by what they ask of the venue: new, modify or cancel.",
);

pub const DENIALS: Metric =
    counter("pinion_denials_total", &["tenant", "strategy", "reason"], "Intents that the risk check denied.");

pub const FAULTS: Metric = counter(
    "pinion_faults_total",
    &["tenant", "strategy", "kind"],
    "Calls that ended in a guest's fault; what they had asked for was dropped.",
);

pub const EVENTS_MISSED: Metric = counter(
    "pinion_events_missed_total",
    &["tenant", "strategy"],
    "Events that passed while the strategy was down after a fault.",
);

pub const DENIALS_UNTOLD: Metric = counter(
    "pinion_denials_untold_total",
    &["tenant", "strategy"],
    "Denials that the strategy was not told of because too many waited.",
);

pub const SWAPS: Metric =
    counter("pinion_swaps_total", &["tenant", "strategy"], "Instances whose module was replaced while they ran.");

pub const LOG_DROPPED: Metric =
    counter("pinion_log_dropped_total", &["tenant", "strategy"], "Log lines of a strategy over its rate limit.");

pub const STRATEGY_STATE: Metric = gauge(
    "pinion_strategy_state",
    &["tenant", "strategy", "state"],
    "1 for the trading state that the strategy is in, 0 for the others.",
);

pub const STRATEGY_QUARANTINED: Metric = gauge(
    "pinion_strategy_quarantined",
    &["tenant", "strategy"],
    "1 while the strategy is not called because it faulted too often.",
);

pub const STRATEGY_GAUGE: Metric = gauge(
    "pinion_strategy_gauge",
    &["tenant", "strategy", "shard", "name"],
    "What the strategy itself set with metric-set.",
);

pub const RING_FULL: Metric =
    counter("pinion_ring_full_total", &["feed"], "Times that a record waited because a worker's ring was full.");

pub const PARTITION_PAUSED: Metric =
    counter("pinion_partition_paused_total", &["feed"], "Pauses of a partition because its worker was behind.");

pub const EGRESS_FULL: Metric =
    counter("pinion_egress_full_total", &["worker"], "Times that a worker waited because egress was behind.");

pub const JOURNAL_FULL: Metric =
    counter("pinion_journal_full_total", &["worker"], "Times that a worker waited because its journal was behind.");

pub const JOURNAL_BYTES: Metric = counter("pinion_journal_bytes_total", &["worker"], "Bytes of a worker's journal.");

pub const JOURNAL_FAILED: Metric =
    gauge("pinion_journal_failed", &["worker"], "1 when a worker's journal could not be written further.");

pub const LATENCY: Metric = Metric {
    name: "pinion_latency_seconds",
    help: "Time that an event spent in a stage; `decision` is from the Kafka poll to the order's hand-over.",
    kind: MetricKind::Histogram,
    labels: &["tenant", "strategy", "stage"],
};

pub const LATENCY_QUANTILE: Metric = gauge(
    "pinion_latency_quantile_seconds",
    &["tenant", "strategy", "stage", "quantile"],
    "Quantiles of the same since the process's start, with 2 significant digits.",
);

pub const BROKER_CLOCK_NEGATIVE: Metric = counter(
    "pinion_broker_clock_negative_total",
    &["feed"],
    "Records stamped later than they were read: two clocks disagree, and `broker` latency means nothing.",
);

pub const WORKER_PINNED: Metric = gauge(
    "pinion_worker_pinned",
    &["worker", "core"],
    "1 where the worker is bound to that core, which in a pod is the pod's alone; 0 where not.",
);

pub const WORKER_BUSY: Metric =
    counter("pinion_worker_busy_seconds_total", &["worker"], "Time that a worker spent on events rather than waiting.");

pub const SHARD_RECORDS: Metric = counter(
    "pinion_shard_records_total",
    &["feed", "shard", "worker"],
    "Records of a shard that its worker has done, since the shard came to it.",
);

pub const SHARD_LAG: Metric = gauge(
    "pinion_shard_lag_records",
    &["feed", "shard"],
    "Records of a shard's own partitions between the last one that is done and the log's end.",
);

pub const SHARD_BUSY: Metric = counter(
    "pinion_shard_busy_seconds_total",
    &["feed", "shard", "worker"],
    "Time that a worker spent on a shard, for all strategies of the group together, since the shard came to it.",
);

pub const KAFKA_CONNECTED: Metric =
    gauge("pinion_kafka_connected", &["feed"], "1 while a broker answers, 0 while none does.");

pub const KAFKA_LAG: Metric = gauge(
    "pinion_kafka_lag_records",
    &["feed"],
    "Records between the last one that is done and the log's end, of all partitions that are read here.",
);

pub const KAFKA_SENT: Metric =
    counter("pinion_kafka_sent_total", &[], "Records handed to the producer: orders, denials, dead letters.");

pub const KAFKA_ACKNOWLEDGED: Metric =
    counter("pinion_kafka_acknowledged_total", &[], "Records that Kafka has acknowledged.");

pub const KAFKA_QUEUE_FULL: Metric = counter(
    "pinion_kafka_queue_full_total",
    &[],
    "Times that a record waited because as many, or as many bytes, as may be were not acknowledged.",
);

pub const KAFKA_DELIVERY_ERRORS: Metric = counter(
    "pinion_kafka_delivery_errors_total",
    &[],
    "Records that Kafka refused for good; they are sent again after a restart.",
);

pub const KAFKA_LAG_SECONDS: Metric = gauge(
    "pinion_kafka_lag_seconds",
    &["feed"],
    "Age by Kafka's timestamp of the last record read, while records wait, of the partition furthest behind; 0 at the end.",
);

pub const ASSIGNMENT_EPOCH: Metric =
    gauge("pinion_assignment_epoch", &[], "Term of the operator whose assignment is held; 0 without one.");

pub const ASSIGNMENT_REVISION: Metric =
    gauge("pinion_assignment_revision", &[], "That operator's count of changes to this pod's assignment.");

pub const ASSIGNMENTS_REFUSED: Metric = counter(
    "pinion_assignments_refused_total",
    &[],
    "Assignments that were refused: older than what is held, altered, for another pod or with mistakes.",
);

pub const LEASE: Metric =
    gauge("pinion_lease_seconds", &[], "What is left of the lease; then the pod stops itself. 0 without a lease.");

pub const STRATEGY_INFO: Metric = gauge(
    "pinion_strategy_info",
    &["tenant", "strategy", "feed", "module"],
    "1 for each strategy that is loaded, with the group that reads for it and the head of its module's digest.",
);

pub const STRATEGY_SHARDS: Metric =
    gauge("pinion_strategy_shards", &["tenant", "strategy"], "Shards of the strategy that this process runs.");

pub const STRATEGY_OBJECTIVE: Metric = gauge(
    "pinion_strategy_objective_seconds",
    &["tenant", "strategy"],
    "What 99 % of decisions are to take at most: `targets.p99Micros`. Absent where the strategy names none.",
);

pub const DECISIONS_OVER_OBJECTIVE: Metric = counter(
    "pinion_decisions_over_objective_total",
    &["tenant", "strategy", "objective"],
    "Decisions that took longer than the objective, to 1 %. Another objective is another series, so a change is no jump.",
);

pub const STRATEGY_CALL_BUDGET: Metric = gauge(
    "pinion_strategy_call_budget_seconds",
    &["tenant", "strategy"],
    "CPU time that one callback may take: `budget.callMicros`.",
);

pub const STRATEGY_MEMORY: Metric = gauge(
    "pinion_strategy_memory_bytes",
    &["tenant", "strategy", "shard"],
    "Linear memory of an instance's guest. It never shrinks.",
);

pub const STRATEGY_MEMORY_BUDGET: Metric = gauge(
    "pinion_strategy_memory_budget_bytes",
    &["tenant", "strategy"],
    "Linear memory that one instance may have: `budget.memoryMiB`.",
);

pub const CPU_THROTTLED: Metric = counter(
    "pinion_cpu_throttled_seconds_total",
    &[],
    "Time that the control group's threads were kept off the CPU by its quota. Absent where the kernel does not say.",
);

pub const PROCESS_CPU: Metric =
    counter("pinion_process_cpu_seconds_total", &[], "CPU time of all of the process's threads.");

pub const PROCESS_RESIDENT: Metric =
    gauge("pinion_process_resident_bytes", &[], "Memory of the process that is in RAM.");

pub const PROCESS_START: Metric =
    gauge("pinion_process_start_time_seconds", &[], "When the process started, seconds since the Unix epoch.");

/// Every metric of a runtime, in the order in which an event meets them.
pub const ALL: [Metric; 53] = [
    BUILD_INFO,
    PROCESS_START,
    PROCESS_CPU,
    PROCESS_RESIDENT,
    CPU_THROTTLED,
    ASSIGNMENT_EPOCH,
    ASSIGNMENT_REVISION,
    ASSIGNMENTS_REFUSED,
    LEASE,
    KAFKA_CONNECTED,
    KAFKA_LAG,
    KAFKA_LAG_SECONDS,
    RECORDS,
    BROKER_CLOCK_NEGATIVE,
    DECODE_ERRORS,
    RECORD_BYTES,
    RECORDS_SKIPPED,
    SEQUENCE_GAPS,
    RING_FULL,
    PARTITION_PAUSED,
    EVENTS,
    WORKER_PINNED,
    WORKER_BUSY,
    SHARD_LAG,
    SHARD_RECORDS,
    SHARD_BUSY,
    LATENCY,
    LATENCY_QUANTILE,
    DECISIONS_OVER_OBJECTIVE,
    FAULTS,
    EVENTS_MISSED,
    ORDERS,
    DENIALS,
    DENIALS_UNTOLD,
    EGRESS_FULL,
    JOURNAL_FULL,
    JOURNAL_BYTES,
    JOURNAL_FAILED,
    KAFKA_SENT,
    KAFKA_ACKNOWLEDGED,
    KAFKA_QUEUE_FULL,
    KAFKA_DELIVERY_ERRORS,
    SWAPS,
    STRATEGY_INFO,
    STRATEGY_SHARDS,
    STRATEGY_OBJECTIVE,
    STRATEGY_CALL_BUDGET,
    STRATEGY_MEMORY,
    STRATEGY_MEMORY_BUDGET,
    STRATEGY_STATE,
    STRATEGY_QUARANTINED,
    STRATEGY_GAUGE,
    LOG_DROPPED,
];

pub const OPERATOR_LEADER: Metric =
    gauge("pinion_operator_leader", &[], "1 while this process holds the operator's lease, 0 while it waits for it.");

pub const OPERATOR_EPOCH: Metric =
    gauge("pinion_operator_epoch", &[], "Term in which this process leads; 0 while it does not.");

pub const OPERATOR_RESOURCES: Metric =
    gauge("pinion_operator_resources", &["kind"], "Tenants, RuntimePools and Strategies that there are.");

pub const OPERATOR_ROUNDS: Metric =
    counter("pinion_operator_rounds_total", &["outcome"], "Rounds of a tenant: done, or failed and to be tried again.");

pub const OPERATOR_ROUND_SECONDS: Metric = Metric {
    name: "pinion_operator_round_seconds",
    help: "Time of a tenant's round, calls to its pods included.",
    kind: MetricKind::Histogram,
    labels: &[],
};

pub const OPERATOR_WRITES: Metric =
    counter("pinion_operator_writes_total", &["kind"], "Writes to Kubernetes; none while nothing changes.");

pub const OPERATOR_KUBE_ERRORS: Metric = counter(
    "pinion_operator_kube_errors_total",
    &["call", "why"],
    "Calls to Kubernetes (lease, read, write, watch) that failed: conflict, throttled, refused, server or no_answer.",
);

pub const OPERATOR_POD_CALLS: Metric = counter(
    "pinion_operator_pod_calls_total",
    &["call", "outcome"],
    "Calls to pods' admin ports: report, assign, module or metrics; ok, unreached or failed.",
);

pub const OPERATOR_SHARD_MOVES: Metric =
    counter("pinion_operator_shard_moves_total", &["tenant"], "Shards that were taken from one pod for another.");

pub const OPERATOR_ROLLBACKS: Metric = counter(
    "pinion_operator_rollbacks_total",
    &["tenant"],
    "Modules that faulted on probation and were replaced by the one before.",
);

/// Every metric of the operator.
pub const OPERATOR: [Metric; 10] = [
    OPERATOR_LEADER,
    OPERATOR_EPOCH,
    OPERATOR_RESOURCES,
    OPERATOR_ROUNDS,
    OPERATOR_ROUND_SECONDS,
    OPERATOR_WRITES,
    OPERATOR_KUBE_ERRORS,
    OPERATOR_POD_CALLS,
    OPERATOR_SHARD_MOVES,
    OPERATOR_ROLLBACKS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_prometheus() {
        let names: BTreeSet<_> = ALL.iter().chain(&OPERATOR).map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len() + OPERATOR.len());
        for Metric { name, help, kind, labels } in ALL.into_iter().chain(OPERATOR) {
            assert!(name.starts_with("pinion_") && !name.contains("__"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), kind == MetricKind::Counter, "{name}");
            assert!(!["_ns", "_ms", "_us", "_micros", "_count", "_sum", "_bucket"].iter().any(|s| name.ends_with(s)));
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
            assert!(!labels.contains(&"le") && labels.iter().collect::<BTreeSet<_>>().len() == labels.len(), "{name}");
        }
    }

    #[test]
    fn buckets_go_up() {
        assert!(LATENCY_BUCKETS_NS.is_sorted_by(|a, b| a < b));
    }
}
