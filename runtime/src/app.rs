//! What runs in one process: its workers, feeds, strategies and egress, and how they are built, changed and drained.
//!
//! The control plane's view: methods here may block and allocate. Workers learn of changes by [`Command`]s between two batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Encoding, Input, Risk, Strategy, TradingState};

use crate::book::Books;
use crate::clock::mono_ns;
use crate::decode::Decoder;
use crate::egress::{
    DeadLetter, Egress, EgressCommand, EgressMetrics, EgressParts, EgressRecorders, OrderIdentity, OrderRoute, Outbox,
    Undeliverable,
};
use crate::ingest::{self, FeedConsumer, FeedError, FeedInput, FeedParts, Ingest, Quiet, Target};
use crate::instance::{Instance, InstanceId, InstanceParts, InstanceRecorders, Notice, ReadyGuest};
use crate::instruments::{Instrument, Instruments, SymbolError};
use crate::kafka::{self, Kafka};
use crate::limits::{DEAD_LETTERS_MAX, DRAIN_SECONDS_MAX, OUTBOUND_RING, RING_EVENTS};
use crate::metrics::{FeedMetrics, Metrics, Recorder, SentMetrics, StrategyMetrics, WorkerMetrics, recorder};
use crate::offsets::Offsets;
use crate::pin::{self, Pin};
use crate::plan::{self, FeedPlan, PlanError, Shard};
use crate::ring::{Wait, Waker};
use crate::risk::{Executions, Limits};
use crate::sandbox::{Fault, Host, HostConfig, Module};
use crate::worker::{Command, FeedId, FeedPort, Scope, Worker, WorkerParts};

/// How a process is set up.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// The way to Kafka.
    pub kafka: Kafka,
    /// Which cores.
    pub pin: Pin,
    /// How workers wait.
    pub wait: Wait,
    /// How many workers.
    pub workers: usize,
}

/// A strategy and its module, ready to run.
pub struct Deployment {
    /// The strategy file.
    pub strategy: Strategy,
    /// The compiled module.
    pub module: Module,
}

/// Why something could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The strategies do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The strategies contradict each other about an instrument.
    #[error(transparent)]
    Symbol(#[from] SymbolError),
    /// A feed cannot be opened.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The risk section does not fit the instruments.
    #[error("risk limits of {strategy}: {problem}")]
    Risk {
        /// The strategy.
        strategy: String,
        /// What is wrong.
        problem: String,
    },
    /// The guest refused to start.
    #[error("strategy {strategy} does not start: {fault}")]
    Start {
        /// The strategy.
        strategy: String,
        /// What its guest did.
        fault: Fault,
    },
    /// The cores that were asked for cannot be had.
    #[error("pinning: {0}")]
    Pin(String),
    /// Kafka's client refused its configuration.
    #[error("setting up the producer: {0}")]
    Producer(String),
    /// A thread could not be started.
    #[error("starting the {name} thread")]
    Thread {
        /// Which.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// No strategy of that name runs here.
    #[error("no strategy {tenant}/{strategy} runs here")]
    Unknown {
        /// The tenant.
        tenant: String,
        /// The name.
        strategy: String,
    },
    /// A group's feed cannot change while it runs.
    #[error(
        "group {group} is being read already; its topics cannot change while it runs, give the strategy a group of its own"
    )]
    GroupTaken {
        /// The group.
        group: String,
    },
    /// That strategy runs already, or another whose orders could not be told from its.
    #[error(
        "strategy {strategy} runs already as {other}, or its order ids would be the same; rename it, or swap the module of the other"
    )]
    Running {
        /// The name.
        strategy: String,
        /// The one that has the ids.
        other: String,
    },
}

struct WorkerHandle {
    commands: Sender<Command>,
    waker: Waker,
    thread: JoinHandle<()>,
}

struct FeedHandle {
    group: String,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    consumer: Arc<FeedConsumer>,
}

/// One instance, as the control plane knows it.
pub(crate) struct InstanceHandle {
    pub(crate) id: InstanceId,
    worker: usize,
    identity: OrderIdentity,
    pub(crate) metrics: Arc<StrategyMetrics>,
}

