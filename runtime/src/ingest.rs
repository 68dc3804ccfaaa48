//! One feed: a consumer group's reading of its topics in this process. Poll, decode, route; a thread of its own.
//!
//! Promise: every record that is read reaches every worker that is to see it, in the order of its partition, or is counted by
//! the reason why not; a full ring pauses its partitions and drops nothing; a lost broker is waited for.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rdkafka::client::OAuthToken;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};

use pinion_spec::strategy::{AssignmentMode, Start};

use crate::clock::{mono_ns, wall_ns};
use crate::decode::{self, DecodeError, Decoder, Record, TS_RECV_HEADER, ts_recv_of_header};
use crate::egress::DeadLetter;
use crate::event::{Event, Origin, Stamp};
use crate::kafka::{self, ANSWER, AccessError, Callbacks, Kafka, Right, TopicUse};
use crate::limits::{ORDER_OFFSET_BITS, PAUSE_AFTER_NS, RESUME_FREE_EVENTS};
use crate::metrics::{EventKind, FeedMetrics, Recorder};
use crate::offsets::Offsets;
use crate::ring::Waker;
use crate::worker::FeedId;

/// Whether a feed has read to the end of its partitions. Written by ingest, read by workers.
#[derive(Debug, Clone, Default)]
pub struct Quiet(Arc<AtomicBool>);

impl Quiet {
    /// True when nothing more waits to be read.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, quiet: bool) {
        self.0.store(quiet, Ordering::Relaxed);
    }
}

/// One topic of a feed.
pub struct FeedInput {
    /// Topic name.
    pub topic: String,
    /// Its decoder.
    pub decoder: Decoder,
    /// Partitions that a strategy names; `None`: all.
    pub partitions: Option<Vec<u16>>,
    /// Where to start without a committed offset.
    pub start: Start,
    /// Where records that cannot be decoded go.
    pub dead_letter: Option<Arc<str>>,
}

/// One partition, and who is to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the topic in the feed.
    pub topic: u16,
    /// Partition.
    pub partition: u16,
    /// Its workers: bit i is worker i.
    pub workers: u64,
}

/// What came of it.
pub type FeedResult = KafkaResult<()>;

/// What the control plane asks of a feed of static assignment.
pub enum FeedCommand {
    /// Reads these too, each from its committed offset; answered when they are assigned. One that is read already has more workers
    /// from now on.
    Take {
        /// Which.
        places: Vec<Place>,
        /// The answer.
        done: Sender<FeedResult>,
    },
    /// Reads these no more; answered when what was read is in the rings.
    GiveUp {
        /// Which.
        places: Vec<(u16, u16)>,
        /// The answer.
        done: Sender<FeedResult>,
    },
}

/// A worker's end of a feed.
pub struct Target {
    /// The ring.
    pub ring: rtrb::Producer<Event>,
    /// Wakes the worker.
    pub waker: Waker,
}

/// What a feed is made of.
pub struct FeedParts {
    /// Its name in this process.
    pub id: FeedId,
    /// From [`open`].
    pub consumer: Arc<FeedConsumer>,
    /// Its topics; the index is [`Origin::topic`].
    pub inputs: Vec<FeedInput>,
    /// Who decides which partitions are read.
    pub assignment: AssignmentMode,
    /// The workers; the index is the worker's.
    pub targets: Vec<Target>,
    /// What is read from the start: with static assignment these, with a group whatever of these it gives.
    pub places: Vec<Place>,
    /// Changes of what is read.
    pub commands: Receiver<FeedCommand>,
    /// The way to the dead-letter topics.
    pub dead_letters: Sender<DeadLetter>,
    /// Progress.
    pub offsets: Arc<Offsets>,
    /// Counters.
    pub metrics: Arc<FeedMetrics>,
    /// `broker`.
    pub broker: Recorder,
    /// `decode`.
    pub decode: Recorder,
    /// Whether there is more to read.
    pub quiet: Quiet,
    /// What the group's protocol does.
    pub rebalances: Sender<Rebalanced>,
    /// Set to end the feed.
    pub stop: Arc<AtomicBool>,
}

