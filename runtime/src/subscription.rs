//! A feed's subscription: which partitions are read here and from where, the group's protocol, and what the client has to tell besides
//! records. A thread of its own, which may wait for the broker; the records go past it, to [`crate::ingest`].
//!
//! Promise: nobody reads a partition whose instances do not live; one that is given up is finished and committed first, as far as
//! it can be in time; a lost broker is waited for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::client::OAuthToken;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};

use pinion_spec::strategy::{AssignmentMode, Start};

use crate::clock::mono_ns;
use crate::ingest::{FeedInput, Place, Quiet, ReaderCommand};
use crate::kafka::batches::Records;
use crate::kafka::{self, ANSWER, AccessError, Callbacks, Kafka, Right, TopicUse};
use crate::metrics::FeedMetrics;
use crate::offsets::Offsets;
use crate::ring::Waker;
use crate::worker::FeedId;

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

/// The way to who takes the feed's records.
#[derive(Clone)]
pub struct Reader {
    /// What it is asked.
    pub commands: Sender<ReaderCommand>,
    /// Wakes it.
    pub waker: Waker,
}

impl Reader {
    fn tell(&self, command: ReaderCommand) {
        // Fails only when it has ended, and then it reads nothing.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    /// Waits until it has done so, between two batches; not where it has ended.
    fn ask(&self, command: impl FnOnce(Sender<()>) -> ReaderCommand) {
        let (done, answer) = crossbeam_channel::bounded(1);
        self.tell(command(done));
        let _ = answer.recv();
    }
}

/// What a subscription is made of.
pub struct SubscriptionParts {
    /// Its feed's name in this process.
    pub id: FeedId,
    /// From [`open`].
    pub consumer: Arc<FeedConsumer>,
    /// Where its records go.
    pub records: Records<FeedContext>,
    /// Its topics, and where each starts without a committed offset.
    pub topics: Vec<(String, Start)>,
    /// Who decides which partitions are read.
    pub assignment: AssignmentMode,
    /// What is read from the start: with static assignment these, with a group whatever of these it gives.
    pub places: Vec<Place>,
    /// Changes of what is read.
    pub commands: Receiver<FeedCommand>,
    /// Who takes the records.
    pub reader: Reader,
    /// Whether there is more to read.
    pub quiet: Quiet,
    /// Progress.
    pub offsets: Arc<Offsets>,
    /// Counters.
    pub metrics: Arc<FeedMetrics>,
    /// What the group's protocol does.
    pub rebalances: Sender<Rebalanced>,
    /// Set to end it.
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

/// The consumer's callbacks: they run inside `poll`, on the subscription's thread.
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
    reader: Reader,
    quiet: Quiet,
    /// Set when the control plane ends the feed, and its instances itself.
    stop: Arc<AtomicBool>,
    /// Set when partitions came.
    came: AtomicBool,
}

impl ClientContext for FeedContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.callbacks.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if kafka::is_unreachable(&error) {
            self.unquiet();
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
                // Of one that is behind, see `look_at_ends`.
                if self.metrics.partition(topic, partition).is_some_and(|partition| partition.lag_records.get() == 0) {
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
            }
            Rebalance::Revoke(partitions) => {
                let partitions = self.places(partitions);
                // The client has paused them. What was taken of them before is with its workers after this.
                begun.reader.ask(ReaderCommand::Settle);
                finish(consumer, &begun.offsets, &partitions, REVOKE_WAIT);
                self.tell(begun, Change::GivenUp, partitions);
            }
            Rebalance::Error(_) => {}
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let (Some(begun), Rebalance::Assign(_)) = (self.begun.get(), rebalance) {
            begun.came.store(true, Ordering::Release);
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

    /// Silence says nothing now.
    fn unquiet(&self) {
        if let Some(begun) = self.begun.get() {
            begun.quiet.set(false);
        }
    }

    /// True once after partitions have come: whatever was paused of the feed may have to be again.
    pub(crate) fn have_come(&self) -> bool {
        let begun = self.begun.get();
        begun.is_some_and(|begun| begun.came.load(Ordering::Relaxed) && begun.came.swap(false, Ordering::Acquire))
    }

    /// Reading that failed. The client goes on trying, whatever it is.
    pub(crate) fn failed(&self, error: &KafkaError) {
        self.unquiet();
        let group = &self.group;
        if kafka::is_unreachable(error) {
            return self.set_connected(false);
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                let (topics, user) = (self.topics.join(", "), self.kafka.principal());
                tracing::error!(group, topics, user, "one of the topics may not be read; grant the user Read on it");
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                let forbidden = self.kafka.forbidden(Right::Group(group.clone()));
                tracing::error!(group, error = %forbidden, "the group may not be used");
            }
            _ => tracing::warn!(group, %error, "reading failed; the client goes on trying"),
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
            // Ends without an answer when the control plane is gone, or ends the feed: then it does not answer any more.
            while answer.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) && !begun.stop.load(Ordering::Acquire) {}
        }
    }

