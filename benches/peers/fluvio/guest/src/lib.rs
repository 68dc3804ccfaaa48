//! The SmartModule: of each record, a flat quote, a flat order or nothing.

#[path = "../../../../strategies/quote-cross/src/cross.rs"]
mod cross;
#[path = "../../../common/flat.rs"]
mod flat;

use std::cell::RefCell;

use cross::Cross;
use fluvio_smartmodule::{RecordData, Result, SmartModuleRecord, smartmodule};

thread_local! {
    // An instance lives as long as its chain, and its memory with it.
    static CROSS: RefCell<Cross> = const { RefCell::new(Cross::new()) };
}

#[smartmodule(filter_map)]
pub fn on_quote(record: &SmartModuleRecord) -> Result<Option<(Option<RecordData>, RecordData)>> {
    let order = CROSS.with_borrow_mut(|cross| flat::order(cross, record.value.as_ref()));
    Ok(order.map(|order| (None, RecordData::from(order))))
}
