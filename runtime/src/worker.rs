//! The worker: a pinned core and its loop. Pop a batch, present, check, push, record.
//!
//! Promise: per event the loop neither locks, allocates, awaits, logs nor makes a system call; what is cold (a fault, a swap, a
//! command) may. Commands are taken between batches, and a batch ends at a record's end, so a swap or a halt falls
//! between two records and never inside one.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use pinion_spec::strategy::TradingState;
use serde::{Deserialize, Serialize};

use crate::book::{Applied, Books};
use crate::clock::mono_ns;
use crate::duty::{Duty, Turned};
use crate::egress::{OrderRoute, Outbound, Outbox};
use crate::event::{Event, Origin, Stamp};
use crate::fence::Fence;
use crate::ingest::Quiet;
use crate::instance::{Instance, InstanceId, Notice, ReadyGuest, Turn};
use crate::journal::{Entry, Scribe};
use crate::limits::{
    BATCH_EVENTS_MAX, DRAIN_ROOM_NS_MAX, EVENT_INTENTS_MAX, IDLE_NS_MAX, PARK_NS_MAX, QUIET_NS, REPORT_INTERVAL_NS,
};
use crate::metrics::{Recorder, ShardMetrics, WorkerMetrics};
use crate::risk::Limits;
use crate::sandbox::pulse;

/// Names a feed in this process; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedId(pub u32);

/// What a halt or a resume reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every strategy.
    All,
    /// Every strategy of a tenant.
    Tenant(String),
    /// One strategy of a tenant.
    Strategy {
        /// Its tenant.
        tenant: String,
        /// Its name.
        strategy: String,
    },
}

impl Scope {
    /// Whether it reaches a strategy.
    #[must_use]
    pub fn reaches(&self, tenant: &str, strategy: &str) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(wanted) => tenant == wanted,
            Self::Strategy { tenant: of, strategy: wanted } => tenant == of && strategy == wanted,
        }
    }
}

/// What the control plane asks of a worker, between two batches.
pub enum Command {
    /// Reads another feed.
    AddFeed(Box<FeedPort>),
    /// Reads a feed no more. Its instances have been removed.
    RemoveFeed(FeedId),
    /// Runs another instance on the records of these (topic, partition).
    AddInstance {
        /// The feed it reads.
        feed: FeedId,
        /// The instance.
        instance: Box<Instance>,
        /// Its input partitions.
        inputs: Vec<(u16, u16)>,
    },
    /// Stops an instance and takes it out.
    RemoveInstance(InstanceId),
    /// Puts another module's guest in an instance's place.
    Swap {
        /// Which instance.
        id: InstanceId,
        /// The new guest.
        ready: ReadyGuest,
        /// Where its orders go: names the new module's digest.
        route: Arc<OrderRoute>,
        /// Gets why state could not be handed on, where it could not.
        answer: Sender<Result<(), String>>,
    },
    /// Puts a fresh guest in the place of one that faulted.
    Revive {
        /// Which instance.
        id: InstanceId,
        /// The new guest.
        ready: ReadyGuest,
        /// Where its orders go.
        route: Arc<OrderRoute>,
    },
    /// Changes what strategies may do.
    SetTradingState {
        /// Which.
        scope: Scope,
        /// To what.
        state: TradingState,
    },
    /// The kill switch of an instrument: blocks new orders on it and cancels what works.
    SetKilled {
        /// Which instrument.
        instrument_id: u64,
        /// On or off.
        killed: bool,
    },
    /// Changes an instance's limits.
    SetLimits {
        /// Which instance.
        id: InstanceId,
        /// The new limits.
        limits: Arc<Limits>,
    },
    /// Another command, and what the journal says of it. Of the commands that have no such thing the journal says what they are.
    Noted {
        /// What it says.
        entry: Box<Entry>,
        /// The command.
        command: Box<Command>,
    },
    /// Answers when everything before it has been taken: a barrier.
    Ping(Sender<()>),
    /// Empties the rings, stops every instance, and ends.
    Drain,
}

