//! What the machine itself does to a thread that has nothing to do but wake up: shown beside each result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use pinion_runtime::clock::mono_ns;

/// How long it sleeps at a time.
const SLEEP_NS: u64 = 1_000_000;

/// A thread that sleeps, and notes how much later than asked it woke.
#[derive(Debug)]
pub struct Hiccups {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Histogram<u64>>,
}

impl Hiccups {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut late = latencies();
            while !stopped.load(Ordering::Relaxed) {
                let due = mono_ns() + SLEEP_NS;
                let mut now = 0;
                while now < due {
                    std::thread::park_timeout(Duration::from_nanos(due.saturating_sub(now).min(SLEEP_NS)));
                    now = mono_ns();
                }
                late.saturating_record(now - due);
            }
            late
        });
        Self { stop, thread }
    }

    /// Ends it; how late it woke, ns.
    #[must_use]
    pub fn finish(self) -> Histogram<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| latencies())
    }
}

/// Longest latency told apart: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// A histogram of three digits. Its bounds are given: one without them clamps whatever is recorded to the 2 ns that it begins with.
#[must_use]
pub fn latencies() -> Histogram<u64> {
    let Ok(histogram) = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3) else { unreachable!("3 digits are allowed") };
    histogram
}

/// A percentile, where at least a hundred of what was recorded lie above it: fewer say nothing of it.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts")]
pub fn percentile(histogram: &Histogram<u64>, quantile: f64) -> Option<u64> {
    let above = histogram.len() as f64 * (1.0 - quantile);
    (above >= 99.999).then(|| histogram.value_at_quantile(quantile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_told_only_with_a_hundred_samples_above_it() {
        let mut histogram = latencies();
        for ns in 1..=10_000 {
            histogram.saturating_record(ns);
        }
        assert_eq!(percentile(&histogram, 0.99).map(|ns| ns / 10), Some(990));
        assert_eq!(percentile(&histogram, 0.999), None);
    }

    #[test]
    fn hiccups_are_recorded_while_it_runs() {
        let hiccups = Hiccups::start();
        std::thread::park_timeout(Duration::from_millis(50));
        assert!(!hiccups.finish().is_empty());
    }
}
