//! The component lane: the callbacks through the component's own interface, for what is not one core module (Python,
//! JavaScript, composed components). wasmtime does the checks of the canonical ABI; the host functions are the same.
//!
//! Does not allocate per call either, except `instrument`, which hands out its symbol as a string of its own.

use wasmtime::component::{ComponentNamedList, Instance, InstancePre, Lift, Linker, Lower, TypedFunc, WasmStr};
use wasmtime::{Store, StoreContextMut};

use super::cpu::{self, Allowance};
use super::fault::{Refusal, fault, instantiation_fault};
use super::records::{
    WitBar, WitBook, WitBookDelta, WitBookSide, WitCallbacks, WitFill, WitGap, WitInstrument, WitLevel, WitLogLevel,
    WitNewOrder, WitOrderUpdate, WitPosition, WitQuote, WitSaved, WitStatus, WitTrade, WitTradingState, WitWants,
};
use super::state::{State, settled, store};
use super::{Call, Callbacks, Fault, Guest, Host, Saved, Wants, abi, scalars};
use crate::effects::NewOrder;
use crate::limits::{GUEST_STRING_BYTES_MAX, LOG_MESSAGE_BYTES_MAX, SAVED_BYTES_MAX};
use pinion_spec::strategy::Budget;

/// An instance in the component lane.
pub(super) struct ComponentGuest {
    store: Store<State>,
    allowance: Allowance,
    on_init: wasmtime::component::Func,
    on_start: TypedFunc<(), ()>,
    on_quote: TypedFunc<(WitQuote,), ()>,
    on_trade: TypedFunc<(WitTrade,), ()>,
    on_book_delta: TypedFunc<(WitBookDelta,), ()>,
    on_book: TypedFunc<(WitBook,), ()>,
    on_gap: TypedFunc<(WitGap,), ()>,
    on_recovered: TypedFunc<(u64, u64), ()>,
    on_status: TypedFunc<(WitStatus,), ()>,
    on_bar: TypedFunc<(WitBar,), ()>,
    on_timer: TypedFunc<(u64, u64), ()>,
    on_order: TypedFunc<(WitOrderUpdate,), ()>,
    on_fill: TypedFunc<(WitFill,), ()>,
    on_position: TypedFunc<(u64, WitPosition), ()>,
    on_trading_state: TypedFunc<(WitTradingState,), ()>,
    on_save: TypedFunc<(), (WitSaved,)>,
    on_load: TypedFunc<(WitSaved,), (Result<(), String>,)>,
    on_stop: TypedFunc<(), ()>,
}

impl ComponentGuest {
    /// An instance of its own of a component.
    ///
    /// # Errors
    /// What happened while it was instantiated, or [`super::FaultKind::Init`].
    pub(super) fn new(pre: &InstancePre<State>, host: Host, budget: &Budget) -> Result<Self, Fault> {
        let mut store = store(pre.engine(), host, budget);
        pre.instantiate(&mut store)
            .and_then(|instance| Self::bind(instance, store, budget))
            .map_err(|error| instantiation_fault(&error))
    }