/// The group's protocol gave partitions to this feed or took them from it. Their instances live only in between: while another
/// member reads a partition, what its instance here knows grows old.
#[derive(Debug)]
pub struct Rebalanced {
    /// Which feed.
    pub feed: FeedId,
    /// What happened.
    pub change: Change,
    /// (topic, partition).
    pub partitions: Vec<(u16, u16)>,
    /// Answered when the instances have come to life, or have ended. The feed reads nothing before.
    pub done: Sender<()>,
}

/// See [`Rebalanced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The partitions are about to be read.
    Taken,
    /// All that was read of them is done, as far as it could be, and committed.
    GivenUp,
}

/// The consumer's callbacks: they run inside `poll`, on the ingest thread.
pub struct FeedContext {
    kafka: Kafka,
    callbacks: Callbacks,
    group: String,
    topics: Vec<String>,
    metrics: Arc<FeedMetrics>,
    /// Set before anything is assigned.
    begun: OnceLock<Begun>,
}

/// What the callbacks need of a feed that has begun.
struct Begun {
    id: FeedId,
    offsets: Arc<Offsets>,
    rebalances: Sender<Rebalanced>,
    /// Set when the control plane ends the feed, and its instances itself.
    stop: Arc<AtomicBool>,
    /// Set when partitions came: they come unpaused.
    taken: AtomicBool,
}

impl ClientContext for FeedContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.callbacks.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if kafka::is_unreachable(&error) {
            self.set_connected(false);
        }
        self.callbacks.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.callbacks.generate_oauth_token(config)
    }

    fn stats(&self, statistics: Statistics) {
        let up = statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        self.set_connected(up);
        for (topic, partitions) in &statistics.topics {
            for (partition, figures) in &partitions.partitions {
                let Some((topic, partition)) = self.place(topic, *partition) else { continue };
                // While it is paused nothing is fetched, so the end that the client knows grows old.
                if self.metrics.partition(topic, partition).is_some_and(|partition| partition.paused.get() == 0) {
                    self.show_lag(topic, partition, figures.hi_offset);
                }
            }
        }
    }
}

/// Longest wait for a revoked partition's orders to be acknowledged; below the group protocol's rebalance timeout.
const REVOKE_WAIT: Duration = Duration::from_secs(5);

impl ConsumerContext for FeedContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Some(begun) = self.begun.get() else { return };
        match rebalance {
            // Not before its instances live: a record without one would pass for read.
            Rebalance::Assign(partitions) => {
                self.tell(begun, Change::Taken, self.places(partitions));
                begun.taken.store(true, Ordering::Relaxed);
            }
            Rebalance::Revoke(partitions) => {
                let partitions = self.places(partitions);
                finish(consumer, &begun.offsets, &partitions, REVOKE_WAIT);
                self.tell(begun, Change::GivenUp, partitions);
            }
            Rebalance::Error(_) => {}
        }
    }
}

impl FeedContext {
    /// Whether a broker answers; says so when it changes.
    fn set_connected(&self, connected: bool) {
        let before = self.metrics.connected.get() != 0;
        self.metrics.connected.set(i64::from(connected));
        match (before, connected) {
            (true, false) => tracing::warn!(group = self.group, "no broker answers; reading goes on when one does"),
            (false, true) => tracing::info!(group = self.group, "a broker answers"),
            _ => {}
        }
    }

    /// Shows how far a partition is from the end of its log.
    fn show_lag(&self, topic: u16, partition: u16, end: i64) {
        let done = self.begun.get().and_then(|begun| begun.offsets.committable(topic, partition));
        let lag = match (done, u64::try_from(end)) {
            (Some(done), Ok(end)) => end.saturating_sub(done),
            // Nothing has been read of it, or it is not read any more.
            _ => 0,
        };
        if let Some(partition) = self.metrics.partition(topic, partition) {
            partition.lag_records.set(i64::try_from(lag).unwrap_or(i64::MAX));
        }
    }

