//! How feeds are opened and begun, and how the instances of their shards come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use pinion_spec::assignment::AssignedShard;
use pinion_spec::strategy::{AssignmentMode, Strategy, TradingState};

use super::strategy::{InstanceHandle, StrategyHandle, order_hash};
use super::{App, AppError, Deployment, SETTLE_MAX, Shards, side_crew, spawn};
use crate::book::Books;
use crate::clock::mono_ns;
use crate::decode::Decoder;
use crate::duty::Standing;
use crate::egress::{EgressCommand, EgressRecorders};
use crate::ingest::{FeedInput, Ingest, IngestParts, Place, Quiet, Target};
use crate::instance::{Instance, InstanceId};
use crate::instruments::{Instrument, SymbolError};
use crate::journal::{Entry, Load};
use crate::kafka::Kafka;
use crate::kafka::queue::Queue;
use crate::limits::{DEAD_LETTERS_MAX, RING_EVENTS, SHARED_RING_EVENTS};
use crate::metrics::{FeedMetrics, PartitionsMetrics, Recorder, SentMetrics, StrategyMetrics, recorder};
use crate::offsets::Offsets;
use crate::plan::{self, FeedPlan, Shard};
use crate::ring::Waker;
use crate::subscription::{
    self, Change, FeedCommand, FeedConsumer, FeedResult, Reader, Subscription, SubscriptionParts,
};
use crate::worker::{Command, FeedId, FeedPort, Scope};

/// One feed, as the control plane knows it.
pub(super) struct FeedHandle {
    pub(super) id: FeedId,
    pub(super) group: String,
    stop: Arc<AtomicBool>,
    pub(super) subscription: JoinHandle<()>,
    pub(super) ingest: Standing,
    /// Wakes ingest.
    waker: Waker,
    pub(super) consumer: Arc<FeedConsumer>,
    offsets: Arc<Offsets>,
    metrics: Arc<FeedMetrics>,
    commands: Sender<FeedCommand>,
    /// By topic: whether every worker sees all of it.
    broadcast: Vec<bool>,
}

impl FeedHandle {
    /// Asks it to end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn has_ended(&self) -> bool {
        self.subscription.is_finished() && self.ingest.is_over()
    }
}

/// A feed that has been opened and not begun.
struct OpenFeed {
    id: FeedId,
    plan: FeedPlan,
    inputs: Vec<FeedInput>,
    consumer: Arc<FeedConsumer>,
    partitions: Vec<usize>,
    metrics: Arc<FeedMetrics>,
    broker: Recorder,
    decode: Recorder,
    strategies: Vec<OpenStrategy>,
}

/// A strategy whose instances are made and not started.
struct OpenStrategy {
    handle: StrategyHandle,
    /// In the order of the handle's.
    instances: Vec<Instance>,
    sent: Arc<SentMetrics>,
    recorders: EgressRecorders,
}

/// A feed's topics, with a decoder each.
fn feed_inputs(plan: &FeedPlan, instruments: &[Instrument]) -> Result<Vec<FeedInput>, SymbolError> {
    let input = |input: &plan::InputPlan| {
        Ok(FeedInput {
            topic: input.topic.clone(),
            decoder: Decoder::of_input(input.encoding, &input.publisher, input.map.as_ref(), instruments)?,
            partitions: input.partitions.clone(),
            start: input.start,
            dead_letter: input.dead_letter.as_deref().map(Arc::from),
        })
    };
    plan.inputs.iter().map(input).collect()
}

/// The topics that a strategy's feed causes records in.
fn outputs(strategy: &Strategy) -> impl Iterator<Item = &str> {
    let outputs = &strategy.spec.outputs;
    let others = [&outputs.denials, &outputs.dead_letter].into_iter().flatten();
    std::iter::once(&outputs.orders.topic).chain(others.map(|output| &output.topic)).map(String::as_str)
}

/// Shards that are read no more, while what was read of them is being finished.
pub(crate) struct GivingUp {
    places: Vec<(u16, u16)>,
    answer: Receiver<FeedResult>,
    consumer: Arc<FeedConsumer>,
    offsets: Arc<Offsets>,
}

/// How long a feed may take to obey: it asks the broker for offsets.
const OBEY_MAX: Duration = Duration::from_secs(30);

