//! The summary for people.

use std::collections::BTreeMap;
use std::fmt;

use pinion_runtime::metrics::STAGES;

use crate::summary::Summary;
use crate::time::{count, duration};

/// What each stage measures, in the order of the flow.
pub(crate) const fn stage_means(stage: &str) -> &'static str {
    match stage.as_bytes() {
        b"broker" => "record's time > poll (two clocks)",
        b"decode" => "poll > events",
        b"queue" => "routed > taken by the worker",
        b"strategy" => "one call of the guest",
        b"risk" => "the checks of a call's intents",
        b"egress" => "approved > producer",
        b"decision" => "poll > producer: the whole way",
        b"ack" => "producer > acknowledged",
        _ => "",
    }
}

/// `a 1, b 2`, or `none`.
pub(crate) fn listed(counts: &BTreeMap<&'static str, u64>) -> String {
    let some = counts.iter().filter(|(_, n)| **n > 0).map(|(label, n)| format!("{label} {}", count(*n)));
    match some.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = count(self.records);
        writeln!(f, "{records} records, {} events in {:.1} s", count(self.events_total()), self.seconds)?;
        writeln!(f, "  events    {}", listed(&self.events))?;
        if let (Some(published), Some(late)) = (self.published, self.late_sends) {
            writeln!(f, "  published {}, of these more than 1 ms late {}", count(published), count(late))?;
        }
        if self.gaps > 0 || !self.decode_errors.is_empty() {
            writeln!(f, "  sequence gaps {}, decode errors {}", count(self.gaps), listed(&self.decode_errors))?;
        }
        for (name, strategy) in &self.strategies {
            writeln!(f, "\n{name}")?;
            writeln!(f, "  orders    {} ({})", count(strategy.approved()), listed(&strategy.orders))?;
            writeln!(f, "  denied    {}", listed(&strategy.denied))?;
            writeln!(f, "  faults    {}", listed(&strategy.faults))?;
            if let Some(paper) = &strategy.paper {
                writeln!(f, "  on paper  {paper}")?;
            }
            if let Some(sha256) = &strategy.order_stream_sha256 {
                writeln!(f, "  sha256    {sha256}")?;
            }
        }
        writeln!(f, "\n{:<10}{:>12}{:>10}{:>10}{:>10}{:>10}", "latency", "count", "p50", "p99", "p99.9", "max")?;
        for stage in STAGES {
            let Some(q) = self.latency_ns.get(stage).filter(|quantiles| quantiles.count > 0) else { continue };
            let [p50, p99, p999, max] = [q.p50, q.p99, q.p999, q.max].map(duration);
            let means = stage_means(stage);
            writeln!(f, "{stage:<10}{:>12}{p50:>10}{p99:>10}{p999:>10}{max:>10}  {means}", count(q.count))?;
        }
        if let Some(sha256) = &self.order_stream_sha256 {
            writeln!(f, "\norder stream sha256 {sha256}")?;
        }
        Ok(())
    }
}
