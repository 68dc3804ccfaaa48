//! The runtime's worker driven by hand: one thread, no Kafka, no clock but the records' own.
//!
//! What `pinion backtest` and `pinion replay` stand on. Instances are made as [`App`](crate::app::App) makes them, and their records
//! pass the very code of a live worker: order of things inside an event, timers, books, sandbox, budgets, risk. What differs:
//! - nothing is committed, so no marks come out, and what a record causes is kept until it is taken out, however much it is;
//! - after a fault a fresh guest comes by the supervisor's own rules, but by stream time: with the first record at or after the back-off;
//! - the wall clock moves nothing. Where a live worker's did, on a quiet stream, [`Playback::tick`] repeats it.
//!
//! Commands fall between two records, as they do live. Driven by a journal ([`follow`]) nothing happens but what its entries say: no
//! instance begins or comes back by itself.

mod by_hand;
pub mod follow;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crossbeam_channel::Receiver;
use pinion_spec::strategy::{Encoding, Risk, TradingState};

use crate::app::{AppError, Deployment, InstanceHandle, StrategyHandle};
use crate::book::Books;
use crate::decode::Decoder;
use crate::egress::{Outbound, Outbox};
use crate::event::{Event, Origin};
use crate::fence::Fence;
use crate::ingest::Quiet;
use crate::instance::{Instance, InstanceId, Notice};
use crate::instruments::{Instrument, Instruments, SymbolError};
use crate::journal::Scribe;
use crate::limits::QUARANTINE_WINDOW_NS;
use crate::metrics::{Histograms, ShardMetrics, StrategyMetrics, WorkerMetrics, recorder};
use crate::plan::{self, FeedPlan};
use crate::sandbox::{FaultKind, Module};
use crate::supervisor::{Verdict, after_faults, say};
use crate::worker::{Command, FeedId, FeedPort, Scope, Worker, WorkerParts};

/// Faults that are kept to be told; all are counted.
const FAULTS_TOLD_MAX: usize = 100;

/// A fault, and where in the stream it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulted {
    /// Whose, of which tenant.
    pub tenant: String,
    /// Which strategy.
    pub strategy: String,
    /// What the guest did.
    pub kind: FaultKind,
    /// The sandbox's own words, with the guest's stack.
    pub detail: String,
    /// Topic of the record that it was called for.
    pub topic: String,
    /// That record.
    pub origin: Origin,
    /// Stream time.
    pub ts: u64,
    /// It was the last that its strategy was allowed.
    pub quarantined: bool,
    /// Which instance.
    pub instance: InstanceId,
    /// In which of the instance's calls, counted from 1.
    pub call: u64,
}

/// One feed: what its topics are and how they are read.
pub struct PlaybackFeed {
    /// Its plan.
    pub plan: FeedPlan,
    declared: Vec<Instrument>,
}

impl PlaybackFeed {
    /// A decoder for what was decoded from one of its topics before, and lies in a file of events.
    ///
    /// # Errors
    /// As [`PlaybackFeed::decoder`].
    pub fn event_decoder(&self, topic: usize) -> Option<Result<Decoder, SymbolError>> {
        let input = self.plan.inputs.get(topic)?;
        Some(Decoder::new(Encoding::PinionFlat, &input.publisher, &self.declared))
    }

    /// A decoder for one of its topics.
    ///
    /// # Errors
    /// [`SymbolError`] where strategies contradict each other about an instrument.
    pub fn decoder(&self, topic: usize) -> Option<Result<Decoder, SymbolError>> {
        let input = self.plan.inputs.get(topic)?;
        Some(Decoder::of_input(input.encoding, &input.publisher, input.map.as_ref(), &self.declared))
    }
}

/// What runs.
pub struct Playback {
    worker: Worker,
    notices: Receiver<Notice>,
    feeds: Vec<PlaybackFeed>,
    strategies: Vec<StrategyHandle>,
    /// Stream time, of all feeds.
    now: u64,
    at: (usize, Origin),
    faults: HashMap<InstanceId, Vec<u64>>,
    due: Vec<(u64, InstanceId)>,
    told: Vec<Faulted>,
    /// Nobody comes back but by [`Playback::revive_instance`].
    by_hand: bool,
}

