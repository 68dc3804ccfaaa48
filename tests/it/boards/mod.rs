//! Boards and alerts against a real Prometheus that scrapes real runtimes and a real operator.

mod alerting;
mod filled;
mod rules;
mod scene;
mod throttled;
