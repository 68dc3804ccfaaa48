//! The operator: tenants, pools and strategies to running pods.
//!
//! A round of it is observe → scale → place → desired → apply → status. What is here decides and touches nothing: each step is a
//! function from values to values, time passed in.

pub mod admit;
pub mod crd;
pub mod desired;
pub mod fence;
pub mod names;
pub mod place;
pub mod scale;

#[cfg(test)]
mod fixtures;