/// One strategy, as the control plane knows it.
pub(crate) struct StrategyHandle {
    pub(crate) strategy: Strategy,
    pub(crate) module: Module,
    index: usize,
    input_topics: Arc<[String]>,
    instruments: Arc<Instruments>,
    pub(crate) instances: Vec<InstanceHandle>,
}

/// One strategy that runs.
pub struct Running<'a> {
    /// Its tenant.
    pub tenant: &'a str,
    /// Its name.
    pub strategy: &'a str,
    /// Digest of its module.
    pub module: String,
    /// How many instances.
    pub instances: usize,
}

/// What a drain left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Records that Kafka had not acknowledged in time. They are sent again after a restart.
    pub unacknowledged: usize,
    /// Records that Kafka refused for good. They are sent again after a restart, too.
    pub refused: u64,
    /// Whether a thread had ended before it was asked to.
    pub died: bool,
}

/// All that runs.
pub struct App {
    config: AppConfig,
    metrics: Arc<Metrics>,
    egress_metrics: Arc<EgressMetrics>,
    workers: Vec<WorkerHandle>,
    feeds: Vec<FeedHandle>,
    pub(crate) strategies: BTreeMap<(String, String), StrategyHandle>,
    egress: Sender<EgressCommand>,
    egress_waker: Waker,
    egress_thread: JoinHandle<()>,
    dead_letters: Sender<DeadLetter>,
    /// Trading states that were set, by scope.
    states: Vec<(Scope, TradingState)>,
    next_instance: u32,
    next_strategy: usize,
}

/// What the control plane hears from the flow.
pub struct Inbound {
    /// From workers.
    pub notices: Receiver<Notice>,
    /// From egress.
    pub failures: Receiver<Undeliverable>,
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, AppError> {
    thread::Builder::new().name(name.clone()).spawn(run).map_err(|source| AppError::Thread { name, source })
}

impl App {
    /// Starts egress and the workers; nothing is read yet.
    ///
    /// # Errors
    /// [`AppError::Pin`], [`AppError::Producer`], [`AppError::Thread`]
    pub fn start(config: AppConfig, metrics: Arc<Metrics>) -> Result<(Self, Inbound), AppError> {
        let cores = pin::plan(&config.pin, &pin::allowed(), config.workers).map_err(AppError::Pin)?;
        let (notice_sender, notices) = crossbeam_channel::unbounded();
        let (failure_sender, failures) = crossbeam_channel::unbounded();
        let (dead_letters, dead_letter_receiver) = crossbeam_channel::bounded(DEAD_LETTERS_MAX);
        let (egress, egress_commands) = crossbeam_channel::unbounded();
        let egress_waker = Waker::default();
        let egress_metrics = Arc::new(EgressMetrics::default());
        let parts = EgressParts {
            kafka: config.kafka.clone(),
            commands: egress_commands,
            dead_letters: dead_letter_receiver,
            failures: failure_sender,
            metrics: Arc::clone(&egress_metrics),
            waker: egress_waker.clone(),
        };
        // librdkafka's threads inherit the affinity of the thread that makes the client: this one, which is not pinned.
        let made = Egress::new(parts).map_err(|error| AppError::Producer(error.to_string()))?;
        let egress_thread = spawn("egress".to_owned(), move || made.run())?;
        let mut workers = Vec::with_capacity(config.workers);
        for (index, core) in cores.into_iter().enumerate() {
            let (outbound, consumer) = rtrb::RingBuffer::new(OUTBOUND_RING);
            let (commands, command_receiver) = crossbeam_channel::unbounded();
            let (queue, queue_reader) = recorder();
            let worker_metrics = Arc::new(WorkerMetrics::new(index, queue_reader));
            metrics.add_worker(Arc::clone(&worker_metrics));
            let _ = egress.send(EgressCommand::AddWorker(consumer));
            let waker = Waker::default();
            let parts = WorkerParts {
                metrics: Arc::clone(&worker_metrics),
                commands: command_receiver,
                notices: notice_sender.clone(),
                outbox: Outbox::new(outbound, egress_waker.clone(), Arc::clone(&worker_metrics)),
                queue,
                wait: config.wait,
                waker: waker.clone(),
            };
            let thread = spawn(format!("worker-{index}"), move || {
                let given = pin::pin_current(core);
                parts.metrics.core.set(given.and_then(|core| i64::try_from(core).ok()).unwrap_or(-1));
                tracing::info!(worker = index, asked = ?core, ?given, "worker runs");
                Worker::new(parts).run();
            })?;
            workers.push(WorkerHandle { commands, waker, thread });
        }
        let app = Self {
            config,
            metrics,
            egress_metrics,
            workers,
            feeds: Vec::new(),
            strategies: BTreeMap::new(),
            egress,
            egress_waker,
            egress_thread,
            dead_letters,
            states: Vec::new(),
            next_instance: 0,
            next_strategy: 0,
        };
        Ok((app, Inbound { notices, failures }))
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What egress counts.
    #[must_use]
    pub fn egress_metrics(&self) -> &Arc<EgressMetrics> {
        &self.egress_metrics
    }

    /// The consumers of all feeds, for commits.
    #[must_use]
    pub fn consumers(&self) -> Vec<Arc<FeedConsumer>> {
        self.feeds.iter().map(|feed| Arc::clone(&feed.consumer)).collect()
    }

    fn send(&self, worker: usize, command: Command) {
        if let Some(handle) = self.workers.get(worker) {
            // Fails only when the worker has ended, and then there is nothing to command.
            let _ = handle.commands.send(command);
            handle.waker.wake();
        }
    }

    fn send_all(&self, command: impl Fn() -> Command) {
        (0..self.workers.len()).for_each(|worker| self.send(worker, command()));
    }

    fn to_egress(&self, command: EgressCommand) {
        let _ = self.egress.send(command);
        self.egress_waker.wake();
    }

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
            let members = plan.strategies.iter().filter_map(|index| deployments.get_mut(*index)?.take()).collect();
            opened.push(self.open(plan, members)?);
        }
        for feed in opened {
            self.begin(feed)?;
        }
        Ok(())
    }

