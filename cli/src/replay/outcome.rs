//! What a replay came to, as JSON and as text.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The result: field names are a promise to scripts.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// Records presented.
    pub(super) records: u64,
    /// By tenant and name.
    pub(super) strategies: Vec<StrategyOutcome>,
    /// Where a crash has cut the journal.
    pub(super) cut: Vec<String>,
}

/// One strategy.
#[derive(Debug, Serialize)]
pub(super) struct StrategyOutcome {
    pub(super) tenant: String,
    pub(super) strategy: String,
    /// Order messages decided.
    pub(super) orders: u64,
    /// SHA-256 over each message and a newline.
    pub(super) order_stream_sha256: String,
    /// Messages that are those that were sent.
    pub(super) held: u64,
    /// Decided at the end of a process that crashed, and never sent.
    pub(super) unsent: u64,
    /// Sent by a process that crashed before its journal had the records.
    pub(super) unjournaled: u64,
    /// The first that is another one.
    pub(super) difference: Option<Difference>,
    #[serde(skip)]
    stream: Sha256,
    /// Of the difference, among all messages of the replay.
    #[serde(skip)]
    differs_at: u64,
}

/// Where two order streams part.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    /// `topic/partition/offset` of the record that it was decided because of, or its order's id.
    pub(super) input: String,
    /// Now; `null` where nothing is decided.
    pub(super) replayed: Option<String>,
    /// Then; `null` where nothing was sent.
    pub(super) sent: Option<String>,
}

impl StrategyOutcome {
    pub(super) fn new(tenant: String, strategy: String) -> Self {
        let stream = Sha256::new();
        Self {
            tenant,
            strategy,
            orders: 0,
            order_stream_sha256: hex(&stream),
            held: 0,
            unsent: 0,
            unjournaled: 0,
            difference: None,
            stream,
            differs_at: u64::MAX,
        }
    }

    pub(super) fn order(&mut self, value: &[u8]) {
        self.stream.update(value);
        self.stream.update(b"\n");
        self.orders += 1;
        self.order_stream_sha256 = hex(&self.stream);
    }

    /// A message is another one; the first of all counts.
    pub(super) fn differs(&mut self, at: u64, input: String, replayed: Option<String>, sent: Option<String>) {
        if self.difference.is_none() || at < self.differs_at {
            self.differs_at = at;
            self.difference = Some(Difference { input, replayed, sent });
        }
    }
}

fn hex(stream: &Sha256) -> String {
    stream.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An order message for people: JSON as it is, anything else in hexadecimal digits.
pub(super) fn order_text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if text.starts_with('{') => text.to_owned(),
        _ => value.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

impl Outcome {
    /// Strategies whose orders are others.
    pub(super) fn differences(&self) -> usize {
        self.strategies.iter().filter(|strategy| strategy.difference.is_some()).count()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cut in &self.cut {
            writeln!(f, "the journal is cut: {cut}; what came after it is not replayed")?;
        }
        writeln!(f, "{:<22}{}", "records", self.records)?;
        for s in &self.strategies {
            writeln!(f, "{}/{}", s.tenant, s.strategy)?;
            writeln!(f, "  {:<20}{}", "orders", s.orders)?;
            writeln!(f, "  {:<20}{}", "order stream", s.order_stream_sha256)?;
            writeln!(f, "  {:<20}{}", "as they were sent", s.held)?;
            if s.unsent > 0 {
                writeln!(f, "  {:<20}{}", "not sent at a crash", s.unsent)?;
            }
            if s.unjournaled > 0 {
                writeln!(f, "  {:<20}{}", "not in the journal", s.unjournaled)?;
            }
            if let Some(difference) = &s.difference {
                writeln!(f, "  the first difference, at {}", difference.input)?;
                writeln!(f, "    now:  {}", difference.replayed.as_deref().unwrap_or("nothing"))?;
                writeln!(f, "    then: {}", difference.sent.as_deref().unwrap_or("nothing"))?;
            }
        }
        Ok(())
    }
}
