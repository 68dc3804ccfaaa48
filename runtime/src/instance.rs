//! One strategy on one shard, running: its guest, its clock and timers, its ledger, and what becomes of what it asks for.
//!
//! The order of things inside one event is fixed, because replay depends on it: time bars that the event closes and timers that it
//! passes, each at its own time; then what the host has to say about their intents (`on-order` of denials), and about the intents of these calls, up to
//! [`DENIAL_ROUNDS_MAX`] rounds; the event; and the same for its intents. What is left after the last round is told with the
//! next event. The stream clock never goes back and is constant inside a callback.

use std::sync::Arc;

use crossbeam_channel::Sender;
use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::TradingState;

use crate::bars::{Bar, Bars};
use crate::book::{Applied, Books};
use crate::clock::mono_ns;
use crate::effects::Intent;
use crate::egress::{OrderRoute, Outbound, Outbox};
use crate::event::{Body, Event, FLAG_SNAPSHOT, Origin, Stamp, Trade};
use crate::journal::{Entry, Scribe};
use crate::limits::{DENIAL_ROUNDS_MAX, DUE_CALLS_PER_EVENT_MAX, INBOX_UPDATES_MAX, TIMERS_MAX};
use crate::metrics::{EventKind, Recorder, ShardMetrics, StrategyMetrics};
use crate::risk::{self, Executions, Ledger, Limits, Request};
use crate::sandbox::log::LogLevel;
use crate::sandbox::{Call, Callbacks, Fault, FaultKind, Guest, Host, OrderUpdate, Wants, pulse};
use crate::stopwatch;
use crate::timers::Timers;

/// Names an instance in this process; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(pub u32);

/// What a worker tells the control plane.
pub enum Notice {
    /// An instance's guest did wrong and was taken out.
    Faulted {
        /// Which.
        id: InstanceId,
        /// What it did.
        fault: Fault,
        /// In which of the instance's calls, counted from 1.
        call: u64,
        /// The guest, to be dropped off the worker.
        guest: Box<dyn Guest>,
    },
    /// A guest was replaced; to be dropped off the worker.
    Retired {
        /// Which instance it was.
        id: InstanceId,
        /// The guest.
        guest: Option<Box<dyn Guest>>,
        /// Another module took its place: what the old one did wrong is forgiven.
        swapped: bool,
    },
    /// A guest was to take another's place and did not; to be dropped off the worker.
    Kept {
        /// Which instance goes on with the guest that it has.
        id: InstanceId,
        /// The guest that was to come.
        guest: Box<dyn Guest>,
        /// Why.
        why: String,
    },
    /// An instance was taken out; its guest to be dropped off the worker.
    Removed {
        /// Which.
        id: InstanceId,
        /// The guest.
        guest: Option<Box<dyn Guest>>,
        /// What it counted; it counts no more.
        metrics: Arc<StrategyMetrics>,
    },
    /// Log lines of a guest.
    Log {
        /// Which instance.
        id: InstanceId,
        /// Each with its stream time, ns.
        lines: Vec<(u64, LogLevel, String)>,
    },
}

/// The writing ends of one instance's recorders.
#[derive(Debug)]
pub struct InstanceRecorders {
    /// One callback.
    pub strategy: Recorder,
    /// The checks of one callback's intents.
    pub risk: Recorder,
}

/// What an instance is made of; built by the control plane.
pub struct InstanceParts {
    /// Its name.
    pub id: InstanceId,
    /// Where its orders go.
    pub route: Arc<OrderRoute>,
    /// Its limits.
    pub limits: Arc<Limits>,
    /// How its ledger learns what became of its orders.
    pub executions: Executions,
    /// What it may do.
    pub trading_state: TradingState,
    /// Its input partitions; the index is the `source` of its order ids.
    pub sources: Vec<Source>,
    /// Counters.
    pub metrics: Arc<StrategyMetrics>,
    /// Its shard's, shared with the other strategies of the group.
    pub shard: Arc<ShardMetrics>,
    /// Recorders.
    pub recorders: InstanceRecorders,
}

