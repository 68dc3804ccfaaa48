//! A worker without Kafka: the runtime's own loop, fed by hand, its orders collected as egress would write them.
//!
//! For promises about the worker itself: same events in, same order bytes out, whatever the guest is made of.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use pinion_runtime::app::strategy_route;
use pinion_runtime::book::Books;
use pinion_runtime::clock::mono_ns;
use pinion_runtime::duty::{Crew, Standing};
use pinion_runtime::egress::{OrderIdentity, Outbound, Outbox};
use pinion_runtime::event::{Event, Stamp};
use pinion_runtime::fence::Fence;
use pinion_runtime::ingest::Quiet;
use pinion_runtime::instance::{Instance, InstanceId, InstanceParts, InstanceRecorders, Notice, ReadyGuest};
use pinion_runtime::instruments::Instruments;
use pinion_runtime::journal::Scribe;
use pinion_runtime::limits::{OUTBOUND_RING, RING_EVENTS};
use pinion_runtime::metrics::{ShardMetrics, StrategyMetrics, WorkerMetrics, recorder};
use pinion_runtime::plan;
use pinion_runtime::ring::{Wait, Waker};
use pinion_runtime::risk::{Executions, Limits};
use pinion_runtime::sandbox::{Guest, Host, HostConfig};
use pinion_runtime::wire::{self, Provenance};
use pinion_runtime::worker::{Command, FeedId, FeedPort, Worker, WorkerParts};
use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Encoding, Instrument, Resync, Strategy};

use crate::captures::{Capture, project_root};

/// A worker on a thread of its own.
pub struct Rig {
    /// Its commands.
    pub commands: Sender<Command>,
    /// What it tells the control plane.
    pub notices: Receiver<Notice>,
    waker: Waker,
    events: rtrb::Producer<Event>,
    outbound: rtrb::Consumer<Outbound>,
    standing: Standing,
    orders: Vec<u8>,
    messages: u64,
    metrics: Vec<Arc<StrategyMetrics>>,
    /// What the worker does for the only shard.
    pub shard: Arc<ShardMetrics>,
}

/// A strategy on the rig.
pub struct Loaded {
    /// The instance.
    pub id: InstanceId,
    /// What a swap of it needs.
    pub route: Arc<pinion_runtime::egress::OrderRoute>,
    /// Counters.
    pub metrics: Arc<StrategyMetrics>,
}

