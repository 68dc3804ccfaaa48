//! From a worker's approved orders to acknowledged Kafka records, and from acknowledgements to the offsets that may be committed.
//!
//! Promise: orders leave in the order in which their worker decided them; the offset of an input record is offered for
//! commit only when everything that it and all records before it caused has been acknowledged. What Kafka refuses for good is
//! counted and told to the control plane, and its offset is never offered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::clock::mono_ns;
use crate::duty::{Duty, Turned};
use crate::event::{Origin, Stamp};
use crate::fence::Fence;
use crate::instruments::Instruments;
use crate::kafka::queue::Queue;
use crate::kafka::{AccessError, Callbacks, Kafka};
use crate::limits::{
    ACK_NS_MAX, IDLE_NS_MAX, OUTBOUND_RING, PARK_NS_MAX, UNACKNOWLEDGED_BYTES_MAX, UNACKNOWLEDGED_RECORDS_MAX,
};
use crate::metrics::{Counter, Recorder, WorkerMetrics};
use crate::offsets::Offsets;
use crate::ring::Waker;
use crate::risk::{Denial, Order};
use crate::wire::{self, Provenance};
use crate::worker::FeedId;

/// Where one strategy's orders go and what is stamped on them. A swap makes a new one: it names the module.
#[derive(Debug)]
pub struct OrderRoute {
    /// Index of the strategy in this process.
    pub strategy_index: usize,
    /// The feed that it reads.
    pub feed: FeedId,
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub strategy: String,
    /// Digest of the module that decides.
    pub module_digest: String,
    /// Topic of approved orders.
    pub orders_topic: String,
    /// How they are written.
    pub encoding: pinion_spec::strategy::OrderEncoding,
    /// Topic of denials, if wanted.
    pub denials_topic: Option<String>,
    /// Names of the feed's topics, by index.
    pub input_topics: Arc<[String]>,
    /// Symbols and exponents.
    pub instruments: Arc<Instruments>,
    /// `ClientOrderId`s are made with it.
    pub identity: OrderIdentity,
}

/// What turns a guest's order id into the id that venues see.
#[derive(Debug, Clone)]
pub struct OrderIdentity {
    /// [`pinion_spec::ids::ClientOrderId::strategy_hash`].
    pub strategy: u32,
    /// (topic hash, partition) by source.
    pub sources: Arc<[(u16, u16)]>,
}

/// What workers hand over.
#[derive(Debug)]
pub enum Outbound {
    /// An approved order.
    Order {
        /// The order.
        order: Order,
        /// Where it goes.
        route: Arc<OrderRoute>,
        /// The record that caused it.
        origin: Origin,
        /// When that record passed.
        stamp: Stamp,
        /// Stream time of the decision.
        ts: u64,
        /// When the order was approved.
        decided_ns: u64,
    },
    /// A denied intent, for the audit topic.
    Denied {
        /// What and why.
        denial: Denial,
        /// Where it goes.
        route: Arc<OrderRoute>,
        /// The record that caused it.
        origin: Origin,
        /// Stream time of the decision.
        ts: u64,
    },
    /// Everything before this on the same ring covers the partition up to `next_offset`.
    Mark {
        /// The feed.
        feed: FeedId,
        /// Index of its topic.
        topic: u16,
        /// Partition.
        partition: u16,
        /// The first offset not covered.
        next_offset: u64,
    },
}

/// A record that could not be decoded, on its way to the dead-letter topic.
#[derive(Debug)]
pub struct DeadLetter {
    /// The feed.
    pub feed: FeedId,
    /// Where it came from.
    pub origin: Origin,
    /// Name of the topic it came from.
    pub from_topic: String,
    /// Where it goes.
    pub to_topic: Arc<str>,
    /// As it came.
    pub key: Option<Vec<u8>>,
    /// As it came.
    pub value: Vec<u8>,
    /// Why.
    pub reason: &'static str,
    /// Why, for a person.
    pub detail: String,
}

/// A worker's end of the way to egress.
#[derive(Debug)]
pub struct Outbox(Way);