impl GivingUp {
    /// Waits until all that was read is done and acknowledged, for so long at most, and commits. What is not done by then, the next
    /// owner reads again. Nothing of the app is needed meanwhile.
    pub(crate) fn finish(self, longest: Duration) {
        match self.answer.recv_timeout(OBEY_MAX) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot stop reading partitions"),
            Err(_) => tracing::warn!("a feed has not stopped reading in time"),
        }
        subscription::finish(&self.consumer, &self.offsets, &self.places, longest);
    }
}

impl App {
    /// Opens the feeds of these strategies and starts them. All or nothing is read: a strategy that cannot start fails the whole
    /// call before the first record.
    ///
    /// # Errors
    /// [`AppError`]
    pub fn load(&mut self, deployments: Vec<Deployment>) -> Result<(), AppError> {
        let mut hashes: BTreeMap<u32, &str> = BTreeMap::new();
        for handle in self.strategies.values() {
            hashes.insert(order_hash(&handle.strategy), &handle.strategy.metadata.name);
        }
        for Deployment { strategy, .. } in &deployments {
            let name = &strategy.metadata.name;
            if let Some(other) = hashes.insert(order_hash(strategy), name) {
                return Err(AppError::Running { strategy: name.clone(), other: other.to_owned() });
            }
        }
        let strategies: Vec<&Strategy> = deployments.iter().map(|deployment| &deployment.strategy).collect();
        let plans = plan::feeds(&strategies)?;
        if let Some(plan) = plans.iter().find(|plan| self.feeds.iter().any(|feed| feed.group == plan.group)) {
            return Err(AppError::GroupTaken { group: plan.group.clone() });
        }
        let mut deployments: Vec<Option<Deployment>> = deployments.into_iter().map(Some).collect();
        let mut opened = Vec::with_capacity(plans.len());
        for plan in plans {
            let id = FeedId(self.next_feed);
            self.next_feed += 1;
            let members = plan.strategies.iter().filter_map(|index| deployments.get_mut(*index)?.take()).collect();
            opened.push(self.open(id, plan, members)?);
        }
        for feed in opened {
            self.begin(feed)?;
        }
        Ok(())
    }

    /// How many shards a strategy has, by its topics as they are. Asks the broker and needs nothing of what runs.
    ///
    /// # Errors
    /// [`AppError::Plan`], [`AppError::Symbol`], [`AppError::Feed`]
    pub fn count_shards(kafka: &Kafka, strategy: &Strategy) -> Result<u16, AppError> {
        let declared = plan::instruments(strategy)?;
        let plans = plan::feeds(&[strategy])?;
        let Some(plan) = plans.first() else { return Ok(0) };
        let inputs = feed_inputs(plan, &declared)?;
        let metrics = Arc::new(FeedMetrics::new(plan.group.clone(), recorder().1, recorder().1));
        let outputs = outputs(strategy).collect();
        let (_, partitions) = subscription::open(kafka, &plan.group, &inputs, &outputs, &metrics)?;
        let shards = plan::shards(strategy, plan, &partitions)?;
        Ok(u16::try_from(shards.len()).unwrap_or(u16::MAX))
    }

    /// Opens a feed and makes its instances, without reading or starting anything.
    fn open(&mut self, id: FeedId, plan: FeedPlan, members: Vec<Deployment>) -> Result<OpenFeed, AppError> {
        let declared: Vec<Vec<Instrument>> =
            members.iter().map(|member| plan::instruments(&member.strategy)).collect::<Result<_, _>>()?;
        let all: Vec<Instrument> = declared.iter().flatten().cloned().collect();
        let inputs = feed_inputs(&plan, &all)?;
        let histograms = self.config.histograms;
        let (broker, broker_reader) = histograms.recorder();
        let (decode, decode_reader) = histograms.recorder();
        let metrics = Arc::new(FeedMetrics::new(plan.group.clone(), broker_reader, decode_reader));
        let outputs = members.iter().flat_map(|member| outputs(&member.strategy)).collect();
        let (consumer, partitions) = subscription::open(&self.config.kafka, &plan.group, &inputs, &outputs, &metrics)?;
        let input_topics: Arc<[String]> = inputs.iter().map(|input| input.topic.clone()).collect();
        let mut strategies = Vec::with_capacity(members.len());
        for (member, declared) in members.into_iter().zip(declared) {
            let shards = plan::shards(&member.strategy, &plan, &partitions)?;
            let commanded = self.commanded_state(&member.strategy);
            let handle = StrategyHandle::new(
                (member.strategy, member.module),
                commanded,
                (self.next_strategy, id),
                shards,
                Arc::clone(&input_topics),
                declared,
            );
            self.next_strategy += 1;
            strategies.push(self.open_strategy(handle, plan.assignment, &member.shards)?);
        }
        Ok(OpenFeed { id, plan, inputs, consumer, partitions, metrics, broker, decode, strategies })
    }