impl Playback {
    /// Every shard of these strategies, started. `partitions`: how many a topic has.
    ///
    /// # Errors
    /// [`AppError`], as a live load would have it.
    pub fn new(deployments: Vec<Deployment>, partitions: impl Fn(&str) -> u16) -> Result<Self, AppError> {
        let mut playback = Self { by_hand: false, ..Self::by_hand() };
        let plans = plan::feeds(&deployments.iter().map(|deployment| &deployment.strategy).collect::<Vec<_>>())?;
        let mut deployments: Vec<Option<Deployment>> = deployments.into_iter().map(Some).collect();
        for plan in plans {
            let members = plan.strategies.iter().filter_map(|index| deployments.get_mut(*index)?.take()).collect();
            playback.open(plan, members, &partitions)?;
        }
        Ok(playback)
    }

    /// Nothing runs, and nothing happens by itself.
    #[must_use]
    pub fn by_hand() -> Self {
        let (worker, notices) = worker();
        Self {
            worker,
            notices,
            feeds: Vec::new(),
            strategies: Vec::new(),
            now: 0,
            at: (0, Origin::default()),
            faults: HashMap::new(),
            due: Vec::new(),
            told: Vec::new(),
            by_hand: true,
        }
    }

    /// Opens a feed; its number.
    pub fn open_feed(&mut self, plan: FeedPlan, declared: Vec<Instrument>) -> usize {
        let place = self.feeds.len();
        let feed = FeedId(u32::try_from(place).unwrap_or(u32::MAX));
        let port = FeedPort {
            feed,
            // Never written to: records are handed over one by one.
            ring: rtrb::RingBuffer::new(1).1,
            books: Box::new(Books::new(plan.resync)),
            quiet: Quiet::default(),
            broadcast: plan.inputs.iter().map(|input| input.broadcast).collect(),
        };
        self.worker.command(Command::AddFeed(Box::new(port)));
        self.feeds.push(PlaybackFeed { plan, declared });
        place
    }

    /// Runs an instance that was made elsewhere (of native code, in benches) in a feed that [`Playback::open_feed`] has opened. It is
    /// started.
    pub fn add_instance(&mut self, feed: usize, instance: Instance) {
        let feed = FeedId(u32::try_from(feed).unwrap_or(u32::MAX));
        let inputs = instance.inputs().collect();
        self.worker.command(Command::AddInstance { feed, instance: Box::new(instance), inputs });
        self.hear();
    }

    fn open(
        &mut self,
        plan: FeedPlan,
        members: Vec<Deployment>,
        partitions: &impl Fn(&str) -> u16,
    ) -> Result<(), AppError> {
        let counts: Vec<usize> = plan.inputs.iter().map(|input| usize::from(partitions(&input.topic))).collect();
        let topics: Arc<[String]> = plan.inputs.iter().map(|input| input.topic.clone()).collect();
        let all: Vec<_> = members.iter().map(|member| plan::instruments(&member.strategy)).collect::<Result<_, _>>()?;
        let feed = self.open_feed(plan.clone(), all.concat());
        let feed = FeedId(u32::try_from(feed).unwrap_or(u32::MAX));
        for (member, declared) in members.into_iter().zip(all) {
            let shards = plan::shards(&member.strategy, &plan, &counts)?;
            let index = self.strategies.len();
            let places = (index, feed);
            let strategy = (member.strategy, member.module);
            let mut handle = StrategyHandle::new(strategy, None, places, shards, Arc::clone(&topics), declared);
            for shard in handle.shards.clone() {
                // One number for all strategies: it names the instance in commands.
                let id = InstanceId(u32::try_from(index << 16).unwrap_or(u32::MAX) | u32::from(shard.index));
                let (made, instance) =
                    handle.instance(&shard, id, 0, Arc::new(ShardMetrics::default()), Histograms::On)?;
                let inputs = instance.inputs().collect();
                handle.instances.push(made);
                self.worker.command(Command::AddInstance { feed, instance: Box::new(instance), inputs });
            }
            self.strategies.push(handle);
        }
        self.hear();
        Ok(())
    }

    /// The feeds, in the order of their numbers.
    #[must_use]
    pub fn feeds(&self) -> &[PlaybackFeed] {
        &self.feeds
    }

    /// The declared instruments of a strategy. Strategies are counted by the order of feeds, and in a feed by that of its members.
    #[must_use]
    pub fn instruments(&self, strategy: usize) -> Option<&Arc<Instruments>> {
        self.strategies.get(strategy).map(|handle| &handle.instruments)
    }

    /// What a strategy's instances count and time.
    pub fn metrics(&self, strategy: usize) -> impl Iterator<Item = &Arc<StrategyMetrics>> {
        self.strategies.get(strategy).into_iter().flat_map(|handle| &handle.instances).map(|made| &made.metrics)
    }

