//! What is counted and timed, by whom.
//!
//! Each thread of the flow owns the writing ends of its counters and recorders; the admin thread holds the reading ends and
//! merges them when it is asked. Nothing here locks or allocates on a writer's side.

mod cgroup;
mod ended;
mod exposition;
mod process;
mod recorder;
mod shard;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

pub use exposition::{TEXT_FORMAT, scrape};
pub use recorder::{Histograms, LATENCY_NS_MAX, Latency, Recorder, RecorderReader, recorder};
pub use shard::{PartitionMetrics, PartitionsMetrics, ShardMetrics};

use ended::Ended;
use pinion_spec::strategy::TradingState;
use rustix::thread::Pid;

use crate::clock::wall_ns;
use crate::decode::DecodeError;
use crate::event::Body;
use crate::pin;
use crate::risk::DenyReason;
use crate::sandbox::FaultKind;

/// A count with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds without a locked instruction: only the owning thread may call this.
    #[inline]
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// Takes over a count that is kept elsewhere; only the owning thread may call this.
    #[inline]
    pub fn set(&self, count: u64) {
        self.0.store(count, Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A value that goes up and down, with one writer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets it.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// The kinds of events that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum EventKind {
    /// A quote.
    Quote,
    /// A trade.
    Trade,
    /// One level of a depth update.
    BookDelta,
    /// A whole snapshot.
    BookSnapshot,
    /// An execution report.
    Execution,
    /// What may be done with an instrument.
    Status,
}

impl EventKind {
    /// Every kind, in order.
    pub const ALL: [Self; 6] =
        [Self::Quote, Self::Trade, Self::BookDelta, Self::BookSnapshot, Self::Execution, Self::Status];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Trade => "trade",
            Self::BookDelta => "book_delta",
            Self::BookSnapshot => "book_snapshot",
            Self::Execution => "execution",
            Self::Status => "status",
        }
    }

    /// What an event counts as: a snapshot's levels count with their snapshot, and a depth update counts by its levels.
    #[must_use]
    #[inline]
    pub const fn of(event: &crate::event::Event) -> Option<Self> {
        match event.body {
            Body::Quote(_) => Some(Self::Quote),
            Body::Trade(_) => Some(Self::Trade),
            Body::Delta(_) if event.head.flags & crate::event::FLAG_SNAPSHOT == 0 => Some(Self::BookDelta),
            Body::Depth(depth) if depth.snapshot => Some(Self::BookSnapshot),
            Body::Execution(_) => Some(Self::Execution),
            Body::Status(_) => Some(Self::Status),
            Body::Delta(_) | Body::Depth(_) | Body::Skip => None,
        }
    }
}

/// What an ingest thread counts for its feed.
#[derive(Debug)]
pub struct FeedMetrics {
    /// The consumer group, the feed's name.
    pub group: String,
    /// Kafka records.
    pub records: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// Decoded events by [`EventKind`].
    pub events: [Counter; EventKind::ALL.len()],
    /// Records that could not be decoded, by [`DecodeError::REASONS`].
    pub decode_errors: [Counter; DecodeError::REASONS.len()],
    /// Well-formed records that hold nothing for a strategy.
    pub skipped: Counter,
    /// Times that a ring had no room.
    pub ring_full: Counter,
    /// Times that a partition was paused for it.
    pub paused: Counter,
    /// Records whose Kafka timestamp lies after the poll that returned them: the clocks differ.
    pub broker_negative: Counter,
    /// 1 while at least one broker answers.
    pub connected: Gauge,
    /// How far each partition is; set before anything is read.
    pub partitions: OnceLock<PartitionsMetrics>,
    /// `broker`: record timestamp to poll.
    pub broker: RecorderReader,
    /// `decode`: poll to decoded.
    pub decode: RecorderReader,
}

impl FeedMetrics {
    /// All at zero.
    #[must_use]
    pub fn new(group: String, broker: RecorderReader, decode: RecorderReader) -> Self {
        Self {
            group,
            records: Counter::default(),
            bytes: Counter::default(),
            events: Default::default(),
            decode_errors: Default::default(),
            skipped: Counter::default(),
            ring_full: Counter::default(),
            paused: Counter::default(),
            broker_negative: Counter::default(),
            connected: Gauge::default(),
            partitions: OnceLock::new(),
            broker,
            decode,
        }
    }

    /// One partition; `None` before the feed begins.
    #[must_use]
    #[inline]
    pub fn partition(&self, topic: u16, partition: u16) -> Option<&PartitionMetrics> {
        self.partitions.get()?.get(topic, partition)
    }