    /// Opens a feed and makes its instances, without reading or starting anything.
    fn open(&mut self, plan: FeedPlan, members: Vec<Deployment>) -> Result<OpenFeed, AppError> {
        let declared: Vec<Vec<Instrument>> =
            members.iter().map(|member| plan::instruments(&member.strategy)).collect::<Result<_, _>>()?;
        let all: Vec<Instrument> = declared.iter().flatten().cloned().collect();
        let inputs = plan
            .inputs
            .iter()
            .map(|input| {
                Ok(FeedInput {
                    topic: input.topic.clone(),
                    decoder: Decoder::new(input.encoding, &input.publisher, &all)?,
                    partitions: input.partitions.clone(),
                    start: input.start,
                    broadcast: input.broadcast,
                    dead_letter: input.dead_letter.as_deref().map(Arc::from),
                })
            })
            .collect::<Result<Vec<_>, SymbolError>>()?;
        let (broker, broker_reader) = recorder();
        let (decode, decode_reader) = recorder();
        let metrics = Arc::new(FeedMetrics::new(plan.group.clone(), broker_reader, decode_reader));
        let (consumer, partitions) = ingest::open(&self.config.kafka, &plan.group, &inputs, &metrics)?;
        let input_topics: Arc<[String]> = inputs.iter().map(|input| input.topic.clone()).collect();
        let mut strategies = Vec::with_capacity(members.len());
        for (member, declared) in members.into_iter().zip(declared) {
            let shards = plan::shards(&member.strategy, &plan, &partitions)?;
            let handle = StrategyHandle {
                index: self.next_strategy,
                strategy: member.strategy,
                module: member.module,
                input_topics: Arc::clone(&input_topics),
                instruments: Arc::new(Instruments::new(declared)),
                instances: Vec::with_capacity(shards.len()),
            };
            self.next_strategy += 1;
            strategies.push(self.make_instances(handle, shards)?);
        }
        Ok(OpenFeed { plan, inputs, consumer, partitions, metrics, broker, decode, strategies })
    }