/// A feed's end at a worker.
pub struct FeedPort {
    /// Which feed.
    pub feed: FeedId,
    /// Its events.
    pub ring: rtrb::Consumer<Event>,
    /// Its books.
    pub books: Box<Books>,
    /// Whether ingest is at the end of every partition.
    pub quiet: Quiet,
    /// By topic: whether every shard sees all of it.
    pub broadcast: Vec<bool>,
}

struct Port {
    feed: FeedId,
    ring: rtrb::Consumer<Event>,
    /// `None` only while a guest has them.
    books: Option<Box<Books>>,
    quiet: Quiet,
    /// Instances by (topic, partition).
    routes: Vec<Vec<Vec<usize>>>,
    broadcast: Vec<bool>,
    /// Partitions whose records ended in this batch, with the next offset.
    marks: Vec<Origin>,
    /// Whether the last event was not its record's last.
    within: bool,
    /// The last event's stream time, and when its record came.
    last_ts: u64,
    last_mono_ns: u64,
}

/// What a worker is made of.
pub struct WorkerParts {
    /// Counters.
    pub metrics: Arc<WorkerMetrics>,
    /// Commands.
    pub commands: Receiver<Command>,
    /// What it tells the control plane.
    pub notices: Sender<Notice>,
    /// The way to egress.
    pub outbox: Outbox,
    /// `queue`.
    pub queue: Recorder,
    /// Egress has its turn after each record that causes something, and not at its own time: they share a thread.
    pub shares: bool,
    /// Until when it may act.
    pub fence: Fence,
    /// Where it notes what it presents.
    pub scribe: Scribe,
}

/// The loop's state.
pub struct Worker {
    metrics: Arc<WorkerMetrics>,
    commands: Receiver<Command>,
    notices: Sender<Notice>,
    outbox: Outbox,
    queue: Recorder,
    shares: bool,
    ports: Vec<Port>,
    instances: Vec<Option<Box<Instance>>>,
    meter: Meter,
    killed: Vec<u64>,
    draining: bool,
    /// Every instance has been stopped.
    stopped: bool,
    /// Until when a drain waits for room; 0: it does not.
    give_up_ns: u64,
    /// When something was last presented.
    left_ns: u64,
    fence: Fence,
    /// The lease ran out: nothing more is done, whatever comes.
    fenced: bool,
    report_due_ns: u64,
    scribe: Scribe,
}

impl Duty for Worker {
    fn turn(&mut self, awake_since_ns: u64) -> Turned {
        let began = mono_ns();
        let mut worked = !self.outbox.is_flushed() && self.outbox.flush();
        if self.stopped {
            // No guest lives: what is still in a ring is the next process's to read.
            return if self.outbox.is_flushed() || began >= self.give_up_ns {
                Turned::Over
            } else {
                Turned::Idle(PARK_NS_MAX)
            };
        }
        if self.shares {
            // What the thread did since it presented something was for that: sending what it caused. Before the first it was taking and decoding.
            if self.left_ns > awake_since_ns {
                self.meter.charge_last(began - self.left_ns);
                self.left_ns = began;
            }
            self.meter.charge_from(self.left_ns.max(awake_since_ns));
        }
        // A record that is under way is finished first: no command falls inside one, and no timer.
        let under_way = self.ports.iter().position(|port| port.within);
        match under_way {
            Some(index) => worked |= self.take_batch(index),
            None => {
                self.take_commands();
                for index in 0..self.ports.len() {
                    worked |= self.take_batch(index);
                }
            }
        }
        if self.fenced {
            return Turned::Over;
        }
        if began >= self.report_due_ns {
            self.report_due_ns = began + REPORT_INTERVAL_NS;
            self.instances.iter_mut().flatten().for_each(|instance| instance.report(&self.notices));
            self.scribe.flush();
        }
        if worked {
            self.give_up_ns = 0;
            return Turned::Worked;
        }
        if self.fence.is_passed(began) && !self.ports.is_empty() {
            return Turned::Over;
        }
        // Events that wait for room, or the rest of a record: nobody wakes it for room.
        let waits =
            !self.outbox.is_flushed() || under_way.is_some() || self.ports.iter().any(|port| !port.ring.is_empty());
        if self.draining {
            if self.give_up_ns == 0 {
                self.give_up_ns = began + DRAIN_ROOM_NS_MAX;
            }
            if waits && began < self.give_up_ns {
                return Turned::Idle(PARK_NS_MAX);
            }
            self.stopped = true;
            self.stop_all();
            self.give_up_ns = began + DRAIN_ROOM_NS_MAX;
            return Turned::Worked;
        }
        let longest = if under_way.is_some() { PARK_NS_MAX } else { self.tick() };
        self.scribe.flush();
        Turned::Idle(if waits { longest.min(PARK_NS_MAX) } else { longest })
    }

