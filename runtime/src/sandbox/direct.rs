//! The direct lane: the one core module of a component, its callbacks called as the core functions that they are.
//!
//! Costs a few nanoseconds over a bare call. What the component's own glue would have checked is checked here: see
//! [`super::imports`] for what the guest passes in, and [`DirectGuest::init`] for what `on-init` returns.

use wasmtime::{Instance, InstancePre, Store, TypedFunc, WasmParams, WasmResults};

use super::cpu::{self, Allowance};
use super::fault::{Refusal, fault, instantiation_fault};
use super::state::{Core, State, settled, store};
use super::{Call, Callbacks, Fault, Guest, Host, Saved, Wants, abi, imports, memory, scalars};
use crate::bars::BarSeries;
use crate::event::{Head, PRICE_UNDEFINED};
use crate::limits::{BAR_SERIES_MAX, SAVED_BYTES_MAX};
use pinion_spec::strategy::Budget;

/// Head of a market event, and what follows it.
type Event1 = (u64, u32, u32, u64, u64, u64, u32);
type Event4 = (u64, u32, u32, u64, u64, u64, i64, i64, u64, u32);
type Event5 = (u64, u32, u32, u64, u64, u64, i64, i64, u32, u32, u32);
type Event6 = (u64, u32, u32, u64, u64, u64, i64, i64, i64, i64, u32, u32);
type OrderUpdate = (u64, u64, u64, u64, u64, u32, u32, i64, i64, i64);
type Bar = (u64, u32, u32, u32, u32, u64, u64, u64, i64, i64, i64, i64, i64, i64);
type Position = (u64, i64, i64, i64, i64, i64, i64, i64);
type Fill = (u64, u64, u64, u64, u64, u32, i64, i64, i64, i64, u32);

/// An instance in the direct lane.
pub(super) struct DirectGuest {
    store: Store<State>,
    allowance: Allowance,
    on_init: TypedFunc<(u32, u32, u32, u32), u32>,
    /// Of `on-init`, `on-save` and `on-load`, where they have something to free.
    post: [Option<TypedFunc<u32, ()>>; 3],
    on_start: TypedFunc<(), ()>,
    on_quote: TypedFunc<Event6, ()>,
    on_trade: TypedFunc<Event4, ()>,
    on_book_delta: TypedFunc<Event5, ()>,
    on_book: TypedFunc<Event6, ()>,
    on_gap: TypedFunc<(u64, u32, u64, u64, u64, u64), ()>,
    on_recovered: TypedFunc<(u64, u64), ()>,
    on_status: TypedFunc<Event1, ()>,
    on_bar: TypedFunc<Bar, ()>,
    on_timer: TypedFunc<(u64, u64), ()>,
    on_order: TypedFunc<OrderUpdate, ()>,
    on_fill: TypedFunc<Fill, ()>,
    on_position: TypedFunc<Position, ()>,
    on_trading_state: TypedFunc<u32, ()>,
    on_save: TypedFunc<(), u32>,
    on_load: TypedFunc<(u32, u32, u32), u32>,
    on_stop: TypedFunc<(), ()>,
}

impl DirectGuest {
    /// An instance of its own of a module.
    ///
    /// # Errors
    /// What happened in the module's start function, or [`super::FaultKind::Init`].
    pub(super) fn new(pre: &InstancePre<State>, host: Host, budget: &Budget) -> Result<Self, Fault> {
        let mut store = store(pre.module().engine(), host, budget);
        Self::instantiate(pre, &mut store)
            .map_err(|error| instantiation_fault(&error))
            .and_then(|instance| Self::bind(instance, store, budget).map_err(|error| instantiation_fault(&error)))
    }

    fn instantiate(pre: &InstancePre<State>, mut store: &mut Store<State>) -> wasmtime::Result<Instance> {
        let instance = pre.instantiate(&mut store)?;
        let memory = instance
            .get_memory(&mut store, abi::MEMORY)
            .ok_or_else(|| wasmtime::format_err!("no memory is exported"))?;
        let realloc = instance.get_typed_func(&mut store, abi::REALLOC)?;
        store.data_mut().core = Some(Core { memory, realloc }.into());
        if instance.get_func(&mut store, abi::INITIALIZE).is_some() {
            instance.get_typed_func::<(), ()>(&mut store, abi::INITIALIZE)?.call(&mut store, ())?;
        }
        Ok(instance)
    }