    /// One instance a shard, each initialised.
    fn make_instances(&mut self, mut handle: StrategyHandle, shards: Vec<Shard>) -> Result<OpenStrategy, AppError> {
        let name = handle.strategy.metadata.name.clone();
        let limits = Arc::new(handle.limits(&handle.risk())?);
        let (egress, egress_reader) = recorder();
        let (decision, decision_reader) = recorder();
        let (ack, ack_reader) = recorder();
        let mut instances = Vec::with_capacity(shards.len());
        for shard in shards {
            let identity = OrderIdentity {
                strategy: order_hash(&handle.strategy),
                sources: shard.sources.iter().map(|source| (source.topic_hash, source.partition)).collect(),
            };
            let id = InstanceId(self.next_instance);
            self.next_instance += 1;
            let (strategy, strategy_reader) = recorder();
            let (risk, risk_reader) = recorder();
            let metrics = Arc::new(StrategyMetrics::new(handle.strategy.tenant(), &name, strategy_reader, risk_reader));
            let parts = InstanceParts {
                id,
                route: Arc::new(handle.route(&identity)),
                limits: Arc::clone(&limits),
                executions: handle.executions(),
                trading_state: self.trading_state_of(&handle.strategy),
                sources: shard.sources.clone(),
                metrics: Arc::clone(&metrics),
                recorders: InstanceRecorders { strategy, risk },
            };
            let ready = handle.ready_guest().map_err(|fault| AppError::Start { strategy: name.clone(), fault })?;
            let worker = usize::from(shard.index) % self.workers.len();
            handle.instances.push(InstanceHandle { id, worker, identity, metrics });
            instances.push((worker, shard, Box::new(Instance::new(parts, ready))));
        }
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
        let id = FeedId(u16::try_from(self.feeds.len()).unwrap_or(u16::MAX));
        let offsets = Arc::new(Offsets::new(&feed.partitions, self.workers.len()));
        let quiet = Quiet::default();
        self.to_egress(EgressCommand::AddFeed(id, Arc::clone(&offsets)));
        let mut targets = Vec::with_capacity(self.workers.len());
        for (index, worker) in self.workers.iter().enumerate() {
            let (events, ring) = rtrb::RingBuffer::new(RING_EVENTS);
            targets.push(Target { ring: events, waker: worker.waker.clone() });
            let books = Box::new(Books::new(feed.plan.resync));
            self.send(index, Command::AddFeed(Box::new(FeedPort { feed: id, ring, books, quiet: quiet.clone() })));
        }
        for OpenStrategy { handle, instances, sent, recorders } in feed.strategies {
            self.metrics.add_sent(sent);
            self.to_egress(EgressCommand::AddStrategy(handle.index, recorders));
            for (worker, shard, instance) in instances {
                let inputs = shard.sources.iter().map(|source| (source.topic, source.partition)).collect();
                self.send(worker, Command::AddInstance { feed: id, instance, inputs });
            }
            handle.instances.iter().for_each(|instance| self.metrics.add_strategy(Arc::clone(&instance.metrics)));
            self.strategies
                .insert((handle.strategy.tenant().to_owned(), handle.strategy.metadata.name.clone()), handle);
        }
        self.metrics.add_feed(Arc::clone(&feed.metrics));
        let stop = Arc::new(AtomicBool::new(false));
        let parts = FeedParts {
            id,
            consumer: Arc::clone(&feed.consumer),
            inputs: feed.inputs,
            assignment: feed.plan.assignment,
            targets,
            dead_letters: self.dead_letters.clone(),
            offsets,
            metrics: feed.metrics,
            broker: feed.broker,
            decode: feed.decode,
            quiet,
            stop: Arc::clone(&stop),
        };
        let thread = spawn(format!("ingest-{}", id.0), move || Ingest::new(parts).run())?;
        self.feeds.push(FeedHandle { group: feed.plan.group, stop, thread, consumer: feed.consumer });
        Ok(())
    }

