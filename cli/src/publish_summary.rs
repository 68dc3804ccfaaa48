//! What `pinion publish` says at its end.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

/// A send later than this after its time is counted as late.
const LATE_NS: u64 = 1_000_000;
/// What is later is measured as a day.
const DAY_NS: u64 = 86_400_000_000_000;

/// The result: field names are a promise to scripts.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Summary {
    /// Records handed to the producer.
    pub(crate) sent: u64,
    /// Records that the broker has acknowledged.
    pub(crate) acked: u64,
    /// Records whose delivery failed.
    pub(crate) failed: u64,
    /// Frames that the decoder does not understand; sent all the same, without a key.
    pub(crate) undecodable: u64,
    /// Times that the producer's queue was full and the send tried again.
    pub(crate) queue_full: u64,
    /// Times that the capture was read to its end.
    pub(crate) passes: u64,
    /// How late sends were; absent at full speed, where nothing is due.
    pub(crate) late: Option<Late>,
    /// From the first send to the last acknowledgement.
    pub(crate) seconds: f64,
}

/// How late sends were against the recording.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Late {
    /// Sends later than `threshold_ns`.
    pub(crate) count: u64,
    /// What counts as late.
    pub(crate) threshold_ns: u64,
    /// Median over all sends.
    pub(crate) p50_ns: u64,
    /// 99th percentile over all sends.
    pub(crate) p99_ns: u64,
    /// The latest.
    pub(crate) max_ns: u64,
}

/// Lateness of each send.
#[derive(Debug)]
pub(crate) struct Lateness {
    histogram: Histogram<u64>,
    count: u64,
}

impl Lateness {
    /// Nothing recorded yet.
    pub(crate) fn new() -> Result<Self, String> {
        let histogram =
            Histogram::new_with_max(DAY_NS, 3).map_err(|error| format!("cannot make a histogram: {error}"))?;
        Ok(Self { histogram, count: 0 })
    }

    /// Records how long after its time a frame was sent.
    pub(crate) fn record(&mut self, late_ns: u64) {
        self.histogram.saturating_record(late_ns);
        self.count += u64::from(late_ns > LATE_NS);
    }

    /// Late sends so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// `None` when nothing was due.
    pub(crate) fn report(&self) -> Option<Late> {
        (!self.histogram.is_empty()).then(|| Late {
            count: self.count,
            threshold_ns: LATE_NS,
            p50_ns: self.histogram.value_at_quantile(0.5),
            p99_ns: self.histogram.value_at_quantile(0.99),
            max_ns: self.histogram.max(),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "sent {}, acknowledged {}, failed {} in {:.1} s",
            self.sent, self.acked, self.failed, self.seconds
        )?;
        if self.passes != 1 {
            writeln!(f, "whole passes {}", self.passes)?;
        }
        if let Some(late) = self.late {
            let micros = |ns: u64| ns / 1_000;
            let (p50, p99, max) = (micros(late.p50_ns), micros(late.p99_ns), micros(late.max_ns));
            writeln!(f, "late by more than 1 ms {}; lateness p50 {p50} us, p99 {p99} us, max {max} us", late.count)?;
        }
        if self.undecodable > 0 {
            writeln!(f, "frames that cannot be decoded (sent without a key) {}", self.undecodable)?;
        }
        if self.queue_full > 0 {
            writeln!(f, "retries because the producer's queue was full {}", self.queue_full)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_the_threshold_is_late_but_all_of_it_is_measured() {
        let mut lateness = Lateness::new().unwrap();
        assert!(lateness.report().is_none());
        for late_ns in [0, 500, LATE_NS, LATE_NS + 1] {
            lateness.record(late_ns);
        }
        let late = lateness.report().unwrap();
        assert_eq!((late.count, late.p50_ns), (1, 500));
        assert!(late.max_ns > LATE_NS);
    }
}