    /// Adds the counts of a feed that has ended. Its gauges were its own.
    fn absorb(&self, gone: &Self) {
        let add = |to: &Counter, from: &Counter| to.add(from.get());
        for (to, from) in [
            (&self.records, &gone.records),
            (&self.bytes, &gone.bytes),
            (&self.skipped, &gone.skipped),
            (&self.ring_full, &gone.ring_full),
            (&self.paused, &gone.paused),
            (&self.broker_negative, &gone.broker_negative),
        ] {
            add(to, from);
        }
        self.events.iter().zip(&gone.events).for_each(|(to, from)| add(to, from));
        self.decode_errors.iter().zip(&gone.decode_errors).for_each(|(to, from)| add(to, from));
    }
}

/// What a worker counts.
#[derive(Debug)]
pub struct WorkerMetrics {
    /// Which worker.
    pub index: usize,
    /// Its thread, 0 before it runs.
    pub thread: Gauge,
    /// Times that the outbound ring had no room.
    pub egress_full: Counter,
    /// Times that the journal was behind.
    pub journal_full: Counter,
    /// Bytes of the journal; written by its thread.
    pub journal_bytes: Counter,
    /// 1 when the journal could not be written further; written by its thread.
    pub journal_failed: Gauge,
    /// Time spent on events rather than waiting, ns.
    pub busy_ns: Counter,
    /// Breaks in a venue's sequence.
    pub gaps: Counter,
    /// `queue`: routed to taken by the worker.
    pub queue: RecorderReader,
}

impl WorkerMetrics {
    /// All at zero.
    #[must_use]
    pub fn new(index: usize, queue: RecorderReader) -> Self {
        let zero = Counter::default;
        Self {
            index,
            thread: Gauge::default(),
            egress_full: zero(),
            journal_full: zero(),
            journal_bytes: zero(),
            journal_failed: Gauge::default(),
            busy_ns: zero(),
            gaps: zero(),
            queue,
        }
    }

    /// The core that it is bound to now; the kernel frees threads whose cores are taken from them.
    fn core(&self) -> Option<usize> {
        let thread = i32::try_from(self.thread.get()).ok().and_then(Pid::from_raw);
        thread.and_then(|thread| pin::bound(Some(thread)))
    }
}

/// What egress times for one strategy, over all its instances.
#[derive(Debug)]
pub struct SentMetrics {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub strategy: String,
    /// `egress`: approved to handed to the producer.
    pub egress: RecorderReader,
    /// `decision`: poll to handed to the producer.
    pub decision: RecorderReader,
    /// `ack`: handed to the producer to acknowledged.
    pub ack: RecorderReader,
}

/// What is counted for one instance.
#[derive(Debug)]
pub struct StrategyMetrics {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub strategy: String,
    /// Its shard; `None` for what former instances counted.
    pub shard: Option<u16>,
    /// Events that passed while the instance was down.
    pub missed: Counter,
    /// Approved: new orders, modifies, cancels.
    pub orders: [Counter; 3],
    /// Denied, by reason.
    pub denials: [Counter; DenyReason::ALL.len()],
    /// Denials that the guest was not told of.
    pub updates_dropped: Counter,
    /// Faults, by kind.
    pub faults: [Counter; FaultKind::ALL.len()],
    /// Modules swapped in.
    pub swaps: Counter,
    /// Log lines over the rate limit.
    pub log_dropped: Counter,
    /// 0 active, 1 reducing, 2 halted.
    pub trading_state: Gauge,
    /// 1 while quarantined.
    pub quarantined: Gauge,
    /// Linear memory of its guest, as last seen by the worker.
    pub memory_bytes: Gauge,
    /// `strategy`: one callback.
    pub strategy_latency: RecorderReader,
    /// `risk`: the checks of one callback's intents.
    pub risk_latency: RecorderReader,
    /// The strategy's own gauges, as last copied out by the worker.
    pub gauges: Mutex<Vec<(String, f64)>>,
}

impl StrategyMetrics {
    /// All at zero.
    #[must_use]
    pub fn new(tenant: &str, strategy: &str, shard: Option<u16>, call: RecorderReader, risk: RecorderReader) -> Self {
        Self {
            tenant: tenant.to_owned(),
            strategy: strategy.to_owned(),
            shard,
            missed: Counter::default(),
            orders: Default::default(),
            denials: std::array::from_fn(|_| Counter::default()),
            updates_dropped: Counter::default(),
            faults: Default::default(),
            swaps: Counter::default(),
            log_dropped: Counter::default(),
            trading_state: Gauge::default(),
            quarantined: Gauge::default(),
            memory_bytes: Gauge::default(),
            strategy_latency: call,
            risk_latency: risk,
            gauges: Mutex::new(Vec::new()),
        }
    }

    /// Shows what the strategy may do.
    pub fn show_trading_state(&self, state: TradingState) {
        self.trading_state.set(match state {
            TradingState::Active => 0,
            TradingState::Reducing => 1,
            TradingState::Halted => 2,
        });
    }