    /// What a strategy may do when it is loaded: what its file says, or a stricter state that was set for all or for its tenant.
    fn trading_state_of(&self, strategy: &Strategy) -> TradingState {
        let reaches = |scope: &Scope| {
            !matches!(scope, Scope::Strategy { .. }) && scope.reaches(strategy.tenant(), &strategy.metadata.name)
        };
        let set = self.states.iter().filter(|(scope, _)| reaches(scope)).map(|(_, state)| *state);
        set.chain([strategy.spec.trading_state]).max().unwrap_or_default()
    }

    fn handle(&self, tenant: &str, strategy: &str) -> Result<&StrategyHandle, AppError> {
        self.strategies
            .get(&(tenant.to_owned(), strategy.to_owned()))
            .ok_or_else(|| AppError::Unknown { tenant: tenant.to_owned(), strategy: strategy.to_owned() })
    }

    /// Puts another module, with these params, in the place of a strategy's: between two records, orders and positions kept.
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
        let key = (tenant.to_owned(), strategy.to_owned());
        let unknown = || AppError::Unknown { tenant: tenant.to_owned(), strategy: strategy.to_owned() };
        let handle = self.strategies.get_mut(&key).ok_or_else(unknown)?;
        let old_module = std::mem::replace(&mut handle.module, module);
        let old_params = std::mem::replace(&mut handle.strategy.spec.params, params.clone());
        // Every instance's guest is ready before the first is replaced: a module that does not start replaces nothing.
        let ready: Result<Vec<_>, Fault> = handle.instances.iter().map(|_| handle.ready_guest()).collect();
        let ready = match ready {
            Ok(ready) => ready,
            Err(fault) => {
                handle.module = old_module;
                handle.strategy.spec.params = old_params;
                return Err(AppError::Start { strategy: strategy.to_owned(), fault });
            }
        };
        let handle = self.handle(tenant, strategy)?;
        for (instance, ready) in handle.instances.iter().zip(ready) {
            let route = Arc::new(handle.route(&instance.identity));
            instance.metrics.quarantined.set(0);
            self.send(instance.worker, Command::Replace { id: instance.id, ready, route, swap: true });
        }
        Ok(())
    }

    /// A fresh guest for an instance whose guest faulted.
    ///
    /// # Errors
    /// [`AppError::Start`]
    pub(crate) fn revive(&self, id: InstanceId) -> Result<(), AppError> {
        let Some((handle, instance)) = self.find(id) else { return Ok(()) };
        let name = &handle.strategy.metadata.name;
        let ready = handle.ready_guest().map_err(|fault| AppError::Start { strategy: name.clone(), fault })?;
        let route = Arc::new(handle.route(&instance.identity));
        self.send(instance.worker, Command::Replace { id, ready, route, swap: false });
        Ok(())
    }

    /// The strategy and the handle of an instance.
    pub(crate) fn find(&self, id: InstanceId) -> Option<(&StrategyHandle, &InstanceHandle)> {
        self.strategies.values().find_map(|handle| {
            let instance = handle.instances.iter().find(|instance| instance.id == id)?;
            Some((handle, instance))
        })
    }

    /// The scope of the strategy with this index.
    pub(crate) fn scope_of(&self, strategy_index: usize) -> Option<Scope> {
        let handle = self.strategies.values().find(|handle| handle.index == strategy_index)?;
        Some(Scope::Strategy {
            tenant: handle.strategy.tenant().to_owned(),
            strategy: handle.strategy.metadata.name.clone(),
        })
    }

    /// What runs.
    pub fn running(&self) -> impl Iterator<Item = Running<'_>> {
        self.strategies.values().map(|handle| Running {
            tenant: handle.strategy.tenant(),
            strategy: &handle.strategy.metadata.name,
            module: handle.module.digest().to_string(),
            instances: handle.instances.len(),
        })
    }

    /// A strategy's file, with the changes since.
    ///
    /// # Errors
    /// [`AppError::Unknown`]
    pub fn strategy(&self, tenant: &str, strategy: &str) -> Result<&Strategy, AppError> {
        Ok(&self.handle(tenant, strategy)?.strategy)
    }

    /// Digest of a strategy's module.
    ///
    /// # Errors
    /// [`AppError::Unknown`]
    pub fn module_digest(&self, tenant: &str, strategy: &str) -> Result<String, AppError> {
        Ok(self.handle(tenant, strategy)?.module.digest().to_string())
    }

    /// Changes what strategies may do, those loaded later too; the strictest state that reaches one counts. When HALTED, what works
    /// is cancelled. Returns when every worker has done it.
    ///
    /// # Errors
    /// [`AppError::Unknown`] for a strategy that does not run here.
    pub fn set_trading_state(&mut self, scope: &Scope, state: TradingState) -> Result<(), AppError> {
        if let Scope::Strategy { tenant, strategy } = scope {
            self.handle(tenant, strategy)?;
        }
        self.states.retain(|(other, _)| other != scope);
        self.states.push((scope.clone(), state));
        for handle in self.strategies.values_mut() {
            if scope.reaches(handle.strategy.tenant(), &handle.strategy.metadata.name) {
                handle.strategy.spec.trading_state = state;
            }
        }
        self.send_all(|| Command::SetTradingState { scope: scope.clone(), state });
        self.settle();
        Ok(())
    }

    /// The kill switch of an instrument. Returns when every worker has done it.
    pub fn set_killed(&self, instrument_id: u64, killed: bool) {
        self.send_all(|| Command::SetKilled { instrument_id, killed });
        self.settle();
    }

    /// Changes a strategy's limits.
    ///
    /// # Errors
    /// [`AppError::Unknown`], [`AppError::Risk`]
    pub fn set_limits(&mut self, tenant: &str, strategy: &str, risk: &Risk) -> Result<(), AppError> {
        let handle = self.handle(tenant, strategy)?;
        let limits = Arc::new(handle.limits(risk)?);
        for instance in &handle.instances {
            self.send(instance.worker, Command::SetLimits { id: instance.id, limits: Arc::clone(&limits) });
        }
        self.settle();
        if let Some(handle) = self.strategies.get_mut(&(tenant.to_owned(), strategy.to_owned())) {
            handle.strategy.spec.risk = Some(risk.clone());
        }
        Ok(())
    }

    /// Stops a strategy and takes it out. Its feed reads on for those that share it.
    ///
    /// # Errors
    /// [`AppError::Unknown`]
    pub fn unload(&mut self, tenant: &str, strategy: &str) -> Result<(), AppError> {
        self.handle(tenant, strategy)?;
        if let Some(handle) = self.strategies.remove(&(tenant.to_owned(), strategy.to_owned())) {
            for instance in &handle.instances {
                self.send(instance.worker, Command::RemoveInstance(instance.id));
            }
            self.settle();
            self.metrics.remove_strategy(tenant, strategy);
        }
        Ok(())
    }

    /// Waits until every worker has taken its commands; not for ever, a worker may wait for egress.
    pub fn settle(&self) {
        let (answer, answers) = crossbeam_channel::bounded(self.workers.len());
        self.send_all(|| Command::Ping(answer.clone()));
        for _ in &self.workers {
            if answers.recv_timeout(SETTLE_MAX).is_err() {
                tracing::warn!("a worker has not taken its commands yet; it will when it can");
                return;
            }
        }
    }

    /// Whether all threads of the flow still run.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let threads =
            self.workers.iter().map(|worker| &worker.thread).chain(self.feeds.iter().map(|feed| &feed.thread));
        threads.chain([&self.egress_thread]).all(|thread| !thread.is_finished())
    }

    /// Ends everything from left to right: reading, rings, guests, acknowledgements, the last commit.
    #[must_use]
    pub fn drain(self) -> Drained {
        let until_ns = mono_ns() + DRAIN_SECONDS_MAX * 1_000_000_000;
        let mut died = !self.is_alive();
        self.feeds.iter().for_each(|feed| feed.stop.store(true, Ordering::Release));
        let consumers = self.consumers();
        for feed in self.feeds {
            died |= !joined(feed.thread);
        }
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Drain);
            worker.waker.wake();
        }
        for worker in self.workers {
            died |= !joined(worker.thread);
        }
        let (answer, answers) = crossbeam_channel::bounded(1);
        let _ = self.egress.send(EgressCommand::Drain { until_ns, answer });
        self.egress_waker.wake();
        let left = Duration::from_nanos(until_ns.saturating_sub(mono_ns())) + SETTLE_MAX;
        let unacknowledged = answers.recv_timeout(left).unwrap_or(usize::MAX);
        if unacknowledged == 0 {
            died |= !joined(self.egress_thread);
        }
        let mut gone = false;
        for consumer in consumers {
            // They share their brokers: what one has waited for in vain, the others need not.
            if !gone {
                let Err(error) = ingest::commit_all(&consumer) else { continue };
                gone = kafka::is_unreachable(&error);
                tracing::warn!(%error, "the last commit failed; records since the one before are read again");
            }
            // To close it is to wait for the coordinator that has just not answered, without a limit. The process ends instead.
            std::mem::forget(consumer);
        }
        Drained { unacknowledged, refused: self.egress_metrics.failed.get(), died }
    }
}