#[derive(Debug)]
enum Way {
    /// To egress. What one record causes beyond the ring's room waits in the overflow, in order.
    Ring { ring: rtrb::Producer<Outbound>, overflow: VecDeque<Outbound>, waker: Waker, metrics: Arc<WorkerMetrics> },
    /// To whoever drives the worker on its own thread and takes it after each record.
    Kept(Vec<Outbound>),
}

impl Outbox {
    /// The worker's end of `ring`.
    #[must_use]
    pub const fn new(ring: rtrb::Producer<Outbound>, waker: Waker, metrics: Arc<WorkerMetrics>) -> Self {
        Self(Way::Ring { ring, overflow: VecDeque::new(), waker, metrics })
    }

    /// Keeps what is handed over, for [`Outbox::take_kept`]: what one record causes, which the limits of timers and intents bound.
    pub(crate) const fn kept() -> Self {
        Self(Way::Kept(Vec::new()))
    }

    /// Takes out what was kept.
    pub(crate) fn take_kept(&mut self) -> impl Iterator<Item = Outbound> + '_ {
        let kept = match &mut self.0 {
            Way::Kept(kept) => Some(kept.drain(..)),
            Way::Ring { .. } => None,
        };
        kept.into_iter().flatten()
    }

    /// Whether `intents` more things would fit.
    #[must_use]
    #[inline]
    pub fn has_room(&self, intents: usize) -> bool {
        match &self.0 {
            Way::Ring { ring, overflow, .. } => overflow.is_empty() && ring.slots() >= intents,
            Way::Kept(_) => true,
        }
    }

    /// Whether egress has not taken everything yet.
    #[must_use]
    #[inline]
    pub fn holds_any(&self) -> bool {
        match &self.0 {
            Way::Ring { ring, overflow, .. } => !overflow.is_empty() || ring.slots() < OUTBOUND_RING,
            Way::Kept(_) => false,
        }
    }

    /// Whether all that was handed over is on its way.
    #[must_use]
    #[inline]
    pub fn is_flushed(&self) -> bool {
        match &self.0 {
            Way::Ring { overflow, .. } => overflow.is_empty(),
            Way::Kept(_) => true,
        }
    }

    /// Hands over. The caller has asked for room before the event; what an event causes beyond it waits, counted, for egress to make
    /// some: an approved order is never dropped.
    pub fn push(&mut self, outbound: Outbound) {
        match &mut self.0 {
            Way::Ring { ring, overflow, waker, metrics } => {
                if !overflow.is_empty() {
                    overflow.push_back(outbound);
                } else if let Err(rtrb::PushError::Full(outbound)) = ring.push(outbound) {
                    metrics.egress_full.add(1);
                    overflow.push_back(outbound);
                }
                waker.wake();
            }
            Way::Kept(kept) => kept.push(outbound),
        }
    }

    /// Moves on what waits for room. False if there was none.
    pub fn flush(&mut self) -> bool {
        let Way::Ring { ring, overflow, waker, .. } = &mut self.0 else { return false };
        if ring.is_abandoned() {
            // Egress is gone, and with it whoever would send them.
            overflow.clear();
        }
        let mut moved = false;
        while ring.slots() > 0
            && let Some(outbound) = overflow.pop_front()
        {
            moved = ring.push(outbound).is_ok();
        }
        waker.wake();
        moved
    }
}

/// The writing ends of one strategy's recorders at egress.
#[derive(Debug)]
pub struct EgressRecorders {
    /// Approved to handed to the producer.
    pub egress: Recorder,
    /// Poll to handed to the producer.
    pub decision: Recorder,
    /// Handed to the producer to acknowledged.
    pub ack: Recorder,
}

