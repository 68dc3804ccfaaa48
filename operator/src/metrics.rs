//! What the operator counts of itself, by the names in `pinion_spec::metrics`.

use std::time::Duration;

use pinion_spec::metrics::{self as names, Metric};
use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::kinds::Kind;

/// Upper bounds of a round's time, seconds: without writes it is under a millisecond, with pods that do not answer some seconds.
const ROUND_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Calls to pods, and how each may end.
const POD_CALLS: [(&str, &[&str]); 4] = [
    ("report", &["ok", "unreached", "failed"]),
    ("assign", &["ok", "unreached", "failed"]),
    ("module", &["ok", "failed"]),
    ("metrics", &["ok", "failed"]),
];

/// Why a call to Kubernetes was not done; no answer is the last of them.
const WHYS: [&str; 5] = ["conflict", "throttled", "refused", "server", "no_answer"];

/// What Kubernetes was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as in the metric's help")]
pub enum Call {
    Lease,
    Read,
    Write,
    Watch,
}

impl Call {
    const ALL: [Self; 4] = [Self::Lease, Self::Read, Self::Write, Self::Watch];

    const fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Read => "read",
            Self::Write => "write",
            Self::Watch => "watch",
        }
    }
}

/// Why it was not done: a class of answers, or none.
fn why(error: Option<&kube::Error>) -> &'static str {
    match error {
        Some(kube::Error::Api(status)) => match status.code {
            409 => WHYS[0],
            429 => WHYS[1],
            400..500 => WHYS[2],
            _ => WHYS[3],
        },
        _ => WHYS[4],
    }
}

/// The counters.
pub struct Metrics {
    registry: Registry,
    leader: IntGaugeVec,
    epoch: IntGaugeVec,
    resources: IntGaugeVec,
    rounds: IntCounterVec,
    round_seconds: HistogramVec,
    writes: IntCounterVec,
    kube_errors: IntCounterVec,
    pod_calls: IntCounterVec,
    moves: IntCounterVec,
    rollbacks: IntCounterVec,
}

fn opts(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn counter(registry: &Registry, metric: &Metric) -> Result<IntCounterVec, prometheus::Error> {
    let counter = IntCounterVec::new(opts(metric), metric.labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, metric: &Metric) -> Result<IntGaugeVec, prometheus::Error> {
    let gauge = IntGaugeVec::new(opts(metric), metric.labels)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// If two have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let seconds = &names::OPERATOR_ROUND_SECONDS;
        let round_seconds =
            HistogramVec::new(HistogramOpts::from(opts(seconds)).buckets(ROUND_BUCKETS.to_vec()), seconds.labels)?;
        registry.register(Box::new(round_seconds.clone()))?;
        let metrics = Self {
            leader: gauge(&registry, &names::OPERATOR_LEADER)?,
            epoch: gauge(&registry, &names::OPERATOR_EPOCH)?,
            resources: gauge(&registry, &names::OPERATOR_RESOURCES)?,
            rounds: counter(&registry, &names::OPERATOR_ROUNDS)?,
            round_seconds,
            writes: counter(&registry, &names::OPERATOR_WRITES)?,
            kube_errors: counter(&registry, &names::OPERATOR_KUBE_ERRORS)?,
            pod_calls: counter(&registry, &names::OPERATOR_POD_CALLS)?,
            moves: counter(&registry, &names::OPERATOR_SHARD_MOVES)?,
            rollbacks: counter(&registry, &names::OPERATOR_ROLLBACKS)?,
            registry,
        };
        metrics.lead(None);
        metrics.begin();
        Ok(metrics)
    }

    /// Shows at 0 what is bound to come: Prometheus takes a counter that appears at 1 for one that has never grown.
    fn begin(&self) {
        for outcome in ["done", "failed"] {
            self.rounds.with_label_values(&[outcome]);
        }
        for call in Call::ALL {
            for why in WHYS {
                self.kube_errors.with_label_values(&[call.name(), why]);
            }
        }
        for (call, outcomes) in POD_CALLS {
            for outcome in outcomes {
                self.pod_calls.with_label_values(&[call, outcome]);
            }
        }
    }

    /// Leads in this term, or does not.
    pub fn lead(&self, epoch: Option<u64>) {
        self.leader.with_label_values::<&str>(&[]).set(i64::from(epoch.is_some()));
        let epoch = epoch.and_then(|epoch| i64::try_from(epoch).ok()).unwrap_or(0);
        self.epoch.with_label_values::<&str>(&[]).set(epoch);
    }

    /// How many resources of a kind there are.
    pub fn resources(&self, kind: Kind, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.resources.with_label_values(&[kind.name()]).set(count);
    }

    /// A round has ended.
    pub fn round(&self, outcome: &str, took: Duration) {
        self.rounds.with_label_values(&[outcome]).inc();
        self.round_seconds.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// A write was tried.
    pub fn wrote(&self, kind: Kind) {
        self.writes.with_label_values(&[kind.name()]).inc();
    }

    /// A call to Kubernetes was not done; without an error, it was not answered.
    pub fn kube_error(&self, call: Call, error: Option<&kube::Error>) {
        self.kube_errors.with_label_values(&[call.name(), why(error)]).inc();
    }

    /// A call to a pod has ended.
    pub fn called(&self, call: &str, outcome: &str) {
        self.pod_calls.with_label_values(&[call, outcome]).inc();
    }

    /// Shards were given to other pods, or none; the first round of a tenant shows both of its counters at 0.
    pub fn moved(&self, tenant: &str, shards: u64) {
        self.rollbacks.with_label_values(&[tenant]);
        self.moves.with_label_values(&[tenant]).inc_by(shards);
    }

    /// A module was rolled back.
    pub fn rolled_back(&self, tenant: &str) {
        self.rollbacks.with_label_values(&[tenant]).inc();
    }

    /// All of them in Prometheus' text format.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}