    fn places(&self, partitions: &TopicPartitionList) -> Vec<(u16, u16)> {
        partitions.elements().iter().filter_map(|e| self.place(e.topic(), e.partition())).collect()
    }

    pub(crate) fn place(&self, topic: &str, partition: i32) -> Option<(u16, u16)> {
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

/// Asks where the logs of partitions end that are behind. Blocks: one round trip for each. While a partition is paused, or as much has been
/// fetched as the client may hold, nothing more is fetched, and the end that the client knows grows old.
pub fn look_at_ends(consumer: &FeedConsumer) {
    let context = consumer.context();
    for (index, topic) in (0_u16..).zip(&context.topics) {
        for partition in 0_u16.. {
            let Some(figures) = context.metrics.partition(index, partition) else { break };
            if figures.lag_records.get() == 0 && figures.paused.get() == 0 {
                continue;
            }
            // Without an answer what was last known stands; that no broker answers is said elsewhere.
            match consumer.fetch_watermarks(topic, i32::from(partition), END_MAX) {
                Ok((_, end)) => context.show_lag(index, partition, end),
                Err(error) if kafka::is_unreachable(&error) => return,
                Err(_) => {}
            }
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

/// How often partitions are led to their queue again: how long one that comes back may keep its records at most.
const LEAD_NS: u64 = 200_000_000;
/// How long one poll of the client waits: how late a command is noticed.
const POLL: Duration = Duration::from_millis(100);

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

/// The thread's state.
pub struct Subscription {
    consumer: Arc<FeedConsumer>,
    records: Records<FeedContext>,
    topics: Vec<(String, Start)>,
    assignment: AssignmentMode,
    /// What is assigned, or with a group may be: (topic, partition).
    read: BTreeSet<(u16, u16)>,
    commands: Receiver<FeedCommand>,
    reader: Reader,
    metrics: Arc<FeedMetrics>,
    stop: Arc<AtomicBool>,
}

impl Subscription {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(parts: SubscriptionParts) -> Self {
        let begun = Begun {
            id: parts.id,
            offsets: parts.offsets,
            rebalances: parts.rebalances,
            reader: parts.reader.clone(),
            quiet: parts.quiet,
            stop: Arc::clone(&parts.stop),
            came: AtomicBool::new(false),
        };
        // A second feed on one consumer would be a mistake of ours; the first stays.
        let _ = parts.consumer.context().begun.set(begun);
        Self {
            consumer: parts.consumer,
            records: parts.records,
            topics: parts.topics,
            assignment: parts.assignment,
            read: parts.places.iter().map(|place| (place.topic, place.partition)).collect(),
            commands: parts.commands,
            reader: parts.reader,
            metrics: parts.metrics,
            stop: parts.stop,
        }
    }

    /// Begins, and serves the client until it is stopped.
    pub fn run(mut self) {
        // Before anything is assigned: what the client would hand over itself could be overtaken.
        self.lead();
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
        let mut lead_due_ns = 0;
        while !self.stopped() {
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            match self.consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => self.expect_unknown(&message),
                Some(Err(error)) => self.consumer.context().failed(&error),
            }
            let now = mono_ns();
            if now >= lead_due_ns {
                lead_due_ns = now + LEAD_NS;
                self.lead();
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Leads the partitions to where their records are taken. One that was given up and is read again has to be led again, and nobody says
    /// when the client has done giving it up.
    fn lead(&self) {
        for (topic, partition) in &self.read {
            self.records.lead(&self.topics[usize::from(*topic)].0, i32::from(*partition));
        }
    }

    /// A record that the client handed over itself: the group gave a partition that the topic did not have when the feed was opened. It
    /// has no instance; it is read once the strategy is loaded anew, from where its group has committed, which is its beginning.
    fn expect_unknown(&self, message: &impl Message) {
        let (topic, partition) = (message.topic(), message.partition());
        let known = self.consumer.context().place(topic, partition).is_some_and(|place| self.read.contains(&place));
        // It could have been overtaken: begin again at the last commit rather than lose it.
        assert!(!known, "offset {} of {topic}/{partition} came past its queue", message.offset());
        tracing::warn!(topic, partition, "not read: the partition is newer than the strategy; restart or redeploy it");
        let mut gone = TopicPartitionList::new();
        gone.add_partition(topic, partition);
        if let Err(error) = self.consumer.pause(&gone) {
            tracing::warn!(topic, partition, %error, "cannot pause it");
        }
    }

    /// Assigns the partitions, each at an explicit offset (a logical one costs half a second), or joins the group.
    fn begin(&self) -> KafkaResult<()> {
        if self.assignment == AssignmentMode::Group {
            let topics: Vec<&str> = self.topics.iter().map(|(topic, _)| topic.as_str()).collect();
            return self.consumer.subscribe(&topics);
        }
        let read: Vec<(u16, u16)> = self.read.iter().copied().collect();
        self.consumer.assign(&self.starts(&read)?)
    }

    fn list(&self, places: &[(u16, u16)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in places {
            list.add_partition(&self.topics[usize::from(*topic)].0, i32::from(*partition));
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
                    let start = self.topics.iter().find(|(topic, _)| topic == element.topic()).map(|(_, start)| *start);
                    if start == Some(Start::Earliest) { low } else { high }
                }
            };
            assigned.add_partition_offset(element.topic(), element.partition(), Offset::Offset(offset))?;
            tracing::info!(topic = element.topic(), partition = element.partition(), offset, "reading from");
        }
        Ok(assigned)
    }

    fn obey(&mut self, command: FeedCommand) {
        match command {
            FeedCommand::Take { places, done } => {
                let unread = places.iter().map(|place| (place.topic, place.partition));
                let unread: Vec<_> = unread.filter(|place| !self.read.contains(place)).collect();
                let taken = self.take(places, &unread);
                if taken.is_ok() {
                    self.read.extend(unread);
                }
                // Fails only when whoever asked has gone.
                let _ = done.send(taken);
            }
            FeedCommand::GiveUp { places, done } => match self.consumer.incremental_unassign(&self.list(&places)) {
                Ok(()) => {
                    for (topic, partition) in &places {
                        self.read.remove(&(*topic, *partition));
                        if let Some(figures) = self.metrics.partition(*topic, *partition) {
                            figures.paused.set(0);
                            figures.lag_records.set(0);
                        }
                    }
                    self.reader.tell(ReaderCommand::GiveUp { places, done });
                }
                refused => drop(done.send(refused)),
            },
        }
    }

    fn take(&self, places: Vec<Place>, unread: &[(u16, u16)]) -> FeedResult {
        let starts = self.starts(unread)?;
        for (topic, partition) in unread {
            self.records.lead(&self.topics[usize::from(*topic)].0, i32::from(*partition));
        }
        // Before their first record can come.
        self.reader.ask(|done| ReaderCommand::Take { places, done });
        self.consumer.incremental_assign(&starts)?;
        if let Some(begun) = self.consumer.context().begun.get() {
            begun.came.store(true, Ordering::Release);
        }
        Ok(())
    }
}