    /// One instance a shard, each initialised. Where the group shares the partitions out, they come with their partitions.
    fn open_strategy(
        &mut self,
        mut handle: StrategyHandle,
        assignment: AssignmentMode,
        wanted: &Shards,
    ) -> Result<OpenStrategy, AppError> {
        let name = handle.strategy.metadata.name.clone();
        let mut instances = Vec::new();
        match assignment {
            AssignmentMode::Static => {
                for (shard, worker) in self.placed(&handle, wanted) {
                    let (instance_handle, instance) = self.make_instance(&handle, &shard, worker)?;
                    handle.instances.push(instance_handle);
                    instances.push(instance);
                }
            }
            // A module that does not start is refused now, not when the first partition comes.
            AssignmentMode::Group => {
                drop(handle.ready_guest().map_err(|fault| AppError::Start { strategy: name.clone(), fault })?)
            }
        }
        let histograms = self.config.histograms;
        let (egress, egress_reader) = histograms.recorder();
        let (decision, decision_reader) = histograms.recorder();
        let (ack, ack_reader) = histograms.recorder();
        let sent = Arc::new(SentMetrics {
            tenant: handle.strategy.tenant().to_owned(),
            strategy: name,
            egress: egress_reader,
            decision: decision_reader,
            ack: ack_reader,
        });
        Ok(OpenStrategy { handle, instances, sent, recorders: EgressRecorders { egress, decision, ack } })
    }

    /// Hands everything to its threads, and reads.
    fn begin(&mut self, feed: OpenFeed) -> Result<(), AppError> {
        let id = feed.id;
        let offsets = Arc::new(Offsets::new(&feed.partitions, self.workers.len()));
        let quiet = Quiet::default();
        let (dead_letters, letters) = crossbeam_channel::bounded(DEAD_LETTERS_MAX);
        self.to_egress(EgressCommand::AddFeed(id, Arc::clone(&offsets), letters));
        let broadcast: Vec<bool> = feed.plan.inputs.iter().map(|input| input.broadcast).collect();
        let places = match feed.plan.assignment {
            // Whichever of them the group gives.
            AssignmentMode::Group => {
                let shards = feed.strategies.iter().flat_map(|open| &open.handle.shards);
                let dealt: Vec<_> = shards.map(|shard| (shard.clone(), self.dealt(shard))).collect();
                self.places(&dealt, &broadcast)
            }
            AssignmentMode::Static => {
                let of = |open: &OpenStrategy| {
                    let worker = |shard: &Shard| {
                        let made = open.handle.instances.iter().find(|instance| instance.shard == shard.index)?;
                        Some((shard.clone(), made.worker))
                    };
                    open.handle.shards.iter().filter_map(worker).collect::<Vec<_>>()
                };
                let placed: Vec<_> = feed.strategies.iter().flat_map(of).collect();
                self.places(&placed, &broadcast)
            }
        };
        let (commands, command_receiver) = crossbeam_channel::unbounded();
        let (room, ahead) = if self.crew.is_some() { (SHARED_RING_EVENTS, 0) } else { (RING_EVENTS, RING_EVENTS) };
        let mut targets = Vec::with_capacity(self.workers.len());
        for (index, worker) in self.workers.iter().enumerate() {
            let (events, ring) = rtrb::RingBuffer::new(room);
            targets.push(Target { ring: events, waker: worker.waker.clone() });
            let books = Box::new(Books::new(feed.plan.resync));
            let port = FeedPort { feed: id, ring, books, quiet: quiet.clone(), broadcast: broadcast.clone() };
            let noted = || Entry::Feed {
                feed: id.0,
                group: feed.plan.group.clone(),
                topics: feed.inputs.iter().map(|input| input.topic.clone()).collect(),
                strategies: feed.strategies.iter().map(|open| open.handle.as_json()).collect(),
            };
            self.send_noted(index, noted, Command::AddFeed(Box::new(port)));
        }
        for OpenStrategy { handle, instances, sent, recorders } in feed.strategies {
            self.metrics.add_sent(sent);
            self.to_egress(EgressCommand::AddStrategy(handle.index, recorders));
            self.metrics.add_strategy(Arc::clone(&handle.past.metrics));
            for (made, instance) in handle.instances.iter().zip(instances) {
                self.add_instance(&handle, made, instance);
            }
            self.show_terms(&handle);
            self.strategies
                .insert((handle.strategy.tenant().to_owned(), handle.strategy.metadata.name.clone()), handle);
        }
        // Set once: a feed begins once.
        let _ = feed.metrics.partitions.set(PartitionsMetrics::new(&feed.partitions, &broadcast));
        self.metrics.add_feed(Arc::clone(&feed.metrics));
        let stop = Arc::new(AtomicBool::new(false));
        let own_crew = match &self.crew {
            Some(_) => None,
            None => Some(side_crew(format!("ingest-{}", id.0))?),
        };
        let Some(crew) = own_crew.as_ref().or(self.crew.as_ref()) else { unreachable!("one of the two") };
        let waker = crew.waker().clone();
        let records = Arc::new(Queue::for_records(Arc::clone(&feed.consumer), waker.clone()));
        let (reader_commands, asked) = crossbeam_channel::unbounded();
        let subscription = Subscription::new(SubscriptionParts {
            id,
            consumer: Arc::clone(&feed.consumer),
            records: Arc::clone(&records),
            topics: feed.inputs.iter().map(|input| (input.topic.clone(), input.start)).collect(),
            assignment: feed.plan.assignment,
            places: places.clone(),
            commands: command_receiver,
            reader: Reader { commands: reader_commands, waker: waker.clone() },
            quiet: quiet.clone(),
            offsets: Arc::clone(&offsets),
            metrics: Arc::clone(&feed.metrics),
            rebalances: self.rebalances.clone(),
            stop: Arc::clone(&stop),
        });
        let ingest = crew.add(Box::new(Ingest::new(IngestParts {
            id,
            consumer: Arc::clone(&feed.consumer),
            records,
            inputs: feed.inputs,
            targets,
            ahead,
            places,
            commands: asked,
            dead_letters,
            egress: self.egress_waker.clone(),
            offsets: Arc::clone(&offsets),
            metrics: Arc::clone(&feed.metrics),
            broker: feed.broker,
            decode: feed.decode,
            quiet,
            stop: Arc::clone(&stop),
        })));
        let subscription = spawn(format!("feed-{}", id.0), move || subscription.run())?;
        self.feeds.push(FeedHandle {
            id,
            group: feed.plan.group,
            stop,
            subscription,
            ingest,
            waker,
            consumer: feed.consumer,
            offsets,
            metrics: feed.metrics,
            commands,
            broadcast,
        });
        Ok(())
    }