    fn bind(instance: Instance, mut store: Store<State>, budget: &Budget) -> wasmtime::Result<Self> {
        let mut post = [None, None, None];
        for (post, name) in post.iter_mut().zip(abi::RETURNING.map(abi::post_return)) {
            if instance.get_func(&mut store, &name).is_some() {
                *post = Some(instance.get_typed_func(&mut store, &name)?);
            }
        }
        Ok(Self {
            on_init: callback(instance, &mut store, "on-init")?,
            post,
            on_start: callback(instance, &mut store, "on-start")?,
            on_quote: callback(instance, &mut store, "on-quote")?,
            on_trade: callback(instance, &mut store, "on-trade")?,
            on_book_delta: callback(instance, &mut store, "on-book-delta")?,
            on_book: callback(instance, &mut store, "on-book")?,
            on_gap: callback(instance, &mut store, "on-gap")?,
            on_recovered: callback(instance, &mut store, "on-recovered")?,
            on_status: callback(instance, &mut store, "on-status")?,
            on_bar: callback(instance, &mut store, "on-bar")?,
            on_timer: callback(instance, &mut store, "on-timer")?,
            on_order: callback(instance, &mut store, "on-order")?,
            on_fill: callback(instance, &mut store, "on-fill")?,
            on_position: callback(instance, &mut store, "on-position")?,
            on_trading_state: callback(instance, &mut store, "on-trading-state")?,
            on_save: callback(instance, &mut store, "on-save")?,
            on_load: callback(instance, &mut store, "on-load")?,
            on_stop: callback(instance, &mut store, "on-stop")?,
            allowance: Allowance::call(budget),
            store,
        })
    }

    /// Calls `on-init` with arguments laid out in the guest's memory as the canonical ABI says.
    fn call_init(&mut self, params: &[(String, String)]) -> wasmtime::Result<Result<Wants, String>> {
        let (params, params_len) = imports::lower_params(&mut self.store, params)?;
        let (instruments, instruments_len) = imports::lower_instruments(&mut self.store)?;
        let result = self.on_init.call(&mut self.store, (params, params_len, instruments, instruments_len))?;
        let lifted = lift_init_result(self.memory()?, result)?;
        self.free(0, result)?;
        Ok(lifted)
    }

    fn call_save(&mut self) -> wasmtime::Result<Saved> {
        let result = self.on_save.call(&mut self.store, ())?;
        let saved = lift_saved(self.memory()?, result)?;
        self.free(1, result)?;
        Ok(saved)
    }

    fn call_load(&mut self, saved: &Saved) -> wasmtime::Result<Result<(), String>> {
        let (data, len) = imports::put_bytes(&mut self.store, &saved.data)?;
        let result = self.on_load.call(&mut self.store, (saved.version, data, len))?;
        let lifted = lift_load_result(self.memory()?, result)?;
        self.free(2, result)?;
        Ok(lifted)
    }

    fn memory(&self) -> Result<&[u8], Refusal> {
        match &self.store.data().core {
            Some(core) => Ok(core.memory.data(&self.store)),
            None => Err(Refusal::Reentrance),
        }
    }

    /// Lets the guest free what one of [`abi::RETURNING`] returned.
    fn free(&mut self, returning: usize, result: u32) -> wasmtime::Result<()> {
        if let Some(post) = &self.post[returning] {
            self.store.data_mut().may_not_leave = true;
            post.call(&mut self.store, result)?;
            self.store.data_mut().may_not_leave = false;
        }
        Ok(())
    }

    #[cold]
    fn fault(&mut self, error: &wasmtime::Error) -> Fault {
        let host = &mut self.store.data_mut().host;
        host.discard();
        host.explain(fault(error))
    }
}

