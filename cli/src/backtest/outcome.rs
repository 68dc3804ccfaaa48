//! What a run came to: for people, for scripts, and for whoever draws it.

use std::collections::BTreeMap;
use std::fmt;

use pinion_runtime::metrics::Latency;
use pinion_runtime::playback::Faulted;
use pinion_spec::Decimal;
use pinion_venue::Counts;
use serde::Serialize;

use super::amount::{Position, parts};
use super::equity::Point;
use super::reader::Tally;
use super::report::Fills;
use crate::time::rfc3339;

/// The result: field names are a promise to scripts. Amounts are exact decimals in the quote currency.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// Decoded market events, by the runtime's kinds: quotes, trades, levels, snapshots.
    pub(crate) events: u64,
    /// Messages of the order stream: new orders, modifies, cancels.
    pub(crate) orders: u64,
    /// Parts counted each.
    pub(super) fills: u64,
    /// By reason; those that did not occur are left out.
    pub(crate) denied: BTreeMap<&'static str, u64>,
    /// Realised and not, each position at the price at which it could be left, less fees.
    pub(super) pnl: String,
    /// See the command's help.
    pub(super) order_stream_sha256: String,
    /// Of one callback.
    pub(super) callback_ns: Callback,
    /// From the first record to the last, wall time.
    pub(super) wall_s: f64,
    /// As they were.
    pub(super) params: BTreeMap<String, String>,
    /// Records read.
    pub(super) records: u64,
    /// Of `orders`.
    pub(super) order_kinds: BTreeMap<&'static str, u64>,
    /// Paid, less rebates.
    pub(super) fees: String,
    /// Deepest fall of `pnl` from its highest.
    pub(super) drawdown_max: String,
    /// By symbol; instruments without a fill are left out.
    pub(super) positions: BTreeMap<String, Position>,
    /// Orders that worked when the data ended.
    pub(super) working_at_end: usize,
    /// Messages that the venue refused, by reason.
    pub(super) refused: BTreeMap<&'static str, u64>,
    /// Messages that came to the venue twice.
    pub(super) repeated: u64,
    /// Fills from levels whose size the data does not tell.
    pub(super) fills_unbounded: u64,
    /// Orders that expired because nothing was known to take from.
    pub(super) expired_unpriced: u64,
    /// Records that could not be decoded, by reason.
    pub(super) decode_errors: BTreeMap<&'static str, u64>,
    /// Faults of the strategy, by kind.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// It faulted too often and was not brought back.
    pub(super) quarantined: bool,
    /// The first faults: kind, place, and the sandbox's own words.
    pub(crate) fault_list: Vec<String>,
    /// Stream time of the first record, wall ns.
    pub(super) first_ns: u64,
    /// And of the last.
    pub(super) last_ns: u64,
    /// Latency, fees and seed.
    pub(super) model: String,
    /// What to know when reading this.
    pub(super) notes: Vec<String>,
    /// What a drawing is made of.
    #[serde(skip)]
    pub(super) run: Curve,
}

/// What a drawing is made of.
#[derive(Debug)]
pub(super) struct Curve {
    /// Worth over time.
    pub(super) points: Vec<Point>,
    /// Fills of the drawn instrument.
    pub(super) fills: Fills,
    /// Cost of callbacks.
    pub(super) callbacks: Latency,
}

/// Cost of one callback, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Callback {
    pub(super) count: u64,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

impl Callback {
    pub(super) fn of(latency: &Latency) -> Self {
        let [p50, p99] = [0.5, 0.99].map(|quantile| latency.quantile(quantile));
        Self { count: latency.count(), p50, p99, max: latency.max_ns }
    }
}

/// Faults as they are told: a stack once.
pub(super) fn told(faults: &[Faulted]) -> Vec<String> {
    let same = |a: &Faulted, b: &Faulted| a.kind == b.kind && a.detail == b.detail;
    let one = |(index, faulted): (usize, &Faulted)| {
        let Faulted { kind, detail, topic, origin, ts, quarantined, .. } = faulted;
        let last = if *quarantined { ", the last that it was allowed" } else { "" };
        let (partition, offset, at) = (origin.partition, origin.offset, rfc3339(*ts));
        let seen = faults[..index].iter().any(|before| same(before, faulted));
        let detail = if seen { "the same again" } else { detail.trim() };
        format!("{} at {topic}/{partition}/{offset}, stream time {at}{last}: {detail}", kind.label())
    };
    faults.iter().enumerate().map(one).collect()
}