    fn is_ready(&self) -> bool {
        let may_present = self.outbox.has_room(EVENT_INTENTS_MAX) && !(self.shares && self.outbox.holds_any());
        !self.commands.is_empty() || (may_present && self.ports.iter().any(|port| !port.ring.is_empty()))
    }

    fn rest(&self) {
        pulse::rest();
    }
}

impl Worker {
    /// Without feeds and instances: they come by commands.
    #[must_use]
    pub fn new(parts: WorkerParts) -> Self {
        Self {
            metrics: parts.metrics,
            commands: parts.commands,
            notices: parts.notices,
            outbox: parts.outbox,
            queue: parts.queue,
            shares: parts.shares,
            ports: Vec::new(),
            instances: Vec::new(),
            meter: Meter::default(),
            killed: Vec::new(),
            draining: false,
            stopped: false,
            give_up_ns: 0,
            left_ns: 0,
            fence: parts.fence,
            fenced: false,
            report_due_ns: 0,
            scribe: parts.scribe,
        }
    }

    /// Presents up to a batch of one feed's events, to the end of a record. True if there were any.
    fn take_batch(&mut self, index: usize) -> bool {
        let mut taken = 0;
        loop {
            let within = self.ports[index].within;
            if !within {
                let is_full = taken >= BATCH_EVENTS_MAX || (self.shares && self.outbox.holds_any());
                if is_full {
                    break;
                }
                if !self.outbox.has_room(EVENT_INTENTS_MAX) {
                    self.metrics.egress_full.add(1);
                    break;
                }
            }
            // Within a record that is larger than the ring's room: the rest of it is on its way.
            let Ok(event) = self.ports[index].ring.pop() else { break };
            taken += 1;
            self.present(index, &event);
            if self.fenced {
                return true;
            }
        }
        self.mark_progress(index);
        if taken > 0 {
            self.left_ns = mono_ns();
            self.meter.stop(self.left_ns);
        }
        taken > 0
    }