/// `result<wants, string>`: discriminant at 0, flags or the text's pointer at 4, its length or the list's pointer at 8, the list's
/// length at 12.
fn lift_init_result(data: &[u8], pointer: u32) -> Result<Result<Wants, String>, Refusal> {
    memory::aligned(pointer, 4)?;
    let record = memory::bytes(data, pointer, 16)?;
    match record[0] {
        0 => {
            let callbacks = Callbacks(u16::from_le_bytes([record[4], record[5]]) & Callbacks::ALL.0);
            let bars = lift_bars(data, memory::u32_at(record, 8), memory::u32_at(record, 12))?;
            Ok(Ok(Wants { callbacks, bars }))
        }
        1 => lift_refusal(data, record).map(Err),
        other => Err(Refusal::Enum { name: "result", value: u32::from(other) }),
    }
}

/// `list<bar-series>`: id at 0, kind at 8, `every` at 16, grace at 24. One more than allowed is enough to be refused for.
fn lift_bars(data: &[u8], pointer: u32, len: u32) -> Result<Vec<BarSeries>, Refusal> {
    memory::aligned(pointer, 8)?;
    let bytes = len.checked_mul(32).ok_or(Refusal::OutOfBounds { pointer, len: len as usize })?;
    let series = memory::bytes(data, pointer, bytes)?.chunks_exact(32).take(BAR_SERIES_MAX + 1);
    let lift = |series: &[u8]| {
        Ok(BarSeries {
            instrument_id: memory::u64_at(series, 0),
            kind: scalars::bar_kind(u32::from(series[8]))?,
            every: memory::u64_at(series, 16),
            grace: memory::u64_at(series, 24),
        })
    };
    series.map(lift).collect()
}

/// The text of a result's error: pointer at 4, length at 8.
fn lift_refusal(data: &[u8], record: &[u8]) -> Result<String, Refusal> {
    memory::text(data, memory::u32_at(record, 4), memory::u32_at(record, 8)).map(str::to_owned)
}

/// `saved`: version at 0, pointer at 4, length at 8.
fn lift_saved(data: &[u8], pointer: u32) -> Result<Saved, Refusal> {
    memory::aligned(pointer, 4)?;
    let record = memory::bytes(data, pointer, 12)?;
    let bytes = memory::bytes(data, memory::u32_at(record, 4), memory::u32_at(record, 8))?;
    if bytes.len() > SAVED_BYTES_MAX {
        return Err(Refusal::Saved(bytes.len()));
    }
    Ok(Saved { version: memory::u32_at(record, 0), data: bytes.to_vec() })
}

/// `result<_, string>`: discriminant at 0, pointer at 4, length at 8.
fn lift_load_result(data: &[u8], pointer: u32) -> Result<Result<(), String>, Refusal> {
    memory::aligned(pointer, 4)?;
    let record = memory::bytes(data, pointer, 12)?;
    match record[0] {
        0 => Ok(Ok(())),
        1 => lift_refusal(data, record).map(Err),
        other => Err(Refusal::Enum { name: "result", value: u32::from(other) }),
    }
}

fn callback<P: WasmParams, R: WasmResults>(
    instance: Instance,
    store: &mut Store<State>,
    name: &str,
) -> wasmtime::Result<TypedFunc<P, R>> {
    instance.get_typed_func(store, &abi::export(name))
}

#[inline]
fn event6(h: &Head, (a, b, c, d, e, f): (i64, i64, i64, i64, u32, u32)) -> Event6 {
    (h.instrument_id, h.publisher_id, h.flags, h.ts_event, h.ts_recv, h.sequence, a, b, c, d, e, f)
}

impl Guest for DirectGuest {
    fn init(&mut self, params: &[(String, String)]) -> Result<Wants, Fault> {
        cpu::begin(&mut self.store, Allowance::COLD);
        let outcome = self.call_init(params);
        settled(&mut self.store, outcome)
    }

    fn save(&mut self) -> Result<Saved, Fault> {
        cpu::begin(&mut self.store, Allowance::COLD);
        let outcome = self.call_save().map(Ok);
        settled(&mut self.store, outcome)
    }

    fn load(&mut self, saved: &Saved) -> Result<(), Fault> {
        cpu::begin(&mut self.store, Allowance::COLD);
        let outcome = self.call_load(saved);
        settled(&mut self.store, outcome)
    }

