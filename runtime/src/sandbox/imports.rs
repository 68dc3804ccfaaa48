//! The direct lane's imports: the host functions as core functions, with the checks of the canonical ABI.

use std::sync::Arc;

use wasmtime::{AsContextMut, Caller, Linker};

use super::fault::Refusal;
use super::memory::{Record, aligned, bytes_mut, text};
use super::state::{Core, State};
use super::{abi, scalars};
use crate::book::Level;
use crate::effects::NewOrder;

/// Defines the imports of `host`.
///
/// # Errors
/// When a name is defined twice: a fault of ours.
pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(abi::HOST, "submit", submit)?;
    linker.func_wrap(abi::HOST, "modify", |mut caller: Caller<'_, State>, order_id: u64, price: i64, size: i64| {
        Ok(enter(&mut caller)?.host.modify(order_id, price, size).map_err(Refusal::from)?)
    })?;
    linker.func_wrap(abi::HOST, "cancel", |mut caller: Caller<'_, State>, order_id: u64| {
        Ok(enter(&mut caller)?.host.cancel(order_id).map_err(Refusal::from)?)
    })?;
    linker.func_wrap(abi::HOST, "cancel-all", |mut caller: Caller<'_, State>| {
        Ok(enter(&mut caller)?.host.cancel_all().map_err(Refusal::from)?)
    })?;
    linker.func_wrap(abi::HOST, "set-timer", |mut caller: Caller<'_, State>, timer_id: u64, at: u64| {
        Ok(enter(&mut caller)?.host.set_timer(timer_id, at).map_err(Refusal::from)?)
    })?;
    linker.func_wrap(abi::HOST, "now", |mut caller: Caller<'_, State>| Ok(enter(&mut caller)?.host.now))?;
    linker.func_wrap(abi::HOST, "instrument", instrument)?;
    linker.func_wrap(abi::HOST, "position", position)?;
    linker.func_wrap(abi::HOST, "book-level", book_level)?;
    linker.func_wrap(abi::HOST, "metric-set", |mut caller: Caller<'_, State>, name: u32, len: u32, value: f64| {
        let (memory, state) = reach(&mut caller)?;
        state.host.metric_set(text(memory, name, len)?, value);
        Ok(())
    })?;
    linker.func_wrap(abi::HOST, "log", |mut caller: Caller<'_, State>, level: u32, message: u32, len: u32| {
        let (memory, state) = reach(&mut caller)?;
        state.host.log(scalars::log_level(level)?, text(memory, message, len)?);
        Ok(())
    })?;
    Ok(())
}

/// The store's data, unless the guest may not call the host now.
#[inline]
fn enter<'a>(caller: &'a mut Caller<'_, State>) -> Result<&'a mut State, Refusal> {
    let state = caller.data_mut();
    if state.may_not_leave { Err(Refusal::Reentrance) } else { Ok(state) }
}

/// The guest's memory and the store's data.
fn reach<'a>(caller: &'a mut Caller<'_, State>) -> Result<(&'a mut [u8], &'a mut State), Refusal> {
    enter(caller)?;
    match &caller.data().core {
        Some(core) => {
            let memory = core.memory;
            Ok(memory.data_and_store_mut(caller))
        }
        // A start function runs: the guest has nothing to point at yet.
        None => Err(Refusal::Reentrance),
    }
}

#[expect(clippy::too_many_arguments, reason = "the contract's record, flat")]
fn submit(
    mut caller: Caller<'_, State>,
    instrument_id: u64,
    side: u32,
    order_type: u32,
    time_in_force: u32,
    price: i64,
    size: i64,
    tag: u64,
) -> wasmtime::Result<u64> {
    let state = enter(&mut caller)?;
    let order = NewOrder {
        instrument_id,
        side: scalars::side(side)?,
        order_type: scalars::order_type(order_type)?,
        time_in_force: scalars::time_in_force(time_in_force)?,
        price,
        size,
        tag,
    };
    Ok(state.host.submit(order).map_err(Refusal::from)?)
}

fn position(mut caller: Caller<'_, State>, instrument_id: u64, result: u32) -> wasmtime::Result<()> {
    let (memory, state) = reach(&mut caller)?;
    let position = state.host.position(instrument_id);
    aligned(result, 8)?;
    let fields = [
        position.net,
        position.working_buy,
        position.working_sell,
        position.average_price,
        position.realized,
        position.unrealized,
        position.fees,
    ];
    let mut record = Record(bytes_mut(memory, result, 56)?);
    for (place, field) in fields.into_iter().enumerate() {
        record.put(place * 8, field.to_le_bytes());
    }
    Ok(())
}