/// An example's strategy file, set to read a capture.
#[must_use]
pub fn example(name: &str, capture: &Capture) -> Strategy {
    let file = project_root().join("strategies-examples").join(name).join("strategy.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut strategy = pinion_spec::parse(&text, name).unwrap().remove(0);
    if capture.encoding == Encoding::BinanceUsdm.name() {
        let input = &mut strategy.spec.inputs[0];
        input.encoding = Encoding::BinanceUsdm;
        input.publisher = None;
        let tick = "0.1".parse().unwrap();
        let lot = "0.001".parse().unwrap();
        strategy.spec.instruments =
            vec![Instrument { symbol: "BTCUSDT".to_owned(), publisher: None, id: None, tick, lot, size_exponent: -9 }];
    }
    strategy
}

/// An example's module.
#[must_use]
pub fn module(name: &str) -> Vec<u8> {
    let path = project_root().join("strategies-examples").join(name).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make strategies`", path.display()))
}

/// The host state that a strategy's guest is made with.
#[must_use]
pub fn host_of(strategy: &Strategy) -> Host {
    let instruments = plan::instruments(strategy).unwrap();
    Host::new(HostConfig {
        instruments: Arc::new(Instruments::new(instruments)),
        intents_per_call: strategy.spec.budget.intents_per_call as usize,
        log_bytes_per_second: strategy.spec.budget.log_bytes_per_second,
    })
}

/// Calls `on-init` with a strategy's params.
#[must_use]
pub fn ready(guest: Box<dyn Guest>, strategy: &Strategy) -> ReadyGuest {
    let params: Vec<_> = strategy.spec.params.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    ReadyGuest::init(guest, &params).unwrap()
}

/// An instance of a strategy on partition 0 of topic 0. Its guest must come from [`host_of`].
#[must_use]
pub fn instance(
    strategy: &Strategy,
    guest: ReadyGuest,
    id: InstanceId,
    shard_metrics: Arc<ShardMetrics>,
) -> (Instance, Loaded) {
    let feed = plan::feeds(&[strategy]).unwrap().remove(0);
    let shard = plan::shards(strategy, &feed, &[1]).unwrap().remove(0);
    let instruments = Arc::new(Instruments::new(plan::instruments(strategy).unwrap()));
    let risk = strategy.spec.risk.clone().unwrap_or_default();
    let identity = OrderIdentity {
        strategy: ClientOrderId::strategy_hash(strategy.tenant(), &strategy.metadata.name),
        sources: shard.sources.iter().map(|source| (source.topic_hash, source.partition)).collect(),
    };
    let topics = strategy.spec.inputs.iter().map(|input| input.topic.clone()).collect();
    let limits = Arc::new(Limits::compile(&risk, &instruments).unwrap());
    let route =
        Arc::new(strategy_route(strategy, 0, FeedId(0), "sha256:test".to_owned(), topics, instruments, identity));
    let (call, call_reader) = recorder();
    let (check, check_reader) = recorder();
    let metrics =
        Arc::new(StrategyMetrics::new(strategy.tenant(), &strategy.metadata.name, Some(0), call_reader, check_reader));
    let parts = InstanceParts {
        id,
        route: Arc::clone(&route),
        limits,
        executions: Executions::Assumed,
        trading_state: strategy.spec.trading_state,
        sources: shard.sources,
        metrics: Arc::clone(&metrics),
        shard: shard_metrics,
        recorders: InstanceRecorders { strategy: call, risk: check },
    };
    (Instance::new(parts, guest), Loaded { id, route, metrics })
}

impl Rig {
    /// An idle worker that reads one feed.
    #[must_use]
    pub fn start(resync: Resync, on_worker: impl FnOnce() + Send + 'static) -> Self {
        Self::start_with(resync, Fence::default(), Wait::Park, on_worker)
    }

    /// The same, acting on a lease.
    #[must_use]
    pub fn start_fenced(resync: Resync, fence: Fence, on_worker: impl FnOnce() + Send + 'static) -> Self {
        Self::start_with(resync, fence, Wait::Park, on_worker)
    }

    /// The same, waiting in some way.
    #[must_use]
    pub fn start_with(resync: Resync, fence: Fence, wait: Wait, on_worker: impl FnOnce() + Send + 'static) -> Self {
        let (commands, command_receiver) = crossbeam_channel::unbounded();
        let (notice_sender, notices) = crossbeam_channel::unbounded();
        let (events, ring) = rtrb::RingBuffer::new(RING_EVENTS);
        let (outbound_sender, outbound) = rtrb::RingBuffer::new(OUTBOUND_RING);
        let (queue, queue_reader) = recorder();
        let metrics = Arc::new(WorkerMetrics::new(0, queue_reader));
        let parts = WorkerParts {
            metrics: Arc::clone(&metrics),
            commands: command_receiver,
            notices: notice_sender,
            outbox: Outbox::new(outbound_sender, Waker::default(), metrics),
            queue,
            shares: false,
            fence,
            scribe: Scribe::default(),
        };
        let crew = Crew::start("worker".to_owned(), wait, on_worker, |_| {}).unwrap();
        let waker = crew.waker().clone();
        let standing = crew.add(Box::new(Worker::new(parts)));
        let books = Box::new(Books::new(resync));
        commands
            .send(Command::AddFeed(Box::new(FeedPort {
                feed: FeedId(0),
                ring,
                books,
                quiet: Quiet::default(),
                broadcast: vec![false],
            })))
            .unwrap();
        Self {
            commands,
            notices,
            waker,
            events,
            outbound,
            standing,
            orders: Vec::new(),
            messages: 0,
            metrics: Vec::new(),
            shard: Arc::default(),
        }
    }

    /// Runs a strategy on partition 0 of topic 0. Its guest must come from [`host_of`].
    pub fn load(&mut self, strategy: &Strategy, guest: ReadyGuest) -> Loaded {
        let id = InstanceId(u32::try_from(self.metrics.len()).unwrap());
        let (instance, loaded) = instance(strategy, guest, id, Arc::clone(&self.shard));
        self.command(Command::AddInstance { feed: FeedId(0), instance: Box::new(instance), inputs: vec![(0, 0)] });
        self.metrics.push(Arc::clone(&loaded.metrics));
        loaded
    }

    /// Sends a command.
    pub fn command(&self, command: Command) {
        self.commands.send(command).unwrap();
        self.waker.wake();
    }

    /// Sends a record's events, taking orders out while the ring is full.
    pub fn push(&mut self, record: &[Event]) {
        for event in record {
            while self.events.push(*event).is_err() {
                self.waker.wake();
                if !self.take() {
                    thread::yield_now();
                }
            }
        }
        self.waker.wake();
        self.take();
    }

    /// Publishes one event, and spins until the order that it causes comes out; how long that took, ns.
    ///
    /// # Panics
    /// If what comes out is another event's.
    #[inline]
    pub fn decide(&mut self, event: &Event) -> u64 {
        let began = mono_ns();
        self.publish(event);
        loop {
            match self.outbound.pop() {
                Ok(Outbound::Order { origin, .. }) => {
                    assert_eq!(origin, event.origin, "an order of another event");
                    return mono_ns() - began;
                }
                Ok(_) => {}
                Err(_) => std::hint::spin_loop(),
            }
        }
    }

    /// Whether the worker's ring has room for another event.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.events.slots() > 0
    }

    /// Publishes one event, stamped with now. There must be room.
    #[inline]
    pub fn publish(&mut self, event: &Event) {
        let now = mono_ns();
        let event = Event { stamp: Stamp { polled_ns: now, routed_ns: now }, ..*event };
        assert!(self.events.push(event).is_ok(), "the ring is full");
        self.waker.wake();
    }

    /// Takes what came out until an order has; whether one has.
    #[inline]
    pub fn take_one(&mut self) -> bool {
        while let Ok(outbound) = self.outbound.pop() {
            if matches!(outbound, Outbound::Order { .. }) {
                return true;
            }
        }
        false
    }

    /// Waits until everything pushed has been presented.
    pub fn settle(&mut self) {
        while self.events.slots() < RING_EVENTS {
            if !self.take() {
                thread::yield_now();
            }
        }
        let (answer, answered) = crossbeam_channel::bounded(1);
        self.command(Command::Ping(answer));
        while answered.try_recv().is_err() {
            if !self.take() {
                thread::yield_now();
            }
        }
        while self.take() {}
    }

    /// Orders sent so far.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    fn take(&mut self) -> bool {
        let mut taken = false;
        while let Ok(outbound) = self.outbound.pop() {
            taken = true;
            if let Outbound::Order { order, route, origin, ts, .. } = outbound {
                wire::encode_order(&order, &Provenance { route: &route, origin, ts }, &mut self.orders);
                self.orders.push(b'\n');
                self.messages += 1;
            }
        }
        taken
    }

    /// Drains the worker and returns the order stream: each order's bytes and a newline.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        // A worker whose lease has run out has ended by itself.
        let _ = self.commands.send(Command::Drain);
        self.waker.wake();
        while !self.standing.is_over() {
            if !self.take() {
                thread::yield_now();
            }
        }
        assert!(self.standing.wait(), "the worker has died");
        self.take();
        std::mem::take(&mut self.orders)
    }
}