    #[inline]
    fn call(&mut self, call: &Call) -> Result<(), Fault> {
        let store = &mut self.store;
        let cold = matches!(call, Call::Start | Call::Stop);
        cpu::begin(store, if cold { Allowance::COLD } else { self.allowance });
        let result = match call {
            Call::Quote(h, q) => {
                let body = (q.bid_price, q.bid_size, q.ask_price, q.ask_size, q.bid_count, q.ask_count);
                self.on_quote.call(store, event6(h, body))
            }
            Call::Trade(h, t) => self.on_trade.call(
                store,
                (
                    h.instrument_id,
                    h.publisher_id,
                    h.flags,
                    h.ts_event,
                    h.ts_recv,
                    h.sequence,
                    t.price,
                    t.size,
                    t.trade_id,
                    t.aggressor as u32,
                ),
            ),
            Call::BookDelta(h, delta) => {
                let (price, size, count, action, side) = match delta {
                    Some(d) => (d.price, d.size, d.count, 0, d.side as u32),
                    None => (PRICE_UNDEFINED, 0, 0, 1, 0),
                };
                let Head { instrument_id, publisher_id, flags, ts_event, ts_recv, sequence } = *h;
                self.on_book_delta.call(
                    store,
                    (instrument_id, publisher_id, flags, ts_event, ts_recv, sequence, price, size, count, action, side),
                )
            }
            Call::Book(h, b) => {
                let body = (b.bid_price, b.bid_size, b.ask_price, b.ask_size, b.bid_levels, b.ask_levels);
                self.on_book.call(store, event6(h, body))
            }
            Call::Gap(h, g) => self
                .on_gap
                .call(store, (h.instrument_id, h.publisher_id, h.ts_event, h.ts_recv, g.expected, g.received)),
            Call::Recovered { instrument_id, sequence } => self.on_recovered.call(store, (*instrument_id, *sequence)),
            Call::Status(h, state) => {
                let Head { instrument_id, publisher_id, flags, ts_event, ts_recv, sequence } = *h;
                self.on_status
                    .call(store, (instrument_id, publisher_id, flags, ts_event, ts_recv, sequence, *state as u32))
            }
            Call::Bar(b) => self.on_bar.call(
                store,
                (
                    b.instrument_id,
                    b.publisher_id,
                    b.series,
                    b.trades,
                    b.late,
                    b.ts_open,
                    b.ts_close,
                    b.ts_recv,
                    b.open,
                    b.high,
                    b.low,
                    b.close,
                    b.volume,
                    b.buy_volume,
                ),
            ),
            Call::Timer { timer_id, at } => self.on_timer.call(store, (*timer_id, *at)),
            Call::Order(u) => self.on_order.call(
                store,
                (
                    u.order_id,
                    u.tag,
                    u.instrument_id,
                    u.ts_event,
                    u.ts_recv,
                    u.status as u32,
                    u32::from(u.reason),
                    u.price,
                    u.leaves,
                    u.filled,
                ),
            ),
            Call::Fill(f) => {
                let e = &f.execution;
                self.on_fill.call(
                    store,
                    (
                        f.order_id,
                        f.tag,
                        f.instrument_id,
                        f.ts_event,
                        f.ts_recv,
                        f.side as u32,
                        e.price,
                        e.size,
                        e.leaves,
                        e.fee,
                        e.liquidity as u32,
                    ),
                )
            }
            Call::Position(instrument_id, p) => self.on_position.call(
                store,
                (
                    *instrument_id,
                    p.net,
                    p.working_buy,
                    p.working_sell,
                    p.average_price,
                    p.realized,
                    p.unrealized,
                    p.fees,
                ),
            ),
            Call::TradingState(state) => self.on_trading_state.call(store, scalars::trading_state(*state)),
            Call::Start => self.on_start.call(store, ()),
            Call::Stop => self.on_stop.call(store, ()),
        };
        match result {
            Ok(()) => {
                self.store.data_mut().host.commit();
                Ok(())
            }
            Err(error) => Err(self.fault(&error)),
        }
    }

    #[inline]
    fn host(&mut self) -> &mut Host {
        &mut self.store.data_mut().host
    }

    fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }
}