/// One input partition of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Index of the topic in the feed.
    pub topic: u16,
    /// Partition.
    pub partition: u16,
    /// [`ClientOrderId::topic_hash`] of the topic.
    pub topic_hash: u16,
}

/// What an instance needs of its worker for the length of one event.
pub struct Turn<'a> {
    /// The feed's books; lent to the guest's imports during a call.
    pub books: &'a mut Option<Box<Books>>,
    /// The way to egress.
    pub outbox: &'a mut Outbox,
    /// The way to the control plane.
    pub notices: &'a Sender<Notice>,
    /// Instruments whose kill switch is on.
    pub killed: &'a [u64],
    /// When the record passed, or the command came.
    pub stamp: Stamp,
    /// Where faults are noted.
    pub scribe: &'a mut Scribe,
}

/// A guest that `on-init` has accepted, and whose wants can be met.
pub struct ReadyGuest {
    guest: Box<dyn Guest>,
    callbacks: Callbacks,
    bars: Bars,
}

impl ReadyGuest {
    /// Calls `on-init`.
    ///
    /// # Errors
    /// What the guest did wrong, or wants and cannot have.
    pub fn init(mut guest: Box<dyn Guest>, params: &[(String, String)]) -> Result<Self, Fault> {
        let wants = guest.init(params);
        // Whoever makes a guest makes no other call.
        pulse::rest();
        let Wants { callbacks, bars } = wants?;
        let bars = Bars::new(&bars, &guest.host().instruments).map_err(Fault::refused)?;
        Ok(Self { guest, callbacks, bars })
    }
}

/// A running instance.
pub struct Instance {
    parts: InstanceParts,
    /// `None` while it is down after a fault.
    guest: Option<Box<dyn Guest>>,
    callbacks: Callbacks,
    strategy_hash: u32,
    /// Kept here while there is no guest to hold it.
    ledger: Option<Ledger>,
    timers: Timers,
    bars: Bars,
    inbox: Vec<OrderUpdate>,
    /// The batch of `inbox` that is being told.
    telling: Vec<OrderUpdate>,
    /// Stream clock.
    now: u64,
    /// The record that is being presented, and how many order ids it has used up: ids stay unique over a fault or a swap.
    record: Origin,
    record_orders: u32,
    /// Index of the record's partition in `sources`.
    source: u8,
    /// Whether the guest has written log lines that nobody has taken.
    log_waits: bool,
    /// Callbacks so far, `on-save` among them.
    calls: u64,
    /// The call that a journal says ran out of its budget; 0 for none.
    over_budget: u64,
}

impl Instance {
    /// An instance that has not been started.
    #[must_use]
    pub fn new(parts: InstanceParts, ready: ReadyGuest) -> Self {
        let strategy_hash = ClientOrderId::strategy_hash(&parts.route.tenant, &parts.route.strategy);
        let mut guest = ready.guest;
        guest.host().ledger = Ledger::new(parts.executions, &parts.limits);
        Self {
            parts,
            guest: Some(guest),
            callbacks: ready.callbacks,
            strategy_hash,
            ledger: None,
            timers: Timers::default(),
            bars: ready.bars,
            inbox: Vec::with_capacity(INBOX_UPDATES_MAX),
            telling: Vec::with_capacity(INBOX_UPDATES_MAX),
            now: 0,
            record: Origin::default(),
            record_orders: 0,
            source: 0,
            log_waits: false,
            calls: 0,
            over_budget: 0,
        }
    }