    fn bind(instance: Instance, mut store: Store<State>, budget: &Budget) -> wasmtime::Result<Self> {
        let init = lookup(instance, &mut store, "on-init")?;
        let on_init = instance.get_func(&mut store, init).ok_or_else(|| missing("on-init"))?;
        Ok(Self {
            on_init,
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

    fn call_init(&mut self, params: &[(String, String)]) -> wasmtime::Result<Result<WitWants, String>> {
        let host = &self.store.data().host;
        let instruments: Vec<_> = host.instruments_in_order().into_iter().map(WitInstrument::from).collect();
        let on_init =
            self.on_init.typed::<(&[(String, String)], &[WitInstrument]), (Result<WitWants, String>,)>(&self.store)?;
        Ok(on_init.call(&mut self.store, (params, &instruments))?.0)
    }

    fn call_save(&mut self) -> wasmtime::Result<WitSaved> {
        // What is copied out of a guest is metered; nothing else of what it returns is as large.
        self.store.set_hostcall_fuel(SAVED_BYTES_MAX + GUEST_STRING_BYTES_MAX);
        let saved = self.on_save.call(&mut self.store, ());
        self.store.set_hostcall_fuel(GUEST_STRING_BYTES_MAX);
        let (saved,) = saved?;
        if saved.data.len() > SAVED_BYTES_MAX { Err(Refusal::Saved(saved.data.len()).into()) } else { Ok(saved) }
    }

    fn call_load(&mut self, saved: &Saved) -> wasmtime::Result<Result<(), String>> {
        let saved = WitSaved { version: saved.version, data: saved.data.clone() };
        Ok(self.on_load.call(&mut self.store, (saved,))?.0)
    }

    #[cold]
    fn fault(&mut self, error: &wasmtime::Error) -> Fault {
        let host = &mut self.store.data_mut().host;
        host.discard();
        host.explain(fault(error))
    }
}

fn missing(callback: &str) -> wasmtime::Error {
    wasmtime::format_err!("{:?} has no {callback:?}", abi::HANDLER)
}

fn lookup(
    instance: Instance,
    store: &mut Store<State>,
    name: &str,
) -> wasmtime::Result<wasmtime::component::ComponentExportIndex> {
    let handler = instance.get_export_index(&mut *store, None, abi::HANDLER).ok_or_else(|| missing(name))?;
    instance.get_export_index(store, Some(&handler), name).ok_or_else(|| missing(name))
}

fn callback<P, R>(instance: Instance, store: &mut Store<State>, name: &str) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let index = lookup(instance, store, name)?;
    instance.get_typed_func(store, index)
}

impl Guest for ComponentGuest {
    fn init(&mut self, params: &[(String, String)]) -> Result<Wants, Fault> {
        cpu::begin(&mut self.store, Allowance::COLD);
        let outcome = self.call_init(params);
        let WitWants { callbacks, bars } = settled(&mut self.store, outcome)?;
        Ok(Wants { callbacks: callbacks_of(callbacks), bars: bars.into_iter().map(Into::into).collect() })
    }

    fn save(&mut self) -> Result<Saved, Fault> {
        cpu::begin(&mut self.store, Allowance::COLD);
        let outcome = self.call_save().map(Ok);
        let WitSaved { version, data } = settled(&mut self.store, outcome)?;
        Ok(Saved { version, data })
    }

    fn load(&mut self, saved: &Saved) -> Result<(), Fault> {
        cpu::begin(&mut self.store, Allowance::COLD);
        let outcome = self.call_load(saved);
        settled(&mut self.store, outcome)
    }

    fn call(&mut self, call: &Call) -> Result<(), Fault> {
        let store = &mut self.store;
        let cold = matches!(call, Call::Start | Call::Stop);
        cpu::begin(store, if cold { Allowance::COLD } else { self.allowance });
        let result = match *call {
            Call::Quote(head, quote) => self.on_quote.call(store, (WitQuote::from(head, quote),)),
            Call::Trade(head, trade) => self.on_trade.call(store, (WitTrade::from(head, trade),)),
            Call::BookDelta(head, delta) => self.on_book_delta.call(store, (WitBookDelta::from(head, delta),)),
            Call::Book(head, book) => self.on_book.call(store, (WitBook::from(head, book),)),
            Call::Gap(head, gap) => self.on_gap.call(store, (WitGap::from(head, gap),)),
            Call::Recovered { instrument_id, sequence } => self.on_recovered.call(store, (instrument_id, sequence)),
            Call::Status(head, state) => self.on_status.call(store, (WitStatus::from(head, state),)),
            Call::Bar(bar) => self.on_bar.call(store, (WitBar::from(bar),)),
            Call::Timer { timer_id, at } => self.on_timer.call(store, (timer_id, at)),
            Call::Order(update) => self.on_order.call(store, (WitOrderUpdate::from(update),)),
            Call::Fill(fill) => self.on_fill.call(store, (WitFill::from(fill),)),
            Call::Position(id, position) => self.on_position.call(store, (id, WitPosition::from(position))),
            Call::TradingState(state) => self.on_trading_state.call(store, (WitTradingState::from(state),)),
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

    fn host(&mut self) -> &mut Host {
        &mut self.store.data_mut().host
    }

    fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }
}

fn callbacks_of(flags: WitCallbacks) -> Callbacks {
    let bits = [
        (WitCallbacks::QUOTE, Callbacks::QUOTE),
        (WitCallbacks::TRADE, Callbacks::TRADE),
        (WitCallbacks::BOOK_DELTA, Callbacks::BOOK_DELTA),
        (WitCallbacks::BOOK, Callbacks::BOOK),
        (WitCallbacks::GAP, Callbacks::GAP),
        (WitCallbacks::TIMER, Callbacks::TIMER),
        (WitCallbacks::ORDER, Callbacks::ORDER),
        (WitCallbacks::FILL, Callbacks::FILL),
        (WitCallbacks::TRADING_STATE, Callbacks::TRADING_STATE),
        (WitCallbacks::STATUS, Callbacks::STATUS),
        (WitCallbacks::POSITION, Callbacks::POSITION),
        (WitCallbacks::STATE, Callbacks::STATE),
    ];
    Callbacks(bits.into_iter().filter(|(wit, _)| flags & *wit == *wit).fold(0, |all, (_, ours)| all | ours.0))
}

/// Defines the imports of `host`.
///
/// # Errors
/// When a name is defined twice: a fault of ours.
pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Context<'a> = StoreContextMut<'a, State>;
    let mut host = linker.instance(abi::HOST)?;
    host.func_wrap("submit", |mut store: Context<'_>, (order,): (WitNewOrder,)| {
        let order = NewOrder {
            instrument_id: order.instrument_id,
            side: scalars::side(order.side as u32)?,
            order_type: scalars::order_type(order.order_type as u32)?,
            time_in_force: scalars::time_in_force(order.time_in_force as u32)?,
            price: order.price,
            size: order.size,
            tag: order.tag,
        };
        Ok((store.data_mut().host.submit(order).map_err(Refusal::from)?,))
    })?;
    host.func_wrap("modify", |mut store: Context<'_>, (order_id, price, size): (u64, i64, i64)| {
        Ok(store.data_mut().host.modify(order_id, price, size).map_err(Refusal::from)?)
    })?;
    host.func_wrap("cancel", |mut store: Context<'_>, (order_id,): (u64,)| {
        Ok(store.data_mut().host.cancel(order_id).map_err(Refusal::from)?)
    })?;
    host.func_wrap("cancel-all", |mut store: Context<'_>, (): ()| {
        Ok(store.data_mut().host.cancel_all().map_err(Refusal::from)?)
    })?;
    host.func_wrap("set-timer", |mut store: Context<'_>, (timer_id, at): (u64, u64)| {
        Ok(store.data_mut().host.set_timer(timer_id, at).map_err(Refusal::from)?)
    })?;
    host.func_wrap("now", |store: Context<'_>, (): ()| Ok((store.data().host.now,)))?;
    host.func_wrap("instrument", |store: Context<'_>, (id,): (u64,)| {
        Ok((store.data().host.instrument(id).map(WitInstrument::from),))
    })?;
    host.func_wrap("position", |store: Context<'_>, (id,): (u64,)| {
        Ok((WitPosition::from(store.data().host.position(id)),))
    })?;
    host.func_wrap("book-level", |store: Context<'_>, (id, side, depth): (u64, WitBookSide, u32)| {
        let side = scalars::book_side(side as u32)?;
        let level = side.and_then(|side| store.data().host.book_level(id, side, depth));
        Ok((level.map(|level| WitLevel { price: level.price, size: level.size, count: level.count }),))
    })?;
    host.func_wrap("metric-set", |mut store: Context<'_>, (name, value): (WasmStr, f64)| {
        let name = Text::copy(&name.to_str(&store)?);
        store.data_mut().host.metric_set(name.as_str(), value);
        Ok(())
    })?;
    host.func_wrap("log", |mut store: Context<'_>, (level, message): (WitLogLevel, WasmStr)| {
        let level = scalars::log_level(level as u32)?;
        let message = Text::copy(&message.to_str(&store)?);
        store.data_mut().host.log(level, message.as_str());
        Ok(())
    })?;
    Ok(())
}

/// As much of a guest's text as the host ever keeps, copied out of its memory so that the host's own state can be reached.
struct Text {
    bytes: [u8; LOG_MESSAGE_BYTES_MAX],
    len: usize,
}

impl Text {
    fn copy(text: &str) -> Self {
        let len = text.floor_char_boundary(LOG_MESSAGE_BYTES_MAX);
        let mut bytes = [0; LOG_MESSAGE_BYTES_MAX];
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self { bytes, len }
    }

    fn as_str(&self) -> &str {
        // It is the front of a `&str`, cut between characters.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}
