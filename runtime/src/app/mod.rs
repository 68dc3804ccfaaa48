//! What runs in one process: its workers, feeds, strategies and egress, and how they are built, changed and drained.
//!
//! The control plane's view: methods here may block and allocate. Workers learn of changes by [`Command`]s between two batches.

mod changes;
mod feeds;
mod strategy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use pinion_spec::assignment::{AssignedShard, StrategyReport};
use pinion_spec::scaling::Scaling;
use pinion_spec::strategy::{Risk, Strategy, TradingState};

use crate::clock::mono_ns;
use crate::duty::{Crew, Standing};
use crate::egress::{Egress, EgressCommand, EgressMetrics, EgressParts, Outbox, Undeliverable};
use crate::fence::Fence;
use crate::instance::{InstanceId, Notice};
use crate::instruments::SymbolError;
use crate::journal::{Entry, JournalConfig, Scribe, Writer, WriterCommand};
use crate::kafka::{self, AccessError, Kafka};
use crate::limits::{DRAIN_SECONDS_MAX, OUTBOUND_RING};
use crate::metrics::{Counter, Histograms, Metrics, WorkerMetrics};
use crate::pin::{self, Pin};
use crate::plan::PlanError;
use crate::ring::{Wait, Waker};
use crate::sandbox::{Fault, Module};
use crate::subscription::{self, FeedConsumer, FeedError, Rebalanced};
use crate::worker::{Command, Scope, Worker, WorkerParts};
pub use changes::{LimitsChanged, Overview, Tradable, Which};
use feeds::FeedHandle;
pub use strategy::strategy_route;
pub(crate) use strategy::{InstanceHandle, StrategyHandle};

/// How a process is set up.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// The way to Kafka.
    pub kafka: Kafka,
    /// Which cores.
    pub pin: Pin,
    /// How workers wait.
    pub wait: Wait,
    /// Who shares a thread.
    pub threads: Threads,
    /// How many workers, at most [`WORKERS_MAX`].
    pub workers: usize,
    /// Until when the process may act.
    pub fence: Fence,
    /// Where the workers' journals go.
    pub journal: Option<JournalConfig>,
    /// Whether latencies are measured.
    pub histograms: Histograms,
}

/// Which threads an event's way takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Threads {
    /// Ingest and egress share the worker's, where there is one worker: one wake-up an event, and no hop.
    #[default]
    Auto,
    /// Each feed's ingest, each worker and egress have a thread of their own: more events a second where there are cores for them.
    Dedicated,
}

/// A strategy and its module, ready to run.
pub struct Deployment {
    /// The strategy file.
    pub strategy: Strategy,
    /// The compiled module.
    pub module: Module,
    /// Which of its shards run here.
    pub shards: Shards,
}

