//! What a journal says of single instances: how they begin, change and end.

use std::collections::BTreeMap;
use std::sync::Arc;

use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Risk, Strategy, TradingState};

use super::Playback;
use crate::app::{AppError, StrategyHandle};
use crate::instance::{InstanceId, Source};
use crate::metrics::{Histograms, ShardMetrics};
use crate::plan::{self, Shard};
use crate::sandbox::Module;
use crate::worker::{Command, FeedId};

impl Playback {
    /// Begins one instance of a feed, as a journal says: its number, its shard, its input partitions in the order of its order ids, and
    /// what it may do.
    ///
    /// # Errors
    /// [`AppError`], as a live start would have it.
    pub fn load_instance(
        &mut self,
        feed: usize,
        (strategy, module): (Strategy, Module),
        id: InstanceId,
        (index, sources): (u16, &[(u16, u16)]),
        trading_state: TradingState,
    ) -> Result<(), AppError> {
        let topics: Arc<[String]> = self.feeds[feed].plan.inputs.iter().map(|input| input.topic.clone()).collect();
        let source = |(topic, partition): &(u16, u16)| Source {
            topic: *topic,
            partition: *partition,
            topic_hash: topics.get(usize::from(*topic)).map_or(0, |topic| ClientOrderId::topic_hash(topic)),
        };
        let shard = Shard { index, sources: sources.iter().map(source).collect() };
        let number = FeedId(u32::try_from(feed).unwrap_or(u32::MAX));
        let declared = plan::instruments(&strategy)?;
        let places = (self.strategies.len(), number);
        let mut handle = StrategyHandle::new((strategy, module), None, places, Vec::new(), topics, declared);
        handle.set_trading_state(trading_state);
        let (made, instance) = handle.instance(&shard, id, 0, Arc::new(ShardMetrics::default()), Histograms::On)?;
        let inputs = instance.inputs().collect();
        handle.instances.push(made);
        self.strategies.push(handle);
        self.worker.command(Command::AddInstance { feed: number, instance: Box::new(instance), inputs });
        self.hear();
        Ok(())
    }

    /// Ends an instance, by `on-stop`.
    pub fn remove_instance(&mut self, id: InstanceId) {
        self.worker.command(Command::RemoveInstance(id));
        self.strategies.retain(|handle| handle.instances.iter().all(|made| made.id != id));
        self.hear();
    }

    /// Reads a feed no more.
    pub fn close_feed(&mut self, feed: usize) {
        self.worker.command(Command::RemoveFeed(FeedId(u32::try_from(feed).unwrap_or(u32::MAX))));
    }

    /// Changes one instance's limits.
    ///
    /// # Errors
    /// [`AppError::Risk`]
    pub fn set_instance_limits(&mut self, id: InstanceId, risk: &Risk) -> Result<(), AppError> {
        if let Some(handle) = self.of(id) {
            handle.strategy.spec.risk = Some(risk.clone());
            let limits = Arc::new(handle.limits(risk)?);
            self.worker.command(Command::SetLimits { id, limits });
        }
        Ok(())
    }

    /// Puts another module in one instance's place. Where it does not take the state over, the one before stays, as it does live.
    ///
    /// # Errors
    /// [`AppError::Start`]
    pub fn swap_instance(
        &mut self,
        id: InstanceId,
        module: Module,
        params: BTreeMap<String, String>,
    ) -> Result<(), AppError> {
        let Some(handle) = self.of(id) else { return Ok(()) };
        let before = (std::mem::replace(&mut handle.module, module), handle.strategy.spec.params.clone());
        handle.strategy.spec.params = params;
        let strategy = handle.strategy.metadata.name.clone();
        let ready = handle.ready_guest().map_err(|fault| AppError::Start { strategy, fault })?;
        let Some(made) = handle.instances.first() else { return Ok(()) };
        let route = Arc::new(handle.route(&made.identity));
        let (answer, answered) = crossbeam_channel::bounded(1);
        self.worker.command(Command::Swap { id, ready, route, answer });
        if answered.try_iter().any(|swapped| swapped.is_err())
            && let Some(handle) = self.of(id)
        {
            (handle.module, handle.strategy.spec.params) = before;
        }
        self.hear();
        Ok(())
    }

    /// Puts a fresh guest in the place of the one that faulted.
    ///
    /// # Errors
    /// [`AppError::Start`]
    pub fn revive_instance(&mut self, id: InstanceId) -> Result<(), AppError> {
        let Some(handle) = self.of(id) else { return Ok(()) };
        let strategy = handle.strategy.metadata.name.clone();
        let ready = handle.ready_guest().map_err(|fault| AppError::Start { strategy, fault })?;
        let Some(made) = handle.instances.first() else { return Ok(()) };
        let route = Arc::new(handle.route(&made.identity));
        self.worker.command(Command::Revive { id, ready, route });
        self.hear();
        Ok(())
    }

    /// One of an instance's calls to come is not made; see [`crate::instance::Instance::force_over_budget`].
    pub fn force_over_budget(&mut self, id: InstanceId, call: u64) {
        self.worker.force_over_budget(id, call);
    }

    /// Tenant and strategy of an instance.
    #[must_use]
    pub fn name(&self, id: InstanceId) -> (String, String) {
        self.find(id).map_or_else(Default::default, |(handle, _)| {
            (handle.strategy.tenant().to_owned(), handle.strategy.metadata.name.clone())
        })
    }

    /// The strategy of an instance that was begun alone.
    fn of(&mut self, id: InstanceId) -> Option<&mut StrategyHandle> {
        self.strategies.iter_mut().find(|handle| handle.instances.iter().any(|made| made.id == id))
    }
}
