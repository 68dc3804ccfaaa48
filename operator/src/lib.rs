//! The operator: tenants, pools and strategies to running pods.
//!
//! A round of it is observe → scale → place → desired → apply → status. `scale`, `place`, `plan`, `desired`,
//! `rollout` and `status` decide and touch nothing: functions from values to values, time passed in. `round` calls them and does the
//! rest.

pub mod args;
pub mod run;
pub mod serve;

pub mod leader;
pub mod observe;
pub mod queue;

pub mod controller;
pub mod round;

pub mod admit;
pub mod claim;
pub mod desired;
pub mod fence;
pub mod figures;
pub mod fleet;
pub mod pinning;
pub mod place;
pub mod plan;
pub mod quota;
pub mod rollout;
pub mod scale;
pub mod status;

pub mod apply;
pub mod cache;
pub mod client;
pub mod clock;
pub mod crd;
pub mod credentials;
pub mod events;
pub mod kinds;
pub mod metrics;
pub mod modules;
pub mod names;
pub mod pods;

#[cfg(test)]
mod fixtures;