/// What the control plane asks of egress.
pub enum EgressCommand {
    /// Another worker's ring.
    AddWorker(rtrb::Consumer<Outbound>),
    /// Another feed's offsets and dead letters.
    AddFeed(FeedId, Arc<Offsets>, Receiver<DeadLetter>),
    /// A feed that is read no more.
    RemoveFeed(FeedId),
    /// Recorders of the strategy with this index.
    AddStrategy(usize, EgressRecorders),
    /// The strategy with this index is gone.
    RemoveStrategy(usize),
    /// Ends when everything is acknowledged, or at this monotonic time; answers with what was not.
    Drain {
        /// Deadline, monotonic ns.
        until_ns: u64,
        /// Records that were not acknowledged by then.
        answer: Sender<usize>,
    },
}

/// What egress counts.
#[derive(Debug, Default)]
pub struct EgressMetrics {
    /// Records handed to the producer.
    pub sent: Counter,
    /// Records acknowledged.
    pub acked: Counter,
    /// Records that Kafka refused for good.
    pub failed: Counter,
    /// Turns in which something waited for acknowledgements to make room.
    pub queue_full: Counter,
}

/// A record that Kafka refused for good.
#[derive(Debug)]
pub struct Undeliverable {
    /// Index of its strategy; `None` for a dead letter.
    pub strategy_index: Option<usize>,
    /// The topic.
    pub topic: String,
    /// Why.
    pub error: String,
}

/// What egress is made of.
pub struct EgressParts {
    /// The way to Kafka.
    pub kafka: Kafka,
    /// Commands.
    pub commands: Receiver<EgressCommand>,
    /// What Kafka refuses.
    pub failures: Sender<Undeliverable>,
    /// Counters.
    pub metrics: Arc<EgressMetrics>,
    /// Until when it may send.
    pub fence: Fence,
}

struct Ack {
    token: usize,
    /// Why Kafka refused the record for good, and its topic.
    refused: Option<(KafkaError, String)>,
    at_ns: u64,
}

/// Its callbacks run inside `poll`, in egress's turn.
struct AckContext {
    acks: Sender<Ack>,
    callbacks: Callbacks,
    /// When what is being polled came, monotonic ns; 0: now.
    came_ns: AtomicU64,
}

impl ClientContext for AckContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, fac: &str, message: &str) {
        self.callbacks.log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.callbacks.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.callbacks.generate_oauth_token(config)
    }
}

impl ProducerContext for AckContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let refused = result.as_ref().err().map(|(error, message)| (error.clone(), message.topic().to_owned()));
        // Fails only when egress is gone, and then nobody waits for it.
        let at_ns = match self.came_ns.load(Ordering::Relaxed) {
            0 => mono_ns(),
            came => came,
        };
        let _ = self.acks.send(Ack { token, refused, at_ns });
    }
}

enum Entry {
    /// A record handed to the producer; true once acknowledged.
    Record(bool),
    Mark(FeedId, u16, u16, u64),
}

struct Lane {
    ring: rtrb::Consumer<Outbound>,
    /// What was taken from the ring and is not yet known to be safe, oldest first.
    entries: VecDeque<Entry>,
    /// Sequence of the oldest entry.
    first: u64,
}

enum Flight {
    Free,
    Order {
        lane: usize,
        sequence: u64,
        strategy_index: usize,
        feed: FeedId,
        origin: Origin,
        sent_ns: u64,
        bytes: usize,
    },
    Dead {
        feed: FeedId,
        origin: Origin,
        bytes: usize,
    },
}

/// From the workers to Kafka.
pub struct Egress {
    /// The producer, and the queue in which its acknowledgements come.
    producer: Queue<BaseProducer<AckContext>>,
    kafka: Kafka,
    commands: Receiver<EgressCommand>,
    dead_letters: Vec<(FeedId, Receiver<DeadLetter>)>,
    acks: Receiver<Ack>,
    failures: Sender<Undeliverable>,
    metrics: Arc<EgressMetrics>,
    lanes: Vec<Lane>,
    feeds: BTreeMap<FeedId, Arc<Offsets>>,
    recorders: BTreeMap<usize, EgressRecorders>,
    flights: Vec<Flight>,
    free: Vec<usize>,
    /// Of the records that are not acknowledged.
    bytes: usize,
    dead: BTreeSet<(FeedId, u16, u16, u64)>,
    /// First record of each (feed, topic, partition) that caused what Kafka refuses for good.
    refused: BTreeMap<(FeedId, u16, u16), u64>,
    fence: Fence,
    /// A record's value, while it is handed over.
    buffer: Vec<u8>,
    /// The place of its input record.
    input: Vec<u8>,
    drain: Option<(u64, Sender<usize>)>,
}