/// What a reader must know to trust the rest.
pub(super) fn notes(reported: bool, counts: &Counts, tally: &Tally) -> Vec<String> {
    let mut notes = Vec::new();
    if !reported {
        notes.push(
            "the strategy has no pinion-execution input: as live it does not see fills, and its risk check takes what \
             was sent as done; fills and profit are the venue's"
                .to_owned(),
        );
    }
    if counts.unbounded > 0 {
        notes.push(format!(
            "{} fills are from levels whose size the data does not tell: taken without a bound",
            counts.unbounded
        ));
    }
    if counts.unpriced > 0 {
        notes.push(format!("{} orders expired because the data showed nothing to take from", counts.unpriced));
    }
    let errors: u64 = tally.decode_errors.values().sum();
    if errors > 0 {
        notes.push(format!("{errors} of {} records could not be decoded; `pinion inspect` tells more", tally.records));
    }
    notes
}

impl Outcome {
    /// In a line.
    pub(crate) fn line(&self) -> String {
        let (orders, fills, denied) = (self.orders, self.fills, self.denied_total());
        format!(
            "{} records, {orders} orders, {fills} fills, {denied} denied, profit and loss {}",
            self.records, self.pnl
        )
    }

    /// All that was denied.
    pub(super) fn denied_total(&self) -> u64 {
        self.denied.values().sum()
    }

    /// All faults.
    pub(super) fn faults_total(&self) -> u64 {
        self.faults.values().sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:<18}{value}");
        row("records", &format_args!("{}, {} events", self.records, self.events))?;
        if self.records > 0 {
            row("stream time", &format_args!("{} to {}", rfc3339(self.first_ns), rfc3339(self.last_ns)))?;
        }
        row("model", &self.model)?;
        row("orders", &format_args!("{}{}", self.orders, parts(&self.order_kinds)))?;
        row("denied", &format_args!("{}{}", self.denied_total(), parts(&self.denied)))?;
        if !self.refused.is_empty() {
            row("refused", &format_args!("{}{}", self.refused.values().sum::<u64>(), parts(&self.refused)))?;
        }
        row("fills", &self.fills)?;
        row("profit and loss", &format_args!("{} after fees of {}", self.pnl, self.fees))?;
        row("drawdown", &self.drawdown_max)?;
        for (symbol, position) in &self.positions {
            row("position", &format_args!("{} {symbol}, {} dealt", position.net, position.volume))?;
        }
        row("working at end", &self.working_at_end)?;
        let Callback { count, p50, p99, max } = self.callback_ns;
        row("callbacks", &format_args!("{count}, p50 {p50} ns, p99 {p99} ns, max {max} ns"))?;
        if self.faults_total() > 0 {
            let end = if self.quarantined { ", quarantined" } else { "" };
            row("faults", &format_args!("{}{}{end}", self.faults_total(), parts(&self.faults)))?;
            self.fault_list.iter().try_for_each(|fault| row("", fault))?;
        }
        row("order stream", &format_args!("sha256 {}", self.order_stream_sha256))?;
        row("wall time", &format_args!("{:.2} s", self.wall_s))?;
        self.notes.iter().try_for_each(|note| row("note", note))
    }
}

/// A decimal as a number, for sorting by.
pub(super) fn sortable(text: &str) -> i128 {
    let cut = text.find('.').map_or(text, |point| &text[..text.len().min(point + 10)]);
    cut.parse::<Decimal>().map_or(0, Decimal::nanos)
}

#[cfg(test)]
mod tests {
    use pinion_runtime::event::Origin;
    use pinion_runtime::instance::InstanceId;
    use pinion_runtime::sandbox::FaultKind;

    use super::*;

    #[test]
    fn a_fault_that_comes_again_is_told_without_its_stack() {
        let faulted = |offset, detail: &str| Faulted {
            tenant: "default".to_owned(),
            strategy: "s".to_owned(),
            kind: FaultKind::Trap,
            detail: detail.to_owned(),
            topic: "t".to_owned(),
            origin: Origin { topic: 0, partition: 0, offset },
            ts: 0,
            quarantined: false,
            instance: InstanceId(0),
            call: offset,
        };
        let told = told(&[faulted(1, "a stack\n"), faulted(2, "a stack\n"), faulted(3, "another")]);
        let ends: Vec<&str> = told.iter().map(|text| text.rsplit("Z: ").next().unwrap()).collect();
        assert_eq!(ends, ["a stack", "the same again", "another"]);
        assert!(told[1].starts_with("trap at t/0/2, "), "{}", told[1]);
    }

    #[test]
    fn amounts_are_sorted_by_their_value() {
        assert_eq!(sortable("-1.2345678919"), -1_234_567_891);
    }
}
