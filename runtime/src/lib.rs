//! The runtime: Kafka records in, sandboxed strategies on pinned cores, checked orders out.
//!
//! Modules in the order an event meets them, then what stands beside the flow.

pub mod decode;
pub mod event;
pub mod instruments;

pub mod book;
pub mod effects;
pub mod risk;
pub mod sandbox;

pub mod clock;
pub mod limits;