    #[inline]
    fn present(&mut self, index: usize, event: &Event) {
        let port = &mut self.ports[index];
        // One look at the clock a record: of its events the first has waited.
        let begins = !std::mem::replace(&mut port.within, !event.is_last());
        if begins {
            let now = mono_ns();
            if self.fence.is_passed(now) {
                self.fenced = true;
                return;
            }
            self.meter.stop(now);
            self.queue.record(now.saturating_sub(event.stamp.routed_ns));
            port.last_mono_ns = now;
        }
        port.last_ts = port.last_ts.max(event.head.ts_recv);
        let instances =
            port.routes.get(event.origin.topic as usize).and_then(|r| r.get(event.origin.partition as usize));
        let instances = instances.map_or(&[][..], Vec::as_slice);
        let mut turn = Turn {
            books: &mut port.books,
            outbox: &mut self.outbox,
            notices: &self.notices,
            killed: &self.killed,
            scribe: &mut self.scribe,
            stamp: event.stamp,
        };
        // A timer fires before the event that passes it, and before the books have taken that event.
        match instances.first() {
            Some(first) if begins => self.meter.begin(*first),
            Some(first) => self.meter.turn_to(*first),
            None => {}
        }
        for slot in instances {
            if let Some(instance) = self.instances[*slot].as_mut().filter(|i| i.is_due(event.head.ts_recv)) {
                self.meter.turn_to(*slot);
                instance.fire_due(event.head.ts_recv, &mut turn);
            }
        }
        let applied = turn.books.as_mut().map_or(Applied::Ignored, |books| books.apply(event));
        if applied.gap().is_some() {
            self.metrics.gaps.add(1);
        }
        for slot in instances {
            if let Some(instance) = self.instances[*slot].as_mut() {
                self.meter.turn_to(*slot);
                instance.present(event, &applied, &mut turn);
            }
        }
        if event.is_last() {
            self.scribe.record(port.feed.0, event.origin);
            note_mark(&mut port.marks, event.origin);
            if !port.broadcast.get(event.origin.topic as usize).copied().unwrap_or_default() {
                self.meter.count_record();
            }
        }
    }

    /// Tells egress how far this worker is: an offset is committed only after what it caused is acknowledged.
    fn mark_progress(&mut self, index: usize) {
        let port = &mut self.ports[index];
        for mark in port.marks.drain(..) {
            self.outbox.push(Outbound::Mark {
                feed: port.feed,
                topic: mark.topic,
                partition: mark.partition,
                next_offset: mark.offset + 1,
            });
        }
    }

    /// On a quiet stream the wall clock moves the stream clock, but only to a timer that it has passed. How long until it has to look again.
    fn tick(&mut self) -> u64 {
        let now = mono_ns();
        if self.fence.is_passed(now) {
            return PARK_NS_MAX;
        }
        let mut longest = IDLE_NS_MAX;
        for index in 0..self.ports.len() {
            let port = &self.ports[index];
            let slots = port.routes.iter().flatten().flatten();
            let due = slots.filter_map(|slot| self.instances[*slot].as_ref()).map(|instance| instance.due()).min();
            let Some(due) = due.filter(|due| *due != u64::MAX && port.last_ts != 0) else { continue };
            let since = now.saturating_sub(port.last_mono_ns);
            // The wall clock passes it so long after the last record, but not before the stream is quiet.
            let left = due.saturating_sub(port.last_ts).max(QUIET_NS).saturating_sub(since);
            if left > 0 {
                longest = longest.min(left);
                continue;
            }
            longest = longest.min(PARK_NS_MAX);
            // Not before what has been read, and not where there is no room for what it causes.
            if port.quiet.get() && port.ring.is_empty() && self.outbox.has_room(EVENT_INTENTS_MAX) {
                let (feed, stream_now) = (port.feed.0, port.last_ts.saturating_add(since));
                self.scribe.note(|| Entry::Tick { feed, ts: stream_now });
                self.fire_due(index, stream_now, now);
            }
        }
        longest
    }

    /// Closes the bars and fires the timers of a feed's instances that a stream time has passed.
    fn fire_due(&mut self, index: usize, stream_now: u64, mono_now: u64) {
        let port = &mut self.ports[index];
        for slot in port.routes.iter().flatten().flatten() {
            let Some(instance) = self.instances[*slot].as_mut().filter(|i| i.is_due(stream_now)) else { continue };
            let mut turn = Turn {
                books: &mut port.books,
                outbox: &mut self.outbox,
                notices: &self.notices,
                killed: &self.killed,
                scribe: &mut self.scribe,
                stamp: Stamp { polled_ns: mono_now, routed_ns: mono_now },
            };
            instance.fire_due(stream_now, &mut turn);
        }
    }
}