/// Which shards of a strategy a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shards {
    /// All, dealt out to the workers in turn.
    All,
    /// These, each on the worker that was assigned.
    Only(Vec<AssignedShard>),
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
    /// What the module before has saved is not taken over by all instances.
    #[error(
        "strategy {strategy}: {kept} of {instances} instances cannot hand their state on and still run the module before: {why}; \
         swap in a module that loads it, or one without the callback `state`"
    )]
    State {
        /// The strategy.
        strategy: String,
        /// Instances that run the module before.
        kept: usize,
        /// Of how many.
        instances: usize,
        /// Why the first of them does.
        why: String,
    },
    /// The cores that were asked for cannot be had.
    #[error("pinning: {0}")]
    Pin(String),
    /// Kafka's client refused its configuration.
    #[error("setting up the producer")]
    Producer(#[source] AccessError),
    /// The journal's folder cannot be used.
    #[error("the journal cannot be written to {path}; name another folder with --journal, or make room")]
    Journal {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
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
    /// Nothing of that tenant runs here.
    #[error("nothing of tenant {tenant} runs here; tenants that do: {known}")]
    UnknownTenant {
        /// The tenant.
        tenant: String,
        /// Those that run.
        known: String,
    },
    /// No strategy here declares that instrument.
    #[error("no strategy here trades instrument {wanted}; what is traded: {known}")]
    UnknownInstrument {
        /// What was asked for.
        wanted: String,
        /// What is declared.
        known: String,
    },
    /// A symbol that several publishers carry.
    #[error("{symbol} is carried by {publishers}; say which with `publisher`")]
    Ambiguous {
        /// The symbol.
        symbol: String,
        /// Who carries it.
        publishers: String,
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
    standing: Standing,
}

/// A way to the workers that needs nothing of the app.
#[derive(Clone, Default)]
pub struct Workers(Vec<(Sender<Command>, Waker)>);

impl Workers {
    fn send(&self, command: impl Fn() -> Command) {
        for (commands, waker) in &self.0 {
            // Fails only when the worker has ended, and then there is nothing to command.
            let _ = commands.send(command());
            waker.wake();
        }
    }

    /// Changes what the strategies of a scope may do that run now. [`App::set_trading_state`] is for those that are loaded later too.
    pub fn set_trading_state(&self, scope: &Scope, state: TradingState) {
        self.send(|| Command::SetTradingState { scope: scope.clone(), state });
    }

    /// Waits until every worker has taken its commands; not for ever, a worker may wait for egress.
    pub fn settle(&self) {
        let (answer, answers) = crossbeam_channel::bounded(self.0.len());
        self.send(|| Command::Ping(answer.clone()));
        for _ in &self.0 {
            if answers.recv_timeout(SETTLE_MAX).is_err() {
                tracing::warn!("a worker has not taken its commands yet; it will when it can");
                return;
            }
        }
    }
}

/// What runs of a strategy, and how.
pub struct Held {
    /// The resource, with the changes since it was loaded.
    pub strategy: Strategy,
    /// Digest of the module, 64 hexadecimal digits.
    pub module: String,
    /// Its shards here.
    pub shards: Vec<AssignedShard>,
}

/// What a drain left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Records that Kafka had not acknowledged in time. They are sent again after a restart.
    pub unacknowledged: usize,
    /// Records that Kafka refused for good. They are sent again after a restart, too.
    pub refused: u64,
    /// Feeds whose last commit failed. What they read since the one before is read again after a restart.
    pub uncommitted: usize,
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
    /// The thread that does everything, where one does; it may get more to do.
    crew: Option<Crew>,
    egress: Sender<EgressCommand>,
    egress_waker: Waker,
    egress_standing: Standing,
    journal: Option<Journal>,
    rebalances: Sender<Rebalanced>,
    /// Trading states that were set, by scope.
    states: Vec<(Scope, TradingState)>,
    /// Instruments whose kill switch is on.
    killed: BTreeSet<u64>,
    next_feed: u32,
    next_instance: u32,
    next_strategy: usize,
}

/// The journal's thread.
struct Journal {
    commands: Sender<WriterCommand>,
    thread: JoinHandle<()>,
}

/// What the control plane hears from the flow.
pub struct Inbound {
    /// From workers.
    pub notices: Receiver<Notice>,
    /// From egress.
    pub failures: Receiver<Undeliverable>,
    /// From feeds.
    pub rebalances: Receiver<Rebalanced>,
}

/// A thread that has no worker on it.
fn side_crew(name: String) -> Result<Crew, AppError> {
    Crew::start(name.clone(), Wait::Park, || {}, |_| {}).map_err(|source| AppError::Thread { name, source })
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
        let (rebalance_sender, rebalances) = crossbeam_channel::unbounded();
        let (egress, egress_commands) = crossbeam_channel::unbounded();
        let egress_metrics = Arc::new(EgressMetrics::default());
        let parts = EgressParts {
            kafka: config.kafka.clone(),
            commands: egress_commands,
            failures: failure_sender,
            metrics: Arc::clone(&egress_metrics),
            fence: config.fence.clone(),
        };
        // librdkafka's threads inherit the affinity of the thread that makes the client: this one, which is not pinned.
        let made = Box::new(Egress::new(parts).map_err(AppError::Producer)?);
        let journal = start_journal(config.journal.as_ref())?;
        let shares = config.threads == Threads::Auto && cores.len() == 1;
        let mut crews = Vec::with_capacity(config.workers);
        let mut parts = Vec::with_capacity(config.workers);
        for (index, core) in cores.into_iter().enumerate() {
            let (queue, queue_reader) = config.histograms.recorder();
            let worker_metrics = Arc::new(WorkerMetrics::new(index, queue_reader));
            metrics.add_worker(Arc::clone(&worker_metrics));
            let (of_thread, of_busy) = (Arc::clone(&worker_metrics), Arc::clone(&worker_metrics));
            let begin = move || {
                let given = pin::pin_current(core);
                of_thread.thread.set(rustix::thread::gettid().as_raw_nonzero().get().into());
                tracing::info!(worker = index, asked = ?core, ?given, "worker runs");
            };
            let name = format!("worker-{index}");
            let crew = Crew::start(name.clone(), config.wait, begin, move |ns| of_busy.busy_ns.add(ns));
            crews.push(crew.map_err(|source| AppError::Thread { name, source })?);
            parts.push((worker_metrics, queue));
        }
        // What an event meets last is added first.
        let own_crew = if shares { None } else { Some(side_crew("egress".to_owned())?) };
        let Some(egress_crew) = own_crew.as_ref().or(crews.first()) else { unreachable!("there is a worker") };
        let egress_waker = egress_crew.waker().clone();
        let egress_standing = egress_crew.add(made);
        let mut workers = Vec::with_capacity(config.workers);
        for (crew, (worker_metrics, queue)) in crews.iter().zip(parts) {
            let (outbound, consumer) = rtrb::RingBuffer::new(OUTBOUND_RING);
            let (commands, command_receiver) = crossbeam_channel::unbounded();
            let _ = egress.send(EgressCommand::AddWorker(consumer));
            let scribe = match &journal {
                Some(journal) => {
                    let (scribe, ring) = Scribe::new(Arc::clone(&worker_metrics));
                    let _ = journal.commands.send(WriterCommand::AddWorker(Arc::clone(&worker_metrics), ring));
                    scribe
                }
                None => Scribe::default(),
            };
            let worker = Worker::new(WorkerParts {
                metrics: Arc::clone(&worker_metrics),
                commands: command_receiver,
                notices: notice_sender.clone(),
                outbox: Outbox::new(outbound, egress_waker.clone(), worker_metrics),
                queue,
                shares,
                fence: config.fence.clone(),
                scribe,
            });
            workers.push(WorkerHandle { commands, waker: crew.waker().clone(), standing: crew.add(Box::new(worker)) });
        }
        let app = Self {
            config,
            metrics,
            egress_metrics,
            workers,
            feeds: Vec::new(),
            strategies: BTreeMap::new(),
            crew: if shares { crews.pop() } else { None },
            egress,
            egress_waker,
            egress_standing,
            journal,
            rebalances: rebalance_sender,
            states: Vec::new(),
            killed: BTreeSet::new(),
            next_feed: 0,
            next_instance: 0,
            next_strategy: 0,
        };
        Ok((app, Inbound { notices, failures, rebalances }))
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

    /// The consumers of all feeds, for commits: none once the lease has run out, for the offsets are a successor's then.
    #[must_use]
    pub fn consumers(&self) -> Vec<Arc<FeedConsumer>> {
        if self.config.fence.is_passed(mono_ns()) {
            return Vec::new();
        }
        self.feeds.iter().map(|feed| Arc::clone(&feed.consumer)).collect()
    }

    fn send(&self, worker: usize, command: Command) {
        if let Some(handle) = self.workers.get(worker) {
            // Fails only when the worker has ended, and then there is nothing to command.
            let _ = handle.commands.send(command);
            handle.waker.wake();
        }
    }

    /// A command, with what the journal says of it where there is one.
    fn send_noted(&self, worker: usize, entry: impl FnOnce() -> Entry, command: Command) {
        match &self.journal {
            None => self.send(worker, command),
            Some(_) => {
                let (entry, command) = (Box::new(entry()), Box::new(command));
                self.send(worker, Command::Noted { entry, command });
            }
        }
    }

    fn send_all(&self, command: impl Fn() -> Command) {
        (0..self.workers.len()).for_each(|worker| self.send(worker, command()));
    }

    fn to_egress(&self, command: EgressCommand) {
        let _ = self.egress.send(command);
        self.egress_waker.wake();
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
        if let Some(handle) = self.strategies.get_mut(&key) {
            let faults = |i: &InstanceHandle| i.metrics.faults.iter().map(Counter::get).sum::<u64>();
            handle.faults_before = handle.instances.iter().map(faults).sum();
        }
        let handle = self.handle(tenant, strategy)?;
        let instances = handle.instances.len();
        let (answer, answers) = crossbeam_channel::bounded(instances);
        for (instance, ready) in handle.instances.iter().zip(ready) {
            let route = Arc::new(handle.route(&instance.identity));
            instance.metrics.quarantined.set(0);
            let noted = || Entry::Swap {
                instance: instance.id.0,
                module: handle.module.digest().hex(),
                params: params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            };
            let swap = Command::Swap { id: instance.id, ready, route, answer: answer.clone() };
            self.send_noted(instance.worker, noted, swap);
        }
        drop(answer);
        let kept = refusals(&answers, instances);
        if kept.len() == instances && instances > 0 {
            let handle = self.strategies.get_mut(&key).ok_or_else(unknown)?;
            handle.module = old_module;
            handle.strategy.spec.params = old_params;
        }
        self.show_terms(self.handle(tenant, strategy)?);
        match kept.first() {
            None => Ok(()),
            Some(why) => {
                let (strategy, kept, why) = (strategy.to_owned(), kept.len(), why.clone());
                Err(AppError::State { strategy, kept, instances, why })
            }
        }
    }

    /// Changes what its figures are held against. Nothing of what runs is touched: workers are the operator's business.
    ///
    /// # Errors
    /// [`AppError::Unknown`]
    pub fn set_scaling(&mut self, tenant: &str, strategy: &str, scaling: &Scaling) -> Result<(), AppError> {
        let unknown = || AppError::Unknown { tenant: tenant.to_owned(), strategy: strategy.to_owned() };
        let handle = self.strategies.get_mut(&(tenant.to_owned(), strategy.to_owned())).ok_or_else(unknown)?;
        handle.strategy.spec.scaling = scaling.clone();
        self.show_terms(self.handle(tenant, strategy)?);
        Ok(())
    }

    fn show_terms(&self, handle: &StrategyHandle) {
        self.metrics.show_terms(handle.strategy.tenant(), &handle.strategy.metadata.name, handle.terms());
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
        self.send(instance.worker, Command::Revive { id, ready, route });
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

    /// Whether the one strategy of a scope is halted.
    pub(crate) fn is_halted(&self, scope: &Scope) -> bool {
        let Scope::Strategy { tenant, strategy } = scope else { return false };
        self.handle(tenant, strategy).is_ok_and(|handle| handle.trading_state == TradingState::Halted)
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

    /// A strategy's module and params.
    ///
    /// # Errors
    /// [`AppError::Unknown`]
    pub fn running_module(&self, tenant: &str, strategy: &str) -> Result<(Module, BTreeMap<String, String>), AppError> {
        let handle = self.handle(tenant, strategy)?;
        Ok((handle.module.clone(), handle.strategy.spec.params.clone()))
    }

    /// Changes what strategies may do, those loaded later too; the strictest state that reaches one counts. When HALTED, what works
    /// is cancelled. Returns when every worker has done it.
    ///
    /// # Errors
    /// [`AppError::Unknown`], [`AppError::UnknownTenant`] for what does not run here.
    pub fn set_trading_state(&mut self, scope: &Scope, state: TradingState) -> Result<(), AppError> {
        self.check_scope(scope)?;
        self.states.retain(|(other, _)| other != scope);
        self.states.push((scope.clone(), state));
        for handle in self.strategies.values_mut() {
            if scope.reaches(handle.strategy.tenant(), &handle.strategy.metadata.name) {
                handle.strategy.spec.trading_state = state;
                handle.trading_state = state;
                handle.commanded.trading_state = Some(state);
                handle.past.metrics.show_trading_state(state);
            }
        }
        self.send_all(|| Command::SetTradingState { scope: scope.clone(), state });
        self.settle();
        Ok(())
    }

    /// Changes a strategy's limits.
    ///
    /// # Errors
    /// [`AppError::Unknown`], [`AppError::Risk`]
    pub fn set_limits(&mut self, tenant: &str, strategy: &str, risk: &Risk) -> Result<(), AppError> {
        let handle = self.handle(tenant, strategy)?;
        let limits = Arc::new(handle.limits(risk)?);
        for instance in &handle.instances {
            let noted =
                || Entry::Limits { instance: instance.id.0, risk: serde_json::to_string(risk).unwrap_or_default() };
            let set = Command::SetLimits { id: instance.id, limits: Arc::clone(&limits) };
            self.send_noted(instance.worker, noted, set);
        }
        self.settle();
        if let Some(handle) = self.strategies.get_mut(&(tenant.to_owned(), strategy.to_owned())) {
            handle.strategy.spec.risk = Some(risk.clone());
        }
        Ok(())
    }

    /// Stops a strategy and takes it out. Its feed reads on for those that share it, and ends with the last of them: then what was
    /// read is finished and committed first, where that takes no longer than 2 s, so that the next load goes on after it.
    ///
    /// # Errors
    /// [`AppError::Unknown`]
    pub fn unload(&mut self, tenant: &str, strategy: &str) -> Result<(), AppError> {
        let feed = self.handle(tenant, strategy)?.feed;
        let is_last = self.strategies.values().filter(|other| other.feed == feed).count() == 1;
        if is_last {
            self.stop_feed(feed);
        }
        if let Some(handle) = self.strategies.remove(&(tenant.to_owned(), strategy.to_owned())) {
            for instance in &handle.instances {
                self.send(instance.worker, Command::RemoveInstance(instance.id));
            }
            self.to_egress(EgressCommand::RemoveStrategy(handle.index));
            self.settle();
            self.metrics.remove_strategy(tenant, strategy);
            if is_last {
                self.end_feed(feed);
            }
        }
        Ok(())
    }

    /// A way to the workers for who cannot wait for the app.
    #[must_use]
    pub fn workers(&self) -> Workers {
        Workers(self.workers.iter().map(|worker| (worker.commands.clone(), worker.waker.clone())).collect())
    }

    /// Waits until every worker has taken its commands; not for ever, a worker may wait for egress.
    pub fn settle(&self) {
        self.workers().settle();
    }

    /// All that runs, by tenant and name.
    #[must_use]
    pub fn held(&self) -> BTreeMap<(String, String), Held> {
        let shards = |handle: &StrategyHandle| {
            let worker = |worker: usize| u16::try_from(worker).unwrap_or(u16::MAX);
            let shard = |i: &InstanceHandle| AssignedShard { shard: i.shard, worker: worker(i.worker) };
            handle.instances.iter().map(shard).collect()
        };
        let held = |handle: &StrategyHandle| Held {
            strategy: handle.strategy.clone(),
            module: handle.module.digest().hex(),
            shards: shards(handle),
        };
        self.strategies.iter().map(|(key, handle)| (key.clone(), held(handle))).collect()
    }

    /// What a pod reports of what runs.
    #[must_use]
    pub fn reports(&self) -> Vec<StrategyReport> {
        let total = |handle: &StrategyHandle| u16::try_from(handle.shards.len()).unwrap_or(u16::MAX);
        let faults = |i: &InstanceHandle| i.metrics.faults.iter().map(Counter::get).sum::<u64>();
        let report = |handle: &StrategyHandle| StrategyReport {
            namespace: handle.strategy.tenant().to_owned(),
            name: handle.strategy.metadata.name.clone(),
            module: handle.module.digest().hex(),
            wasm: handle.module.digest().hex(),
            shards: handle.instances.iter().map(|instance| instance.shard).collect(),
            shards_total: total(handle),
            faults: handle.instances.iter().map(faults).sum::<u64>().saturating_sub(handle.faults_before),
            quarantined: handle.instances.iter().any(|instance| instance.metrics.quarantined.get() > 0),
            trading_state: handle.trading_state,
            problem: None,
            problem_kind: None,
        };
        self.strategies.values().map(report).collect()
    }

    /// Whether all threads of the flow still run.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let workers = self.workers.iter().map(|worker| &worker.standing);
        let duties = workers.chain(self.feeds.iter().map(|feed| &feed.ingest)).chain([&self.egress_standing]);
        let subscribed = |feed: &FeedHandle| !feed.subscription.is_finished();
        duties.into_iter().all(|standing| !standing.is_over()) && self.feeds.iter().all(subscribed)
    }

    /// Ends everything from left to right: reading, rings, guests, acknowledgements, the last commit.
    #[must_use]
    pub fn drain(self) -> Drained {
        let until_ns = mono_ns() + DRAIN_SECONDS_MAX * 1_000_000_000;
        let mut died = !self.is_alive();
        self.feeds.iter().for_each(FeedHandle::stop);
        let consumers = self.consumers();
        for feed in self.feeds {
            died |= !joined(feed.subscription) | !feed.ingest.wait();
        }
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Drain);
            worker.waker.wake();
        }
        for worker in self.workers {
            died |= !worker.standing.wait();
        }
        if let Some(journal) = self.journal {
            let _ = journal.commands.send(WriterCommand::Finish);
            died |= !joined(journal.thread);
        }
        let (answer, answers) = crossbeam_channel::bounded(1);
        let _ = self.egress.send(EgressCommand::Drain { until_ns, answer });
        self.egress_waker.wake();
        let left = Duration::from_nanos(until_ns.saturating_sub(mono_ns())) + SETTLE_MAX;
        let unacknowledged = answers.recv_timeout(left).unwrap_or(usize::MAX);
        if unacknowledged == 0 {
            died |= !self.egress_standing.wait();
        }
        let (mut gone, mut uncommitted) = (false, 0);
        for consumer in consumers {
            // They share their brokers: what one has waited for in vain, the others need not.
            if !gone {
                let Err(error) = subscription::commit_all(&consumer) else { continue };
                gone = kafka::is_unreachable(&error);
                tracing::error!(%error, "the last commit failed; records since the one before are read again");
            }
            uncommitted += 1;
            // To close it is to wait for the coordinator that has just not answered, without a limit. The process ends instead.
            std::mem::forget(consumer);
        }
        Drained { unacknowledged, refused: self.egress_metrics.failed.get(), uncommitted, died }
    }
}

/// Starts the journal's thread, where a journal is wanted.
fn start_journal(config: Option<&JournalConfig>) -> Result<Option<Journal>, AppError> {
    let Some(config) = config else { return Ok(None) };
    let (commands, receiver) = crossbeam_channel::unbounded();
    let writer = Writer::new(config.clone(), receiver)
        .map_err(|source| AppError::Journal { path: config.dir.clone(), source })?;
    let thread = spawn("journal".to_owned(), move || writer.run())?;
    Ok(Some(Journal { commands, thread }))
}

/// How long a change waits for workers to take it.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Why instances have not been swapped. One whose worker is held up will be when it can.
fn refusals(answers: &Receiver<Result<(), String>>, instances: usize) -> Vec<String> {
    let mut refused = Vec::new();
    for _ in 0..instances {
        match answers.recv_timeout(SETTLE_MAX) {
            Ok(outcome) => refused.extend(outcome.err()),
            Err(_) => {
                tracing::warn!("a worker has not swapped its instances yet; it will when it can");
                break;
            }
        }
    }
    refused
}

/// Waits for a thread. False where it panicked, which it has said itself.
fn joined(thread: JoinHandle<()>) -> bool {
    thread.join().is_ok()
}