    /// The strictest state that commands have set for all or for a strategy's tenant before it came.
    fn commanded_state(&self, strategy: &Strategy) -> Option<TradingState> {
        let reaches = |scope: &Scope| {
            !matches!(scope, Scope::Strategy { .. }) && scope.reaches(strategy.tenant(), &strategy.metadata.name)
        };
        self.states.iter().filter(|(scope, _)| reaches(scope)).map(|(_, state)| *state).max()
    }

    /// Which worker a shard goes to where nobody says otherwise.
    fn dealt(&self, shard: &Shard) -> usize {
        usize::from(shard.index) % self.workers.len()
    }

    /// The shards that run here and their workers. What the strategy does not have is left out.
    fn placed(&self, handle: &StrategyHandle, wanted: &Shards) -> Vec<(Shard, usize)> {
        let workers = self.workers.len();
        let worker = |shard: &Shard| match wanted {
            Shards::All => Some(self.dealt(shard)),
            Shards::Only(list) => {
                let assigned = list.iter().find(|assigned| assigned.shard == shard.index)?;
                Some(usize::from(assigned.worker) % workers)
            }
        };
        handle.shards.iter().filter_map(|shard| Some((shard.clone(), worker(shard)?))).collect()
    }

    /// The partitions of these shards, each with the workers that see it.
    fn places(&self, placed: &[(Shard, usize)], broadcast: &[bool]) -> Vec<Place> {
        let all = u64::MAX >> (u64::BITS as usize - self.workers.len());
        let mut places: BTreeMap<(u16, u16), u64> = BTreeMap::new();
        for (shard, worker) in placed {
            for source in &shard.sources {
                let everyone = broadcast.get(usize::from(source.topic)).copied().unwrap_or_default();
                *places.entry((source.topic, source.partition)).or_default() |=
                    if everyone { all } else { 1 << worker };
            }
        }
        places.into_iter().map(|((topic, partition), workers)| Place { topic, partition, workers }).collect()
    }