/// Whose time the worker's is. One clock read a record, which the worker does anyway, is enough where a record is of one shard.
#[derive(Default)]
struct Meter {
    /// By instance.
    shards: Vec<Option<Arc<ShardMetrics>>>,
    /// The instance whose shard is being worked for.
    at: Option<usize>,
    /// The last one that was.
    last: Option<usize>,
    since_ns: u64,
    /// From when on the next time is somebody's, where that was before it begins.
    from_ns: Option<u64>,
}

impl Meter {
    fn shard(&self, slot: usize) -> Option<&Arc<ShardMetrics>> {
        self.shards.get(slot)?.as_ref()
    }

    /// From the last [`Meter::stop`] on the time is this instance's shard's.
    #[inline]
    fn begin(&mut self, slot: usize) {
        self.at = Some(slot);
    }

    /// From now on it is this one's.
    #[inline]
    fn turn_to(&mut self, slot: usize) {
        let same = match (self.at.and_then(|at| self.shard(at)), self.shard(slot)) {
            (Some(here), Some(there)) => Arc::ptr_eq(here, there),
            _ => false,
        };
        if !same {
            self.stop(mono_ns());
            self.at = Some(slot);
        }
    }

    /// What has passed is somebody's; what comes is nobody's yet.
    #[inline]
    fn stop(&mut self, now_ns: u64) {
        self.last = self.at.or(self.last);
        if let Some(shard) = self.at.take().and_then(|at| self.shard(at)) {
            shard.busy_ns.add(now_ns.saturating_sub(self.since_ns));
        }
        self.since_ns = self.from_ns.take().unwrap_or(now_ns);
    }

    /// So much more was for the last one.
    fn charge_last(&self, ns: u64) {
        if let Some(shard) = self.last.and_then(|last| self.shard(last)) {
            shard.busy_ns.add(ns);
        }
    }

    /// What has passed since then is the next one's.
    fn charge_from(&mut self, ns: u64) {
        self.from_ns = Some(ns);
    }

    #[inline]
    fn count_record(&self) {
        if let Some(shard) = self.at.and_then(|at| self.shard(at)) {
            shard.records.add(1);
        }
    }

    fn add(&mut self, slot: usize, shard: Arc<ShardMetrics>) {
        if self.shards.len() <= slot {
            self.shards.resize_with(slot + 1, || None);
        }
        self.shards[slot] = Some(shard);
    }

    fn forget(&mut self, slot: usize) {
        if let Some(shard) = self.shards.get_mut(slot) {
            *shard = None;
        }
    }
}

// --- by hand, for playback: the same code, without a thread, rings and the wall clock ---

impl Worker {
    /// Presents an event of the feed that was added as number `index`.
    #[inline]
    pub(crate) fn present_one(&mut self, index: usize, event: &Event) {
        self.present(index, event);
    }

    /// The wall clock's part on a quiet stream: fires what timers this stream time has passed.
    pub(crate) fn tick_to(&mut self, index: usize, stream_now: u64) {
        self.fire_due(index, stream_now, mono_ns());
    }

    /// Takes a command, between two records.
    pub(crate) fn command(&mut self, command: Command) {
        self.obey(command);
    }

    /// See [`Instance::force_over_budget`].
    pub(crate) fn force_over_budget(&mut self, id: InstanceId, call: u64) {
        if let Some(slot) = self.slot(id)
            && let Some(instance) = self.instances[slot].as_mut()
        {
            instance.force_over_budget(call);
        }
    }

    /// A feed's books as its last event left them.
    #[inline]
    pub(crate) fn books(&self, index: usize) -> Option<&Books> {
        self.ports.get(index)?.books.as_deref()
    }

    /// What was caused since the last call. Nothing of it is a mark: nothing is committed.
    pub(crate) fn take_outbound(&mut self) -> impl Iterator<Item = Outbound> + '_ {
        self.outbox.take_kept()
    }

    /// Copies guests' log lines and gauges out.
    pub(crate) fn report(&mut self) {
        self.instances.iter_mut().flatten().for_each(|instance| instance.report(&self.notices));
    }

    /// Stops every instance, as a drain does.
    pub(crate) fn stop(&mut self) {
        self.stop_all();
    }
}

