//! Grafana's classic dashboard model, as much of it as the boards need.

mod board;
mod panel;

pub use board::{Board, Marks, Row, Variable};
pub use panel::{Column, Panel};

use serde_json::{Value, json};

/// The model's version: Grafana 13's. Older ones read what they know of it, later ones migrate it.
pub const SCHEMA_VERSION: u32 = 42;

/// Columns of a board.
pub const COLUMNS: u32 = 24;

/// What panels, variables and annotations read from: whichever Prometheus is picked at the head of the board.
fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// Colours that mean something, the same everywhere.
pub mod colour {
    /// As it should be.
    pub const GOOD: &str = "green";
    /// To be looked at.
    pub const WARN: &str = "orange";
    /// To be acted on.
    pub const BAD: &str = "red";
    /// Neither.
    pub const PLAIN: &str = "blue";
}
