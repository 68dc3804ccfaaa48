//! A run's rows, with what they were measured on, as a file and as lines.

use std::path::Path;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::hiccups::{Hiccups, percentile};
use crate::machine;
use crate::row::{Row, header};

/// A run that is going on. Each row is told as soon as it is there.
#[derive(Debug)]
pub struct Results {
    bench: &'static str,
    facts: Value,
    load: f64,
    rows: Vec<Row>,
    hiccups: Hiccups,
}

impl Results {
    /// A run of this name.
    #[must_use]
    pub fn start(bench: &'static str) -> Self {
        println!("{}", header());
        let (facts, load, hiccups) = (machine::facts(), machine::load(), Hiccups::start());
        Self { bench, facts, load, rows: Vec::new(), hiccups }
    }

    /// Another row. One of which nothing was measured is told and not kept: no page is to show it.
    pub fn push(&mut self, row: Row) {
        println!("{row}");
        if row.value.is_nan() {
            eprintln!("{} is left out: nothing was measured of it; give it a quieter machine, or more --fours", row.id);
            return;
        }
        self.rows.push(row);
    }

    /// Ends the run, and writes it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(self, to: Option<&Path>) -> Result<(), String> {
        let late = self.hiccups.finish();
        println!("{}", told(&late));
        let Some(path) = to else { return Ok(()) };
        let result = json!({
            "bench": self.bench, "machine": self.facts, "load": self.load, "hiccups": hiccups(&late), "rows": self.rows,
        });
        std::fs::write(path, format!("{result:#}\n")).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// How late a thread woke that only sleeps, ns.
fn hiccups(late: &Histogram<u64>) -> Value {
    let at = |quantile| percentile(late, quantile);
    json!({"samples": late.len(), "p50_ns": at(0.5), "p99_ns": at(0.99), "p999_ns": at(0.999), "max_ns": late.max()})
}

fn told(late: &Histogram<u64>) -> String {
    let us = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| format!("{} us", ns / 1_000));
    format!(
        "hiccups of an idle thread meanwhile: p50 {}, p99 {}, p99.9 {}, max {}",
        us(percentile(late, 0.5)),
        us(percentile(late, 0.99)),
        us(percentile(late, 0.999)),
        us(Some(late.max()))
    )
}