    /// A call to come is not made: live it ran out of its budget, by clocks that are not here.
    pub const fn force_over_budget(&mut self, call: u64) {
        self.over_budget = call;
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> InstanceId {
        self.parts.id
    }

    /// Where its worker's time on it is counted.
    #[must_use]
    pub const fn shard(&self) -> &Arc<ShardMetrics> {
        &self.parts.shard
    }

    /// Its input partitions: (topic, partition).
    pub fn inputs(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.parts.sources.iter().map(|source| (source.topic, source.partition))
    }

    /// Where its orders go, with its tenant's and strategy's names.
    #[must_use]
    pub fn route(&self) -> &OrderRoute {
        &self.parts.route
    }

    /// Stream time of the next timer or time bar; `u64::MAX` for none.
    #[must_use]
    #[inline]
    pub fn due(&self) -> u64 {
        self.timers.due().min(self.bars.due())
    }

    /// Whether a timer or a time bar is due at a stream time.
    #[must_use]
    #[inline]
    pub fn is_due(&self, ts: u64) -> bool {
        self.due() <= ts
    }

    /// Calls `on-start`.
    pub fn start(&mut self, turn: &mut Turn<'_>) {
        self.call(&Call::Start, turn);
        self.tell_denials(turn);
    }

    /// Calls `on-stop`, cancels what works, and takes the guest out.
    pub fn stop(&mut self, turn: &mut Turn<'_>) {
        self.call(&Call::Stop, turn);
        self.cancel_all(turn);
        let guest = self.take_guest();
        let metrics = Arc::clone(&self.parts.metrics);
        let _ = turn.notices.send(Notice::Removed { id: self.parts.id, guest, metrics });
    }

    /// Puts another module's guest in the place of this one, or of the one that faulted. Orders, positions, timers, bars and the clock
    /// stay, and state where both modules want it.
    ///
    /// # Errors
    /// Why the state cannot be handed on; then nothing is replaced.
    pub fn swap(&mut self, ready: ReadyGuest, route: Arc<OrderRoute>, turn: &mut Turn<'_>) -> Result<(), String> {
        let mut ready = ready;
        if let Err(why) = self.hand_on(&mut ready, turn) {
            let _ = turn.notices.send(Notice::Kept { id: self.parts.id, guest: ready.guest, why: why.clone() });
            return Err(why);
        }
        self.parts.metrics.swaps.add(1);
        self.replace(ready, route, true, turn);
        Ok(())
    }

    /// State from this guest to the one that is to take its place.
    fn hand_on(&mut self, ready: &mut ReadyGuest, turn: &mut Turn<'_>) -> Result<(), String> {
        if !self.callbacks.wants(Callbacks::STATE) || !ready.callbacks.wants(Callbacks::STATE) {
            return Ok(());
        }
        let now = self.now;
        let Some(guest) = self.guest.as_mut() else { return Ok(()) };
        self.calls += 1;
        guest.host().now = now;
        let over_budget = self.calls == self.over_budget;
        let saved = match if over_budget { Err(as_journaled()) } else { guest.save() } {
            Ok(saved) => saved,
            Err(fault) => {
                let why = format!("on-save of the module before: {fault}");
                self.fault(fault, turn);
                return Err(why);
            }
        };
        ready.guest.host().now = now;
        ready.guest.load(&saved).map_err(|fault| format!("on-load of version {}: {fault}", saved.version))
    }

    /// Puts a fresh guest of the same module in the place of the one that faulted.
    pub fn revive(&mut self, ready: ReadyGuest, route: Arc<OrderRoute>, turn: &mut Turn<'_>) {
        self.replace(ready, route, false, turn);
    }

    fn replace(&mut self, ready: ReadyGuest, route: Arc<OrderRoute>, swap: bool, turn: &mut Turn<'_>) {
        if self.guest.is_some() {
            self.call(&Call::Stop, turn);
        }
        let guest = self.take_guest();
        let _ = turn.notices.send(Notice::Retired { id: self.parts.id, guest, swapped: swap });
        self.parts.route = route;
        self.callbacks = ready.callbacks;
        let before = std::mem::replace(&mut self.bars, ready.bars);
        self.bars.go_on_from(before);
        let mut guest = ready.guest;
        if let Some(ledger) = self.ledger.take() {
            guest.host().ledger = ledger;
        }
        self.guest = Some(guest);
        self.start(turn);
    }

    /// Changes what it may do, tells it, and when HALTED cancels what works.
    pub fn set_trading_state(&mut self, state: TradingState, turn: &mut Turn<'_>) {
        self.parts.trading_state = state;
        self.parts.metrics.show_trading_state(state);
        if state == TradingState::Halted {
            self.cancel_all(turn);
        }
        if self.callbacks.wants(Callbacks::TRADING_STATE) {
            self.call(&Call::TradingState(state), turn);
            self.tell_denials(turn);
        }
    }

    /// Changes its limits.
    pub fn set_limits(&mut self, limits: Arc<Limits>) {
        if let Some(ledger) = self.ledger() {
            ledger.fit(&limits);
        }
        self.parts.limits = limits;
    }

    /// The ledger lives with the guest, and here while there is none.
    fn ledger(&mut self) -> Option<&mut Ledger> {
        match &mut self.guest {
            Some(guest) => Some(&mut guest.host().ledger),
            None => self.ledger.as_mut(),
        }
    }

    /// Closes the bars and fires the timers due at or before `ts`, each at its own time, earliest first; at the same time bars first.
    pub fn fire_due(&mut self, ts: u64, turn: &mut Turn<'_>) {
        for _ in 0..DUE_CALLS_PER_EVENT_MAX {
            let (bar, timer) = (self.bars.due(), self.timers.due());
            if bar.min(timer) > ts {
                break;
            }
            self.now = self.now.max(bar.min(timer));
            if bar <= timer {
                let closed = self.bars.close_due(self.now);
                self.tell_bar(closed, turn);
            } else if let Some(timer) = self.timers.pop() {
                self.call_if(Callbacks::TIMER, || Call::Timer { timer_id: timer.id, at: timer.at }, turn);
            }
        }
        self.tell_denials(turn);
    }

    fn tell_bar(&mut self, bar: Option<Bar>, turn: &mut Turn<'_>) {
        if let Some(bar) = bar {
            self.call(&Call::Bar(bar), turn);
        }
    }

    /// Bars take a trade after the guest has been told of it; also while there is none.
    fn take_into_bars(&mut self, event: &Event, trade: &Trade, turn: &mut Turn<'_>) {
        for series in 0..self.bars.len() {
            let completed = self.bars.take(series, &event.head, trade, self.now);
            self.tell_bar(completed, turn);
        }
    }

    /// Presents an event that the feed's books have taken.
    #[inline]
    pub fn present(&mut self, event: &Event, applied: &Applied, turn: &mut Turn<'_>) {
        self.now = self.now.max(event.head.ts_recv);
        self.begin_record(event.origin);
        if self.guest.is_none() {
            self.parts.metrics.missed.add(u64::from(EventKind::of(event).is_some()));
            match event.body {
                Body::Execution(execution) => self.execution(event, &execution, turn),
                Body::Trade(trade) => self.take_into_bars(event, &trade, turn),
                _ => {}
            }
            return;
        }
        match (event.body, applied) {
            (Body::Quote(quote), _) => self.call_if(Callbacks::QUOTE, || Call::Quote(event.head, quote), turn),
            (Body::Trade(trade), _) => {
                self.call_if(Callbacks::TRADE, || Call::Trade(event.head, trade), turn);
                self.take_into_bars(event, &trade, turn);
            }
            (Body::Status(state), _) => self.call_if(Callbacks::STATUS, || Call::Status(event.head, state), turn),
            (Body::Depth(_), Applied::Begin { gap, cleared }) => {
                if let Some(gap) = *gap {
                    self.call_if(Callbacks::GAP, || Call::Gap(event.head, gap), turn);
                }
                if *cleared {
                    self.call_if(Callbacks::BOOK_DELTA, || Call::BookDelta(event.head, None), turn);
                }
                if event.is_last() {
                    self.book_done(event, false, turn);
                }
            }
            (Body::Delta(delta), Applied::Delta { taken, last, recovered, gap }) => {
                if *taken {
                    self.call_if(Callbacks::BOOK_DELTA, || Call::BookDelta(event.head, Some(delta)), turn);
                }
                if let Some(gap) = *gap {
                    self.call_if(Callbacks::GAP, || Call::Gap(event.head, gap), turn);
                    self.call_if(Callbacks::BOOK_DELTA, || Call::BookDelta(event.head, None), turn);
                }
                if *last {
                    self.book_done(event, *recovered, turn);
                }
            }
            (Body::Execution(execution), _) => self.execution(event, &execution, turn),
            (Body::Depth(_) | Body::Delta(_) | Body::Skip, _) => {}
        }
        if !self.inbox.is_empty() {
            self.tell_denials(turn);
        }
    }

    /// Orders get their ids from the instance's own last record: what a timer or a command causes too.
    #[inline]
    fn begin_record(&mut self, origin: Origin) {
        if self.record == origin {
            return;
        }
        self.record = origin;
        self.record_orders = 0;
        let here = |source: &Source| (source.topic, source.partition) == (origin.topic, origin.partition);
        // The worker presents only records of these partitions.
        let source = self.parts.sources.iter().position(here).and_then(|source| u8::try_from(source).ok());
        self.source = source.unwrap_or_default();
    }

    /// A whole depth update has been taken.
    fn book_done(&mut self, event: &Event, recovered: bool, turn: &mut Turn<'_>) {
        let instrument_id = event.head.instrument_id;
        if event.head.flags & FLAG_SNAPSHOT != 0 && self.callbacks.wants(Callbacks::BOOK_DELTA) {
            // The guest was told `clear` and then the snapshot; here is the rest of the book. Cold: once a snapshot.
            let rest = turn.books.as_deref().map(|books| books.newer_than_snapshot(instrument_id).collect::<Vec<_>>());
            for delta in rest.into_iter().flatten() {
                self.call(&Call::BookDelta(event.head, Some(delta)), turn);
            }
        }
        if self.callbacks.wants(Callbacks::BOOK_DELTA) {
            let pushed_out = |turn: &Turn<'_>, n| turn.books.as_deref()?.pushed_out(instrument_id, n);
            let mut n = 0;
            while let Some(delta) = pushed_out(&*turn, n) {
                self.call(&Call::BookDelta(event.head, Some(delta)), turn);
                n += 1;
            }
        }
        if recovered {
            let sequence = event.head.sequence;
            self.call_if(Callbacks::GAP, || Call::Recovered { instrument_id, sequence }, turn);
        }
        if self.callbacks.wants(Callbacks::BOOK)
            && let Some(top) = turn.books.as_deref().and_then(|books| books.top(instrument_id))
        {
            self.call(&Call::Book(event.head, top), turn);
        }
    }

    fn execution(&mut self, event: &Event, execution: &crate::event::Execution, turn: &mut Turn<'_>) {
        let order = execution.order;
        if order.strategy != self.strategy_hash {
            return;
        }
        let source =
            self.parts.sources.iter().position(|s| s.topic_hash == order.topic && s.partition == order.partition);
        let Some(order_id) = source.and_then(|source| {
            crate::event::checked_order_id(u8::try_from(source).ok()?, order.offset, u32::from(order.n))
        }) else {
            return;
        };
        // Also while the guest is down: what the venue did counts, whoever is there to hear of it.
        let told = self.ledger().and_then(|ledger| ledger.apply_execution(order_id, &event.head, execution));
        let Some((update, fill)) = told else { return };
        if let Some(fill) = fill {
            self.call_if(Callbacks::FILL, || Call::Fill(fill), turn);
        }
        self.call_if(Callbacks::ORDER, || Call::Order(update), turn);
        if fill.is_some() && self.callbacks.wants(Callbacks::POSITION) {
            let id = update.instrument_id;
            let market = turn.books.as_deref().map(|books| books.reference(id));
            let position = market.zip(self.ledger()).map(|(market, ledger)| ledger.position(id, &market));
            if let Some(position) = position {
                self.call(&Call::Position(id, position), turn);
            }
        }
    }

    #[inline]
    fn call_if(&mut self, wanted: Callbacks, call: impl FnOnce() -> Call, turn: &mut Turn<'_>) {
        if self.callbacks.wants(wanted) {
            self.call(&call(), turn);
        }
    }

    /// One callback, then what it asked for.
    fn call(&mut self, call: &Call, turn: &mut Turn<'_>) {
        let Some(guest) = self.guest.as_mut() else { return };
        self.calls += 1;
        if self.calls == self.over_budget {
            return self.fault(as_journaled(), turn);
        }
        let host = guest.host();
        host.now = self.now;
        host.source = self.source;
        host.offset = self.record.offset;
        host.record_orders = self.record_orders;
        host.books = turn.books.take();
        let is_timed = self.parts.recorders.strategy.is_on();
        let now = || if is_timed { stopwatch::ns() } else { 0 };
        let began = now();
        host.began_ns = began;
        let outcome = guest.call(call);
        let ended = now();
        self.parts.recorders.strategy.record(ended.saturating_sub(began));
        let host = guest.host();
        *turn.books = host.books.take();
        self.record_orders = host.record_orders;
        if !host.log.is_empty() {
            self.log_waits = true;
        }
        match outcome {
            Ok(()) if host.effects.is_empty() => {}
            Ok(()) => {
                self.take_effects(turn);
                self.parts.recorders.risk.record(now().saturating_sub(ended));
            }
            Err(fault) => self.fault(fault, turn),
        }
    }

    fn take_effects(&mut self, turn: &mut Turn<'_>) {
        let Some(guest) = self.guest.as_mut() else { return };
        let Host { effects, ledger, .. } = guest.host();
        let mut desk =
            Desk { parts: &self.parts, now: self.now, record: self.record, ledger, inbox: &mut self.inbox, turn };
        let mut timers_full = false;
        for intent in effects.drain() {
            match intent {
                Intent::Submit { order_id, order } => desk.settle(&Request::Submit { order_id, order }),
                Intent::Modify { order_id, price, size } => desk.settle(&Request::Modify { order_id, price, size }),
                Intent::Cancel { order_id } => desk.settle(&Request::Cancel { order_id }),
                Intent::CancelAll => desk.cancel_where(|_| true),
                Intent::SetTimer { timer_id, at } => {
                    // A timer for now or before would fire for ever inside one event.
                    let at = if at == 0 { 0 } else { at.max(self.now + 1) };
                    timers_full |= !self.timers.set(timer_id, at);
                }
            }
        }
        if timers_full {
            self.fault(Fault { kind: FaultKind::Intents, detail: format!("more than {TIMERS_MAX} timers set") }, turn);
        }
    }

    /// Tells the guest which of its intents were denied, and so on for what it asks for then, a few rounds.
    fn tell_denials(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..DENIAL_ROUNDS_MAX {
            if self.inbox.is_empty() {
                return;
            }
            std::mem::swap(&mut self.inbox, &mut self.telling);
            for index in 0..self.telling.len() {
                let update = self.telling[index];
                self.call_if(Callbacks::ORDER, || Call::Order(update), turn);
            }
            self.telling.clear();
        }
    }

    /// The guest did wrong: what works is cancelled, and the control plane decides when another takes its place.
    #[cold]
    fn fault(&mut self, fault: Fault, turn: &mut Turn<'_>) {
        self.parts.metrics.faults[fault.kind as usize].add(1);
        let (instance, call) = (self.parts.id.0, self.calls);
        turn.scribe.note(|| Entry::Fault { instance, call, kind: fault.kind.label().to_owned() });
        self.cancel_all(turn);
        self.inbox.clear();
        self.timers.clear();
        if let Some(guest) = self.take_guest() {
            // Fails only when the control plane is gone, and then nobody is left to tell.
            let _ = turn.notices.send(Notice::Faulted { id: self.parts.id, fault, call, guest });
        }
    }

    /// Cancels every working order, outside the guest.
    pub fn cancel_all(&mut self, turn: &mut Turn<'_>) {
        self.cancel_where(|_| true, turn);
    }

    /// Cancels every working order on an instrument, outside the guest.
    pub fn cancel_instrument(&mut self, instrument_id: u64, turn: &mut Turn<'_>) {
        self.cancel_where(|id| id == instrument_id, turn);
    }

    fn cancel_where(&mut self, wanted: impl Fn(u64) -> bool, turn: &mut Turn<'_>) {
        let ledger = match (&mut self.guest, &mut self.ledger) {
            (Some(guest), _) => &mut guest.host().ledger,
            (None, Some(ledger)) => ledger,
            (None, None) => return,
        };
        let mut desk =
            Desk { parts: &self.parts, now: self.now, record: self.record, ledger, inbox: &mut self.inbox, turn };
        desk.cancel_where(wanted);
    }

    /// Copies out what a person reads, a few times a second: log lines to the control plane, gauges to the metrics.
    pub fn report(&mut self, notices: &Sender<Notice>) {
        let Some(guest) = self.guest.as_mut() else { return };
        self.parts.metrics.memory_bytes.set(i64::try_from(guest.memory_bytes()).unwrap_or(i64::MAX));
        let host = guest.host();
        if std::mem::take(&mut self.log_waits) {
            let mut lines = Vec::new();
            host.log.drain(|line| lines.push((line.now, line.level, line.message.to_owned())));
            let _ = notices.send(Notice::Log { id: self.parts.id, lines });
        }
        self.parts.metrics.log_dropped.set(host.log.dropped());
        if let Ok(mut gauges) = self.parts.metrics.gauges.try_lock() {
            for (index, (name, value)) in host.gauges.iter().enumerate() {
                match gauges.get_mut(index) {
                    Some(known) if known.0 == name => known.1 = value,
                    // A name is new once: after that nothing is allocated.
                    _ => {
                        gauges.truncate(index);
                        gauges.push((name.to_owned(), value));
                    }
                }
            }
        }
    }

    fn take_guest(&mut self) -> Option<Box<dyn Guest>> {
        let mut guest = self.guest.take()?;
        self.ledger = Some(std::mem::take(&mut guest.host().ledger));
        Some(guest)
    }
}

fn as_journaled() -> Fault {
    Fault { kind: FaultKind::Budget, detail: "as the journal says".to_owned() }
}

/// Puts an instance's intents through the risk check and on their way.
struct Desk<'a, 'b> {
    parts: &'a InstanceParts,
    now: u64,
    record: Origin,
    ledger: &'a mut Ledger,
    inbox: &'a mut Vec<OrderUpdate>,
    turn: &'a mut Turn<'b>,
}

impl Desk<'_, '_> {
    /// Cancels working orders by instrument. From the last to the first: a cancel that is taken as done moves only orders
    /// behind it.
    fn cancel_where(&mut self, wanted: impl Fn(u64) -> bool) {
        for place in (0..self.ledger.working_len()).rev() {
            let Some(order_id) = self.ledger.working_id(place) else { continue };
            if self.ledger.instrument_of(order_id).is_some_and(&wanted) {
                self.settle(&Request::Cancel { order_id });
            }
        }
    }