/// How long a change waits for workers to take it.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Waits for a thread. False where it panicked, which it has said itself.
fn joined(thread: JoinHandle<()>) -> bool {
    thread.join().is_ok()
}

fn order_hash(strategy: &Strategy) -> u32 {
    ClientOrderId::strategy_hash(strategy.tenant(), &strategy.metadata.name)
}

/// A feed that has been opened and not begun.
struct OpenFeed {
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
    /// Worker, shard, instance.
    instances: Vec<(usize, Shard, Box<Instance>)>,
    sent: Arc<SentMetrics>,
    recorders: EgressRecorders,
}

/// Where a strategy's orders go, decided by the module of that digest.
#[must_use]
pub fn strategy_route(
    strategy: &Strategy,
    strategy_index: usize,
    module_digest: String,
    input_topics: Arc<[String]>,
    instruments: Arc<Instruments>,
    identity: OrderIdentity,
) -> OrderRoute {
    let outputs = &strategy.spec.outputs;
    OrderRoute {
        strategy_index,
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
    /// Its limits: those of the file, else the defaults.
    fn risk(&self) -> Risk {
        self.strategy.spec.risk.clone().unwrap_or_default()
    }

    /// Without execution reports positions are assumed from what was sent.
    fn executions(&self) -> Executions {
        let reports = |input: &Input| input.encoding == Encoding::PinionExecution;
        if self.strategy.spec.inputs.iter().any(reports) { Executions::Reported } else { Executions::Assumed }
    }

    fn limits(&self, risk: &Risk) -> Result<Limits, AppError> {
        Limits::compile(risk, &self.instruments).map_err(|problem| AppError::Risk {
            strategy: self.strategy.metadata.name.clone(),
            problem: problem.to_string(),
        })
    }

    fn route(&self, identity: &OrderIdentity) -> OrderRoute {
        strategy_route(
            &self.strategy,
            self.index,
            self.module.digest().to_string(),
            Arc::clone(&self.input_topics),
            Arc::clone(&self.instruments),
            identity.clone(),
        )
    }

    /// A fresh guest that `on-init` has accepted.
    fn ready_guest(&self) -> Result<ReadyGuest, Fault> {
        let spec = &self.strategy.spec;
        let host = Host::new(HostConfig {
            instruments: Arc::clone(&self.instruments),
            intents_per_call: spec.budget.intents_per_call as usize,
            log_bytes_per_second: spec.budget.log_bytes_per_second,
        });
        let mut guest = self.module.instantiate(host, &spec.budget)?;
        let params: Vec<(String, String)> =
            spec.params.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let callbacks = guest.init(&params)?;
        Ok(ReadyGuest { guest, callbacks })
    }
}
