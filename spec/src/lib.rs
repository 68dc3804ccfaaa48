//! The words that the runtime, the CLI and the operator share: the `Strategy` resource and how it is read and
//! checked, the numbers that name instruments and orders, and the names of metrics.

pub mod assignment;
mod decimal;
pub mod field_map;
pub mod ids;
pub mod metrics;
pub mod oci;
pub mod pool;
pub mod scaling;
pub mod status;
pub mod strategy;
pub mod tenant;

mod check;
mod error;
mod parse;
mod validate;
mod yaml;

pub use decimal::{DECIMAL_SCALE, Decimal, DecimalError};
pub use error::{REPORT_ERRORS_MAX, SpecError, SpecErrors};
pub use parse::{parse, parse_as_written};
pub use strategy::{Strategy, StrategySpec};
pub use yaml::{DEPTH_MAX, FILE_BYTES_MAX};