    fn settle(&mut self, request: &Request) {
        let Some(books) = self.turn.books.as_deref() else { return };
        let metrics = &self.parts.metrics;
        let killed = self.turn.killed;
        let context = risk::Context {
            limits: &self.parts.limits,
            books,
            now: self.now,
            trading_state: self.parts.trading_state,
            kill: !killed.is_empty() && self.instrument(request).is_some_and(|id| killed.contains(&id)),
        };
        let checked = risk::check(request, self.ledger, &context);
        let route = || Arc::clone(&self.parts.route);
        let (origin, stamp, ts) = (self.record, self.turn.stamp, self.now);
        match checked {
            Ok(order) => {
                metrics.orders[order.kind() as usize].add(1);
                let decided_ns = mono_ns();
                self.turn.outbox.push(Outbound::Order { order, route: route(), origin, stamp, ts, decided_ns });
            }
            Err(denial) => {
                metrics.denials[denial.reason.index()].add(1);
                if self.inbox.len() < INBOX_UPDATES_MAX {
                    self.inbox.push(denial.update(self.now));
                } else {
                    metrics.updates_dropped.add(1);
                }
                if self.parts.route.denials_topic.is_some() {
                    self.turn.outbox.push(Outbound::Denied { denial, route: route(), origin, ts });
                }
            }
        }
    }

    fn instrument(&self, request: &Request) -> Option<u64> {
        match request {
            Request::Submit { order, .. } => Some(order.instrument_id),
            Request::Modify { order_id, .. } | Request::Cancel { order_id } => self.ledger.instrument_of(*order_id),
        }
    }
}
