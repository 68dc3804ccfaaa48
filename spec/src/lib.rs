//! The words that the runtime, the CLI and the operator share: the `Strategy` resource and how it is read and
//! checked, the numbers that name instruments and orders, and the names of metrics.

mod decimal;
pub mod ids;
pub mod strategy;

pub use decimal::{DECIMAL_SCALE, Decimal, DecimalError};
pub use strategy::{Strategy, StrategySpec};