    fn make_instance(
        &mut self,
        handle: &StrategyHandle,
        shard: &Shard,
        worker: usize,
    ) -> Result<(InstanceHandle, Instance), AppError> {
        let id = InstanceId(self.next_instance);
        self.next_instance += 1;
        let load = self.metrics.shard(&handle.strategy.group(), shard.index, worker);
        handle.instance(shard, id, worker, load, self.config.histograms)
    }

    fn add_instance(&self, handle: &StrategyHandle, made: &InstanceHandle, instance: Instance) {
        self.metrics.add_strategy(Arc::clone(&made.metrics));
        let inputs: Vec<(u16, u16)> = instance.inputs().collect();
        let noted = || {
            Entry::Load(Box::new(Load {
                instance: made.id.0,
                feed: handle.feed.0,
                shard: made.shard,
                sources: inputs.clone(),
                strategy: handle.as_json(),
                module: handle.module.digest().hex(),
                trading_state: handle.trading_state,
            }))
        };
        let add = Command::AddInstance { feed: handle.feed, instance: Box::new(instance), inputs: inputs.clone() };
        self.send_noted(made.worker, noted, add);
    }

    /// Brings the instances of partitions to life, or ends them: on-stop, and their working orders are cancelled. When one comes
    /// back it starts afresh, as after a restart. Returns when the workers have done it.
    ///
    /// # Errors
    /// [`AppError::Start`]; what has come to life by then stays.
    pub(crate) fn rebalance(
        &mut self,
        feed: FeedId,
        change: Change,
        partitions: &[(u16, u16)],
    ) -> Result<(), AppError> {
        for key in self.readers_of(feed) {
            // Out of the map while it changes: making an instance needs the app too.
            let Some(mut handle) = self.strategies.remove(&key) else { continue };
            let done = match change {
                Change::Taken => self.start_shards(&mut handle, partitions),
                Change::GivenUp => {
                    self.stop_shards(&mut handle, partitions);
                    Ok(())
                }
            };
            self.strategies.insert(key, handle);
            done?;
        }
        self.settle();
        Ok(())
    }

    fn start_shards(&mut self, handle: &mut StrategyHandle, partitions: &[(u16, u16)]) -> Result<(), AppError> {
        let new = |shard: &&Shard| {
            shard.reads_any(partitions) && !handle.instances.iter().any(|instance| instance.shard == shard.index)
        };
        let placed: Vec<_> = handle.shards.iter().filter(new).map(|shard| (shard.clone(), self.dealt(shard))).collect();
        self.start_placed(handle, &placed)
    }

    /// Brings shards of all strategies of a group to life and begins to read their partitions. The answer comes when they are
    /// assigned.
    ///
    /// # Errors
    /// [`AppError::Start`]; what has come to life by then stays.
    pub(crate) fn take_shards(
        &mut self,
        group: &str,
        shards: &[AssignedShard],
    ) -> Result<Option<Receiver<FeedResult>>, AppError> {
        let Some(id) = self.feed(group).map(|feed| feed.id) else { return Ok(None) };
        let wanted = Shards::Only(shards.to_vec());
        let mut taken = Vec::new();
        for key in self.readers_of(id) {
            // Out of the map while it changes: making an instance needs the app too.
            let Some(mut handle) = self.strategies.remove(&key) else { continue };
            let mut placed = self.placed(&handle, &wanted);
            placed.retain(|(shard, _)| !handle.instances.iter().any(|instance| instance.shard == shard.index));
            let done = self.start_placed(&mut handle, &placed);
            self.strategies.insert(key, handle);
            done?;
            taken.extend(placed);
        }
        self.settle();
        let Some(feed) = self.feed(group) else { return Ok(None) };
        let places = self.places(&taken, &feed.broadcast);
        if places.is_empty() {
            return Ok(None);
        }
        let (done, answer) = crossbeam_channel::bounded(1);
        // Fails only when the feed has ended, and then the answer's sender is gone too.
        let _ = feed.commands.send(FeedCommand::Take { places, done });
        Ok(Some(answer))
    }

