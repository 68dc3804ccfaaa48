//! One feed's records: take, decode, route. Which partitions they come from, [`crate::subscription`] sees to.
//!
//! Promise: every record that is read reaches every worker that is to see it, in the order of its partition, or is counted by
//! the reason why not; a full ring pauses its partitions and drops nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Headers, Message, Timestamp};

use pinion_spec::strategy::Start;

use crate::clock::{mono_ns, wall_ns};
use crate::decode::{self, DecodeError, Decoder, Record, TS_RECV_HEADER, TS_RECV_HEADER_C, ts_recv_of_header};
use crate::duty::{Duty, Turned};
use crate::egress::DeadLetter;
use crate::event::{Event, Origin, Stamp};
use crate::kafka::batches::{Batches, Records, Taken};
use crate::limits::{BATCH_RECORDS_MAX, IDLE_NS_MAX, ORDER_OFFSET_BITS, PARK_NS_MAX, PAUSE_AFTER_NS, RESUME_FREE_PART};
use crate::metrics::{EventKind, FeedMetrics, Recorder};
use crate::offsets::Offsets;
use crate::ring::Waker;
use crate::stopwatch;
use crate::subscription::{FeedConsumer, FeedContext, FeedResult};
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

    pub(crate) fn set(&self, quiet: bool) {
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

/// What a feed's subscription asks of who takes its records, between two batches.
pub enum ReaderCommand {
    /// These are about to be assigned: their records go to these workers, whichever else they go to.
    Take {
        /// Which.
        places: Vec<Place>,
        /// Answered when it is so.
        done: Sender<()>,
    },
    /// Answered when what has been taken is in the rings, or waits for room in one.
    Settle(Sender<()>),
    /// These have been given up: nothing of them goes anywhere.
    GiveUp {
        /// Which.
        places: Vec<(u16, u16)>,
        /// Answered when all that was read is in the rings.
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

/// What the taking of a feed's records is made of.
pub struct IngestParts {
    /// Its name in this process.
    pub id: FeedId,
    /// Whose records they are.
    pub consumer: Arc<FeedConsumer>,
    /// Where they come.
    pub records: Records<FeedContext>,
    /// Its topics; the index is [`Origin::topic`].
    pub inputs: Vec<FeedInput>,
    /// The workers; the index is the worker's.
    pub targets: Vec<Target>,
    /// Events that may wait in a ring while more is read: none where worker and ingest share a thread.
    pub ahead: usize,
    /// Who sees what from the start.
    pub places: Vec<Place>,
    /// Changes of it.
    pub commands: Receiver<ReaderCommand>,
    /// The way to the dead-letter topics.
    pub dead_letters: Sender<DeadLetter>,
    /// Wakes egress.
    pub egress: Waker,
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
    /// Set to end it.
    pub stop: Arc<AtomicBool>,
}

/// A feed's records on their way to the workers.
pub struct Ingest {
    id: FeedId,
    consumer: Arc<FeedConsumer>,
    /// `None` only while its records are being taken.
    batches: Option<Batches<FeedContext>>,
    inputs: Vec<FeedInput>,
    lanes: Vec<Lane>,
    ahead: usize,
    /// Workers by topic and partition, as bits.
    routes: Vec<Vec<u64>>,
    commands: Receiver<ReaderCommand>,
    /// Answers that wait until the overflow is in the rings.
    given_up: Vec<Sender<FeedResult>>,
    dead_letters: Sender<DeadLetter>,
    egress: Waker,
    offsets: Arc<Offsets>,
    metrics: Arc<FeedMetrics>,
    broker: Recorder,
    decode: Recorder,
    quiet: Quiet,
    stop: Arc<AtomicBool>,
    /// `None` before the first record of a batch.
    polled: Option<Polled>,
    scratch: Vec<Event>,
}

/// When the records came that are being taken.
#[derive(Clone, Copy)]
struct Polled {
    mono_ns: u64,
    wall_ns: u64,
    /// The same moment by [`stopwatch`].
    watch_ns: u64,
    /// When the record before the next one was decoded.
    next_ns: u64,
}

impl Polled {
    fn now() -> Self {
        let (watch_ns, mono_ns) = (stopwatch::ns(), mono_ns());
        Self { mono_ns, wall_ns: wall_ns(), watch_ns, next_ns: mono_ns }
    }

    /// What the kernel's clock says now, to one part in 10,000 of what has passed of the batch, without a look at it.
    #[inline]
    fn mono_now_ns(self) -> u64 {
        self.mono_ns + stopwatch::ns().saturating_sub(self.watch_ns)
    }
}

struct Lane {
    target: Target,
    /// What the ring had no room for: the rest of one record.
    overflow: VecDeque<Event>,
    full_since_ns: u64,
    paused: bool,
}

impl Lane {
    /// Events that its ring may hold.
    fn capacity(&self) -> usize {
        self.target.ring.buffer().capacity()
    }
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

/// How long a passing burst is given before the next look.
const BURST_NS: u64 = 50_000;

impl Duty for Ingest {
    fn turn(&mut self, _: u64) -> Turned {
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
        if self.stop.load(Ordering::Acquire) {
            // What is left of the last record still goes to its worker: a drained runtime has no half-read record.
            return if self.flush() { Turned::Over } else { Turned::Idle(BURST_NS) };
        }
        if self.consumer.context().have_come() {
            self.forget_pauses();
        }
        let longest = match self.relieve() {
            Pressure::None => IDLE_NS_MAX,
            Pressure::Paused => PARK_NS_MAX,
            Pressure::Burst => return Turned::Idle(BURST_NS),
        };
        if !self.may_take() {
            return Turned::Idle(PARK_NS_MAX);
        }
        if self.take_batch() { Turned::Worked } else { Turned::Idle(longest) }
    }

    fn is_ready(&self) -> bool {
        let full = self.lanes.iter().any(|lane| !lane.overflow.is_empty() && !lane.paused);
        !self.commands.is_empty() || (!full && self.may_take() && self.batches.as_ref().is_some_and(Batches::is_ready))
    }
}

impl Ingest {
    /// Takes nothing before its first turn.
    #[must_use]
    pub fn new(parts: IngestParts) -> Self {
        // The first look at a process' stopwatch takes 2 ms, which no record is to wait for.
        let _ = stopwatch::ns();
        let mut routes: Vec<Vec<u64>> =
            (0..parts.inputs.len()).map(|topic| vec![0; parts.offsets.partitions(topic)]).collect();
        parts.places.iter().for_each(|place| *route_of(&mut routes, place.topic, place.partition) |= place.workers);
        Self {
            id: parts.id,
            batches: Some(Batches::of(parts.records)),
            routes,
            commands: parts.commands,
            given_up: Vec::new(),
            consumer: parts.consumer,
            inputs: parts.inputs,
            lanes: parts
                .targets
                .into_iter()
                .map(|target| Lane { target, overflow: VecDeque::new(), full_since_ns: 0, paused: false })
                .collect(),
            ahead: parts.ahead,
            dead_letters: parts.dead_letters,
            egress: parts.egress,
            offsets: parts.offsets,
            metrics: parts.metrics,
            broker: parts.broker,
            decode: parts.decode,
            quiet: parts.quiet,
            stop: parts.stop,
            polled: None,
            scratch: Vec::with_capacity(1024),
        }
    }

    fn obey(&mut self, command: ReaderCommand) {
        match command {
            ReaderCommand::Take { places, done } => {
                for place in places {
                    *route_of(&mut self.routes, place.topic, place.partition) |= place.workers;
                }
                // Fails only when nobody waits for it any more; so below.
                let _ = done.send(());
            }
            ReaderCommand::Settle(done) => drop(done.send(())),
            ReaderCommand::GiveUp { places, done } => {
                for (topic, partition) in places {
                    *route_of(&mut self.routes, topic, partition) = 0;
                }
                self.given_up.push(done);
            }
        }
    }

    /// Whether there is room for what a batch may cause.
    fn may_take(&self) -> bool {
        let is_near = |lane: &Lane| lane.paused || lane.capacity() - lane.target.ring.slots() <= self.ahead;
        let letters =
            self.dead_letters.capacity().map_or(usize::MAX, |room| room.saturating_sub(self.dead_letters.len()));
        letters >= BATCH_RECORDS_MAX && self.lanes.iter().all(is_near)
    }

    /// Takes what records there are, up to a batch. False if there was nothing.
    fn take_batch(&mut self) -> bool {
        let Some(mut batches) = self.batches.take() else { return false };
        self.polled = None;
        let any = batches.take(|taken| {
            match taken {
                Ok(taken) => self.take(taken),
                Err(KafkaError::PartitionEOF(_)) => self.quiet.set(true),
                Err(error) => self.consumer.context().failed(&error),
            }
            // What a ring has no room for is the rest of one record, and not of a batch.
            self.lanes.iter().all(|lane| lane.overflow.is_empty())
        }) > 0;
        self.batches = Some(batches);
        any
    }

    /// Moves overflow on, pauses the partitions of a worker that stays behind, resumes those of one that has caught up.
    fn relieve(&mut self) -> Pressure {
        let flushed = self.flush();
        if flushed {
            self.given_up.drain(..).for_each(|done| drop(done.send(Ok(()))));
        }
        if flushed && self.lanes.iter().all(|lane| !lane.paused) {
            return Pressure::None;
        }
        let now = mono_ns();
        let mut pressure = Pressure::Paused;
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let pause = match (lane.overflow.is_empty(), lane.paused) {
                (false, false) if now - lane.full_since_ns >= PAUSE_AFTER_NS => true,
                (false, false) => {
                    pressure = Pressure::Burst;
                    continue;
                }
                (true, true) if lane.target.ring.slots() >= lane.capacity() / RESUME_FREE_PART => false,
                _ => continue,
            };
            match self.set_paused(index, pause) {
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
    fn set_paused(&self, lane: usize, pause: bool) -> KafkaResult<u64> {
        let consumer = &self.consumer;
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

    /// A partition that was paused when it was given up comes back paused. Those of a worker that is behind are paused again with the rest.
    fn forget_pauses(&mut self) {
        let resumed = self.consumer.assignment().and_then(|assigned| self.consumer.resume(&assigned));
        if let Err(error) = resumed {
            tracing::warn!(group = self.metrics.group, %error, "cannot resume partitions");
        }
        self.lanes.iter_mut().for_each(|lane| lane.paused = false);
        if let Some(partitions) = self.metrics.partitions.get() {
            partitions.all().for_each(|partition| partition.paused.set(0));
        }
    }

    fn workers_of(&self, topic: u16, partition: u16) -> u64 {
        let partitions = self.routes.get(usize::from(topic));
        partitions.and_then(|partitions| partitions.get(usize::from(partition))).copied().unwrap_or_default()
    }

    /// One record.
    fn take(&mut self, taken: Taken<'_>) {
        let polled = *self.polled.get_or_insert_with(Polled::now);
        self.quiet.set(false);
        let Some(origin) = self.origin(taken) else { return };
        self.metrics.records.add(1);
        let value = taken.value().unwrap_or_default();
        self.metrics.bytes.add(value.len() as u64);
        let kafka_ms = taken.timestamp_ms().unwrap_or(0);
        if let Some(partition) = self.metrics.partition(origin.topic, origin.partition) {
            partition.last_kafka_ms.set(i64::try_from(kafka_ms).unwrap_or(0));
        }
        let kafka_ns = kafka_ms.saturating_mul(1_000_000);
        if kafka_ns > 0 {
            match polled.wall_ns.checked_sub(kafka_ns) {
                Some(ns) => self.broker.record(ns),
                None => self.metrics.broker_negative.add(1),
            }
        }
        let ts_recv = taken.header(TS_RECV_HEADER_C).and_then(ts_recv_of_header).unwrap_or(kafka_ns);
        let record = Record { value, key: taken.key(), ts_recv };
        self.scratch.clear();
        let outcome = self.inputs[usize::from(origin.topic)].decoder.decode(&record, &mut self.scratch);
        let ts_recv = match outcome {
            Ok(outcome) => {
                self.metrics.skipped.add(outcome.skipped.map_or(0, |(_, count)| u64::from(count)));
                ts_recv
            }
            Err(error) => {
                self.reject(taken, origin, &error);
                0
            }
        };
        if self.scratch.is_empty() {
            self.scratch.push(decode::nothing(ts_recv));
        }
        let routed_ns = if self.decode.is_on() { polled.mono_now_ns() } else { polled.mono_ns };
        self.decode.record(routed_ns.saturating_sub(polled.next_ns));
        self.polled = Some(Polled { next_ns: routed_ns, ..polled });
        let stamp = Stamp { polled_ns: polled.mono_ns, routed_ns };
        for event in &mut self.scratch {
            event.origin = origin;
            event.stamp = stamp;
            if let Some(kind) = EventKind::of(event) {
                self.metrics.events[kind as usize].add(1);
            }
        }
        self.route(origin);
    }

    fn origin(&self, taken: Taken<'_>) -> Option<Origin> {
        let topic = self.inputs.iter().position(|input| input.topic == taken.topic());
        let origin = Origin {
            topic: u16::try_from(topic?).ok()?,
            partition: u16::try_from(taken.partition()).ok()?,
            offset: u64::try_from(taken.offset()).ok()?,
        };
        // Order ids could no longer be exact: stop here rather than send two orders under one id.
        assert!(
            origin.offset < 1 << ORDER_OFFSET_BITS,
            "offset {} of {} is beyond what order ids hold",
            origin.offset,
            taken.topic()
        );
        Some(origin)
    }

    #[cold]
    fn reject(&mut self, taken: Taken<'_>, origin: Origin, error: &DecodeError) {
        self.metrics.decode_errors[error.reason_index()].add(1);
        let input = &self.inputs[usize::from(origin.topic)];
        let Some(to_topic) = &input.dead_letter else { return };
        let letter = DeadLetter {
            feed: self.id,
            origin,
            from_topic: input.topic.clone(),
            to_topic: Arc::clone(to_topic),
            key: taken.key().map(<[u8]>::to_vec),
            value: taken.value().unwrap_or_default().to_vec(),
            reason: error.reason(),
            detail: error.to_string(),
        };
        // There is room: see `may_take`. Fails only when egress is gone.
        let _ = self.dead_letters.send(letter);
        self.egress.wake();
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
        let (mut flushed, mut whole) = (true, Vec::new());
        for lane in self.lanes.iter_mut().filter(|lane| !lane.overflow.is_empty()) {
            while let Some(event) = lane.overflow.front() {
                // Nobody takes it any more where the worker has ended.
                if lane.target.ring.push(*event).is_err() && !lane.target.ring.is_abandoned() {
                    break;
                }
                whole.extend(event.is_last().then_some(event.origin));
                lane.overflow.pop_front();
            }
            lane.target.waker.wake();
            flushed &= lane.overflow.is_empty();
        }
        for origin in whole {
            let held = |lane: &Lane| lane.overflow.iter().any(|event| event.origin == origin);
            if !self.lanes.iter().any(held) {
                self.offsets.read(origin);
            }
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

fn ts_recv_header(message: &impl Message) -> Option<u64> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == TS_RECV_HEADER)?;
    ts_recv_of_header(header.value?)
}

fn kafka_ms(message: &impl Message) -> u64 {
    match message.timestamp() {
        Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => u64::try_from(ms).unwrap_or(0),
        Timestamp::NotAvailable => 0,
    }
}
