//! One strategy, as the control plane knows it: what its instances are made of, and which of its shards have one.

use std::sync::Arc;

use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Encoding, Input, Risk, Strategy, TradingState};

use super::AppError;
use super::changes::Commanded;
use crate::egress::{OrderIdentity, OrderRoute};
use crate::instance::{Instance, InstanceId, InstanceParts, InstanceRecorders, ReadyGuest};
use crate::instruments::{Instrument, Instruments};
use crate::metrics::{Histograms, ShardMetrics, StrategyMetrics, Terms, recorder};
use crate::plan::Shard;
use crate::risk::{Executions, Limits};
use crate::sandbox::{Fault, Host, HostConfig, Module};
use crate::worker::FeedId;

/// One instance, as the control plane knows it.
pub(crate) struct InstanceHandle {
    pub(crate) id: InstanceId,
    /// Its shard's number.
    pub(crate) shard: u16,
    pub(super) worker: usize,
    pub(crate) identity: OrderIdentity,
    pub(crate) metrics: Arc<StrategyMetrics>,
    /// Held so that the shard is shown as long as the app knows of the instance.
    _load: Arc<ShardMetrics>,
}

/// One strategy, as the control plane knows it.
pub(crate) struct StrategyHandle {
    /// The resource, with the changes since.
    pub(crate) strategy: Strategy,
    /// What it may do: what its resource says, or a stricter state that was set for all or for its tenant before it came.
    pub(super) trading_state: TradingState,
    pub(super) commanded: Commanded,
    pub(crate) module: Module,
    pub(super) index: usize,
    pub(super) feed: FeedId,
    /// Every shard that its inputs give, whether it runs here or not.
    pub(crate) shards: Vec<Shard>,
    pub(super) input_topics: Arc<[String]>,
    pub(crate) instruments: Arc<Instruments>,
    pub(crate) instances: Vec<InstanceHandle>,
    /// Faults of its instances before the module that runs now.
    pub(super) faults_before: u64,
    /// Counts of instances that are gone, and the strategy's states while it has none.
    pub(super) past: Past,
}

/// What a strategy's former instances have counted and timed: a counter that fell when a shard went elsewhere would look like a
/// restart.
pub(super) struct Past {
    pub(super) metrics: Arc<StrategyMetrics>,
    recorders: InstanceRecorders,
}

impl Past {
    pub(super) fn new(tenant: &str, strategy: &str) -> Self {
        let (call, call_reader) = recorder();
        let (risk, risk_reader) = recorder();
        let metrics = Arc::new(StrategyMetrics::new(tenant, strategy, None, call_reader, risk_reader));
        Self { metrics, recorders: InstanceRecorders { strategy: call, risk } }
    }

    /// Adds what an instance counted that no longer runs.
    pub(super) fn absorb(&mut self, gone: &StrategyMetrics) {
        self.metrics.absorb(gone);
        self.recorders.strategy.absorb(&gone.strategy_latency);
        self.recorders.risk.absorb(&gone.risk_latency);
    }
}

/// What its orders carry instead of its names.
pub(super) fn order_hash(strategy: &Strategy) -> u32 {
    ClientOrderId::strategy_hash(strategy.tenant(), &strategy.metadata.name)
}

/// Where a strategy's orders go, decided by the module of that digest.
#[must_use]
pub fn strategy_route(
    strategy: &Strategy,
    strategy_index: usize,
    feed: FeedId,
    module_digest: String,
    input_topics: Arc<[String]>,
    instruments: Arc<Instruments>,
    identity: OrderIdentity,
) -> OrderRoute {
    let outputs = &strategy.spec.outputs;
    OrderRoute {
        strategy_index,
        feed,
        tenant: strategy.tenant().to_owned(),
        strategy: strategy.metadata.name.clone(),
        module_digest,
        orders_topic: outputs.orders.topic.clone(),
        encoding: outputs.orders.encoding,
        denials_topic: outputs.denials.as_ref().map(|output| output.topic.clone()),
        input_topics,
        instruments,
        identity,
    }
}

impl StrategyHandle {
    /// A strategy without instances. `commanded`: what was set for all or for its tenant before it came.
    pub(crate) fn new(
        (strategy, module): (Strategy, Module),
        commanded: Option<TradingState>,
        (index, feed): (usize, FeedId),
        shards: Vec<Shard>,
        input_topics: Arc<[String]>,
        declared: Vec<Instrument>,
    ) -> Self {
        let past = Past::new(strategy.tenant(), &strategy.metadata.name);
        let trading_state = strategy.spec.trading_state.max(commanded.unwrap_or_default());
        past.metrics.show_trading_state(trading_state);
        Self {
            trading_state,
            commanded: Commanded { trading_state: commanded, ..Commanded::default() },
            index,
            feed,
            shards,
            strategy,
            module,
            input_topics,
            instruments: Arc::new(Instruments::new(declared)),
            instances: Vec::new(),
            faults_before: 0,
            past,
        }
    }

