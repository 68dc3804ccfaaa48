//! What `pinion inspect` says, as JSON and as text.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::tally::EventCounts;

/// The result: field names are a promise to scripts.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The encoding that was told or found.
    pub(crate) encoding: &'static str,
    /// Frames in the file.
    pub(crate) messages: u64,
    /// All events.
    pub(crate) events: EventCounts,
    /// By symbol, or by id where there is no symbol.
    pub(crate) instruments: BTreeMap<String, InstrumentReport>,
    /// Frames that could not be decoded, by reason.
    pub(crate) decode_errors: BTreeMap<&'static str, u64>,
    /// Messages that hold nothing for a strategy, by reason.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    /// Where the file ends in the middle of a line, a message or a compressed stream; null where it does not. All else counts what
    /// stands before.
    pub(crate) cut: Option<String>,
    /// Rows written with `--out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
    /// Frames received before the one that stands before them.
    pub(crate) receive_time_steps_back: u64,
    /// Depth updates that do not follow the one before, and books that their venue's checksum did not confirm.
    pub(crate) gaps: u64,
    /// The venue's checksums, where it sends them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checksums: Option<Checksums>,
    /// Earliest receive time, RFC 3339.
    pub(crate) first: Option<String>,
    /// Latest receive time.
    pub(crate) last: Option<String>,
    /// Receive time minus the venue's time (`ts_event`), over the messages that have one.
    pub(crate) clock_difference_ns: Option<ClockDifference>,
    /// Rates.
    pub(crate) messages_per_second: Rate,
}

/// One instrument.
#[derive(Debug, Serialize)]
pub(crate) struct InstrumentReport {
    /// Its id, as strategies see it.
    pub(crate) id: u64,
    /// What the file calls it beside its symbol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Its events.
    pub(crate) events: EventCounts,
    /// Its gaps.
    pub(crate) gaps: u64,
}

/// What the host's books were measured by. After a failure a book is not measured until its next snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Checksums {
    /// Updates after which a book was measured.
    pub(crate) measured: u64,
    /// Those that it did not meet.
    pub(crate) failed: u64,
}

/// Nanoseconds, negative where the capture's clock is behind the venue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ClockDifference {
    /// Least.
    pub(crate) min: i64,
    /// Median.
    pub(crate) p50: i64,
    /// Greatest.
    pub(crate) max: i64,
}

/// Messages a second.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Rate {
    /// Over the time from first to last.
    pub(crate) mean: f64,
    /// Most in one second of the clock.
    pub(crate) peak: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "-".to_owned();
        writeln!(f, "{:<22}{}", "encoding", self.encoding)?;
        writeln!(f, "{:<22}{}", "messages", self.messages)?;
        writeln!(f, "{:<22}{}", "first received", self.first.clone().unwrap_or_else(none))?;
        writeln!(f, "{:<22}{}", "last received", self.last.clone().unwrap_or_else(none))?;
        let rate = self.messages_per_second;
        writeln!(f, "{:<22}mean {:.1}, peak {}", "messages per second", rate.mean, rate.peak)?;
        match self.clock_difference_ns {
            Some(clock) => writeln!(
                f,
                "{:<22}min {} ms, median {} ms, max {} ms",
                "received minus venue",
                millis(clock.min),
                millis(clock.p50),
                millis(clock.max)
            )?,
            None => writeln!(f, "{:<22}-", "received minus venue")?,
        }
        if self.receive_time_steps_back > 0 {
            writeln!(f, "{:<22}{} times", "received out of order", self.receive_time_steps_back)?;
        }
        writeln!(f, "{:<22}{}", "sequence gaps", self.gaps)?;
        if let Some(checksums) = self.checksums {
            writeln!(f, "{:<22}{} measured, {} failed", "book checksums", checksums.measured, checksums.failed)?;
        }
        counts(f, "events", &kinds(&self.events))?;
        counts(f, "decode errors", &self.decode_errors)?;
        counts(f, "skipped", &self.skipped)?;
        for (symbol, instrument) in &self.instruments {
            let name = instrument.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
            writeln!(f, "{symbol}{name} (id {}, gaps {})", instrument.id, instrument.gaps)?;
            counts(f, "", &kinds(&instrument.events))?;
        }
        if let Some(rows) = self.rows {
            writeln!(f, "{:<22}{rows}", "rows written")?;
        }
        if let Some(cut) = &self.cut {
            writeln!(f, "CUT OFF: {cut}")?;
        }
        Ok(())
    }
}

fn kinds(events: &EventCounts) -> BTreeMap<&'static str, u64> {
    let kinds = [
        ("quote", events.quote),
        ("trade", events.trade),
        ("book_update", events.book_update),
        ("book_delta", events.book_delta),
        ("book_snapshot", events.book_snapshot),
        ("execution", events.execution),
        ("status", events.status),
    ];
    kinds.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn counts(f: &mut fmt::Formatter<'_>, title: &str, counts: &BTreeMap<&'static str, u64>) -> fmt::Result {
    match (title, counts.is_empty()) {
        ("", _) => {}
        (_, true) => return writeln!(f, "{title:<22}0"),
        (_, false) => writeln!(f, "{title}")?,
    }
    counts.iter().try_for_each(|(name, count)| writeln!(f, "  {name:<20}{count}"))
}

/// Nanoseconds as milliseconds with two digits, cut.
fn millis(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let hundredths = ns.unsigned_abs() / 10_000;
    format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_keep_their_sign() {
        assert_eq!(millis(-1_272_402_468), "-1272.40");
        assert_eq!(millis(-400_000), "-0.40");
        assert_eq!(millis(1_234_567_890), "1234.56");
    }
}