    /// Stream time.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// A feed's books.
    #[must_use]
    #[inline]
    pub fn books(&self, feed: usize) -> Option<&Books> {
        self.worker.books(feed)
    }

    /// Presents a record: all of its events, the last with [`FLAG_LAST`](crate::event::FLAG_LAST). After each, `each` sees the event and
    /// the books that have taken it.
    #[inline]
    pub fn present(&mut self, feed: usize, record: &[Event], mut each: impl FnMut(&Event, &Books)) {
        let Some(first) = record.first() else { return };
        self.now = self.now.max(first.head.ts_recv);
        self.at = (feed, first.origin);
        if !self.due.is_empty() {
            self.revive();
        }
        for event in record {
            self.worker.present_one(feed, event);
            if let Some(books) = self.worker.books(feed) {
                each(event, books);
            }
        }
        if !self.notices.is_empty() {
            self.hear();
        }
    }

    /// What the wall clock did live on a quiet stream: fires what timers of a feed's instances this stream time has passed.
    pub fn tick(&mut self, feed: usize, ts: u64) {
        self.now = self.now.max(ts);
        self.worker.tick_to(feed, ts);
        self.hear();
    }

    /// What was caused since the last call, in order: orders, and denials where the strategy names a topic for them.
    pub fn take_outbound(&mut self) -> impl Iterator<Item = Outbound> + '_ {
        self.worker.take_outbound()
    }

    /// The faults since the last call. Beyond the first hundred between two calls they are only counted, by the metrics.
    pub fn take_faults(&mut self) -> Vec<Faulted> {
        std::mem::take(&mut self.told)
    }

    /// Writes guests' log lines to the log, and copies their gauges to the metrics. Now and then.
    pub fn report(&mut self) {
        self.worker.report();
        self.hear();
    }

    /// Changes what strategies may do.
    pub fn set_trading_state(&mut self, scope: &Scope, state: TradingState) {
        self.worker.command(Command::SetTradingState { scope: scope.clone(), state });
        self.hear();
    }

    /// The kill switch of an instrument.
    pub fn set_killed(&mut self, instrument_id: u64, killed: bool) {
        self.worker.command(Command::SetKilled { instrument_id, killed });
        self.hear();
    }

    /// Changes a strategy's limits.
    ///
    /// # Errors
    /// [`AppError::Unknown`], [`AppError::Risk`]
    pub fn set_limits(&mut self, tenant: &str, strategy: &str, risk: &Risk) -> Result<(), AppError> {
        let handle = find(&mut self.strategies, tenant, strategy)?;
        let limits = Arc::new(handle.limits(risk)?);
        handle.strategy.spec.risk = Some(risk.clone());
        for made in &handle.instances {
            self.worker.command(Command::SetLimits { id: made.id, limits: Arc::clone(&limits) });
        }
        self.hear();
        Ok(())
    }

    /// Puts another module, with these params, in the place of a strategy's.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; [`AppError::Start`], and then the running module stays.
    pub fn swap(
        &mut self,
        tenant: &str,
        strategy: &str,
        module: Module,
        params: &BTreeMap<String, String>,
    ) -> Result<(), AppError> {
        let handle = find(&mut self.strategies, tenant, strategy)?;
        let old_module = std::mem::replace(&mut handle.module, module);
        let old_params = std::mem::replace(&mut handle.strategy.spec.params, params.clone());
        let ready: Result<Vec<_>, _> = handle.instances.iter().map(|_| handle.ready_guest()).collect();
        let ready = match ready {
            Ok(ready) => ready,
            Err(fault) => {
                handle.module = old_module;
                handle.strategy.spec.params = old_params;
                return Err(AppError::Start { strategy: strategy.to_owned(), fault });
            }
        };
        let mut kept = Vec::new();
        for (made, ready) in handle.instances.iter().zip(ready) {
            let route = Arc::new(handle.route(&made.identity));
            made.metrics.quarantined.set(0);
            let (answer, answered) = crossbeam_channel::bounded(1);
            self.worker.command(Command::Swap { id: made.id, ready, route, answer });
            kept.extend(answered.try_iter().filter_map(Result::err));
        }
        let instances = handle.instances.len();
        self.hear();
        match kept.first() {
            None => Ok(()),
            Some(why) => {
                let (strategy, kept, why) = (strategy.to_owned(), kept.len(), why.clone());
                Err(AppError::State { strategy, kept, instances, why })
            }
        }
    }

    /// Stops every instance as a drain does: `on-stop`, then what works is cancelled.
    pub fn stop(&mut self) {
        self.worker.report();
        self.worker.stop();
        self.hear();
    }

    fn hear(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            match notice {
                Notice::Faulted { id, fault, call, guest } => {
                    drop(guest);
                    let quarantined = self.fault(id) == Verdict::Quarantine;
                    let Some((handle, made)) = self.find(id) else { continue };
                    if quarantined {
                        made.metrics.quarantined.set(1);
                    }
                    let (feed, origin) = self.at;
                    let topic = self.feeds.get(feed).and_then(|f| f.plan.inputs.get(usize::from(origin.topic)));
                    let faulted = Faulted {
                        tenant: handle.strategy.tenant().to_owned(),
                        strategy: handle.strategy.metadata.name.clone(),
                        kind: fault.kind,
                        detail: fault.detail,
                        topic: topic.map_or_else(String::new, |input| input.topic.clone()),
                        origin,
                        ts: self.now,
                        quarantined,
                        instance: id,
                        call,
                    };
                    if self.told.len() < FAULTS_TOLD_MAX {
                        self.told.push(faulted);
                    }
                }
                Notice::Retired { id, guest, swapped } => {
                    drop(guest);
                    if swapped {
                        self.faults.remove(&id);
                        self.due.retain(|(_, due)| *due != id);
                    }
                }
                Notice::Kept { id, guest, why } => {
                    drop(guest);
                    let Some((handle, _)) = self.find(id) else { continue };
                    let (tenant, strategy) = (handle.strategy.tenant(), &handle.strategy.metadata.name);
                    tracing::warn!(tenant, strategy, why, "state cannot be handed on; the module before goes on");
                }
                Notice::Removed { guest, .. } => drop(guest),
                Notice::Log { id, lines } => {
                    let Some((handle, _)) = self.find(id) else { continue };
                    let (tenant, strategy) = (handle.strategy.tenant(), &handle.strategy.metadata.name);
                    lines.iter().for_each(|(ts, level, message)| say(tenant, strategy, (*ts, *level), message));
                }
            }
        }
    }

    /// Notes a fault and what follows it.
    fn fault(&mut self, id: InstanceId) -> Verdict {
        let now = self.now;
        if self.by_hand {
            return Verdict::Retry(u64::MAX);
        }
        let faults = self.faults.entry(id).or_default();
        faults.retain(|at| now.saturating_sub(*at) < QUARANTINE_WINDOW_NS);
        faults.push(now);
        let verdict = after_faults(faults, now);
        if let Verdict::Retry(at) = verdict {
            self.due.push((at, id));
        }
        verdict
    }

    /// Brings back what is due.
    #[cold]
    fn revive(&mut self) {
        let now = self.now;
        let (due, later) = self.due.iter().partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.due = later;
        for (_, id) in due {
            let Some((handle, made)) = self.find(id) else { continue };
            match handle.ready_guest() {
                Ok(ready) => {
                    let route = Arc::new(handle.route(&made.identity));
                    self.worker.command(Command::Revive { id, ready, route });
                }
                Err(fault) => {
                    tracing::warn!(kind = fault.kind.label(), detail = fault.detail, "cannot bring a strategy back");
                    self.fault(id);
                }
            }
        }
        self.hear();
    }

    fn find(&self, id: InstanceId) -> Option<(&StrategyHandle, &InstanceHandle)> {
        self.strategies.iter().find_map(|handle| {
            let made = handle.instances.iter().find(|made| made.id == id)?;
            Some((handle, made))
        })
    }
}

fn find<'h>(
    strategies: &'h mut [StrategyHandle],
    tenant: &str,
    strategy: &str,
) -> Result<&'h mut StrategyHandle, AppError> {
    let unknown = || AppError::Unknown { tenant: tenant.to_owned(), strategy: strategy.to_owned() };
    let is =
        |handle: &&mut StrategyHandle| handle.strategy.tenant() == tenant && handle.strategy.metadata.name == strategy;
    strategies.iter_mut().find(is).ok_or_else(unknown)
}

/// A worker that nobody but us drives, and what it tells.
fn worker() -> (Worker, Receiver<Notice>) {
    let (notice_sender, notices) = crossbeam_channel::unbounded();
    let (queue, queue_reader) = recorder();
    let parts = WorkerParts {
        metrics: Arc::new(WorkerMetrics::new(0, queue_reader)),
        commands: crossbeam_channel::never(),
        notices: notice_sender,
        outbox: Outbox::kept(),
        queue,
        shares: false,
        fence: Fence::default(),
        scribe: Scribe::default(),
    };
    (Worker::new(parts), notices)
}