    /// What it may do.
    pub(crate) fn set_trading_state(&mut self, state: TradingState) {
        self.strategy.spec.trading_state = state;
        self.trading_state = state;
    }

    /// Its resource, for the journal.
    pub(super) fn as_json(&self) -> String {
        // A resource came from text, so it can be text again.
        serde_json::to_string(&self.strategy).unwrap_or_default()
    }

    /// Its limits: those of the file, else the defaults.
    pub(super) fn risk(&self) -> Risk {
        self.strategy.spec.risk.clone().unwrap_or_default()
    }

    /// Without execution reports positions are assumed from what was sent.
    pub(crate) fn executions(&self) -> Executions {
        let reports = |input: &Input| input.encoding == Encoding::PinionExecution;
        if self.strategy.spec.inputs.iter().any(reports) { Executions::Reported } else { Executions::Assumed }
    }

    pub(crate) fn limits(&self, risk: &Risk) -> Result<Limits, AppError> {
        Limits::compile(risk, &self.instruments).map_err(|problem| AppError::Risk {
            strategy: self.strategy.metadata.name.clone(),
            problem: problem.to_string(),
        })
    }

    pub(crate) fn route(&self, identity: &OrderIdentity) -> OrderRoute {
        strategy_route(
            &self.strategy,
            self.index,
            self.feed,
            self.module.digest().to_string(),
            Arc::clone(&self.input_topics),
            Arc::clone(&self.instruments),
            identity.clone(),
        )
    }

    /// What its metrics show beside its counts.
    pub(super) fn terms(&self) -> Terms {
        let spec = &self.strategy.spec;
        Terms {
            feed: self.strategy.group(),
            module: self.module.digest().hex(),
            call_budget_ns: u64::from(spec.budget.call_micros) * 1_000,
            memory_budget_bytes: i64::from(spec.budget.memory_mib) << 20,
            objective_ns: spec.scaling.targets.p99_micros.map(|micros| u64::from(micros) * 1_000),
        }
    }

    /// A fresh guest that `on-init` has accepted.
    pub(crate) fn ready_guest(&self) -> Result<ReadyGuest, Fault> {
        let spec = &self.strategy.spec;
        let host = Host::new(HostConfig {
            instruments: Arc::clone(&self.instruments),
            intents_per_call: spec.budget.intents_per_call as usize,
            log_bytes_per_second: spec.budget.log_bytes_per_second,
        });
        let guest = self.module.instantiate(host, &spec.budget)?;
        let params: Vec<(String, String)> =
            spec.params.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        ReadyGuest::init(guest, &params)
    }

    /// An instance for a shard, not yet started.
    ///
    /// # Errors
    /// [`AppError::Risk`], [`AppError::Start`]
    pub(crate) fn instance(
        &self,
        shard: &Shard,
        id: InstanceId,
        worker: usize,
        load: Arc<ShardMetrics>,
        histograms: Histograms,
    ) -> Result<(InstanceHandle, Instance), AppError> {
        let name = &self.strategy.metadata.name;
        let identity = OrderIdentity {
            strategy: order_hash(&self.strategy),
            sources: shard.sources.iter().map(|source| (source.topic_hash, source.partition)).collect(),
        };
        let (call, call_reader) = histograms.recorder();
        let (risk, risk_reader) = histograms.recorder();
        let tenant = self.strategy.tenant();
        let metrics = Arc::new(StrategyMetrics::new(tenant, name, Some(shard.index), call_reader, risk_reader));
        let parts = InstanceParts {
            id,
            route: Arc::new(self.route(&identity)),
            limits: Arc::new(self.limits(&self.risk())?),
            executions: self.executions(),
            trading_state: self.trading_state,
            sources: shard.sources.clone(),
            metrics: Arc::clone(&metrics),
            shard: Arc::clone(&load),
            recorders: InstanceRecorders { strategy: call, risk },
        };
        let ready = self.ready_guest().map_err(|fault| AppError::Start { strategy: name.clone(), fault })?;
        let handle = InstanceHandle { id, shard: shard.index, worker, identity, metrics, _load: load };
        Ok((handle, Instance::new(parts, ready)))
    }
}
