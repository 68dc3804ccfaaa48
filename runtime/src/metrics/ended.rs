//! What was counted by strategies that were unloaded and feeds that ended: for totals since the process's start. A scrape does not
//! show them by name. Bounded by the number of names.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FeedMetrics, Latency, SentMetrics, StrategyMetrics, recorder};

/// See the module.
#[derive(Debug)]
pub(super) struct Ended {
    /// By stage.
    latency: BTreeMap<&'static str, Latency>,
    /// By tenant and name.
    strategies: BTreeMap<(String, String), Arc<StrategyMetrics>>,
    /// All feeds together.
    pub(super) feed: Arc<FeedMetrics>,
}

impl Default for Ended {
    fn default() -> Self {
        let feed = FeedMetrics::new(String::new(), recorder().1, recorder().1);
        Self { latency: BTreeMap::new(), strategies: BTreeMap::new(), feed: Arc::new(feed) }
    }
}

impl Ended {
    /// Adds an instance whose worker counts no more.
    pub(super) fn strategy(&mut self, gone: &StrategyMetrics) {
        let fresh = || Arc::new(StrategyMetrics::new(&gone.tenant, &gone.strategy, None, recorder().1, recorder().1));
        self.strategies.entry((gone.tenant.clone(), gone.strategy.clone())).or_insert_with(fresh).absorb(gone);
        self.latency.entry("strategy").or_default().merge(&gone.strategy_latency);
        self.latency.entry("risk").or_default().merge(&gone.risk_latency);
    }

    /// Adds what egress timed for a strategy.
    pub(super) fn sent(&mut self, gone: &SentMetrics) {
        for (stage, reader) in [("egress", &gone.egress), ("decision", &gone.decision), ("ack", &gone.ack)] {
            self.latency.entry(stage).or_default().merge(reader);
        }
    }

    /// Adds a feed whose thread has ended.
    pub(super) fn feed(&mut self, gone: &FeedMetrics) {
        self.feed.absorb(gone);
        self.latency.entry("broker").or_default().merge(&gone.broker);
        self.latency.entry("decode").or_default().merge(&gone.decode);
    }

    /// What a stage came to.
    pub(super) fn latency(&self, stage: &str) -> Latency {
        self.latency.get(stage).cloned().unwrap_or_default()
    }

    /// One entry a strategy.
    pub(super) fn strategies(&self) -> impl Iterator<Item = &Arc<StrategyMetrics>> {
        self.strategies.values()
    }
}