fn book_level(
    mut caller: Caller<'_, State>,
    instrument_id: u64,
    side: u32,
    depth: u32,
    result: u32,
) -> wasmtime::Result<()> {
    let (memory, state) = reach(&mut caller)?;
    let level = scalars::book_side(side)?.and_then(|side| state.host.book_level(instrument_id, side, depth));
    aligned(result, 8)?;
    let mut record = Record(bytes_mut(memory, result, 32)?);
    match level {
        Some(Level { price, size, count }) => {
            record.put(0, [1]).put(8, price.to_le_bytes()).put(16, size.to_le_bytes()).put(24, count.to_le_bytes())
        }
        None => record.put(0, [0]),
    };
    Ok(())
}

fn instrument(mut caller: Caller<'_, State>, id: u64, result: u32) -> wasmtime::Result<()> {
    let (memory, state) = reach(&mut caller)?;
    aligned(result, 8)?;
    let record = bytes_mut(memory, result, 8 + INSTRUMENT_BYTES)?;
    let instruments = Arc::clone(&state.host.instruments);
    let Some(instrument) = instruments.get(id) else {
        record[0] = 0;
        return Ok(());
    };
    record[0] = 1;
    put_instrument(&mut caller, result + 8, instrument)
}

/// Size of the contract's `instrument` in memory; its alignment is 8.
const INSTRUMENT_BYTES: u32 = 56;

fn put_instrument(
    mut store: impl AsContextMut<Data = State>,
    pointer: u32,
    instrument: &crate::instruments::Instrument,
) -> wasmtime::Result<()> {
    let (symbol, symbol_len) = put_bytes(&mut store, instrument.symbol.as_bytes())?;
    let (publisher, publisher_len) = put_bytes(&mut store, instrument.publisher.as_bytes())?;
    let core = core(&store)?;
    Record(bytes_mut(core.memory.data_mut(&mut store), pointer, INSTRUMENT_BYTES)?)
        .put(0, instrument.id.to_le_bytes())
        .put(8, instrument.publisher_id.to_le_bytes())
        .put(16, instrument.tick.to_le_bytes())
        .put(24, instrument.lot.to_le_bytes())
        .put(32, i32::from(instrument.size_exponent).to_le_bytes())
        .put(36, symbol.to_le_bytes())
        .put(40, symbol_len.to_le_bytes())
        .put(44, publisher.to_le_bytes())
        .put(48, publisher_len.to_le_bytes());
    Ok(())
}

/// Lays out `list<tuple<string, string>>` in the guest's memory and returns its pointer and length.
pub(super) fn lower_params(
    mut store: impl AsContextMut<Data = State>,
    params: &[(String, String)],
) -> wasmtime::Result<(u32, u32)> {
    let len = u32::try_from(params.len())?;
    let list = allocate(&mut store, 4, len.saturating_mul(16))?;
    for (at, (key, value)) in (list..).step_by(16).zip(params) {
        let (key, key_len) = put_bytes(&mut store, key.as_bytes())?;
        let (value, value_len) = put_bytes(&mut store, value.as_bytes())?;
        let core = core(&store)?;
        Record(bytes_mut(core.memory.data_mut(&mut store), at, 16)?)
            .put(0, key.to_le_bytes())
            .put(4, key_len.to_le_bytes())
            .put(8, value.to_le_bytes())
            .put(12, value_len.to_le_bytes());
    }
    Ok((list, len))
}

/// Lays out `list<instrument>` in the guest's memory and returns its pointer and length.
pub(super) fn lower_instruments(mut store: impl AsContextMut<Data = State>) -> wasmtime::Result<(u32, u32)> {
    let instruments = store.as_context().data().host.instruments_in_order();
    let instruments: Vec<_> = instruments.into_iter().cloned().collect();
    let len = u32::try_from(instruments.len())?;
    let list = allocate(&mut store, 8, len.saturating_mul(INSTRUMENT_BYTES))?;
    for (at, instrument) in (list..).step_by(INSTRUMENT_BYTES as usize).zip(&instruments) {
        put_instrument(&mut store, at, instrument)?;
    }
    Ok((list, len))
}

pub(super) fn put_bytes(mut store: impl AsContextMut<Data = State>, bytes: &[u8]) -> wasmtime::Result<(u32, u32)> {
    let len = u32::try_from(bytes.len())?;
    let pointer = allocate(&mut store, 1, len)?;
    let core = core(&store)?;
    bytes_mut(core.memory.data_mut(&mut store), pointer, len)?.copy_from_slice(bytes);
    Ok((pointer, len))
}

/// Asks the guest's allocator for memory and checks what it gives.
fn allocate(mut store: impl AsContextMut<Data = State>, align: u32, len: u32) -> wasmtime::Result<u32> {
    let core = core(&store)?;
    store.as_context_mut().data_mut().may_not_leave = true;
    let pointer = core.realloc.call(&mut store, (0, 0, align, len))?;
    store.as_context_mut().data_mut().may_not_leave = false;
    aligned(pointer, align)?;
    bytes_mut(core.memory.data_mut(&mut store), pointer, len)?;
    Ok(pointer)
}

fn core(store: &impl AsContextMut<Data = State>) -> Result<Arc<Core>, Refusal> {
    store.as_context().data().core.clone().ok_or(Refusal::Reentrance)
}