    /// Adds the counts of an instance that no longer runs. States and gauges were its own.
    pub fn absorb(&self, gone: &Self) {
        let add = |to: &Counter, from: &Counter| to.add(from.get());
        for (to, from) in [
            (&self.missed, &gone.missed),
            (&self.updates_dropped, &gone.updates_dropped),
            (&self.swaps, &gone.swaps),
            (&self.log_dropped, &gone.log_dropped),
        ] {
            add(to, from);
        }
        self.orders.iter().zip(&gone.orders).for_each(|(to, from)| add(to, from));
        self.denials.iter().zip(&gone.denials).for_each(|(to, from)| add(to, from));
        self.faults.iter().zip(&gone.faults).for_each(|(to, from)| add(to, from));
    }
}

/// The names of [`StrategyMetrics::orders`].
pub const ORDER_LABELS: [&str; 3] = ["new", "modify", "cancel"];

/// The stages of the latency definition, in the order of the flow.
pub const STAGES: [&str; 8] = pinion_spec::metrics::LATENCY_STAGES;

/// What a strategy is told to be, beside what it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The consumer group that reads for it.
    pub feed: String,
    /// SHA-256 of its module, in hex.
    pub module: String,
    /// CPU time that one callback may take.
    pub call_budget_ns: u64,
    /// Linear memory that one instance may have.
    pub memory_budget_bytes: i64,
    /// What 99 % of decisions are to take at most.
    pub objective_ns: Option<u64>,
}

/// The reading ends of all that runs. Only the control plane locks it, when something is loaded, unloaded or scraped.
#[derive(Debug, Default)]
pub struct Metrics {
    feeds: Mutex<Vec<Arc<FeedMetrics>>>,
    workers: Mutex<Vec<Arc<WorkerMetrics>>>,
    strategies: Mutex<Vec<Arc<StrategyMetrics>>>,
    shards: Mutex<Vec<Weak<ShardMetrics>>>,
    sent: Mutex<Vec<Arc<SentMetrics>>>,
    /// By tenant and name.
    terms: Mutex<BTreeMap<(String, String), Terms>>,
    ended: Mutex<Ended>,
    assignment: AssignmentMetrics,
    cores_given: OnceLock<u16>,
    started: Started,
}

/// Where workers really run.
#[derive(Debug, PartialEq, Eq)]
pub struct Pinning {
    /// The core of each worker; `None` where it is bound to none, or where it is not its pod's alone.
    pub cores: Vec<Option<usize>>,
    /// Why the cores are not the pod's alone, if they are not. Outside of pods nobody asks.
    pub shared: Option<String>,
}

/// When this was made, wall ns: the process's start.
#[derive(Debug)]
struct Started(u64);

impl Default for Started {
    fn default() -> Self {
        Self(wall_ns())
    }
}

/// What a pod counts of its assignment documents. Its writer holds the lock of the documents.
#[derive(Debug, Default)]
pub struct AssignmentMetrics {
    /// Term of the operator whose document is held.
    pub epoch: Gauge,
    /// That operator's count of changes.
    pub revision: Gauge,
    /// Documents that were refused.
    pub refused: Counter,
    /// End of the lease, monotonic ns; 0 without one.
    pub lease_end_ns: Gauge,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// What is counted of assignment documents.
    #[must_use]
    pub const fn assignment(&self) -> &AssignmentMetrics {
        &self.assignment
    }

    /// Says how many cores this pod is to have for itself, 0 if nobody has told it.
    pub fn give_cores(&self, cores: u16) {
        // Told once, when the pod begins.
        let _ = self.cores_given.set(cores);
    }

    /// Where workers run at this moment. Some system calls and a thread.
    #[must_use]
    pub fn pinning(&self) -> Pinning {
        let given = self.cores_given.get();
        let shared = given.and_then(|given| pin::shared(&pin::granted(), &pin::online(), *given));
        let own = |worker: &Arc<WorkerMetrics>| worker.core().filter(|_| shared.is_none());
        Pinning { cores: self.workers().iter().map(own).collect(), shared }
    }

    /// Shows a feed.
    pub fn add_feed(&self, feed: Arc<FeedMetrics>) {
        locked(&self.feeds).push(feed);
    }

    /// Shows a worker.
    pub fn add_worker(&self, worker: Arc<WorkerMetrics>) {
        locked(&self.workers).push(worker);
    }

    /// Shows what egress times for a strategy.
    pub fn add_sent(&self, sent: Arc<SentMetrics>) {
        locked(&self.sent).push(sent);
    }

    /// Shows what a strategy is told to be, from now on.
    pub fn show_terms(&self, tenant: &str, strategy: &str, terms: Terms) {
        locked(&self.terms).insert((tenant.to_owned(), strategy.to_owned()), terms);
    }

