//! The runtime: Kafka records in, sandboxed strategies on pinned cores, checked orders out.
//!
//! Modules in the order an event meets them, then what stands beside the flow, then how a process is built and run.

pub mod kafka;

pub mod subscription;

pub mod ingest;

pub mod decode;
pub mod event;
pub mod instruments;

pub mod duty;
pub mod ring;
pub mod worker;

pub mod bars;
pub mod book;
pub mod effects;
pub mod instance;
pub mod risk;
pub mod sandbox;
pub mod timers;

pub mod egress;
pub mod offsets;
pub mod wire;

pub mod clock;
pub mod fence;
mod id_index;
pub mod journal;
mod lag;
pub mod limits;
pub mod metrics;
pub mod pin;
pub mod stopwatch;

pub mod admin;
pub mod app;
pub mod args;
pub mod assignment;
pub mod loading;
pub mod modules;
pub mod plan;
pub mod playback;
pub mod registry;
pub mod run;
pub mod supervisor;
pub mod watch;
