//! Decoding, from the runtime's own sources.
#![allow(dead_code, reason = "the rest of the runtime is not here")]

#[path = "../../runtime/src/limits.rs"]
pub mod limits;

#[path = "../../runtime/src/event.rs"]
pub mod event;

#[path = "../../runtime/src/instruments.rs"]
pub mod instruments;

#[path = "../../runtime/src/decode/mod.rs"]
pub mod decode;
