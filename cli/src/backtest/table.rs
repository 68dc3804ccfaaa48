//! The comparison at the end of a sweep.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::outcome::{Outcome, sortable};

/// One line a run, the best first; what all runs have in common is said once, above.
pub(super) fn of(outcomes: &[Outcome]) -> String {
    let names: BTreeSet<&String> = outcomes.iter().flat_map(|outcome| outcome.params.keys()).collect();
    let varies = |name: &&&String| {
        let values: BTreeSet<_> = outcomes.iter().map(|outcome| outcome.params.get(**name)).collect();
        values.len() > 1
    };
    let swept: Vec<&String> = names.iter().filter(varies).copied().collect();
    let mut head: Vec<String> = swept.iter().map(|name| (*name).clone()).collect();
    head.extend(["pnl", "drawdown", "fees", "orders", "fills", "denied", "faults"].map(str::to_owned));
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by_key(|outcome| std::cmp::Reverse(sortable(&outcome.pnl)));
    let mut rows = vec![head];
    for outcome in sorted {
        let mut row: Vec<String> =
            swept.iter().map(|name| outcome.params.get(*name).cloned().unwrap_or_default()).collect();
        row.extend([outcome.pnl.clone(), outcome.drawdown_max.clone(), outcome.fees.clone()]);
        let faults = outcome.faults_total();
        row.extend([outcome.orders, outcome.fills, outcome.denied_total(), faults].map(|count| count.to_string()));
        rows.push(row);
    }
    let mut text = String::new();
    if let Some(first) = outcomes.first() {
        let _ = writeln!(text, "{} records, {} events; {}", first.records, first.events, first.model);
        for note in &first.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text.push('\n');
    }
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}
