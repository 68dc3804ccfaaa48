//! The plug-in: a flat quote in, a flat order out or nothing.

#[path = "../../../../strategies/quote-cross/src/cross.rs"]
mod cross;
#[path = "../../../common/flat.rs"]
mod flat;

use std::cell::RefCell;

use cross::Cross;
use extism_pdk::{extism, output};

thread_local! {
    // An instance lives as long as its plug-in, and its memory with it.
    static CROSS: RefCell<Cross> = const { RefCell::new(Cross::new()) };
}

/// By the raw interface of exports: `plugin_fn` would answer a quote without an order by an allocation of no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn on_quote() -> i32 {
    // SAFETY: the host calls this export, so there is an input.
    let quote = unsafe { extism::load_input() };
    let order = CROSS.with_borrow_mut(|cross| flat::order(cross, &quote));
    match order.map(|order| output(order.as_slice())) {
        Some(Err(_)) => 1,
        _ => 0,
    }
}