/// Remembers the end of a record; one entry per partition, the last offset wins.
fn note_mark(marks: &mut Vec<Origin>, origin: Origin) {
    match marks.iter_mut().rfind(|mark| (mark.topic, mark.partition) == (origin.topic, origin.partition)) {
        Some(mark) => mark.offset = origin.offset,
        None => marks.push(origin),
    }
}

// --- commands: between batches, may allocate ---

impl Worker {
    fn take_commands(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return,
                // The control plane is gone.
                Err(TryRecvError::Disconnected) => {
                    self.draining = true;
                    return;
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::AddFeed(port) => self.ports.push(Port {
                feed: port.feed,
                ring: port.ring,
                books: Some(port.books),
                quiet: port.quiet,
                routes: Vec::new(),
                broadcast: port.broadcast,
                marks: Vec::new(),
                last_ts: 0,
                last_mono_ns: 0,
                within: false,
            }),
            Command::RemoveFeed(feed) => {
                self.scribe.note(|| Entry::RemoveFeed { feed: feed.0 });
                self.ports.retain(|port| port.feed != feed);
            }
            Command::AddInstance { feed, instance, inputs } => self.add_instance(feed, instance, &inputs),
            Command::RemoveInstance(id) => {
                self.scribe.note(|| Entry::Remove { instance: id.0 });
                self.on_instance(id, |instance, turn| instance.stop(turn));
                self.forget(id);
            }
            Command::Swap { id, ready, route, answer } => {
                // Fails only when nobody waits for it any more.
                self.on_instance(id, |instance, turn| drop(answer.send(instance.swap(ready, route, turn))));
            }
            Command::Revive { id, ready, route } => {
                self.scribe.note(|| Entry::Revive { instance: id.0 });
                self.on_instance(id, |instance, turn| instance.revive(ready, route, turn));
            }
            Command::SetLimits { id, limits } => self.on_instance(id, |instance, _| instance.set_limits(limits)),
            Command::SetTradingState { scope, state } => {
                self.scribe.note(|| Entry::TradingState { scope: scope.clone(), state });
                for id in self.ids() {
                    self.on_instance(id, |instance, turn| {
                        if scope.reaches(&instance.route().tenant, &instance.route().strategy) {
                            instance.set_trading_state(state, turn);
                        }
                    });
                }
            }
            Command::SetKilled { instrument_id, killed } => {
                self.scribe.note(|| Entry::Killed { instrument_id, killed });
                self.killed.retain(|id| *id != instrument_id);
                if killed {
                    self.killed.push(instrument_id);
                    for id in self.ids() {
                        self.on_instance(id, |instance, turn| instance.cancel_instrument(instrument_id, turn));
                    }
                }
            }
            Command::Noted { entry, command } => {
                self.scribe.note(|| *entry);
                self.obey(*command);
            }
            Command::Ping(answer) => {
                let _ = answer.send(());
            }
            Command::Drain => self.draining = true,
        }
    }

    fn add_instance(&mut self, feed: FeedId, mut instance: Box<Instance>, inputs: &[(u16, u16)]) {
        let Some(port) = self.ports.iter_mut().find(|port| port.feed == feed) else {
            // The control plane adds a feed before its instances.
            unreachable!("instance for a feed that this worker does not read");
        };
        let slot = self.instances.iter().position(Option::is_none).unwrap_or(self.instances.len());
        for (topic, partition) in inputs {
            let (topic, partition) = (usize::from(*topic), usize::from(*partition));
            if port.routes.len() <= topic {
                port.routes.resize_with(topic + 1, Vec::new);
            }
            if port.routes[topic].len() <= partition {
                port.routes[topic].resize_with(partition + 1, Vec::new);
            }
            port.routes[topic][partition].push(slot);
        }
        let now = mono_ns();
        let mut turn = Turn {
            books: &mut port.books,
            outbox: &mut self.outbox,
            notices: &self.notices,
            killed: &self.killed,
            scribe: &mut self.scribe,
            stamp: Stamp { polled_ns: now, routed_ns: now },
        };
        instance.start(&mut turn);
        if slot == self.instances.len() {
            self.instances.push(None);
        }
        self.meter.add(slot, Arc::clone(instance.shard()));
        self.instances[slot] = Some(instance);
    }