/// Things taken from one worker's ring before the others get their turn.
const LANE_BATCH: usize = 64;

impl Duty for Egress {
    fn turn(&mut self, _: u64) -> Turned {
        if !self.take_commands() {
            return Turned::Over;
        }
        let mut worked = self.take_acks();
        worked |= self.take_dead_letters();
        for lane in 0..self.lanes.len() {
            worked |= self.take_lane(lane);
        }
        if worked {
            return Turned::Worked;
        }
        let open = self.open();
        if let Some((until_ns, answer)) = &self.drain
            && (open == 0 || mono_ns() >= *until_ns)
        {
            let _ = answer.send(open);
            return Turned::Over;
        }
        // Nobody wakes it for an acknowledgement, or a drain's end.
        Turned::Idle(match open {
            _ if self.drain.is_some() => PARK_NS_MAX,
            0 => IDLE_NS_MAX,
            // When it came, the bell knows.
            1 => ACK_NS_MAX,
            _ => PARK_NS_MAX,
        })
    }

    fn is_ready(&self) -> bool {
        let any = || self.has_dead_letters() || self.lanes.iter().any(|lane| !lane.ring.is_empty());
        !self.commands.is_empty() || self.producer.is_ready() || (self.has_room() && any())
    }
}

impl Egress {
    /// Makes the producer, on a thread that is not pinned: the client's threads take its affinity over.
    ///
    /// # Errors
    /// [`AccessError::Settings`]
    pub fn new(parts: EgressParts) -> Result<Self, AccessError> {
        let (sender, acks) = crossbeam_channel::unbounded();
        let context =
            AckContext { acks: sender, callbacks: parts.kafka.callbacks("egress"), came_ns: AtomicU64::new(0) };
        let made = parts.kafka.producer().create_with_context(context);
        let producer: BaseProducer<AckContext> = made.map_err(|error| parts.kafka.settings_error(&error))?;
        Ok(Self {
            producer: Queue::of_producer(producer),
            kafka: parts.kafka,
            commands: parts.commands,
            dead_letters: Vec::new(),
            acks,
            failures: parts.failures,
            metrics: parts.metrics,
            lanes: Vec::new(),
            feeds: BTreeMap::new(),
            recorders: BTreeMap::new(),
            flights: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            dead: BTreeSet::new(),
            refused: BTreeMap::new(),
            fence: parts.fence,
            buffer: Vec::with_capacity(1024),
            input: Vec::with_capacity(256),
            drain: None,
        })
    }

