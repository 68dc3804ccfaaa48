//! What a store carries: the guest's [`Host`], the cap on its memory and, in the direct lane, its memory and allocator.

use std::sync::Arc;

use wasmtime::{Engine, Memory, ResourceLimiter, Store, TypedFunc};

use super::cpu::{self, Allowance, Meter};
use super::fault::{Refusal, fault};
use super::{Fault, Host};
use crate::limits::{GUEST_STRING_BYTES_MAX, GUEST_TABLE_ELEMENTS_MAX};
use pinion_spec::strategy::Budget;

/// The data of a store.
pub(super) struct State {
    pub(super) host: Host,
    pub(super) meter: Meter,
    caps: Caps,
    /// Direct lane, after instantiation.
    pub(super) core: Option<Arc<Core>>,
    /// The guest's allocator or a post-return function runs: the canonical ABI forbids it to call the host then.
    pub(super) may_not_leave: bool,
}

impl State {
    /// Bytes of all linear memories.
    pub(super) const fn memory_bytes(&self) -> usize {
        self.caps.used
    }
}

/// What the direct lane needs to pass data through the guest's memory.
pub(super) struct Core {
    pub(super) memory: Memory,
    pub(super) realloc: TypedFunc<(u32, u32, u32, u32), u32>,
}

/// A store for one instance: capped, and with a cold call's time for its instantiation.
pub(super) fn store(engine: &Engine, host: Host, budget: &Budget) -> Store<State> {
    let cap = usize::try_from(u64::from(budget.memory_mib) << 20).unwrap_or(usize::MAX);
    let meter = Meter::new();
    let state = State { host, meter, caps: Caps { cap, used: 0 }, core: None, may_not_leave: false };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.caps);
    store.set_hostcall_fuel(GUEST_STRING_BYTES_MAX);
    cpu::meter(&mut store);
    cpu::begin(&mut store, Allowance::COLD);
    store
}

/// What a call that may ask for nothing (`on-init`, `on-save`, `on-load`) has come to.
pub(super) fn settled<T>(store: &mut Store<State>, outcome: wasmtime::Result<Result<T, String>>) -> Result<T, Fault> {
    let host = &mut store.data_mut().host;
    match outcome {
        Ok(Ok(value)) => {
            host.commit_nothing();
            Ok(value)
        }
        Ok(Err(why)) => {
            host.discard();
            Err(Fault::refused(why))
        }
        Err(error) => {
            host.discard();
            Err(fault(&error))
        }
    }
}

/// Refuses growth over the cap with a fault rather than with the -1 that guests forget to look at.
struct Caps {
    cap: usize,
    /// Bytes of all linear memories.
    used: usize,
}

impl ResourceLimiter for Caps {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The guest's own declared maximum: it gets the -1 that it asked for.
            return Ok(false);
        }
        let bytes = self.used.saturating_add(desired.saturating_sub(current));
        if bytes > self.cap {
            return Err(Refusal::Memory { bytes, cap: self.cap }.into());
        }
        self.used = bytes;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context(Refusal::Memory { bytes: self.used, cap: self.cap }))
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > GUEST_TABLE_ELEMENTS_MAX { Err(Refusal::Table(desired).into()) } else { Ok(true) }
    }
}