    fn ids(&self) -> Vec<InstanceId> {
        self.instances.iter().flatten().map(|instance| instance.id()).collect()
    }

    fn on_instance(&mut self, id: InstanceId, act: impl FnOnce(&mut Instance, &mut Turn<'_>)) {
        let Some(slot) = self.slot(id) else { return };
        let reads = |port: &&mut Port| port.routes.iter().flatten().any(|slots| slots.contains(&slot));
        let Some(port) = self.ports.iter_mut().find(reads) else { return };
        let Some(instance) = self.instances[slot].as_mut() else { return };
        let now = mono_ns();
        let mut turn = Turn {
            books: &mut port.books,
            outbox: &mut self.outbox,
            notices: &self.notices,
            killed: &self.killed,
            scribe: &mut self.scribe,
            stamp: Stamp { polled_ns: now, routed_ns: now },
        };
        act(instance, &mut turn);
    }

    fn slot(&self, id: InstanceId) -> Option<usize> {
        self.instances.iter().position(|instance| instance.as_ref().is_some_and(|instance| instance.id() == id))
    }

    fn forget(&mut self, id: InstanceId) {
        let Some(slot) = self.slot(id) else { return };
        self.instances[slot] = None;
        self.meter.forget(slot);
        for slots in self.ports.iter_mut().flat_map(|port| port.routes.iter_mut().flatten()) {
            slots.retain(|other| *other != slot);
        }
    }

    fn stop_all(&mut self) {
        self.scribe.note(|| Entry::Stop);
        for id in self.ids() {
            self.on_instance(id, |instance, turn| instance.stop(turn));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_charged_to_the_shard_that_it_was_spent_on() {
        let (mut meter, shards) = (Meter::default(), [Arc::<ShardMetrics>::default(), Arc::default()]);
        // Two strategies on the first shard, one on the second.
        for (slot, shard) in [(0, 0), (1, 0), (2, 1)] {
            meter.add(slot, Arc::clone(&shards[shard]));
        }
        let busy = || [shards[0].busy_ns.get(), shards[1].busy_ns.get()];
        meter.stop(1_000);
        meter.begin(0);
        meter.turn_to(1);
        assert_eq!(busy(), [0, 0], "no clock is read between two strategies of one shard");
        meter.count_record();
        meter.stop(1_500);
        assert_eq!((busy(), shards[0].records.get()), ([500, 0], 1));
        // What every shard sees: each has its own part of the time.
        let began = mono_ns();
        meter.stop(began);
        meter.begin(0);
        while mono_ns() < began + 10_000 {}
        meter.turn_to(2);
        let first = shards[0].busy_ns.get() - 500;
        meter.stop(began + first + 7);
        assert!(first >= 10_000 && busy()[1] == 7, "{:?}", busy());
        meter.stop(u64::MAX);
        assert_eq!(busy()[1], 7, "waiting is nobody's");
        // Where a thread does more than present: what came before is the next one's, what came after the last one's.
        meter.charge_from(began);
        meter.stop(began + 100);
        meter.begin(2);
        meter.stop(began + 150);
        meter.charge_last(30);
        assert_eq!((busy()[0], busy()[1]), (500 + first, 7 + 150 + 30));
        meter.forget(2);
        meter.begin(2);
        meter.stop(u64::MAX);
    }
}
