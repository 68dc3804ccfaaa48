//! The operator: tenants, pools and strategies to running pods.
//!
//! A round of it is observe → scale → place → desired → apply → status. What is here decides and touches nothing: each step is a
//! function from values to values, time passed in.

pub mod crd;
pub mod fence;
pub mod place;
pub mod scale;