    /// What each strategy is told to be, by tenant and name.
    #[must_use]
    pub fn terms(&self) -> BTreeMap<(String, String), Terms> {
        locked(&self.terms).clone()
    }

    /// Shows an instance.
    pub fn add_strategy(&self, strategy: Arc<StrategyMetrics>) {
        locked(&self.strategies).push(strategy);
    }

    /// Hides a feed that has ended. Its counts stay in the totals.
    pub fn remove_feed(&self, gone: &Arc<FeedMetrics>) {
        let mut feeds = locked(&self.feeds);
        let before = feeds.len();
        feeds.retain(|other| !Arc::ptr_eq(other, gone));
        if feeds.len() < before {
            locked(&self.ended).feed(gone);
        }
    }

    /// Hides an instance that no longer runs. False where it is not shown.
    pub fn remove_instance(&self, gone: &Arc<StrategyMetrics>) -> bool {
        let mut strategies = locked(&self.strategies);
        let before = strategies.len();
        strategies.retain(|other| !Arc::ptr_eq(other, gone));
        strategies.len() < before
    }

    /// Hides a strategy that was unloaded. Its counts stay in the totals.
    pub fn remove_strategy(&self, tenant: &str, strategy: &str) {
        let mut ended = locked(&self.ended);
        let gone = |other: &mut Arc<StrategyMetrics>| (&*other.tenant, &*other.strategy) == (tenant, strategy);
        locked(&self.strategies).extract_if(.., gone).for_each(|gone| ended.strategy(&gone));
        locked(&self.terms).remove(&(tenant.to_owned(), strategy.to_owned()));
        let gone = |other: &mut Arc<SentMetrics>| (&*other.tenant, &*other.strategy) == (tenant, strategy);
        locked(&self.sent).extract_if(.., gone).for_each(|gone| ended.sent(&gone));
    }

    /// What strategies counted that were unloaded, one entry a name.
    #[must_use]
    pub fn ended_strategies(&self) -> Vec<Arc<StrategyMetrics>> {
        locked(&self.ended).strategies().cloned().collect()
    }

    /// What feeds counted that have ended, all together.
    #[must_use]
    pub fn ended_feeds(&self) -> Arc<FeedMetrics> {
        Arc::clone(&locked(&self.ended).feed)
    }

    /// All feeds.
    #[must_use]
    pub fn feeds(&self) -> Vec<Arc<FeedMetrics>> {
        locked(&self.feeds).clone()
    }

    /// All workers.
    #[must_use]
    pub fn workers(&self) -> Vec<Arc<WorkerMetrics>> {
        locked(&self.workers).clone()
    }

    /// What egress times, one entry a strategy.
    #[must_use]
    pub fn sent(&self) -> Vec<Arc<SentMetrics>> {
        locked(&self.sent).clone()
    }

    /// All strategies, one entry an instance and one for its former instances.
    #[must_use]
    pub fn strategies(&self) -> Vec<Arc<StrategyMetrics>> {
        locked(&self.strategies).clone()
    }

    /// One stage, merged over everything since the start or over one strategy that runs. `broker`, `decode` and `queue` belong to feeds and workers, not to a
    /// strategy: `None` for an unknown stage, or for one of these with a strategy.
    #[must_use]
    pub fn latency(&self, stage: &str, strategy: Option<&str>) -> Option<Latency> {
        let mut merged = if strategy.is_none() { locked(&self.ended).latency(stage) } else { Latency::default() };
        let mine = |name: &str| strategy.is_none_or(|wanted| wanted == name);
        let of_calls = |pick: fn(&StrategyMetrics) -> &RecorderReader, merged: &mut Latency| {
            self.strategies().iter().filter(|m| mine(&m.strategy)).for_each(|m| merged.merge(pick(m)));
        };
        let of_sent = |pick: fn(&SentMetrics) -> &RecorderReader, merged: &mut Latency| {
            self.sent().iter().filter(|m| mine(&m.strategy)).for_each(|m| merged.merge(pick(m)));
        };
        match (stage, strategy) {
            ("broker", None) => self.feeds().iter().for_each(|feed| merged.merge(&feed.broker)),
            ("decode", None) => self.feeds().iter().for_each(|feed| merged.merge(&feed.decode)),
            ("queue", None) => self.workers().iter().for_each(|worker| merged.merge(&worker.queue)),
            ("strategy", _) => of_calls(|m| &m.strategy_latency, &mut merged),
            ("risk", _) => of_calls(|m| &m.risk_latency, &mut merged),
            ("egress", _) => of_sent(|m| &m.egress, &mut merged),
            ("decision", _) => of_sent(|m| &m.decision, &mut merged),
            ("ack", _) => of_sent(|m| &m.ack, &mut merged),
            _ => return None,
        }
        Some(merged)
    }
}
