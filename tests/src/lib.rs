//! What the integration tests stand on: a real Kafka broker, a real Kubernetes, real captures, the real programs, and how to wait for things.
//!
//! A fixture that cannot do its work panics, and so fails the test that asked for it; one that lacks something the machine
//! does not have ([`require`]) lets the test be skipped, loudly.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fixture that fails is a test that fails")]

pub mod bounds;
pub mod captures;
pub mod door;
pub mod guide;
pub mod http;
pub mod images;
pub mod kafka;
pub mod kube;
pub mod model_pods;
pub mod native;
pub mod operator;
pub mod paper;
pub mod pod;
pub mod programs;
pub mod prometheus;
pub mod python;
pub mod registry;
pub mod require;
pub mod results;
pub mod rig;
pub mod runtime;
pub mod scratch;
pub mod stand_in;
pub mod strategies;
pub mod stream;
mod told;
pub mod wait;
pub mod watchdog;
