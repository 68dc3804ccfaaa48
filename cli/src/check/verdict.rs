//! What a check says, as JSON and as a table.

use std::fmt;

use serde::Serialize;

use super::findings::{Finding, Weight};
use super::seen::Cost;

/// The result: field names are a promise to scripts.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    /// Whether production would take it and it held its limits.
    pub(super) holds: bool,
    pub(super) strategy: String,
    /// Digest of its module.
    pub(super) module: String,
    pub(super) module_bytes: u64,
    pub(super) lane: &'static str,
    /// What it wants to be called with.
    pub(super) wants: Vec<&'static str>,
    pub(super) bars: usize,
    pub(super) instantiate_ns: u64,
    pub(super) init_ns: u64,
    pub(super) memory_bytes_max: usize,
    pub(super) memory_bytes_cap: u64,
    pub(super) budget_ns: u64,
    /// Events of the sample.
    pub(super) events: u64,
    pub(super) orders: u64,
    pub(super) denied: u64,
    /// Orders and denials for each event.
    pub(super) intents_per_event: f64,
    pub(super) callbacks: Vec<Cost>,
    pub(super) findings: Vec<Finding>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, value: &str| writeln!(f, "{name:<18}{value}");
        row(f, "strategy", &self.strategy)?;
        row(f, "module", &self.module)?;
        row(f, "size", &format!("{} bytes, {} lane", self.module_bytes, self.lane))?;
        let bars = if self.bars > 0 { format!(", {} series of bars", self.bars) } else { String::new() };
        row(f, "wants", &format!("{}{bars}", self.wants.join(", ")))?;
        row(f, "starts in", &format!("{} + {} (on-init)", time(self.instantiate_ns), time(self.init_ns)))?;
        let (used, cap) = (self.memory_bytes_max >> 10, self.memory_bytes_cap >> 10);
        row(f, "memory", &format!("{used} KiB at most, of {cap} KiB"))?;
        row(f, "sample", &format!("{} events, {} orders, {} denied", self.events, self.orders, self.denied))?;
        writeln!(f, "\n{:<20}{:>10}{:>12}{:>12}{:>12}{:>10}", "callback", "calls", "p50", "p99", "max", "intents")?;
        for c in &self.callbacks {
            let [p50, p99, max] = [c.p50_ns, c.p99_ns, c.max_ns].map(time);
            writeln!(f, "{:<20}{:>10}{p50:>12}{p99:>12}{max:>12}{:>10}", c.callback, c.calls, c.intents_max)?;
        }
        writeln!(f, "{:<20}{:>10}{:>12}{:>12}", "budget", "", "", time(self.budget_ns))?;
        writeln!(f)?;
        for finding in &self.findings {
            let weight = if finding.weight == Weight::Failure { "FAILS" } else { "warning" };
            writeln!(f, "{weight}: {}", finding.text)?;
        }
        writeln!(f, "{}", if self.holds { "it holds" } else { "it does not hold" })
    }
}

/// A duration in the unit that suits it, three digits at least.
fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} us", ns / 1_000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_unit_that_suits_it() {
        assert_eq!([9_999, 10_000, 9_999_999, 10_000_000].map(time), ["9999 ns", "10 us", "9999 us", "10 ms"]);
    }
}