    /// Tells the control plane, and waits for it. However long it takes: the group gives this member up in the end, and nothing is
    /// lost.
    fn tell(&self, begun: &Begun, change: Change, partitions: Vec<(u16, u16)>) {
        // Whoever ends the feed holds the app, and would wait for an answer that needs the app.
        if partitions.is_empty() || begun.stop.load(Ordering::Acquire) {
            return;
        }
        tracing::info!(group = self.group, ?change, ?partitions, "partitions shared out anew");
        let (done, answer) = crossbeam_channel::bounded(1);
        if begun.rebalances.send(Rebalanced { feed: begun.id, change, partitions, done }).is_ok() {
            // Fails only when the control plane is gone; then the feed has been told to stop.
            let _ = answer.recv();
        }
    }

    fn places(&self, partitions: &TopicPartitionList) -> Vec<(u16, u16)> {
        partitions.elements().iter().filter_map(|e| self.place(e.topic(), e.partition())).collect()
    }

    fn place(&self, topic: &str, partition: i32) -> Option<(u16, u16)> {
        let topic = self.topics.iter().position(|name| name == topic)?;
        Some((u16::try_from(topic).ok()?, u16::try_from(partition).ok()?))
    }
}

/// Ends the account of partitions: what was read is done and committed before another reads them. What cannot be in time is the
/// other's to read again.
pub(crate) fn finish(consumer: &FeedConsumer, offsets: &Offsets, partitions: &[(u16, u16)], longest: Duration) {
    let until = mono_ns().saturating_add(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX));
    let behind = |(topic, partition): &(u16, u16)| !offsets.is_covered(*topic, *partition);
    while partitions.iter().any(behind) && mono_ns() < until {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    if let Err(error) = commit(consumer, CommitMode::Sync) {
        let group = &consumer.context().group;
        tracing::warn!(group, %error, "cannot commit before giving partitions up; their records will be read again");
    }
    for (topic, partition) in partitions {
        offsets.end(*topic, *partition);
    }
}

/// A feed's consumer, shared with whoever commits.
pub type FeedConsumer = BaseConsumer<FeedContext>;

/// Commits what may be committed and has moved, without waiting. One that fails unseen is made good by the next.
///
/// # Errors
/// What librdkafka says.
pub fn commit_moved(consumer: &FeedConsumer) -> KafkaResult<()> {
    commit(consumer, CommitMode::Async)
}

/// Commits all that may be committed, and waits for the broker's answer.
///
/// # Errors
/// What librdkafka says.
pub fn commit_all(consumer: &FeedConsumer) -> KafkaResult<()> {
    commit(consumer, CommitMode::Sync)
}

fn commit(consumer: &FeedConsumer, mode: CommitMode) -> KafkaResult<()> {
    let context = consumer.context();
    let Some(begun) = context.begun.get() else { return Ok(()) };
    let mut list = TopicPartitionList::new();
    let all = matches!(mode, CommitMode::Sync);
    for (topic, partition, next) in begun.offsets.to_commit(all) {
        if let (Some(name), Ok(next)) = (context.topics.get(usize::from(topic)), i64::try_from(next)) {
            list.add_partition_offset(name, i32::from(partition), Offset::Offset(next))?;
        }
    }
    if list.count() == 0 {
        return Ok(());
    }
    consumer.commit(&list, mode)
}

/// How long the end of one log is waited for.
const END_MAX: Duration = Duration::from_millis(500);

/// Asks where the logs of paused partitions end. Blocks: one round trip for each.
pub fn look_at_paused(consumer: &FeedConsumer) {
    let context = consumer.context();
    for (index, topic) in (0_u16..).zip(&context.topics) {
        for partition in 0_u16.. {
            let Some(figures) = context.metrics.partition(index, partition) else { break };
            if figures.paused.get() == 0 {
                continue;
            }
            // Without an answer what was last known stands; that no broker answers is said elsewhere.
            let Ok((_, end)) = consumer.fetch_watermarks(topic, i32::from(partition), END_MAX) else { return };
            context.show_lag(index, partition, end);
        }
    }
}

