//! Boards and alerts against a real Prometheus that scrapes real runtimes and a real operator.

mod alerting;
pub(crate) mod answers;
mod filled;
mod rules;
pub(crate) mod scene;
mod throttled;
