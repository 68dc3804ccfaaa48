//! Promises across modules, and those that are about a real broker or a real Kubernetes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is a test that fails")]

mod backtest;
mod bad_input;
mod boards;
mod chart;
mod clock;
mod cluster_cli;
mod contract;
mod control;
mod control_plane;
mod counts;
mod definitions;
mod delivery;
mod desk;
mod executions;
mod flow;
mod freeze;
mod group;
mod halting;
mod images;
mod isolation;
mod kafka_smoke;
mod kube_smoke;
mod lanes;
mod layers;
mod links;
mod load;
mod market;
mod memory;
mod node_pod;
mod operator;
mod operator_registry;
mod playback;
mod pods;
mod python;
mod registry;
mod replay;
mod scale;
mod scaling;
mod secured;
mod stage;
mod tenancy;
mod too_large;
mod venue_books;
mod whole_way;
