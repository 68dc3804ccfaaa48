//! What a check says, as JSON and as a table.

use std::fmt;

use serde::Serialize;

use super::findings::{Finding, Weight};
use super::seen::Cost;

/// The result: field names are a promise to scripts.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// Whether production would take it and it held its limits.
    pub(crate) holds: bool,
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

impl Verdict {
    /// What makes it fail, or that nothing does.
    pub(crate) fn failures(&self) -> Vec<&str> {
        self.of_weight(Weight::Failure)
    }

    /// What it will run with, perhaps not as its author thinks.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.of_weight(Weight::Warning)
    }

    fn of_weight(&self, weight: Weight) -> Vec<&str> {
        self.findings.iter().filter(|found| found.weight == weight).map(|found| found.text.as_str()).collect()
    }

    /// In a line: the dearest callback against the budget.
    pub(crate) fn line(&self) -> String {
        // Not what is called once.
        let often = self.callbacks.iter().filter(|cost| !matches!(cost.callback, "on-start" | "on-stop"));
        let dearest = often.max_by_key(|cost| cost.p99_ns);
        let cost = dearest.map_or_else(
            || "no callback was called".to_owned(),
            |cost| format!("{} p99 {} of {}", cost.callback, time(cost.p99_ns), time(self.budget_ns)),
        );
        format!("{}: {cost}, {} events, {} orders, {} denied", self.word(), self.events, self.orders, self.denied)
    }

    const fn word(&self) -> &'static str {
        if self.holds { "it holds" } else { "it does not hold" }
    }
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
        writeln!(f, "{}", self.word())
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