    /// Begins to give shards of a group up: they are read no more. [`GivingUp::finish`] waits for what was read, and
    /// [`App::end_shards`] ends the instances.
    pub(crate) fn give_up_shards(&self, group: &str, shards: &[u16]) -> Option<GivingUp> {
        let feed = self.feed(group)?;
        let readers = self.strategies.values().filter(|handle| handle.feed == feed.id);
        let running = readers.flat_map(|handle| {
            let runs = |shard: &&Shard| handle.instances.iter().any(|instance| instance.shard == shard.index);
            handle.shards.iter().filter(runs)
        });
        let (gone, stay): (Vec<&Shard>, Vec<&Shard>) = running.partition(|shard| shards.contains(&shard.index));
        // What another shard reads too, a broadcast topic, is read on.
        let kept: BTreeSet<(u16, u16)> = stay.iter().flat_map(|shard| shard.places()).collect();
        let gone: BTreeSet<(u16, u16)> = gone.iter().flat_map(|shard| shard.places()).collect();
        let places: Vec<(u16, u16)> = gone.difference(&kept).copied().collect();
        let (done, answer) = crossbeam_channel::bounded(1);
        let _ = feed.commands.send(FeedCommand::GiveUp { places: places.clone(), done });
        let (consumer, offsets) = (Arc::clone(&feed.consumer), Arc::clone(&feed.offsets));
        Some(GivingUp { places, answer, consumer, offsets })
    }

    /// Ends the instances of shards that are read no more.
    pub(crate) fn end_shards(&mut self, group: &str, shards: &[u16]) {
        let Some(id) = self.feed(group).map(|feed| feed.id) else { return };
        for key in self.readers_of(id) {
            let Some(mut handle) = self.strategies.remove(&key) else { continue };
            self.remove_instances(&mut handle, shards);
            self.strategies.insert(key, handle);
        }
        self.settle();
    }

    fn feed(&self, group: &str) -> Option<&FeedHandle> {
        self.feeds.iter().find(|feed| feed.group == group)
    }

    /// The strategies that read a feed.
    fn readers_of(&self, feed: FeedId) -> Vec<(String, String)> {
        self.strategies.iter().filter(|(_, handle)| handle.feed == feed).map(|(key, _)| key.clone()).collect()
    }

    fn start_placed(&mut self, handle: &mut StrategyHandle, placed: &[(Shard, usize)]) -> Result<(), AppError> {
        for (shard, worker) in placed {
            let (made, instance) = self.make_instance(handle, shard, *worker)?;
            self.add_instance(handle, &made, instance);
            handle.instances.push(made);
        }
        Ok(())
    }

    /// Reads no more of a feed whose last strategy goes, and finishes and commits what was read.
    pub(super) fn stop_feed(&mut self, id: FeedId) {
        let Some(feed) = self.feeds.iter().find(|feed| feed.id == id) else { return };
        feed.stop();
        let until = mono_ns() + u64::try_from(SETTLE_MAX.as_nanos()).unwrap_or(u64::MAX);
        // At most a wait for the client, and room in the rings for what was taken.
        while !feed.has_ended() && mono_ns() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        // Without a broker there is nothing to wait for, and after the end of the lease the offsets are a successor's.
        if feed.metrics.connected.get() != 0 && !self.config.fence.is_passed(mono_ns()) {
            subscription::finish(&feed.consumer, &feed.offsets, &feed.offsets.all(), SETTLE_MAX);
        }
    }

    /// Ends a feed that no strategy reads any more.
    pub(super) fn end_feed(&mut self, id: FeedId) {
        let Some(index) = self.feeds.iter().position(|feed| feed.id == id) else { return };
        let feed = self.feeds.remove(index);
        // A panic has been said already.
        let _ = (feed.subscription.join(), feed.ingest.wait());
        self.send_all(|| Command::RemoveFeed(id));
        self.to_egress(EgressCommand::RemoveFeed(id));
        self.metrics.remove_feed(&feed.metrics);
    }

    fn stop_shards(&mut self, handle: &mut StrategyHandle, partitions: &[(u16, u16)]) {
        let gone: Vec<u16> =
            handle.shards.iter().filter(|shard| shard.reads_any(partitions)).map(|shard| shard.index).collect();
        self.remove_instances(handle, &gone);
    }

    fn remove_instances(&self, handle: &mut StrategyHandle, shards: &[u16]) {
        handle.instances.retain(|instance| {
            let stays = !shards.contains(&instance.shard);
            if !stays {
                self.send(instance.worker, Command::RemoveInstance(instance.id));
            }
            stays
        });
    }

    /// Keeps what an instance counted that its worker has let go.
    pub(crate) fn forget(&mut self, gone: &Arc<StrategyMetrics>) {
        if self.metrics.remove_instance(gone)
            && let Some(handle) = self.strategies.get_mut(&(gone.tenant.clone(), gone.strategy.clone()))
        {
            handle.past.absorb(gone);
        }
    }
}