/// Why a feed cannot start.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The cluster cannot be used: no answer, no entry, or a right that is lacking.
    #[error("asking the brokers {brokers} for the topics of group {group}")]
    Kafka {
        /// The brokers, as given.
        brokers: String,
        /// The group.
        group: String,
        /// Why.
        source: Box<AccessError>,
    },
    /// A topic or partition of the strategy file is not there.
    #[error("topic {topic} {problem}")]
    Topic {
        /// Which topic.
        topic: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The ingest thread's state.
pub struct Ingest {
    id: FeedId,
    consumer: Arc<FeedConsumer>,
    inputs: Vec<FeedInput>,
    assignment: AssignmentMode,
    lanes: Vec<Lane>,
    /// Workers by topic and partition, as bits.
    routes: Vec<Vec<u64>>,
    commands: Receiver<FeedCommand>,
    /// Answers that wait until the overflow is in the rings.
    given_up: Vec<Sender<FeedResult>>,
    dead_letters: Sender<DeadLetter>,
    offsets: Arc<Offsets>,
    metrics: Arc<FeedMetrics>,
    broker: Recorder,
    decode: Recorder,
    quiet: Quiet,
    stop: Arc<AtomicBool>,
    scratch: Vec<Event>,
}

struct Lane {
    target: Target,
    /// What the ring had no room for: the rest of one record, and of those that were under way when the pause was asked for.
    overflow: VecDeque<Event>,
    full_since_ns: u64,
    paused: bool,
}

/// How the rings stand.
enum Pressure {
    /// All have room.
    None,
    /// One is full, perhaps only for a moment.
    Burst,
    /// One stays full: its partitions are paused, the others go on.
    Paused,
}

/// How long one poll waits: how late a stop is noticed on a quiet stream.
const POLL: Duration = Duration::from_millis(20);
/// The same while partitions are paused: how late room in a ring is noticed.
const RELIEVED_POLL: Duration = Duration::from_millis(1);
/// How long a passing burst is given before the next look.
const BURST_WAIT: Duration = Duration::from_micros(50);
/// Makes a feed's consumer, and says how many partitions each of its topics has. Blocks while it asks the broker, also whether
/// `outputs` are there and may be written to: an order for a topic that is not there would be refused half a minute after it was
/// decided.
///
/// # Errors
/// A missing topic or partition; no broker, no entry, or a right that is lacking.
pub fn open(
    kafka: &Kafka,
    group: &str,
    inputs: &[FeedInput],
    outputs: &BTreeSet<&str>,
    metrics: &Arc<FeedMetrics>,
) -> Result<(Arc<FeedConsumer>, Vec<usize>), FeedError> {
    let failed = |source| FeedError::Kafka {
        brokers: kafka.brokers().to_owned(),
        group: group.to_owned(),
        source: Box::new(source),
    };
    let mut config = kafka.consumer(group);
    config.set("statistics.interval.ms", "1000");
    let earliest = inputs.first().is_none_or(|input| input.start == Start::Earliest);
    config.set("auto.offset.reset", if earliest { "earliest" } else { "latest" });
    let context = FeedContext {
        kafka: kafka.clone(),
        callbacks: kafka.callbacks("ingest"),
        group: group.to_owned(),
        topics: inputs.iter().map(|input| input.topic.clone()).collect(),
        metrics: Arc::clone(metrics),
        begun: OnceLock::new(),
    };
    let consumer: FeedConsumer =
        config.create_with_context(context).map_err(|error| failed(kafka.settings_error(&error)))?;
    let callbacks = &consumer.context().callbacks;
    // Nothing is assigned yet: a poll returns no record.
    let partitions =
        |topic| kafka.partitions(consumer.client(), callbacks, topic, |time| drop(consumer.poll(time))).map_err(failed);
    let mut counts = Vec::with_capacity(inputs.len());
    for input in inputs {
        let count = partitions((&input.topic, TopicUse::Read))?;
        let problem = |problem| Err(FeedError::Topic { topic: input.topic.clone(), problem });
        if count == 0 {
            return problem("does not exist on this cluster; create it or correct `topic`".to_owned());
        }
        if let Some(last) = input.partitions.iter().flatten().max().filter(|last| usize::from(**last) >= count) {
            return problem(format!("has partitions 0 to {}, not {last}", count - 1));
        }
        counts.push(count);
    }
    if let Some(input) = inputs.first() {
        kafka.check_group(&consumer, callbacks, (group, &input.topic)).map_err(failed)?;
    }
    for topic in outputs {
        // Who may not write a topic is not told of it either.
        if partitions((topic, TopicUse::Write))? == 0 {
            let problem = "does not exist on this cluster; create it or correct `outputs`".to_owned();
            return Err(FeedError::Topic { topic: (*topic).to_owned(), problem });
        }
    }
    metrics.connected.set(1);
    Ok((Arc::new(consumer), counts))
}

impl Ingest {
    /// On the thread that will run it.
    #[must_use]
    pub fn new(parts: FeedParts) -> Self {
        let begun = Begun {
            id: parts.id,
            offsets: Arc::clone(&parts.offsets),
            rebalances: parts.rebalances,
            stop: Arc::clone(&parts.stop),
            taken: AtomicBool::new(false),
        };
        // A second feed on one consumer would be a mistake of ours; the first stays.
        let _ = parts.consumer.context().begun.set(begun);
        let mut routes: Vec<Vec<u64>> =
            (0..parts.inputs.len()).map(|topic| vec![0; parts.offsets.partitions(topic)]).collect();
        parts.places.iter().for_each(|place| *route_of(&mut routes, place.topic, place.partition) |= place.workers);
        Self {
            id: parts.id,
            routes,
            commands: parts.commands,
            given_up: Vec::new(),
            consumer: parts.consumer,
            inputs: parts.inputs,
            assignment: parts.assignment,
            lanes: parts
                .targets
                .into_iter()
                .map(|target| Lane { target, overflow: VecDeque::new(), full_since_ns: 0, paused: false })
                .collect(),
            dead_letters: parts.dead_letters,
            offsets: parts.offsets,
            metrics: parts.metrics,
            broker: parts.broker,
            decode: parts.decode,
            quiet: parts.quiet,
            stop: parts.stop,
            scratch: Vec::with_capacity(1024),
        }
    }

    /// Reads until it is stopped. What has been read by then is in the rings.
    pub fn run(mut self) {
        let mut backoff = Duration::from_millis(50);
        while let Err(error) = self.begin() {
            if self.stopped() {
                return;
            }
            self.metrics.connected.set(0);
            tracing::warn!(group = self.metrics.group, %error, "cannot begin reading; trying again");
            // Polled, not slept: without a fresh token it would never begin. Nothing is assigned, so nothing is missed.
            let until = mono_ns() + u64::try_from(backoff.as_nanos()).unwrap_or(u64::MAX);
            while mono_ns() < until {
                drop(self.consumer.poll(POLL));
            }
            backoff = (backoff * 2).min(Duration::from_secs(2));
        }
        let consumer = Arc::clone(&self.consumer);
        while !self.stopped() {
            while let Ok(command) = self.commands.try_recv() {
                self.obey(&consumer, command);
            }
            let wait = match self.relieve(&consumer) {
                Pressure::None => POLL,
                Pressure::Paused => RELIEVED_POLL,
                Pressure::Burst => {
                    std::thread::park_timeout(BURST_WAIT);
                    continue;
                }
            };
            match consumer.poll(wait) {
                None => {}
                // A poll may have waited for the control plane to share partitions out, and that may have ended meanwhile.
                Some(Ok(_)) if self.stopped() => break,
                Some(Ok(message)) => self.take(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => self.quiet.set(true),
                Some(Err(error)) => self.failed(&error),
            }
        }
        // What is left of the last record still goes to its worker: a drained runtime has no half-read record.
        while !self.flush() {
            std::thread::yield_now();
        }
    }

    /// A poll that failed. The client goes on trying, whatever it is.
    fn failed(&self, error: &KafkaError) {
        // Silence says nothing now.
        self.quiet.set(false);
        let (group, context) = (&self.metrics.group, self.consumer.context());
        if kafka::is_unreachable(error) {
            return context.set_connected(false);
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                let (topics, user) = (context.topics.join(", "), context.kafka.principal());
                tracing::error!(group, topics, user, "one of the topics may not be read; grant the user Read on it");
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                let forbidden = context.kafka.forbidden(Right::Group(group.clone()));
                tracing::error!(group, error = %forbidden, "the group may not be used");
            }
            _ => tracing::warn!(group, %error, "reading failed; the client goes on trying"),
        }
    }

    /// Moves overflow on, pauses the partitions of a worker that stays behind, resumes those of one that has caught up.
    fn relieve(&mut self, consumer: &FeedConsumer) -> Pressure {
        let flushed = self.flush();
        if flushed {
            self.given_up.drain(..).for_each(|done| drop(done.send(Ok(()))));
        }
        if flushed && self.lanes.iter().all(|lane| !lane.paused) {
            return Pressure::None;
        }
        let now = mono_ns();
        let begun = consumer.context().begun.get();
        if begun.is_some_and(|begun| begun.taken.swap(false, Ordering::Relaxed)) {
            // Those of a worker that is behind are paused below with the rest.
            self.forget_pauses();
        }
        let mut pressure = Pressure::Paused;
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let pause = match (lane.overflow.is_empty(), lane.paused) {
                (false, false) if now - lane.full_since_ns >= PAUSE_AFTER_NS => true,
                (false, false) => {
                    pressure = Pressure::Burst;
                    continue;
                }
                (true, true) if lane.target.ring.slots() >= RESUME_FREE_EVENTS => false,
                _ => continue,
            };
            match self.set_paused(consumer, index, pause) {
                Ok(partitions) if pause => self.metrics.paused.add(partitions),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(group = self.metrics.group, %error, pause, "cannot pause or resume partitions")
                }
            }
            self.lanes[index].paused = pause;
        }
        pressure
    }

    /// Pauses or resumes every partition that goes to a worker; how many.
    fn set_paused(&self, consumer: &FeedConsumer, lane: usize, pause: bool) -> KafkaResult<u64> {
        let mut list = TopicPartitionList::new();
        for element in consumer.assignment()?.elements() {
            let place = consumer.context().place(element.topic(), element.partition());
            let Some((topic, partition)) = place else { continue };
            if self.workers_of(topic, partition) & (1 << lane) != 0 {
                list.add_partition(element.topic(), element.partition());
                if let Some(figures) = self.metrics.partition(topic, partition) {
                    figures.paused.set(i64::from(pause));
                }
            }
        }
        if pause {
            consumer.pause(&list)?
        } else {
            consumer.resume(&list)?
        }
        Ok(list.count() as u64)
    }

    fn forget_pauses(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.paused = false);
        if let Some(partitions) = self.metrics.partitions.get() {
            partitions.all().for_each(|partition| partition.paused.set(0));
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Assigns the partitions, each at an explicit offset (a logical one costs half a second), or joins the group.
    fn begin(&self) -> KafkaResult<()> {
        if self.assignment == AssignmentMode::Group {
            let topics: Vec<&str> = self.inputs.iter().map(|input| input.topic.as_str()).collect();
            return self.consumer.subscribe(&topics);
        }
        let topics = (0_u16..).zip(&self.routes);
        let read: Vec<(u16, u16)> = topics
            .flat_map(|(topic, partitions)| {
                let read = (0_u16..).zip(partitions).filter(|(_, workers)| **workers != 0);
                read.map(move |(partition, _)| (topic, partition))
            })
            .collect();
        self.consumer.assign(&self.starts(&read)?)
    }

    fn list(&self, places: &[(u16, u16)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in places {
            list.add_partition(&self.inputs[usize::from(*topic)].topic, i32::from(*partition));
        }
        list
    }

    /// These partitions, each at the offset where reading starts.
    fn starts(&self, places: &[(u16, u16)]) -> KafkaResult<TopicPartitionList> {
        let committed = self.consumer.committed_offsets(self.list(places), ANSWER)?;
        let mut assigned = TopicPartitionList::new();
        for element in committed.elements() {
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => {
                    let (low, high) = self.consumer.fetch_watermarks(element.topic(), element.partition(), ANSWER)?;
                    let start =
                        self.inputs.iter().find(|input| input.topic == element.topic()).map(|input| input.start);
                    if start == Some(Start::Earliest) { low } else { high }
                }
            };
            assigned.add_partition_offset(element.topic(), element.partition(), Offset::Offset(offset))?;
            tracing::info!(topic = element.topic(), partition = element.partition(), offset, "reading from");
        }
        Ok(assigned)
    }

    fn obey(&mut self, consumer: &FeedConsumer, command: FeedCommand) {
        match command {
            FeedCommand::Take { places, done } => {
                let unread = places.iter().filter(|place| self.workers_of(place.topic, place.partition) == 0);
                let unread: Vec<_> = unread.map(|place| (place.topic, place.partition)).collect();
                let taken = self.starts(&unread).and_then(|starts| consumer.incremental_assign(&starts));
                if taken.is_ok() {
                    for place in places {
                        *route_of(&mut self.routes, place.topic, place.partition) |= place.workers;
                    }
                    // They come unpaused; those of a worker that is behind are paused again with the rest.
                    self.forget_pauses();
                }
                // Fails only when whoever asked has gone.
                let _ = done.send(taken);
            }
            FeedCommand::GiveUp { places, done } => match consumer.incremental_unassign(&self.list(&places)) {
                Ok(()) => {
                    for (topic, partition) in places {
                        *route_of(&mut self.routes, topic, partition) = 0;
                        if let Some(figures) = self.metrics.partition(topic, partition) {
                            figures.paused.set(0);
                            figures.lag_records.set(0);
                        }
                    }
                    self.given_up.push(done);
                }
                refused => drop(done.send(refused)),
            },
        }
    }

    fn workers_of(&self, topic: u16, partition: u16) -> u64 {
        let partitions = self.routes.get(usize::from(topic));
        partitions.and_then(|partitions| partitions.get(usize::from(partition))).copied().unwrap_or_default()
    }

    /// One record.
    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let polled_ns = mono_ns();
        self.quiet.set(false);
        let Some(origin) = self.origin(message) else { return };
        self.metrics.records.add(1);
        let value = message.payload().unwrap_or_default();
        self.metrics.bytes.add(value.len() as u64);
        let kafka_ms = kafka_ms(message);
        if let Some(partition) = self.metrics.partition(origin.topic, origin.partition) {
            partition.last_kafka_ms.set(i64::try_from(kafka_ms).unwrap_or(0));
        }
        let kafka_ns = kafka_ms.saturating_mul(1_000_000);
        if kafka_ns > 0 {
            match wall_ns().checked_sub(kafka_ns) {
                Some(ns) => self.broker.record(ns),
                None => self.metrics.broker_negative.add(1),
            }
        }
        let ts_recv = ts_recv_header(message).unwrap_or(kafka_ns);
        let record = Record { value, key: message.key(), ts_recv };
        self.scratch.clear();
        let outcome = self.inputs[usize::from(origin.topic)].decoder.decode(&record, &mut self.scratch);
        let ts_recv = match outcome {
            Ok(outcome) => {
                self.metrics.skipped.add(outcome.skipped.map_or(0, |(_, count)| u64::from(count)));
                ts_recv
            }
            Err(error) => {
                self.reject(message, origin, &error);
                0
            }
        };
        if self.scratch.is_empty() {
            self.scratch.push(decode::nothing(ts_recv));
        }
        let routed_ns = mono_ns();
        self.decode.record(routed_ns - polled_ns);
        let stamp = Stamp { polled_ns, routed_ns };
        for event in &mut self.scratch {
            event.origin = origin;
            event.stamp = stamp;
            if let Some(kind) = EventKind::of(event) {
                self.metrics.events[kind as usize].add(1);
            }
        }
        self.route(origin);
    }

    fn origin(&self, message: &BorrowedMessage<'_>) -> Option<Origin> {
        let topic = self.inputs.iter().position(|input| input.topic == message.topic());
        let origin = Origin {
            topic: u16::try_from(topic?).ok()?,
            partition: u16::try_from(message.partition()).ok()?,
            offset: u64::try_from(message.offset()).ok()?,
        };
        // Order ids could no longer be exact: stop here rather than send two orders under one id.
        assert!(
            origin.offset < 1 << ORDER_OFFSET_BITS,
            "offset {} of {} is beyond what order ids hold",
            origin.offset,
            message.topic()
        );
        Some(origin)
    }

    #[cold]
    fn reject(&mut self, message: &BorrowedMessage<'_>, origin: Origin, error: &DecodeError) {
        self.metrics.decode_errors[error.reason_index()].add(1);
        let input = &self.inputs[usize::from(origin.topic)];
        let Some(to_topic) = &input.dead_letter else { return };
        let letter = DeadLetter {
            feed: self.id,
            origin,
            from_topic: input.topic.clone(),
            to_topic: Arc::clone(to_topic),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            reason: error.reason(),
            detail: error.to_string(),
        };
        // Bounded: a flood of bad records waits here for egress. Fails only when egress is gone.
        let _ = self.dead_letters.send(letter);
    }

    /// Puts the record's events into the rings of the workers that are to see them.
    fn route(&mut self, origin: Origin) {
        let workers = self.workers_of(origin.topic, origin.partition);
        let to = |lane: usize| workers & (1 << lane) != 0;
        self.offsets.begin(origin, (0..self.lanes.len()).filter(|lane| to(*lane)));
        let mut whole = true;
        for (_, lane) in self.lanes.iter_mut().enumerate().filter(|(index, _)| to(*index)) {
            for event in &self.scratch {
                if !lane.overflow.is_empty() || lane.target.ring.push(*event).is_err() {
                    lane.overflow.push_back(*event);
                }
            }
            lane.target.waker.wake();
            if !lane.overflow.is_empty() {
                whole = false;
                self.metrics.ring_full.add(1);
                lane.full_since_ns = mono_ns();
            }
        }
        if whole {
            // Only now: a partition that is given up waits for all that is in a ring, and for no more.
            self.offsets.read(origin);
        }
    }

    /// Moves overflow into its ring. False while some is left.
    fn flush(&mut self) -> bool {
        let mut flushed = true;
        for lane in &mut self.lanes {
            while let Some(event) = lane.overflow.front() {
                if lane.target.ring.push(*event).is_err() {
                    break;
                }
                lane.overflow.pop_front();
            }
            lane.target.waker.wake();
            flushed &= lane.overflow.is_empty();
        }
        flushed
    }
}

/// A partition's workers. Topics and partitions come from metadata, so they are in range.
fn route_of(routes: &mut [Vec<u64>], topic: u16, partition: u16) -> &mut u64 {
    &mut routes[usize::from(topic)][usize::from(partition)]
}

/// When a record was captured, wall ns: what its header says, else Kafka's time.
pub(crate) fn ts_recv(message: &impl Message) -> u64 {
    ts_recv_header(message).unwrap_or_else(|| kafka_ms(message).saturating_mul(1_000_000))
}

fn kafka_ms(message: &impl Message) -> u64 {
    match message.timestamp() {
        Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => u64::try_from(ms).unwrap_or(0),
        Timestamp::NotAvailable => 0,
    }
}

fn ts_recv_header(message: &impl Message) -> Option<u64> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == TS_RECV_HEADER)?;
    ts_recv_of_header(header.value?)
}