    fn take_commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(EgressCommand::AddWorker(ring)) => {
                    self.lanes.push(Lane { ring, entries: VecDeque::new(), first: 0 });
                }
                Ok(EgressCommand::AddFeed(feed, offsets, letters)) => {
                    self.feeds.insert(feed, offsets);
                    self.dead_letters.push((feed, letters));
                }
                Ok(EgressCommand::RemoveFeed(feed)) => {
                    self.take_dead_letters();
                    self.feeds.remove(&feed);
                    self.dead_letters.retain(|(of, _)| *of != feed);
                }
                Ok(EgressCommand::AddStrategy(index, recorders)) => drop(self.recorders.insert(index, recorders)),
                Ok(EgressCommand::RemoveStrategy(index)) => drop(self.recorders.remove(&index)),
                Ok(EgressCommand::Drain { until_ns, answer }) => self.drain = Some((until_ns, answer)),
                Err(crossbeam_channel::TryRecvError::Empty) => return true,
                Err(crossbeam_channel::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn take_lane(&mut self, lane: usize) -> bool {
        for taken in 0..LANE_BATCH {
            if !self.has_room() {
                self.metrics.queue_full.add(u64::from(!self.lanes[lane].ring.is_empty()));
                return taken > 0;
            }
            // A dead letter is sent before the event that lets its mark come: taking them now cannot miss one.
            if matches!(self.lanes[lane].ring.peek(), Ok(Outbound::Mark { .. })) && self.has_dead_letters() {
                self.take_dead_letters();
                continue;
            }
            let Ok(outbound) = self.lanes[lane].ring.pop() else { return taken > 0 };
            if self.fence.is_passed(mono_ns()) {
                // Decided in time and not sent in time: the successor decides it again, under the same id.
                continue;
            }
            match outbound {
                Outbound::Order { order, route, origin, stamp, ts, decided_ns } => {
                    let provenance = Provenance { route: &route, origin, ts };
                    self.send_order(lane, &order, &provenance, stamp, decided_ns);
                }
                Outbound::Denied { denial, route, origin, ts } => {
                    self.send_denial(lane, &denial, &Provenance { route: &route, origin, ts });
                }
                Outbound::Mark { feed, topic, partition, next_offset } => {
                    self.lanes[lane].entries.push_back(Entry::Mark(feed, topic, partition, next_offset));
                    self.release(lane);
                }
            }
        }
        true
    }

    fn send_order(&mut self, lane: usize, order: &Order, provenance: &Provenance<'_>, stamp: Stamp, decided_ns: u64) {
        self.buffer.clear();
        wire::encode_order(order, provenance, &mut self.buffer);
        let route = provenance.route;
        let sent_ns = self.send_record(lane, &route.orders_topic, order.instrument_id(), provenance);
        if let Some(recorders) = self.recorders.get_mut(&route.strategy_index) {
            recorders.egress.record(sent_ns.saturating_sub(decided_ns));
            recorders.decision.record(sent_ns.saturating_sub(stamp.polled_ns));
        }
    }

    fn send_denial(&mut self, lane: usize, denial: &Denial, provenance: &Provenance<'_>) {
        let Some(topic) = &provenance.route.denials_topic else { return };
        self.buffer.clear();
        wire::encode_denial(denial, provenance, &mut self.buffer);
        self.send_record(lane, topic, denial.instrument_id, provenance);
    }

    /// Hands `buffer` to the producer and returns when.
    fn send_record(&mut self, lane: usize, topic: &str, instrument_id: u64, provenance: &Provenance<'_>) -> u64 {
        let strategy_index = provenance.route.strategy_index;
        let sequence = self.lanes[lane].first + self.lanes[lane].entries.len() as u64;
        let bytes = self.buffer.len();
        let token = self.take_off(bytes);
        let headers = headers(provenance, &mut self.input);
        let symbol = provenance.symbol(instrument_id);
        let record = BaseRecord::with_opaque_to(topic, token)
            .key(symbol.as_bytes())
            .payload(self.buffer.as_slice())
            .headers(headers);
        let failed = send(self.producer.client(), &self.metrics, record);
        let sent_ns = mono_ns();
        self.lanes[lane].entries.push_back(Entry::Record(false));
        let (feed, origin) = (provenance.route.feed, provenance.origin);
        self.flights[token] = Flight::Order { lane, sequence, strategy_index, feed, origin, sent_ns, bytes };
        if let Some(error) = failed {
            self.land(Ack { token, refused: Some((error, topic.to_owned())), at_ns: sent_ns });
        }
        sent_ns
    }

    fn take_dead_letters(&mut self) -> bool {
        let mut taken = false;
        while self.has_room()
            && let Some(letter) = self.dead_letters.iter().find_map(|(_, letters)| letters.try_recv().ok())
        {
            taken = true;
            let bytes = letter.value.len();
            let token = self.take_off(bytes);
            let (feed, origin) = (letter.feed, letter.origin);
            self.flights[token] = Flight::Dead { feed, origin, bytes };
            self.dead.insert((feed, origin.topic, origin.partition, origin.offset));
            self.hold_dead(feed, origin);
            let offset = origin.offset.to_string();
            let partition = origin.partition.to_string();
            let mut headers = OwnedHeaders::new_with_capacity(5);
            for (key, value) in [
                ("pinion-reason", letter.reason),
                ("pinion-detail", &letter.detail),
                ("pinion-topic", &letter.from_topic),
                ("pinion-partition", &partition),
                ("pinion-offset", &offset),
            ] {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut record =
                BaseRecord::with_opaque_to(&letter.to_topic, token).payload(letter.value.as_slice()).headers(headers);
            if let Some(key) = &letter.key {
                record = record.key(key.as_slice());
            }
            if let Some(error) = send(self.producer.client(), &self.metrics, record) {
                self.land(Ack { token, refused: Some((error, letter.to_topic.to_string())), at_ns: mono_ns() });
            }
        }
        taken
    }

    fn has_dead_letters(&self) -> bool {
        self.dead_letters.iter().any(|(_, letters)| !letters.is_empty())
    }

    /// Records that are not acknowledged.
    fn open(&self) -> usize {
        self.flights.len() - self.free.len()
    }

    /// Whether the producer has room for another record.
    fn has_room(&self) -> bool {
        self.open() < UNACKNOWLEDGED_RECORDS_MAX && self.bytes < UNACKNOWLEDGED_BYTES_MAX
    }

    /// A free token for a record of so many bytes.
    fn take_off(&mut self, bytes: usize) -> usize {
        self.bytes += bytes;
        self.free.pop().unwrap_or_else(|| {
            self.flights.push(Flight::Free);
            self.flights.len() - 1
        })
    }

    fn take_acks(&mut self) -> bool {
        let Some(rang_ns) = self.producer.rang() else { return self.land_all() };
        let producer = self.producer.client();
        let came_ns = &producer.context().came_ns;
        // The first that waits rang the bell. What came after it is timed when it is looked at: 1 ms later at most, where no callback holds the thread up.
        came_ns.store(rang_ns, Ordering::Relaxed);
        producer.poll(Duration::ZERO);
        came_ns.store(0, Ordering::Relaxed);
        while !self.producer.is_empty() {
            producer.poll(Duration::ZERO);
        }
        self.land_all()
    }

    fn land_all(&mut self) -> bool {
        let mut taken = false;
        while let Ok(ack) = self.acks.try_recv() {
            taken = true;
            self.land(ack);
        }
        taken
    }

    fn land(&mut self, ack: Ack) {
        let flight = std::mem::replace(&mut self.flights[ack.token], Flight::Free);
        self.free.push(ack.token);
        self.bytes -= match flight {
            Flight::Order { bytes, .. } | Flight::Dead { bytes, .. } => bytes,
            Flight::Free => 0,
        };
        if let Some((error, topic)) = ack.refused {
            // Never offered for commit: after a restart the record is read, and this sent, again.
            self.metrics.failed.add(1);
            let mut strategy_index = None;
            if let Flight::Order { lane, sequence, strategy_index: index, feed, origin, .. } = flight {
                strategy_index = Some(index);
                let first = self.refused.entry((feed, origin.topic, origin.partition)).or_insert(origin.offset);
                *first = origin.offset.min(*first);
                self.hold_dead(feed, origin);
                self.safe(lane, sequence);
            }
            let error = self.kafka.refused(&error, self.producer.client().client().fatal_error(), &topic);
            let _ = self.failures.send(Undeliverable { strategy_index, topic, error });
            return;
        }
        self.metrics.acked.add(1);
        match flight {
            Flight::Order { lane, sequence, strategy_index, sent_ns, .. } => {
                if let Some(recorders) = self.recorders.get_mut(&strategy_index) {
                    recorders.ack.record(ack.at_ns.saturating_sub(sent_ns));
                }
                self.safe(lane, sequence);
            }
            Flight::Dead { feed, origin, .. } => {
                self.dead.remove(&(feed, origin.topic, origin.partition, origin.offset));
                self.hold_dead(feed, origin);
            }
            Flight::Free => {}
        }
    }

    /// An entry need not be waited for any more: it is acknowledged, or its partition is held back for it.
    fn safe(&mut self, lane: usize, sequence: u64) {
        let at = &mut self.lanes[lane];
        #[expect(clippy::cast_possible_truncation, reason = "an index into entries")]
        if let Some(entry) = at.entries.get_mut((sequence - at.first) as usize) {
            *entry = Entry::Record(true);
        }
        self.release(lane);
    }

    /// Lets go of all that is safe at the front of a lane, and offers its marks for commit.
    fn release(&mut self, lane: usize) {
        let at = &mut self.lanes[lane];
        while let Some(entry) = at.entries.front() {
            match entry {
                Entry::Record(false) => return,
                Entry::Record(true) => {}
                Entry::Mark(feed, topic, partition, next_offset) => {
                    if let Some(offsets) = self.feeds.get(feed) {
                        offsets.cover(*topic, *partition, lane, *next_offset);
                    }
                }
            }
            at.entries.pop_front();
            at.first += 1;
        }
    }

    /// Keeps commits of a partition below its first dead letter that is not acknowledged, and below its first record that caused
    /// what Kafka refuses.
    fn hold_dead(&self, feed: FeedId, origin: Origin) {
        let Some(offsets) = self.feeds.get(&feed) else { return };
        let (topic, partition) = (origin.topic, origin.partition);
        let first = self.dead.range((feed, topic, partition, 0)..=(feed, topic, partition, u64::MAX)).next();
        let refused = self.refused.get(&(feed, topic, partition)).copied();
        offsets.hold(topic, partition, first.map(|(_, _, _, offset)| *offset).into_iter().chain(refused).min());
    }
}

/// What is stamped on every order: whose it is, which module decided, and because of which record, whose place is written into `input`.
fn headers(provenance: &Provenance<'_>, input: &mut Vec<u8>) -> OwnedHeaders {
    let Provenance { route, origin, .. } = provenance;
    let topic = route.input_topics.get(usize::from(origin.topic)).map_or("", String::as_str);
    input.clear();
    input.extend_from_slice(topic.as_bytes());
    for number in [u64::from(origin.partition), origin.offset] {
        input.push(b'/');
        wire::digits(input, number);
    }
    let pairs = [
        ("pinion-tenant", route.tenant.as_bytes()),
        ("pinion-strategy", route.strategy.as_bytes()),
        ("pinion-module", route.module_digest.as_bytes()),
        ("pinion-input", input),
    ];
    let mut headers = OwnedHeaders::new_with_capacity(pairs.len());
    for (key, value) in pairs {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    headers
}

/// Hands a record to the producer; the error where it refuses the record for good. Its queue is never full: see [`Egress::has_room`].
fn send(
    producer: &BaseProducer<AckContext>,
    metrics: &EgressMetrics,
    record: BaseRecord<'_, [u8], [u8], usize>,
) -> Option<KafkaError> {
    match producer.send(record) {
        Ok(()) => {
            metrics.sent.add(1);
            None
        }
        Err((error, _)) => Some(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::recorder;

    fn mark(next_offset: u64) -> Outbound {
        Outbound::Mark { feed: FeedId(0), topic: 0, partition: 0, next_offset }
    }

    #[test]
    fn what_a_record_causes_beyond_the_rings_room_waits_in_order_and_no_record_is_presented_meanwhile() {
        let (ring, mut egress) = rtrb::RingBuffer::new(2);
        let metrics = Arc::new(WorkerMetrics::new(0, recorder().1));
        let mut outbox = Outbox::new(ring, Waker::default(), Arc::clone(&metrics));
        (0..5).for_each(|n| outbox.push(mark(n)));
        assert_eq!((metrics.egress_full.get(), outbox.is_flushed(), outbox.has_room(0)), (1, false, false));
        assert!(!outbox.flush(), "nobody has made room");
        let mut seen = Vec::new();
        while !outbox.is_flushed() || !egress.is_empty() {
            if let Ok(Outbound::Mark { next_offset, .. }) = egress.pop() {
                seen.push(next_offset);
            }
            outbox.flush();
            // In its place in the queue, and not before those that wait.
            if seen.len() == 2 {
                outbox.push(mark(5));
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        assert!(outbox.has_room(2));
    }
}
