//! Grafana boards and Prometheus rules, written from the metrics' definitions.
//!
//! A [`query`] is made of metrics of `pinion_spec::metrics`, and knows which labels its series have: a label that a metric does
//! not have, a rate of a gauge or a legend that names nothing is a panic of the program that writes the files, so none of it can
//! be committed. The files under `deploy/grafana` and `deploy/prometheus` are what [`files`] returns; the bin `boards` writes them.

pub mod boards;
pub mod grafana;
pub mod query;
pub mod rules;

use std::collections::BTreeSet;

pub use rules::Pace;

/// Every file, by its path below `deploy`.
///
/// # Errors
/// If one cannot be serialised.
pub fn files() -> Result<Vec<(String, String)>, String> {
    let mut files = Vec::new();
    for board in boards::all() {
        let json = serde_json::to_string_pretty(&board.json()).map_err(|error| error.to_string())?;
        files.push((format!("grafana/{}.json", board.name), json + "\n"));
    }
    files.push(("prometheus/rules.yaml".to_owned(), rules::yaml(Pace::REAL)?));
    Ok(files)
}

/// The names of the metrics that boards and rules use.
#[must_use]
pub fn used() -> BTreeSet<&'static str> {
    let mut used = rules::used();
    boards::all().iter().for_each(|board| used.extend(board.used()));
    used
}
