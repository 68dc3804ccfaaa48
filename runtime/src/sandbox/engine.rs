//! One configuration of wasmtime for compiling and for running.
//!
//! Code compiled under one configuration runs under another only if they agree; so there is one. It asks for what
//! determinism and hostile guests need: every NaN the same, no threads, nothing whose result the specification leaves open,
//! and an epoch check in every loop and function.

use std::num::NonZeroUsize;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy, WasmFeatures};

use crate::limits::{GUEST_STACK_BYTES_MAX, GUEST_TABLE_ELEMENTS_MAX};

/// What a guest may use of WebAssembly: what compilers emit today. Left out on purpose: threads (no shared state, no races),
/// relaxed SIMD (its results differ between machines), 64-bit memories (they need bounds checks), garbage collection and
/// exceptions (large, young parts of the runtime).
pub(super) const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Address space for one linear memory. All that 32 bits can address: an access needs no bounds check then, the guard
/// behind it does the work.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// Guard behind each memory: covers the constant offsets of nearly all accesses.
const MEMORY_GUARD_BYTES: u64 = 32 << 20;
/// Memory that a slot of the pool keeps for its next user instead of giving it back to the kernel.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// Frames of a trap's backtrace: what fits a fault's text.
const BACKTRACE_FRAMES_MAX: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// Where instances get their memory from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// Slots reserved at start: instantiation is a few system calls.
    Pooled,
    /// Mapped for each instance, because the address space for a pool could not be had.
    OnDemand,
}

/// An engine that compiles; it reserves nothing.
///
/// # Errors
/// When wasmtime refuses the configuration: a fault of ours, or a machine it does not support.
pub fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// An engine that runs up to `instances` instances from a pool, or from memory mapped on demand where so much address space
/// cannot be had (`ulimit -v`, a small virtual machine): instantiation is slower then, calls are not.
///
/// # Errors
/// As [`compiler`].
pub fn runner(instances: u32) -> wasmtime::Result<(Engine, Allocation)> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    match Engine::new(&pooled) {
        Ok(engine) => Ok((engine, Allocation::Pooled)),
        Err(error) => {
            tracing::warn!(instances, %error, "no address space for a pool of instances; mapping memory on demand");
            Ok((compiler()?, Allocation::OnDemand))
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES_MAX)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .memory_may_move(false)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES_MAX));
    config
}

/// A component of several modules (Python's) takes a few core instances, memories and tables; most take one of each.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .max_core_instances_per_component(64)
        .max_memories_per_component(8)
        .max_tables_per_component(32)
        .max_memories_per_module(1)
        .max_tables_per_module(8)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        .table_elements(GUEST_TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiling_and_the_running_engine_agree_on_what_code_they_exchange() {
        let (runner, allocation) = runner(4).unwrap();
        assert_eq!(allocation, Allocation::Pooled);
        let hash = |engine: &Engine| {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&compiler().unwrap()), hash(&runner));
    }
}
