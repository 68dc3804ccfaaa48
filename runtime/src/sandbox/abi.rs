//! The contract as core WebAssembly sees it: the names that wit-component gives, and the flat signatures of the canonical ABI.

use wasmparser::ValType::{self, F64, I32, I64};
use wasmparser::types::{EntityType, TypesRef};

/// The interface that a strategy imports.
pub(super) const HOST: &str = "pinion:strategy/host@0.1.0";
/// The interface of types alone; importing it brings no function.
pub(super) const TYPES: &str = "pinion:strategy/types@0.1.0";
/// The interface that a strategy exports.
pub(super) const HANDLER: &str = "pinion:strategy/handler@0.1.0";

/// The guest's linear memory.
pub(super) const MEMORY: &str = "memory";
/// The guest's allocator: `(old pointer, old size, alignment, new size) -> pointer`.
pub(super) const REALLOC: &str = "cabi_realloc";
/// Run once after instantiation, where it is there.
pub(super) const INITIALIZE: &str = "_initialize";

type Signature = (&'static str, &'static [ValType], &'static [ValType]);

/// The imports of `host`.
const IMPORTS: [Signature; 11] = [
    ("submit", &[I64, I32, I32, I32, I64, I64, I64], &[I64]),
    ("modify", &[I64, I64, I64], &[]),
    ("cancel", &[I64], &[]),
    ("cancel-all", &[], &[]),
    ("set-timer", &[I64, I64], &[]),
    ("now", &[], &[I64]),
    ("instrument", &[I64, I32], &[]),
    ("position", &[I64, I32], &[]),
    ("book-level", &[I64, I32, I32, I32], &[]),
    ("metric-set", &[I32, I32, F64], &[]),
    ("log", &[I32, I32, I32], &[]),
];

/// The six scalars that market events begin with.
macro_rules! head {
    ($($rest:expr),*) => { &[I64, I32, I32, I64, I64, I64, $($rest),*] };
}

/// The exports of `handler`.
const EXPORTS: [Signature; 18] = [
    ("on-init", &[I32, I32, I32, I32], &[I32]),
    ("on-start", &[], &[]),
    ("on-quote", head![I64, I64, I64, I64, I32, I32], &[]),
    ("on-trade", head![I64, I64, I64, I32], &[]),
    ("on-book-delta", head![I64, I64, I32, I32, I32], &[]),
    ("on-book", head![I64, I64, I64, I64, I32, I32], &[]),
    ("on-gap", &[I64, I32, I64, I64, I64, I64], &[]),
    ("on-recovered", &[I64, I64], &[]),
    ("on-status", head![I32], &[]),
    ("on-bar", &[I64, I32, I32, I32, I32, I64, I64, I64, I64, I64, I64, I64, I64, I64], &[]),
    ("on-timer", &[I64, I64], &[]),
    ("on-order", &[I64, I64, I64, I64, I64, I32, I32, I64, I64, I64], &[]),
    ("on-fill", &[I64, I64, I64, I64, I64, I32, I64, I64, I64, I64, I32], &[]),
    ("on-position", &[I64, I64, I64, I64, I64, I64, I64, I64], &[]),
    ("on-trading-state", &[I32], &[]),
    ("on-save", &[], &[I32]),
    ("on-load", &[I32, I32, I32], &[I32]),
    ("on-stop", &[], &[]),
];

/// The callbacks that return something, and so may have something to free.
pub(super) const RETURNING: [&str; 3] = ["on-init", "on-save", "on-load"];

/// The name under which a core module exports a callback.
pub(super) fn export(callback: &str) -> String {
    format!("{HANDLER}#{callback}")
}

/// The name of what frees a callback's result.
pub(super) fn post_return(callback: &str) -> String {
    format!("cabi_post_{HANDLER}#{callback}")
}

/// Whether a core module has just these imports, and at least these exports.
pub(super) fn matches(types: TypesRef<'_>) -> bool {
    let function = |ty: EntityType, (_, params, results): &Signature| match ty {
        EntityType::Func(id) => types.get(id).is_some_and(|sub| match &sub.composite_type.inner {
            wasmparser::CompositeInnerType::Func(func) => func.params() == *params && func.results() == *results,
            _ => false,
        }),
        _ => false,
    };
    let (Some(mut imports), Some(exports)) = (types.core_imports(), types.core_exports()) else { return false };
    let exports: Vec<_> = exports.collect();
    let exported = |name: &str| exports.iter().find(|(known, _)| *known == name).map(|(_, ty)| *ty);
    let has = |name: &str, signature: &Signature| exported(name).is_some_and(|ty| function(ty, signature));
    imports.all(|(module, name, ty)| {
        module == HOST && IMPORTS.iter().any(|signature| signature.0 == name && function(ty, signature))
    }) && EXPORTS.iter().all(|signature| has(&export(signature.0), signature))
        && has(REALLOC, &(REALLOC, &[I32, I32, I32, I32], &[I32]))
        && exported(MEMORY).is_some_and(|ty| matches!(ty, EntityType::Memory(memory) if !memory.memory64))
        && RETURNING.iter().all(|name| exported(&post_return(name)).is_none_or(|ty| function(ty, &(name, &[I32], &[]))))
        && exported(INITIALIZE).is_none_or(|ty| function(ty, &(INITIALIZE, &[], &[])))
}
